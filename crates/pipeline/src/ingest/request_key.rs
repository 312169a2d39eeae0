//! Requests with a key, which a client may repeat without sending anything twice: begun as new, refused, or
//! found to be a repetition. What has been taken is asked of the ledger, and what is on its way of
//! [`RunningRequests`](crate::running_requests::RunningRequests); nothing else is remembered, so that a key is
//! as durable as the events of its request and never more.

use std::sync::Arc;

use domain::encryption::FieldEncryption;
use domain::event::{EventId, IdScheme};
use domain::payload::PayloadHash;
use domain::request::IdempotencyKey;
use domain::tenant::TenantScope;
use ports::ledger::Sighting;

use super::keyed::{EarlierRequest, Keyed, NewRequest, body_hash};
use super::{Ingest, IngestError};
use crate::failure::error_chain;
use crate::running_requests::{Begin, RequestName};

impl Ingest {
    /// Tells a new request from a repetition. `body` is decoded.
    ///
    /// # Errors
    /// [`IngestError::KeyReused`] when the key belongs to another request, [`IngestError::RequestRunning`] while
    /// that one is on its way, [`IngestError::Replaying`] when it is not known in time whether there was one.
    pub(super) async fn begin_keyed(
        &self,
        scope: &TenantScope,
        key: &IdempotencyKey,
        content_type: Option<&str>,
        body: &[u8],
        encryption: Option<&FieldEncryption>,
    ) -> Result<Keyed, IngestError> {
        let name: RequestName = (scope.tenant().clone(), self.request_hasher.name(scope.tenant(), key).into());
        let written = self.request_hasher.body(content_type, body);
        let body = body_hash(written, encryption);
        let keyed = tokio::select! {
            biased;
            keyed = self.find_or_begin(scope, &name, body) => keyed?,
            () = self.clock.sleep(self.limits.wait_applied_max) => {
                return Err(IngestError::RequestRunning);
            }
        };
        match keyed {
            Keyed::Again(EarlierRequest { sighting, .. })
                if sighting.payload != body && sighting.payload != written =>
            {
                Err(IngestError::KeyReused)
            }
            keyed => Ok(keyed),
        }
    }

    /// Waits until the records from before the start are applied: a key could stand in any of them.
    pub(super) async fn wait_replayed(&self) -> Result<(), IngestError> {
        tokio::select! {
            biased;
            () = self.receipts.wait_for(self.replay_until) => Ok(()),
            () = self.clock.sleep(self.limits.wait_applied_max) => Err(IngestError::Replaying),
        }
    }

    async fn find_or_begin(
        &self,
        scope: &TenantScope,
        name: &RequestName,
        body: PayloadHash,
    ) -> Result<Keyed, IngestError> {
        loop {
            if let Some(earlier) = self.find_request(scope, &name.1).await? {
                return Ok(Keyed::Again(earlier));
            }
            match self.running_requests.begin(name, self.receipts.applied()) {
                Begin::Begun(running) => {
                    // The one before may have been applied since the look-up.
                    let earlier = self.find_request(scope, &name.1).await?;
                    return Ok(earlier.map_or(Keyed::New(NewRequest { running, body }), Keyed::Again));
                }
                Begin::Running => return Err(IngestError::RequestRunning),
                Begin::Journaled(seq) => self.receipts.wait_for(seq).await,
            }
        }
    }

    async fn find_request(&self, scope: &TenantScope, name: &Arc<str>) -> Result<Option<EarlierRequest>, IngestError> {
        let found = self.seen_exactly(scope, &[EventId { scheme: IdScheme::Request, text: name }]).await?;
        let sighting = found.into_iter().next().flatten();
        Ok(sighting.map(|sighting| EarlierRequest { name: Arc::clone(name), sighting }))
    }

    /// What the ledger knows of ids, or why the request has to come again.
    pub(super) async fn seen_exactly(
        &self,
        scope: &TenantScope,
        ids: &[EventId<'_>],
    ) -> Result<Vec<Option<Sighting>>, IngestError> {
        self.ledger.seen_exactly(scope, ids).await.map_err(|error| {
            tracing::warn!(error = error_chain(&error), "a request with a key was not taken");
            IngestError::from(error.kind())
        })
    }
}
