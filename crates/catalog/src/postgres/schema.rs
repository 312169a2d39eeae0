//! The schema: the same steps as SQLite's, forwards only, under a lock that one process has at a time. All that are
//! pending, and the fences around the tables, are one transaction: killed at any moment it begins again.

use std::time::Duration;

use domain::limits::POSTGRES_WAIT_MAX;
use ports::PortError;
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, Statement, StatementBuilder, TransactionTrait,
};
use sqlite::Failure;

use super::connection::{PostgresLimits, connect};
use super::failure::kind;
use super::fences::{SCHEMA, grant, lower, raise};
use super::rights::{self, Login};
use crate::migrations::{STEPS, Step};

/// What the lock is called among those of the database.
const LOCK: i64 = 0x6e69_6c6f_6d65_7472;
/// How long a step waits for a table that others use; who comes behind it waits as long.
const TABLE_WAIT: &str = "SET LOCAL lock_timeout = '30s'";
/// What an operator runs.
const COMMAND: &str = "nilometer migrate up";

/// The names of the logins that get rights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logins {
    /// It serves the requests.
    pub app: String,
    /// It applies events.
    pub worker: String,
}

impl Default for Logins {
    fn default() -> Self {
        Self { app: "nilometer_app".to_owned(), worker: "nilometer_worker".to_owned() }
    }
}

/// Brings the schema up to date as its owner, and puts rights and fences as they are to be. Returns how many steps were
/// made. Of several processes at once one makes them, and the others wait.
///
/// # Errors
/// `Unacceptable` when a newer program has made the schema, the login is a superuser or may not do it, the logins are
/// missing or have more rights than they may, or the server would lose commits. `Conflict` when rows do not fit a
/// step. Otherwise when the server cannot be reached; nothing has changed then, or all of it.
pub async fn migrate(owner_url: &str, logins: &Logins) -> Result<usize, PortError> {
    migrate_to(owner_url, logins, STEPS.len()).await
}

/// Brings the schema to its first `steps` steps.
pub(super) async fn migrate_to(owner_url: &str, logins: &Logins, steps: usize) -> Result<usize, PortError> {
    let made = async {
        let no_end = Duration::ZERO;
        let limits =
            PostgresLimits { connections: 1, statement: no_end, lock: no_end, idle: no_end, wait: POSTGRES_WAIT_MAX };
        let pool = connect(owner_url, &limits).await?;
        let made = up(&pool, logins, steps).await;
        // What counts is committed.
        let _ = pool.close_by_ref().await;
        made
    };
    made.await
        .map_err(|failure| PortError::new(kind(&failure), "bring the schema in PostgreSQL up to date").because(failure))
}

/// Refuses a schema that is not the newest.
pub(super) async fn refuse_other(pool: &DatabaseConnection) -> Result<(), Failure> {
    let sql = "SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
               WHERE n.nspname = $1 AND c.relname = 'schema_step'";
    let is_there = Statement::from_sql_and_values(DbBackend::Postgres, sql, [SCHEMA.into()]);
    let applied = match pool.query_one_raw(is_there).await? {
        Some(_) => applied(pool).await?,
        None => Vec::new(),
    };
    let pending = pending(&applied, STEPS.len())?;
    match pending.last() {
        None => Ok(()),
        Some(last) => Err(Failure::unacceptable(format!(
            "{} of {} steps of the schema are missing, up to {}; run `{COMMAND}` with the owner's login",
            pending.len(),
            STEPS.len(),
            last.name
        ))),
    }
}

async fn up(pool: &DatabaseConnection, logins: &Logins, steps: usize) -> Result<usize, Failure> {
    let transaction = pool.begin().await?;
    refuse_superuser(&transaction).await?;
    let lock = Statement::from_sql_and_values(DbBackend::Postgres, "SELECT pg_advisory_xact_lock($1)", [LOCK.into()]);
    transaction.execute_raw(lock).await?;
    for sql in [
        TABLE_WAIT,
        "CREATE SCHEMA IF NOT EXISTS nilometer",
        "CREATE TABLE IF NOT EXISTS nilometer.schema_step \
         (position bigint PRIMARY KEY, name text NOT NULL UNIQUE, applied_at timestamptz NOT NULL DEFAULT now())",
    ] {
        transaction.execute_unprepared(sql).await?;
    }
    let applied = applied(&transaction).await?;
    let pending = pending(&applied, steps)?;
    if !pending.is_empty() || !differences(&transaction, logins).await?.is_empty() {
        apply(&transaction, applied.len(), pending).await?;
        let is_whole = applied.len() + pending.len() == STEPS.len();
        let there = tables(&transaction).await?;
        // Functions and grants are of the whole schema; a part of it is for tests alone.
        let grants = if is_whole { grant(&logins.app, &logins.worker) } else { Vec::new() };
        for sql in raise(&there).into_iter().chain(grants) {
            transaction.execute_unprepared(&sql).await?;
        }
        let left = if is_whole { differences(&transaction, logins).await? } else { Vec::new() };
        if !left.is_empty() {
            let reason = format!("the logins cannot get the rights that they are to have: {}", rights::told(&left));
            return Err(Failure::unacceptable(reason));
        }
    }
    transaction.commit().await?;
    Ok(pending.len())
}

async fn apply(transaction: &DatabaseTransaction, at: usize, pending: &[Step]) -> Result<(), Failure> {
    if !pending.is_empty() {
        for table in tables(transaction).await? {
            transaction.execute_unprepared(&lower(&table)).await?;
        }
    }
    for (position, step) in (at..).zip(pending) {
        for change in (step.changes)() {
            transaction.execute_raw(StatementBuilder::build(&*change, &DbBackend::Postgres)).await?;
        }
        let note = "INSERT INTO nilometer.schema_step (position, name) VALUES ($1, $2)";
        let position = i64::try_from(position + 1).unwrap_or(i64::MAX);
        let note = Statement::from_sql_and_values(DbBackend::Postgres, note, [position.into(), step.name.into()]);
        transaction.execute_raw(note).await?;
    }
    Ok(())
}

/// The names of the steps that were made, in order.
async fn applied(on: &impl ConnectionTrait) -> Result<Vec<String>, Failure> {
    names(on, "SELECT name FROM nilometer.schema_step ORDER BY position").await
}

async fn tables(on: &impl ConnectionTrait) -> Result<Vec<String>, Failure> {
    names(on, "SELECT tablename::text AS name FROM pg_tables WHERE schemaname = 'nilometer'").await
}

async fn names(on: &impl ConnectionTrait, sql: &str) -> Result<Vec<String>, Failure> {
    let rows = on.query_all_raw(Statement::from_string(DbBackend::Postgres, sql)).await?;
    Ok(rows.iter().map(|row| row.try_get_by("name")).collect::<Result<_, _>>()?)
}

/// What is to be made behind what was made. Steps that this program does not know were made by a newer one.
fn pending(applied: &[String], steps: usize) -> Result<&'static [Step], Failure> {
    static ALL: [Step; STEPS.len()] = STEPS;
    let known = ALL.iter().map(|step| step.name);
    if applied.len() > ALL.len() || applied.iter().zip(known).any(|(applied, known)| applied != known) {
        let last = applied.last().map_or("", String::as_str);
        return Err(Failure::unacceptable(format!(
            "a newer program has made the schema, up to step {last}; this one knows {} steps",
            ALL.len()
        )));
    }
    Ok(ALL.get(applied.len()..steps).unwrap_or_default())
}

async fn differences(transaction: &DatabaseTransaction, logins: &Logins) -> Result<Vec<String>, Failure> {
    let mut found = rights::differences(transaction, &logins.app, Login::App).await?;
    found.extend(rights::differences(transaction, &logins.worker, Login::Worker).await?);
    Ok(found)
}

/// The functions that read across tenants have the owner's rights, so these are to end at its tables.
async fn refuse_superuser(on: &impl ConnectionTrait) -> Result<(), Failure> {
    let sql = "SELECT 1 FROM pg_roles WHERE rolname = current_user AND (rolsuper OR rolbypassrls)";
    match on.query_one_raw(Statement::from_string(DbBackend::Postgres, sql)).await? {
        None => Ok(()),
        Some(_) => Err(Failure::unacceptable("the owner's login is a superuser or passes row-level security by")),
    }
}
