//! The schema, as steps that are applied in order when a store is opened. A step that was ever
//! released is never changed; every old file must open for ever.

mod analytics;
mod catalog;
mod manifest;

use sea_orm_migration::{MigrationTrait, MigratorTrait};

/// All steps in order.
#[derive(Debug)]
pub(crate) struct Migrations;

impl MigratorTrait for Migrations {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(manifest::Step), Box::new(catalog::Step), Box::new(analytics::Step)]
    }
}
