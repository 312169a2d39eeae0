//! The schema: the same steps as SQLite's, made and checked as crate `postgres` does.

use ports::PortError;
use postgres::{Logins, Schema, SchemaStatus, Step};
use sea_orm::{DbBackend, StatementBuilder};

use super::fences::fences;
use crate::migrations::{self, STEPS};

/// What the lock is called among those of the database.
const LOCK: i64 = 0x6e69_6c6f_6d65_7472;

/// All steps and the table of rights.
pub(super) fn schema() -> Schema {
    let sql = |change: Box<dyn StatementBuilder + Send>| change.build(&DbBackend::Postgres).to_string();
    let step = |step: &migrations::Step| Step { name: step.name, sql: (step.changes)().into_iter().map(sql).collect() };
    Schema { fences: fences(), steps: STEPS.iter().map(step).collect(), lock: LOCK }
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

/// How far the schema is.
///
/// # Errors
/// `Unacceptable` when a newer program has made it; otherwise when the server cannot be asked.
pub async fn status(url: &str) -> Result<SchemaStatus, PortError> {
    let asked = postgres::status(url, &schema()).await;
    asked.map_err(|failure| failure.during("look at the schema in PostgreSQL"))
}

/// Brings the schema to its first `steps` steps.
pub(super) async fn migrate_to(owner_url: &str, logins: &Logins, steps: usize) -> Result<usize, PortError> {
    let made = postgres::migrate(owner_url, &schema(), logins, steps, &[]).await;
    made.map_err(|failure| failure.during("bring the schema in PostgreSQL up to date"))
}
