//! Where reference tables are kept.

use std::sync::Arc;

use async_trait::async_trait;
use domain::access::audit::AuditDraft;
use domain::reference::ReferenceTable;
use domain::tenant::{TenantId, TenantScope};

use crate::PortError;

/// The store of reference tables.
#[async_trait]
pub trait References: Send + Sync + std::fmt::Debug {
    /// The tables of all tenants, to enrich with from the start on.
    ///
    /// # Errors
    /// When the store cannot be read.
    async fn reference_tables(&self) -> Result<Vec<(TenantId, Arc<ReferenceTable>)>, PortError>;

    /// Stores `table` in place of the one of the generation before it, and adds `audit` to the tenant's audit log: both
    /// count, or nothing. Durable on return.
    ///
    /// # Errors
    /// `Unacceptable` when `audit` is for another log than the tenant's. `Conflict` when the stored generation is not `table.generation - 1` (0 when none is stored);
    /// nothing has changed.
    async fn store_reference(
        &self,
        scope: &TenantScope,
        table: &Arc<ReferenceTable>,
        audit: &AuditDraft,
    ) -> Result<(), PortError>;
}
