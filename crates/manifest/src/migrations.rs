//! The schema, as steps that are applied in order when a store is opened. A step that was ever
//! released is never changed; every old file must open for ever.

mod analytics;
mod catalog;
mod catalog_apart;
mod manifest;
mod token_classes;
mod retention_wait;
mod tenant_retention;
mod received;
mod erasure;

use async_trait::async_trait;
use domain::limits::MANIFEST_READS_MAX;
use sea_orm::{DatabaseConnection, EntityTrait};
use sea_orm_migration::{MigrationTrait, MigratorTrait};
use sqlite::{Failure, Schema};

use crate::entities::meta;

pub(crate) use catalog_apart::NAME as CATALOG_APART;

/// All steps in order.
#[derive(Debug)]
pub(crate) struct Migrations;

impl MigratorTrait for Migrations {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(manifest::Step),
            Box::new(catalog::Step),
            Box::new(analytics::Step),
            Box::new(catalog_apart::Step),
            Box::new(token_classes::Step),
            Box::new(retention_wait::Step),
            Box::new(tenant_retention::Step),
            Box::new(received::Step),
            Box::new(erasure::Step),
        ]
    }
}

#[async_trait]
impl Schema for Migrations {
    const NAME: &'static str = "manifest";
    const READS_MAX: usize = MANIFEST_READS_MAX;

    /// A manifest that was never loaded has no format yet.
    async fn check(connection: &DatabaseConnection) -> Result<(), Failure> {
        let meta = meta::Entity::find().one(connection).await?;
        meta.map_or(Ok(()), |meta| meta.verified_before_upgrade().map(drop))
    }
}
