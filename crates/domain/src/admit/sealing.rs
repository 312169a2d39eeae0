//! The properties of an event that is being admitted, with what is encrypted of them. Encrypted before anything else
//! sees the event, so that no file, no log and no dead letter can hold their plain text.

use std::sync::Arc;

use crate::encryption::{FieldEncryption, SealError, holds_encrypted};
use crate::event::EventId;
use crate::limits::{ENCRYPTED_GROWTH_MAX, Limits};
use crate::payload::{HashRule, PayloadHash};
use crate::rejection::{RejectCode, Rejection};

/// What was encrypted of an event.
#[derive(Debug, Clone)]
pub(super) struct Sealing {
    encryption: Option<Arc<FieldEncryption>>,
    /// The properties with encrypted values in them, if there are any.
    properties: Option<String>,
}

impl Sealing {
    /// Encrypts what is to be of the properties of `event`.
    ///
    /// # Errors
    /// The [`Rejection`] of an event that holds what nobody but a server writes, or that cannot be encrypted.
    pub(super) fn of(
        encryption: Option<&Arc<FieldEncryption>>,
        event: EventId<'_>,
        properties: Option<&str>,
        limits: &Limits,
    ) -> Result<Self, Rejection> {
        let refused = |code, message: String| Rejection::of(code, "properties", message);
        if properties.is_some_and(holds_encrypted) {
            let message = "hold an encrypted value, which only the server that encrypted it can read; export in plain text to import again";
            return Err(refused(RejectCode::EncryptedValue, message.to_owned()));
        }
        let known = encryption.cloned();
        let Some((active, properties)) = encryption.filter(|active| active.is_active()).zip(properties) else {
            return Ok(Self { encryption: known, properties: None });
        };
        let bytes_max = limits.properties_bytes_max.saturating_mul(ENCRYPTED_GROWTH_MAX);
        let sealed = active.seal(event, properties, bytes_max).map_err(|why| match why {
            SealError::Placeholder(_) => refused(RejectCode::EncryptedValue, why.to_string()),
            SealError::TooMany | SealError::TooLong(_) => refused(RejectCode::PropertiesTooLarge, why.to_string()),
            SealError::NoDataKey(_) => refused(RejectCode::NotEncrypted, format!("could not be encrypted: {why}")),
        })?;
        Ok(Self { encryption: known, properties: sealed })
    }

    /// The properties with encrypted values in them; `None` when nothing of them is encrypted.
    pub(super) fn properties(&self) -> Option<&str> {
        self.properties.as_deref()
    }

    /// Gives the properties with encrypted values in them up. Hashes stay what they are.
    pub(super) fn forget(&mut self) {
        self.properties = None;
    }

    /// The hash by [`HashRule::Sealed`] of what has this hash by [`HashRule::Written`]. Without a key it is of no event.
    pub(super) fn sealed_hash(&self, written: PayloadHash) -> PayloadHash {
        match &self.encryption {
            Some(encryption) => PayloadHash { rule: HashRule::Sealed, hash: encryption.keyed(written.hash) },
            None => written,
        }
    }
}
