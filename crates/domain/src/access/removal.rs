//! Which records of the register are removed, and when: what can be used no more, a while after its end. The audit log
//! goes on telling of them.

use super::ids::{InvitationId, KeyId, SecretId, SessionId, UserId};
use super::record::{ApiKey, Creation, Invitation, PasswordReset, Session, SigningSecret, TokenKeyRecord};
use crate::limits::ENDED_KEPT;
use crate::time::Timestamp;

/// A record that is to be removed, by its key, and the version that it has to be of still: one that has changed since
/// stays.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Removal {
    /// An API key.
    ApiKey(KeyId, u64),
    /// A signing secret.
    SigningSecret(SecretId, u64),
    /// An invitation.
    Invitation(InvitationId, u64),
    /// A reset of this person's password.
    PasswordReset(UserId, u64),
    /// A session.
    Session(SessionId, u64),
    /// A key of access tokens.
    TokenKey(String, u64),
    /// What a request made, by its hash. It has no versions, but one that was made anew expires later.
    Creation([u8; 32], Timestamp),
}

impl Removal {
    /// What records of this kind are called in the audit log; none for creations, which nobody is shown.
    pub const fn kind(&self) -> Option<&'static str> {
        match self {
            Self::ApiKey(..) => Some("keys"),
            Self::SigningSecret(..) => Some("signing_secrets"),
            Self::Invitation(..) => Some("invitations"),
            Self::PasswordReset(..) => Some("password_resets"),
            Self::Session(..) => Some("sessions"),
            Self::TokenKey(..) => Some("token_keys"),
            Self::Creation(..) => None,
        }
    }
}

/// A record that ends one day.
pub(super) trait Ending {
    /// What removes the record, if its time has come.
    fn removal(&self, now: Timestamp) -> Option<Removal>;
}

/// Whether what ended first at one of these times is to be removed.
fn is_over<const N: usize>(ends: [Option<Timestamp>; N], now: Timestamp) -> bool {
    let kept_us = i64::try_from(ENDED_KEPT.as_micros()).unwrap_or(i64::MAX);
    let end = ends.into_iter().flatten().min();
    end.is_some_and(|end| now.micros().saturating_sub(end.micros()) >= kept_us)
}

impl Ending for ApiKey {
    fn removal(&self, now: Timestamp) -> Option<Removal> {
        is_over([self.revoked, self.expires], now).then_some(Removal::ApiKey(self.id, self.versioned.version))
    }
}

impl Ending for SigningSecret {
    fn removal(&self, now: Timestamp) -> Option<Removal> {
        is_over([self.revoked, self.expires], now).then_some(Removal::SigningSecret(self.id, self.versioned.version))
    }
}

impl Ending for Invitation {
    fn removal(&self, now: Timestamp) -> Option<Removal> {
        is_over([self.closed, Some(self.expires)], now).then_some(Removal::Invitation(self.id, self.versioned.version))
    }
}

impl Ending for PasswordReset {
    fn removal(&self, now: Timestamp) -> Option<Removal> {
        let ends = [self.closed, Some(self.expires)];
        is_over(ends, now).then_some(Removal::PasswordReset(self.user, self.versioned.version))
    }
}

impl Ending for Session {
    fn removal(&self, now: Timestamp) -> Option<Removal> {
        is_over([self.ended, Some(self.expires)], now).then_some(Removal::Session(self.id, self.versioned.version))
    }
}

impl Ending for TokenKeyRecord {
    fn removal(&self, now: Timestamp) -> Option<Removal> {
        is_over([self.retired], now).then(|| Removal::TokenKey(self.kid.clone(), self.versioned.version))
    }
}

impl Ending for Creation {
    /// Remembered for as long as it has to be, and no longer.
    fn removal(&self, now: Timestamp) -> Option<Removal> {
        (now >= self.expires).then_some(Removal::Creation(self.key_hash, self.expires))
    }
}
