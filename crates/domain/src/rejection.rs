//! Why one event was not taken. A rejection names the field and the reason, and leaves no trace in
//! any aggregate (I4, I9).

use std::fmt;

use crate::warning::{Warning, WarningCode};

/// The machine-readable reason; its text form is part of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RejectCode {
    /// The event is not readable JSON, or not an object.
    InvalidJson,
    /// A row of a table is no text, has another number of columns than the table, or is empty.
    InvalidRow,
    /// A field has the wrong JSON type.
    InvalidType,
    /// A field is empty, or holds what no identifier may hold.
    InvalidValue,
    /// A text is longer than its limit.
    TooLong,
    /// Two synonyms of one field are present with different values.
    ConflictingFields,
    /// The time is unreadable or outside years 1 to 9999.
    InvalidTime,
    /// The time lies too far in the future.
    TimeInFuture,
    /// The time lies before the earliest that the tenant accepts.
    TimeTooOld,
    /// The event is older on arrival than the tenant accepts.
    TooLate,
    /// A count is negative, fractional or over its limit.
    InvalidNumber,
    /// The body names another tenant than the credential does.
    TenantMismatch,
    /// The body names another project than the one that the credential is bound to.
    ProjectMismatch,
    /// The properties are larger than their limit.
    PropertiesTooLarge,
    /// The JSON is nested deeper than its limit.
    TooDeep,
    /// The tenant has reached its limit of distinct names of this kind.
    CardinalityLimit,
    /// The properties hold an encrypted value, or what is shown in place of one.
    EncryptedValue,
    /// The properties could not be encrypted.
    NotEncrypted,
    /// Its user or customer was erased, and is not to come again.
    Erased,
    /// The event would go over a hard quota.
    QuotaExceeded,
    /// What would be a warning, in a request that asks to be strict.
    Strict(WarningCode),
}

impl RejectCode {
    /// All codes that need no strict request.
    pub const ALL: [Self; 20] = [
        Self::InvalidJson,
        Self::InvalidRow,
        Self::InvalidType,
        Self::InvalidValue,
        Self::TooLong,
        Self::ConflictingFields,
        Self::InvalidTime,
        Self::TimeInFuture,
        Self::TimeTooOld,
        Self::TooLate,
        Self::InvalidNumber,
        Self::TenantMismatch,
        Self::ProjectMismatch,
        Self::PropertiesTooLarge,
        Self::TooDeep,
        Self::CardinalityLimit,
        Self::EncryptedValue,
        Self::NotEncrypted,
        Self::Erased,
        Self::QuotaExceeded,
    ];

    /// The code as written in answers and metric labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidJson => "invalid_json",
            Self::InvalidRow => "invalid_row",
            Self::InvalidType => "invalid_type",
            Self::InvalidValue => "invalid_value",
            Self::TooLong => "too_long",
            Self::ConflictingFields => "conflicting_fields",
            Self::InvalidTime => "invalid_time",
            Self::TimeInFuture => "time_in_future",
            Self::TimeTooOld => "time_too_old",
            Self::TooLate => "too_late",
            Self::InvalidNumber => "invalid_number",
            Self::TenantMismatch => "tenant_mismatch",
            Self::ProjectMismatch => "project_mismatch",
            Self::PropertiesTooLarge => "properties_too_large",
            Self::TooDeep => "too_deep",
            Self::CardinalityLimit => "cardinality_limit",
            Self::EncryptedValue => "encrypted_value",
            Self::NotEncrypted => "not_encrypted",
            Self::Erased => "erased",
            Self::QuotaExceeded => "quota_exceeded",
            Self::Strict(warning) => warning.as_str(),
        }
    }
}

/// One event's refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// The reason for programs.
    pub code: RejectCode,
    /// The field, by its canonical name.
    pub field: Option<String>,
    /// The reason for people: lowercase, no full stop.
    pub message: String,
}

impl Rejection {
    /// A refusal because of `field`.
    pub fn of(code: RejectCode, field: &str, message: impl Into<String>) -> Self {
        Self { code, field: Some(field.to_owned()), message: message.into() }
    }

    /// A refusal because of what would be a warning.
    pub fn strict(warning: &Warning<'_>) -> Self {
        let field = warning.field.as_deref().map(str::to_owned);
        Self { code: RejectCode::Strict(warning.code), field, message: warning.code.message().to_owned() }
    }

    /// A refusal of the event as a whole.
    pub fn whole(code: RejectCode, message: impl Into<String>) -> Self {
        Self { code, field: None, message: message.into() }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.field {
            Some(field) => write!(f, "{field}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}
