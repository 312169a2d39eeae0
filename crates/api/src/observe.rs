//! What surrounds every request: its id, its line in the log, its metrics, and the body of its
//! problem if it has one. A panic in a handler becomes a problem here and ends nothing else.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use domain::time::{MICROS_PER_SECOND, Timestamp};
use futures::FutureExt;
use http::header::{CACHE_CONTROL, VARY};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use uuid::{NoContext, Uuid};

use crate::client_address::ClientAddress;
use crate::extract::RequestId;
use crate::problem::Problem;
use crate::request_tenant::{Access, RequestTenant};
use crate::serve::{HeadFault, HeadRefusal};
use crate::state::ApiState;

/// Carries the request id, in and out.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest request id that is taken from a client, in bytes.
const REQUEST_ID_BYTES_MAX: usize = 128;
/// The headers that decide whose answer a request gets.
const CREDENTIAL_HEADERS: &str = "authorization, x-api-key, cookie, nilometer-workspace";
/// The endpoint in metrics of a path that no route has.
const UNMATCHED: &str = "unmatched";

/// Runs one request.
pub(crate) async fn observe(State(api): State<Arc<ApiState>>, mut request: Request, next: Next) -> Response {
    let tenant = RequestTenant::default();
    request.extensions_mut().insert(tenant.clone());
    let clock = api.pipeline.clock();
    let started = clock.monotonic();
    let id = request_id(request.headers(), clock.now());
    request.extensions_mut().insert(RequestId(id.clone()));
    let method = request.method().clone();
    let has_credential = CREDENTIAL_HEADERS.split(", ").any(|name| request.headers().contains_key(name));
    let path = request.extensions().get::<MatchedPath>().cloned();
    let endpoint = path.as_ref().map_or(UNMATCHED, MatchedPath::as_str);
    let client = request.extensions().get::<ClientAddress>().copied();

    let mut response = match request.extensions_mut().remove::<HeadRefusal>() {
        Some(refusal) => {
            api.metrics.head_refused(reason(refusal.fault));
            Problem::from(refusal).into_response()
        }
        None => {
            let outcome = AssertUnwindSafe(next.run(request)).catch_unwind().await;
            outcome.unwrap_or_else(|_| Problem::internal("the handler panicked").into_response())
        }
    };
    let mut problem = write_problem(&mut response, &id);
    let is_write = tenant.access() == Access::Write;
    let budget = if is_write { &api.write_response_budget } else { &api.response_budget };
    let is_done = is_write && !response.status().is_client_error();
    response = budget.reserve_body(&tenant, response, is_done).await.unwrap_or_else(|refusal| {
        let mut response = refusal.into_response();
        problem = write_problem(&mut response, &id);
        response
    });

    let elapsed = clock.monotonic().saturating_sub(started);
    let line = Line { id: &id, client, method: &method, path: endpoint, status: response.status().as_u16(), elapsed };
    log(&line, problem.as_ref());
    api.metrics.request(label(&method), endpoint, response.status().as_u16(), elapsed.as_secs_f64());
    if has_credential || tenant.tenant().is_some() || response.status() == StatusCode::UNAUTHORIZED {
        // Whoever keeps answers must not give one caller's to another.
        response.headers_mut().append(VARY, HeaderValue::from_static(CREDENTIAL_HEADERS));
    }
    if !matches!(method, Method::GET | Method::HEAD) {
        // A secret may be in it, which is shown this once.
        response.headers_mut().entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    }
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

/// Writes the body of an answer's problem, if it has one.
fn write_problem(response: &mut Response, id: &HeaderValue) -> Option<Problem> {
    let problem = response.extensions_mut().remove::<Problem>()?;
    problem.write(response, id.to_str().unwrap_or_default());
    Some(problem)
}

/// The client's id when it is a sane one, a new one otherwise.
fn request_id(headers: &HeaderMap, now: Timestamp) -> HeaderValue {
    let sane = |value: &&HeaderValue| {
        let bytes = value.as_bytes();
        let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':');
        !bytes.is_empty() && bytes.len() <= REQUEST_ID_BYTES_MAX && bytes.iter().all(allowed)
    };
    headers.get(REQUEST_ID).filter(sane).cloned().unwrap_or_else(|| {
        let mut text = Uuid::encode_buffer();
        let seconds = u64::try_from(now.micros() / MICROS_PER_SECOND).unwrap_or(0);
        let nanos = u32::try_from(now.micros() % MICROS_PER_SECOND * 1_000).unwrap_or(0);
        let id = Uuid::new_v7(uuid::Timestamp::from_unix(NoContext, seconds, nanos));
        let text = id.hyphenated().encode_lower(&mut text);
        HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static("none"))
    })
}

/// The reason of a refusal in metrics.
const fn reason(fault: HeadFault) -> &'static str {
    match fault {
        HeadFault::Malformed => "malformed",
        HeadFault::BodyTooLarge | HeadFault::TargetTooLong | HeadFault::TooLarge => "too_large",
        HeadFault::UnknownCoding => "unknown_coding",
        HeadFault::UnknownVersion => "unknown_version",
        HeadFault::NoRoom => "no_room",
    }
}

/// The method in metrics: a client may send any word, a label may not.
fn label(method: &Method) -> &str {
    match method.as_str() {
        known @ ("GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS") => known,
        _ => "other",
    }
}

/// What the log says of a request.
struct Line<'r> {
    id: &'r HeaderValue,
    client: Option<ClientAddress>,
    method: &'r Method,
    path: &'r str,
    status: u16,
    elapsed: Duration,
}

fn log(line: &Line<'_>, problem: Option<&Problem>) {
    let Line { id, client, method, path, status, elapsed } = line;
    let elapsed_us = elapsed.as_micros();
    let request_id = id.to_str().unwrap_or_default();
    let client = client.map(|client| tracing::field::display(client.get()));
    let cause = problem.and_then(Problem::cause);
    if problem.is_some_and(Problem::is_failure) {
        tracing::error!(request_id, client, %method, path, status, elapsed_us, cause, "request failed");
    } else {
        tracing::debug!(request_id, client, %method, path, status, elapsed_us, cause, "request");
    }
}
