//! Step 4, which makes format 3: the catalog, by now in a file of its own, leaves this one; the zone that a
//! tenant's days are counted in gets the version of the choice that it came from; a dead letter's time is
//! named as everywhere. One transaction, so format 3 says that the catalog's file exists.

use sea_orm_migration::prelude::*;

use crate::entities::{meta, tenant_users};

/// The name under which the step is recorded.
pub(crate) const NAME: &str = "m0004_catalog_apart";

/// The step.
#[derive(Debug)]
pub(super) struct Step;

impl MigrationName for Step {
    fn name(&self) -> &str {
        NAME
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Step {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let connection = manager.get_connection();
        connection.execute_unprepared(include_str!("catalog_apart.sql")).await?;
        tenant_users::seal_versions(connection).await?;
        meta::mark_format(connection, 3).await?;
        fail::fail_point!("upgrade::before_commit");
        Ok(())
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}
