//! Erasing what was counted of a user, a customer or a whole tenant.

use async_trait::async_trait;
use domain::erasure::{Erasure, ErasureRequest, Subject};
use domain::tenant::{TenantId, TenantScope};

use crate::PortError;

/// Erases, durably and step by step: what an erasure has begun goes on after a restart.
///
/// What stays of a user or a customer are sums without their names: the tenant's totals and series, and on each day
/// of the tenant's zone who was active, where an erased user is a number without a name. All else goes.
#[async_trait]
pub trait Erasures: Send + Sync + std::fmt::Debug {
    /// Asks for an erasure of what is applied now; durable on return, and made by and by. What is applied later is
    /// not covered, and refused if the request says so. Asked for again under the same id, it returns the erasure as
    /// it is.
    ///
    /// # Errors
    /// `Conflict` when the id is that of an erasure of something else, `Exhausted` when the tenant has asked for too
    /// many, as [`crate::ledger::Ledger::flush`] otherwise.
    async fn erase(&self, scope: &TenantScope, request: &ErasureRequest) -> Result<Erasure, PortError>;

    /// The tenants whose whole data is erased, or being erased.
    fn erased_tenants(&self) -> Vec<TenantId>;

    /// Grows with everything that erasures change of a tenant's answers.
    fn generation(&self, scope: &TenantScope) -> u64;

    /// Those that are not done, of all tenants, in order of request, as long as their subjects are known: whose tenant,
    /// the erasure's id, and what goes.
    fn unfinished(&self) -> Vec<(TenantId, String, Subject)>;

    /// The erasures of a tenant, in order of request.
    fn erasures(&self, scope: &TenantScope) -> Vec<Erasure>;
}
