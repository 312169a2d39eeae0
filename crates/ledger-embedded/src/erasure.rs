//! Erasing what was counted of a user, a customer or a tenant. Data flows so: a request makes all that is applied
//! durable as segments and commits the erasure with the last record in them, so that what it covers are whole
//! segments; then every such segment that holds any of it is written anew without it, with the sums of what went as
//! residuals beside, and takes the place of the old one in one commit. No reader filters anything: a segment has the
//! events or it has not, and in both cases all sums of the tenant are the same.
//!
//! What is begun goes on after a crash: a segment that was written anew holds nothing of the subject any more.
//! Segments before and behind the last record of an erasure are not merged with each other until it is done.

mod known;
mod leftovers;
mod rewrite;
mod targets;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use domain::erasure::{ErasedSoFar, Erasure, ErasureRequest, Subject, SubjectKind};
use domain::limits::ERASURES_MAX;
use domain::tenant::{TenantId, TenantScope};
use domain::users::UserNumber;
use ports::erasures::Erasures;
use ports::manifest::{Commit, StoredErasure};
use ports::{ErrorKind, PortError, held};

pub(crate) use known::{KnownErasures, RefusedSubjects};

use crate::core::Core;
use crate::dedup::IdHash;
use crate::ledger::EmbeddedLedger;
use crate::segment::Segment;
use crate::state::zone_of;
use rewrite::Rewritten;
use targets::Targets;

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

    fn unfinished(&self) -> Vec<(TenantId, String, Subject)> {
        let pending = self.core.state.read().erasures.pending();
        let known = |stored: StoredErasure| {
            let (tenant, Erasure { id, kind, .. }) = (stored.tenant, stored.erasure);
            let name = stored.subject?;
            let subject = match kind {
                SubjectKind::User => Subject::User(name),
                SubjectKind::Customer => Subject::Customer(name),
                SubjectKind::Workspace => Subject::Workspace,
            };
            Some((tenant, id, subject))
        };
        pending.into_iter().filter_map(known).collect()
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
        let _writer = self.writer.lock().await;
        if let Some(kind) = *self.broken.lock() {
            return Err(PortError::new(kind, "ask for an erasure: the ledger needs a restart"));
        }
        if let Some(known) = self.known_erasure(scope, request, subject_hash)? {
            return Ok(known);
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
        }
        self.wake_merge.notify_one();
        Ok(stored.erasure)
    }

    /// The erasure that was asked for under the same id.
    fn known_erasure(
        &self,
        scope: &TenantScope,
        request: &ErasureRequest,
        subject_hash: u128,
    ) -> Result<Option<Erasure>, PortError> {
        let erasures = Arc::clone(&self.state.read().erasures);
        let Some(known) = erasures.find(&request.id) else {
            if erasures.of(scope.tenant()).count() >= ERASURES_MAX {
                let message = format!("ask for an erasure: the workspace has {ERASURES_MAX}");
                return Err(PortError::new(ErrorKind::Exhausted, message));
            }
            return Ok(None);
        };
        let is_same = known.tenant == *scope.tenant()
            && known.subject_hash == subject_hash
            && (known.erasure.kind, known.erasure.blocks) == (request.subject.kind(), request.blocks);
        match is_same {
            true => Ok(Some(known.erasure.clone())),
            false => Err(PortError::new(ErrorKind::Conflict, "ask for an erasure: the id is that of another one")),
        }
    }

    /// The keyed hash of what is erased. That of a user is the one by which users are known.
    pub(crate) fn subject_hash(&self, scope: &TenantScope, subject: &Subject) -> u128 {
        self.hasher.of_tenant(scope.tenant()).hash(subject.name()).0
    }

    /// Commits what memory then follows; when the outcome is unknown, only a restart can tell.
    async fn commit_erasure(&self, commit: &Commit) -> Result<(), PortError> {
        let committed = self.manifest.commit(commit).await;
        if let Err(why) = &committed
            && !matches!(why.kind(), ErrorKind::Conflict | ErrorKind::Full)
        {
            self.give_up(ErrorKind::Poisoned);
        }
        committed
    }

    /// Makes the erasures that were asked for.
    pub(crate) async fn erase_due(&self) -> Result<(), PortError> {
        if !self.state.read().erasures.is_pending() {
            return Ok(());
        }
        // A recount of days must not see half of what goes.
        let _alone = self.recounting.lock().await;
        // Read only now: whoever was before in here has counted what went, and may have finished.
        let pending = self.state.read().erasures.pending();
        if pending.is_empty() {
            return Ok(());
        }
        // What is asked for meanwhile is for the next round.
        let asked: Vec<_> = pending.into_iter().filter(|stored| stored.subject.is_some()).collect();
        if !asked.is_empty() {
            // The next start goes on.
            let Some(erased) = self.erase_segments(asked).await? else { return Ok(()) };
            self.erase_leftovers(erased).await?;
        }
        // What was removed from the manifest may still stand in pages and in the log of its file.
        self.manifest.scrub().await?;
        self.note_erased().await
    }

    /// Writes anew every segment that holds anything of these; returns them as far as they are then, or
    /// nothing when the process ends.
    async fn erase_segments(&self, asked: Vec<StoredErasure>) -> Result<Option<Vec<StoredErasure>>, PortError> {
        let mut pending = asked.clone();
        let _merging = self.merging.lock().await;
        let segments = Arc::clone(&self.state.read().segments);
        for segment in segments.iter() {
            let targets = Targets::covering(&asked, segment.meta().last_seq);
            if targets.is_empty() || !targets.touch(segment)? {
                continue;
            }
            let number = self.state.read().erasures.next_rewrite(segment);
            let zones = Arc::clone(&self.state.read().zones);
            let written = rewrite::rewrite(self, segment, &targets, number, &zones);
            let written = written.inspect_err(|_| self.delete_unfinished_rewrite(segment, number))?;
            for (at, events) in written.events.iter().enumerate().filter(|(_, events)| **events > 0) {
                pending[at].erasure.gone.events += events;
                pending[at].erasure.gone.segments += 1;
            }
            self.replace_segment(segment, written, &pending).await?;
            if self.stopping.load(Ordering::Acquire) {
                return Ok(None);
            }
        }
        Ok(Some(pending))
    }

    async fn replace_segment(
        &self,
        old: &Arc<Segment>,
        written: Rewritten,
        pending: &[StoredErasure],
    ) -> Result<(), PortError> {
        let commit = Commit {
            add: written.meta.iter().cloned().collect(),
            remove: vec![old.meta().id.clone()],
            erasures: pending.to_vec(),
            erased_activity: written.activity,
            ..Commit::default()
        };
        fail::fail_point!("erase::before_commit");
        self.commit_erasure(&commit).await?;
        fail::fail_point!("erase::after_commit");
        let new = written.meta.map(|meta| self.dir.open(meta, false).map(Arc::new)).transpose()?;
        let kept: Vec<_> = new.iter().flat_map(|new| new.file_names()).map(str::to_owned).collect();
        {
            let mut state = self.state.write();
            let segments = Arc::make_mut(&mut state.segments);
            if let Some(at) = segments.iter().position(|one| one.meta().id == old.meta().id) {
                segments.splice(at..=at, new);
            }
            let erasures = Arc::make_mut(&mut state.erasures);
            pending.iter().for_each(|stored| erasures.put(stored));
        }
        self.delete(old.meta().files.iter().filter(|file| !kept.contains(&file.name)));
        Ok(())
    }

    /// Marks what is finished.
    async fn note_erased(&self) -> Result<(), PortError> {
        let now = self.clock.now();
        let mut finished = self.state.read().erasures.pending();
        finished.retain(|stored| stored.subject.is_none());
        finished.iter_mut().for_each(|stored| stored.erasure.finished_at = Some(now));
        self.commit_erasure(&Commit { erasures: finished.clone(), ..Commit::default() }).await?;
        {
            let mut state = self.state.write();
            let erasures = Arc::make_mut(&mut state.erasures);
            finished.iter().for_each(|stored| erasures.put(stored));
        }
        for StoredErasure { tenant, erasure, .. } in &finished {
            let Erasure { id, kind, gone, .. } = erasure;
            tracing::warn!(
                %tenant, erasure = %id, kind = kind.as_str(), events = gone.events, segments = gone.segments,
                users = gone.users, dead_letters = gone.dead_letters, "an erasure is done"
            );
        }
        Ok(())
    }

    /// Whether a customer or a user is not to come again.
    pub(crate) fn refuses_subject(&self, scope: &TenantScope, customer: Option<&str>, user: Option<&str>) -> bool {
        let erasures = Arc::clone(&self.state.read().erasures);
        let Some(refused) = erasures.refused_of(scope.tenant()) else { return false };
        let hasher = self.hasher.of_tenant(scope.tenant());
        let is_refused = |kind, name: Option<&str>| name.is_some_and(|name| refused.has(kind, hasher.hash(name)));
        refused.is_whole() || is_refused(SubjectKind::Customer, customer) || is_refused(SubjectKind::User, user)
    }
}

/// The numbers with their hashes, as `Users` forgets them.
pub(crate) type ForgottenUser = (IdHash, UserNumber);
