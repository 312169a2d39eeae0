//! What became of a batch.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use pipeline::ReceiptState;
use serde::Serialize;
use utoipa::ToSchema;

use crate::extract::{Id, NoParameters, Parameters, ProjectScope};
use crate::problem::{Problem, ProblemKind};
use crate::routes::docs::OneRefusals;
use crate::state::ApiState;

/// What became of a batch.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReceiptBody {
    /// The receipt.
    receipt: String,
    /// `queued`, `applied` or `dead_lettered`.
    status: &'static str,
    /// When applied and not long ago: the events that were counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    accepted: Option<u64>,
    /// When applied and not long ago: the events whose id had been counted before.
    #[serde(skip_serializing_if = "Option::is_none")]
    duplicates: Option<u64>,
    /// When applied and not long ago, if any: those that an erasure keeps from being counted (code `erased`).
    #[serde(skip_serializing_if = "Option::is_none")]
    erased: Option<u64>,
    /// When dead-lettered: why it could not be applied.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// What became of a batch
///
/// The receipt is in the answer to the write. `queued` batches are durable and not yet visible in queries.
#[utoipa::path(
    get, path = "/v1/receipts/{id}", tag = "ingest", operation_id = "receipt",
    params(("id" = String, Path, description = "The receipt")),
    responses((status = 200, description = "The state of the batch", body = ReceiptBody), OneRefusals),
)]
pub(crate) async fn one(
    State(api): State<Arc<ApiState>>,
    ProjectScope { scope, .. }: ProjectScope,
    Id(receipt): Id,
    _: Parameters<NoParameters>,
) -> Result<Json<ReceiptBody>, Problem> {
    let state = api.pipeline.ingest()?.receipt(&scope, &receipt).await?;
    let state = state.ok_or_else(|| Problem::new(ProblemKind::NotFound, "no such receipt").at("id"))?;
    let (status, counts, reason) = match state {
        ReceiptState::Queued => ("queued", (None, None, None), None),
        ReceiptState::Applied { accepted, duplicates, erased } => ("applied", (accepted, duplicates, erased), None),
        ReceiptState::DeadLettered { reason } => ("dead_lettered", (None, None, None), Some(reason)),
    };
    let (accepted, duplicates, erased) = counts;
    Ok(Json(ReceiptBody { receipt, status, accepted, duplicates, erased: erased.filter(|events| *events > 0), reason }))
}
