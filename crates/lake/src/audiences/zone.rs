//! Changing the zone that a tenant's days are kept in. Applying and flushing stop, everything is flushed,
//! the days of all users are counted again from raw events, and one commit replaces the old ones.
//! The journal takes events meanwhile. Readers see days of the old zone or of the new one.

use std::sync::Arc;

use domain::calendar::Zone;
use domain::tenant::TenantScope;
use domain::time::TimeRange;
use ports::manifest::{Activity, Commit};
use ports::{ErrorKind, PortError};

use super::raw::{had_events, scan_all};
use crate::activity::Recount;
use crate::lake::Core;
use crate::reports::Patience;
use crate::segment::corrupt;
use crate::state::{Snapshot, zone_of};

/// Changes the zone. Goes on when nobody waits for it any more: a commit that is not followed by the
/// change in memory would show days of one zone as those of another.
pub(super) async fn set(core: &Arc<Core>, scope: &TenantScope, zone: &Zone) -> Result<(), PortError> {
    let (core, scope, zone) = (Arc::clone(core), scope.clone(), zone.clone());
    let changing = tokio::spawn(async move { change(&core, scope, zone).await });
    changing.await.map_err(|why| PortError::new(ErrorKind::Unavailable, "change the zone").because(why))?
}

async fn change(core: &Arc<Core>, scope: TenantScope, zone: Zone) -> Result<(), PortError> {
    let _writer = core.writer.lock().await;
    if let Some(kind) = *core.broken.lock() {
        return Err(PortError::new(kind, "change the zone: the ledger needs a restart"));
    }
    if zone_of(&core.state.read().zones, scope.tenant()) == zone {
        return Ok(());
    }
    core.flush_all().await?;
    let snapshot = core.state.read().snapshot();
    let (of, to) = (scope.clone(), zone.clone());
    let counting = tokio::task::spawn_blocking(move || recount(&snapshot, &of, to));
    let activity =
        counting.await.map_err(|why| PortError::new(ErrorKind::Unavailable, "count users again").because(why))??;

    let _flushing = core.flushing.lock().await;
    core.state.write().recounts += 1;
    let commit = Commit { zone: Some((scope.tenant().clone(), zone.clone())), activity, ..Commit::default() };
    fail::fail_point!("zone::before_commit");
    let committed = core.manifest.commit(&commit).await;
    fail::fail_point!("zone::after_commit");
    if let Err(why) = &committed
        && !matches!(why.kind(), ErrorKind::Conflict | ErrorKind::Full)
    {
        // Nobody knows which zone the manifest has now.
        core.give_up(ErrorKind::Poisoned);
        return committed;
    }
    let mut state = core.state.write();
    state.recounts += 1;
    if committed.is_ok() {
        Arc::make_mut(&mut state.zones).insert(scope.tenant().clone(), zone);
    }
    committed
}

fn recount(snapshot: &Snapshot, scope: &TenantScope, zone: Zone) -> Result<Vec<Activity>, PortError> {
    let patience = Patience::endless();
    let mut recount = Recount::new(zone);
    for segment in snapshot.segments.iter() {
        let lost = segment.events().is_none()
            && had_events(segment, scope, TimeRange::ALL).map_err(|why| corrupt(&segment.meta().id, why))?;
        if lost {
            return Err(PortError::new(ErrorKind::Gone, "change the zone: retention has dropped events"));
        }
        scan_all(segment, scope, &patience, |event| recount.add(event.time, event.project, event.kind, event.user))?;
    }
    Ok(recount.activity(scope.tenant()))
}
