//! The register of tenants.

use async_trait::async_trait;
use domain::tenant::{TenantId, TenantScope};
use domain::time::Timestamp;
use ports::PortError;
use ports::catalog::{Catalog, Tenant, TenantSettings};
use sea_orm::sea_query::OnConflict;
use sea_orm::{EntityTrait, IntoActiveModel, QueryOrder};

use crate::entities::tenant;
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
        Err(PortError::new(ports::ErrorKind::Unavailable, "PLACEHOLDER"))
    }

    async fn store_settings(&self, _: &TenantScope, _: &TenantSettings, _: Timestamp) -> Result<(), PortError> {
        Err(PortError::new(ports::ErrorKind::Unavailable, "PLACEHOLDER"))
    }
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
