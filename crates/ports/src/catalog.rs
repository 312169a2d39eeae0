//! Who the tenants are.

use async_trait::async_trait;
use domain::tenant::TenantId;
use domain::time::Timestamp;

use crate::PortError;

/// A tenant, also called workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    /// Its name, unique.
    pub id: TenantId,
    /// What people call it.
    pub name: String,
    /// Whether its requests are served.
    pub active: bool,
    /// When it was created.
    pub created: Timestamp,
    /// When it was last changed.
    pub updated: Timestamp,
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
}
