//! Steps 1, 2 and 4: tenants, their settings, zones and reference tables.

use sea_orm_migration::prelude::*;

use super::changes::Changes;

/// Step 1: all tables. Those of tenants, settings and reference tables are as a manifest of format 2 had them.
pub(super) fn tables() -> Changes {
    vec![Box::new(tenant()), Box::new(tenant_settings()), Box::new(wanted_zone()), Box::new(reference_table())]
}

/// Step 2: the earliest time that a tenant accepts. Rows that were there have none, and their checksums hold.
pub(super) fn min_time() -> Changes {
    let mut column = ColumnDef::new("min_time_us");
    vec![Box::new(Table::alter().table("tenant_settings").add_column(column.big_integer()).to_owned())]
}

/// Step 4: for how long a tenant keeps raw events. Rows that were there have none, and their checksums hold.
pub(super) fn retention_days() -> Changes {
    let mut column = ColumnDef::new("retention_days");
    let column = column.big_integer().check(Expr::col("retention_days").gte(0));
    vec![Box::new(Table::alter().table("tenant_settings").add_column(column).to_owned())]
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
