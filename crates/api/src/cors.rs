//! Which pages of other origins may read answers (CORS, as the Fetch standard has it): those of the listed origins, with a
//! key. Cookies are never taken from them, so no answer says that credentials are allowed.

use axum::body::Body;
use axum::response::Response;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, HeaderValue, ORIGIN, VARY,
};
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode};

use crate::origin::Origin;

const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, PUT, PATCH, DELETE");
const REQUEST_HEADERS: HeaderValue = HeaderValue::from_static(
    "Authorization, X-API-Key, Content-Type, Content-Encoding, Idempotency-Key, If-Match, If-None-Match, \
     Nilometer-Workspace, Nilometer-Signature, X-Request-Id",
);
const EXPOSED_HEADERS: HeaderValue = HeaderValue::from_static(
    "RateLimit, RateLimit-Policy, Retry-After, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, X-Request-Id, ETag",
);
/// How long a browser may keep the answer to its question, in seconds.
const MAX_AGE_SEC: HeaderValue = HeaderValue::from_static("600");

/// The one origin that a request names, if it is listed.
pub(crate) fn listed<'h>(headers: &'h HeaderMap, listed: &[Origin]) -> Option<&'h HeaderValue> {
    let mut values = headers.get_all(ORIGIN).iter();
    let (value, None) = (values.next()?, values.next()) else { return None };
    let origin = Origin::parse(value.to_str().ok()?).ok()?;
    listed.contains(&origin).then_some(value)
}

/// The answer to a browser that asks what pages of a listed origin may do. It asks without any credential.
pub(crate) fn preflight(request: &Parts, origins: &[Origin]) -> Option<Response> {
    let is_preflight = request.method == Method::OPTIONS && request.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    if !is_preflight || listed(&request.headers, origins).is_none() {
        return None;
    }
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::NO_CONTENT;
    let headers = answer.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS);
    headers.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE_SEC);
    Some(answer)
}

/// Says on an answer that pages of `origin` may read it, if one is given, and that this depends on the origin.
pub(crate) fn allow(answer: &mut HeaderMap, origin: Option<HeaderValue>) {
    answer.append(VARY, HeaderValue::from_static("origin"));
    if let Some(origin) = origin {
        answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        answer.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED_HEADERS);
    }
}
