//! The first page: what runs here, where its documents are, and the first line to send. Needs no key and touches no
//! tenant's data.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{Html, IntoResponse, Response};
use axum::{Extension, Json};
use http::header::{ACCEPT, CACHE_CONTROL, VARY};
use http::{HeaderMap, HeaderValue};
use serde::Serialize;
use utoipa::ToSchema;

use crate::browser::OwnOrigin;
use crate::gate::LinkPath;
use crate::routes::docs::OpenRefusals;
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
    docs: String,
    /// Where its OpenAPI document is.
    openapi: String,
    /// A command that sends the first event.
    first_event: String,
}

/// Say what runs here
///
/// A page for browsers, JSON otherwise.
#[utoipa::path(
    get, path = "/", tag = "operations", operation_id = "home", security(()),
    responses((status = 200, description = "What runs here", body = HomeBody), OpenRefusals),
)]
pub(crate) async fn home(
    State(api): State<Arc<ApiState>>,
    Extension(own): Extension<Arc<OwnOrigin>>,
    Extension(LinkPath(path)): Extension<LinkPath>,
    headers: HeaderMap,
) -> Response {
    let origin = own.public.as_ref().or(own.received.as_ref());
    let origin = origin.map_or_else(|| "http://127.0.0.1:8080".to_owned(), ToString::to_string);
    let path = path.as_str();
    let key = if api.access.has_anonymous() { "" } else { KEY_HEADER };
    let first_event = format!("{FIRST_LINE}{key} {origin}{path}/v1/events");
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut answer =
        if accepted.flat_map(|value| value.split(',')).any(|kind| kind.trim_start().starts_with("text/html")) {
            Html(page(path, &first_event)).into_response()
        } else {
            let (docs, openapi) = (format!("{path}/docs/"), format!("{path}/openapi.json"));
            Json(HomeBody { name: "Nilometer", version: VERSION, docs, openapi, first_event }).into_response()
        };
    answer.headers_mut().insert(VARY, HeaderValue::from_static("accept"));
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    answer
}

/// The page, whose links lie below `path`. Neither that nor an origin has letters that need escapes.
fn page(path: &str, first_event: &str) -> String {
    let command = first_event.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;");
    format!(
        r#"<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Nilometer</title>
<style>body{{font:16px/1.5 system-ui,sans-serif;max-width:44rem;margin:3rem auto;padding:0 1rem}}pre{{background:#8882;padding:1rem;overflow:auto}}</style>
</head><body><h1>Nilometer {VERSION}</h1>
<p>Counts events exactly once, and answers at once. <a href="{path}/docs/">The API</a> · <a href="{path}/openapi.json">OpenAPI</a> · <a href="{path}/readyz">readiness</a> · <a href="{path}/metrics">metrics</a></p>
<p>Send the first event:</p><pre>{command}</pre></body></html>
"#
    )
}
