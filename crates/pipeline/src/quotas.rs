//! The quotas of all workspaces: who may use how much, and how much is used. Requests reserve between the look-up of known
//! ids and the journal; applying turns a reservation into a count or takes it back. What is used is read from the ledger
//! when a period or a quota begins, while nothing of the workspace is on its way: then, and only then, the ledger knows
//! all of it.

mod held;
mod on_way;
mod pass;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use domain::access::audit::Cause;
use domain::calendar::Zone;
use domain::limits::QUOTAS_OF_WORKSPACE_MAX;
use domain::position::Seq;
use domain::quota::{Amounts, CarriedPeriods, QuotaCalendar, QuotaKey, QuotaTerms, VersionedQuota};
use domain::record::RecordView;
use domain::tenant::{TenantId, TenantScope};
use domain::time::{MICROS_PER_SECOND, TimeRange, Timestamp};
use parking_lot::RwLock;
use ports::catalog::Catalog;
use ports::clock::Clock;
use ports::ledger::{Ledger, Outcome};
use ports::{ErrorKind, PortError};
use tokio::sync::OwnedRwLockWriteGuard;

use crate::audited;
use crate::receipts::Receipts;
pub use held::QuotaState;
use on_way::IdHash;
use pass::Workspace;
pub(crate) use pass::{QuotaPass, Reservation, Reserving, Taken};

/// Longest wait for what is on its way to be applied before what is used is known.
const LOAD_WAIT_MAX: Duration = Duration::from_secs(10);

/// How long ago a request may have been received, in microseconds: longer than any waits on its way to a quota.
const RECEIVED_AGO_US_MAX: i64 = 5 * 60 * MICROS_PER_SECOND;

/// Why a quota is not changed.
#[derive(Debug, thiserror::Error)]
pub enum QuotaError {
    /// It is of another version than the caller believes.
    #[error("the quota is of version {0} by now")]
    OtherVersion(u64),
    /// Its customer is being erased.
    #[error("the customer is being erased; set the quota when that is done")]
    CustomerBeingErased,
    /// Its workspace is erased.
    #[error("the workspace is erased")]
    WorkspaceErased,
    /// As the port says.
    #[error(transparent)]
    Port(#[from] PortError),
}

/// The quotas of one process.
#[derive(Debug)]
pub struct Quotas {
    catalog: Arc<dyn Catalog>,
    ledger: Arc<dyn Ledger>,
    clock: Arc<dyn Clock>,
    /// All that were ever set.
    stored: RwLock<BTreeMap<(TenantId, QuotaKey), VersionedQuota>>,
    calendars: RwLock<HashMap<TenantId, Arc<QuotaCalendar>>>,
    /// That of all others: one and the same, so that the periods of it are remembered.
    usual_calendar: Arc<QuotaCalendar>,
    workspaces: RwLock<HashMap<TenantId, Arc<Workspace>>>,
    /// Held while a quota is changed.
    changing: tokio::sync::Mutex<()>,
    applied: OnceLock<Applied>,
}

/// What tells how far applying is.
#[derive(Debug)]
struct Applied {
    receipts: Arc<Receipts>,
    /// The last record that was durable at the start.
    replay_until: Seq,
}

impl Quotas {
    pub(crate) fn new(catalog: Arc<dyn Catalog>, ledger: Arc<dyn Ledger>, clock: Arc<dyn Clock>) -> Self {
        let (stored, calendars, usual_calendar, workspaces) = Default::default();
        let (changing, applied) = Default::default();
        Self { catalog, ledger, clock, stored, calendars, usual_calendar, workspaces, changing, applied }
    }

    /// Reads what the catalog holds; before requests are taken. Quotas of who is being erased are left out: they go with
    /// that.
    ///
    /// # Errors
    /// When the catalog cannot be read, or the ledger does not count a customer that has a quota.
    pub async fn load(&self) -> Result<(), PortError> {
        let mut calendars: HashMap<TenantId, QuotaCalendar> = HashMap::new();
        for (tenant, wanted) in self.catalog.wanted_zones().await? {
            calendars.entry(tenant).or_default().zone = wanted.zone;
        }
        for (tenant, carried) in self.catalog.carried_periods().await? {
            calendars.entry(tenant).or_default().carried = Some(carried);
        }
        *self.calendars.write() =
            calendars.into_iter().map(|(tenant, calendar)| (tenant, Arc::new(calendar))).collect();
        let mut stored = Vec::new();
        for (tenant, quota) in self.catalog.quotas().await? {
            if let (Some(customer), Some(_)) = (&quota.key.customer, quota.terms) {
                // Known already, unless the ledger is another one than when it was set.
                match self.ledger.meter_customer(&TenantScope::for_operator(tenant.clone()), customer).await {
                    Err(why) if why.kind() == ErrorKind::Conflict => continue,
                    metered => metered?,
                }
            }
            stored.push((tenant, quota));
        }
        let tenants: Vec<_> = stored.iter().map(|(tenant, _)| tenant.clone()).collect();
        *self.stored.write() = stored.into_iter().map(|(tenant, quota)| ((tenant, quota.key.clone()), quota)).collect();
        tenants.iter().for_each(|tenant| self.publish(tenant));
        Ok(())
    }

    /// Says how far applying is told by `receipts`, and up to where it has to be before anything is known.
    pub(crate) fn attach(&self, receipts: Arc<Receipts>, replay_until: Seq) {
        // The second pipeline over the same settings goes by the first; there is none but in tests.
        let _ = self.applied.set(Applied { receipts, replay_until });
    }

    /// The quotas of a workspace, in order of key.
    pub fn list(&self, scope: &TenantScope) -> Vec<VersionedQuota> {
        let stored = self.stored.read();
        let mine = stored.iter().filter(|((tenant, _), quota)| tenant == scope.tenant() && quota.terms.is_some());
        mine.map(|(_, quota)| quota.clone()).collect()
    }

    /// Sets a quota, or removes it; it holds, and is durable with the audit entry about it, when this returns. `None`
    /// when there is none to remove. With `expected` only the quota of that version is changed, and none is new. Not to
    /// be dropped half way: run it as a task of its own.
    ///
    /// # Errors
    /// [`QuotaError::OtherVersion`] when the version is not the expected one; one that is not there is of version 0.
    /// [`QuotaError::CustomerBeingErased`] or [`QuotaError::WorkspaceErased`] when nothing may be counted for it.
    /// `Exhausted` when the workspace has as many as it can have, `Overloaded` when what is on its way takes too long.
    /// As [`Catalog::store_quota`] otherwise.
    pub async fn set(
        &self,
        scope: &TenantScope,
        key: QuotaKey,
        terms: Option<QuotaTerms>,
        expected: Option<u64>,
        cause: &Cause,
    ) -> Result<Option<VersionedQuota>, QuotaError> {
        let _one = self.changing.lock().await;
        let before = self.stored.read().get(&(scope.tenant().clone(), key.clone())).cloned();
        let was = before.as_ref().and_then(|before| before.terms);
        if was.is_none() && terms.is_none() {
            return Ok(None);
        }
        let is = before.as_ref().filter(|_| was.is_some()).map_or(0, |before| before.version);
        if expected.is_some_and(|expected| expected != is) {
            return Err(QuotaError::OtherVersion(is));
        }
        if was == terms {
            return Ok(before);
        }
        if was.is_none() && self.list(scope).len() >= QUOTAS_OF_WORKSPACE_MAX {
            let message = format!("set a quota: the workspace has {QUOTAS_OF_WORKSPACE_MAX} already");
            return Err(PortError::new(ErrorKind::Exhausted, message).into());
        }
        if terms.is_some() {
            self.count_for(scope, &key).await?;
        }
        let version = before.map_or(0, |before| before.version) + 1;
        let next = VersionedQuota { key, terms, version };
        let audit = audited::quota_change(cause, scope, self.clock.now(), &next.key, was, terms);
        let workspace = self.workspace(scope.tenant());
        // Whoever is on the way to the journal has been held to the quotas before.
        let _alone = self.alone(&workspace).await?;
        self.catalog.store_quota(scope, &next, &audit).await?;
        self.stored.write().insert((scope.tenant().clone(), next.key.clone()), next.clone());
        self.publish(scope.tenant());
        Ok(Some(next))
    }

    /// Has counted what a quota is held against, unless that is erased. The caller holds `changing`: an erasure that begins
    /// later finds the quota.
    async fn count_for(&self, scope: &TenantScope, key: &QuotaKey) -> Result<(), QuotaError> {
        if self.ledger.refuses(scope, None, None) {
            return Err(QuotaError::WorkspaceErased);
        }
        let Some(customer) = &key.customer else { return Ok(()) };
        self.ledger.meter_customer(scope, customer).await.map_err(|why| match why.kind() {
            ErrorKind::Conflict => QuotaError::CustomerBeingErased,
            _ => why.into(),
        })
    }

    /// Takes the quotas of a workspace as the catalog holds them, which has forgotten some: later requests are held to
    /// these. Again without effect. Not to be dropped half way.
    ///
    /// # Errors
    /// As [`Catalog::quotas`], or `Overloaded` when what is on its way takes too long; those from before hold then.
    pub async fn take_stored(&self, scope: &TenantScope) -> Result<(), PortError> {
        let is_its = |(tenant, _): &(TenantId, QuotaKey)| tenant == scope.tenant();
        // Held over both: what is set meanwhile is in the catalog and here, or in neither yet.
        let _one = self.changing.lock().await;
        let before: BTreeMap<_, _> = {
            let stored = self.stored.read();
            stored.iter().filter(|(key, _)| is_its(key)).map(|(key, quota)| (key.clone(), quota.clone())).collect()
        };
        if before.is_empty() {
            return Ok(());
        }
        let all = self.catalog.quotas().await?;
        let now = all.into_iter().map(|(tenant, quota)| ((tenant, quota.key.clone()), quota));
        let now: BTreeMap<_, _> = now.filter(|(key, _)| is_its(key)).collect();
        if now == before {
            return Ok(());
        }
        let workspace = self.workspace(scope.tenant());
        // Whoever is on the way to the journal has been held to those from before.
        let _alone = self.alone(&workspace).await?;
        {
            let mut stored = self.stored.write();
            stored.retain(|key, _| !is_its(key));
            stored.extend(now);
        }
        self.publish(scope.tenant());
        Ok(())
    }

    /// Has the requests of a workspace wait before it is decided what is refused, with a quota or without, as long as what
    /// is returned lives. All that have been decided on before are journaled by then, or go no further.
    ///
    /// # Errors
    /// `Overloaded` when that takes too long.
    pub(crate) async fn hold_requests(&self, scope: &TenantScope) -> Result<OwnedRwLockWriteGuard<()>, PortError> {
        self.alone(&self.workspace(scope.tenant())).await
    }

    /// Where the quotas of a workspace stand; of customers those that `wanted` names.
    ///
    /// # Errors
    /// `Overloaded` when that is not known in time. As [`Ledger::received`] otherwise.
    pub async fn states(
        &self,
        scope: &TenantScope,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<Vec<QuotaState>, PortError> {
        let pass = self.enter(scope, self.clock.now()).await?;
        let Some(periods) = pass.periods else { return Ok(Vec::new()) };
        let states = pass.workspace.held.lock().states(&periods, wanted);
        Ok(states)
    }

    /// Lets a request received at `received_at` reserve, when it is known what is used then.
    ///
    /// # Errors
    /// As [`Quotas::states`]; `Overloaded` too when nobody is let in for long.
    pub(crate) async fn enter(&self, scope: &TenantScope, received_at: Timestamp) -> Result<QuotaPass, PortError> {
        let workspace = self.workspace(scope.tenant());
        loop {
            let guard = tokio::select! {
                biased;
                guard = Arc::clone(&workspace.gate).read_owned() => guard,
                () = self.clock.sleep(LOAD_WAIT_MAX) => return Err(late()),
            };
            let (periods, is_known) = {
                let (mut held, calendar) = (workspace.held.lock(), self.calendar(scope.tenant()));
                if held.is_limited() && is_of_earlier_calendar(&calendar, received_at) {
                    return Err(late());
                }
                let periods = held.is_limited().then(|| held.periods(&calendar, received_at));
                (periods, periods.is_none_or(|periods| held.missing(&periods).is_empty()))
            };
            if is_known {
                return Ok(QuotaPass { workspace, guard, periods, received_at });
            }
            drop(guard);
            self.load_used(scope, &workspace, received_at).await?;
        }
    }

    /// Reads what is used in the periods at `at`.
    async fn load_used(&self, scope: &TenantScope, workspace: &Workspace, at: Timestamp) -> Result<(), PortError> {
        let _alone = self.alone(workspace).await?;
        let calendar = self.calendar(scope.tenant());
        let (missing, journaled) = {
            let mut held = workspace.held.lock();
            let periods = held.periods(&calendar, at);
            (held.missing(&periods), held.journaled)
        };
        if missing.is_empty() {
            return Ok(());
        }
        self.wait_applied(journaled).await?;
        for (period, range) in missing {
            let received = self.ledger.received(scope, range).await?;
            workspace.held.lock().load(period, range, received);
        }
        Ok(())
    }

    /// Waits until nothing of a workspace is on its way to the journal, and keeps it so.
    async fn alone(&self, workspace: &Workspace) -> Result<OwnedRwLockWriteGuard<()>, PortError> {
        tokio::select! {
            biased;
            alone = Arc::clone(&workspace.gate).write_owned() => Ok(alone),
            () = self.clock.sleep(LOAD_WAIT_MAX) => Err(late()),
        }
    }

    async fn wait_applied(&self, journaled: Seq) -> Result<(), PortError> {
        let Some(Applied { receipts, replay_until }) = self.applied.get() else { return Ok(()) };
        tokio::select! {
            biased;
            () = receipts.wait_for(journaled.max(*replay_until)) => Ok(()),
            () = self.clock.sleep(LOAD_WAIT_MAX) => Err(late()),
        }
    }

    /// Waits until no event of these ids is on its way.
    ///
    /// # Errors
    /// `Overloaded` when that takes too long.
    pub(crate) async fn wait_arrived(&self, workspace: &Workspace, ids: &[IdHash]) -> Result<(), PortError> {
        let arrived = async {
            loop {
                let mut next = std::pin::pin!(workspace.arrived.notified());
                next.as_mut().enable();
                if !ids.iter().any(|id| workspace.held.lock().on_way.has(*id)) {
                    return;
                }
                next.await;
            }
        };
        tokio::select! {
            biased;
            () = arrived => Ok(()),
            () = self.clock.sleep(LOAD_WAIT_MAX) => Err(late()),
        }
    }

    /// Record `seq` was applied: what its events that do not count have reserved is taken back.
    pub(crate) fn applied(&self, seq: Seq, record: &RecordView<'_>, outcomes: &[Outcome]) {
        let all_count = outcomes.iter().all(|outcome| *outcome == Outcome::Fresh);
        let mut outcomes = outcomes.iter();
        let is_released = || outcomes.next().is_some_and(|outcome| *outcome != Outcome::Fresh);
        self.arrived(seq, record, (!all_count).then_some(is_released));
    }

    /// Record `seq` became a dead letter: nothing of it counts.
    pub(crate) fn dead_lettered(&self, seq: Seq, record: &RecordView<'_>) {
        self.arrived(seq, record, Some(|| true));
    }

    /// Nothing of record `seq` is on its way any more. What those of its events have reserved for which `is_released`,
    /// asked in order, holds is taken back.
    fn arrived(&self, seq: Seq, record: &RecordView<'_>, is_released: Option<impl FnMut() -> bool>) {
        let Some(workspace) = self.workspaces.read().get(record.tenant()).cloned() else { return };
        let mut held = workspace.held.lock();
        held.on_way.applied(seq);
        if let Some(mut is_released) = is_released.filter(|_| held.is_limited()) {
            for body in record.bodies() {
                if is_released()
                    && let Ok(Ok((event, _))) = body.map(|body| body.event_with_identity())
                {
                    held.take_back(record.received_at(), event.customer.unwrap_or(""), &Amounts::of(&event));
                }
            }
        }
        drop(held);
        workspace.arrived.notify_waiters();
    }

    /// The periods of a workspace.
    fn calendar(&self, tenant: &TenantId) -> Arc<QuotaCalendar> {
        Arc::clone(self.calendars.read().get(tenant).unwrap_or(&self.usual_calendar))
    }

    /// The periods that are under way when the zone becomes `zone` at `at`, and those from then on, which
    /// [`Quotas::set_calendar`] takes.
    pub(crate) fn change_zone(
        &self,
        scope: &TenantScope,
        zone: &Zone,
        at: Timestamp,
    ) -> (QuotaCalendar, CarriedPeriods) {
        self.calendar(scope.tenant()).change(zone.clone(), at)
    }

    /// Takes the periods that the catalog has stored.
    pub(crate) fn set_calendar(&self, scope: &TenantScope, calendar: QuotaCalendar) {
        self.calendars.write().insert(scope.tenant().clone(), Arc::new(calendar));
    }

    fn workspace(&self, tenant: &TenantId) -> Arc<Workspace> {
        if let Some(workspace) = self.workspaces.read().get(tenant) {
            return Arc::clone(workspace);
        }
        Arc::clone(self.workspaces.write().entry(tenant.clone()).or_default())
    }

    fn publish(&self, tenant: &TenantId) {
        let stored = self.stored.read();
        let mine = stored.iter().filter(|((of, _), _)| of == tenant);
        self.workspace(tenant).held.lock().set(mine.filter_map(|(_, quota)| quota.quota()));
    }
}

/// Whether a request was received just before the periods began in which the zone was changed: those that it lies in are
/// not known any more, and are over. It has to be received again. What lies further back is of a clock that was corrected.
fn is_of_earlier_calendar(calendar: &QuotaCalendar, received_at: Timestamp) -> bool {
    let Some(CarriedPeriods { day, month }) = calendar.carried else { return false };
    let ago_us = |range: TimeRange| range.from().micros().saturating_sub(received_at.micros());
    [day, month].into_iter().any(|range| (1..RECEIVED_AGO_US_MAX).contains(&ago_us(range)))
}

fn late() -> PortError {
    PortError::new(ErrorKind::Overloaded, "read what is used of a quota: events on their way are not applied in time")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_request_from_before_the_day_of_a_change_of_zone_has_to_come_again() {
        let at = |text: &str| Timestamp::parse(text).unwrap();
        let changed = QuotaCalendar::default().change(Zone::parse("Asia/Tokyo").unwrap(), at("2026-05-10T00:00:01Z")).0;
        for (received_at, is_earlier) in [
            ("2026-05-09T23:59:59.999999Z", true),
            ("2026-05-10T00:00:00Z", false),
            ("2026-05-11T15:00:00Z", false),
            ("2026-05-09T20:00:00Z", false),
        ] {
            assert_eq!(is_of_earlier_calendar(&changed, at(received_at)), is_earlier, "{received_at}");
        }
        assert!(!is_of_earlier_calendar(&QuotaCalendar::default(), at("2026-05-09T23:59:59Z")), "never changed");
    }
}
