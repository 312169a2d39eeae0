//! The register of tenants, and what each has decided for itself.

use async_trait::async_trait;
use domain::access::audit::{AuditDraft, Cause};
use domain::access::record::Workspace;
use domain::quota::{CarriedPeriods, VersionedQuota};
use domain::tenant::{TenantId, TenantScope};
use domain::time::Timestamp;
use ports::PortError;
use ports::active_users::VersionedZone;
use ports::catalog::{Catalog, TenantSettings};
use sea_orm::sea_query::OnConflict;
use sea_orm::{ColumnTrait, DatabaseTransaction, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect};
use sqlite::Failure;

use crate::audit::append_one;
use crate::by_tenant::by_tenant;
use crate::entities::{quota, quota_calendar, tenant, tenant_settings, wanted_zone};
use crate::quotas;
use crate::register::{PAGE_ROWS, add_workspaces};
use crate::sqlite_catalog::SqliteCatalog;

#[async_trait]
impl Catalog for SqliteCatalog {
    async fn ensure_tenants(&self, tenants: &[TenantId], now: Timestamp, cause: &Cause) -> Result<(), PortError> {
        let add = async |transaction: &DatabaseTransaction| add_workspaces(transaction, tenants, now, cause).await;
        self.write("register tenants in", add).await
    }

    async fn tenants(&self) -> Result<Vec<Workspace>, PortError> {
        let read = async {
            let snapshot = self.file.snapshot().await?;
            let mut tenants: Vec<Workspace> = Vec::new();
            loop {
                // No id is empty.
                let last = tenants.last().map_or("", |last| last.id.as_str()).to_owned();
                let behind = tenant::Entity::find().filter(tenant::Column::Id.gt(last));
                let rows = behind.order_by_asc(tenant::Column::Id).limit(PAGE_ROWS).all(&snapshot).await?;
                if rows.is_empty() {
                    return Ok(tenants);
                }
                for row in rows {
                    tenants.push(row.into_workspace()?);
                }
            }
        };
        read.await.map_err(|failure| self.file.failed("read the tenants in", failure))
    }

    async fn settings(&self) -> Result<Vec<(TenantId, TenantSettings)>, PortError> {
        let rows = tenant_settings::Entity::find().all(self.file.readers()).await.map_err(Failure::from);
        let settings = rows.and_then(|rows| by_tenant(rows, tenant_settings::Model::into_settings));
        settings.map_err(|failure| self.file.failed("read the settings of tenants in", failure))
    }

    async fn store_settings(
        &self,
        scope: &TenantScope,
        settings: &TenantSettings,
        audit: &AuditDraft,
    ) -> Result<(), PortError> {
        let row = tenant_settings::Model::new(scope.tenant(), settings, audit.at);
        let store = async |transaction: &DatabaseTransaction| {
            replace(transaction, row).await?;
            append_one(transaction, scope.tenant(), audit).await
        };
        self.write("store the settings of a tenant in", store).await
    }

    async fn wanted_zones(&self) -> Result<Vec<(TenantId, VersionedZone)>, PortError> {
        let rows = wanted_zone::Entity::find().all(self.file.readers()).await.map_err(Failure::from);
        let zones = rows.and_then(|rows| by_tenant(rows, wanted_zone::Model::into_zone));
        zones.map_err(|failure| self.file.failed("read the zones of tenants in", failure))
    }

    async fn carried_periods(&self) -> Result<Vec<(TenantId, CarriedPeriods)>, PortError> {
        let rows = quota_calendar::Entity::find().all(self.file.readers()).await.map_err(Failure::from);
        let carried = rows.and_then(|rows| by_tenant(rows, quota_calendar::Model::into_periods));
        carried.map_err(|failure| self.file.failed("read the periods of quotas in", failure))
    }

    async fn quotas(&self) -> Result<Vec<(TenantId, VersionedQuota)>, PortError> {
        let rows = quota::Entity::find().all(self.file.readers()).await.map_err(Failure::from);
        rows.and_then(quotas::quotas_of).map_err(|failure| self.file.failed("read the quotas in", failure))
    }

    async fn store_quota(
        &self,
        scope: &TenantScope,
        quota: &VersionedQuota,
        audit: &AuditDraft,
    ) -> Result<(), PortError> {
        const STORE: &str = "store a quota in";
        let row = quota::Model::new(scope.tenant(), quota, audit.at);
        let row = row.map_err(|failure| self.file.failed(STORE, failure))?;
        let store = async |transaction: &DatabaseTransaction| {
            quotas::replace(transaction, row).await?;
            append_one(transaction, scope.tenant(), audit).await
        };
        self.write(STORE, store).await
    }

    async fn store_wanted_zone(
        &self,
        scope: &TenantScope,
        wanted: &VersionedZone,
        carried: &CarriedPeriods,
        audit: &AuditDraft,
    ) -> Result<(), PortError> {
        const STORE: &str = "store the zone of a tenant in";
        let row = wanted_zone::Model::new(scope.tenant(), wanted, audit.at);
        let row = row.map_err(|failure| self.file.failed(STORE, failure))?;
        let store = async |transaction: &DatabaseTransaction| {
            replace_zone(transaction, row).await?;
            quotas::carry(transaction, scope.tenant(), carried).await?;
            append_one(transaction, scope.tenant(), audit).await
        };
        self.write(STORE, store).await
    }
}

/// Puts settings in place of those before.
pub(crate) async fn replace(transaction: &DatabaseTransaction, row: tenant_settings::Model) -> Result<(), Failure> {
    use tenant_settings::{Column, Entity};
    let decided = [Column::WeekStart, Column::MaxLatenessSec, Column::MinTimeUs, Column::RetentionDays];
    let changed = decided.into_iter().chain([Column::UpdatedUs, Column::Seal]);
    let newest_stays = OnConflict::column(Column::Tenant).update_columns(changed).to_owned();
    let insert = Entity::insert_many([row.into_active_model()]).on_conflict(newest_stays);
    insert.exec_without_returning(transaction).await?;
    Ok(())
}

/// Puts a zone in place of an earlier version.
pub(crate) async fn replace_zone(transaction: &DatabaseTransaction, row: wanted_zone::Model) -> Result<(), Failure> {
    use wanted_zone::{Column, Entity};
    let stored = Entity::find_by_id(&row.tenant).one(transaction).await?.map_or(0, |stored| stored.version);
    if row.version <= stored {
        return Err(Failure::conflict(format!("version {} of it is not later than {stored}", row.version)));
    }
    let changed = [Column::Zone, Column::Version, Column::UpdatedUs, Column::Seal];
    let newest_stays = OnConflict::column(Column::Tenant).update_columns(changed).to_owned();
    let insert = Entity::insert_many([row.into_active_model()]).on_conflict(newest_stays);
    insert.exec_without_returning(transaction).await?;
    Ok(())
}
