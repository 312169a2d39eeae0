//! Metrics for Prometheus; with `window`, the live view under its unversioned path.

use std::sync::Arc;

use axum::extract::{FromRequestParts, State};
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use http::request::Parts;
use pipeline::telemetry::METRICS_CONTENT_TYPE;

use crate::extract::{Parameters, ReadScope};
use crate::problem::Problem;
use crate::routes::docs::ListRefusals;
use crate::routes::live::{self, LiveParameters};
use crate::shape::LiveBody;
use crate::state::ApiState;

/// Read the metrics
///
/// In the text format of Prometheus (OpenMetrics 1.0). With `window`, the live view instead, which needs a
/// key: the same as `GET /v1/live`.
#[utoipa::path(
    get, path = "/metrics", tag = "operations", operation_id = "metrics", params(LiveParameters), security(()),
    responses(
        (status = 200, description = "All metrics, or the live view", content(
            (String = METRICS_CONTENT_TYPE),
            (LiveBody = "application/json"),
        )),
        ListRefusals,
    ),
)]
pub(crate) async fn metrics(
    State(api): State<Arc<ApiState>>,
    Parameters(parameters): Parameters<LiveParameters>,
    mut parts: Parts,
) -> Result<Response, Problem> {
    if parameters.is_empty() {
        return Ok(([(CONTENT_TYPE, METRICS_CONTENT_TYPE)], api.metrics.encode().await).into_response());
    }
    let ReadScope(scope) = ReadScope::from_request_parts(&mut parts, &api).await?;
    Ok(live::window(&api, &scope, &parameters).await?.into_response())
}
