//! The structured query: one question over raw events, checked part by part before it runs.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use domain::limits::{PERMIT_WAIT_MAX, QUERY_BODY_BYTES_MAX, QUERY_TIME_MAX};
use ports::queries::Queries;
use serde::Deserialize;
use serde_json::Value;
use utoipa::IntoParams;

use crate::ask::{answer_within, ready};
use crate::extract::{Parameters, ProjectScope, Quoted, one_of};
use crate::problem::{Problem, ProblemKind};
use crate::routes::docs::QueryRefusals;
use crate::shape::{NUMBERS, QueryAnswerBody, QueryBody};
use crate::state::ApiState;

/// Longest wait for an answer: as long as a query may wait for its permit and then run, so that it says
/// itself which of the two was too long.
const ANSWER_TIMEOUT: Duration = PERMIT_WAIT_MAX.saturating_add(QUERY_TIME_MAX).saturating_add(Duration::from_secs(1));

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct QueryParameters {
    /// `number`, or `text` for numbers of rows as texts, which no reader rounds; `number` if absent.
    #[param(pattern = "^(number|text)$", example = "text")]
    numbers: Option<String>,
}

/// Run a structured query
///
/// Filters, groups and aggregates raw events by any field or property, with time buckets. Bounded by time,
/// memory and rows.
#[utoipa::path(
    post, path = "/v1/query", tag = "statistics", operation_id = "query", params(QueryParameters),
    request_body = QueryBody,
    responses((status = 200, description = "The rows", body = QueryAnswerBody), QueryRefusals),
)]
pub(crate) async fn run(
    State(api): State<Arc<ApiState>>,
    ProjectScope { scope, project, by }: ProjectScope,
    Parameters(parameters): Parameters<QueryParameters>,
    Quoted { fields, text }: Quoted<QueryBody, QUERY_BODY_BYTES_MAX>,
) -> Result<Json<QueryAnswerBody>, Problem> {
    ready(&api)?;
    let style = one_of("numbers", parameters.numbers.as_deref(), &NUMBERS)?.unwrap_or_default();
    let query = fields.check(api.settings.calendar(&scope))?;
    let query = match project.get() {
        Some(project) => query.within_project(project),
        None => query,
    };
    let asked = || {
        let query = ("query".to_owned(), serde_json::from_str(&text).unwrap_or_default());
        let bound = project.get().map(|project| ("project".to_owned(), Value::from(&**project)));
        [query].into_iter().chain(bound).collect()
    };
    api.access.note_read(&by, "POST /v1/query", asked).await?;
    let largest = if query.group_by.is_empty() { "from" } else { "group_by" };
    let answer = answer_within(ANSWER_TIMEOUT, api.reads.queries.query(&scope, &query)).await;
    let answer = answer.map_err(|why| why.at_if(ProblemKind::QueryTooLarge, largest))?;
    Ok(Json(QueryAnswerBody::new(answer, style)))
}
