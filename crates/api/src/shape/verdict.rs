//! What became of the events of a write: the pipeline's answer, written in the format of `/v1` and in that of
//! `/events`.

use pipeline::{EventResult, IngestAnswer, QuotaState, Status, WarningSum};
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use super::quota::QuotaStateBody;

/// How a route writes its verdicts.
#[derive(Debug, Clone, Copy)]
pub(crate) enum VerdictFormat {
    /// `accepted`, `duplicate` and `rejected`, as under `/v1`.
    Native,
    /// `success` and `error`, as in `/events`, where a duplicate is an error that says so.
    Unversioned,
}

/// The verdict on one event.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Verdict<'a> {
    /// The client's id or the assigned one; null when it could not be read.
    event_id: Option<&'a str>,
    /// `accepted`, `duplicate` or `rejected`; on `/events` `success` or `error`.
    status: &'static str,
    /// The reason for programs; absent when accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    /// The field that is refused; absent when it is not about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
    /// The reason for people; absent when accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    /// The codes of what looks like a mistake in the event; absent when nothing does.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<&'static str>,
}

impl<'a> Verdict<'a> {
    fn new(result: &'a EventResult, format: VerdictFormat) -> Self {
        let EventResult { event_id, status, code, field, message, warnings } = result;
        let verdict = Self {
            event_id: event_id.as_deref(),
            status: match status {
                Status::Accepted => "accepted",
                Status::Duplicate => "duplicate",
                Status::Rejected => "rejected",
            },
            code: *code,
            field: field.as_deref(),
            message: message.as_deref(),
            warnings: warnings.iter().map(|code| code.as_str()).collect(),
        };
        match (format, status) {
            (VerdictFormat::Native, _) => verdict,
            (VerdictFormat::Unversioned, Status::Accepted) => Self { status: "success", ..verdict },
            (VerdictFormat::Unversioned, Status::Rejected) => Self { status: "error", ..verdict },
            (VerdictFormat::Unversioned, Status::Duplicate) => Self {
                status: "error",
                code: verdict.code.or(Some("duplicate")),
                message: verdict.message.or(Some("duplicate event_id")),
                ..verdict
            },
        }
    }
}

/// The results of a write's events, written as a list of [`Verdict`]s.
#[derive(Debug, Clone)]
pub(crate) struct Verdicts {
    results: Vec<EventResult>,
    format: VerdictFormat,
}

impl Verdicts {
    pub(crate) const fn new(results: Vec<EventResult>, format: VerdictFormat) -> Self {
        Self { results, format }
    }
}

impl Serialize for Verdicts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.results.iter().map(|result| Verdict::new(result, self.format)))
    }
}

/// How often one thing looked like a mistake in the events that were taken.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WarningBody {
    /// The reason for programs.
    code: &'static str,
    /// The member that it is about, as it was sent; null when it is about the event as a whole, or when there are
    /// too many members to be told apart.
    field: Option<String>,
    /// Events with it.
    count: u64,
    /// The first of these events: its place in the body, from 0.
    first: usize,
    /// The reason for people.
    message: &'static str,
}

fn warning_bodies(sums: Vec<WarningSum>) -> Vec<WarningBody> {
    let body = |sum: WarningSum| {
        let WarningSum { code, field, count, first } = sum;
        WarningBody { code: code.as_str(), field, count, first, message: code.message() }
    };
    sums.into_iter().map(body).collect()
}

pub(crate) fn quota_bodies(states: Vec<QuotaState>) -> Vec<QuotaStateBody> {
    states.iter().map(QuotaStateBody::new).collect()
}

/// A count that is told unless it is 0.
fn told(count: u64) -> Option<u64> {
    Some(count).filter(|count| *count > 0)
}

/// What became of a write.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TakenBody {
    /// Events that are durable and, as far as known, new.
    accepted: u64,
    /// Events whose id was counted before, or stands earlier in the same request.
    duplicates: u64,
    /// Events that were not taken.
    rejected: u64,
    /// Per event, in the order of the body.
    #[schema(value_type = Vec<Verdict<'static>>)]
    results: Verdicts,
    /// What looks like a mistake in the events that were taken, in sum.
    warnings: Vec<WarningBody>,
    /// Asks later what became of the batch; null when nothing had to be kept.
    receipt: Option<String>,
    /// With `wait=applied`: whether every event is visible in queries.
    #[serde(skip_serializing_if = "Option::is_none")]
    applied: Option<bool>,
    /// Events that were taken and go over a soft quota; left out when there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    over_soft_quota: Option<u64>,
    /// With `quota=true`: where the quotas of the workspace stand, and those of the customers in the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    quotas: Option<Vec<QuotaStateBody>>,
}

impl TakenBody {
    /// `wait`: whether the request asked to wait until the events are visible.
    pub(crate) fn new(answer: IngestAnswer, wait: bool) -> Self {
        let IngestAnswer { accepted, duplicates, rejected, receipt, .. } = answer;
        Self {
            accepted,
            duplicates,
            rejected,
            results: Verdicts::new(answer.results, VerdictFormat::Native),
            warnings: warning_bodies(answer.warnings),
            receipt,
            applied: wait.then_some(answer.applied),
            over_soft_quota: told(answer.over_soft_quota),
            quotas: answer.quotas.map(quota_bodies),
        }
    }
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
    /// The number of `queued` once more, under the name that `/v1` gives it.
    accepted: u64,
    /// Events whose id was counted before, or stands earlier in the same request.
    duplicates: u64,
    /// Events that were not taken.
    rejected: u64,
    /// Per event, in the order of the body.
    #[schema(value_type = Vec<Verdict<'static>>)]
    results: Verdicts,
    /// What looks like a mistake in the events that were taken, in sum.
    warnings: Vec<WarningBody>,
    /// With `wait=applied`: whether every event is visible in queries.
    #[serde(skip_serializing_if = "Option::is_none")]
    applied: Option<bool>,
    /// Events that were taken and go over a soft quota; left out when there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    over_soft_quota: Option<u64>,
    /// With `quota=true`: where the quotas of the workspace stand, and those of the customers in the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    quotas: Option<Vec<QuotaStateBody>>,
}

impl JobBody {
    /// `wait`: whether the request asked to wait until the events are visible.
    pub(crate) fn new(answer: IngestAnswer, wait: bool) -> Self {
        let IngestAnswer { accepted, duplicates, rejected, receipt, applied, results, warnings, .. } = answer;
        Self {
            status_code: 202,
            job_id: receipt,
            queued: accepted,
            accepted,
            duplicates,
            rejected,
            results: Verdicts::new(results, VerdictFormat::Unversioned),
            warnings: warning_bodies(warnings),
            applied: wait.then_some(applied),
            over_soft_quota: told(answer.over_soft_quota),
            quotas: answer.quotas.map(quota_bodies),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn result(status: Status, code: Option<&'static str>, field: Option<&str>, message: Option<&str>) -> EventResult {
        let text = |text: &str| text.to_owned();
        EventResult {
            event_id: Some(text("e")),
            status,
            code,
            field: field.map(text),
            message: message.map(text),
            warnings: Vec::new(),
        }
    }

    #[test]
    fn verdicts_are_written_in_the_words_of_their_route() {
        let results = vec![
            result(Status::Accepted, None, None, None),
            result(Status::Duplicate, None, None, None),
            result(Status::Duplicate, Some("payload_mismatch"), None, Some("another payload")),
            EventResult { event_id: None, ..result(Status::Rejected, Some("invalid_time"), Some("time"), Some("no")) },
        ];
        let text = |format| serde_json::to_string(&Verdicts::new(results.clone(), format)).unwrap();
        assert_eq!(
            text(VerdictFormat::Native),
            concat!(
                r#"[{"event_id":"e","status":"accepted"},{"event_id":"e","status":"duplicate"},"#,
                r#"{"event_id":"e","status":"duplicate","code":"payload_mismatch","message":"another payload"},"#,
                r#"{"event_id":null,"status":"rejected","code":"invalid_time","field":"time","message":"no"}]"#,
            )
        );
        assert_eq!(
            text(VerdictFormat::Unversioned),
            concat!(
                r#"[{"event_id":"e","status":"success"},"#,
                r#"{"event_id":"e","status":"error","code":"duplicate","message":"duplicate event_id"},"#,
                r#"{"event_id":"e","status":"error","code":"payload_mismatch","message":"another payload"},"#,
                r#"{"event_id":null,"status":"error","code":"invalid_time","field":"time","message":"no"}]"#,
            )
        );
    }
}
