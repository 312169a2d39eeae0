//! What only this module reaches: steps one by one, and what is left on a connection.

use std::future::poll_fn;
use std::path::Path;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use domain::access::audit::{AuditFilter, Cause};
use domain::access::record::{Project, Record, Versioned};
use domain::tenant::{TenantId, TenantScope};
use domain::time::Timestamp;
use ports::catalog::Catalog;
use ports::references::References;
use ports::register::{AuditLog, Register, RegisterCommit, Revision};
use sea_orm::sqlx::postgres::PgConnection;
use sea_orm::sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sea_orm::sqlx::{self, AssertSqlSafe, ConnectOptions, Connection, Row as _};
use sea_orm::{ConnectionTrait, DbBackend, QueryTrait, Statement};
use sqlite::Failure;
use testservers::Database;

use super::fences::{TABLES, fences};
use super::schema::migrate_to;
use super::scoped::{Scope, Scoped};
use super::{Logins, PostgresCatalog, PostgresLimits};
use crate::SqliteCatalog;
use crate::audit::{details_after, erased_by, last_erasure, last_of, newest, note_erased};
use crate::entities::{api_key, row};
use crate::migrations::STEPS;
use crate::register::{forget, profiles_of, removed, touched};
use crate::tests::samples;

type Outcome = Result<(), Box<dyn std::error::Error>>;

struct Base {
    database: Database,
    logins: Logins,
}

impl Base {
    fn new() -> Result<Option<Self>, testservers::Error> {
        let Some(database) = testservers::database()? else { return Ok(None) };
        let name = database.name();
        let logins = Logins { app: format!("{name}_app"), worker: format!("{name}_worker") };
        database.sql(&format!(
            "CREATE ROLE {name}_owner LOGIN PASSWORD 'x'; CREATE ROLE {} LOGIN PASSWORD 'x'; \
             CREATE ROLE {} LOGIN PASSWORD 'x'; ALTER DATABASE {name} OWNER TO {name}_owner",
            logins.app, logins.worker
        ))?;
        Ok(Some(Self { database, logins }))
    }

    fn url(&self, login: &str) -> String {
        let at = self.database.url().split_once('@').map_or("", |(_, at)| at);
        format!("postgres://{login}:x@{at}")
    }

    async fn migrate(&self, steps: usize) -> Result<usize, ports::PortError> {
        migrate_to(&self.url(&format!("{}_owner", self.database.name())), &self.logins, steps).await
    }

    async fn open(&self, connections: u32) -> Result<PostgresCatalog, ports::PortError> {
        let limits = PostgresLimits { connections, wait: Duration::from_secs(20), ..PostgresLimits::default() };
        PostgresCatalog::open(&self.url(&self.logins.app), &limits).await
    }
}

/// Copies every row of a file of SQLite that has the same tables.
async fn copy(file: &Path, url: &str) -> Outcome {
    let mut from: SqliteConnection = SqliteConnectOptions::new().filename(file).read_only(true).connect().await?;
    let mut to = PgConnection::connect(url).await?;
    let tables =
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' AND name NOT LIKE 'seaql%'";
    for table in sqlx::query(tables).fetch_all(&mut from).await? {
        let table: String = table.try_get(0)?;
        let columns = sqlx::query(
            "SELECT column_name, data_type FROM information_schema.columns \
                                   WHERE table_schema = 'nilometer' AND table_name = $1",
        );
        let columns = columns.bind(&table).fetch_all(&mut to).await?;
        let columns: Vec<(String, String)> =
            columns.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect::<Result<_, sqlx::Error>>()?;
        // As SQL writes them: both know the form of a text and of a number, and bytes are told in hexadecimal.
        let literal = |(column, kind): &(String, String)| match kind.as_str() {
            "bytea" => format!(
                "CASE WHEN \"{column}\" IS NULL THEN 'NULL' ELSE '''\\x' || hex(\"{column}\") || '''::bytea' END"
            ),
            "boolean" => format!("CASE \"{column}\" WHEN 1 THEN 'true' WHEN 0 THEN 'false' ELSE 'NULL' END"),
            _ => format!("quote(\"{column}\")"),
        };
        let literals: Vec<_> = columns.iter().map(literal).collect();
        let select = format!("SELECT {} FROM {table}", literals.join(" || ', ' || "));
        let names: Vec<_> = columns.iter().map(|(name, _)| format!("\"{name}\"")).collect();
        sqlx::raw_sql(AssertSqlSafe(format!("DELETE FROM nilometer.{table}"))).execute(&mut to).await?;
        for row in sqlx::query(AssertSqlSafe(select)).fetch_all(&mut from).await? {
            let values: String = row.try_get(0)?;
            let insert = format!("INSERT INTO nilometer.{table} ({}) VALUES ({values})", names.join(", "));
            sqlx::raw_sql(AssertSqlSafe(insert)).execute(&mut to).await?;
        }
    }
    Ok(())
}

/// All that a catalog answers.
async fn everything(catalog: &(impl Catalog + References + Register + AuditLog)) -> Result<String, ports::PortError> {
    let mut records = Vec::new();
    let revision = catalog.load(Revision(0), &mut |record| records.push(format!("{record:?}"))).await?;
    records.sort_unstable();
    let mut logs = Vec::new();
    for (workspace, head) in catalog.audit_heads().await? {
        logs.push((head, catalog.audit_chain(workspace.as_ref(), 0, usize::MAX).await?));
    }
    let (tenants, settings) = (catalog.tenants().await?, catalog.settings().await?);
    let (zones, tables) = (catalog.wanted_zones().await?, catalog.reference_tables().await?);
    assert!(catalog.quotas().await?.is_empty() && catalog.carried_periods().await?.is_empty(), "they are later");
    Ok(format!("{revision:?} {records:#?} {tenants:#?} {settings:?} {zones:?} {tables:?} {logs:#?}"))
}

/// Files of the first formats, with what SQLite's own steps make of them as the judge. Each later step runs on a database
/// with rows in it and fences around its tables.
#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "a test works on its own copy")]
async fn each_step_keeps_what_is_there() -> Outcome {
    for (steps, change) in [(1, ""), (2, "UPDATE tenant SET active = 0"), (3, "")] {
        let Some(base) = Base::new()? else { return Ok(()) };
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("catalog.sqlite");
        let fixture = format!("{}/tests/it/fixtures/catalog-v{steps}.sqlite", env!("CARGO_MANIFEST_DIR"));
        std::fs::copy(fixture, &file)?;
        let mut edited: SqliteConnection = SqliteConnectOptions::new().filename(&file).connect().await?;
        sqlx::raw_sql(AssertSqlSafe(change.to_owned())).execute(&mut edited).await?;
        edited.close().await?;

        assert_eq!(base.migrate(steps).await?, steps);
        let told = base.open(1).await.err().map(|error| error.kind());
        assert_eq!(told, Some(ports::ErrorKind::Unacceptable), "{steps} steps are not all");
        copy(&file, base.database.url()).await?;
        for next in steps + 1..=STEPS.len() {
            assert_eq!(base.migrate(next).await?, 1, "step {next}");
        }
        let expected = everything(&SqliteCatalog::open(&file).await?).await?;
        assert!(expected.contains("acme"), "{expected}");
        assert_eq!(expected.contains("detail: InChain"), steps == 3, "entries from before details: {expected}");
        assert_eq!(everything(&base.open(2).await?).await?, expected, "from {steps} steps");
    }
    Ok(())
}

/// What each login may do and what each fence says, for those who review a change of it.
#[test]
fn the_fences_of_postgresql() {
    let all: Vec<_> = TABLES.iter().map(|table| table.name.to_owned()).collect();
    let statements = [fences().raise(&all), fences().grant("nilometer_app", "nilometer_worker")].concat();
    insta::assert_snapshot!(statements.join(";\n"));
}

/// How PostgreSQL would run a statement in a scope, if it could not read tables whole.
async fn plan(catalog: &PostgresCatalog, scope: Scope<'_>, statement: Statement) -> Result<String, Failure> {
    let mut change = Scoped::begin(&catalog.pool).await?;
    let transaction = change.enter(scope).await?;
    transaction.execute_unprepared("SET LOCAL enable_seqscan = off").await?;
    let explain = Statement { sql: format!("EXPLAIN (COSTS OFF) {}", statement.sql), ..statement };
    let rows = transaction.query_all_raw(explain).await?;
    let lines = rows.iter().map(|row| row.try_get_by("QUERY PLAN")).collect::<Result<Vec<String>, _>>()?;
    change.end().await;
    Ok(lines.join("\n"))
}

/// A fence is a condition more on each row: it must not keep a statement from its index.
#[tokio::test]
async fn fences_leave_statements_their_indexes() -> Outcome {
    let Some(base) = Base::new()? else { return Ok(()) };
    base.migrate(STEPS.len()).await?;
    let catalog = base.open(1).await?;
    let (of, on) = (samples::scope(), DbBackend::Postgres);
    base.database.sql(&format!(
        "INSERT INTO nilometer.audit_entry (chain, seq, at_us, actor, action, target, hash) \
         SELECT '{}', n, n, 'actor ' || n % 100, 'a', 'a', '' FROM generate_series(1, 20000) n; \
         INSERT INTO nilometer.audit_detail (chain, seq, salt, target) \
         SELECT chain, seq, '', 'customer:' || seq FROM nilometer.audit_entry; \
         INSERT INTO nilometer.customer_profile SELECT '{}', 'customer ' || n, NULL, '', 0, 0, 1, 1, 0 \
         FROM generate_series(1, 20000) n; ANALYZE",
        of.tenant(),
        of.tenant()
    ))?;
    let tenant = Scope::Tenant(of.tenant());
    let key = row::sealed::<api_key::Model>(&samples::key()?, 3)?;
    let actor = AuditFilter { actor: Some("a".to_owned()), before: Some(9), ..AuditFilter::default() };
    let named = AuditFilter { target: Some("customer:a".to_owned()), ..AuditFilter::default() };
    let span = AuditFilter { from: Some(samples::at(19_990)), ..AuditFilter::default() };
    for (statement, index, condition) in [
        (newest(Some(of.tenant()), &AuditFilter::default(), 9).build(on), "audit_entry_pkey", "chain = "),
        (newest(Some(of.tenant()), &actor, 9).build(on), "audit_entry_by_actor", "actor = "),
        (newest(Some(of.tenant()), &span, 9).build(on), "audit_entry_by_at_us", "at_us >= "),
        (newest(Some(of.tenant()), &named, 9).build(on), "audit_detail_by_target", "target = "),
        (last_of(of.tenant().as_str()).build(on), "audit_entry_pkey", "chain = "),
        (last_erasure(of.tenant().as_str()).build(on), "audit_entry_by_action", "action = "),
        (details_after(of.tenant().as_str(), 7).build(on), "audit_detail_pkey", "seq > "),
        (note_erased(of.tenant().as_str(), 1, 7).build(on), "audit_entry_pkey", "seq = "),
        (erased_by(of.tenant().as_str(), 7).build(on), "audit_entry_pkey", "chain = "),
        (row::update(key, 1).build(on), "api_key", "id = "),
        (touched(samples::key()?.id, samples::at(1)).build(on), "api_key", "id = "),
        (removed::<api_key::Entity>("id", "a", 1)?.build(on), "api_key", "id = "),
        (forget(&samples::creation()).build(on), "creation", "key_hash = "),
        (profiles_of(&of, &["a", "b"]).build(on), "customer_profile", "customer = ANY"),
    ] {
        let sql = statement.sql.clone();
        let plan = plan(&catalog, tenant, statement).await?;
        assert!(plan.contains(index) && !plan.contains("Seq Scan"), "{sql}\n{plan}");
        let conditions: Vec<_> = plan.lines().filter(|line| line.contains("Index Cond")).collect();
        assert!(conditions.iter().any(|line| line.contains(condition)), "{sql}\n{plan}");
    }
    Ok(())
}

fn scope(id: &str) -> Result<TenantScope, Box<dyn std::error::Error>> {
    Ok(TenantScope::for_operator(TenantId::parse(id)?))
}

/// Whether `future` is done after being asked `polls` times; else it is dropped.
async fn is_done_after<F: Future>(polls: u64, future: F) -> bool {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(false);
        }
        left -= 1;
        future.as_mut().poll(context).map(|_| true)
    })
    .await
}

/// One connection for all; work that is dropped at every await leaves no tenant on it.
#[tokio::test]
async fn f38_a_connection_that_is_used_again_is_in_no_scope() -> Outcome {
    let Some(base) = Base::new()? else { return Ok(()) };
    base.migrate(STEPS.len()).await?;
    let catalog = base.open(1).await?;
    let a = scope("a")?;
    let audit = Cause::server().draft(Some(a.tenant()), Timestamp::MIN, "test.change", "test");
    let mut given_up = 0;
    for polls in 0..60 {
        let project = Project {
            workspace: a.tenant().clone(),
            id: format!("p-{polls}").into(),
            name: String::new(),
            is_removed: false,
            versioned: Versioned::new(Timestamp::MIN),
        };
        let records = vec![Record::Project(project)];
        let commit = RegisterCommit { records, audit: vec![audit.clone()], ..RegisterCommit::default() };
        let work = async {
            catalog.commit(&commit).await?;
            catalog.audit_entries(&a, &AuditFilter::default(), 9).await?;
            catalog.customer_profiles(&a, &["c".to_owned()]).await
        };
        given_up += u64::from(!is_done_after(polls, work).await);
        let look = "SELECT coalesce(current_setting('nilometer.tenant', true), '') || \
                    coalesce(current_setting('nilometer.server', true), '') AS left_over, \
                    (SELECT count(*) FROM project) + (SELECT count(*) FROM audit_entry) AS seen";
        let row = catalog.pool.query_one_raw(Statement::from_string(DbBackend::Postgres, look)).await?;
        let row = row.ok_or("no row")?;
        let found: (String, i64) = (row.try_get_by("left_over")?, row.try_get_by("seen")?);
        assert_eq!(found, (String::new(), 0), "after {polls} polls");
    }
    assert!(given_up > 0, "nothing was given up");
    assert_ne!(base.database.sql("SELECT count(*) FROM nilometer.project")?, "0");
    Ok(())
}
