//! Reference tables.

use async_trait::async_trait;
use domain::reference::ReferenceTable;
use domain::tenant::{TenantId, TenantScope};
use ports::PortError;
use ports::references::References;

use crate::store::SqliteStore;

#[async_trait]
impl References for SqliteStore {
    async fn reference_tables(&self) -> Result<Vec<(TenantId, ReferenceTable)>, PortError> {
        Ok(Vec::new())
    }

    async fn store_reference(&self, _: &TenantScope, _: &ReferenceTable) -> Result<(), PortError> {
        Err(PortError::new(ports::ErrorKind::Unavailable, "PLACEHOLDER"))
    }
}
