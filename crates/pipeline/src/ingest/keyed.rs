//! What a request with a key turned out to be. Decides nothing.

use std::sync::Arc;

use domain::payload::PayloadHash;
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

/// A request that is to be taken; its key is its own until this is dropped or its record applied.
#[derive(Debug)]
pub(super) struct NewRequest {
    pub(super) running: RunningRequest,
    /// Hash of its decoded body.
    pub(super) body: PayloadHash,
}

impl NewRequest {
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
