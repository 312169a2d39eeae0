//! What a request with a key turned out to be. Decides nothing.

use std::sync::Arc;

use domain::encryption::FieldEncryption;
use domain::payload::{HashRule, PayloadHash};
use domain::record::RequestKey;
use ports::ledger::Sighting;

use crate::running_requests::RunningRequest;

/// What a request with a key turned out to be.
#[derive(Debug)]
pub(super) enum Keyed {
    /// The first with this key.
    New(NewRequest),
    /// A repetition.
    Again(EarlierRequest),
}

/// The hash that a request is known by whose body has this one. A body may hold what is encrypted before it is stored,
/// and its hash must not tell it either.
pub(super) fn body_hash(written: PayloadHash, encryption: Option<&FieldEncryption>) -> PayloadHash {
    let sealed = encryption.map(|encryption| encryption.keyed(written.hash));
    sealed.map_or(written, |hash| PayloadHash { rule: HashRule::SealedRequestBody, hash })
}

/// A request that is to be taken; its key is its own until this is dropped or its record applied.
#[derive(Debug)]
pub(super) struct NewRequest {
    pub(super) running: RunningRequest,
    /// Hash of its decoded body.
    pub(super) body: PayloadHash,
}

impl NewRequest {
    /// Has it known by a hash of its body that tells nothing of it, as [`body_hash`] does.
    pub(super) fn encrypt(&mut self, encryption: Option<&FieldEncryption>) {
        if self.body.rule == HashRule::RequestBody {
            self.body = body_hash(self.body, encryption);
        }
    }

    /// What its record says of it.
    pub(super) fn key(&self) -> RequestKey<'_> {
        RequestKey { text: self.running.name(), body: self.body }
    }
}

/// A request of which the ledger has counted an event.
#[derive(Debug)]
pub(super) struct EarlierRequest {
    pub(super) name: Arc<str>,
    pub(super) sighting: Sighting,
}
