//! Step 8: quotas, and the periods that changes of a zone carry on.

use sea_orm_migration::prelude::*;

use super::changes::Changes;

/// Both tables.
pub(super) fn tables() -> Changes {
    vec![Box::new(quota()), Box::new(quota_calendar())]
}

fn quota() -> TableCreateStatement {
    Table::create()
        .table("quota")
        .col(ColumnDef::new("tenant").text().not_null())
        .col(ColumnDef::new("customer").text().not_null())
        .col(ColumnDef::new("measure").text().not_null())
        .col(ColumnDef::new("period").text().not_null())
        .col(ColumnDef::new("limit_max").big_integer().check(Expr::col("limit_max").gte(0)))
        .col(ColumnDef::new("is_hard").boolean().not_null())
        .col(ColumnDef::new("version").big_integer().not_null().check(Expr::col("version").gt(0)))
        .col(ColumnDef::new("updated_us").big_integer().not_null())
        .col(ColumnDef::new("seal").big_integer().not_null())
        .primary_key(Index::create().col("tenant").col("customer").col("measure").col("period"))
        .to_owned()
}

fn quota_calendar() -> TableCreateStatement {
    Table::create()
        .table("quota_calendar")
        .col(ColumnDef::new("tenant").text().not_null().primary_key())
        .col(ColumnDef::new("day_from_us").big_integer().not_null())
        .col(ColumnDef::new("day_to_us").big_integer().not_null())
        .col(ColumnDef::new("month_from_us").big_integer().not_null())
        .col(ColumnDef::new("month_to_us").big_integer().not_null())
        .col(ColumnDef::new("seal").big_integer().not_null())
        .to_owned()
}
