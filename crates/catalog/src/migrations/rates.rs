//! Step 6: how much may come of a workspace, and with a key. Rows that were there have no limit of their own, and their
//! checksums hold.

use sea_orm::StatementBuilder;
use sea_orm_migration::prelude::*;

use super::changes::Changes;

/// The columns.
pub(super) fn changes() -> Changes {
    vec![added("tenant", "requests_per_sec"), added("tenant", "events_per_sec"), added("api_key", "requests_per_sec")]
}

fn added(table: &'static str, name: &'static str) -> Box<dyn StatementBuilder + Send> {
    let mut column = ColumnDef::new(name);
    let column = column.big_integer().check(Expr::col(name).gte(0));
    Box::new(Table::alter().table(table).add_column(column).to_owned())
}
