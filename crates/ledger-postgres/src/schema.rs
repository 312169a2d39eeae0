//! The schema: steps forwards only, and the partitions that are made ahead of what comes.

use ports::PortError;
use postgres::{Logins, Schema, SchemaStatus, Step};

use crate::fences::{SCHEMA, fences};

/// What the lock is called among those of the database.
const LOCK: i64 = 0x6e69_6c6f_6c65_6467;
/// How many days of partitions are ahead of today.
const DAYS_AHEAD: u32 = 14;

/// All steps in order. A step that was ever released is never changed.
const STEPS: [(&str, &str); 1] = [("p0001_ledger", include_str!("schema/p0001_ledger.sql"))];

/// All steps and the table of rights.
pub(crate) fn schema() -> Schema {
    let step = |(name, sql): (&'static str, &str)| Step { name, sql: vec![sql.to_owned()] };
    Schema { fences: fences(), steps: STEPS.into_iter().map(step).collect(), lock: LOCK }
}

/// Brings the schema of the ledger up to date as its owner, makes partitions for the days to come, and puts rights and
/// fences as they are to be. Returns how many steps were made. Of several processes at once one makes them, and the
/// others wait.
///
/// # Errors
/// `Unacceptable` when a newer program has made the schema, the login is a superuser or may not do it, the logins are
/// missing or have more rights than they may (the worker's needs BYPASSRLS), or the server would lose commits. `Conflict`
/// when rows do not fit a step. Otherwise when the server cannot be reached; nothing has changed then, or all of it.
pub async fn migrate(owner_url: &str, logins: &Logins) -> Result<usize, PortError> {
    let upkeep = [
        leaves("usage_events", "day", ""),
        leaves("receipts", "day", ""),
        leaves("aggregation_windows", "month", "WITH (fillfactor = 70)"),
        leaves("rollups", "month", "WITH (fillfactor = 50)"),
    ];
    let made = postgres::migrate(owner_url, &schema(), logins, STEPS.len(), &upkeep).await;
    made.map_err(|failure| failure.during("bring the schema of the ledger in PostgreSQL up to date"))
}

/// How far the schema is.
///
/// # Errors
/// `Unacceptable` when a newer program has made it; otherwise when the server cannot be asked.
pub async fn status(url: &str) -> Result<SchemaStatus, PortError> {
    let asked = postgres::status(url, &schema()).await;
    asked.map_err(|failure| failure.during("look at the schema of the ledger in PostgreSQL"))
}

/// The statement that makes a table's partitions from the one before now on. Rows that came too early for theirs are in
/// the partition for all others and stay there, and that span has no partition of its own.
fn leaves(table: &str, step: &str, storage: &str) -> String {
    format!(
        "DO $do$ DECLARE s timestamp; BEGIN FOR s IN SELECT generate_series(\
         date_trunc('{step}', now() AT TIME ZONE 'UTC') - interval '1 {step}', \
         date_trunc('{step}', now() AT TIME ZONE 'UTC' + interval '{DAYS_AHEAD} days'), interval '1 {step}') LOOP \
         BEGIN EXECUTE format('CREATE TABLE IF NOT EXISTS {SCHEMA}.%I PARTITION OF {SCHEMA}.{table} \
         FOR VALUES FROM (%L) TO (%L) {storage}', '{table}_' || to_char(s, 'YYYYMMDD'), \
         s::text || '+00', (s + interval '1 {step}')::text || '+00'); \
         EXCEPTION WHEN check_violation THEN NULL; END; END LOOP; END $do$"
    )
}
