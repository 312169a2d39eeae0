//! What only the owner's login may do, again and again: partitions for the days to come, partitions that nobody is shown
//! anything of, and tables written anew behind an erasure. Whatever is ended in the middle goes on at the next call.

use std::time::Duration;

use domain::limits::POSTGRES_WAIT_MAX;
use ports::PortError;
use postgres::{Failure, Logins, PostgresLimits, connect};
use sqlx::AssertSqlSafe;
use sqlx::postgres::{PgConnection, PgPool};

use crate::fences::SCHEMA;
use crate::schema;
use crate::scrub::{Scrubbed, scrub};

/// What the lock of those who maintain is called among those of the database.
const LOCK: i64 = 0x6e69_6c6f_6d61_696e;
/// Longest wait for a table that others use; who comes behind it waits as long.
const TABLE_MAX: Duration = Duration::from_secs(30);
const WHAT: &str = "maintain the ledger in PostgreSQL";

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Maintained {
    /// Partitions that were made.
    pub made: Vec<String>,
    /// Partitions that were dropped.
    pub dropped: Vec<String>,
    /// What was written anew, if an erasure has waited for that.
    pub scrubbed: Option<Scrubbed>,
}

/// Makes partitions ahead, drops those of which nobody is shown anything, and writes tables anew for erasures. Of several
/// callers at once one does so, and the others have nothing to do.
///
/// # Errors
/// `Unacceptable` when the schema is not the one of this program, or as [`crate::migrate`]. `Overloaded` when an erasure
/// has to wait because what is gone may still be seen; the rest is done. Otherwise when the server cannot be reached.
pub async fn maintain(owner_url: &str, logins: &Logins) -> Result<Maintained, PortError> {
    let maintained = maintain_with(owner_url, logins).await;
    maintained.map_err(|failure| failure.during(WHAT))
}

async fn maintain_with(owner_url: &str, logins: &Logins) -> Result<Maintained, Failure> {
    let no_end = Duration::ZERO;
    let limits =
        PostgresLimits { connections: 1, statement: no_end, lock: TABLE_MAX, idle: no_end, wait: POSTGRES_WAIT_MAX };
    let pool = connect(owner_url, &limits, SCHEMA, &[]).await?;
    let maintained = work(&pool, owner_url, logins).await;
    pool.close().await;
    maintained
}

async fn work(pool: &PgPool, owner_url: &str, logins: &Logins) -> Result<Maintained, Failure> {
    let mut connection = pool.acquire().await?;
    let on = &mut *connection;
    schema::refuse_other(on).await?;
    let is_alone: bool = sqlx::query_scalar("SELECT pg_try_advisory_lock($1)").bind(LOCK).fetch_one(&mut *on).await?;
    let mut maintained = Maintained::default();
    if !is_alone {
        return Ok(maintained);
    }
    let before = leaves(on).await?;
    schema::make_partitions(owner_url, logins).await?;
    maintained.made = leaves(on).await?.into_iter().filter(|leaf| !before.contains(leaf)).collect();
    maintained.dropped = drop_old(on).await?;
    maintained.scrubbed = scrub(on).await?;
    Ok(maintained)
}

async fn leaves(on: &mut PgConnection) -> Result<Vec<String>, Failure> {
    let sql = "SELECT inhrelid::regclass::text FROM pg_inherits JOIN pg_class ON oid = inhparent \
               WHERE relnamespace = $1::regnamespace ORDER BY 1";
    Ok(sqlx::query_scalar(sql).bind(SCHEMA).fetch_all(on).await?)
}

/// Drops partitions of days that have ended: of receipts after a day, of raw events when nobody is shown any of them.
async fn drop_old(on: &mut PgConnection) -> Result<Vec<String>, Failure> {
    let sql = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = $1::regclass \
               AND inhrelid::regclass::text ~ '_\\d{8}$' AND to_date(right(inhrelid::regclass::text, 8), 'YYYYMMDD') \
               < (now() AT TIME ZONE 'UTC')::date - 1 ORDER BY 1";
    let mut dropped = Vec::new();
    for table in ["receipts", "usage_events"] {
        let old: Vec<String> = sqlx::query_scalar(sql).bind(table).fetch_all(&mut *on).await?;
        for leaf in old {
            if drop_leaf(on, table, &leaf).await? {
                dropped.push(leaf);
            }
        }
    }
    Ok(dropped)
}

/// Whether a partition was dropped: looked at once more when nobody can write into it.
async fn drop_leaf(on: &mut PgConnection, table: &str, leaf: &str) -> Result<bool, Failure> {
    if table == "usage_events" && !is_hidden(on, leaf).await? {
        return Ok(false);
    }
    let lock = format!("BEGIN; LOCK TABLE ONLY {table}, {leaf} IN ACCESS EXCLUSIVE MODE");
    let locked = async {
        sqlx::raw_sql(AssertSqlSafe(lock)).execute(&mut *on).await?;
        let goes = table != "usage_events" || is_hidden(on, leaf).await?;
        let end = if goes { format!("DROP TABLE {leaf}; COMMIT") } else { "ROLLBACK".to_owned() };
        sqlx::raw_sql(AssertSqlSafe(end)).execute(&mut *on).await?;
        Ok(goes)
    };
    let dropped: Result<bool, Failure> = locked.await;
    if dropped.is_err() {
        sqlx::raw_sql("ROLLBACK").execute(on).await?;
    }
    dropped
}

/// Whether all events of a partition lie before the floors of their tenants, and no erasure removes any.
async fn is_hidden(on: &mut PgConnection, leaf: &str) -> Result<bool, Failure> {
    let day = leaf.rsplit_once('_').map_or("", |(_, day)| day);
    let sql = "SELECT NOT EXISTS (SELECT FROM erasures WHERE subject IS NOT NULL) AND NOT EXISTS \
               (SELECT FROM tenants t WHERE EXISTS (SELECT FROM usage_events e WHERE e.tenant_no = t.tenant_no \
               AND e.time >= t.raw_floor AND e.received_at >= d.first AND e.received_at < d.first + interval '1 day')) \
               FROM (SELECT to_date($1, 'YYYYMMDD')::timestamp AT TIME ZONE 'UTC' AS first) d";
    Ok(sqlx::query_scalar(sql).bind(day).fetch_one(on).await?)
}
