//! What each tenant has decided for itself: read at every request from memory, changed one change at
//! a time per tenant, stored before it holds. The time zone is kept by the ledger, because the days
//! counted in it belong to it; it is changed first, since that is what can fail.

use std::collections::HashMap;
use std::sync::Arc;

use domain::calendar::{Calendar, WeekStart, Zone};
use domain::limits::Limits;
use domain::tenant::{TenantId, TenantScope};
use domain::time::MICROS_PER_SECOND;
use parking_lot::{Mutex, RwLock};
use ports::active_users::ActiveUsers;
use ports::catalog::{Catalog, TenantSettings};
use ports::clock::Clock;
use ports::{ErrorKind, PortError};

use crate::stop::Stop;

/// Held while a tenant's settings are changed.
type Turn = tokio::sync::Mutex<()>;

/// The settings of all tenants.
#[derive(Debug)]
pub struct Settings {
    catalog: Arc<dyn Catalog>,
    active_users: Arc<dyn ActiveUsers>,
    clock: Arc<dyn Clock>,
    current: RwLock<HashMap<TenantId, Current>>,
    changing: Mutex<HashMap<TenantId, Arc<Turn>>>,
    stop: Stop,
}

/// What holds for one tenant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Current {
    /// What it has decided.
    pub settings: TenantSettings,
    /// Grows with every change: an answer kept under one generation is no answer under the next.
    pub generation: u64,
}

/// A change: what is given replaces what holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SettingsChange {
    /// The zone that days are counted in.
    pub zone: Option<Zone>,
    /// The day that weeks begin on.
    pub week_start: Option<WeekStart>,
    /// As [`TenantSettings::max_lateness_sec`].
    pub max_lateness_sec: Option<Option<u32>>,
}

impl Settings {
    /// The settings of one process. `stored` is what the catalog holds; changes of a zone pass the gate if
    /// `active_users` is behind it.
    pub fn new(
        catalog: Arc<dyn Catalog>,
        active_users: Arc<dyn ActiveUsers>,
        clock: Arc<dyn Clock>,
        stored: Vec<(TenantId, TenantSettings)>,
    ) -> Self {
        let current = stored.into_iter().map(|(tenant, settings)| (tenant, Current { settings, generation: 0 }));
        let current = RwLock::new(current.collect());
        Self { catalog, active_users, clock, current, changing: Mutex::default(), stop: Stop::new() }
    }

    /// What holds for a tenant.
    pub fn of(&self, scope: &TenantScope) -> Current {
        self.current.read().get(scope.tenant()).copied().unwrap_or_default()
    }

    /// The tenant's own zone and weeks.
    pub fn calendar(&self, scope: &TenantScope) -> Calendar {
        Calendar { zone: self.active_users.zone(scope), week_start: self.of(scope).settings.week_start }
    }

    /// `limits` as they hold for a tenant: how late an event may be is for the tenant to say.
    pub(crate) fn limits(&self, scope: &TenantScope, limits: &Limits) -> Limits {
        let mut limits = limits.clone();
        if let Some(seconds) = self.of(scope).settings.max_lateness_sec {
            limits.lateness_us_max = (seconds > 0).then(|| i64::from(seconds) * MICROS_PER_SECOND);
        }
        limits
    }

    /// Makes a change; it holds, and is durable, when this returns. Not to be dropped half way: run it
    /// as a task of its own.
    ///
    /// # Errors
    /// `Overloaded` while another change of this tenant is being made, `Closed` when the server ends before
    /// the zone is changed. As [`ActiveUsers::set_zone`] and
    /// [`Catalog::store_settings`]; the zone may have changed when only the rest could not be stored.
    pub async fn change(&self, scope: &TenantScope, change: &SettingsChange) -> Result<(), PortError> {
        let lock = Arc::clone(self.changing.lock().entry(scope.tenant().clone()).or_default());
        let Ok(_alone) = lock.try_lock() else {
            return Err(PortError::new(ErrorKind::Overloaded, "change settings: another change is being made"));
        };
        if let Some(zone) = change.zone.as_ref().filter(|zone| **zone != self.active_users.zone(scope)) {
            self.change_zone(scope, zone).await?;
            self.publish(scope, self.of(scope).settings);
        }
        let before = self.of(scope).settings;
        let after = TenantSettings {
            week_start: change.week_start.unwrap_or(before.week_start),
            max_lateness_sec: change.max_lateness_sec.unwrap_or(before.max_lateness_sec),
        };
        if after != before {
            self.catalog.store_settings(scope, &after, self.clock.now()).await?;
            self.publish(scope, after);
        }
        Ok(())
    }

    /// Recounting the days of a zone may take long: it is given up when the server is to end.
    async fn change_zone(&self, scope: &TenantScope, zone: &Zone) -> Result<(), PortError> {
        let mut stop = self.stop.signal();
        tokio::select! {
            biased;
            () = stop.ended() => Err(PortError::new(ErrorKind::Closed, "change the zone: the server ends")),
            changed = self.active_users.set_zone(scope, zone) => changed,
        }
    }

    /// Gives up a change of a zone that is being made, and every later one: the server ends.
    pub(crate) fn stop(&self) {
        self.stop.drain();
    }

    fn publish(&self, scope: &TenantScope, settings: TenantSettings) {
        let mut current = self.current.write();
        let of = current.entry(scope.tenant().clone()).or_default();
        *of = Current { settings, generation: of.generation + 1 };
    }
}

#[cfg(test)]
mod tests;
