//! The schema, as steps that are applied in order when a catalog is opened. A step that was ever released is
//! never changed; every old file must open for ever. Written with the schema builder, because the catalog
//! will live in PostgreSQL too.

use async_trait::async_trait;
use sea_orm::DatabaseConnection;
use sea_orm_migration::prelude::*;
use sqlite::{Failure, Schema};

/// All steps in order.
#[derive(Debug)]
pub(crate) struct Migrations;

impl MigratorTrait for Migrations {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(Catalog), Box::new(MinTime)]
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

/// Step 1: all tables. Those of tenants, settings and reference tables are as a manifest of format 2 had them.
#[derive(Debug)]
struct Catalog;

impl MigrationName for Catalog {
    fn name(&self) -> &str {
        "c0001_catalog"
    }
}

#[async_trait]
impl MigrationTrait for Catalog {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in [tenant(), tenant_settings(), wanted_zone(), reference_table()] {
            manager.create_table(table).await?;
        }
        Ok(())
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}

/// Step 2: the earliest time that a tenant accepts. Rows that were there have none, and their checksums hold.
#[derive(Debug)]
struct MinTime;

impl MigrationName for MinTime {
    fn name(&self) -> &str {
        "c0002_min_time"
    }
}

#[async_trait]
impl MigrationTrait for MinTime {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let mut column = ColumnDef::new("min_time_us");
        manager.alter_table(Table::alter().table("tenant_settings").add_column(column.big_integer()).to_owned()).await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}

fn tenant() -> TableCreateStatement {
    Table::create()
        .table("tenant")
        .col(ColumnDef::new("id").text().not_null().primary_key())
        .col(ColumnDef::new("name").text().not_null())
        .col(ColumnDef::new("active").boolean().not_null())
        .col(ColumnDef::new("created_us").big_integer().not_null())
        .col(ColumnDef::new("updated_us").big_integer().not_null())
        .to_owned()
}

fn tenant_settings() -> TableCreateStatement {
    Table::create()
        .table("tenant_settings")
        .col(ColumnDef::new("tenant").text().not_null().primary_key())
        .col(ColumnDef::new("week_start").text().not_null())
        .col(ColumnDef::new("max_lateness_sec").big_integer().check(Expr::col("max_lateness_sec").gte(0)))
        .col(ColumnDef::new("updated_us").big_integer().not_null())
        .col(ColumnDef::new("seal").big_integer().not_null())
        .to_owned()
}

fn wanted_zone() -> TableCreateStatement {
    Table::create()
        .table("wanted_zone")
        .col(ColumnDef::new("tenant").text().not_null().primary_key())
        .col(ColumnDef::new("zone").text().not_null())
        .col(ColumnDef::new("version").big_integer().not_null().check(Expr::col("version").gt(0)))
        .col(ColumnDef::new("updated_us").big_integer().not_null())
        .col(ColumnDef::new("seal").big_integer().not_null())
        .to_owned()
}

fn reference_table() -> TableCreateStatement {
    Table::create()
        .table("reference_table")
        .col(ColumnDef::new("tenant").text().not_null().primary_key())
        .col(ColumnDef::new("generation").big_integer().not_null().check(Expr::col("generation").gt(0)))
        .col(ColumnDef::new("ts_us").big_integer().not_null())
        .col(ColumnDef::new("seal").big_integer().not_null())
        .col(ColumnDef::new("body").blob().not_null())
        .to_owned()
}
