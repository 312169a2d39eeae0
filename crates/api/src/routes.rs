//! The routes, one file per subject. Each handler reads the request, asks a read port or a role of the
//! pipeline, and shapes the answer.

#![expect(unused_qualifications, reason = "the expansion of utoipa::path repeats paths")]

mod accounts;
mod analytics;
mod customers;
pub(crate) mod docs;
mod events;
mod health;
mod home;
mod ingest;
mod live;
mod metrics;
mod query;
mod receipts;
mod settings;
mod stats;
mod reference;
mod stream;
mod windows;

use std::sync::Arc;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::state::ApiState;

/// All documented routes.
pub(crate) fn all() -> OpenApiRouter<Arc<ApiState>> {
    OpenApiRouter::with_openapi(docs::base())
        .routes(docs::with_events(routes!(events::list, ingest::events)))
        .routes(docs::with_events(routes!(ingest::ingest)))
        .routes(docs::with_events(routes!(ingest::events_as_job)))
        .routes(routes!(receipts::one))
        .routes(routes!(events::one))
        .routes(routes!(windows::list))
        .routes(routes!(customers::list))
        .routes(routes!(customers::one))
        .routes(routes!(customers::usage))
        .routes(routes!(query::run))
        .routes(routes!(settings::read, settings::change))
        .merge(unversioned("_unversioned"))
        .nest("/v1", unversioned(""))
        .routes(routes!(home::home))
        .routes(routes!(health::healthz))
        .routes(routes!(health::livez))
        .routes(routes!(health::readyz))
        .routes(routes!(metrics::metrics))
        .routes(routes!(live::live))
        .routes(routes!(stream::sse))
        .routes(routes!(stream::ws))
}

/// Routes also served without `/v1`. In the API's document, where an operation has one path, their names
/// end in `suffix`.
fn unversioned(suffix: &str) -> OpenApiRouter<Arc<ApiState>> {
    let mut routes = OpenApiRouter::new()
        .routes(routes!(stats::dau))
        .routes(routes!(stats::wau))
        .routes(routes!(stats::mau))
        .routes(routes!(stats::top_events))
        .routes(routes!(stats::retention))
        .routes(routes!(accounts::sample))
        .routes(routes!(accounts::summary))
        .routes(routes!(analytics::analytics))
        .routes(routes!(reference::read, reference::replace, reference::patch));
    let paths = routes.get_openapi_mut().paths.paths.values_mut();
    let operations = paths.flat_map(|path| [&mut path.get, &mut path.put, &mut path.patch]).flatten();
    for name in operations.filter_map(|operation| operation.operation_id.as_mut()) {
        name.push_str(suffix);
    }
    routes
}
