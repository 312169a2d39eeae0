//! A request on its way through the quotas of its workspace. While a [`QuotaPass`] or a [`Reservation`] lives, what is
//! used is not loaded anew, so that nothing on its way is forgotten.

use std::sync::Arc;

use domain::event::{EventId, EventView};
use domain::position::Seq;
use domain::quota::Amounts;
use domain::rejection::Rejection;
use domain::tenant::TenantScope;
use domain::time::Timestamp;
use hashbrown::HashMap;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, OwnedRwLockReadGuard, RwLock};

use super::held::{Held, OverSoft, Periods, Reserved};
use super::on_way::IdHash;

/// What requests of one workspace share.
#[derive(Debug, Default)]
pub(crate) struct Workspace {
    /// Held by requests that are on their way to the journal; taken alone to load what is used.
    pub(super) gate: Arc<RwLock<()>>,
    pub(super) held: Mutex<Held>,
    /// Told when events have been applied, or go no further.
    pub(super) arrived: Notify,
}

/// The right of a request to reserve.
#[derive(Debug)]
pub(crate) struct QuotaPass {
    pub(super) workspace: Arc<Workspace>,
    pub(super) guard: OwnedRwLockReadGuard<()>,
    /// The periods that it lies in; none without a quota.
    pub(super) periods: Option<Periods>,
    pub(super) received_at: Timestamp,
}

impl QuotaPass {
    /// What it shares with other requests.
    pub(crate) fn workspace(&self) -> Arc<Workspace> {
        Arc::clone(&self.workspace)
    }

    /// Begins to reserve, one event after another. Holds the lock of the workspace.
    pub(crate) fn begin(&self) -> Reserving<'_> {
        let held = self.periods.map(|periods| (periods, self.workspace.held.lock()));
        Reserving { received_at: self.received_at, held, taken: Taken::default() }
    }

    /// What was reserved, to be held until the journal has answered. At once after reserving: `taken` alone gives nothing
    /// back.
    pub(crate) fn reserved(self, taken: &mut Taken) -> Reservation {
        let Self { workspace, guard, received_at, .. } = self;
        let (by_customer, ids) = (std::mem::take(&mut taken.by_customer), std::mem::take(&mut taken.ids));
        Reservation { workspace, received_at, of_all: taken.of_all, by_customer, ids, _guard: guard }
    }
}

/// What a request has reserved.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// By events of no customer with a quota.
    of_all: Amounts,
    /// By those of customers with one.
    by_customer: HashMap<String, Amounts>,
    ids: Vec<IdHash>,
    /// Refused ids of which an event is on its way.
    awaited: Vec<IdHash>,
    /// Events that go over a soft limit.
    over_soft: u64,
    /// Soft limits that it is the first to pass.
    passed: Vec<OverSoft>,
}

impl Taken {
    /// Refused ids of which an event is on its way: whether the refusal stands is known when it has arrived.
    pub(crate) fn awaited(&self) -> &[IdHash] {
        &self.awaited
    }

    /// What is reserved by events whose narrowest scope is this one.
    fn reserved_in(&mut self, scope: &str) -> &mut Amounts {
        if scope.is_empty() { &mut self.of_all } else { self.by_customer.entry_ref(scope).or_default() }
    }

    /// How many events go over a soft limit.
    pub(crate) const fn over_soft(&self) -> u64 {
        self.over_soft
    }

    /// Tells the operator which soft limits are passed, each when it is.
    pub(crate) fn tell(&self, scope: &TenantScope) {
        for OverSoft { is_customers, measure, period, limit, until } in &self.passed {
            tracing::warn!(
                workspace = scope.tenant().as_str(),
                of_customer = is_customers,
                measure = measure.as_str(),
                period = period.as_str(),
                limit,
                %until,
                "a soft quota is passed"
            );
        }
    }
}

/// A request that is reserving. Dropping it before [`Reserving::finish`] takes nothing back.
pub(crate) struct Reserving<'p> {
    received_at: Timestamp,
    /// `None` without a quota: nothing is held then.
    held: Option<(Periods, MutexGuard<'p, Held>)>,
    taken: Taken,
}

impl Reserving<'_> {
    /// Reserves what one event uses.
    ///
    /// # Errors
    /// The refusal, when that would go over a hard limit.
    pub(crate) fn take(&mut self, event: &EventView<'_>, id: &EventId<'_>) -> Result<(), Rejection> {
        let Some((periods, held)) = &mut self.held else { return Ok(()) };
        let (taken, id) = (&mut self.taken, held.on_way.hash(id));
        match held.take(periods, self.received_at, event, &mut taken.passed) {
            Ok(Reserved { scope, amounts, over_soft }) => {
                taken.over_soft += u64::from(over_soft);
                taken.reserved_in(scope).add(&amounts);
            }
            Err(refusal) => {
                taken.awaited.extend(Some(id).filter(|id| held.on_way.has(*id)));
                return Err(refusal);
            }
        }
        held.on_way.add(id);
        taken.ids.push(id);
        Ok(())
    }

    /// What was reserved.
    pub(crate) fn finish(self) -> Taken {
        self.taken
    }
}

/// What is reserved for events that the journal has not taken yet. Dropping it takes it back.
#[derive(Debug)]
pub(crate) struct Reservation {
    workspace: Arc<Workspace>,
    received_at: Timestamp,
    /// As in [`Taken`].
    of_all: Amounts,
    by_customer: HashMap<String, Amounts>,
    /// The ids of its events; none once it is no longer for this to take anything back.
    ids: Vec<IdHash>,
    _guard: OwnedRwLockReadGuard<()>,
}

impl Reservation {
    /// The events are durable as record `seq`: what becomes of the reservation is decided when they are applied.
    pub(crate) fn journaled(mut self, seq: Seq) {
        let ids = std::mem::take(&mut self.ids);
        let mut held = self.workspace.held.lock();
        held.journaled = held.journaled.max(seq);
        if !ids.is_empty() {
            held.on_way.journaled(seq, ids);
            drop(held);
            self.workspace.arrived.notify_waiters();
        }
    }

    /// Nobody knows whether the events are durable: they may still be applied, so what they use stays reserved.
    pub(crate) fn in_doubt(mut self) {
        self.ids.clear();
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if !self.ids.is_empty() {
            let mut held = self.workspace.held.lock();
            held.take_back(self.received_at, "", &self.of_all);
            self.by_customer.iter().for_each(|(customer, amounts)| held.take_back(self.received_at, customer, amounts));
            held.on_way.remove(&self.ids);
            drop(held);
            self.workspace.arrived.notify_waiters();
        }
    }
}
