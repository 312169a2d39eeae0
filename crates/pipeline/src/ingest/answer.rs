//! What a request asks of the pipeline, and the pipeline's answer. No HTTP here: the api decides how
//! each of these looks on the wire.

use std::sync::Arc;

use bytes::Bytes;
use domain::encryption::FieldEncryption;
use domain::rate::Rate;
use domain::request::IdempotencyKey;
use domain::warning::WarningCode;

use crate::quotas::QuotaState;
use crate::rate_limits::RateRefusal;

/// One request to take events: its body as received, the headers that say how to read it, and whether the
/// answer waits until the events are visible.
#[derive(Debug, Clone, Default)]
pub struct IngestRequest {
    /// The `Content-Type` header.
    pub content_type: Option<String>,
    /// The `Content-Encoding` header.
    pub content_encoding: Option<String>,
    /// The body as sent, not decompressed.
    pub body: Bytes,
    /// Whether to answer only when the events are visible in queries (`?wait=applied`).
    pub wait: bool,
    /// Whether to refuse events that look like a mistake (`?strict=true`).
    pub strict: bool,
    /// Whether to answer what is left of the quotas (`?quota=true`).
    pub quota: bool,
    /// The key with which the request may be repeated (`Idempotency-Key`).
    pub key: Option<IdempotencyKey>,
    /// The one project that the sender may name, which events get that name none.
    pub project: Option<Arc<str>>,
    /// How many events a second the workspace may send, if it has a limit of its own.
    pub events_rate: Option<Rate>,
}

/// How a request was sent that comes again.
#[derive(Debug, Clone, Copy)]
pub(super) struct SentBy<'r> {
    /// Whether events are refused that would be taken with a strict warning.
    pub(super) strict: bool,
    /// The one project that the sender may name.
    pub(super) project: Option<&'r Arc<str>>,
    /// What the tenant has encrypted.
    pub(super) encryption: Option<&'r Arc<FieldEncryption>>,
}

/// What became of the events of one request. Only the pipeline makes one: `accepted` above zero
/// means that the journal holds them durably (I8).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct IngestAnswer {
    /// Events in the journal that are, as far as known, new.
    pub accepted: u64,
    /// Events whose id was counted before, or stands earlier in the same request.
    pub duplicates: u64,
    /// Events that were not taken.
    pub rejected: u64,
    /// Names the batch for `GET /v1/receipts/{id}`; `None` when nothing went into the journal.
    pub receipt: Option<String>,
    /// Whether the wait was asked for and every event is visible in queries. The verdicts are then the
    /// ledger's own, unless so many batches came after this one that those are forgotten: then they are
    /// what was known when the request came in.
    pub applied: bool,
    /// Per event, in the order of the body.
    pub results: Vec<EventResult>,
    /// What looks like a mistake in the events that were taken, in sum.
    pub warnings: Vec<WarningSum>,
    /// Events that were taken and go over a soft quota.
    pub over_soft_quota: u64,
    /// Where the quotas of the workspace stand, and those of the customers in the request, if it has asked.
    pub quotas: Option<Vec<QuotaState>>,
}

/// How often one thing looked like a mistake in the events of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WarningSum {
    /// The reason.
    pub code: WarningCode,
    /// The member that it is about, as the client wrote it; `None` when it is about the event as a whole, or when
    /// the request has too many of them to be told apart.
    pub field: Option<String>,
    /// Events with it.
    pub count: u64,
    /// The place of the first of these in the body, from 0.
    pub first: usize,
}

/// What became of one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventResult {
    /// The client's id or the assigned one; `None` when it could not be read.
    pub event_id: Option<String>,
    /// The verdict.
    pub status: Status,
    /// The machine-readable reason of a rejection, [`NOT_TAKEN`] or [`PAYLOAD_MISMATCH`].
    pub code: Option<&'static str>,
    /// The field that is refused, for a rejection because of one.
    pub field: Option<String>,
    /// The reason for people: lowercase, no full stop.
    pub message: Option<String>,
    /// What looks like a mistake in it.
    pub warnings: Vec<WarningCode>,
}

/// The code of a duplicate whose payload differs from the one that was counted first.
pub const PAYLOAD_MISMATCH: &str = "payload_mismatch";

/// The code of an event that the first request with its key did not take, and that could be taken now.
pub const NOT_TAKEN: &str = "not_taken";

/// The verdict on one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// Durable, and counted once applied.
    Accepted,
    /// Counted before under the same id.
    Duplicate,
    /// Not taken, without a trace (I4).
    Rejected,
}

/// Why a request as a whole was not taken: one variant per answer the api gives.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IngestError {
    /// The body is in no accepted form. 400.
    #[error("{message}")]
    Malformed {
        /// What is wrong with it.
        message: String,
    },
    /// The content type is none of the accepted ones. 415.
    #[error("{message}")]
    UnsupportedMediaType {
        /// Which are accepted.
        message: String,
    },
    /// The content encoding is none of the accepted ones. 415.
    #[error("{message}")]
    UnsupportedEncoding {
        /// Which are accepted.
        message: String,
    },
    /// The body, encoded or decoded, or the number of its events is over its limit. 413.
    #[error("{message}")]
    TooLarge {
        /// Which limit.
        message: String,
    },
    /// Too much is waiting to be applied; try again later. 503 with `Retry-After`.
    #[error("too many events are waiting to be applied")]
    Overloaded,
    /// More events came than may; try again later. 429 with `Retry-After`.
    #[error("{0}")]
    RateLimited(RateRefusal),
    /// The machine's clock has jumped, so that nothing can be stamped; reads still work. 503 with `Retry-After`.
    #[error("the server's clock has jumped and is not believed yet (clock_unsure); nothing of the request was taken")]
    ClockUnsure,
    /// The disk is full; reads still work. 507.
    #[error("the disk is full")]
    DiskFull,
    /// An earlier request with the same key is on its way; try again later. 409 with `Retry-After`.
    #[error("an earlier request with this key has not ended yet")]
    RequestRunning,
    /// The key was used for a request with another body. 422.
    #[error("the key was used before for a request with another body")]
    KeyReused,
    /// Records from before the start are not applied yet, and the key may stand in one; try again later. 503.
    #[error("the journal is replayed after a start, and whether the key was used before is not known yet")]
    Replaying,
    /// The journal takes nothing now. 503.
    #[error("the journal is not available")]
    Unavailable,
}

impl IngestError {
    /// Whether it is the server that takes nothing now, and not something about the request.
    pub(super) const fn is_passing(&self) -> bool {
        matches!(self, Self::Overloaded | Self::ClockUnsure | Self::DiskFull | Self::Replaying | Self::Unavailable)
    }

    /// The label of this error in metrics, one of [`ERROR_REASONS`](crate::telemetry::ERROR_REASONS).
    pub(crate) const fn reason(&self) -> &'static str {
        match self {
            Self::Malformed { .. } => "malformed",
            Self::UnsupportedMediaType { .. } => "unsupported_media_type",
            Self::UnsupportedEncoding { .. } => "unsupported_encoding",
            Self::TooLarge { .. } => "too_large",
            Self::Overloaded => "overloaded",
            Self::RateLimited(_) => "rate_limited",
            Self::ClockUnsure => "clock_unsure",
            Self::DiskFull => "disk_full",
            Self::RequestRunning => "request_running",
            Self::KeyReused => "idempotency_key_reused",
            Self::Replaying => "replaying",
            Self::Unavailable => "unavailable",
        }
    }
}
