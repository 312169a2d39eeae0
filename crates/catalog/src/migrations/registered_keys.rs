//! Step 5: the text of a registered key is free again when its key is revoked. What has ended is removed by its id since
//! then, so that the indexes by time of end are used no more.

use sea_orm_migration::prelude::*;

use super::changes::Changes;

/// One index instead of another, and four less.
pub(super) fn changes() -> Changes {
    let mut held = Index::create();
    held.name("api_key_hash").table("api_key").col("hash").unique();
    held.and_where(Expr::col("origin").eq("registered")).and_where(Expr::col("revoked_us").is_null());
    let mut changes: Changes = vec![Box::new(dropped("api_key", "api_key_hash")), Box::new(held)];
    for (table, index) in [
        ("invitation", "invitation_by_expires_us"),
        ("password_reset", "password_reset_by_expires_us"),
        ("session", "session_by_expires_us"),
        ("creation", "creation_by_expires_us"),
    ] {
        changes.push(Box::new(dropped(table, index)));
    }
    changes
}

fn dropped(table: &'static str, index: &'static str) -> IndexDropStatement {
    Index::drop().name(index).table(table).to_owned()
}
