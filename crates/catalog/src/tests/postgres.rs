//! The SQL that PostgreSQL would get, of all steps of the schema and of the statements that matter. A snapshot, so that
//! what only SQLite knows is seen in review.

use std::fmt::Write as _;

use domain::access::audit::{AuditEntry, AuditFilter, AuditHead, Cause, SALT_BYTES};
use sea_orm::{DbBackend, EntityTrait, IntoActiveModel, QueryTrait};

use super::samples::{Outcome, at, creation, key, scope};
use crate::audit::{
    details_after, erased_by, first_chain_after, last_erasure, last_of, newest, note_erased, note_head, oldest,
};
use crate::entities::row::{self, Row};
use crate::entities::{
    api_key, audit_detail, audit_entry, audit_head, customer_profile, register_revision, session, tenant,
};
use crate::migrations::STEPS;
use crate::register::{forget, page, profiles_of, removed, set_revision, touched};

#[test]
fn the_schema_of_postgresql() {
    let mut text = String::new();
    for step in STEPS {
        let _ = writeln!(text, "-- {}", step.name);
        for change in (step.changes)() {
            let _ = writeln!(text, "{};", change.build(&DbBackend::Postgres));
        }
    }
    insta::assert_snapshot!(text);
}

#[test]
fn the_statements_of_postgresql() -> Outcome {
    let mut text = String::new();
    let mut add = |what: &str, statement: sea_orm::Statement| {
        let _ = writeln!(text, "-- {what}\n{};", statement.sql);
    };
    let row = row::sealed::<api_key::Model>(&key()?, 3)?;
    let on = DbBackend::Postgres;
    add("load the first page of keys", page::<api_key::Model>(2, None).build(on));
    add("load the next page of keys", page(2, Some(&row)).build(on));
    add("load the first page of workspaces", page::<tenant::Model>(-1, None).build(on));
    add("a new key", api_key::Entity::insert(row.clone().into_active_model()).build(on));
    add("the next version of a key", row::update(row.clone(), row.version() - 1).build(on));
    add("the use of a key", touched(key()?.id, at(1)).build(on));
    add("a creation that was made before", forget(&creation()).build(on));
    add("a session that has ended", removed::<session::Entity>("id", "a", 1)?.build(on));
    add("the revision", set_revision(register_revision::Model::new(1)).build(on));
    add("profiles of customers", profiles_of(&scope(), &["a", "b"]).build(on));
    let profile = customer_profile::Entity::find_by_id(("a".to_owned(), "b".to_owned()));
    add("one profile", profile.build(on));
    let draft = Cause::server().draft(None, at(1), "test", "test");
    let entry = AuditEntry::after(AuditHead::default(), draft, [0; SALT_BYTES]);
    let head = audit_head::Model::new(String::new(), entry.head())?;
    let (entry, detail) = audit_entry::Model::new(entry)?;
    add("the detail of an entry", audit_detail::Entity::insert(detail.into_active_model()).build(on));
    add("a detail that is erased", note_erased("a", 1, 7).build(on));
    add("details that an erasure has removed", erased_by("", 7).build(on));
    add("details that may be erased", details_after("", 7).build(on));
    add("the last erasure", last_erasure("").build(on));
    add("an entry", audit_entry::Entity::insert(entry.into_active_model()).build(on));
    add("the last entry", last_of("").build(on));
    add("the head", note_head(head).build(on));
    let some = |text: &str| Some(text.to_owned());
    let (from, to, before) = (Some(at(1)), Some(at(2)), Some(9));
    let filter = AuditFilter { actor: some("a"), action: some("b"), target: some("c"), from, to, before };
    add("the log with every filter", newest(Some(scope().tenant()), &filter, 9).build(on));
    let named = AuditFilter { target: some("customer:c"), ..AuditFilter::default() };
    add("the log of what has a name", newest(Some(scope().tenant()), &named, 9).build(on));
    add("a chain", oldest(None, 7, 9).build(on));
    add("the next chain", first_chain_after(Some("a")).build(on));
    insta::assert_snapshot!(text);
    Ok(())
}
