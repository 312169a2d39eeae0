//! I5 by the database: what a session of the application's login that goes round the adapter sees and touches of other
//! tenants is nothing (F36, F37); and a login or a fence that is other than the table of rights says is refused.

use std::sync::Arc;

use catalog::postgres::PostgresCatalog;
use domain::access::audit::Cause;
use domain::access::record::{Project, Record, Versioned};
use domain::quota::{Measure, QuotaKey, QuotaPeriod, VersionedQuota};
use domain::tenant::{TenantId, TenantScope};
use domain::time::Timestamp;
use futures::TryStreamExt;
use ports::ErrorKind;
use ports::active_users::VersionedZone;
use ports::catalog::{Catalog, TenantSettings};
use ports::references::References;
use ports::register::{Register, RegisterCommit};
use sea_orm::sqlx::postgres::PgConnection;
use sea_orm::sqlx::{self, AssertSqlSafe, Connection};

use super::place::{Base, Session, carried};
use super::schema::said;
use crate::Outcome;
use crate::place::audit;
use crate::records::{encryption, of_every_kind, profile};

/// Who has something in every table.
const OWNER: &str = "acme";
/// Who has little.
const OTHER: &str = "other";

fn scope(id: &str) -> Result<TenantScope, Box<dyn std::error::Error>> {
    Ok(TenantScope::for_operator(TenantId::parse(id)?))
}

/// A database with rows of two tenants and of the server in it.
async fn filled() -> Result<Option<Base>, Box<dyn std::error::Error>> {
    let Some(base) = Base::new()? else { return Ok(None) };
    let catalog = base.catalog().await?;
    let (acme, other) = (scope(OWNER)?, scope(OTHER)?);
    catalog.ensure_tenants(&[acme.tenant().clone(), other.tenant().clone()], Timestamp::MIN, &Cause::server()).await?;
    for scope in [&acme, &other] {
        let audit = audit(scope, Timestamp::MIN);
        catalog.store_settings(scope, &TenantSettings::default(), &audit).await?;
        catalog
            .store_wanted_zone(scope, &VersionedZone { version: 1, ..VersionedZone::default() }, &carried(), &audit)
            .await?;
        let key = QuotaKey { customer: None, measure: Measure::ALL[0], period: QuotaPeriod::ALL[0] };
        catalog.store_quota(scope, &VersionedQuota { key, terms: None, version: 1 }, &audit).await?;
        let table = domain::reference::ReferenceTable { generation: 1, ..Default::default() };
        catalog.store_reference(scope, &Arc::new(table), &audit).await?;
    }
    let of_other = Project {
        workspace: other.tenant().clone(),
        id: "web".into(),
        name: "Web".to_owned(),
        is_removed: false,
        versioned: Versioned::new(Timestamp::MIN),
    };
    let records = [
        of_every_kind(acme.tenant())?.into_iter().filter(|record| !matches!(record, Record::Workspace(_))).collect(),
        encryption(acme.tenant())?,
        vec![Record::Customer(profile(acme.tenant())), Record::Project(of_other)],
    ];
    let server = Cause::command().draft(None, Timestamp::MIN, "server.test", "server");
    catalog.commit(&RegisterCommit { records: records.concat(), audit: vec![server], ..Default::default() }).await?;
    catalog.close().await?;
    Ok(Some(base))
}

/// The tables, each with the column that tells of whom a row is, if it has one.
fn tables(base: &Base) -> Result<Vec<(String, Option<String>)>, testservers::Error> {
    let listed = base.sql(
        "SELECT t.tablename, (SELECT column_name FROM information_schema.columns c WHERE c.table_schema = 'nilometer' \
         AND c.table_name = t.tablename AND (column_name IN ('tenant', 'chain') OR t.tablename = 'tenant' \
         AND column_name = 'id')) FROM pg_tables t WHERE schemaname = 'nilometer' AND tablename <> 'schema_step'",
    )?;
    let pair = |line: &str| {
        let (table, column) = line.split_once('|').unwrap_or((line, ""));
        (table.to_owned(), Some(column.to_owned()).filter(|column| !column.is_empty()))
    };
    Ok(listed.lines().map(pair).collect())
}

/// Goes into a scope for one transaction.
fn enter(tenant: &str, server: &str) -> String {
    format!(
        "BEGIN; SELECT set_config('nilometer.tenant', '{tenant}', true), set_config('nilometer.server', '{server}', true)"
    )
}

/// What comes out of a table by COPY.
async fn copied(session: &mut Session, table: &str) -> Result<usize, sqlx::Error> {
    let stream = session.0.copy_out_raw(&format!("COPY nilometer.{table} TO STDOUT")).await?;
    stream.try_fold(0, async |bytes, chunk| Ok(bytes + chunk.len())).await
}

/// What a session does that is in the wrong scope or in none: nothing is seen, changed or removed.
async fn finds_nothing(session: &mut Session, table: &str, rows: &str) -> Outcome {
    let place = format!("{table} {rows}");
    let count = format!("SELECT count(*) FROM nilometer.{table} WHERE {rows}");
    assert_eq!(session.numbers(&count).await?, [0], "{place}");
    let column = "(SELECT attname FROM pg_attribute WHERE attrelid = 'nilometer.{}'::regclass AND attnum = 1)";
    let first: String = sqlx::query_scalar(AssertSqlSafe(format!("SELECT {}", column.replace("{}", table))))
        .fetch_one(&mut session.0)
        .await?;
    for change in [
        format!("UPDATE nilometer.{table} SET {first} = {first} WHERE {rows}"),
        format!("DELETE FROM nilometer.{table} WHERE {rows}"),
    ] {
        session.run("SAVEPOINT before").await?;
        match session.run(&change).await {
            Ok(changed) => assert_eq!(changed, 0, "{change}"),
            Err(error) => {
                let code = error.as_database_error().and_then(|said| said.code().map(std::borrow::Cow::into_owned));
                assert_eq!(code.as_deref(), Some("42501"), "{change}");
            }
        }
        session.run("ROLLBACK TO before").await?;
    }
    for denied in
        [format!("TRUNCATE nilometer.{table}"), format!("ALTER TABLE nilometer.{table} DISABLE ROW LEVEL SECURITY")]
    {
        session.run("SAVEPOINT before").await?;
        assert_eq!(session.refused(&denied).await.as_deref(), Some("42501"), "{denied}");
        session.run("ROLLBACK TO before").await?;
    }
    Ok(())
}

#[tokio::test]
async fn f36_in_no_scope_or_anothers_nothing_is_seen_or_touched() -> Outcome {
    let Some(base) = filled().await? else { return Ok(()) };
    let mut session = base.session().await?;
    let tables = tables(&base)?;
    assert_eq!(tables.len(), 23, "{tables:?}");
    for (table, column) in &tables {
        let all: i64 = base.sql(&format!("SELECT count(*) FROM nilometer.{table}"))?.parse()?;
        assert!(all > 0, "{table} has rows");
        for (tenant, server) in [("", ""), ("", "off"), ("nobody", "off")] {
            session.run(&enter(tenant, server)).await?;
            finds_nothing(&mut session, table, "true").await?;
            assert_eq!(copied(&mut session, table).await?, 0, "{table}");
            session.run("ROLLBACK").await?;
        }
        // Outside of a transaction as well, and when one has ended.
        assert_eq!(session.numbers(&format!("SELECT count(*) FROM nilometer.{table}")).await?, [0], "{table}");
        session.run(&format!("{}; COMMIT", enter(OWNER, "on"))).await?;
        assert_eq!(session.numbers(&format!("SELECT count(*) FROM nilometer.{table}")).await?, [0], "{table}");
        if let Some(column) = column {
            session.run(&enter(OTHER, "off")).await?;
            finds_nothing(&mut session, table, &format!("{column} <> '{OTHER}'")).await?;
            session.run("ROLLBACK").await?;
            session.run(&enter("", "on")).await?;
            finds_nothing(&mut session, table, &format!("{column} <> ''")).await?;
            session.run("ROLLBACK").await?;
        } else {
            session.run(&enter(OWNER, "off")).await?;
            finds_nothing(&mut session, table, "true").await?;
            session.run("ROLLBACK").await?;
        }
        assert_eq!(base.sql(&format!("SELECT count(*) FROM nilometer.{table}"))?.parse::<i64>()?, all, "{table}");
    }
    Ok(())
}

/// That the tests before can fail: in its own scope each sees what is its own.
#[tokio::test]
async fn f36_in_its_own_scope_each_sees_its_own_rows() -> Outcome {
    let Some(base) = filled().await? else { return Ok(()) };
    let mut session = base.session().await?;
    for (table, column) in tables(&base)? {
        for (tenant, server) in [(OWNER, "off"), (OTHER, "off"), ("", "on")] {
            let own = match &column {
                Some(column) => format!("{column} = '{tenant}'"),
                None => (server == "on").to_string(),
            };
            let expected: i64 = base.sql(&format!("SELECT count(*) FROM nilometer.{table} WHERE {own}"))?.parse()?;
            session.run(&enter(tenant, server)).await?;
            let seen = session.numbers(&format!("SELECT count(*) FROM nilometer.{table}")).await?;
            assert_eq!(seen, [expected], "{table} of {tenant:?}");
            session.run("ROLLBACK").await?;
        }
    }
    session.run(&enter(OWNER, "off")).await?;
    assert_eq!(session.run("UPDATE nilometer.project SET name = 'x'").await?, 1);
    session.run("ROLLBACK").await?;
    Ok(())
}

#[tokio::test]
async fn f37_no_row_is_written_for_another_and_no_fence_is_opened() -> Outcome {
    let Some(base) = filled().await? else { return Ok(()) };
    let mut session = base.session().await?;
    let rest = "id, name, is_removed, created_us, updated_us, version, revision, seal) VALUES";
    for (statement, code) in [
        (format!("INSERT INTO nilometer.project (tenant, {rest} ('{OWNER}', 'x', '', false, 0, 0, 1, 1, 0)"), "42501"),
        (format!("UPDATE nilometer.project SET tenant = '{OWNER}', id = 'x'"), "42501"),
        ("COPY nilometer.project FROM STDIN".to_owned(), "0A000"),
        (format!("INSERT INTO nilometer.audit_head VALUES ('{OWNER}', 9, 'x')"), "42501"),
        ("INSERT INTO nilometer.audit_head VALUES ('', 9, 'x')".to_owned(), "42501"),
        ("INSERT INTO nilometer.register_revision VALUES (1, 9, 9) ON CONFLICT (id) DO UPDATE SET revision = 9".into(), "42501"),
        ("UPDATE nilometer.audit_entry SET actor = 'nobody'".to_owned(), "42501"),
        ("DELETE FROM nilometer.audit_entry".to_owned(), "42501"),
        ("UPDATE nilometer.audit_entry SET detail_hash = 'x', erased_by = 1".to_owned(), "42501"),
        ("UPDATE nilometer.audit_detail SET after = '{}'".to_owned(), "42501"),
        (format!("INSERT INTO nilometer.audit_detail (chain, seq, salt) VALUES ('{OWNER}', 9, 'x')"), "42501"),
        ("UPDATE nilometer.schema_step SET name = 'x'".to_owned(), "42501"),
        (format!("SET ROLE {}_owner", base.name()), "42501"),
        (format!("SET SESSION AUTHORIZATION {}_owner", base.name()), "42501"),
        ("SET LOCAL row_security = off; SELECT * FROM nilometer.project".to_owned(), "42501"),
        ("CREATE TABLE nilometer.mine (n int)".to_owned(), "42501"),
        ("CREATE VIEW nilometer.mine AS SELECT * FROM nilometer.project".to_owned(), "42501"),
        ("CREATE FUNCTION nilometer.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'".to_owned(), "42501"),
        ("CREATE SCHEMA mine".to_owned(), "42501"),
        ("DROP POLICY own ON nilometer.project".to_owned(), "42501"),
        ("CREATE POLICY mine ON nilometer.project USING (true)".to_owned(), "42501"),
        ("CREATE TABLE pg_temp.mine (n text REFERENCES nilometer.tenant (id))".to_owned(), "42P16"),
        ("CREATE TRIGGER mine BEFORE INSERT ON nilometer.project EXECUTE FUNCTION suppress_redundant_updates_trigger()".to_owned(), "42501"),
    ] {
        session.run(&enter(OTHER, "off")).await?;
        let refused = session.refused(&statement).await;
        assert_eq!(refused.as_deref(), Some(code), "{statement}");
        session.run("ROLLBACK").await?;
    }
    Ok(())
}

/// Names that a session puts in the way are not found by the functions that read of all.
#[tokio::test]
async fn f37_a_function_reads_no_table_that_a_session_puts_in_its_way() -> Outcome {
    let Some(base) = filled().await? else { return Ok(()) };
    let mut session = base.session().await?;
    session.run("CREATE TEMPORARY TABLE tenant (id text); SET search_path = pg_temp, nilometer").await?;
    let seen = session.numbers("SELECT count(*) FROM nilometer.since_tenant(-1)").await?;
    assert_eq!(seen, [2]);
    // What a worker may not call.
    let mut worker = Session(PgConnection::connect(&base.worker_url()).await?);
    for denied in
        ["SELECT nilometer.since_app_user(-1)", "SELECT nilometer.audit_chains()", "SELECT * FROM nilometer.app_user"]
    {
        assert_eq!(worker.refused(denied).await.as_deref(), Some("42501"), "{denied}");
    }
    PostgresCatalog::check_worker(&base.worker_url()).await?;
    Ok(())
}

/// Each is told at the start; the owner's next migration puts it right where that is its to do.
#[tokio::test]
async fn rights_that_are_not_those_of_the_table_are_refused() -> Outcome {
    let Some(base) = filled().await? else { return Ok(()) };
    let (app, owner) = (base.logins.app.clone(), format!("{}_owner", base.name()));
    for (damage, told, repaired) in [
        (format!("GRANT TRUNCATE ON nilometer.tenant TO {app}"), "not to be there: TRUNCATE on tenant", true),
        (format!("GRANT REFERENCES (id) ON nilometer.tenant TO {app}"), "REFERENCES (id) on tenant", true),
        ("GRANT UPDATE ON nilometer.audit_entry TO PUBLIC".to_owned(), "UPDATE on audit_entry", true),
        (format!("GRANT UPDATE (hash) ON nilometer.audit_entry TO {app}"), "UPDATE (hash) on audit_entry", true),
        (format!("REVOKE UPDATE (erased_by) ON nilometer.audit_entry FROM {app}"), "missing: UPDATE (erased_by)", true),
        (format!("REVOKE INSERT ON nilometer.project FROM {app}"), "missing: INSERT on project", true),
        (format!("GRANT CREATE ON SCHEMA nilometer TO {app}"), "CREATE on the schema", true),
        ("ALTER TABLE nilometer.session DISABLE ROW LEVEL SECURITY".to_owned(), "table session", true),
        ("ALTER TABLE nilometer.session NO FORCE ROW LEVEL SECURITY".to_owned(), "tablesession", true),
        ("CREATE POLICY more ON nilometer.session USING (true)".to_owned(), "policymoreonsession", true),
        ("DROP POLICY own ON nilometer.session".to_owned(), "missing: policyownonsession", true),
        ("ALTER POLICY own ON nilometer.project USING (true)".to_owned(), "policyownonproject", true),
        ("ALTER FUNCTION nilometer.since_tenant(bigint) RESET search_path".to_owned(), "functionsince_tenant", true),
        ("ALTER FUNCTION nilometer.since_tenant(bigint) SECURITY INVOKER".to_owned(), "functionsince_tenant", true),
        ("DROP FUNCTION nilometer.audit_chains()".to_owned(), "audit_chains", true),
        ("CREATE FUNCTION nilometer.more() RETURNS int LANGUAGE sql AS 'SELECT 1'".to_owned(), "more", true),
        ("CREATE TABLE nilometer.more (n int)".to_owned(), "tablemore", false),
        (format!("ALTER ROLE {app} BYPASSRLS"), "is BYPASSRLS", false),
        (format!("ALTER ROLE {app} CREATEROLE"), "is CREATEROLE", false),
        (format!("GRANT {owner} TO {app}"), "is member of", false),
    ] {
        // What one of them leaves must not be there for the next.
        let undo = [
            "DROP FUNCTION IF EXISTS nilometer.more()".to_owned(),
            "DROP TABLE IF EXISTS nilometer.more".to_owned(),
            format!("ALTER ROLE {app} NOBYPASSRLS NOCREATEROLE"),
            format!("REVOKE {owner} FROM {app}"),
        ];
        base.sql(&damage)?;
        let (kind, text) = said(base.open().await);
        assert_eq!(kind, Some(ErrorKind::Unacceptable), "{damage}: {text}");
        let is_told = text.contains(told) || text.replace(' ', "").contains(&told.replace(' ', ""));
        assert!(is_told, "{damage}: {text}");
        let (kind, text) = said(base.migrate().await);
        assert_eq!(kind, (!repaired).then_some(ErrorKind::Unacceptable), "{damage}: {text}");
        if !repaired {
            base.sql(&undo.join("; "))?;
        }
        base.open().await?.close().await?;
    }
    base.sql(&format!("GRANT SELECT ON nilometer.app_user TO {}", base.logins.worker))?;
    let (kind, text) = said(PostgresCatalog::check_worker(&base.worker_url()).await);
    assert_eq!(kind, Some(ErrorKind::Unacceptable), "{text}");
    assert!(text.contains("SELECT on app_user"), "{text}");
    Ok(())
}
