//! What is said about the events of a write: in the native words, and in those of `/events`.

use pipeline::{EventResult, IngestAnswer, Status};
use serde::Serialize;
use utoipa::ToSchema;

/// The verdict on one event.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Verdict {
    /// The client's id or the assigned one; null when it could not be read.
    event_id: Option<String>,
    /// `accepted`, `duplicate` or `rejected`; on `/events` `success` or `error`.
    status: &'static str,
    /// The reason for programs; absent when accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    /// The field in the way; absent when it is not about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    /// The reason for people; absent when accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

impl Verdict {
    /// In the words of `/v1`.
    pub(crate) fn native(result: EventResult) -> Self {
        let status = match result.status {
            Status::Accepted => "accepted",
            Status::Duplicate => "duplicate",
            Status::Rejected => "rejected",
        };
        let EventResult { event_id, code, field, message, .. } = result;
        Self { event_id, status, code, field, message }
    }

    /// In the words of `/events`, where a duplicate is an error that says so.
    pub(crate) fn unversioned(result: EventResult) -> Self {
        let duplicate = result.status == Status::Duplicate;
        let status = if result.status == Status::Accepted { "success" } else { "error" };
        let EventResult { event_id, code, field, message, .. } = result;
        Self {
            event_id,
            status,
            code: code.or(duplicate.then_some("duplicate")),
            field,
            message: message.or_else(|| duplicate.then(|| "duplicate event_id".to_owned())),
        }
    }
}

/// The verdicts on all events of a write.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Verdicts {
    /// Events that are durable and, as far as known, new.
    pub(crate) accepted: u64,
    /// Events whose id was counted before, or stands earlier in the same request.
    pub(crate) duplicates: u64,
    /// Events that were not taken.
    pub(crate) rejected: u64,
    /// Per event, in the order of the body.
    pub(crate) results: Vec<Verdict>,
}

impl Verdicts {
    /// The verdicts of `answer`, each in the words of `word`.
    pub(crate) fn new(answer: IngestAnswer, word: fn(EventResult) -> Verdict) -> Self {
        let IngestAnswer { accepted, duplicates, rejected, results, .. } = answer;
        Self { accepted, duplicates, rejected, results: results.into_iter().map(word).collect() }
    }

    /// Whether there were events and none was taken; duplicates were, once.
    pub(crate) fn all_rejected(&self) -> bool {
        self.rejected > 0 && self.accepted == 0 && self.duplicates == 0
    }
}
