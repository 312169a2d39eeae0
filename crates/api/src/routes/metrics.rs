//! Figures for Prometheus.

use std::sync::Arc;

use axum::extract::State;
use axum::response::IntoResponse;
use http::Uri;
use http::header::CONTENT_TYPE;
use pipeline::telemetry::METRICS_CONTENT_TYPE;

use crate::problem::Problem;
use crate::router::ApiState;

/// Read the metrics
///
/// In the text format of Prometheus (OpenMetrics 1.0).
#[utoipa::path(
    get, path = "/metrics", tag = "operations", operation_id = "metrics", security(()),
    responses((status = 200, description = "All metrics", body = String, content_type = METRICS_CONTENT_TYPE)),
)]
pub(crate) async fn metrics(State(api): State<Arc<ApiState>>, uri: Uri) -> Result<impl IntoResponse, Problem> {
    let asks_for_live = uri.query().is_some_and(|query| query.split('&').any(|pair| pair.starts_with("window=")));
    if asks_for_live {
        return Err(Problem::parameter("window", "live metrics are not available in this version"));
    }
    Ok(([(CONTENT_TYPE, METRICS_CONTENT_TYPE)], api.metrics.encode()))
}
