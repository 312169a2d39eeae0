//! The first page: what runs here, where its documents are, and the first line to send. Needs no key and touches no
//! tenant's data.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{Html, IntoResponse, Response};
use http::header::{ACCEPT, CACHE_CONTROL, VARY};
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Uri};
use serde::Serialize;
use utoipa::ToSchema;

use crate::state::ApiState;

const VERSION: &str = env!("CARGO_PKG_VERSION");
const FIRST_LINE: &str =
    r#"curl -s -H 'content-type: application/json' -d '{"id": "e1", "customer": "acme", "user": "u1"}'"#;
/// What the first line needs where no tenant is served without a key.
const KEY_HEADER: &str = " -H 'authorization: Bearer YOUR-API-KEY'";

/// What runs here.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HomeBody {
    /// The product.
    name: &'static str,
    /// The version of the program.
    version: &'static str,
    /// Where the pages of the API are.
    docs: &'static str,
    /// Where its OpenAPI document is.
    openapi: &'static str,
    /// A command that sends the first event.
    first_event: String,
}

/// Say what runs here
///
/// A page for browsers, JSON otherwise.
#[utoipa::path(
    get, path = "/", tag = "operations", operation_id = "home", security(()),
    responses((status = 200, description = "What runs here", body = HomeBody)),
)]
pub(crate) async fn home(State(api): State<Arc<ApiState>>, uri: Uri, headers: HeaderMap) -> Response {
    let named = uri.authority().map(Authority::as_str);
    let host = named.or_else(|| headers.get("host")?.to_str().ok()).filter(|host| is_plain(host));
    let key = if api.keyring.authenticate(None).is_err() { KEY_HEADER } else { "" };
    let first_event = format!("{FIRST_LINE}{key} http://{}/v1/events", host.unwrap_or("127.0.0.1:8080"));
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut answer =
        if accepted.flat_map(|value| value.split(',')).any(|kind| kind.trim_start().starts_with("text/html")) {
            Html(page(&first_event)).into_response()
        } else {
            let (docs, openapi) = ("/docs/", "/openapi.json");
            Json(HomeBody { name: "Nilometer", version: VERSION, docs, openapi, first_event }).into_response()
        };
    answer.headers_mut().insert(VARY, HeaderValue::from_static("accept"));
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    answer
}

/// A host that needs no escapes in a command or a page.
fn is_plain(host: &str) -> bool {
    host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte))
}

fn page(first_event: &str) -> String {
    let command = first_event.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;");
    format!(
        r#"<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Nilometer</title>
<style>body{{font:16px/1.5 system-ui,sans-serif;max-width:44rem;margin:3rem auto;padding:0 1rem}}pre{{background:#8882;padding:1rem;overflow:auto}}</style>
</head><body><h1>Nilometer {VERSION}</h1>
<p>Counts events exactly once, and answers at once. <a href="/docs/">The API</a> · <a href="/openapi.json">OpenAPI</a> · <a href="/readyz">readiness</a> · <a href="/metrics">metrics</a></p>
<p>Send the first event:</p><pre>{command}</pre></body></html>
"#
    )
}
