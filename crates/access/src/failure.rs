//! Why a request to the register is not met. One variant per answer that a caller can give.

use std::time::Duration;

use domain::access::principal::Refusal;
use domain::encryption::PathsRefusal;
use domain::tenant::TenantId;
use ports::{ErrorKind, PortError};

use crate::master_key::WrapError;
use crate::passwords::PasswordError;
use crate::random::NoRandomness;
use crate::tokens::InvalidTokenKey;

/// Why a request is not met.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The caller may not do this.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// There is no such thing, or not for this caller.
    #[error("no such {0}")]
    NotFound(&'static str),
    /// A field is not what it may be.
    #[error("'{field}' {why}")]
    Invalid {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// The caller's rights do not reach so far, and which do is said.
    #[error("{0}")]
    Forbidden(&'static str),
    /// Something of this name is there already.
    #[error("'{field}' {why}")]
    Exists {
        /// The field.
        field: &'static str,
        /// What is there.
        why: &'static str,
    },
    /// It is of another version than the caller believes.
    #[error("it has changed meanwhile: its version is {0}")]
    OtherVersion(u64),
    /// Someone else has changed it at this moment.
    #[error("it is being changed by another request: read it and try again")]
    Raced,
    /// It is not in a state in which this can be done.
    #[error("{0}")]
    State(&'static str),
    /// This request was made before, and what it made can be shown only once.
    #[error("this request has made '{0}' already; its secret was shown then and cannot be shown again")]
    AlreadyCreated(String),
    /// The `Idempotency-Key` came with another request before.
    #[error("this Idempotency-Key came with another request before")]
    KeyReused,
    /// E-mail address or password are wrong, whichever.
    #[error("the e-mail address or the password is wrong")]
    WrongLogin,
    /// The invitation or the token of a reset is unknown, used or too old.
    #[error("the token is unknown, was used, or has expired")]
    WrongToken,
    /// There were too many attempts.
    #[error("too many attempts: try again in {} s", .0.as_secs().max(1))]
    Throttled(Duration),
    /// The list of encrypted paths is not one that can be.
    #[error("the path {}", .0.why)]
    Paths(PathsRefusal),
    /// The workspace forbids deterministic paths, and there are some.
    #[error("the workspace allows no deterministic paths, and one is listed")]
    NoDeterministicPaths,
    /// A data key does not open: the master key is another one than it was encrypted with, or the key is damaged.
    #[error("failed to open data key {number} of workspace '{workspace}': {why}")]
    DataKey {
        /// Whose key.
        workspace: TenantId,
        /// Which version of it.
        number: u32,
        /// Why not.
        why: WrapError,
    },
    /// The store has failed.
    #[error(transparent)]
    Store(PortError),
    /// Something that is not the caller's fault.
    #[error("failed to {0}")]
    Failed(&'static str, #[source] Box<dyn std::error::Error + Send + Sync>),
}

impl AccessError {
    /// A field that is not what it may be.
    pub(crate) fn invalid(field: &'static str, why: impl ToString) -> Self {
        Self::Invalid { field, why: why.to_string() }
    }
}

impl From<PortError> for AccessError {
    fn from(why: PortError) -> Self {
        if why.kind() == ErrorKind::Conflict { Self::Raced } else { Self::Store(why) }
    }
}

impl From<PasswordError> for AccessError {
    fn from(why: PasswordError) -> Self {
        match why {
            PasswordError::Busy => Self::Throttled(Duration::from_secs(2)),
            other => Self::Failed("compare passwords", other.into()),
        }
    }
}

impl From<NoRandomness> for AccessError {
    fn from(why: NoRandomness) -> Self {
        Self::Failed("make a secret", why.into())
    }
}

impl From<WrapError> for AccessError {
    fn from(why: WrapError) -> Self {
        Self::Failed("open a secret of the register", why.into())
    }
}

impl From<InvalidTokenKey> for AccessError {
    fn from(why: InvalidTokenKey) -> Self {
        Self::Failed("read a key of access tokens", why.into())
    }
}
