//! Step 3: what statistics and the live view stand on. The users' tables belong to the manifest and
//! are SQLite's; those whose rows hold large values have a row id, because a tree that holds such
//! values in its key is deep. The
//! others belong to the catalog, and step 4 drops them again.

use sea_orm_migration::prelude::*;

/// The step.
#[derive(Debug)]
pub(super) struct Step;

impl MigrationName for Step {
    fn name(&self) -> &str {
        "m0003_analytics"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Step {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.get_connection().execute_unprepared(include_str!("analytics.sql")).await?;
        let lateness = Expr::col("max_lateness_sec").gte(0);
        let settings = Table::create()
            .table("tenant_settings")
            .col(ColumnDef::new("tenant").text().not_null().primary_key())
            .col(ColumnDef::new("week_start").text().not_null())
            .col(ColumnDef::new("max_lateness_sec").big_integer().check(lateness))
            .col(ColumnDef::new("updated_us").big_integer().not_null())
            .col(ColumnDef::new("seal").big_integer().not_null())
            .to_owned();
        manager.create_table(settings).await?;
        let generation = Expr::col("generation").gt(0);
        let references = Table::create()
            .table("reference_table")
            .col(ColumnDef::new("tenant").text().not_null().primary_key())
            .col(ColumnDef::new("generation").big_integer().not_null().check(generation))
            .col(ColumnDef::new("ts_us").big_integer().not_null())
            .col(ColumnDef::new("seal").big_integer().not_null())
            .col(ColumnDef::new("body").blob().not_null())
            .to_owned();
        manager.create_table(references).await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}
