//! The register of tenants, and what each has decided for itself.

use async_trait::async_trait;
use domain::tenant::{TenantId, TenantScope};
use domain::time::Timestamp;
use ports::PortError;
use ports::active_users::VersionedZone;
use ports::catalog::{Catalog, Tenant, TenantSettings};
use sea_orm::sea_query::OnConflict;
use sea_orm::{DatabaseTransaction, EntityTrait, IntoActiveModel, QueryOrder};
use sqlite::Failure;

use crate::entities::{tenant, tenant_settings, wanted_zone};
use crate::sqlite_catalog::SqliteCatalog;

#[async_trait]
impl Catalog for SqliteCatalog {
    async fn ensure_tenants(&self, tenants: &[TenantId], now: Timestamp) -> Result<(), PortError> {
        self.write("register tenants in", async |transaction| insert(transaction, tenants, now).await).await
    }

    async fn tenants(&self) -> Result<Vec<Tenant>, PortError> {
        let rows = tenant::Entity::find().order_by_asc(tenant::Column::Id).all(self.file.readers()).await;
        let tenants = rows
            .map_err(Failure::from)
            .and_then(|rows| rows.into_iter().map(tenant::Model::into_tenant).collect::<Result<Vec<_>, _>>());
        tenants.map_err(|failure| self.file.failed("read the tenants in", failure))
    }

    async fn settings(&self) -> Result<Vec<(TenantId, TenantSettings)>, PortError> {
        use tenant_settings::{Column, Entity, Model};
        let rows = Entity::find().order_by_asc(Column::Tenant).all(self.file.readers()).await.map_err(Failure::from);
        let settings = rows.and_then(|rows| rows.into_iter().map(Model::into_settings).collect::<Result<Vec<_>, _>>());
        settings.map_err(|failure| self.file.failed("read the settings of tenants in", failure))
    }

    async fn store_settings(
        &self,
        scope: &TenantScope,
        settings: &TenantSettings,
        now: Timestamp,
    ) -> Result<(), PortError> {
        let row = tenant_settings::Model::new(scope.tenant(), settings, now);
        self.write("store the settings of a tenant in", async |transaction| replace(transaction, row).await).await
    }

    async fn wanted_zones(&self) -> Result<Vec<(TenantId, VersionedZone)>, PortError> {
        use wanted_zone::{Column, Entity, Model};
        let rows = Entity::find().order_by_asc(Column::Tenant).all(self.file.readers()).await.map_err(Failure::from);
        let zones = rows.and_then(|rows| rows.into_iter().map(Model::into_zone).collect::<Result<Vec<_>, _>>());
        zones.map_err(|failure| self.file.failed("read the zones of tenants in", failure))
    }

    async fn store_wanted_zone(
        &self,
        scope: &TenantScope,
        wanted: &VersionedZone,
        now: Timestamp,
    ) -> Result<(), PortError> {
        const STORE: &str = "store the zone of a tenant in";
        let row = wanted_zone::Model::new(scope.tenant(), wanted, now);
        let row = row.map_err(|failure| self.file.failed(STORE, failure))?;
        self.write(STORE, async |transaction| replace_zone(transaction, row).await).await
    }
}

async fn replace(transaction: &DatabaseTransaction, row: tenant_settings::Model) -> Result<(), Failure> {
    use tenant_settings::{Column, Entity};
    let changed = [Column::WeekStart, Column::MaxLatenessSec, Column::MinTimeUs, Column::UpdatedUs, Column::Seal];
    let newest_stays = OnConflict::column(Column::Tenant).update_columns(changed).to_owned();
    let insert = Entity::insert_many([row.into_active_model()]).on_conflict(newest_stays);
    insert.exec_without_returning(transaction).await?;
    Ok(())
}

async fn replace_zone(transaction: &DatabaseTransaction, row: wanted_zone::Model) -> Result<(), Failure> {
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

async fn insert(transaction: &DatabaseTransaction, tenants: &[TenantId], now: Timestamp) -> Result<(), Failure> {
    let rows = tenants.iter().map(|id| {
        let id = id.as_str().to_owned();
        let (created_us, updated_us) = (now.micros(), now.micros());
        tenant::Model { name: id.clone(), id, active: true, created_us, updated_us }.into_active_model()
    });
    let known_stay = OnConflict::column(tenant::Column::Id).do_nothing().to_owned();
    tenant::Entity::insert_many(rows).on_conflict(known_stay).exec_without_returning(transaction).await?;
    Ok(())
}
