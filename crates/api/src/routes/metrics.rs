//! Figures for Prometheus.

use std::sync::Arc;

use axum::extract::State;
use axum::response::IntoResponse;
use http::Uri;
use http::header::CONTENT_TYPE;

use crate::problem::Problem;
use crate::router::ApiState;

/// The text format that the metrics are written in.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Read the metrics
///
/// In the text format of Prometheus (OpenMetrics 1.0).
#[utoipa::path(
    get, path = "/metrics", tag = "operations", operation_id = "metrics", security(()),
    responses((status = 200, description = "All metrics", body = String, content_type = OPEN_METRICS)),
)]
pub(crate) async fn metrics(State(api): State<Arc<ApiState>>, uri: Uri) -> Result<impl IntoResponse, Problem> {
    let asks_for_live = uri.query().is_some_and(|query| query.split('&').any(|pair| pair.starts_with("window=")));
    if asks_for_live {
        return Err(Problem::parameter("window", "live metrics are not available in this version"));
    }
    Ok(([(CONTENT_TYPE, OPEN_METRICS)], api.metrics.encode()))
}
