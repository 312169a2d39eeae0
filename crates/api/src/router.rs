//! All routes, and what every request passes on its way to one.

use std::sync::Arc;

use axum::Router;
use axum::middleware;
use domain::limits::{
    REFERENCE_BODY_BYTES_MAX, REFERENCE_CHANGES_AT_ONCE_MAX, REFERENCE_CHANGES_OF_TENANT_MAX,
    REFERENCE_READS_AT_ONCE_MAX, REFERENCE_READS_OF_TENANT_MAX, STATISTICS_AT_ONCE_MAX, STATISTICS_OF_TENANT_MAX,
};
use domain::tenant::Keyring;
use http::{Method, Uri};
use pipeline::{Metrics, Pipeline};
use ports::fair::FairLimiter;
use tokio::sync::Semaphore;
use utoipa::openapi::OpenApi;

use crate::cache::{AnswerCache, CacheTimes};
use crate::observe;
use crate::problem::{Kind, Problem};
use crate::response_budget::ResponseBudget;
use crate::routes;

/// How many bodies of the largest size may be in memory at once; smaller ones weigh less.
const BODIES_IN_FLIGHT: usize = 16;
/// The same for bodies that hold a reference table.
const TABLES_IN_FLIGHT: usize = 4;

/// What the routes work on.
#[derive(Debug)]
pub struct ApiState {
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) keyring: Keyring,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) cache: AnswerCache,
    /// What answers take that their readers have not received.
    pub(crate) answers: ResponseBudget,
    /// The same of requests that change something, which slow readers of others must not hinder.
    pub(crate) write_response_budget: ResponseBudget,
    /// Bytes of request bodies that may still be read into memory.
    pub(crate) body_bytes: Arc<Semaphore>,
    /// The same for bodies that hold a reference table.
    pub(crate) table_bytes: Arc<Semaphore>,
    /// Of the texts of reference tables, from their first byte on.
    pub(crate) table_texts: FairLimiter,
    /// Of the changes of reference tables, from their text on.
    pub(crate) table_changes: FairLimiter,
    /// Of the answers that hold a whole reference table.
    pub(crate) table_reads: FairLimiter,
    /// Of the questions about the users of days.
    pub(crate) statistics: FairLimiter,
}

impl ApiState {
    /// The state of one server, which gives answers again for the times of `cache`.
    pub fn new(pipeline: Arc<Pipeline>, keyring: Keyring, metrics: Arc<Metrics>, cache: CacheTimes) -> Arc<Self> {
        let bytes = pipeline.limits().body_bytes_max.saturating_mul(BODIES_IN_FLIGHT);
        let body_bytes = Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS)));
        let table_bytes = Arc::new(Semaphore::new(REFERENCE_BODY_BYTES_MAX * TABLES_IN_FLIGHT));
        let cache = AnswerCache::new(cache, Arc::clone(&metrics));
        let table_changes = FairLimiter::new(REFERENCE_CHANGES_AT_ONCE_MAX, REFERENCE_CHANGES_OF_TENANT_MAX);
        let table_reads = FairLimiter::new(REFERENCE_READS_AT_ONCE_MAX, REFERENCE_READS_OF_TENANT_MAX);
        let statistics = FairLimiter::new(STATISTICS_AT_ONCE_MAX, STATISTICS_OF_TENANT_MAX);
        Arc::new(Self {
            pipeline,
            keyring,
            metrics,
            cache,
            answers: ResponseBudget::default(),
            write_response_budget: ResponseBudget::default(),
            body_bytes,
            table_bytes,
            table_texts: FairLimiter::new(TABLES_IN_FLIGHT, TABLES_IN_FLIGHT / 2),
            table_changes,
            table_reads,
            statistics,
        })
    }
}

/// Answers every request: each route of the API, and a problem for everything else.
pub fn router(state: Arc<ApiState>) -> Router {
    let (routes, document) = routes::all().split_for_parts();
    routes
        .merge(routes::docs::ui(document))
        .fallback(unknown_route)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(state.clone(), observe::observe))
        .with_state(state)
}

/// The OpenAPI document of the API.
pub fn document() -> OpenApi {
    routes::all().into_openapi()
}

async fn unknown_route(uri: Uri) -> Problem {
    Problem::new(Kind::NotFound, format!("no route has the path {}", uri.path()))
}

async fn wrong_method(method: Method, uri: Uri) -> Problem {
    Problem::new(Kind::MethodNotAllowed, format!("{} does not take {method}", uri.path()))
}
