//! Step 7: what workspaces encrypt, with which keys, and which members see it in plain text. Members that were there do
//! not, and their checksums hold.

use sea_orm_migration::prelude::*;

use super::changes::Changes;
use super::register::{by_revision, kept, of_records};

/// The tables, and the column of members.
pub(super) fn changes() -> Changes {
    let rules = of_records("encryption_rules", &["tenant"])
        .col(ColumnDef::new("tenant").text().not_null())
        .col(ColumnDef::new("paths").text().not_null())
        .col(ColumnDef::new("allows_deterministic").boolean().not_null())
        .to_owned();
    let key = of_records("data_key", &["tenant", "number"])
        .col(ColumnDef::new("tenant").text().not_null())
        .col(ColumnDef::new("number").big_integer().not_null().check(Expr::col("number").gt(0)))
        .col(ColumnDef::new("wrapped").blob().not_null())
        .col(ColumnDef::new("destroyed_us").big_integer())
        .to_owned();
    let mut decrypts = ColumnDef::new("decrypts");
    let member = Table::alter().table("membership").add_column(decrypts.boolean()).to_owned();
    vec![
        Box::new(kept(rules)),
        Box::new(by_revision("encryption_rules", &["tenant"])),
        Box::new(kept(key)),
        Box::new(by_revision("data_key", &["tenant", "number"])),
        Box::new(member),
    ]
}
