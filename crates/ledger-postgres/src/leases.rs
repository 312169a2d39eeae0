//! Work that one process does at a time: whoever has the lease. Only the server's clock counts.

use std::time::Duration;

use postgres::Failure;
use sqlx::postgres::PgConnection;

use crate::types::Uuid;

/// How long a lease is. Work that takes longer takes it again in between, or may be done by two, which it has to bear.
const LEASE: Duration = Duration::from_secs(120);

/// Takes or keeps a lease; whether it is had.
pub(crate) async fn take(on: &mut PgConnection, name: &str, node: Uuid) -> Result<bool, Failure> {
    let sql = "INSERT INTO leases AS l (name, owner, expires_at) \
               VALUES ($1, $2, clock_timestamp() + $3 * interval '1 second') ON CONFLICT (name) DO UPDATE \
               SET owner = excluded.owner, expires_at = excluded.expires_at \
               WHERE l.owner = excluded.owner OR l.expires_at < clock_timestamp()";
    let seconds = i64::try_from(LEASE.as_secs()).unwrap_or(i64::MAX);
    let taken = sqlx::query(sql).bind(name).bind(node).bind(seconds).execute(on).await?;
    Ok(taken.rows_affected() == 1)
}
