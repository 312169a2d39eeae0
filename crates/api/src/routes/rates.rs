//! How the operator limits workspaces and keys.

use std::sync::Arc;

use access::AccessError;
use access::control::KeyChange;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use domain::limits::RATE_BODY_BYTES_MAX;
use domain::rate::{InvalidRate, Rate};
use domain::tenant::TenantId;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use utoipa::ToSchema;

use crate::extract::{Document, IdIn, IfMatch, NoParameters, Operator, Parameters, etag};
use crate::problem::{Problem, ProblemKind};
use crate::routes::docs::ChangeRefusals;
use crate::shape::KeyBody;
use crate::state::ApiState;

/// A limit as it is sent: `Some` when it is given, also when it is null.
pub(super) type Given = Option<Value>;

/// Reads a field that is given, also when it is null.
pub(super) fn given<'de, D: Deserializer<'de>>(from: D) -> Result<Given, D::Error> {
    Value::deserialize(from).map(Some)
}

/// The limit that `field` asks for: none, or 0 to a thousand million.
///
/// # Errors
/// 422, which names the field.
pub(super) fn rate(field: &str, value: &Value) -> Result<Option<Rate>, Problem> {
    if value.is_null() {
        return Ok(None);
    }
    let read = value.as_u64().ok_or(InvalidRate).and_then(Rate::new);
    read.map(Some).map_err(|why| Problem::body(ProblemKind::OutOfRange, field, format!("'{field}' {why}, or null")))
}

/// A change of the limit of a key.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = KeyLimitChange)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyRateIn {
    /// How many requests a second are taken with it, 0: none; null: as many as the server is set to.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<u32>, maximum = 1_000_000_000)]
    requests_per_sec: Given,
}

/// Limit a key
///
/// For the operator. A key that is rotated hands its limit on; a new one has the server's.
#[utoipa::path(
    patch, path = "/v1/workspaces/{workspace}/keys/{id}", tag = "server", operation_id = "limit_key",
    params(
        ("workspace" = String, Path, description = "The workspace's id"),
        ("id" = String, Path, description = "The key's id"),
        IfMatch,
    ),
    request_body = KeyRateIn,
    responses((status = 200, description = "The key as it is now", body = KeyBody, headers(("ETag" = String, description = "Its version"))), ChangeRefusals),
)]
pub(crate) async fn change_key(
    State(api): State<Arc<ApiState>>,
    Operator(by): Operator,
    IdIn { workspace, id }: IdIn,
    _: Parameters<NoParameters>,
    IfMatch(version): IfMatch,
    Document(fields): Document<KeyRateIn, RATE_BODY_BYTES_MAX>,
) -> Result<Response, Problem> {
    let workspace = TenantId::parse(&workspace).map_err(|_| Problem::from(AccessError::NotFound("workspace")))?;
    let requests = fields.requests_per_sec.as_ref();
    let change =
        KeyChange { rate: requests.map(|value| rate("requests_per_sec", value)).transpose()?, ..KeyChange::default() };
    let changed = api.access.change_key(&by, Some(&workspace), &id, change, version).await?;
    Ok((etag(changed.versioned.version), Json(KeyBody::new(&changed, api.access.now()))).into_response())
}
