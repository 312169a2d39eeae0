//! Events in: one function for all three paths, two shapes of answer. Answers `202` only after the
//! pipeline says that the journal holds the events (I8).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use pipeline::{EventResult, IngestRequest};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::extract::{IngestBody, Parameters, WriteScope, one_of};
use crate::problem::Problem;
use crate::routes::docs::{EventsIn, WriteRefusals};
use crate::shape::{Verdict, Verdicts};
use crate::state::ApiState;

/// What one verdict takes in an answer, about.
const VERDICT_BYTES: usize = 128;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct IngestParameters {
    /// `applied`: answer only when the events are visible in queries, within a time limit.
    wait: Option<String>,
}

/// What became of a write.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TakenBody {
    #[serde(flatten)]
    verdicts: Verdicts,
    /// Asks later what became of the batch; null when nothing had to be kept.
    receipt: Option<String>,
    /// With `wait=applied`: whether every event is visible in queries.
    #[serde(skip_serializing_if = "Option::is_none")]
    applied: Option<bool>,
}

/// What became of a write, in the words of `/events`.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct JobBody {
    /// 202.
    status_code: u16,
    /// The receipt.
    job_id: Option<String>,
    /// Events that are durable and, as far as known, new.
    queued: u64,
    #[serde(flatten)]
    verdicts: Verdicts,
    /// With `wait=applied`: whether every event is visible in queries.
    #[serde(skip_serializing_if = "Option::is_none")]
    applied: Option<bool>,
}

/// Take events
///
/// One event, an array, `{"events":[…]}`, newline-delimited JSON, or CloudEvents 1.0 (structured or
/// batch); plain, gzip or zstd. Every event gets its own verdict. Safe to repeat: an event id counts once.
#[utoipa::path(
    post, path = "/v1/events", tag = "ingest", operation_id = "take_events", params(IngestParameters),
    request_body(content(
        (EventsIn = "application/json"),
        (String = "application/x-ndjson"),
        (EventsIn = "application/cloudevents+json"),
        (EventsIn = "application/cloudevents-batch+json"),
    )),
    responses((status = 202, description = "Accepted events are durable", body = TakenBody), WriteRefusals),
)]
pub(crate) async fn events(
    State(api): State<Arc<ApiState>>,
    scope: WriteScope,
    parameters: Parameters<IngestParameters>,
    body: IngestBody,
) -> Result<(StatusCode, Json<TakenBody>), Problem> {
    let Taken { receipt, applied, verdicts, .. } = take(&api, &scope, &parameters, body, Verdict::native).await?;
    Ok((StatusCode::ACCEPTED, Json(TakenBody { verdicts, receipt, applied })))
}

/// Take events, under another path
///
/// The same as `POST /v1/events`.
#[utoipa::path(
    post, path = "/v1/ingest", tag = "ingest", operation_id = "ingest", params(IngestParameters),
    request_body(content(
        (EventsIn = "application/json"),
        (String = "application/x-ndjson"),
        (EventsIn = "application/cloudevents+json"),
        (EventsIn = "application/cloudevents-batch+json"),
    )),
    responses((status = 202, description = "Accepted events are durable", body = TakenBody), WriteRefusals),
)]
pub(crate) async fn ingest(
    api: State<Arc<ApiState>>,
    scope: WriteScope,
    parameters: Parameters<IngestParameters>,
    body: IngestBody,
) -> Result<(StatusCode, Json<TakenBody>), Problem> {
    events(api, scope, parameters, body).await
}

/// Take events, answered as a job
///
/// The same as `POST /v1/events` with another answer: `success` for an accepted event and `error` for
/// any other.
#[utoipa::path(
    post, path = "/events", tag = "ingest", operation_id = "queue_events", params(IngestParameters),
    request_body(content(
        (EventsIn = "application/json"),
        (String = "application/x-ndjson"),
        (EventsIn = "application/cloudevents+json"),
        (EventsIn = "application/cloudevents-batch+json"),
    )),
    responses((status = 202, description = "Accepted events are durable", body = JobBody), WriteRefusals),
)]
pub(crate) async fn unversioned(
    State(api): State<Arc<ApiState>>,
    scope: WriteScope,
    parameters: Parameters<IngestParameters>,
    body: IngestBody,
) -> Result<(StatusCode, Json<JobBody>), Problem> {
    let taken = take(&api, &scope, &parameters, body, Verdict::unversioned).await?;
    let Taken { receipt, applied, verdicts } = taken;
    let status = StatusCode::ACCEPTED;
    let queued = verdicts.accepted;
    Ok((status, Json(JobBody { status_code: status.as_u16(), job_id: receipt, queued, verdicts, applied })))
}

struct Taken {
    verdicts: Verdicts,
    receipt: Option<String>,
    applied: Option<bool>,
}

async fn take(
    api: &ApiState,
    WriteScope(scope): &WriteScope,
    Parameters(parameters): &Parameters<IngestParameters>,
    body: IngestBody,
    word: fn(EventResult) -> Verdict,
) -> Result<Taken, Problem> {
    let wait = one_of("wait", parameters.wait.as_deref(), &[("applied", true)])?.unwrap_or(false);
    let IngestBody { request, share } = body;
    let mut answer = api.pipeline.ingest().ingest(scope, IngestRequest { wait, ..request }).await?;
    drop(share);
    fail::fail_point!("http::before_respond");

    let receipt = answer.receipt.take();
    let applied = wait.then_some(answer.applied);
    let mut verdicts = Verdicts::new(answer, word);
    if !api.write_response_budget.has_room(scope.tenant(), verdicts.results.len() * VERDICT_BYTES) {
        // What was taken is told all the same; a batch that is sent again is told event by event.
        verdicts.results.clear();
    }
    if verdicts.all_rejected() {
        Err(Problem::all_rejected(verdicts))
    } else {
        Ok(Taken { verdicts, receipt, applied })
    }
}
