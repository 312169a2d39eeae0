//! Metrics for Prometheus; with `window`, the live view under its unversioned path.

use std::sync::Arc;

use axum::extract::{FromRequestParts, State};
use axum::response::{IntoResponse, Response};
use domain::access::rights::Permission;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use pipeline::telemetry::METRICS_CONTENT_TYPE;

use crate::extract::{Operator, Parameters, ReadScope, presents};
use crate::problem::Problem;
use crate::routes::docs::ListRefusals;
use crate::routes::live::{self, LiveParameters};
use crate::shape::LiveBody;
use crate::state::{ApiState, MetricsReaders};

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
        check_reader(&mut parts, &api).await?;
        api.metrics.register_state(api.access.unknown_for(), api.access.poisoned().is_some());
        return Ok(([(CONTENT_TYPE, METRICS_CONTENT_TYPE)], api.metrics.encode().await).into_response());
    }
    let ReadScope(scope) = ReadScope::with(&parts, &api, Permission::ReadAggregates).await?;
    Ok(live::window(&api, &scope, &parameters).await?.into_response())
}

/// Refuses the server's own metrics to whom they are not for: they say how much all workspaces do together.
async fn check_reader(parts: &mut Parts, api: &Arc<ApiState>) -> Result<(), Problem> {
    match &api.metrics_readers {
        MetricsReaders::Everyone => Ok(()),
        MetricsReaders::Token(Some(hash)) if presents(&parts.headers, hash) => Ok(()),
        MetricsReaders::Token(_) => Operator::from_request_parts(parts, api).await.map(drop),
    }
}
