//! Step 9: what entries of the audit log tell in detail stands apart, so that it can be erased. Entries that were there
//! have no detail: their texts are hashed into the chain, and stay.

use sea_orm::StatementBuilder;
use sea_orm_migration::prelude::*;

use super::changes::Changes;
use super::register::{index, of_records};

/// The columns, the table and its index.
pub(super) fn changes() -> Changes {
    let detail = of_records("audit_detail", &["chain", "seq"])
        .col(ColumnDef::new("chain").text().not_null())
        .col(ColumnDef::new("seq").big_integer().not_null().check(Expr::col("seq").gt(0)))
        .col(ColumnDef::new("salt").blob().not_null())
        .col(ColumnDef::new("target").text())
        .col(ColumnDef::new("before").text())
        .col(ColumnDef::new("after").text())
        .col(ColumnDef::new("address").text())
        .col(ColumnDef::new("request_id").text())
        .to_owned();
    vec![
        added(ColumnDef::new("format").big_integer().not_null().default(1)),
        added(ColumnDef::new("detail_hash").blob()),
        added(ColumnDef::new("erased_by").big_integer()),
        Box::new(detail),
        Box::new(index("audit_detail", "target", &["chain", "target", "seq"])),
    ]
}

fn added(column: &mut ColumnDef) -> Box<dyn StatementBuilder + Send> {
    Box::new(Table::alter().table("audit_entry").add_column(column.take()).to_owned())
}
