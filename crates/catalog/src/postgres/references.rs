//! Reference tables. Only the newest of each tenant is kept.

use std::sync::Arc;

use async_trait::async_trait;
use domain::access::audit::AuditDraft;
use domain::reference::ReferenceTable;
use domain::tenant::{TenantId, TenantScope};
use ports::references::References;
use ports::{ErrorKind, PortError};
use sea_orm::DatabaseTransaction;

use super::across::whole;
use super::store::{PostgresCatalog, failed};
use crate::by_tenant::by_tenant;
use crate::entities::reference_table::{Entity, Model};
use crate::references::replace;

#[async_trait]
impl References for PostgresCatalog {
    async fn reference_tables(&self) -> Result<Vec<(TenantId, Arc<ReferenceTable>)>, PortError> {
        const READ: &str = "read the reference tables in";
        let rows = whole::<Entity>(&self.pool).await.map_err(|failure| failed(READ, failure))?;
        let unpack = || by_tenant(rows, Model::into_table);
        let unpacked = tokio::task::spawn_blocking(unpack).await;
        let unpacked = unpacked.map_err(|why| PortError::new(ErrorKind::Unavailable, READ).because(why))?;
        unpacked.map_err(|failure| failed(READ, failure))
    }

    async fn store_reference(
        &self,
        scope: &TenantScope,
        table: &Arc<ReferenceTable>,
        audit: &AuditDraft,
    ) -> Result<(), PortError> {
        const STORE: &str = "store a reference table in";
        // Packed on another thread and before anything is locked: a large table delays no other change.
        let (tenant, table) = (scope.tenant().clone(), Arc::clone(table));
        let packing = tokio::task::spawn_blocking(move || Model::new(&tenant, &table));
        let packed = packing.await.map_err(|why| PortError::new(ErrorKind::Unavailable, STORE).because(why))?;
        let row = packed.map_err(|failure| failed(STORE, failure))?;
        let store = async |transaction: &DatabaseTransaction| replace(transaction, row).await;
        self.decide(STORE, scope, audit, store).await
    }
}
