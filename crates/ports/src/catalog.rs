//! Who the tenants are, and what each of them has decided.

use async_trait::async_trait;
use domain::calendar::WeekStart;
use domain::tenant::{TenantId, TenantScope};
use domain::time::Timestamp;

use crate::PortError;
use crate::active_users::VersionedZone;

/// A tenant, also called workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    /// Its name, unique.
    pub id: TenantId,
    /// What people call it.
    pub name: String,
    /// Whether its requests are to be served. Stored; not consulted yet.
    pub active: bool,
    /// When it was created.
    pub created: Timestamp,
    /// When it was last changed.
    pub updated: Timestamp,
}

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
}

/// The register of tenants.
#[async_trait]
pub trait Catalog: Send + Sync + std::fmt::Debug {
    /// Creates the tenants that do not exist yet, as of `now`; leaves the others as they are.
    ///
    /// # Errors
    /// When the store cannot be written.
    async fn ensure_tenants(&self, tenants: &[TenantId], now: Timestamp) -> Result<(), PortError>;

    /// All tenants in order of id.
    ///
    /// # Errors
    /// When the store cannot be read.
    async fn tenants(&self) -> Result<Vec<Tenant>, PortError>;

    /// The settings of the tenants that have decided anything.
    ///
    /// # Errors
    /// When the store cannot be read.
    async fn settings(&self) -> Result<Vec<(TenantId, TenantSettings)>, PortError>;

    /// Stores one tenant's settings, as of `now`. Durable on return.
    ///
    /// # Errors
    /// When the store cannot be written.
    async fn store_settings(
        &self,
        scope: &TenantScope,
        settings: &TenantSettings,
        now: Timestamp,
    ) -> Result<(), PortError>;

    /// The wanted zones of the tenants that have chosen one. The ledger's applied zone, see
    /// [`crate::active_users::ActiveUsers::applied_zone`], follows.
    ///
    /// # Errors
    /// When the store cannot be read.
    async fn wanted_zones(&self) -> Result<Vec<(TenantId, VersionedZone)>, PortError>;

    /// Stores the zone that a tenant wants, as of `now`. Durable on return.
    ///
    /// # Errors
    /// `Conflict` unless its version is higher than the stored one, or than 0 when none is stored; nothing has
    /// changed. Otherwise when the store cannot be written.
    async fn store_wanted_zone(
        &self,
        scope: &TenantScope,
        wanted: &VersionedZone,
        now: Timestamp,
    ) -> Result<(), PortError>;
}
