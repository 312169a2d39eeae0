//! Counting a tenant's days again, in another zone. The days of all its users are counted again from
//! the raw events of a state, while events are applied and flushed; then applying stops for as long as
//! it takes to flush and count what came meanwhile, and one commit replaces the old days. Readers see
//! days of the old zone or of the new one.

use std::sync::Arc;

use domain::position::Seq;
use domain::tenant::TenantScope;
use domain::time::TimeRange;
use ports::active_users::VersionedZone;
use ports::manifest::{Activity, Commit};
use ports::{ErrorKind, PortError, held};
use tokio_util::sync::CancellationToken;

use super::raw::{RawEvent, scan_after};
use crate::activity::Recount;
use crate::core::Core;
use crate::reading::check_cancelled;
use crate::state::Snapshot;

/// How often what was flushed meanwhile is counted before applying stops for the rest.
const ROUNDS_MAX: usize = 8;

/// Applies the wanted zone. Dropped before the commit, it changes nothing; a commit goes on when its caller has
/// left, because without the change in memory it would show days of one zone as those of another. Until it has
/// ended, it keeps what its caller holds.
pub(super) async fn recount(core: &Arc<Core>, scope: &TenantScope, wanted: &VersionedZone) -> Result<(), PortError> {
    let cancelled = CancellationToken::new();
    let _cancel_on_drop = cancelled.clone().drop_guard();
    let (core, scope, wanted) = (Arc::clone(core), scope.clone(), wanted.clone());
    let held = held::current();
    let changing = tokio::spawn(async move {
        let _held = held;
        change(&core, scope, wanted, cancelled).await
    });
    changing.await.map_err(|why| PortError::new(ErrorKind::Unavailable, "change the zone").because(why))?
}

async fn change(
    core: &Arc<Core>,
    scope: TenantScope,
    wanted: VersionedZone,
    cancelled: CancellationToken,
) -> Result<(), PortError> {
    if is_applied(core, &scope, &wanted)? {
        return Ok(());
    }
    let _alone = core.recounting.lock().await;
    core.refuse_erased_hours(&scope, &[TimeRange::ALL]).await?;
    let mut counted = Counted { recount: Recount::new(wanted.zone.clone()), through: Seq::ZERO };
    for _ in 0..ROUNDS_MAX {
        let snapshot = core.state.read().snapshot();
        if snapshot.cursor == counted.through {
            break;
        }
        counted = counted.go_on(snapshot, &scope, &cancelled).await?;
    }

    let _writer = core.writer.lock().await;
    if let Some(kind) = *core.broken.lock() {
        return Err(PortError::new(kind, "change the zone: the ledger needs a restart"));
    }
    if is_applied(core, &scope, &wanted)? {
        return Ok(());
    }
    core.flush_all().await?;
    let snapshot = core.state.read().snapshot();
    let counted = counted.go_on(snapshot, &scope, &cancelled).await?;
    let mut activity = counted.activity(&scope).await?;
    // Of what was erased only days of the zone before are known: they stay, as an estimate.
    activity.extend(core.manifest.erased_activity(&scope).await?);
    check_cancelled(&cancelled)?;
    commit(core, &scope, wanted, activity).await
}

/// Whether there is nothing left to do.
fn is_applied(core: &Core, scope: &TenantScope, wanted: &VersionedZone) -> Result<bool, PortError> {
    core.state.read().zones.get(scope.tenant()).cloned().unwrap_or_default().has(wanted)
}

/// The caller holds `writer`, and everything is flushed.
async fn commit(
    core: &Core,
    scope: &TenantScope,
    wanted: VersionedZone,
    activity: Vec<Activity>,
) -> Result<(), PortError> {
    let _flushing = core.flushing.lock().await;
    core.state.write().recounts += 1;
    let commit = Commit { zone: Some((scope.tenant().clone(), wanted.clone())), activity, ..Commit::default() };
    fail::fail_point!("zone::before_commit");
    let committed = core.manifest.commit(&commit).await;
    fail::fail_point!("zone::after_commit");
    if let Err(why) = &committed
        && !matches!(why.kind(), ErrorKind::Conflict | ErrorKind::Full)
    {
        // Which zone the manifest has now is not known.
        core.give_up(ErrorKind::Poisoned);
        return committed;
    }
    let mut state = core.state.write();
    state.recounts += 1;
    if committed.is_ok() {
        Arc::make_mut(&mut state.zones).insert(scope.tenant().clone(), wanted);
    }
    committed
}

/// Days counted again from the records up to one. Records, unlike segments, stay what they are when
/// segments are merged.
#[derive(Debug)]
struct Counted {
    recount: Recount,
    through: Seq,
}

impl Counted {
    /// Counts what the segments of `snapshot` have beyond.
    async fn go_on(
        self,
        snapshot: Snapshot,
        scope: &TenantScope,
        cancelled: &CancellationToken,
    ) -> Result<Self, PortError> {
        let (scope, cancelled) = (scope.clone(), cancelled.clone());
        blocking(move || self.count(&snapshot, &scope, &cancelled)).await
    }

    fn count(
        mut self,
        snapshot: &Snapshot,
        scope: &TenantScope,
        cancelled: &CancellationToken,
    ) -> Result<Self, PortError> {
        let floor = snapshot.floors.of(scope.tenant());
        for segment in snapshot.segments.iter() {
            fail::fail_point!("zone::before_segment");
            check_cancelled(cancelled)?;
            let recount = &mut self.recount;
            let each = |event: RawEvent<'_>| recount.add(event.time, event.project, event.kind, event.user);
            scan_after(segment, scope, self.through, floor, cancelled, each)?;
        }
        self.through = snapshot.cursor;
        Ok(self)
    }

    async fn activity(self, scope: &TenantScope) -> Result<Vec<Activity>, PortError> {
        let tenant = scope.tenant().clone();
        blocking(move || Ok(self.recount.activity(&tenant))).await
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, PortError> + Send + 'static,
) -> Result<T, PortError> {
    let ended = tokio::task::spawn_blocking(work).await;
    ended.map_err(|why| PortError::new(ErrorKind::Unavailable, "count users again").because(why))?
}
