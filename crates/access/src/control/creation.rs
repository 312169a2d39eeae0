//! Requests that make something and may be repeated: what a request with an `Idempotency-Key` has made is remembered
//! for a day, so that its repetition makes nothing new.

use domain::access::record::{Creation, Record};
use domain::access::register::Register;
use domain::limits::CREATION_KEPT;
use domain::tenant::TenantId;
use domain::time::Timestamp;

use crate::failure::AccessError;

/// What a request is recognised by when it comes again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CreationKey {
    key_hash: [u8; 32],
    body_hash: [u8; 32],
}

impl CreationKey {
    /// The request of `caller` to `route` with this `Idempotency-Key` and body.
    pub fn new(caller: &str, workspace: Option<&TenantId>, route: &str, key: &str, body: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new();
        for part in [caller, workspace.map_or("", TenantId::as_str), route, key] {
            hasher.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
        }
        Self { key_hash: *hasher.finalize().as_bytes(), body_hash: *blake3::hash(body).as_bytes() }
    }

    /// An id for what the request makes that is the same each time it comes.
    pub fn id(self) -> String {
        self.key_hash[..12].iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The id of what the same request has made before.
    pub(crate) fn made(self, register: &Register, now: Timestamp) -> Result<Option<String>, AccessError> {
        match register.creation(&self.key_hash, now) {
            None => Ok(None),
            Some(creation) if creation.body_hash == self.body_hash => Ok(Some(creation.made.clone())),
            Some(_) => Err(AccessError::KeyReused),
        }
    }

    /// The record that this request has made `made`.
    pub(crate) fn record(self, workspace: Option<&TenantId>, made: &str, now: Timestamp) -> Record {
        Record::Creation(Creation {
            key_hash: self.key_hash,
            body_hash: self.body_hash,
            workspace: workspace.cloned(),
            made: made.to_owned(),
            created: now,
            expires: now.plus_micros(i64::try_from(CREATION_KEPT.as_micros()).unwrap_or(i64::MAX)),
        })
    }
}

/// Refuses the repetition of a request that has made a secret: that is shown once.
pub(crate) fn refuse_repeated(
    key: Option<CreationKey>,
    register: &Register,
    now: Timestamp,
) -> Result<(), AccessError> {
    match key.map(|key| key.made(register, now)).transpose()?.flatten() {
        Some(made) => Err(AccessError::AlreadyCreated(made)),
        None => Ok(()),
    }
}
