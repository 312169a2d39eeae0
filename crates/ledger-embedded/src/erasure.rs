//! Erasing what was counted of a user, a customer or a tenant. Data flows so: a request makes all that is applied
//! durable as segments and commits the erasure with the last record in them, so that what it covers are whole
//! segments; then every such segment that holds any of it is written anew without it, with the sums of what went as
//! residuals beside, and takes the place of the old one in one commit. No reader filters anything: a segment has the
//! events or it has not, and in both cases all sums of the tenant are the same.
//!
//! What is begun goes on after a crash: a segment that was written anew holds nothing of the subject any more.
//! Segments before and behind the last record of an erasure are not merged with each other until all are. The name of
//! its subject is the last to go: when it is confirmed that nobody else has to go by it.

mod requests;
mod targets;
mod rewrite;
mod leftovers;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use domain::erasure::Erasure;
use domain::tenant::TenantScope;
use ports::erasures::ErasureStage;
use ports::manifest::{Commit, StoredErasure};
use ports::{ErrorKind, PortError};

use crate::core::Core;
use crate::segment::Segment;
use crate::state::zone_of;
use rewrite::Rewritten;
use targets::Targets;

impl Core {
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

    /// Makes the erasures that were asked for, and finishes those that were confirmed.
    pub(crate) async fn erase_due(&self) -> Result<(), PortError> {
        if !self.state.read().erasures.is_due() {
            return Ok(());
        }
        // A recount of days must not see half of what goes.
        let _alone = self.recounting.lock().await;
        // Read only now: whoever was before in here has counted what went. What is asked for meanwhile is for the next
        // round.
        let asked = {
            let state = self.state.read();
            self.merge_gives_way.store(false, Ordering::Release);
            state.erasures.at(ErasureStage::Removing)
        };
        if !asked.is_empty() {
            // The next start goes on.
            let Some(erased) = self.erase_segments(asked).await? else { return Ok(()) };
            self.erase_leftovers(erased).await?;
        }
        let confirmed = self.state.read().erasures.at(ErasureStage::Confirmed);
        if confirmed.is_empty() { Ok(()) } else { self.finish_erasures(confirmed).await }
    }

    /// Writes anew every segment that holds anything of these; returns them as far as they are then, or
    /// nothing when the process ends.
    async fn erase_segments(&self, asked: Vec<StoredErasure>) -> Result<Option<Vec<StoredErasure>>, PortError> {
        let mut pending = asked.clone();
        let _merging = self.merging.lock().await;
        // The zones change only under the lock that the caller holds.
        let (segments, zones) = {
            let state = self.state.read();
            (Arc::clone(&state.segments), Arc::clone(&state.zones))
        };
        for segment in segments.iter() {
            let targets = Targets::covering(&asked, segment.meta().last_seq);
            if targets.is_empty() || !targets.touch(segment)? {
                continue;
            }
            self.has_space_for(std::slice::from_ref(segment))?;
            // A number that no earlier writing of this segment had.
            let number = segment.rewrites() + 1;
            let written = rewrite::rewrite(self, segment, &targets, number, &zones);
            let written = written.inspect_err(|_| self.delete_unfinished_rewrite(segment, number))?;
            for (at, events) in written.events.iter().enumerate().filter(|(_, events)| **events > 0) {
                let StoredErasure { tenant, erasure, .. } = &mut pending[at];
                note_zone(erasure, zone_of(&zones, tenant).name());
                erasure.gone.events += events;
                erasure.gone.segments += 1;
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

    /// Forgets the names of subjects, and marks what is finished. A start without a name goes on behind the first commit.
    async fn finish_erasures(&self, mut finished: Vec<StoredErasure>) -> Result<(), PortError> {
        if finished.iter().any(|stored| stored.subject.is_some()) {
            finished.iter_mut().for_each(|stored| stored.subject = None);
            fail::fail_point!("erase::before_nameless");
            self.replace_erasures(&finished).await?;
            fail::fail_point!("erase::after_nameless");
        }
        // What was removed from the manifest may still stand in pages and in the log of its file.
        self.manifest.scrub().await?;
        let now = self.clock.now();
        finished.iter_mut().for_each(|stored| stored.erasure.finished_at = Some(now));
        self.replace_erasures(&finished).await?;
        for StoredErasure { tenant, erasure, .. } in &finished {
            let Erasure { id, kind, gone, .. } = erasure;
            tracing::warn!(
                %tenant, erasure = %id, kind = kind.as_str(), events = gone.events, segments = gone.segments,
                users = gone.users, dead_letters = gone.dead_letters, "an erasure is done"
            );
        }
        Ok(())
    }

    /// Puts erasures in place of the same as they were.
    async fn replace_erasures(&self, changed: &[StoredErasure]) -> Result<(), PortError> {
        self.commit_erasure(&Commit { erasures: changed.to_vec(), ..Commit::default() }).await?;
        let mut state = self.state.write();
        let erasures = Arc::make_mut(&mut state.erasures);
        changed.iter().for_each(|stored| erasures.put(stored));
        Ok(())
    }

    /// Whether nothing of a customer may be counted apart: an erasure of it is not finished, or all of the tenant is erased.
    pub(crate) fn is_being_erased(&self, scope: &TenantScope, customer: &str) -> bool {
        let hash = self.hasher.of_tenant(scope.tenant()).hash(customer);
        self.state.read().erasures.keep_from_metering(scope.tenant(), hash)
    }

    /// Whether a customer or a user is not to come again.
    pub(crate) fn refuses_subject(&self, scope: &TenantScope, customer: Option<&str>, user: Option<&str>) -> bool {
        let erasures = Arc::clone(&self.state.read().erasures);
        let Some(refused) = erasures.refused_of(scope.tenant()) else { return false };
        let hasher = self.hasher.of_tenant(scope.tenant());
        refused.refuse(customer.map(|name| hasher.hash(name)), user.map(|name| hasher.hash(name)))
    }
}

/// Notes in whose days erased users stay counted: those of the zone in which they are counted when their events go. Where
/// it was changed between two segments, no zone has them all.
fn note_zone(erasure: &mut Erasure, zone: &str) {
    if erasure.gone.segments == 0 {
        zone.clone_into(&mut erasure.zone);
    } else if erasure.zone != zone {
        erasure.zone.clear();
    }
}
