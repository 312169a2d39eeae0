//! All routes, and what every request passes on its way to one.

use std::sync::Arc;

use axum::Router;
use axum::middleware;
use http::{Method, Uri};
use utoipa::openapi::OpenApi;
use utoipa::openapi::security::SecurityRequirement;

use crate::observe;
use crate::problem::{Problem, ProblemKind};
use crate::routes;
use crate::state::ApiState;

/// Answers every request: each route of the API, and a problem for everything else.
pub fn router(state: Arc<ApiState>) -> Router {
    let (routes, mut document) = routes::all().split_for_parts();
    if state.keyring.authenticate(None).is_err() {
        // Without an anonymous tenant no route of one works without a key.
        let keyless = SecurityRequirement::default();
        document.security.iter_mut().for_each(|accepted| accepted.retain(|one| *one != keyless));
    }
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
    Problem::new(ProblemKind::NotFound, format!("no route has the path {}", uri.path()))
}

async fn wrong_method(method: Method, uri: Uri) -> Problem {
    Problem::new(ProblemKind::MethodNotAllowed, format!("{} does not take {method}", uri.path()))
}
