//! The steps of a schema: forwards only, under a lock that one process has at a time. All that are pending, and the
//! fences around the tables, are one transaction: killed at any moment it begins again.

use std::time::Duration;

use domain::limits::POSTGRES_WAIT_MAX;
use sqlx::postgres::{PgConnection, PgPool};
use sqlx::{AssertSqlSafe, Connection};

use crate::connection::{PostgresLimits, connect};
use crate::failure::Failure;
use crate::fences::Fences;
use crate::rights::{self, Login};

/// How long a step waits for a table that others use; who comes behind it waits as long.
const TABLE_WAIT: &str = "SET LOCAL lock_timeout = '30s'";
/// What an operator runs.
const COMMAND: &str = "nilometer migrate up";

/// One step: what it is called in the database, and its statements.
#[derive(Debug, Clone)]
pub struct Step {
    /// Its name.
    pub name: &'static str,
    /// Its statements.
    pub sql: Vec<String>,
}

/// A schema.
#[derive(Debug, Clone)]
pub struct Schema {
    /// Who may do what.
    pub fences: Fences,
    /// All steps in order. A step that was ever released is never changed.
    pub steps: Vec<Step>,
    /// What the lock is called among those of the database.
    pub lock: i64,
}

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

/// Brings a schema to its first `steps` steps as its owner, runs `upkeep`, which may be run again and again, and puts
/// rights and fences as they are to be. Returns how many steps were made. Of several processes at once one makes them,
/// and the others wait.
///
/// # Errors
/// `Unacceptable` when a newer program has made the schema, the login is a superuser or may not do it, the logins are
/// missing or have more rights than they may, or the server would lose commits. `Conflict` when rows do not fit a
/// step. Otherwise when the server cannot be reached; nothing has changed then, or all of it.
pub async fn migrate(
    owner_url: &str,
    schema: &Schema,
    logins: &Logins,
    steps: usize,
    upkeep: &[String],
) -> Result<usize, Failure> {
    let no_end = Duration::ZERO;
    let limits =
        PostgresLimits { connections: 1, statement: no_end, lock: no_end, idle: no_end, wait: POSTGRES_WAIT_MAX };
    let pool = connect(owner_url, &limits, schema.fences.schema, &[]).await?;
    let made = async { up(&mut *pool.acquire().await?, schema, logins, steps, upkeep).await };
    let made = made.await;
    // What counts is committed.
    pool.close().await;
    made
}

/// How far a schema is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaStatus {
    /// The names of the steps that were made, in order.
    pub applied: Vec<String>,
    /// The names of the steps that are missing, in order.
    pub pending: Vec<&'static str>,
}

/// How far a schema is, asked as any login that may read the number of its steps.
///
/// # Errors
/// `Unacceptable` when a newer program has made the schema; otherwise when the server cannot be asked.
pub async fn status(url: &str, schema: &Schema) -> Result<SchemaStatus, Failure> {
    let limits = PostgresLimits { connections: 1, ..PostgresLimits::default() };
    let pool = connect(url, &limits, schema.fences.schema, &[]).await?;
    let asked = async {
        let applied = applied_if_any(&mut *pool.acquire().await?, schema.fences.schema).await?;
        let pending = pending(&applied, schema, schema.steps.len())?.iter().map(|step| step.name).collect();
        Ok(SchemaStatus { applied, pending })
    };
    let asked = asked.await;
    pool.close().await;
    asked
}

/// Refuses a schema that is not the newest, and a login that may do less or more than it is to.
///
/// # Errors
/// `Unacceptable`, with the reason; otherwise when the server cannot be reached.
pub async fn check(pool: &PgPool, schema: &Schema, login: Login) -> Result<(), Failure> {
    let mut connection = pool.acquire().await?;
    refuse_other(&mut connection, schema).await?;
    let me: String = sqlx::query_scalar("SELECT session_user::text").fetch_one(&mut *connection).await?;
    let found = schema.fences.differences(&mut connection, &me, login).await?;
    if found.is_empty() {
        return Ok(());
    }
    Err(Failure::unacceptable(format!("the rights of {me} are not what they are to be: {}", rights::told(&found))))
}

/// Refuses a schema that is not the newest, and names the command that brings it up to date.
///
/// # Errors
/// `Unacceptable`, with the reason; otherwise when the server cannot be asked.
pub async fn refuse_other(on: &mut PgConnection, schema: &Schema) -> Result<(), Failure> {
    let applied = applied_if_any(on, schema.fences.schema).await?;
    let pending = pending(&applied, schema, schema.steps.len())?;
    match pending.last() {
        None => Ok(()),
        Some(last) => Err(Failure::unacceptable(format!(
            "{} of {} steps of the schema are missing, up to {}; run `{COMMAND}` with the owner's login",
            pending.len(),
            schema.steps.len(),
            last.name
        ))),
    }
}

async fn up(
    on: &mut PgConnection,
    schema: &Schema,
    logins: &Logins,
    steps: usize,
    upkeep: &[String],
) -> Result<usize, Failure> {
    let name = schema.fences.schema;
    let mut transaction = on.begin().await?;
    refuse_superuser(&mut transaction).await?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(schema.lock).execute(&mut *transaction).await?;
    run(&mut transaction, TABLE_WAIT).await?;
    run(&mut transaction, &format!("CREATE SCHEMA IF NOT EXISTS {name}")).await?;
    let steps_table = format!(
        "CREATE TABLE IF NOT EXISTS {name}.schema_step \
         (position bigint PRIMARY KEY, name text NOT NULL UNIQUE, applied_at timestamptz NOT NULL DEFAULT now())"
    );
    run(&mut transaction, &steps_table).await?;
    let applied = applied(&mut transaction, name).await?;
    let pending = pending(&applied, schema, steps)?;
    apply(&mut transaction, schema, applied.len(), pending).await?;
    let is_whole = applied.len() + pending.len() == schema.steps.len();
    if is_whole {
        for sql in upkeep {
            run(&mut transaction, sql).await?;
        }
    }
    if !pending.is_empty() || !differences(&mut transaction, schema, logins).await?.is_empty() {
        let there = tables(&mut transaction, name).await?;
        // Functions and grants are of the whole schema; a part of it is for tests alone.
        let grants = if is_whole { schema.fences.grant(&logins.app, &logins.worker) } else { Vec::new() };
        for sql in schema.fences.raise(&there).iter().chain(&grants) {
            run(&mut transaction, sql).await?;
        }
        let left = if is_whole { differences(&mut transaction, schema, logins).await? } else { Vec::new() };
        if !left.is_empty() {
            let reason = format!("the logins cannot get the rights that they are to have: {}", rights::told(&left));
            return Err(Failure::unacceptable(reason));
        }
    }
    transaction.commit().await?;
    Ok(pending.len())
}

async fn apply(on: &mut PgConnection, schema: &Schema, at: usize, pending: &[Step]) -> Result<(), Failure> {
    let name = schema.fences.schema;
    if !pending.is_empty() {
        for table in tables(on, name).await? {
            run(on, &schema.fences.lower(&table)).await?;
        }
    }
    for (position, step) in (at..).zip(pending) {
        for sql in &step.sql {
            run(on, sql).await?;
        }
        let note = format!("INSERT INTO {name}.schema_step (position, name) VALUES ($1, $2)");
        let position = i64::try_from(position + 1).unwrap_or(i64::MAX);
        sqlx::query(AssertSqlSafe(note)).bind(position).bind(step.name).execute(&mut *on).await?;
    }
    Ok(())
}

async fn run(on: &mut PgConnection, sql: &str) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(on).await.map(drop)
}

/// The names of the steps that were made, also when there is no schema yet.
async fn applied_if_any(on: &mut PgConnection, schema: &str) -> Result<Vec<String>, sqlx::Error> {
    let is_there = "SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
                    WHERE n.nspname = $1 AND c.relname = 'schema_step'";
    let is_there = sqlx::query(is_there).bind(schema).fetch_optional(&mut *on).await?.is_some();
    if is_there { applied(on, schema).await } else { Ok(Vec::new()) }
}

/// The names of the steps that were made, in order.
async fn applied(on: &mut PgConnection, schema: &str) -> Result<Vec<String>, sqlx::Error> {
    let sql = format!("SELECT name FROM {schema}.schema_step ORDER BY position");
    sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(on).await
}

async fn tables(on: &mut PgConnection, schema: &str) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar("SELECT tablename::text FROM pg_tables WHERE schemaname = $1").bind(schema).fetch_all(on).await
}

/// What is to be made behind what was made. Steps that this program does not know were made by a newer one.
fn pending<'s>(applied: &[String], schema: &'s Schema, steps: usize) -> Result<&'s [Step], Failure> {
    let all = &schema.steps;
    let known = all.iter().map(|step| step.name);
    if applied.len() > all.len() || applied.iter().zip(known).any(|(applied, known)| applied != known) {
        let last = applied.last().map_or("", String::as_str);
        return Err(Failure::unacceptable(format!(
            "a newer program has made the schema, up to step {last}; this one knows {} steps",
            all.len()
        )));
    }
    Ok(all.get(applied.len()..steps).unwrap_or_default())
}

async fn differences(on: &mut PgConnection, schema: &Schema, logins: &Logins) -> Result<Vec<String>, sqlx::Error> {
    let mut found = schema.fences.differences(on, &logins.app, Login::App).await?;
    found.extend(schema.fences.differences(on, &logins.worker, Login::Worker).await?);
    Ok(found)
}

/// The functions that read across tenants have the owner's rights, so these are to end at its tables.
async fn refuse_superuser(on: &mut PgConnection) -> Result<(), Failure> {
    let sql = "SELECT 1 FROM pg_roles WHERE rolname = current_user AND (rolsuper OR rolbypassrls)";
    match sqlx::query(sql).fetch_optional(on).await? {
        None => Ok(()),
        Some(_) => Err(Failure::unacceptable("the owner's login is a superuser or passes row-level security by")),
    }
}
