//! Retention of tenants that have their own. Each has a floor of its own from its first look on, and keeps it when it
//! gives its setting up: the floor then goes where the server's is, with the same wait as any other change.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use domain::retention::{RetentionLook, RetentionStep, RetentionWait, floor_at};
use domain::tenant::TenantId;
use domain::time::{MICROS_PER_HOUR, TimeRange, Timestamp};
use ports::PortError;
use ports::ledger::TenantNotice;
use ports::manifest::{Commit, TenantRetention};

use super::Moved;
use crate::core::Core;
use crate::retention_run::WAIT_STORED_EVERY;
use crate::segment::columns::Columns;
use crate::segment::{KeyRange, Segment, corrupt};

/// What comes of a look at one tenant.
struct TenantStep {
    next: TenantRetention,
    look: RetentionLook,
    /// Whether the tenant had no floor of its own.
    is_new: bool,
}

impl Core {
    /// Takes a tenant's setting; what comes of it is decided at the next look.
    pub(crate) fn set_tenant_days(&self, tenant: &TenantId, days: Option<u32>) {
        let days_of = &mut self.retention.lock().tenants.days;
        match days {
            Some(days) => days_of.insert(tenant.clone(), days),
            None => days_of.remove(tenant),
        };
    }

    /// How far back a tenant's raw events are shown, and what its retention will drop.
    pub(crate) fn tenant_notice(&self, tenant: &TenantId) -> TenantNotice {
        let floors = Arc::clone(&self.state.read().floors);
        let (run, floor) = (self.retention.lock(), floors.of(tenant));
        let is_own = floors.own.contains_key(tenant) || run.tenants.days.contains_key(tenant);
        let wait = if is_own { run.tenants.wait_of(tenant) } else { run.wait };
        let due_in = self.options.retention_delay.saturating_sub(wait.waited);
        TenantNotice {
            kept_since: (floor > Timestamp::MIN).then_some(floor),
            waiting: (wait.floor > floor).then_some((wait.floor, due_in)),
        }
    }

    /// Moves the floors of tenants that are due.
    pub(super) async fn retain_tenants(
        &self,
        now: Timestamp,
        elapsed: Duration,
        delay: Duration,
    ) -> Result<Moved, PortError> {
        let steps = self.tenant_steps(now, elapsed, delay)?;
        let is_due = |step: &&TenantStep| step.is_new || step.next.floor > step.look.floor;
        let due: Vec<_> = steps.iter().filter(is_due).map(|step| step.next.clone()).collect();
        if !due.is_empty() {
            // Reading files takes a while, in which a tenant may have been told that it keeps its events.
            let may = |one: &TenantRetention| {
                one.floor <= self.tenant_target(&one.tenant, now).max(self.floor_of(&one.tenant))
            };
            let still_may = || due.iter().all(may);
            if self.move_floors(None, &due, still_may).await?.is_none() {
                return Ok(Moved::Overtaken);
            }
            self.note_stored(&due);
        }
        let waiting: Vec<_> = {
            let mut run = self.retention.lock();
            let mut changed = Vec::new();
            for TenantStep { next, .. } in steps.iter().filter(|step| !is_due(step)) {
                let (wait, stored) = run.tenants.waits.entry(next.tenant.clone()).or_default();
                *wait = next.wait;
                let (is_waiting, was_waiting) = (wait.floor > next.floor, stored.floor > next.floor);
                let (more, less) = (wait.waited.saturating_sub(stored.waited), stored.waited > wait.waited);
                if is_waiting != was_waiting || (is_waiting && (less || more >= WAIT_STORED_EVERY)) {
                    changed.push(next.clone());
                }
            }
            changed
        };
        self.store_tenants(&waiting).await?;
        steps.iter().for_each(tell);
        Ok(Moved::Done)
    }

    /// Makes waits durable.
    pub(super) async fn store_tenants(&self, tenants: &[TenantRetention]) -> Result<(), PortError> {
        if !tenants.is_empty() {
            let commit = Commit { tenant_retention: tenants.to_vec(), ..Commit::default() };
            self.manifest.commit(&commit).await?;
            self.note_stored(tenants);
        }
        Ok(())
    }

    fn note_stored(&self, tenants: &[TenantRetention]) {
        let waits = &mut self.retention.lock().tenants.waits;
        waits.extend(tenants.iter().map(|one| (one.tenant.clone(), (one.wait, one.wait))));
    }

    /// Whether all tenants with a setting of their own have had their first look.
    pub(super) fn has_own_floors(&self) -> bool {
        let floors = Arc::clone(&self.state.read().floors);
        self.retention.lock().tenants.days.keys().all(|tenant| floors.own.contains_key(tenant))
    }

    fn floor_of(&self, tenant: &TenantId) -> Timestamp {
        self.state.read().floors.of(tenant)
    }

    /// Where a tenant's floor belongs by the settings of this moment.
    fn tenant_target(&self, tenant: &TenantId, now: Timestamp) -> Timestamp {
        let own = self.retention.lock().tenants.days.get(tenant).copied();
        let days = own.or(self.options.retention_days).filter(|days| *days > 0);
        days.map_or(Timestamp::MIN, |days| floor_at(now, days))
    }

    fn tenant_steps(&self, now: Timestamp, elapsed: Duration, delay: Duration) -> Result<Vec<TenantStep>, PortError> {
        let floors = Arc::clone(&self.state.read().floors);
        let tenants: Vec<_> = {
            let run = self.retention.lock();
            let all: BTreeSet<_> = run.tenants.days.keys().chain(floors.own.keys()).cloned().collect();
            all.into_iter().map(|tenant| (run.tenants.wait_of(&tenant), tenant)).collect()
        };
        let mut steps = Vec::new();
        for (wait, tenant) in tenants {
            let target = self.tenant_target(&tenant, now);
            let look = RetentionLook { floor: floors.of(&tenant), wait, target, elapsed, delay };
            let (floor, wait) = match look.step() {
                RetentionStep::Keep => (look.floor, RetentionWait::NONE),
                RetentionStep::Drop(floor) => (floor, RetentionWait::NONE),
                RetentionStep::Wait(wait) if self.has_tenant_between(&tenant, look.floor, wait.floor) => {
                    (look.floor, wait)
                }
                // No further than was looked: what lies beyond waits for itself.
                RetentionStep::Wait(wait) => (wait.floor.floor_to(MICROS_PER_HOUR), RetentionWait::NONE),
            };
            let is_new = !floors.own.contains_key(&tenant);
            steps.push(TenantStep { next: TenantRetention { tenant, floor, wait }, look, is_new });
        }
        Ok(steps)
    }

    /// Whether a tenant may have raw events between a floor and a later one, by the bounds of pages.
    fn has_tenant_between(&self, tenant: &TenantId, floor: Timestamp, later: Timestamp) -> bool {
        let Some(range) = TimeRange::new(floor, later) else { return false };
        let segments = {
            let state = self.state.read();
            let mut tables = state.frozen.iter().map(|frozen| &**frozen).chain([&state.active]);
            if tables.any(|table| table.groups_of(tenant).any(|group| group.events(range).next().is_some())) {
                return true;
            }
            Arc::clone(&state.segments)
        };
        let keys = KeyRange { tenant: tenant.as_str(), grain: None, customer: None, from_customer: None, range };
        let files = segments.iter().filter(|segment| segment.overlaps(range)).filter_map(|segment| segment.events());
        let mut found = files.map(|file| file.find(&keys, &[range]));
        found.any(|found| !found.pure.is_empty() || !found.mixed.is_empty())
    }

    /// The tenants that have, or had, events in a segment. Read once for each segment.
    pub(super) fn tenants_in(&self, segment: &Segment) -> Result<Arc<[TenantId]>, PortError> {
        let id = &segment.meta().id;
        if let Some(known) = self.retention.lock().tenants.in_segments.get(id) {
            return Ok(Arc::clone(known));
        }
        let unreadable = |why| corrupt(id, why);
        let mut tenants: Vec<TenantId> = Vec::new();
        for batch in segment.sums().scan(&["tenant"]).map_err(unreadable)? {
            let batch = batch.map_err(unreadable)?;
            let columns = Columns(&batch);
            let texts = columns.texts("tenant").map_err(unreadable)?;
            for row in 0..batch.num_rows() {
                let text = texts.value(row);
                if tenants.last().is_none_or(|last| last.as_str() != text) {
                    let broken = |why: domain::tenant::InvalidTenant| {
                        corrupt(id, parquet::errors::ParquetError::General(why.to_string()))
                    };
                    tenants.push(TenantId::parse(text).map_err(broken)?);
                }
            }
        }
        let tenants: Arc<[TenantId]> = tenants.into();
        let existing: BTreeSet<String> = {
            let state = self.state.read();
            state.segments.iter().map(|segment| segment.meta().id.clone()).collect()
        };
        let in_segments = &mut self.retention.lock().tenants.in_segments;
        in_segments.retain(|name, _| existing.contains(name));
        in_segments.insert(id.clone(), Arc::clone(&tenants));
        Ok(tenants)
    }
}

/// Says in the log what a look at a tenant came to, when it is more than the passing of time.
fn tell(step: &TenantStep) {
    let TenantStep { next, look, .. } = step;
    if next.wait.floor > next.floor && !look.is_waiting() {
        tracing::warn!(
            tenant = %next.tenant,
            before = %next.wait.floor,
            due_in_sec = look.delay.saturating_sub(next.wait.waited).as_secs(),
            "a tenant's retention is new or shorter: its raw events will be dropped after the time given; a longer one \
             keeps them"
        );
    } else if next.floor > look.floor.plus_micros(MICROS_PER_HOUR) && look.is_waiting() {
        tracing::warn!(tenant = %next.tenant, before = %next.floor, "a tenant's retention has dropped its raw events");
    }
}
