//! All routes, and what every request passes on its way to one.

use std::sync::Arc;

use axum::Router;
use axum::middleware;
use http::{Method, Uri};
use utoipa::Number;
use utoipa::openapi::schema::Schema;
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{OpenApi, RefOr, Server};

use crate::gate::{self, Gate};
use crate::observe;
use crate::problem::{Problem, ProblemKind};
use crate::routes;
use crate::state::ApiState;
use crate::web::WebOptions;

/// Answers every request: each route of the API, and a problem for everything else. Routes begin at the root here, also
/// when the server serves them below another path.
pub fn router(state: Arc<ApiState>, web: WebOptions) -> Router {
    let (routes, mut document) = routes::all().into_router().split_for_parts();
    if !state.access.has_anonymous() {
        // Without an anonymous tenant no route of one works without a key.
        let keyless = SecurityRequirement::default();
        document.security.iter_mut().for_each(|accepted| accepted.retain(|one| *one != keyless));
    }
    if let Ok(live) = state.pipeline.live() {
        bound_windows(&mut document, live.retention_sec());
    }
    let server = web.public_url.as_ref().map_or_else(|| web.base_path.to_string(), ToString::to_string);
    if !server.is_empty() {
        document.servers = Some(vec![Server::new(server)]);
    }
    let web = Arc::new(web);
    let gate = Gate { api: Arc::clone(&state), web: Arc::clone(&web) };
    routes
        .merge(routes::docs::ui(document))
        .fallback(unknown_route)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(gate, gate::pass))
        .layer(middleware::from_fn_with_state(state.clone(), observe::observe))
        .layer(middleware::from_fn_with_state(web, gate::arrive))
        .with_state(state)
}

/// Says in the document how long the windows of the live view can be, which depends on the settings.
fn bound_windows(document: &mut OpenApi, longest_sec: u32) {
    let operations = document.paths.paths.values_mut().filter_map(|path| path.get.as_mut());
    let parameters = operations.filter_map(|operation| operation.parameters.as_mut()).flatten();
    for parameter in parameters {
        if let RefOr::T(parameter) = parameter
            && parameter.name == "window"
            && let Some(RefOr::T(Schema::Object(schema))) = &mut parameter.schema
            && schema.minimum.is_some()
        {
            schema.maximum = usize::try_from(longest_sec).ok().map(Number::UInt);
        }
    }
}

/// The OpenAPI document of the API.
pub fn document() -> OpenApi {
    routes::all().into_router().into_openapi()
}

async fn unknown_route(uri: Uri) -> Problem {
    Problem::new(ProblemKind::NotFound, format!("no route has the path {}", uri.path()))
}

async fn wrong_method(method: Method, uri: Uri) -> Problem {
    Problem::new(ProblemKind::MethodNotAllowed, format!("{} does not take {method}", uri.path()))
}
