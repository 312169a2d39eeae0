//! Reference tables. Only the newest of each tenant is kept.

use std::sync::Arc;

use async_trait::async_trait;
use domain::access::audit::AuditDraft;
use domain::reference::ReferenceTable;
use domain::tenant::{TenantId, TenantScope};
use ports::references::References;
use ports::{ErrorKind, PortError};
use sea_orm::EntityTrait;
use sqlite::Failure;

use super::across::whole;
use super::audit;
use super::scoped::Scope;
use super::store::{PostgresCatalog, failed};
use crate::entities::reference_table::{Entity, Model};
use crate::references::replace;

#[async_trait]
impl References for PostgresCatalog {
    async fn reference_tables(&self) -> Result<Vec<(TenantId, Arc<ReferenceTable>)>, PortError> {
        const READ: &str = "read the reference tables in";
        let rows = Entity::find().from_raw_sql(whole::<Entity>()).all(&self.pool).await;
        let rows = rows.map_err(|error| failed(READ, error.into()))?;
        let unpack = || {
            let mut tables = rows.into_iter().map(Model::into_table).collect::<Result<Vec<_>, Failure>>()?;
            tables.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
            Ok(tables)
        };
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
        let mut change = self.begin().await.map_err(|failure| failed(STORE, failure))?;
        let outcome = async {
            let transaction = audit::lock(&mut change, Scope::Tenant(scope.tenant())).await?;
            replace(transaction, row).await?;
            audit::append_one(&mut change, scope.tenant(), audit).await
        };
        let outcome = outcome.await;
        Self::finish(STORE, change, outcome).await
    }
}
