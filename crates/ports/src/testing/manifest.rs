//! The memory twin of the manifest, and the suite that it and every adapter run. The twin is the oracle: plain maps under one lock. It keeps what a disk would
//! keep, so that [`MemoryManifest::reopen`] plays a restart, and it fails on demand as a disk would.

mod conformance;
mod samples;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use domain::aggregate::Totals;
use domain::calendar::{Day, DayRange};
use domain::limits::HOUR_SUMS_MAX;
use domain::position::Seq;
use domain::quota::Amounts;
use domain::retention::RetentionWait;
use domain::rollup::{Rollup, RollupKey};
use domain::tenant::{TenantId, TenantScope};
use domain::time::{TimeRange, Timestamp};
use domain::users::{UserNumber, UserSet};
use parking_lot::Mutex;

use crate::active_users::VersionedZone;
use crate::manifest::{
    Activity, ActivityFilter, Commit, DeadLetter, FileKind, HourSumsQuery, Identity, Manifest, ManifestState, Name,
    NewUsers, ReceivedSum, SegmentMeta, StoredErasure, TenantRetention,
};
use crate::{ErrorKind, PortError};

pub use conformance::manifest_conformance;
pub use samples::Place;
pub(super) use samples::{at, scope, tenant};

/// Where the next write fails. All but a full disk leave the store refusing writes until it is opened
/// again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultPoint {
    /// Nothing is changed, and the caller is told of a failure.
    BeforeCommit,
    /// The change is durable, but the caller is told of a failure.
    AfterCommit,
    /// Nothing is changed, and the caller is told that the disk is full.
    DiskFull,
}

/// A manifest in memory.
#[derive(Debug, Default)]
pub struct MemoryManifest {
    disk: Arc<Mutex<Disk>>,
    process: Mutex<Process>,
}

/// What survives a restart.
#[derive(Debug, Default)]
struct Disk {
    identity: Option<Identity>,
    cursor: Seq,
    closed_through: Option<Timestamp>,
    retention_floor: Option<Timestamp>,
    retention_wait: RetentionWait,
    tenant_retention: BTreeMap<TenantId, TenantRetention>,
    segments: BTreeMap<String, SegmentMeta>,
    rollups: BTreeMap<RollupKey, Totals>,
    received: BTreeMap<(TenantId, Timestamp, String), Amounts>,
    metered: BTreeSet<(TenantId, String)>,
    names: BTreeSet<Name>,
    letters: BTreeMap<Seq, DeadLetter>,
    users: BTreeMap<TenantId, Vec<String>>,
    zones: BTreeMap<TenantId, VersionedZone>,
    activity: BTreeMap<(TenantId, ActivityFilter, Day), UserSet>,
    erased_activity: BTreeMap<(TenantId, ActivityFilter, Day), UserSet>,
    erasures: Vec<StoredErasure>,
}

/// What does not.
#[derive(Debug, Default)]
struct Process {
    fault: Option<FaultPoint>,
    poisoned: bool,
}

impl MemoryManifest {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// This store after a restart: what was committed is there, and it takes writes again.
    #[must_use]
    pub fn reopen(&self) -> Self {
        Self { disk: Arc::clone(&self.disk), process: Mutex::default() }
    }

    /// Lets the next write fail there, once.
    pub fn fail_next(&self, point: FaultPoint) {
        self.process.lock().fault = Some(point);
    }

    /// Runs one write, which changes all or nothing, with the faults asked for.
    fn write(&self, change: impl FnOnce(&mut Disk) -> Result<(), PortError>) -> Result<(), PortError> {
        let mut process = self.process.lock();
        if process.poisoned {
            return Err(PortError::new(ErrorKind::Poisoned, "write to the manifest: an earlier write failed"));
        }
        let Some(fault) = process.fault.take() else { return change(&mut self.disk.lock()) };
        if fault == FaultPoint::AfterCommit {
            change(&mut self.disk.lock())?;
        }
        process.poisoned = fault != FaultPoint::DiskFull;
        let kind = if process.poisoned { ErrorKind::Poisoned } else { ErrorKind::Full };
        Err(PortError::new(kind, format!("write to the manifest: injected {fault:?}")))
    }
}

impl Disk {
    /// Refuses a change that does not fit what is stored.
    fn check(&self, change: &Commit) -> Result<(), PortError> {
        if self.identity.is_none() {
            return Err(conflict("nothing has been loaded"));
        }
        if change.cursor.is_some_and(|(from, _)| from != self.cursor) {
            return Err(conflict("the cursor is elsewhere"));
        }
        self.check_users(&change.users, &change.erased_tenants)?;
        let removed: BTreeSet<_> = change.remove.iter().collect();
        let added: BTreeSet<_> = change.add.iter().map(|segment| &segment.id).collect();
        let fits = removed.len() == change.remove.len()
            && added.len() == change.add.len()
            && change.remove.iter().chain(&change.forget_events).all(|id| self.segments.contains_key(id))
            && added.iter().all(|id| !self.segments.contains_key(*id));
        if fits { Ok(()) } else { Err(conflict("the segments are others")) }
    }

    /// Numbers of a tenant follow one another, also within one change.
    fn check_users(&self, users: &[NewUsers], erased: &[TenantId]) -> Result<(), PortError> {
        let mut known = BTreeMap::new();
        for new in users {
            let stored = || self.users.get(&new.tenant).filter(|_| !erased.contains(&new.tenant));
            let known = known.entry(&new.tenant).or_insert_with(|| stored().map_or(0, Vec::len));
            if new.first as usize != *known {
                return Err(conflict("the users are others"));
            }
            *known += new.names.len();
        }
        Ok(())
    }

    /// Leaves nothing of a tenant but its erasures.
    fn erase(&mut self, tenant: &TenantId) {
        self.rollups.retain(|key, _| key.tenant != *tenant);
        self.names.retain(|name| name.tenant != *tenant);
        self.letters.retain(|_, letter| letter.tenant.as_ref() != Some(tenant));
        self.users.remove(tenant);
        self.zones.remove(tenant);
        self.tenant_retention.remove(tenant);
        self.received.retain(|(of, _, _), _| of != tenant);
        self.metered.retain(|(of, _)| of != tenant);
        self.activity.retain(|(of, _, _), _| of != tenant);
        self.erased_activity.retain(|(of, _, _), _| of != tenant);
    }

    fn apply_erasures(&mut self, change: &Commit) {
        for one in &change.erasures {
            match self.erasures.iter_mut().find(|known| known.erasure.id == one.erasure.id) {
                Some(known) => *known = one.clone(),
                None => self.erasures.push(one.clone()),
            }
        }
        for (tenant, numbers) in &change.erased_users {
            let Some(names) = self.users.get_mut(tenant) else { continue };
            for number in numbers {
                if let Some(name) = names.get_mut(number.0 as usize) {
                    name.clear();
                }
            }
        }
        for Activity { tenant, filter, day, users } in &change.erased_activity {
            self.erased_activity.entry((tenant.clone(), filter.clone(), *day)).or_default().merge(users);
        }
        for seq in &change.emptied_letters {
            if let Some(letter) = self.letters.get_mut(seq) {
                letter.payload.clear();
                letter.reason.clear();
            }
        }
    }

    fn apply(&mut self, change: &Commit) {
        change.erased_tenants.iter().for_each(|tenant| self.erase(tenant));
        for (tenant, customer) in &change.erased_customers {
            self.received.retain(|(of, _, whose), _| of != tenant || whose != customer);
            self.metered.remove(&(tenant.clone(), customer.clone()));
        }
        if let Some((_, to)) = change.cursor {
            self.cursor = to;
        }
        for id in &change.forget_events {
            if let Some(segment) = self.segments.get_mut(id) {
                segment.files.retain(|file| file.kind != FileKind::Events);
            }
        }
        for id in &change.remove {
            self.segments.remove(id);
        }
        for segment in &change.add {
            let mut segment = segment.clone();
            segment.files.sort_by_key(|file| file.kind);
            self.segments.insert(segment.id.clone(), segment);
        }
        for rollup in &change.rollups {
            self.rollups.entry(rollup.key.clone()).or_default().merge(&rollup.totals);
        }
        for ReceivedSum { tenant, customer, start, amounts } in &change.received {
            self.received.entry((tenant.clone(), *start, customer.clone())).or_default().add(amounts);
        }
        self.metered.extend(change.metered.iter().cloned());
        self.names.extend(change.names.iter().cloned());
        for new in change.users.iter().filter(|new| !new.names.is_empty()) {
            self.users.entry(new.tenant.clone()).or_default().extend(new.names.iter().cloned());
        }
        if let Some((tenant, zone)) = &change.zone {
            self.zones.insert(tenant.clone(), zone.clone());
            self.activity.retain(|(of, _, _), _| of != tenant);
        }
        for Activity { tenant, filter, day, users } in &change.activity {
            self.activity.entry((tenant.clone(), filter.clone(), *day)).or_default().merge(users);
        }
        if let Some(after) = change.reopen_after {
            self.closed_through = self.closed_through.map(|closed| closed.min(after));
        }
        self.closed_through = self.closed_through.max(change.closed_through);
        self.retention_floor = self.retention_floor.max(change.retention_floor);
        self.retention_wait = change.retention_wait.unwrap_or(self.retention_wait);
        for one in &change.tenant_retention {
            let stored = self.tenant_retention.get(&one.tenant).map_or(one.floor, |stored| stored.floor);
            let kept = TenantRetention { floor: stored.max(one.floor), ..one.clone() };
            self.tenant_retention.insert(one.tenant.clone(), kept);
        }
        self.apply_erasures(change);
    }

    fn state(&self, identity: Identity) -> ManifestState {
        let mut segments: Vec<_> = self.segments.values().cloned().collect();
        segments.sort_by_key(|segment| segment.first_seq);
        ManifestState {
            identity,
            segments,
            cursor: self.cursor,
            closed_through: self.closed_through.unwrap_or(Timestamp::MIN),
            retention_floor: self.retention_floor.unwrap_or(Timestamp::MIN),
            retention_wait: self.retention_wait,
            tenant_retention: self.tenant_retention.values().cloned().collect(),
            received_after: Seq::ZERO,
            metered: self.metered.iter().cloned().collect(),
            names: self.names.iter().cloned().collect(),
            dead_letters: self.letters.len() as u64,
            users: self.users.iter().map(|(tenant, names)| (tenant.clone(), names.clone())).collect(),
            zones: self.zones.iter().map(|(tenant, zone)| (tenant.clone(), zone.clone())).collect(),
            erasures: self.erasures.clone(),
        }
    }
}

fn conflict(reason: &str) -> PortError {
    PortError::new(ErrorKind::Conflict, format!("commit to the manifest: {reason}"))
}

#[async_trait]
impl Manifest for MemoryManifest {
    async fn load(&self, identity: &Identity) -> Result<ManifestState, PortError> {
        let mut disk = self.disk.lock();
        let fixed = *disk.identity.get_or_insert(*identity);
        Ok(disk.state(fixed))
    }

    async fn commit(&self, change: &Commit) -> Result<(), PortError> {
        self.write(|disk| {
            disk.check(change)?;
            disk.apply(change);
            Ok(())
        })
    }

    async fn rollups(&self, scope: &TenantScope, range: TimeRange) -> Result<(Seq, Vec<Rollup>), PortError> {
        let disk = self.disk.lock();
        let mine = disk.rollups.iter().filter(|(key, _)| key.tenant == *scope.tenant() && range.contains(key.hour));
        Ok((disk.cursor, mine.map(|(key, totals)| Rollup { key: key.clone(), totals: *totals }).collect()))
    }

    async fn hour_sums(&self, scope: &TenantScope, query: &HourSumsQuery) -> Result<(Seq, Vec<Rollup>), PortError> {
        let (cursor, rollups) = self.rollups(scope, query.range).await?;
        let mut sums: BTreeMap<RollupKey, Totals> = BTreeMap::new();
        let is_one = |wanted: &Option<String>, name: &str| wanted.as_deref().is_none_or(|wanted| wanted == name);
        for Rollup { mut key, totals } in rollups {
            if is_one(&query.project, &key.project) && is_one(&query.kind, &key.kind) {
                key.project = if query.by_project { key.project } else { String::new() };
                key.kind = if query.by_kind { key.kind } else { String::new() };
                sums.entry(key).or_default().merge(&totals);
            }
        }
        if sums.len() > HOUR_SUMS_MAX {
            return Err(PortError::new(ErrorKind::Exhausted, "add up hours: there are too many"));
        }
        Ok((cursor, sums.into_iter().map(|(key, totals)| Rollup { key, totals }).collect()))
    }

    async fn type_sums(
        &self,
        scope: &TenantScope,
        range: TimeRange,
        project: Option<&str>,
    ) -> Result<(Seq, Vec<(String, Totals)>), PortError> {
        let (cursor, rollups) = self.rollups(scope, range).await?;
        let mut sums: BTreeMap<String, Totals> = BTreeMap::new();
        for rollup in rollups.iter().filter(|rollup| project.is_none_or(|project| project == rollup.key.project)) {
            sums.entry(rollup.key.kind.clone()).or_default().merge(&rollup.totals);
        }
        Ok((cursor, sums.into_iter().collect()))
    }

    async fn activity(
        &self,
        scope: &TenantScope,
        filter: &ActivityFilter,
        days: DayRange,
    ) -> Result<(Seq, Vec<(Day, UserSet)>), PortError> {
        let disk = self.disk.lock();
        let mine = disk
            .activity
            .iter()
            .filter(|((tenant, of, day), _)| tenant == scope.tenant() && of == filter && days.contains(*day));
        Ok((disk.cursor, mine.map(|((_, _, day), users)| (*day, users.clone())).collect()))
    }

    async fn received(&self, scope: &TenantScope, range: TimeRange) -> Result<(Seq, Vec<ReceivedSum>), PortError> {
        let disk = self.disk.lock();
        let mine =
            disk.received.iter().filter(|((tenant, start, _), _)| tenant == scope.tenant() && range.contains(*start));
        let sum = |((tenant, start, customer), amounts): (&(TenantId, Timestamp, String), &Amounts)| ReceivedSum {
            tenant: tenant.clone(),
            customer: customer.clone(),
            start: *start,
            amounts: *amounts,
        };
        Ok((disk.cursor, mine.map(sum).collect()))
    }

    async fn user_names(&self, scope: &TenantScope, users: &[UserNumber]) -> Result<Vec<Option<String>>, PortError> {
        let disk = self.disk.lock();
        let names = disk.users.get(scope.tenant());
        Ok(users.iter().map(|user| names?.get(user.0 as usize).cloned()).collect())
    }

    async fn erased_activity(&self, scope: &TenantScope) -> Result<Vec<Activity>, PortError> {
        let disk = self.disk.lock();
        let mine = disk.erased_activity.iter().filter(|((tenant, _, _), _)| tenant == scope.tenant());
        let activity = |((tenant, filter, day), users): (&(TenantId, ActivityFilter, Day), &UserSet)| Activity {
            tenant: tenant.clone(),
            filter: filter.clone(),
            day: *day,
            users: users.clone(),
        };
        Ok(mine.map(activity).collect())
    }

    async fn dead_letters(&self, scope: &TenantScope) -> Result<Vec<DeadLetter>, PortError> {
        let disk = self.disk.lock();
        let is_mine = |letter: &&DeadLetter| letter.tenant.as_ref().is_none_or(|tenant| tenant == scope.tenant());
        Ok(disk.letters.values().filter(is_mine).cloned().collect())
    }

    async fn scrub(&self) -> Result<(), PortError> {
        Ok(())
    }

    async fn store_dead_letter(&self, letter: &DeadLetter) -> Result<(), PortError> {
        self.write(|disk| {
            disk.letters.entry(letter.seq).or_insert_with(|| letter.clone());
            Ok(())
        })
    }

    async fn dead_letter(&self, scope: &TenantScope, seq: Seq) -> Result<Option<DeadLetter>, PortError> {
        let disk = self.disk.lock();
        Ok(disk.letters.get(&seq).filter(|letter| letter.tenant.as_ref() == Some(scope.tenant())).cloned())
    }
}

#[cfg(test)]
mod tests;
