//! What kinds of refusals there are, and what HTTP makes of each.

use http::StatusCode;
use http::header::{HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};

/// One kind of refusal, which decides status, type and headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ProblemKind {
    Malformed,
    InvalidParameter,
    Unauthorized,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    BodyTimeout,
    Conflict,
    RequestRunning,
    TooLarge,
    UnsupportedMediaType,
    UnsupportedEncoding,
    AllRejected,
    KeyReused,
    AlreadyCreated,
    AlreadyExists,
    WorkspaceRequired,
    TooManyRequests,
    RateLimited,
    OutOfRange,
    Internal,
    Overloaded,
    Unavailable,
    QueryTimeout,
    QueryTooLarge,
    NotEncryptable,
    EncryptedPath,
    Gone,
    PreconditionFailed,
    Misdirected,
    ClockUnsure,
    DiskFull,
    TargetTooLong,
    HeadTooLarge,
    UnknownCoding,
    UnknownVersion,
}

impl ProblemKind {
    /// The status of the answer.
    pub(crate) const fn status(self) -> StatusCode {
        match self {
            Self::Malformed | Self::InvalidParameter | Self::WorkspaceRequired => StatusCode::BAD_REQUEST,
            Self::TooManyRequests | Self::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::Conflict | Self::RequestRunning | Self::AlreadyCreated | Self::AlreadyExists => StatusCode::CONFLICT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType | Self::UnsupportedEncoding => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::AllRejected
            | Self::KeyReused
            | Self::QueryTooLarge
            | Self::OutOfRange
            | Self::NotEncryptable
            | Self::EncryptedPath => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Gone => StatusCode::GONE,
            Self::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
            Self::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Overloaded | Self::Unavailable | Self::ClockUnsure => StatusCode::SERVICE_UNAVAILABLE,
            Self::QueryTimeout => StatusCode::GATEWAY_TIMEOUT,
            Self::DiskFull => StatusCode::INSUFFICIENT_STORAGE,
            Self::TargetTooLong => StatusCode::URI_TOO_LONG,
            Self::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::UnknownCoding => StatusCode::NOT_IMPLEMENTED,
            Self::UnknownVersion => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
        }
    }

    /// The problem type, and its title.
    pub(super) const fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Malformed => ("urn:nilometer:problem:malformed", "The request cannot be read"),
            Self::InvalidParameter => ("urn:nilometer:problem:invalid-parameter", "A parameter is invalid"),
            Self::Unauthorized => ("urn:nilometer:problem:unauthorized", "A valid credential is needed"),
            Self::Forbidden => ("urn:nilometer:problem:forbidden", "Not allowed"),
            Self::NotFound => ("urn:nilometer:problem:not-found", "Not found"),
            Self::MethodNotAllowed => ("urn:nilometer:problem:method-not-allowed", "Method not allowed"),
            Self::BodyTimeout => ("urn:nilometer:problem:body-timeout", "The body took too long"),
            Self::Conflict => ("urn:nilometer:problem:conflict", "The state has changed"),
            Self::RequestRunning => {
                ("urn:nilometer:problem:request-running", "A request with this key has not ended yet")
            }
            Self::KeyReused => ("urn:nilometer:problem:idempotency-key-reused", "The key was used for another request"),
            Self::AlreadyCreated => ("urn:nilometer:problem:already_created", "Made by the same request before"),
            Self::AlreadyExists => ("urn:nilometer:problem:already-exists", "There is one already"),
            Self::WorkspaceRequired => ("urn:nilometer:problem:workspace_required", "The workspace has to be named"),
            Self::TooManyRequests => ("urn:nilometer:problem:too-many-requests", "Too many attempts"),
            Self::RateLimited => ("urn:nilometer:problem:rate-limited", "Too many requests or events"),
            Self::OutOfRange => ("urn:nilometer:problem:out-of-range", "A number is out of its range"),
            Self::TooLarge => ("urn:nilometer:problem:too-large", "The request is too large"),
            Self::UnsupportedMediaType => {
                ("urn:nilometer:problem:unsupported-media-type", "The content type is not supported")
            }
            Self::UnsupportedEncoding => {
                ("urn:nilometer:problem:unsupported-encoding", "The content encoding is not supported")
            }
            Self::AllRejected => ("urn:nilometer:problem:all-rejected", "Every event was rejected"),
            Self::Internal => ("urn:nilometer:problem:internal", "The server failed"),
            Self::Overloaded => ("urn:nilometer:problem:overloaded", "Too much is waiting"),
            Self::Unavailable => ("urn:nilometer:problem:unavailable", "Not available now"),
            Self::QueryTimeout => ("urn:nilometer:problem:query-timeout", "The question took too long"),
            Self::QueryTooLarge => ("urn:nilometer:problem:query-too-large", "The query is too large"),
            Self::NotEncryptable => ("urn:nilometer:problem:not-encryptable", "This cannot be encrypted so"),
            Self::EncryptedPath => ("urn:nilometer:problem:encrypted-path", "The values of the path are encrypted"),
            Self::Gone => ("urn:nilometer:problem:gone", "The events are gone"),
            Self::PreconditionFailed => ("urn:nilometer:problem:precondition-failed", "The precondition failed"),
            Self::Misdirected => ("urn:nilometer:problem:misdirected", "The server does not answer to this host"),
            Self::ClockUnsure => ("urn:nilometer:problem:clock-unsure", "The clock is not believed"),
            Self::DiskFull => ("urn:nilometer:problem:disk-full", "The disk is full"),
            Self::TargetTooLong => ("urn:nilometer:problem:target-too-long", "The target is too long"),
            Self::HeadTooLarge => ("urn:nilometer:problem:head-too-large", "The head of the request is too large"),
            Self::UnknownCoding => ("urn:nilometer:problem:unknown-coding", "The transfer coding is not known"),
            Self::UnknownVersion => ("urn:nilometer:problem:unknown-version", "The version of HTTP is not known"),
        }
    }

    /// The kind of problem in words.
    pub(crate) const fn title(self) -> &'static str {
        self.names().1
    }

    /// The part of the request that is refused when nothing more exact is known.
    pub(super) const fn field(self) -> Option<&'static str> {
        match self {
            Self::Malformed | Self::InvalidParameter | Self::OutOfRange | Self::BodyTimeout | Self::TooLarge => {
                Some("body")
            }
            Self::UnsupportedMediaType => Some("Content-Type"),
            Self::UnsupportedEncoding => Some("Content-Encoding"),
            Self::Unauthorized => Some("Authorization"),
            Self::QueryTooLarge | Self::Gone => Some("from"),
            Self::NotFound => Some("path"),
            Self::MethodNotAllowed => Some("method"),
            Self::AllRejected => Some("body"),
            Self::RequestRunning | Self::KeyReused | Self::AlreadyCreated => Some("Idempotency-Key"),
            Self::WorkspaceRequired => Some("Nilometer-Workspace"),
            Self::TooManyRequests => Some("email"),
            Self::RateLimited => Some("Authorization"),
            Self::Conflict | Self::AlreadyExists | Self::PreconditionFailed => Some("body"),
            Self::NotEncryptable => Some("paths"),
            Self::EncryptedPath => Some("body"),
            _ => None,
        }
    }

    /// A header that the answer needs beside its body.
    pub(super) const fn header(self) -> Option<(HeaderName, HeaderValue)> {
        match self {
            Self::Unauthorized => Some((WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"nilometer\""))),
            Self::Overloaded | Self::RequestRunning => Some((RETRY_AFTER, HeaderValue::from_static("1"))),
            Self::Unavailable => Some((RETRY_AFTER, HeaderValue::from_static("5"))),
            Self::ClockUnsure => Some((RETRY_AFTER, HeaderValue::from_static("10"))),
            _ => None,
        }
    }
}
