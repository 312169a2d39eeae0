//! Around every request: the outer half finds out who sends it and where to, and says on its answer which pages may
//! read that; the inner half refuses what no route may see and who sends
//! more than may, and answers the questions of browsers.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::HeaderValue;
use http::header::LOCATION;
use http::request::Parts;

use crate::base_path::BasePath;
use crate::browser::{OwnOrigin, check_dev, host_of};
use crate::client_address::ClientAddress;
use crate::cors;
use crate::extract::count_request;
use crate::forwarded::Forwarded;
use crate::origin::{Origin, Scheme};
use crate::problem::{Problem, ProblemKind};
use crate::rate_headers;
use crate::serve::{HeadRefusal, OutsideBasePath, Peer, is_probe};
use crate::state::ApiState;
use crate::web::WebOptions;

/// The path that all routes lie below for the client of a request, among the request's extensions.
#[derive(Debug, Clone)]
pub(crate) struct LinkPath(pub(crate) BasePath);

/// What the inner half goes by.
#[derive(Debug, Clone)]
pub(crate) struct Gate {
    pub(crate) api: Arc<ApiState>,
    pub(crate) web: Arc<WebOptions>,
}

/// The outer half, around everything else.
pub(crate) async fn arrive(State(web): State<Arc<WebOptions>>, request: Request, next: Next) -> Response {
    let (mut head, body) = request.into_parts();
    let peer = head.extensions.get::<Peer>().copied().unwrap_or_default();
    let forwarded = Forwarded::read(peer.address, &head.headers, &web.trusted_proxies).unwrap_or_else(|refusal| {
        // One for what the request itself is goes first.
        head.extensions.get_or_insert::<HeadRefusal>(refusal);
        Forwarded::direct(peer.address)
    });
    head.extensions.insert(ClientAddress::new(forwarded.client));
    let own = own_origin(&head, &web, peer, &forwarded);
    let path = web.base_path.below(&forwarded.prefix);
    head.extensions.insert(Arc::new(own));
    head.extensions.insert(LinkPath(path.clone()));
    let listed = cors::listed(&head.headers, &web.cors_origins).cloned();

    let mut response = next.run(Request::from_parts(head, body)).await;
    if !web.cors_origins.is_empty() {
        cors::allow(response.headers_mut(), listed);
    }
    put_below(&path, &mut response);
    response
}

fn own_origin(head: &Parts, web: &WebOptions, peer: Peer, forwarded: &Forwarded) -> OwnOrigin {
    let scheme = forwarded.scheme.unwrap_or(if peer.is_tls { Scheme::Https } else { Scheme::Http });
    let authority = forwarded.authority.as_deref().or_else(|| host_of(head));
    OwnOrigin {
        public: web.public_url.as_ref().map(|url| url.origin().clone()),
        received: authority.and_then(|authority| Origin::of(scheme, authority).ok()),
        listed: Arc::clone(&web.cors_origins),
    }
}

/// Puts the place that an answer sends its client to below the path of all routes.
fn put_below(path: &BasePath, response: &mut Response) {
    let place = response.headers().get(LOCATION).and_then(|place| place.to_str().ok());
    let inside = place.filter(|place| place.starts_with('/') && !place.starts_with("//"));
    if let Some(moved) = inside.and_then(|place| HeaderValue::try_from(format!("{path}{place}")).ok()) {
        response.headers_mut().insert(LOCATION, moved);
    }
}

/// The inner half, before any route. Probes are not counted: who restarts the server goes by them.
pub(crate) async fn pass(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let (mut head, body) = request.into_parts();
    if let Some(answer) = answer(&gate, &head) {
        return answer;
    }
    if is_probe(head.uri.path()) {
        return next.run(Request::from_parts(head, body)).await;
    }
    let counted = match count_request(&mut head, &gate.api).await {
        Ok(counted) => counted,
        Err(refusal) => return refusal.into_response(),
    };
    let mut response = next.run(Request::from_parts(head, body)).await;
    rate_headers::show(response.headers_mut(), || counted.standings(&gate.api));
    response
}

/// The answer to a request that no route sees.
fn answer(gate: &Gate, head: &Parts) -> Option<Response> {
    if gate.api.access.has_anonymous() {
        let own = head.extensions.get::<Arc<OwnOrigin>>().cloned().unwrap_or_default();
        if let Err(problem) = check_dev(head, &own) {
            return Some(problem.into_response());
        }
    }
    if let Some(OutsideBasePath(path)) = head.extensions.get() {
        let detail = format!("no route has the path {path}; all lie below {}", gate.web.base_path);
        return Some(Problem::new(ProblemKind::NotFound, detail).into_response());
    }
    cors::preflight(head, &gate.web.cors_origins)
}
