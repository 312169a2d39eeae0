//! How many sets of users that came with batches are not folded into those of their days.

use hashbrown::HashMap;
use postgres::Failure;
use sqlx::postgres::PgConnection;

/// How many rows of new sets each tenant has, by its number.
pub(crate) type DeltaCounts = HashMap<i32, u32>;

/// Counts the rows of some buckets.
pub(crate) async fn count_deltas(on: &mut PgConnection, buckets: &[i16]) -> Result<DeltaCounts, Failure> {
    let sql = "SELECT tenant_no, count(*)::int4 FROM user_day_deltas WHERE bucket = ANY($1) GROUP BY tenant_no";
    let rows: Vec<(i32, i32)> = sqlx::query_as(sql).bind(buckets).fetch_all(on).await?;
    Ok(rows.into_iter().map(|(tenant, count)| (tenant, count.unsigned_abs())).collect())
}
