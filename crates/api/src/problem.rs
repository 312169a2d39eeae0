//! The only map from errors to HTTP: every refusal is a [`Problem`], written as RFC 9457
//! `application/problem+json`. Never shows a client what only the operator may see.

mod kind;

use std::error::Error;
use std::fmt::Write;

use access::AccessError;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use domain::access::principal::Refusal;
use domain::encryption::PathsRefusal;
use domain::query::QueryRefusal;
use domain::rate::RateScope;
use domain::reference::TableRefusal;
use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use pipeline::{IngestError, RateRefusal, RateStanding, SettingsError, StreamRefusal, TableError};
use ports::{ErrorKind, PortError};
use serde::Serialize;
use utoipa::ToSchema;

pub(crate) use kind::ProblemKind;

use crate::rate_headers;
use crate::serve::{HeadFault, HeadRefusal};
use crate::shape::{QuotaStateBody, Verdict, Verdicts};

/// A refusal on its way out. As a response it has no body yet: `observe` writes that, because only
/// there the request id is known.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    kind: ProblemKind,
    detail: String,
    field: Option<String>,
    /// When every event was rejected.
    rejected: Option<Box<AllRejected>>,
    cause: Option<String>,
    /// How long to wait before the next attempt, in seconds.
    retry_after_s: Option<u64>,
    /// How the limit stands that is passed.
    rate: Option<Box<RateStanding>>,
}

/// What is told of a request of which no event was taken.
#[derive(Debug, Clone)]
pub(crate) struct AllRejected {
    /// How many events it has.
    pub(crate) events: u64,
    /// The verdicts on them.
    pub(crate) verdicts: Verdicts,
    /// Where quotas stand, if it has asked.
    pub(crate) quotas: Option<Vec<QuotaStateBody>>,
}

impl Problem {
    /// A refusal whose `detail` is a sentence for the client.
    pub(crate) fn new(kind: ProblemKind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            detail: detail.into(),
            field: kind.field().map(str::to_owned),
            rejected: None,
            cause: None,
            retry_after_s: None,
            rate: None,
        }
    }

    /// A refusal of the query parameter or path part `name`.
    pub(crate) fn parameter(name: &str, detail: impl Into<String>) -> Self {
        Self { field: Some(name.to_owned()), ..Self::new(ProblemKind::InvalidParameter, detail) }
    }

    /// This refusal, because of `place` in the request.
    pub(crate) fn at(self, place: impl Into<String>) -> Self {
        Self { field: Some(place.into()), ..self }
    }

    /// This refusal; if it is of `kind`, because of `place` in the request.
    pub(crate) fn at_if(self, kind: ProblemKind, place: &str) -> Self {
        if self.kind == kind { self.at(place) } else { self }
    }

    /// This refusal of a credential, because of the header that it is in or the one that names the workspace.
    pub(crate) fn at_credential(self, why: Refusal, header: &str) -> Self {
        match why {
            Refusal::WorkspaceRequired | Refusal::WorkspaceNotFound | Refusal::WorkspaceMismatch => {
                self.at("Nilometer-Workspace")
            }
            _ => self.at(header),
        }
    }

    /// A refusal of the body's `field`.
    pub(crate) fn body(kind: ProblemKind, field: &str, detail: impl Into<String>) -> Self {
        Self { field: Some(field.to_owned()), ..Self::new(kind, detail) }
    }

    /// A refusal of a request of which no event was taken.
    pub(crate) fn all_rejected(rejected: AllRejected) -> Self {
        let detail = format!("none of the {} events was taken; results says why", rejected.events);
        Self { rejected: Some(Box::new(rejected)), ..Self::new(ProblemKind::AllRejected, detail) }
    }

    /// A failure of the server itself: the answer to the client says no more than that.
    pub(crate) fn internal(cause: impl Into<String>) -> Self {
        let detail = "the request could not be answered; the server's log says why under this request_id";
        Self { cause: Some(cause.into()), ..Self::new(ProblemKind::Internal, detail) }
    }

    /// The part of the request that is refused.
    #[cfg(test)]
    pub(crate) fn field(&self) -> Option<&str> {
        self.field.as_deref()
    }

    /// The status of the answer.
    pub(crate) fn status(&self) -> u16 {
        self.kind.status().as_u16()
    }

    /// Whether the server failed. That it has too much to do, or is asked for what it cannot do, is no failure.
    pub(crate) fn is_failure(&self) -> bool {
        self.cause.is_some() && self.kind.status().is_server_error() && self.kind != ProblemKind::Overloaded
    }

    /// The cause, for the operator's log only.
    pub(crate) fn cause(&self) -> Option<&str> {
        self.cause.as_deref()
    }

    /// Writes the body of the response that this problem became.
    pub(crate) fn write(&self, response: &mut Response, request_id: &str) {
        let (kind, title) = self.kind.names();
        let rejected = self.rejected.as_deref();
        let body = ProblemBody {
            kind,
            title,
            status: self.kind.status().as_u16(),
            detail: &self.detail,
            field: self.field.as_deref(),
            request_id,
            accepted: rejected.map(|_| 0),
            duplicates: rejected.map(|_| 0),
            rejected: rejected.map(|rejected| rejected.events),
            results: rejected.map(|rejected| &rejected.verdicts),
            quotas: rejected.and_then(|rejected| rejected.quotas.as_deref()),
        };
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        *response.body_mut() = serde_json::to_vec(&body).map_or_else(|_| Body::empty(), Body::from);
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.kind.status().into_response();
        if let Some((name, value)) = self.kind.header() {
            response.headers_mut().insert(name, value);
        }
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(standing) = &self.rate {
            rate_headers::set(response.headers_mut(), &[**standing]);
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// Why a request was refused (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemBody<'a> {
    /// Names the kind of problem; stable.
    #[serde(rename = "type")]
    #[schema(example = "urn:nilometer:problem:invalid-parameter")]
    kind: &'static str,
    /// The kind of problem in words.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What was wrong with this request.
    detail: &'a str,
    /// The part of the request that is refused: a parameter, a field of the body by its path, a
    /// header, `path`, `method` or `body`. Every 4xx says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
    /// Finds the request in the server's log.
    request_id: &'a str,
    /// When every event was rejected: 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    accepted: Option<u64>,
    /// When every event was rejected: 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    duplicates: Option<u64>,
    /// When every event was rejected: how many.
    #[serde(skip_serializing_if = "Option::is_none")]
    rejected: Option<u64>,
    /// When every event was rejected: the verdict on each, in the order of the body.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<Verdict<'static>>>)]
    results: Option<&'a Verdicts>,
    /// When every event was rejected, with `quota=true`: where the quotas of the workspace stand, and those of the
    /// customers in the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<QuotaStateBody>>)]
    quotas: Option<&'a [QuotaStateBody]>,
}

impl From<RateRefusal> for Problem {
    fn from(refusal: RateRefusal) -> Self {
        let RateRefusal { standing, retry_after_s, .. } = refusal;
        let field = match standing.scope {
            RateScope::Address | RateScope::Key => "Authorization",
            RateScope::Workspace => "Nilometer-Workspace",
            RateScope::Events => "body",
        };
        let problem = Self::new(ProblemKind::RateLimited, refusal.to_string()).at(field);
        Self { retry_after_s: Some(retry_after_s), rate: Some(Box::new(standing)), ..problem }
    }
}

impl From<IngestError> for Problem {
    fn from(error: IngestError) -> Self {
        let kind = match &error {
            IngestError::Malformed { .. } => ProblemKind::Malformed,
            IngestError::UnsupportedMediaType { .. } => ProblemKind::UnsupportedMediaType,
            IngestError::UnsupportedEncoding { .. } => ProblemKind::UnsupportedEncoding,
            IngestError::TooLarge { .. } => ProblemKind::TooLarge,
            IngestError::Overloaded => ProblemKind::Overloaded,
            IngestError::RateLimited(refusal) => return (*refusal).into(),
            IngestError::ClockUnsure => ProblemKind::ClockUnsure,
            IngestError::DiskFull => ProblemKind::DiskFull,
            IngestError::RequestRunning => ProblemKind::RequestRunning,
            IngestError::KeyReused => ProblemKind::KeyReused,
            IngestError::Replaying | IngestError::Unavailable => ProblemKind::Unavailable,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<SettingsError> for Problem {
    fn from(error: SettingsError) -> Self {
        match error {
            SettingsError::OtherVersion(_) => {
                Self::new(ProblemKind::PreconditionFailed, error.to_string()).at("If-Match")
            }
            SettingsError::Port(error) => error.into(),
        }
    }
}

impl From<QueryRefusal> for Problem {
    fn from(refusal: QueryRefusal) -> Self {
        Self::parameter(&refusal.place, refusal.to_string())
    }
}

impl From<TableError> for Problem {
    fn from(error: TableError) -> Self {
        let refusal = match error {
            TableError::Port(error) => return error.into(),
            TableError::Refused(refusal) => refusal,
        };
        let detail = refusal.to_string();
        match refusal {
            TableRefusal::Stale { .. } | TableRefusal::SameTime { .. } => {
                Self::body(ProblemKind::Conflict, "ts", detail)
            }
            TableRefusal::Generation { .. } => Self::body(ProblemKind::PreconditionFailed, "If-Match", detail),
            TableRefusal::Invalid { field, .. } => Self::body(ProblemKind::InvalidParameter, &field, detail),
            TableRefusal::TooLarge { field, .. } => Self::body(ProblemKind::TooLarge, &field, detail),
        }
    }
}

impl From<HeadRefusal> for Problem {
    fn from(refusal: HeadRefusal) -> Self {
        let kind = match refusal.fault {
            HeadFault::Malformed => ProblemKind::Malformed,
            HeadFault::BodyTooLarge => ProblemKind::TooLarge,
            HeadFault::TargetTooLong => ProblemKind::TargetTooLong,
            HeadFault::TooLarge => ProblemKind::HeadTooLarge,
            HeadFault::UnknownCoding => ProblemKind::UnknownCoding,
            HeadFault::UnknownVersion => ProblemKind::UnknownVersion,
            HeadFault::NoRoom => ProblemKind::Overloaded,
        };
        Self::new(kind, refusal.detail).at(refusal.field)
    }
}

impl From<StreamRefusal> for Problem {
    fn from(StreamRefusal: StreamRefusal) -> Self {
        Self::new(ProblemKind::Overloaded, "too many live streams are open already")
    }
}

impl From<AccessError> for Problem {
    fn from(error: AccessError) -> Self {
        let detail = error.to_string();
        let of = |kind| Self::new(kind, detail.clone());
        match error {
            AccessError::Refused(why) => Self::new(refusal_kind(why), detail).at_credential(why, "Authorization"),
            AccessError::NotFound(what) => of(ProblemKind::NotFound).at(if what == "workspace" { what } else { "id" }),
            AccessError::Invalid { field, .. } => of(ProblemKind::InvalidParameter).at(field),
            AccessError::Forbidden(_) => of(ProblemKind::Forbidden).at("Authorization"),
            AccessError::Exists { field, .. } => of(ProblemKind::AlreadyExists).at(field),
            AccessError::OtherVersion(_) => of(ProblemKind::PreconditionFailed).at("If-Match"),
            AccessError::Raced | AccessError::State(_) => of(ProblemKind::Conflict).at("id"),
            AccessError::AlreadyCreated(_) => of(ProblemKind::AlreadyCreated),
            AccessError::KeyReused => of(ProblemKind::KeyReused),
            AccessError::WrongLogin => of(ProblemKind::Unauthorized).at("password"),
            AccessError::WrongToken => of(ProblemKind::Unauthorized).at("token"),
            AccessError::Throttled(wait) => {
                // Rounded up, so that who waits as long is not refused again.
                let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
                Self { retry_after_s: Some(seconds.max(1)), ..of(ProblemKind::TooManyRequests) }
            }
            AccessError::Paths(PathsRefusal { index, .. }) => {
                of(ProblemKind::NotEncryptable).at(index.map_or("paths".to_owned(), |at| format!("paths[{at}].path")))
            }
            AccessError::NoDeterministicPaths => of(ProblemKind::NotEncryptable).at("allow_deterministic"),
            AccessError::Store(why) => why.into(),
            AccessError::DataKey { .. } | AccessError::Failed(..) => Self::internal(chain(&error)),
        }
    }
}

/// What a refused credential is as a problem.
const fn refusal_kind(why: Refusal) -> ProblemKind {
    match why {
        Refusal::Missing
        | Refusal::UnknownKey
        | Refusal::WrongSignature
        | Refusal::BrokenKey
        | Refusal::RevokedKey
        | Refusal::ExpiredKey
        | Refusal::SessionEnded => ProblemKind::Unauthorized,
        Refusal::WorkspaceRequired => ProblemKind::WorkspaceRequired,
        Refusal::WorkspaceNotFound => ProblemKind::NotFound,
        Refusal::Address
        | Refusal::WorkspaceMismatch
        | Refusal::WorkspaceSuspended
        | Refusal::NotAllowed(_)
        | Refusal::NotOfProject => ProblemKind::Forbidden,
    }
}

impl From<PortError> for Problem {
    fn from(error: PortError) -> Self {
        let (kind, detail) = match error.kind() {
            ErrorKind::Unavailable | ErrorKind::Poisoned | ErrorKind::Closed => {
                (ProblemKind::Unavailable, "the store is not available".to_owned())
            }
            ErrorKind::Overloaded => (ProblemKind::Overloaded, "too much is waiting already".to_owned()),
            ErrorKind::Full => (ProblemKind::DiskFull, "the disk is full".to_owned()),
            ErrorKind::Exhausted => (ProblemKind::QueryTooLarge, error.to_string()),
            ErrorKind::TimedOut => (ProblemKind::QueryTimeout, error.to_string()),
            ErrorKind::Gone => (ProblemKind::Gone, "the answer needs raw events that retention has dropped".to_owned()),
            ErrorKind::Conflict => (ProblemKind::Conflict, "the state is not what the request assumed".to_owned()),
            ErrorKind::Corrupt | ErrorKind::Unacceptable => return Self::internal(chain(&error)),
        };
        Self { cause: Some(chain(&error)), ..Self::new(kind, detail) }
    }
}

/// The error and all its causes, in one line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let _ = write!(text, ": {cause}");
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i6_only_what_a_query_is_makes_it_too_large_and_only_then_it_is_not_to_be_tried_again() {
        let refusal = |kind: ErrorKind| {
            let problem = Problem::from(PortError::new(kind, "answer within 7 parsecs: ask for less"));
            (problem.kind.status().as_u16(), problem.kind.header().is_some(), problem.detail)
        };
        let limit = "failed to answer within 7 parsecs: ask for less".to_owned();
        assert_eq!(refusal(ErrorKind::Exhausted), (422, false, limit.clone()));
        assert_eq!(refusal(ErrorKind::TimedOut), (504, false, limit));
        let is_failure =
            |kind: ErrorKind| Problem::from(PortError::new(kind, "answer within 7 parsecs: ask for less")).is_failure();
        let failures = [ErrorKind::Overloaded, ErrorKind::Exhausted, ErrorKind::Unavailable, ErrorKind::Corrupt];
        assert_eq!(failures.map(is_failure), [false, false, true, true], "only these are logged as errors");
        let (status, is_retried, _) = refusal(ErrorKind::Overloaded);
        assert_eq!((status, is_retried), (503, true));
    }
}
