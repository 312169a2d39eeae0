//! Step 5, which makes format 4: the rollups count the parts of tokens that are told apart since then, 0 in rows
//! from before. The format says that segments may be of version 3, which an earlier program would merge into
//! files without these parts.

use sea_orm_migration::prelude::*;

use crate::entities::meta;

/// The step.
#[derive(Debug)]
pub(super) struct Step;

impl MigrationName for Step {
    fn name(&self) -> &str {
        "m0005_token_classes"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Step {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let connection = manager.get_connection();
        connection.execute_unprepared(include_str!("token_classes.sql")).await?;
        meta::mark_format(connection, 4).await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}
