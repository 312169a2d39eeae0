//! The register of tenants, and what each has decided for itself.

use async_trait::async_trait;
use domain::tenant::{TenantId, TenantScope};
use domain::time::Timestamp;
use ports::PortError;
use ports::catalog::{Catalog, Tenant, TenantSettings};
use sea_orm::sea_query::OnConflict;
use sea_orm::{EntityTrait, IntoActiveModel, QueryOrder};

use crate::entities::{tenant, tenant_settings};
use crate::failure::Failure;
use crate::store::{SqliteStore, Write};

#[async_trait]
impl Catalog for SqliteStore {
    async fn ensure_tenants(&self, tenants: &[TenantId], now: Timestamp) -> Result<(), PortError> {
        let write = self.begin("register tenants in").await?;
        let outcome = insert(&write, tenants, now).await;
        write.finish(outcome).await
    }

    async fn tenants(&self) -> Result<Vec<Tenant>, PortError> {
        let rows = tenant::Entity::find().order_by_asc(tenant::Column::Id).all(self.readers()).await;
        let tenants = rows
            .map_err(Failure::from)
            .and_then(|rows| rows.into_iter().map(tenant::Model::into_tenant).collect::<Result<Vec<_>, _>>());
        tenants.map_err(|failure| self.failed("read the tenants in", failure))
    }

    async fn settings(&self) -> Result<Vec<(TenantId, TenantSettings)>, PortError> {
        use tenant_settings::{Column, Entity, Model};
        let rows = Entity::find().order_by_asc(Column::Tenant).all(self.readers()).await.map_err(Failure::from);
        let settings = rows.and_then(|rows| rows.into_iter().map(Model::into_settings).collect::<Result<Vec<_>, _>>());
        settings.map_err(|failure| self.failed("read the settings of tenants in", failure))
    }

    async fn store_settings(
        &self,
        scope: &TenantScope,
        settings: &TenantSettings,
        now: Timestamp,
    ) -> Result<(), PortError> {
        let write = self.begin("store the settings of a tenant in").await?;
        let outcome = replace(&write, tenant_settings::Model::new(scope.tenant(), settings, now)).await;
        write.finish(outcome).await
    }
}

async fn replace(write: &Write<'_>, row: tenant_settings::Model) -> Result<(), Failure> {
    use tenant_settings::{Column, Entity};
    let changed = [Column::WeekStart, Column::MaxLatenessSec, Column::UpdatedUs, Column::Seal];
    let newest_stays = OnConflict::column(Column::Tenant).update_columns(changed).to_owned();
    let insert = Entity::insert_many([row.into_active_model()]).on_conflict(newest_stays);
    insert.exec_without_returning(write.transaction()).await?;
    Ok(())
}

async fn insert(write: &Write<'_>, tenants: &[TenantId], now: Timestamp) -> Result<(), Failure> {
    let rows = tenants.iter().map(|id| {
        let id = id.as_str().to_owned();
        let (created_us, updated_us) = (now.micros(), now.micros());
        tenant::Model { name: id.clone(), id, active: true, created_us, updated_us }.into_active_model()
    });
    let known_stay = OnConflict::column(tenant::Column::Id).do_nothing().to_owned();
    tenant::Entity::insert_many(rows).on_conflict(known_stay).exec_without_returning(write.transaction()).await?;
    Ok(())
}
