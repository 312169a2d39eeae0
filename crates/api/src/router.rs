//! All routes, and what every request passes on its way to one.

use std::sync::Arc;

use axum::Router;
use axum::middleware;
use domain::limits::{REFERENCE_BODY_BYTES_MAX, REFERENCE_TEXTS_AT_ONCE_MAX};
use domain::tenant::Keyring;
use http::{Method, Uri};
use pipeline::{Metrics, Pipeline, Questions, Settings};
use tokio::sync::Semaphore;
use utoipa::openapi::OpenApi;

use crate::cache::{AnswerCache, CacheTimes};
use crate::observe;
use crate::problem::{Kind, Problem};
use crate::response_budget::ResponseBudget;
use crate::routes;

/// How many bodies of the largest size may be in memory at once; smaller ones weigh less.
const BODIES_IN_FLIGHT: usize = 16;

/// What the routes work on.
#[derive(Debug)]
pub struct ApiState {
    pub(crate) pipeline: Arc<Pipeline>,
    /// What is asked of stored data, behind the gate.
    pub(crate) questions: Questions,
    pub(crate) settings: Arc<Settings>,
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
}

impl ApiState {
    /// The state of one server, which gives answers again for the times of `cache`.
    pub fn new(
        pipeline: Arc<Pipeline>,
        questions: Questions,
        settings: Arc<Settings>,
        keyring: Keyring,
        metrics: Arc<Metrics>,
        cache: CacheTimes,
    ) -> Arc<Self> {
        let bytes = pipeline.limits().body_bytes_max.saturating_mul(BODIES_IN_FLIGHT);
        let body_bytes = Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS)));
        let table_bytes = Arc::new(Semaphore::new(REFERENCE_BODY_BYTES_MAX * REFERENCE_TEXTS_AT_ONCE_MAX));
        let cache = AnswerCache::new(cache, Arc::clone(&metrics));
        Arc::new(Self {
            pipeline,
            questions,
            settings,
            keyring,
            metrics,
            cache,
            answers: ResponseBudget::default(),
            write_response_budget: ResponseBudget::default(),
            body_bytes,
            table_bytes,
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
