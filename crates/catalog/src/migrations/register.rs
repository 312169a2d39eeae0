//! Step 3: the register and the audit log. Tenants that were there are workspaces of version 1 and revision 0, and get
//! a checksum with their first change.

use sea_orm::{EntityTrait, IntoActiveModel, QueryTrait};
use sea_orm_migration::prelude::*;

use super::changes::Changes;
use crate::entities::register_revision;

/// The tables and their indexes.
pub(super) fn changes() -> Changes {
    let mut changes = tenant();
    changes.extend(people());
    changes.extend(keys());
    changes.extend(logins());
    changes.extend(rest());
    changes.extend(audit());
    changes
}

/// What a tenant was not told of so far. Whether it is active becomes a status.
fn tenant() -> Changes {
    let added = |column: &mut ColumnDef| Box::new(Table::alter().table("tenant").add_column(column.take()).to_owned());
    let suspended = Query::update()
        .table("tenant")
        .value("status", "suspended")
        .and_where(Expr::col("active").eq(false))
        .to_owned();
    vec![
        added(ColumnDef::new("status").text().not_null().default("active")),
        Box::new(suspended),
        Box::new(Table::alter().table("tenant").drop_column("active").to_owned()),
        added(ColumnDef::new("audits_reads").boolean().not_null().default(false)),
        added(ColumnDef::new("takes_external_tokens").boolean().not_null().default(false)),
        added(ColumnDef::new("version").big_integer().not_null().default(1)),
        added(ColumnDef::new("revision").big_integer().not_null().default(0)),
        added(ColumnDef::new("seal").big_integer()),
        Box::new(by_revision("tenant", &["id"])),
    ]
}

/// Projects, people and who is a member of what.
fn people() -> Changes {
    let project = of_records("project", &["tenant", "id"])
        .col(ColumnDef::new("tenant").text().not_null())
        .col(ColumnDef::new("id").text().not_null())
        .col(ColumnDef::new("name").text().not_null())
        .col(ColumnDef::new("is_removed").boolean().not_null())
        .to_owned();
    let user = of_records("app_user", &["id"])
        .col(ColumnDef::new("id").text().not_null())
        .col(ColumnDef::new("email").text().not_null())
        .col(ColumnDef::new("email_folded").text().not_null())
        .col(ColumnDef::new("name").text().not_null())
        .col(ColumnDef::new("password_hash").text())
        .col(ColumnDef::new("status").text().not_null())
        .to_owned();
    let membership = of_records("membership", &["tenant", "user_id"])
        .col(ColumnDef::new("tenant").text().not_null())
        .col(ColumnDef::new("user_id").text().not_null())
        .col(ColumnDef::new("role").text())
        .to_owned();
    vec![
        Box::new(kept(project)),
        Box::new(by_revision("project", &["tenant", "id"])),
        Box::new(kept(user)),
        Box::new(by_revision("app_user", &["id"])),
        Box::new(unique("app_user", "email_folded")),
        Box::new(kept(membership)),
        Box::new(by_revision("membership", &["tenant", "user_id"])),
    ]
}

/// API keys, those of the operator with an empty tenant, and signing secrets.
fn keys() -> Changes {
    let api_key = of_records("api_key", &["tenant", "id"])
        .col(ColumnDef::new("tenant").text().not_null())
        .col(ColumnDef::new("id").text().not_null())
        .col(ColumnDef::new("origin").text().not_null())
        .col(ColumnDef::new("hash").blob().not_null())
        .col(ColumnDef::new("project").text())
        .col(ColumnDef::new("name").text().not_null())
        .col(ColumnDef::new("scopes").big_integer().not_null())
        .col(ColumnDef::new("expires_us").big_integer())
        .col(ColumnDef::new("addresses").text().not_null())
        .col(ColumnDef::new("revoked_us").big_integer())
        .col(ColumnDef::new("last_used_us").big_integer())
        .col(ColumnDef::new("created_by").text().not_null())
        .to_owned();
    let registered = unique("api_key", "hash").and_where(Expr::col("origin").eq("registered")).to_owned();
    let secret = of_records("signing_secret", &["tenant", "id"])
        .col(ColumnDef::new("tenant").text().not_null())
        .col(ColumnDef::new("id").text().not_null())
        .col(ColumnDef::new("project").text())
        .col(ColumnDef::new("name").text().not_null())
        .col(ColumnDef::new("wrapped").blob().not_null())
        .col(ColumnDef::new("expires_us").big_integer())
        .col(ColumnDef::new("revoked_us").big_integer())
        .col(ColumnDef::new("created_by").text().not_null())
        .to_owned();
    vec![
        Box::new(kept(api_key)),
        Box::new(by_revision("api_key", &["tenant", "id"])),
        Box::new(unique("api_key", "id")),
        Box::new(registered),
        Box::new(kept(secret)),
        Box::new(by_revision("signing_secret", &["tenant", "id"])),
        Box::new(unique("signing_secret", "id")),
    ]
}

/// What expires: invitations, resets of passwords and sessions.
fn logins() -> Changes {
    let invitation = of_records("invitation", &["tenant", "id"])
        .col(ColumnDef::new("tenant").text().not_null())
        .col(ColumnDef::new("id").text().not_null())
        .col(ColumnDef::new("email").text().not_null())
        .col(ColumnDef::new("role").text().not_null())
        .col(ColumnDef::new("token_hash").blob().not_null())
        .col(ColumnDef::new("expires_us").big_integer().not_null())
        .col(ColumnDef::new("closed_us").big_integer())
        .col(ColumnDef::new("created_by").text().not_null())
        .to_owned();
    let reset = of_records("password_reset", &["user_id"])
        .col(ColumnDef::new("user_id").text().not_null())
        .col(ColumnDef::new("token_hash").blob().not_null())
        .col(ColumnDef::new("expires_us").big_integer().not_null())
        .col(ColumnDef::new("closed_us").big_integer())
        .to_owned();
    let session = of_records("session", &["id"])
        .col(ColumnDef::new("id").text().not_null())
        .col(ColumnDef::new("user_id").text().not_null())
        .col(ColumnDef::new("cookie_hash").blob())
        .col(ColumnDef::new("generation").big_integer())
        .col(ColumnDef::new("expires_us").big_integer().not_null())
        .col(ColumnDef::new("ended_us").big_integer())
        .to_owned();
    vec![
        Box::new(kept(invitation)),
        Box::new(by_revision("invitation", &["tenant", "id"])),
        Box::new(unique("invitation", "id")),
        Box::new(index("invitation", "expires_us", &["expires_us"])),
        Box::new(kept(reset)),
        Box::new(by_revision("password_reset", &["user_id"])),
        Box::new(index("password_reset", "expires_us", &["expires_us"])),
        Box::new(kept(session)),
        Box::new(by_revision("session", &["id"])),
        Box::new(index("session", "expires_us", &["expires_us"])),
    ]
}

/// Keys of access tokens, what was made by requests with a key of their own, profiles of customers, and the one row
/// that counts commits.
fn rest() -> Changes {
    let token_key = of_records("token_key", &["kid"])
        .col(ColumnDef::new("kid").text().not_null())
        .col(ColumnDef::new("wrapped").blob().not_null())
        .col(ColumnDef::new("retired_us").big_integer())
        .to_owned();
    let creation = of_records("creation", &["key_hash"])
        .col(ColumnDef::new("key_hash").blob().not_null())
        .col(ColumnDef::new("body_hash").blob().not_null())
        .col(ColumnDef::new("tenant").text().not_null())
        .col(ColumnDef::new("made").text().not_null())
        .col(ColumnDef::new("created_us").big_integer().not_null())
        .col(ColumnDef::new("expires_us").big_integer().not_null())
        .col(ColumnDef::new("revision").big_integer().not_null())
        .col(ColumnDef::new("seal").big_integer().not_null())
        .to_owned();
    let customer = of_records("customer_profile", &["tenant", "customer"])
        .col(ColumnDef::new("tenant").text().not_null())
        .col(ColumnDef::new("customer").text().not_null())
        .col(ColumnDef::new("name").text())
        .col(ColumnDef::new("attributes").text().not_null())
        .to_owned();
    let revision = of_records("register_revision", &["id"])
        .col(ColumnDef::new("id").big_integer().not_null().check(Expr::col("id").eq(1)))
        .col(ColumnDef::new("revision").big_integer().not_null().check(Expr::col("revision").gte(0)))
        .col(ColumnDef::new("seal").big_integer().not_null())
        .to_owned();
    let first = register_revision::Entity::insert(register_revision::Model::new(0).into_active_model()).into_query();
    vec![
        Box::new(kept(token_key)),
        Box::new(by_revision("token_key", &["kid"])),
        Box::new(creation),
        Box::new(by_revision("creation", &["key_hash"])),
        Box::new(index("creation", "expires_us", &["expires_us"])),
        Box::new(kept(customer)),
        Box::new(revision),
        Box::new(first),
    ]
}

/// The log: chains of entries, and the last of each.
fn audit() -> Changes {
    let entry = of_records("audit_entry", &["chain", "seq"])
        .col(ColumnDef::new("chain").text().not_null())
        .col(ColumnDef::new("seq").big_integer().not_null().check(Expr::col("seq").gt(0)))
        .col(ColumnDef::new("at_us").big_integer().not_null())
        .col(ColumnDef::new("actor").text().not_null())
        .col(ColumnDef::new("action").text().not_null())
        .col(ColumnDef::new("target").text().not_null())
        .col(ColumnDef::new("before").text())
        .col(ColumnDef::new("after").text())
        .col(ColumnDef::new("address").text())
        .col(ColumnDef::new("request_id").text())
        .col(ColumnDef::new("hash").blob().not_null())
        .to_owned();
    let head = of_records("audit_head", &["chain"])
        .col(ColumnDef::new("chain").text().not_null())
        .col(ColumnDef::new("seq").big_integer().not_null().check(Expr::col("seq").gt(0)))
        .col(ColumnDef::new("hash").blob().not_null())
        .to_owned();
    vec![
        Box::new(entry),
        Box::new(index("audit_entry", "action", &["chain", "action", "seq"])),
        Box::new(index("audit_entry", "actor", &["chain", "actor", "seq"])),
        Box::new(index("audit_entry", "target", &["chain", "target", "seq"])),
        Box::new(index("audit_entry", "at_us", &["chain", "at_us", "seq"])),
        Box::new(head),
    ]
}

/// A table with this key.
pub(super) fn of_records(table: &'static str, key: &[&'static str]) -> TableCreateStatement {
    let mut primary = Index::create();
    for column in key {
        primary.col(*column);
    }
    Table::create().table(table).primary_key(&mut primary).to_owned()
}

/// What every table of records ends with.
pub(super) fn kept(mut table: TableCreateStatement) -> TableCreateStatement {
    table
        .col(ColumnDef::new("created_us").big_integer().not_null())
        .col(ColumnDef::new("updated_us").big_integer().not_null())
        .col(ColumnDef::new("version").big_integer().not_null().check(Expr::col("version").gt(0)))
        .col(ColumnDef::new("revision").big_integer().not_null())
        .col(ColumnDef::new("seal").big_integer().not_null())
        .to_owned()
}

/// What has changed since a revision is read along this one, page by page.
pub(super) fn by_revision(table: &'static str, key: &[&'static str]) -> IndexCreateStatement {
    let columns: Vec<_> = ["revision"].iter().chain(key).copied().collect();
    index(table, "revision", &columns)
}

pub(super) fn index(table: &'static str, by: &'static str, columns: &[&'static str]) -> IndexCreateStatement {
    let mut index = Index::create();
    index.name(format!("{table}_by_{by}")).table(table);
    for column in columns {
        index.col(*column);
    }
    index
}

fn unique(table: &'static str, column: &'static str) -> IndexCreateStatement {
    index(table, column, &[column]).name(format!("{table}_{column}")).unique().to_owned()
}
