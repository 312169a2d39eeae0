//! The port: erasures are asked for here, each made durable of all that is applied before anything goes, and what was
//! asked for is told.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use domain::erasure::{ErasedSoFar, Erasure, ErasureRequest, Subject};
use domain::tenant::{TenantId, TenantScope};
use ports::erasures::{Erasures, UnfinishedErasure};
use ports::manifest::{Commit, StoredErasure};
use ports::{ErrorKind, PortError, held};

use crate::core::Core;
use crate::dedup::IdHash;
use crate::ledger::EmbeddedLedger;
use crate::state::zone_of;

/// Longest wait of a request for whoever applies, or counts what a customer has brought: a workspace's requests may
/// wait for it.
const WRITER_WITHIN: Duration = Duration::from_secs(5);

#[async_trait]
impl Erasures for EmbeddedLedger {
    async fn erase(&self, scope: &TenantScope, request: &ErasureRequest) -> Result<Erasure, PortError> {
        let (core, scope, request, held) = (Arc::clone(&self.core), scope.clone(), request.clone(), held::current());
        // A commit goes on when its caller has left: without the change in memory, names would come back.
        let asking = tokio::spawn(async move {
            let _held = held;
            core.request_erasure(&scope, &request).await
        });
        asking.await.map_err(|why| PortError::new(ErrorKind::Unavailable, "ask for an erasure").because(why))?
    }

    fn erased_tenants(&self) -> Vec<TenantId> {
        self.core.state.read().erasures.erased_tenants()
    }

    fn unfinished(&self) -> Vec<UnfinishedErasure> {
        self.core.state.read().erasures.told_unfinished()
    }

    fn confirm(&self, ids: &[String]) {
        Arc::make_mut(&mut self.core.state.write().erasures).confirm(ids);
        self.core.wake_merge.notify_one();
    }

    fn generation(&self, scope: &TenantScope) -> u64 {
        self.core.state.read().erasures.generation(scope.tenant())
    }

    fn erasures(&self, scope: &TenantScope) -> Vec<Erasure> {
        let erasures = Arc::clone(&self.core.state.read().erasures);
        erasures.of(scope.tenant()).map(|stored| stored.erasure.clone()).collect()
    }
}

impl Core {
    /// Makes an erasure durable, of all that is applied.
    async fn request_erasure(&self, scope: &TenantScope, request: &ErasureRequest) -> Result<Erasure, PortError> {
        let subject_hash = self.subject_hash(scope, &request.subject);
        let _writer = tokio::select! {
            biased;
            writer = self.writer.lock() => writer,
            () = self.clock.sleep(WRITER_WITHIN) => {
                return Err(PortError::new(ErrorKind::Overloaded, "ask for an erasure: the store is busy"));
            }
        };
        if let Some(kind) = *self.broken.lock() {
            return Err(PortError::new(kind, "ask for an erasure: the ledger needs a restart"));
        }
        if let Some(known) = self.state.read().erasures.asked_for(scope, request, IdHash(subject_hash))? {
            return Ok(known.clone());
        }
        self.flush_all().await?;
        let _flushing = self.flushing.lock().await;
        let (through, number, zone) = {
            let state = self.state.read();
            let number = match &request.subject {
                Subject::User(_) => state.users.find(IdHash(subject_hash)),
                Subject::Customer(_) | Subject::Workspace => None,
            };
            (state.cursor, number, zone_of(&state.zones, scope.tenant()))
        };
        let stored = StoredErasure {
            tenant: scope.tenant().clone(),
            subject: Some(request.subject.name().to_owned()),
            subject_hash,
            erasure: Erasure {
                id: request.id.clone(),
                kind: request.subject.kind(),
                blocks: request.blocks,
                through,
                requested_at: self.clock.now(),
                by: request.by.clone(),
                zone: zone.name().to_owned(),
                gone: ErasedSoFar { users: u64::from(number.is_some()), ..ErasedSoFar::default() },
                finished_at: None,
            },
        };
        // From here on the user's name is new to the ledger: later events get another number.
        let erased_users: Vec<_> = number.iter().map(|number| (scope.tenant().clone(), vec![*number])).collect();
        // What a customer has brought is forgotten at once, and later events are not counted apart until somebody asks.
        let customer = match &request.subject {
            Subject::Customer(name) => Some((scope.tenant().clone(), name.clone())),
            Subject::User(_) | Subject::Workspace => None,
        };
        let erased_customers = customer.into_iter().collect();
        let commit = Commit { erasures: vec![stored.clone()], erased_users, erased_customers, ..Commit::default() };
        fail::fail_point!("erase::before_request");
        self.commit_erasure(&commit).await?;
        fail::fail_point!("erase::after_request");
        {
            let mut state = self.state.write();
            if let Some(number) = number {
                state.users.forget(scope.tenant(), &[(IdHash(subject_hash), number)]);
            }
            for (tenant, customer) in &commit.erased_customers {
                if let Some(metered) = Arc::make_mut(&mut state.metered).get_mut(tenant) {
                    metered.remove(customer);
                }
            }
            Arc::make_mut(&mut state.erasures).put(&stored);
            self.merge_gives_way.store(true, Ordering::Release);
        }
        self.wake_merge.notify_one();
        Ok(stored.erasure)
    }

    /// The keyed hash of what is erased. That of a user is the one by which users are known.
    fn subject_hash(&self, scope: &TenantScope, subject: &Subject) -> u128 {
        self.hasher.of_tenant(scope.tenant()).hash(subject.name()).0
    }
}
