//! Step 7: how far retention reaches for tenants that have their own.

use sea_orm_migration::prelude::*;

/// The step.
#[derive(Debug)]
pub(super) struct Step;

impl MigrationName for Step {
    fn name(&self) -> &str {
        "m0007_tenant_retention"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Step {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.get_connection().execute_unprepared(include_str!("tenant_retention.sql")).await.map(|_| ())
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}
