//! Answers the requests of one connection with the router. What is refused before any route sees it goes
//! through the router as well, which makes the answer.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use axum::Router;
use domain::limits::HTTP2_HEAD_BYTES_MAX;
use http::header::{CONNECTION, HOST, HeaderValue};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{Request, Response, StatusCode, Uri, Version};
use hyper::body::Incoming;
use hyper::service::Service;
use tower::ServiceExt;

use crate::base_path::BasePath;

use super::answer_body::AnswerBody;
use super::checked_stream::is_refused;
use super::connection::{ConnectionHandle, OutsideBasePath, Peer};
use super::exchange::Exchange;
use super::head::{HeadFault, HeadRefusal};
use super::head_budget::{HeadBudget, HeadReservation};
use super::linger::Linger;
use super::table::Seat;
use super::timed_stream::ActiveRequests;

/// The paths that a connection for probes answers.
const PROBES: [&str; 4] = ["/healthz", "/livez", "/readyz", METRICS];
const METRICS: &str = "/metrics";
/// The pages of the API's document lie below this path, which ends in a slash itself.
const PAGES: &str = "/docs/";
/// What a field over HTTP/2 is counted with beside its name and value (RFC 9113, section 6.5.2).
const HTTP2_FIELD_BYTES: usize = 32;

/// The service of one connection.
#[derive(Debug, Clone)]
pub(super) struct ConnectionService {
    pub(super) router: Router,
    pub(super) seat: Seat,
    pub(super) requests: Arc<ActiveRequests>,
    pub(super) exchange: Arc<Exchange>,
    pub(super) budget: HeadBudget,
    pub(super) handle: ConnectionHandle,
    pub(super) peer: Peer,
    pub(super) base_path: BasePath,
}

impl Service<Request<Incoming>> for ConnectionService {
    type Response = Response<AnswerBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let active = self.requests.begin(request.version());
        let (mut head, body) = request.into_parts();
        let mut heads = self.exchange.take_heads();
        let mut refusal = is_refused(&head).then(|| self.exchange.refusal()).flatten();
        if head.version == Version::HTTP_2 {
            match check_http2(&head, &self.budget) {
                Ok(reservation) => heads.push(reservation),
                Err(why) => refusal = Some(why),
            }
        }
        match self.inside(&head.uri) {
            Ok(Some(uri)) => {
                let sent = std::mem::replace(&mut head.uri, uri);
                if let Some(target) = sent.into_parts().path_and_query {
                    head.extensions.insert(SentTarget(target));
                }
            }
            Ok(None) => {}
            Err((uri, outside)) => {
                head.uri = uri;
                head.extensions.insert(outside);
            }
        }
        if self.seat == Seat::Probe && refusal.is_none() && !PROBES.contains(&head.uri.path()) {
            let detail = "every connection is taken; this one is for probes and metrics alone";
            refusal = Some(HeadRefusal::new(HeadFault::NoRoom, "connection", detail));
        }
        let is_last = self.seat == Seat::Probe || refusal.is_some();
        if let Some(refusal) = refusal {
            head.extensions.insert(refusal);
        }
        head.extensions.insert(self.handle.clone());
        head.extensions.insert(self.peer);
        let is_http1 = head.version != Version::HTTP_2;
        let body = Linger::new(&head.headers, body);
        let answer = self.router.clone().oneshot(Request::from_parts(head, body));
        let exchange = Arc::clone(&self.exchange);
        Box::pin(async move {
            let mut answer = answer.await?;
            exchange.answered(answer.status() == StatusCode::SWITCHING_PROTOCOLS);
            if is_last && is_http1 {
                answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok(answer.map(|body| AnswerBody { body, _active: active, _heads: heads }))
        })
    }
}

/// Whether a path is that of a probe, of which any number is answered.
pub(crate) fn is_probe(path: &str) -> bool {
    path != METRICS && PROBES.contains(&path)
}

/// Path and query as the client has sent them, among the extensions of a request whose route has another path.
#[derive(Debug, Clone)]
pub(crate) struct SentTarget(pub(crate) PathAndQuery);

impl ConnectionService {
    /// The URI as routes know it: without the path that they all lie below, and without a slash at its end; `None`
    /// when it stays as it is. Of one outside that path, a URI that no route has.
    fn inside(&self, uri: &Uri) -> Result<Option<Uri>, (Uri, OutsideBasePath)> {
        let is_probe = PROBES.contains(&without_last_slash(uri.path()));
        if self.base_path.as_str().is_empty() || is_probe {
            return Ok(without_slash(uri));
        }
        match self.base_path.inside(uri.path()).and_then(|path| with_path(uri, path)) {
            Some(inside) => Ok(Some(without_slash(&inside).unwrap_or(inside))),
            None => {
                let unknown = with_path(uri, &format!("//{}", uri.path())).unwrap_or_else(|| Uri::from_static("*"));
                Err((unknown, OutsideBasePath(uri.path().to_owned())))
            }
        }
    }
}

/// Checks the head of a request over HTTP/2. One connection may have many at once, so the memory of each is
/// counted, long or not.
fn check_http2(head: &Parts, budget: &HeadBudget) -> Result<HeadReservation, HeadRefusal> {
    let refused = |fault, field, detail| Err(HeadRefusal::new(fault, field, detail));
    let bytes = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + HTTP2_FIELD_BYTES);
    let bytes = bytes.sum::<usize>() + head.uri.path().len() + head.uri.query().map_or(0, str::len);
    if bytes > HTTP2_HEAD_BYTES_MAX {
        let detail = "the head of the request is longer than 16384 bytes, which is the most over HTTP/2";
        return refused(HeadFault::TooLarge, "head", detail);
    }
    let mut hosts = head.headers.get_all(HOST).iter();
    let (host, second) = (hosts.next(), hosts.next());
    let authority = head.uri.authority().map(|authority| authority.as_str().as_bytes());
    match (authority, host) {
        _ if second.is_some() => refused(HeadFault::Malformed, "Host", "the request has more than one Host field"),
        (None, None) => refused(HeadFault::Malformed, "Host", "the request names no host"),
        (Some(authority), Some(host)) if !host.as_bytes().eq_ignore_ascii_case(authority) => {
            refused(HeadFault::Malformed, "Host", "the request names two hosts")
        }
        _ => match budget.reserve(bytes).map(HeadReservation::finish) {
            Some(Ok(head)) => Ok(head),
            _ => {
                let detail = "the heads of other requests fill the memory set aside for them";
                refused(HeadFault::NoRoom, "head", detail)
            }
        },
    }
}

/// The path without the slash at its end, so that it finds its route; `None` when it stays as it is.
fn without_slash(uri: &Uri) -> Option<Uri> {
    let path = without_last_slash(uri.path());
    if path.is_empty() || path == uri.path() || uri.path().starts_with(PAGES) {
        return None;
    }
    with_path(uri, path)
}

fn without_last_slash(path: &str) -> &str {
    path.strip_suffix('/').unwrap_or(path)
}

/// A URI like this one, with another path.
fn with_path(uri: &Uri, path: &str) -> Option<Uri> {
    let target = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(target).ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn one_slash_at_the_end_is_left_out() {
        let cases = [
            ("/v1/events/", Some("/v1/events")),
            ("/v1/events/?limit=1/", Some("/v1/events?limit=1/")),
            ("/v1/customers/a%2Fb/", Some("/v1/customers/a%2Fb")),
            ("http://host/v1/events/", Some("http://host/v1/events")),
            ("/v1/events//", Some("/v1/events/")),
            ("/docs/", None),
            ("/docs/a/", None),
            ("/", None),
            ("/v1/events", None),
            ("*", None),
        ];
        for (uri, expected) in cases {
            let found = without_slash(&Uri::from_static(uri)).map(|uri| uri.to_string());
            assert_eq!(found.as_deref(), expected, "{uri}");
        }
    }

    #[test]
    fn a_request_over_http_2_names_one_host_in_a_head_of_bounded_size() {
        let fault = |uri: &str, fields: &[(&str, &str)]| {
            let mut request = Request::get(uri);
            for (name, value) in fields {
                request = request.header(*name, *value);
            }
            let refused = check_http2(&request.body(()).unwrap().into_parts().0, &HeadBudget::default());
            refused.err().map(|refusal| (refusal.fault, refusal.field))
        };
        let long = "x".repeat(HTTP2_HEAD_BYTES_MAX);
        let host = Some((HeadFault::Malformed, "Host"));
        assert_eq!(fault("http://a/", &[]), None);
        assert_eq!(fault("/", &[("host", "a")]), None);
        assert_eq!(fault("http://a/", &[("host", "A")]), None);
        assert_eq!(fault("/", &[]), host);
        assert_eq!(fault("http://a/", &[("host", "b")]), host);
        assert_eq!(fault("/", &[("host", "a"), ("host", "a")]), host);
        assert_eq!(fault("http://a/", &[("x", &long)]), Some((HeadFault::TooLarge, "head")));
    }
}
