//! The settings of each tenant. Requests read them from memory. One change of a tenant is made at a time;
//! another one meanwhile waits for it. A setting is stored before it takes effect. A time zone takes effect later
//! than it is stored: the catalog keeps the wanted zone, and the ledger applies it when it has counted the
//! tenant's days again. A change of several settings begins with the zone, because a recount can fail.

mod recounts;
mod version;

use std::collections::HashMap;
use std::sync::Arc;

use domain::access::audit::Cause;
use domain::calendar::{Calendar, WeekStart, Zone};
use domain::limits::{Limits, SETTINGS_TURN_WAIT_MAX, WAITERS_PER_TENANT_MAX};
use domain::tenant::{TenantId, TenantScope};
use domain::time::{MICROS_PER_SECOND, Timestamp};
use parking_lot::{Mutex, RwLock};
use ports::active_users::{ActiveUsers, VersionedZone};
use ports::catalog::{Catalog, TenantSettings};
use ports::clock::Clock;
use ports::ledger::{Ledger, TenantNotice};
use ports::{ErrorKind, PortError};
use tokio::sync::{MutexGuard, Notify};

use crate::audited;
use crate::quotas::Quotas;
use crate::stop::Stop;

/// Held while a tenant's settings are being changed.
type ChangeLock = tokio::sync::Mutex<()>;

/// The settings of all tenants.
#[derive(Debug)]
pub struct Settings {
    catalog: Arc<dyn Catalog>,
    active_users: Arc<dyn ActiveUsers>,
    ledger: Arc<dyn Ledger>,
    clock: Arc<dyn Clock>,
    quotas: Arc<Quotas>,
    current: RwLock<HashMap<TenantId, VersionedSettings>>,
    changing: Mutex<HashMap<TenantId, Arc<ChangeLock>>>,
    /// Held while a tenant's days are counted in another zone, which may take long.
    changing_zone: Mutex<HashMap<TenantId, Arc<ChangeLock>>>,
    /// The wanted zones that are not applied yet.
    pending: RwLock<HashMap<TenantId, VersionedZone>>,
    /// Wakes [`Settings::resume_recounts`] when a recount has failed that may succeed later.
    unfinished: Notify,
    stop: Stop,
}

/// The settings of one tenant, and their version.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct VersionedSettings {
    /// The settings.
    pub settings: TenantSettings,
    /// Grows with every change: an answer kept under one generation is no answer under the next.
    pub generation: u64,
}

/// Why a change of settings is not made.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// They are of another version than the caller believes.
    #[error("the settings are of version {0} by now")]
    OtherVersion(u64),
    /// As the port says.
    #[error(transparent)]
    Port(#[from] PortError),
}

/// A change: what is given replaces what holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SettingsChange {
    /// The version that is to be changed, and no other; any if not given. See [`Settings::version`].
    pub expected: Option<u64>,
    /// The zone that days are counted in.
    pub zone: Option<Zone>,
    /// The day that weeks begin on.
    pub week_start: Option<WeekStart>,
    /// As [`TenantSettings::max_lateness_sec`].
    pub max_lateness_sec: Option<Option<u32>>,
    /// As [`TenantSettings::min_time`].
    pub min_time: Option<Option<Timestamp>>,
    /// As [`TenantSettings::retention_days`].
    pub retention_days: Option<Option<u32>>,
}

impl Settings {
    /// The settings of one process. `stored` is what the catalog holds; changes of a zone pass the gate if
    /// `active_users` is behind it.
    pub fn new(
        catalog: Arc<dyn Catalog>,
        active_users: Arc<dyn ActiveUsers>,
        ledger: Arc<dyn Ledger>,
        clock: Arc<dyn Clock>,
        stored: Vec<(TenantId, TenantSettings)>,
    ) -> Self {
        let current =
            stored.into_iter().map(|(tenant, settings)| (tenant, VersionedSettings { settings, generation: 0 }));
        let current = RwLock::new(current.collect());
        let (changing, changing_zone) = (Mutex::default(), Mutex::default());
        let (pending, unfinished) = (RwLock::default(), Notify::new());
        let quotas = Arc::new(Quotas::new(Arc::clone(&catalog), Arc::clone(&ledger), Arc::clone(&clock)));
        Self {
            catalog,
            active_users,
            ledger,
            clock,
            quotas,
            current,
            changing,
            changing_zone,
            pending,
            unfinished,
            stop: Stop::new(),
        }
    }

    /// The quotas of all tenants.
    pub fn quotas(&self) -> &Arc<Quotas> {
        &self.quotas
    }

    /// The settings of a tenant; the default ones when it has changed none.
    pub fn get(&self, scope: &TenantScope) -> VersionedSettings {
        self.current.read().get(scope.tenant()).copied().unwrap_or_default()
    }

    /// The tenant's applied zone and weeks.
    pub fn calendar(&self, scope: &TenantScope) -> Calendar {
        Calendar { zone: self.active_users.applied_zone(scope).zone, week_start: self.get(scope).settings.week_start }
    }

    /// The zone that the tenant wants and its days are not yet counted in, if there is one.
    pub fn pending_zone(&self, scope: &TenantScope) -> Option<Zone> {
        self.pending.read().get(scope.tenant()).map(|wanted| wanted.zone.clone())
    }

    /// `limits` as they hold for a tenant: how early and how late an event may be is for the tenant to say.
    pub fn limits(&self, scope: &TenantScope, limits: &Limits) -> Limits {
        let mut limits = limits.clone();
        let settings = self.get(scope).settings;
        limits.time_min = settings.min_time.unwrap_or(limits.time_min);
        if let Some(seconds) = settings.max_lateness_sec {
            limits.lateness_us_max = (seconds > 0).then(|| i64::from(seconds) * MICROS_PER_SECOND);
        }
        limits
    }

    /// Makes a change; it holds, and is durable with the audit entry about it, when this returns. Not to be dropped half way: run it
    /// as a task of its own.
    ///
    /// # Errors
    /// [`SettingsError::OtherVersion`] when the version is not the expected one: of two changes of one version, one is
    /// made. `Conflict` when it became another while the zone, which holds by then, was applied. `Overloaded` when other changes of this tenant take too long or too many wait, `Closed` when the server ends before
    /// the zone is applied, `Gone` when it can never be: then it is no longer wanted. After another failure of
    /// [`ActiveUsers::recount`] it still is, and applied later. As [`Catalog::store_settings`] otherwise; the
    /// zone may have changed when only the rest could not be stored.
    pub async fn change(
        &self,
        scope: &TenantScope,
        change: &SettingsChange,
        cause: &Cause,
    ) -> Result<(), SettingsError> {
        let mut expected = change.expected;
        if let Some(zone) = &change.zone {
            let lock = self.zone_lock(scope);
            let _alone = turn(&lock).await?;
            let wanted = {
                let lock = self.change_lock(scope);
                let _alone = turn(&lock).await?;
                self.check_version(scope, expected)?;
                let wanted = self.want_zone(scope, zone, cause).await?;
                expected = expected.map(|_| self.version(scope));
                wanted
            };
            if let Some(wanted) = wanted {
                self.apply_wanted(scope, &wanted).await?;
            }
        }
        let lock = self.change_lock(scope);
        let _alone = turn(&lock).await?;
        if change.zone.is_none() {
            self.check_version(scope, expected)?;
        }
        let before = self.get(scope).settings;
        let after = TenantSettings {
            week_start: change.week_start.unwrap_or(before.week_start),
            max_lateness_sec: change.max_lateness_sec.unwrap_or(before.max_lateness_sec),
            min_time: change.min_time.unwrap_or(before.min_time),
            retention_days: change.retention_days.unwrap_or(before.retention_days),
        };
        if after != before {
            if self.check_version(scope, expected).is_err() {
                let context = "change the settings: others changed them while the zone was applied";
                return Err(PortError::new(ErrorKind::Conflict, context).into());
            }
            let audit = audited::settings_change(cause, scope, self.clock.now(), &before, &after);
            self.catalog.store_settings(scope, &after, &audit).await?;
            self.publish(scope, after);
            if after.retention_days != before.retention_days {
                self.ledger.set_retention(scope, after.retention_days);
            }
        }
        Ok(())
    }

    /// How far back the tenant's raw events are shown, and what retention will drop of them.
    pub fn retention(&self, scope: &TenantScope) -> TenantNotice {
        self.ledger.retention_of(scope)
    }

    fn change_lock(&self, scope: &TenantScope) -> Arc<ChangeLock> {
        Arc::clone(self.changing.lock().entry(scope.tenant().clone()).or_default())
    }

    /// Apart from the lock of other changes, so that a recount does not hold those up.
    fn zone_lock(&self, scope: &TenantScope) -> Arc<ChangeLock> {
        Arc::clone(self.changing_zone.lock().entry(scope.tenant().clone()).or_default())
    }

    /// Gives up a change of a zone that is being made, and every later one: the server ends.
    pub(crate) fn stop(&self) {
        self.stop.drain();
    }

    fn publish(&self, scope: &TenantScope, settings: TenantSettings) {
        let mut current = self.current.write();
        let of = current.entry(scope.tenant().clone()).or_default();
        *of = VersionedSettings { settings, generation: of.generation + 1 };
    }
}

/// Waits until no other change of the tenant is being made.
async fn turn(lock: &Arc<ChangeLock>) -> Result<MutexGuard<'_, ()>, PortError> {
    let busy = |why| PortError::new(ErrorKind::Overloaded, format!("change settings: {why}"));
    // One is the map's, and one is held by the change that is being made.
    if Arc::strong_count(lock) > WAITERS_PER_TENANT_MAX + 2 {
        return Err(busy("too many other changes wait already"));
    }
    tokio::time::timeout(SETTINGS_TURN_WAIT_MAX, lock.lock()).await.map_err(|_| busy("another change takes too long"))
}

#[cfg(test)]
mod tests;
