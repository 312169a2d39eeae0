//! The routes, one file per subject. Each handler reads the request, asks the pipeline once and
//! shapes the answer.

#![expect(unused_qualifications, reason = "the expansion of utoipa::path repeats paths")]

mod customers;
pub(crate) mod docs;
mod events;
mod health;
mod ingest;
mod metrics;
mod receipts;
mod windows;

use std::sync::Arc;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::router::ApiState;

/// All documented routes.
pub(crate) fn all() -> OpenApiRouter<Arc<ApiState>> {
    OpenApiRouter::with_openapi(docs::base())
        .routes(routes!(events::list, ingest::events))
        .routes(routes!(ingest::ingest))
        .routes(routes!(ingest::documented))
        .routes(routes!(receipts::one))
        .routes(routes!(events::one))
        .routes(routes!(windows::list))
        .routes(routes!(customers::list))
        .routes(routes!(customers::one))
        .routes(routes!(customers::usage))
        .routes(routes!(health::healthz))
        .routes(routes!(health::livez))
        .routes(routes!(health::readyz))
        .routes(routes!(metrics::metrics))
}
