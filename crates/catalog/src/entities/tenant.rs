//! Tenants.

use domain::time::Timestamp;
use ports::catalog::Tenant;
use sea_orm::entity::prelude::*;
use sqlite::{Failure, tenant_id};

#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "tenant")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) active: bool,
    pub(crate) created_us: i64,
    pub(crate) updated_us: i64,
}

#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    pub(crate) fn into_tenant(self) -> Result<Tenant, Failure> {
        Ok(Tenant {
            id: tenant_id(&self.id)?,
            name: self.name,
            active: self.active,
            created: Timestamp::from_micros(self.created_us),
            updated: Timestamp::from_micros(self.updated_us),
        })
    }
}
