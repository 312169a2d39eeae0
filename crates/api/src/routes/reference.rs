//! Reference tables: what is known of users, for the live view to group by.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use domain::reference::ReferenceTable;
use domain::tenant::TenantScope;
use futures::stream;
use http::header::{CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, StatusCode};
use pipeline::TableChange;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::extract::{NoParameters, Parameters, Scope, TableBody, TableText, generation};
use crate::problem::Problem;
use crate::router::ApiState;
use crate::routes::docs::TableRefusals;
use crate::shape::{TableChangedBody, TableView};

/// A reference table, or a change to it.
#[derive(Debug, Deserialize, ToSchema)]
#[expect(dead_code, reason = "for the document; read by extract::table")]
pub(crate) struct TableIn {
    /// User to attributes; a value is a text, a number, true or false. With PATCH, null takes away.
    #[schema(example = json!({"u-123": {"plan": "pro", "region": "eu"}}))]
    user_metadata: BTreeMap<String, BTreeMap<String, String>>,
    /// The version time; may be absent with PATCH.
    #[schema(format = DateTime)]
    ts: Option<String>,
}

/// Read the reference table of users
#[utoipa::path(
    get, path = "/v1/reference/users", tag = "live", operation_id = "reference_users",
    responses((status = 200, description = "The table", body = TableView), TableRefusals),
)]
pub(crate) async fn read(
    State(api): State<Arc<ApiState>>,
    Scope(scope): Scope,
    _: Parameters<NoParameters>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let table = api.pipeline.reference_tables().table(&scope)?;
    let tag = etag(&table);
    if headers.get(IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes()) {
        return Ok((StatusCode::NOT_MODIFIED, [(ETAG, tag)]).into_response());
    }
    let body = Body::from_stream(stream::iter(TableView::pieces(table)));
    Ok(([(ETAG, tag), (CONTENT_TYPE, "application/json".to_owned())], body).into_response())
}

/// Replace the reference table of users
///
/// All of it at once: readers see the table before or this one. Refused with 409 when `ts` is older than
/// that of the stored table, or the same with other content. `If-Match` with a generation in quotes lets
/// only a change of that generation through.
#[utoipa::path(
    put, path = "/v1/reference/users", tag = "live", operation_id = "replace_reference_users",
    request_body(content = TableIn),
    responses((status = 200, description = "Stored and in use", body = TableChangedBody), TableRefusals),
)]
pub(crate) async fn replace(
    State(api): State<Arc<ApiState>>,
    Scope(scope): Scope,
    _: Parameters<NoParameters>,
    headers: HeaderMap,
    text: TableText,
) -> Result<Response, Problem> {
    let expected = generation(&headers)?;
    let mut body = text.parse().await?;
    let (ts, users) = body.whole()?;
    change(&api, &scope, TableChange::Replace { ts, users }, expected, body).await
}

/// Change users of the reference table
///
/// Merges: attributes that are not named stay, null takes an attribute or a whole user away.
#[utoipa::path(
    patch, path = "/v1/reference/users", tag = "live", operation_id = "patch_reference_users",
    request_body(content = TableIn),
    responses((status = 200, description = "Stored and in use", body = TableChangedBody), TableRefusals),
)]
pub(crate) async fn patch(
    State(api): State<Arc<ApiState>>,
    Scope(scope): Scope,
    _: Parameters<NoParameters>,
    headers: HeaderMap,
    text: TableText,
) -> Result<Response, Problem> {
    let expected = generation(&headers)?;
    let mut body = text.parse().await?;
    let patch = TableChange::Patch { ts: body.ts, users: body.patch() };
    change(&api, &scope, patch, expected, body).await
}

/// Read the reference table of users, under another path
#[utoipa::path(
    get, path = "/reference/users", tag = "live", operation_id = "reference_users_documented",
    responses((status = 200, description = "The table", body = TableView), TableRefusals),
)]
pub(crate) async fn read_documented(
    api: State<Arc<ApiState>>,
    scope: Scope,
    parameters: Parameters<NoParameters>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    read(api, scope, parameters, headers).await
}

/// Replace the reference table of users, under another path
#[utoipa::path(
    put, path = "/reference/users", tag = "live", operation_id = "replace_reference_users_documented",
    request_body(content = TableIn),
    responses((status = 200, description = "Stored and in use", body = TableChangedBody), TableRefusals),
)]
pub(crate) async fn replace_documented(
    api: State<Arc<ApiState>>,
    scope: Scope,
    parameters: Parameters<NoParameters>,
    headers: HeaderMap,
    text: TableText,
) -> Result<Response, Problem> {
    replace(api, scope, parameters, headers, text).await
}

/// Change users of the reference table, under another path
#[utoipa::path(
    patch, path = "/reference/users", tag = "live", operation_id = "patch_reference_users_documented",
    request_body(content = TableIn),
    responses((status = 200, description = "Stored and in use", body = TableChangedBody), TableRefusals),
)]
pub(crate) async fn patch_documented(
    api: State<Arc<ApiState>>,
    scope: Scope,
    parameters: Parameters<NoParameters>,
    headers: HeaderMap,
    text: TableText,
) -> Result<Response, Problem> {
    patch(api, scope, parameters, headers, text).await
}

async fn change(
    api: &ApiState,
    scope: &TenantScope,
    change: TableChange,
    expected: Option<u64>,
    body: TableBody,
) -> Result<Response, Problem> {
    let table = api.pipeline.reference_tables().change(scope, change, expected, body.share).await?;
    Ok(([(ETAG, etag(&table))], Json(TableChangedBody::new(&table))).into_response())
}

fn etag(table: &ReferenceTable) -> String {
    format!("\"{}\"", table.generation)
}
