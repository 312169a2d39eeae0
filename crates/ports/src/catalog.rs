//! Who the tenants are, and what each of them has decided.

use async_trait::async_trait;
use domain::access::audit::{AuditDraft, Cause};
use domain::access::record::Workspace;
use domain::calendar::WeekStart;
use domain::quota::{CarriedPeriods, VersionedQuota};
use domain::tenant::{TenantId, TenantScope};
use domain::time::Timestamp;

use crate::PortError;
use crate::active_users::VersionedZone;

/// What a tenant has decided for itself and holds as soon as it is stored. Its zone is kept beside: that holds
/// when the ledger has counted the tenant's days again, see [`Catalog::wanted_zones`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TenantSettings {
    /// The day that weeks begin on.
    pub week_start: WeekStart,
    /// How old an event may be on arrival, in seconds, 0 for any age; `None` leaves it to the server's
    /// setting.
    pub max_lateness_sec: Option<u32>,
    /// The earliest time that an event may have; `None` leaves it to the server's setting.
    pub min_time: Option<Timestamp>,
    /// For how many days raw events are kept, 0 for ever; `None` leaves it to the server's setting.
    pub retention_days: Option<u32>,
}

/// The register of tenants.
#[async_trait]
pub trait Catalog: Send + Sync + std::fmt::Debug {
    /// Creates the tenants that do not exist yet, as of `now`; leaves the others as they are. New ones are records of
    /// the register, of version 1 and a revision of their own, see [`crate::register::Register`]; each is in its own
    /// audit log and in the server's, by `cause` ([`Cause::drafts_of_new_workspace`]): all of it counts, or nothing.
    ///
    /// # Errors
    /// When the store cannot be written.
    async fn ensure_tenants(&self, tenants: &[TenantId], now: Timestamp, cause: &Cause) -> Result<(), PortError>;

    /// All tenants in order of id.
    ///
    /// # Errors
    /// When the store cannot be read.
    async fn tenants(&self) -> Result<Vec<Workspace>, PortError>;

    /// The settings of the tenants that have decided anything.
    ///
    /// # Errors
    /// When the store cannot be read.
    async fn settings(&self) -> Result<Vec<(TenantId, TenantSettings)>, PortError>;

    /// Stores one tenant's settings, as of the time of `audit`, which is added to the tenant's audit log: both count,
    /// or nothing. Durable on return.
    ///
    /// # Errors
    /// `Unacceptable` when `audit` is for another log than the tenant's. Otherwise when the store cannot be written.
    async fn store_settings(
        &self,
        scope: &TenantScope,
        settings: &TenantSettings,
        audit: &AuditDraft,
    ) -> Result<(), PortError>;

    /// The wanted zones of the tenants that have chosen one. The ledger's applied zone, see
    /// [`crate::active_users::ActiveUsers::applied_zone`], follows.
    ///
    /// # Errors
    /// When the store cannot be read.
    async fn wanted_zones(&self) -> Result<Vec<(TenantId, VersionedZone)>, PortError>;

    /// The periods of quotas that the last change of the zone found under way, of the tenants that have changed it.
    ///
    /// # Errors
    /// When the store cannot be read.
    async fn carried_periods(&self) -> Result<Vec<(TenantId, CarriedPeriods)>, PortError>;

    /// The quotas that were ever set, in order of tenant and key.
    ///
    /// # Errors
    /// When the store cannot be read.
    async fn quotas(&self) -> Result<Vec<(TenantId, VersionedQuota)>, PortError>;

    /// Stores the next version of a quota, as of the time of `audit`, which is added to the tenant's audit log: both
    /// count, or nothing. Durable on return.
    ///
    /// # Errors
    /// `Unacceptable` when `audit` is for another log than the tenant's. `Conflict` unless the version follows the stored
    /// one, or 0 when none is stored; nothing has changed. Otherwise when the store cannot be written.
    async fn store_quota(
        &self,
        scope: &TenantScope,
        quota: &VersionedQuota,
        audit: &AuditDraft,
    ) -> Result<(), PortError>;

    /// Stores the zone that a tenant wants, and the periods of quotas that are under way, as of the time of `audit`,
    /// which is added to the tenant's audit log: all of it counts, or nothing. Durable on return.
    ///
    /// # Errors
    /// `Unacceptable` when `audit` is for another log than the tenant's. `Conflict` unless its version is higher than the stored one, or than 0 when none is stored; nothing has
    /// changed. Otherwise when the store cannot be written.
    async fn store_wanted_zone(
        &self,
        scope: &TenantScope,
        wanted: &VersionedZone,
        carried: &CarriedPeriods,
        audit: &AuditDraft,
    ) -> Result<(), PortError>;
}
