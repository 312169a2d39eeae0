//! Reference tables. Only the newest of each tenant is kept.

use std::sync::Arc;

use async_trait::async_trait;
use domain::access::audit::AuditDraft;
use domain::reference::ReferenceTable;
use domain::tenant::{TenantId, TenantScope};
use ports::references::References;
use ports::{ErrorKind, PortError};
use sea_orm::sea_query::OnConflict;
use sea_orm::{DatabaseTransaction, EntityTrait, IntoActiveModel, QuerySelect};
use sqlite::Failure;

use crate::audit::append_one;
use crate::by_tenant::by_tenant;
use crate::entities::reference_table::{Column, Entity, Model};
use crate::sqlite_catalog::SqliteCatalog;

const STORE: &str = "store a reference table in";

#[async_trait]
impl References for SqliteCatalog {
    async fn reference_tables(&self) -> Result<Vec<(TenantId, Arc<ReferenceTable>)>, PortError> {
        const READ: &str = "read the reference tables in";
        let rows = Entity::find().all(self.file.readers()).await;
        let rows = rows.map_err(|why| self.file.failed(READ, why.into()))?;
        let unpack = || by_tenant(rows, Model::into_table);
        let unpacked = tokio::task::spawn_blocking(unpack).await;
        let unpacked = unpacked.map_err(|why| PortError::new(ErrorKind::Unavailable, READ).because(why))?;
        unpacked.map_err(|failure| self.file.failed(READ, failure))
    }

    async fn store_reference(
        &self,
        scope: &TenantScope,
        table: &Arc<ReferenceTable>,
        audit: &AuditDraft,
    ) -> Result<(), PortError> {
        // Packed before the turn to write has come, and on another thread: a large table delays no other write.
        let (tenant, table) = (scope.tenant().clone(), Arc::clone(table));
        let packing = tokio::task::spawn_blocking(move || Model::new(&tenant, &table));
        let packed = packing.await.map_err(|why| PortError::new(ErrorKind::Unavailable, STORE).because(why))?;
        let row = packed.map_err(|failure| self.file.failed(STORE, failure))?;
        let store = async |transaction: &DatabaseTransaction| {
            replace(transaction, row).await?;
            append_one(transaction, scope.tenant(), audit).await
        };
        self.write(STORE, store).await
    }
}

/// Puts a table in place of the generation before it.
pub(crate) async fn replace(transaction: &DatabaseTransaction, row: Model) -> Result<(), Failure> {
    let stored = Entity::find_by_id(&row.tenant).select_only().column(Column::Generation).into_tuple::<i64>();
    let stored = stored.one(transaction).await?.unwrap_or(0);
    if stored.checked_add(1) != Some(row.generation) {
        let reason = format!("its generation is {stored}, which {} does not follow", row.generation);
        return Err(Failure::conflict(reason));
    }
    let changed = [Column::Generation, Column::TsUs, Column::Seal, Column::Body];
    let newest_stays = OnConflict::column(Column::Tenant).update_columns(changed).to_owned();
    let insert = Entity::insert_many([row.into_active_model()]).on_conflict(newest_stays);
    insert.exec_without_returning(transaction).await?;
    Ok(())
}
