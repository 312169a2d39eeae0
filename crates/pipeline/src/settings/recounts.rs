//! Applies the time zone that a tenant wants: the ledger counts the tenant's days again in it. The wanted zone is
//! stored first, so a recount that a crash or a failure has ended is made again in the background. When a recount
//! can never succeed, it is given up and the applied zone is stored as the wanted one.

use std::sync::Arc;
use std::time::Duration;

use domain::access::audit::Cause;
use domain::calendar::Zone;
use domain::tenant::TenantScope;
use ports::active_users::VersionedZone;
use ports::{ErrorKind, PortError};

use super::Settings;
use crate::audited;
use crate::failure::error_chain;
use crate::stop::StopSignal;

/// Pause before a recount that failed is made again.
const RETRY_WAIT: Duration = Duration::from_secs(30);

impl Settings {
    /// Applies the zones that are wanted and not applied, as a crash or a failed recount has left them, until the
    /// server ends.
    pub(crate) async fn resume_recounts(self: Arc<Self>, mut stop: StopSignal) {
        let resume = async {
            loop {
                if self.resume_all().await {
                    self.unfinished.notified().await;
                }
                self.clock.sleep(RETRY_WAIT).await;
            }
        };
        tokio::select! {
            biased;
            () = stop.ended() => {}
            () = resume => {}
        }
    }

    /// Tries each of them once; whether nothing is left to do.
    pub(super) async fn resume_all(&self) -> bool {
        let wanted = match self.catalog.wanted_zones().await {
            Ok(wanted) => wanted,
            Err(error) => {
                tracing::warn!(error = error_chain(&error), "the zones of tenants were not read; trying again");
                return false;
            }
        };
        let of_tenant = |(tenant, wanted)| (TenantScope::for_operator(tenant), wanted);
        let mut left: Vec<(TenantScope, VersionedZone)> = wanted.into_iter().map(of_tenant).collect();
        left.retain(|(scope, wanted)| self.active_users.applied_zone(scope).zone != wanted.zone);
        for (scope, wanted) in &left {
            let lock = self.zone_lock(scope);
            if let Ok(_alone) = lock.try_lock()
                && self.active_users.applied_zone(scope).zone != wanted.zone
            {
                self.pending.write().insert(scope.tenant().clone(), wanted.clone());
            }
        }
        let mut all_done = true;
        for (scope, _) in &left {
            all_done &= self.resume(scope).await;
        }
        all_done
    }

    async fn resume(&self, scope: &TenantScope) -> bool {
        let lock = self.zone_lock(scope);
        // A change of the zone that is being made applies it, or asks for another round.
        let Ok(_alone) = lock.try_lock() else { return true };
        let tenant = scope.tenant();
        let applied = match self.stored_zone(scope).await {
            Ok(wanted) => self.apply(scope, &wanted.unwrap_or_default()).await,
            Err(error) => Err(error),
        };
        match applied {
            Ok(()) => {
                let zone = self.active_users.applied_zone(scope).zone;
                tracing::info!(%tenant, zone = zone.name(), "the days of users are counted in the zone that was wanted");
                true
            }
            Err(error) if is_final(&error) => self.pending_zone(scope).is_none(),
            Err(error) => {
                tracing::warn!(%tenant, error = error_chain(&error), "the days of users were not counted again; trying later");
                false
            }
        }
    }

    /// Stores the zone as wanted; `None` when it holds already. The caller holds both locks of the tenant, and goes on
    /// with [`Settings::apply_wanted`].
    pub(super) async fn want_zone(
        &self,
        scope: &TenantScope,
        zone: &Zone,
        cause: &Cause,
    ) -> Result<Option<VersionedZone>, PortError> {
        let applied = self.active_users.applied_zone(scope);
        let stored = self.stored_zone(scope).await?;
        if applied.zone == *zone && stored.as_ref().is_none_or(|stored| stored.zone == *zone) {
            return Ok(None);
        }
        let wanted = match stored {
            Some(stored) if stored.zone == *zone && stored.version > applied.version => stored,
            stored => self.store_zone(scope, zone, &applied, stored, cause).await?,
        };
        let mut pending = self.pending.write();
        if applied.zone == wanted.zone {
            pending.remove(scope.tenant());
        } else {
            pending.insert(scope.tenant().clone(), wanted.clone());
        }
        Ok(Some(wanted))
    }

    /// Applies a zone that was stored as wanted. The caller holds the tenant's lock of zones.
    pub(super) async fn apply_wanted(&self, scope: &TenantScope, wanted: &VersionedZone) -> Result<(), PortError> {
        let changed = self.apply(scope, wanted).await;
        if changed.as_ref().is_err_and(|error| !is_final(error)) {
            self.unfinished.notify_one();
        }
        changed
    }

    /// Recounts, which may take long: it is left to the next start when the server is to end.
    async fn apply(&self, scope: &TenantScope, wanted: &VersionedZone) -> Result<(), PortError> {
        if self.active_users.applied_zone(scope).zone == wanted.zone {
            self.pending.write().remove(scope.tenant());
            return Ok(());
        }
        self.pending.write().insert(scope.tenant().clone(), wanted.clone());
        let mut stop = self.stop.signal();
        let recounted = tokio::select! {
            biased;
            () = stop.ended() => Err(PortError::new(ErrorKind::Closed, "change the zone: the server ends")),
            recounted = self.active_users.recount(scope, wanted) => recounted,
        };
        match &recounted {
            Ok(()) => {
                self.pending.write().remove(scope.tenant());
                self.publish(scope, self.get(scope).settings);
            }
            Err(error) if is_final(error) => self.give_up(scope, error).await,
            Err(_) => {}
        }
        recounted
    }

    /// Makes the applied zone the wanted one again.
    async fn give_up(&self, scope: &TenantScope, why: &PortError) {
        let applied = self.active_users.applied_zone(scope);
        let (tenant, zone) = (scope.tenant(), applied.zone.name());
        tracing::warn!(%tenant, zone, error = error_chain(why), "the zone of the tenant stays, since its days cannot be counted");
        let stored = match self.stored_zone(scope).await {
            Ok(stored) => self.store_zone(scope, &applied.zone, &applied, stored, &Cause::server()).await.map(drop),
            Err(error) => Err(error),
        };
        match stored {
            Ok(()) => drop(self.pending.write().remove(scope.tenant())),
            // It is tried again, and given up again.
            Err(error) => {
                tracing::warn!(%tenant, error = error_chain(&error), "the zone of the tenant was not stored");
                self.unfinished.notify_one();
            }
        }
    }

    /// The zone that the catalog holds for the tenant.
    async fn stored_zone(&self, scope: &TenantScope) -> Result<Option<VersionedZone>, PortError> {
        let zones = self.catalog.wanted_zones().await?;
        Ok(zones.into_iter().find(|(tenant, _)| tenant == scope.tenant()).map(|(_, wanted)| wanted))
    }

    /// Stores the zone under a version that is higher than any before.
    async fn store_zone(
        &self,
        scope: &TenantScope,
        zone: &Zone,
        applied: &VersionedZone,
        stored: Option<VersionedZone>,
        cause: &Cause,
    ) -> Result<VersionedZone, PortError> {
        let version = stored.as_ref().map_or(0, |stored| stored.version).max(applied.version) + 1;
        let before = stored.map_or_else(|| applied.zone.clone(), |stored| stored.zone);
        let now = self.clock.now();
        let audit = audited::zone_change(cause, scope, now, &before, zone);
        let wanted = VersionedZone { zone: zone.clone(), version };
        let (calendar, carried) = self.quotas.change_zone(scope, zone, now);
        self.catalog.store_wanted_zone(scope, &wanted, &carried, &audit).await?;
        self.quotas.set_calendar(scope, calendar);
        Ok(wanted)
    }
}

/// Whether the recount can never succeed: raw events are gone, or a later choice is applied already.
fn is_final(error: &PortError) -> bool {
    matches!(error.kind(), ErrorKind::Gone | ErrorKind::Conflict)
}
