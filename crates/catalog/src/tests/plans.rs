//! Along which indexes SQLite reads: a log of a million entries, or a register of many keys, is not read whole for a
//! page of it.

use domain::access::audit::AuditFilter;
use sea_orm::{ConnectionTrait, DbBackend, QueryTrait, Statement};

use super::samples::{Outcome, at, creation, key, scope};
use crate::SqliteCatalog;
use crate::audit::{details_after, erased_by, first_chain_after, last_erasure, last_of, newest, note_erased, oldest};
use crate::entities::row;
use crate::entities::{api_key, session};
use crate::register::{forget, page, profiles_of, removed, touched};

/// How SQLite would run a statement.
async fn plan(catalog: &SqliteCatalog, statement: Statement) -> Result<String, Box<dyn std::error::Error>> {
    let explain = Statement { sql: format!("EXPLAIN QUERY PLAN {}", statement.sql), ..statement };
    let rows = catalog.file.readers().query_all_raw(explain).await?;
    let steps = rows.iter().map(|row| row.try_get_by("detail")).collect::<Result<Vec<String>, _>>()?;
    Ok(steps.join("; "))
}

#[tokio::test]
async fn nothing_is_read_whole_for_a_part_of_it() -> Outcome {
    let folder = tempfile::tempdir()?;
    let catalog = SqliteCatalog::open_or_create(&folder.path().join("catalog.sqlite")).await?;
    let on = DbBackend::Sqlite;
    let some = |text: &str| Some(text.to_owned());
    let none = AuditFilter::default();
    let log = |filter: &AuditFilter| newest(Some(scope().tenant()), filter, 50).build(on);
    let primary = "SEARCH audit_entry USING INDEX sqlite_autoindex_audit_entry_1 (chain=?";
    let of_time = "SEARCH audit_entry USING INDEX sqlite_autoindex_audit_entry_1 (chain=? AND seq=?); LIST SUBQUERY 1; \
                   SEARCH audit_entry USING COVERING INDEX audit_entry_by_at_us (chain=? AND at_us>?";
    let by = |index: &str, on: &str| format!("SEARCH audit_entry USING INDEX audit_entry_by_{index} (chain=? AND {on}");
    let window = AuditFilter { from: Some(at(1)), to: Some(at(2)), ..none.clone() };
    let last = row::sealed::<api_key::Model>(&key()?, 3)?;
    for (statement, expected) in [
        (log(&none), primary),
        (log(&AuditFilter { before: Some(9), ..none.clone() }), primary),
        (log(&AuditFilter { actor: some("a"), ..none.clone() }), &by("actor", "actor=?")),
        (log(&AuditFilter { action: some("a"), ..none.clone() }), &by("action", "action=?")),
        (log(&AuditFilter { target: some("a"), before: Some(9), ..none.clone() }), &by("target", "target=? AND seq<?")),
        (log(&AuditFilter { target: some("customer:a"), before: Some(9), ..none.clone() }), primary),
        (details_after("a", 7).build(on), primary),
        (last_erasure("a").build(on), &by("action", "action=?")),
        (note_erased("a", 1, 7).build(on), primary),
        (erased_by("a", 7).build(on), primary),
        (log(&AuditFilter { actor: some("a"), ..window.clone() }), &by("actor", "actor=? AND seq=?")),
        (log(&window), of_time),
        (log(&AuditFilter { before: Some(9), ..window }), of_time),
        (log(&AuditFilter { from: Some(at(1)), ..none.clone() }), of_time),
        (oldest(None, 7, 1_000).build(on), primary),
        (last_of("").build(on), primary),
        (
            first_chain_after(Some("a")).build(on),
            "SEARCH audit_entry USING COVERING INDEX sqlite_autoindex_audit_entry_1 (chain>?)",
        ),
        (page::<api_key::Model>(3, None).build(on), "SEARCH api_key USING INDEX api_key_by_revision (revision>?)"),
        (
            page(3, Some(&last)).build(on),
            "SEARCH api_key USING INDEX api_key_by_revision ((revision,tenant,id)>(?,?,?))",
        ),
        (touched(key()?.id, at(1)).build(on), "SEARCH api_key USING INDEX api_key_id (id=?)"),
        (forget(&creation()).build(on), "SEARCH creation USING INDEX sqlite_autoindex_creation_1 (key_hash=?)"),
        (removed::<api_key::Entity>("id", "a", 1)?.build(on), "SEARCH api_key USING INDEX api_key_id (id=?)"),
        (
            removed::<session::Entity>("id", "a", 1)?.build(on),
            "SEARCH session USING INDEX sqlite_autoindex_session_1 (id=?)",
        ),
        (
            profiles_of(&scope(), &["a", "b"]).build(on),
            "SEARCH customer_profile USING INDEX sqlite_autoindex_customer_profile_1 (tenant=? AND customer=?)",
        ),
    ] {
        let sql = statement.sql.clone();
        let plan = plan(&catalog, statement).await?;
        assert!(plan.starts_with(expected), "{plan}\n{sql}");
        assert!(!plan.contains("SCAN") && !plan.contains("ORDER BY"), "{plan}\n{sql}");
    }
    Ok(())
}
