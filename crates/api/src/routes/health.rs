//! Probes. They need no key and touch no tenant's data.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use pipeline::ReadinessCheck;
use serde::Serialize;
use utoipa::ToSchema;

use crate::routes::docs::OpenRefusals;
use crate::state::ApiState;

/// The process answers.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AliveBody {
    /// Always true.
    ok: bool,
}

/// Whether requests can be served.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReadyBody {
    /// Whether every check passed; `live` says only whether live windows are answered yet, `catalog` whether keys,
    /// members and settings can be changed, and `database` that events are taken and not answered.
    ready: bool,
    /// Each dependency: `journal`, `ledger`, `live`, `clock`, `catalog`, `register`; `database` while it is away, and
    /// `retention` while it waits to drop events.
    checks: Vec<CheckBody>,
}

/// One dependency.
#[derive(Debug, Serialize, ToSchema)]
struct CheckBody {
    /// The name of the dependency.
    name: &'static str,
    /// Whether the dependency can serve.
    ok: bool,
    /// Why it cannot serve, or `ready`; for `retention` what will be dropped and when.
    message: String,
}

/// Answer when the process runs
#[utoipa::path(
    get, path = "/healthz", tag = "operations", operation_id = "healthz", security(()),
    responses((status = 200, description = "The process runs", body = AliveBody), OpenRefusals),
)]
pub(crate) async fn healthz() -> Json<AliveBody> {
    Json(AliveBody { ok: true })
}

/// Answer when the process runs, under another path
#[utoipa::path(
    get, path = "/livez", tag = "operations", operation_id = "livez", security(()),
    responses((status = 200, description = "The process runs", body = AliveBody), OpenRefusals),
)]
pub(crate) async fn livez() -> Json<AliveBody> {
    healthz().await
}

/// Say whether requests can be served, per dependency
#[utoipa::path(
    get, path = "/readyz", tag = "operations", operation_id = "readyz", security(()),
    responses(
        (status = 200, description = "Requests can be served", body = ReadyBody),
        (status = 503, description = "Requests cannot be served; `checks` says why", body = ReadyBody),
        OpenRefusals,
    ),
)]
pub(crate) async fn readyz(State(api): State<Arc<ApiState>>) -> (StatusCode, Json<ReadyBody>) {
    let mut checks = api.pipeline.readiness().await;
    let poisoned = api.access.poisoned();
    let poisoned = poisoned.map(|why| format!("keys, people and settings cannot be changed, restart needed: {why}"));
    // Events are taken and answered all the same.
    checks.push(ReadinessCheck { required: false, ..ReadinessCheck::of("catalog", poisoned) });
    checks.push(ReadinessCheck::of("register", api.access.staleness()));
    let ready = checks.iter().all(|check| check.ok || !check.required);
    let checks = checks.into_iter();
    let checks = checks.map(|check| CheckBody { name: check.name, ok: check.ok, message: check.message }).collect();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(ReadyBody { ready, checks }))
}
