//! Who was active when. Whole days of the tenant's own zone are kept as sets of users: in the manifest,
//! and in both memtables what is not flushed. Everything else is counted from raw events: the parts
//! of days at the ends of a range, days of other zones, one project and one type together. Nothing
//! here is estimated.

mod raw;
mod zone;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use domain::calendar::{Day, DayRange, Zone};
use domain::tenant::TenantScope;
use domain::users::UserSet;
use ports::active_users::{ActiveUsers, ActiveUsersPlan, ActiveUsersQuery, VersionedZone};
use ports::manifest::ActivityFilter;
use ports::{ErrorKind, PortError};
use tokio_util::sync::CancellationToken;

use crate::activity::ByDay;
use crate::consistent_read::ConsistentRead;
use crate::core::Core;
use crate::ledger::EmbeddedLedger;
use crate::memtable::Memtable;
use crate::reading::check_cancelled;
use crate::state::zone_of;
use raw::{RawQuery, UnflushedUser};

/// How often a reader whose tenant's zone changes starts over.
const ZONE_CHANGES_MAX: usize = 8;

#[async_trait]
impl ActiveUsers for EmbeddedLedger {
    async fn active_users(
        &self,
        scope: &TenantScope,
        query: &ActiveUsersQuery,
    ) -> Result<BTreeMap<Day, UserSet>, PortError> {
        for _ in 0..ZONE_CHANGES_MAX {
            let own = self.applied_zone(scope).zone;
            let planned = PlannedQuery::new(scope, query, &own);
            self.core.refuse_erased_hours(scope, &planned.raw.ranges).await?;
            let read = planned.ask(&self.core).await?;
            // What is kept is of the zone that the state says; the plan was made for the one before.
            if zone_of(&read.snapshot.zones, scope.tenant()) == own {
                let nameless = match query.named_only {
                    true => self.core.state.read().users.nameless(scope.tenant()),
                    false => UserSet::default(),
                };
                return self.core.read(move |_, cancelled| planned.answer(read, &nameless, cancelled)).await;
            }
        }
        Err(PortError::new(ErrorKind::Unavailable, "count users: the tenant's zone keeps changing"))
    }

    fn is_estimate(&self, scope: &TenantScope, query: &ActiveUsersQuery) -> bool {
        let own = self.applied_zone(scope).zone;
        let is_raw = !ActiveUsersPlan::of(query, &own).raw.is_empty();
        let erasures = Arc::clone(&self.core.state.read().erasures);
        let mut erased = erasures.of(scope.tenant()).map(|stored| &stored.erasure);
        erased.any(|erasure| erasure.gone.events > 0 && (is_raw || erasure.zone != own.name()))
    }

    fn applied_zone(&self, scope: &TenantScope) -> VersionedZone {
        self.core.state.read().zones.get(scope.tenant()).cloned().unwrap_or_default()
    }

    async fn recount(&self, scope: &TenantScope, wanted: &VersionedZone) -> Result<(), PortError> {
        zone::recount(&self.core, scope, wanted).await
    }
}

/// A query, and from where each part of its answer comes.
#[derive(Debug)]
struct PlannedQuery {
    kept: Option<DayRange>,
    filter: ActivityFilter,
    raw: RawQuery,
}

/// The users that a memtable has for a query.
#[derive(Debug)]
struct MemtableUsers {
    kept: Vec<(Day, Arc<UserSet>)>,
    raw: Vec<UnflushedUser>,
}

/// What is read at the moment of the manifest's answer.
type FoundUsers = ConsistentRead<Vec<(Day, UserSet)>, MemtableUsers>;

impl PlannedQuery {
    fn new(scope: &TenantScope, query: &ActiveUsersQuery, own: &Zone) -> Self {
        let ActiveUsersPlan { kept, raw } = ActiveUsersPlan::of(query, own);
        let raw = RawQuery {
            scope: scope.clone(),
            ranges: raw,
            but: kept,
            zone: query.zone.clone(),
            project: query.project.clone(),
            kind: query.kind.clone(),
        };
        Self { kept, filter: filter_of(query), raw }
    }

    /// What the manifest has, and what the active memtable has to share.
    async fn ask(&self, core: &Core) -> Result<FoundUsers, PortError> {
        let Some(days) = self.kept else {
            let (snapshot, active) = core.view(|active| self.share(active));
            return Ok(ConsistentRead { snapshot, stored: Vec::new(), active, counts_frozen: false });
        };
        let stored = || core.manifest.activity(&self.raw.scope, &self.filter, days);
        core.read_consistently(stored, |active| self.share(active)).await
    }

    fn share(&self, table: &Memtable) -> MemtableUsers {
        let kept = self.kept.map(|days| table.share_active(self.raw.scope.tenant(), &self.raw.filter(), days));
        MemtableUsers { kept: kept.unwrap_or_default(), raw: self.raw.share(table) }
    }

    fn answer(&self, read: FoundUsers, nameless: &UserSet, cancelled: &CancellationToken) -> Result<ByDay, PortError> {
        let ConsistentRead { snapshot, stored, active, counts_frozen } = read;
        let mut found: ByDay = stored.into_iter().collect();
        let frozen = snapshot.frozen.as_deref().map(|frozen| self.share(frozen));
        let uncounted = frozen.iter().filter(|_| !counts_frozen);
        for (day, users) in [&active].into_iter().chain(uncounted).flat_map(|users| &users.kept) {
            check_cancelled(cancelled)?;
            found.entry(*day).or_default().merge(users);
        }
        for users in [&active].into_iter().chain(&frozen) {
            self.raw.add_unflushed(&users.raw, cancelled, &mut found)?;
        }
        self.raw.add_segments(&snapshot, cancelled, &mut found)?;
        if !nameless.is_empty() {
            found.values_mut().for_each(|users| users.remove(nameless));
            found.retain(|_, users| !users.is_empty());
        }
        Ok(found)
    }
}

/// What of the kept sets answers a query that does not ask for a project and a type together.
fn filter_of(query: &ActiveUsersQuery) -> ActivityFilter {
    match (&query.project, &query.kind) {
        (Some(project), _) => ActivityFilter::Project(project.clone()),
        (None, Some(kind)) => ActivityFilter::Type(kind.clone()),
        (None, None) => ActivityFilter::All,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::expect_used, reason = "tests")]

    use std::path::PathBuf;

    use domain::limits::SERVER_READS_MAX;
    use domain::time::Timestamp;
    use futures::FutureExt;
    use ports::held::{self, Held};
    use ports::reports::Reports;
    use ports::testing::clock::ManualClock;
    use ports::testing::ledger::records::scope;
    use ports::testing::ledger::set_zone;
    use ports::testing::manifest::MemoryManifest;
    use vfs::testing::SimVfs;

    use super::*;
    use crate::options::LedgerOptions;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap_or_default()
    }

    #[tokio::test]
    async fn i6_the_servers_own_reads_are_bounded_and_those_with_a_permit_wait_for_none() {
        let (vfs, manifest) = (Arc::new(SimVfs::new()), Arc::new(MemoryManifest::new()));
        let (clock, options) = (Arc::new(ManualClock::new(at("2026-11-01T00:00:00Z"))), LedgerOptions::default());
        let options = LedgerOptions { background: false, ..options };
        let ledger = EmbeddedLedger::open(vfs, PathBuf::from("/segments"), manifest, clock, options)
            .await
            .expect("the ledger opens");
        let own = u32::try_from(SERVER_READS_MAX).expect("few");
        let own = Arc::clone(&ledger.core.own_reads).try_acquire_many_owned(own).expect("free places");
        let mut waiting = Box::pin(async { ledger.customers(&scope("one"), None, 1).await });
        assert!(waiting.as_mut().now_or_never().is_none(), "the server's own reads are a few at once");
        let permit = Held::new(Arc::new("a permit"));
        held::during(permit, ledger.customers(&scope("one"), None, 1)).await.expect("a read with a permit");
        let kolkata = Zone::parse("Asia/Kolkata").expect("a zone");
        set_zone(&*ledger, &scope("one"), &kolkata).await.expect("a change of zone is no such read");
        drop(own);
        waiting.await.expect("a read");
    }
}
