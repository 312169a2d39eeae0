//! The schema, as steps that are applied in order when a catalog is opened. A step that was ever released is
//! never changed; every old file must open for ever. Written with the schema builder, because the catalog
//! lives in PostgreSQL too.

mod changes;
mod catalog;
mod quotas;
mod register;
mod registered_keys;
mod rates;
mod encryption;
mod audit_detail;

use async_trait::async_trait;
use sea_orm::DatabaseConnection;
use sea_orm_migration::prelude::*;
use sqlite::{Failure, Schema};

use changes::Changes;

/// All steps in order.
pub(crate) const STEPS: [Step; 9] = [
    Step { name: "c0001_catalog", changes: catalog::tables },
    Step { name: "c0002_min_time", changes: catalog::min_time },
    Step { name: "c0003_register", changes: register::changes },
    Step { name: "c0004_retention_days", changes: catalog::retention_days },
    Step { name: "c0005_registered_keys", changes: registered_keys::changes },
    Step { name: "c0006_rates", changes: rates::changes },
    Step { name: "c0007_encryption", changes: encryption::changes },
    Step { name: "c0008_quotas", changes: quotas::tables },
    Step { name: "c0009_audit_detail", changes: audit_detail::changes },
];

/// One step: what it is called in the file, and its statements. They run in one transaction.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step {
    pub(crate) name: &'static str,
    pub(crate) changes: fn() -> Changes,
}

impl MigrationName for Step {
    fn name(&self) -> &str {
        self.name
    }
}

#[async_trait]
impl MigrationTrait for Step {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for change in (self.changes)() {
            let statement = change.build(&manager.get_database_backend());
            manager.get_connection().execute_raw(statement).await?;
        }
        Ok(())
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}

/// The schema of a catalog.
#[derive(Debug)]
pub(crate) struct Migrations;

impl MigratorTrait for Migrations {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        STEPS.into_iter().map(|step| Box::new(step) as Box<dyn MigrationTrait>).collect()
    }
}

#[async_trait]
impl Schema for Migrations {
    const NAME: &'static str = "catalog";

    /// The steps are the format.
    async fn check(_: &DatabaseConnection) -> Result<(), Failure> {
        Ok(())
    }
}
