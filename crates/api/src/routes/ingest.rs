//! Events in: one function for all three paths, two shapes of answer. Answers `202` only after the
//! pipeline says that the journal holds the events (I8).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use pipeline::{IngestAnswer, IngestRequest};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::extract::{IngestBody, IngestScope, Parameters, RequestKey, Sending, one_of};
use crate::problem::{AllRejected, Problem};
use crate::routes::docs::IngestRefusals;
use crate::shape::{JobBody, TakenBody, VerdictFormat, Verdicts, quota_bodies};
use crate::state::ApiState;

/// About how much memory one verdict takes in an answer.
const VERDICT_BYTES: usize = 128;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct IngestParameters {
    /// `applied`: answer only when the events are visible in queries, within a time limit.
    #[param(pattern = "^applied$")]
    wait: Option<String>,
    /// `true`: refuse the events that would be taken with a strict warning.
    #[param(pattern = "^(true|false)$")]
    strict: Option<String>,
    /// `true`: answer what is left of the quotas of the workspace and of the customers in the request.
    #[param(pattern = "^(true|false)$")]
    quota: Option<String>,
}

impl IngestParameters {
    fn wait(&self) -> Result<bool, Problem> {
        Ok(one_of("wait", self.wait.as_deref(), &[("applied", true)])?.unwrap_or(false))
    }

    fn strict(&self) -> Result<bool, Problem> {
        Ok(one_of("strict", self.strict.as_deref(), &[("true", true), ("false", false)])?.unwrap_or(false))
    }

    fn asked(&self) -> Result<Asked, Problem> {
        let quota = one_of("quota", self.quota.as_deref(), &[("true", true), ("false", false)])?;
        Ok(Asked { wait: self.wait()?, strict: self.strict()?, quota: quota.unwrap_or(false) })
    }
}

/// What the query of a write asks for.
#[derive(Debug, Clone, Copy)]
struct Asked {
    wait: bool,
    strict: bool,
    quota: bool,
}

/// Take events
///
/// One event, an array, `{"events":[…]}`, newline-delimited JSON, or CloudEvents 1.0 (structured or
/// batch); plain, gzip or zstd. Every event gets its own verdict. Safe to repeat: an event id counts once, and
/// so does a request with an `Idempotency-Key`.
#[utoipa::path(
    post, path = "/v1/events", tag = "ingest", operation_id = "take_events", params(IngestParameters, RequestKey),
    responses((status = 202, description = "Accepted events are durable", body = TakenBody), IngestRefusals),
)]
pub(crate) async fn events(
    State(api): State<Arc<ApiState>>,
    scope: IngestScope,
    Parameters(parameters): Parameters<IngestParameters>,
    key: RequestKey,
    body: IngestBody,
) -> Result<(StatusCode, Json<TakenBody>), Problem> {
    let asked = parameters.asked()?;
    let answer = take(&api, scope, asked, key, body, VerdictFormat::Native).await?;
    Ok((StatusCode::ACCEPTED, Json(TakenBody::new(answer, asked.wait))))
}

/// Take events, under another path
///
/// Does what `POST /v1/events` does.
#[utoipa::path(
    post, path = "/v1/ingest", tag = "ingest", operation_id = "ingest", params(IngestParameters, RequestKey),
    responses((status = 202, description = "Accepted events are durable", body = TakenBody), IngestRefusals),
)]
pub(crate) async fn ingest(
    api: State<Arc<ApiState>>,
    scope: IngestScope,
    parameters: Parameters<IngestParameters>,
    key: RequestKey,
    body: IngestBody,
) -> Result<(StatusCode, Json<TakenBody>), Problem> {
    events(api, scope, parameters, key, body).await
}

/// Take events, answered as a job
///
/// Does what `POST /v1/events` does, with another answer: `success` for an accepted event and `error` for
/// any other.
#[utoipa::path(
    post, path = "/events", tag = "ingest", operation_id = "queue_events", params(IngestParameters, RequestKey),
    responses((status = 202, description = "Accepted events are durable", body = JobBody), IngestRefusals),
)]
pub(crate) async fn events_as_job(
    State(api): State<Arc<ApiState>>,
    scope: IngestScope,
    Parameters(parameters): Parameters<IngestParameters>,
    key: RequestKey,
    body: IngestBody,
) -> Result<(StatusCode, Json<JobBody>), Problem> {
    let asked = parameters.asked()?;
    let answer = take(&api, scope, asked, key, body, VerdictFormat::Unversioned).await?;
    Ok((StatusCode::ACCEPTED, Json(JobBody::new(answer, asked.wait))))
}

/// Hands a write to the pipeline. `format` is for the refusal of a batch whose events are all rejected.
async fn take(
    api: &ApiState,
    sender: IngestScope,
    Asked { wait, strict, quota }: Asked,
    RequestKey(key): RequestKey,
    body: IngestBody,
    format: VerdictFormat,
) -> Result<IngestAnswer, Problem> {
    let IngestBody { request, reservation } = body;
    let Sending { scope, project, events_rate } = sender.with_body(api, &request.body)?;
    let project = project.get().cloned();
    let request = IngestRequest { wait, strict, quota, key, project, events_rate, ..request };
    let mut answer = api.pipeline.ingest()?.ingest(&scope, request).await?;
    drop(reservation);
    fail::fail_point!("http::before_respond");

    if !api.write_response_budget.has_room(scope.tenant(), answer.results.len() * VERDICT_BYTES) {
        // The counts are sent all the same; a batch that is sent again is answered event by event.
        answer.results.clear();
    }
    // Duplicates were taken once.
    if answer.rejected > 0 && answer.accepted == 0 && answer.duplicates == 0 {
        let (verdicts, quotas) = (Verdicts::new(answer.results, format), answer.quotas.map(quota_bodies));
        return Err(Problem::all_rejected(AllRejected { events: answer.rejected, verdicts, quotas }));
    }
    Ok(answer)
}
