//! The structured query: one question over raw events, checked part by part before it runs.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use domain::encryption::{FieldEncryption, HIDDEN, PathStanding};
use domain::limits::{PERMIT_WAIT_MAX, QUERY_BODY_BYTES_MAX, QUERY_TIME_MAX};
use domain::query::{Query, Source};
use domain::tenant::TenantScope;
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

/// Refuses a query that has to tell equal values of a path whose values cannot be compared.
fn check_encrypted(api: &ApiState, scope: &TenantScope, query: &Query) -> Result<(), Problem> {
    let Some(encryption) = api.access.field_encryption(scope) else { return Ok(()) };
    for path in query.value_paths() {
        let why = match encryption.paths().standing(path) {
            PathStanding::Plain | PathStanding::Deterministic => continue,
            PathStanding::Bound(_) => {
                "is encrypted, and not deterministic: it can be counted and tested for being there, \
                                       not grouped, filtered or measured"
                    .to_owned()
            }
            PathStanding::Within(outer) => {
                format!("leads into 'properties.{}', which is encrypted as a whole", outer.path)
            }
        };
        return Err(Problem::new(ProblemKind::EncryptedPath, format!("'properties.{path}' {why}")));
    }
    Ok(())
}

/// Takes out of a query what it compares encrypted values with: the audit log holds no plain text of them either.
fn hide_compared(encryption: &FieldEncryption, asked: &mut Value) {
    match asked {
        Value::Array(items) => items.iter_mut().for_each(|item| hide_compared(encryption, item)),
        Value::Object(fields) => {
            let source = fields.get("field").and_then(Value::as_str).map(Source::parse);
            let is_encrypted = match &source {
                Some(Ok(Source::Property(path))) => encryption.paths().standing(path) != PathStanding::Plain,
                _ => false,
            };
            match fields.get_mut("value").filter(|_| is_encrypted) {
                Some(value) => *value = Value::from(HIDDEN),
                None => fields.values_mut().for_each(|value| hide_compared(encryption, value)),
            }
        }
        _ => {}
    }
}

/// Run a structured query
///
/// Filters, groups and aggregates raw events by any field or property, with time buckets. Bounded by time,
/// memory and rows. Values of deterministic encrypted paths are `<encrypted>` without the permission `decrypt`; values
/// of other encrypted paths can be counted, and nothing else.
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
    check_encrypted(&api, &scope, &query)?;
    let query = query.seen_through(api.access.lens(&by.principal));
    let encryption = api.access.field_encryption(&scope);
    let asked = || {
        let mut query: Value = serde_json::from_str(&text).unwrap_or_default();
        if let Some(encryption) = &encryption {
            hide_compared(encryption, &mut query);
        }
        let bound = project.get().map(|project| ("project".to_owned(), Value::from(&**project)));
        [("query".to_owned(), query)].into_iter().chain(bound).collect()
    };
    api.access.note_read(&by, "POST /v1/query", asked).await?;
    let largest = if query.group_by.is_empty() { "from" } else { "group_by" };
    let answer = answer_within(ANSWER_TIMEOUT, api.reads.queries.query(&scope, &query)).await;
    let answer = answer.map_err(|why| why.at_if(ProblemKind::QueryTooLarge, largest))?;
    Ok(Json(QueryAnswerBody::new(answer, style)))
}
