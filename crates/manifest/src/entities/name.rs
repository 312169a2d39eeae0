//! Names that tenants use.

use domain::admit::Dimension;
use ports::manifest::Name;
use sea_orm::entity::prelude::*;
use sqlite::{Failure, tenant_id};

#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "name")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) tenant: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) dimension: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) name: String,
}

#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// The row of a name.
    pub(crate) fn new(name: &Name) -> Self {
        Self {
            tenant: name.tenant.as_str().to_owned(),
            dimension: name.dimension.field().to_owned(),
            name: name.name.clone(),
        }
    }

    pub(crate) fn into_name(self) -> Result<Name, Failure> {
        let dimension = Dimension::ALL.into_iter().find(|dimension| dimension.field() == self.dimension);
        Ok(Name {
            tenant: tenant_id(&self.tenant)?,
            dimension: dimension.ok_or_else(|| Failure::corrupt(format!("a name is of a {:?}", self.dimension)))?,
            name: self.name,
        })
    }
}
