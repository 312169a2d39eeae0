//! Everything of a tenant, table by table and block by block of their files: no table needs an index for it, and none is
//! read in one statement. Later events are refused, so nothing comes behind.

use postgres::Failure;
use sqlx::{AssertSqlSafe, Row as _};

use super::Erasing;
use super::step::Step;
use crate::ledger::PostgresLedger;
use crate::stored_erasures::{RemovedRows, count_removed};

/// Tables that hold rows of tenants, each with whether it is in partitions. What is folded into another table goes
/// before that.
const TABLES: [(&str, bool); 15] = [
    ("user_day_deltas", false),
    ("user_days", false),
    (EVENTS, true),
    ("event_ids", true),
    ("aggregation_windows", true),
    ("rollups", true),
    ("receipts", true),
    ("customers", false),
    ("received", false),
    ("metered_customers", false),
    ("names", false),
    ("users", false),
    ("residuals", false),
    ("erased_user_days", false),
    ("outbox", false),
];
const EVENTS: &str = "usage_events";
/// Blocks of a file in which one statement looks for rows: 80 MB.
const BLOCKS_LOOKED_MAX: i64 = 10_000;
/// Blocks of a file that one step goes through: some thousand rows.
const BLOCKS_MAX: i64 = 64;

impl PostgresLedger {
    pub(super) async fn remove_tenant(&self, erasing: &Erasing) -> Result<(), Failure> {
        for (table, is_parted) in TABLES {
            for file in self.files_of(table, is_parted).await? {
                self.remove_rows(erasing, &file, table == EVENTS).await?;
            }
        }
        Ok(())
    }

    /// A table's partitions, or itself if it has none.
    async fn files_of(&self, table: &str, is_parted: bool) -> Result<Vec<String>, Failure> {
        if !is_parted {
            return Ok(vec![table.to_owned()]);
        }
        let sql = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = $1::regclass ORDER BY 1";
        let leaves = sqlx::query_scalar(sql).bind(table).fetch_all(&mut *self.worker.acquire().await?).await?;
        Ok(leaves)
    }

    async fn remove_rows(&self, erasing: &Erasing, file: &str, counts: bool) -> Result<(), Failure> {
        let sql = "SELECT pg_relation_size($1::regclass) / current_setting('block_size')::int8";
        let blocks: i64 = sqlx::query_scalar(sql).bind(file).fetch_one(&mut *self.worker.acquire().await?).await?;
        let mut from = 0;
        while from < blocks {
            let Some(first) = self.first_block(erasing.tenant_no, file, from).await? else {
                from += BLOCKS_LOOKED_MAX;
                continue;
            };
            from = first + BLOCKS_MAX;
            let mut step = Step::begin(self).await?;
            let sql =
                format!("DELETE FROM {file} WHERE tenant_no = $1 AND ctid >= $2::text::tid AND ctid < $3::text::tid");
            let query = sqlx::query(AssertSqlSafe(sql)).bind(erasing.tenant_no).bind(block(first)).bind(block(from));
            let gone = query.execute(step.on()).await?.rows_affected();
            step.note_touched(&[file]).await?;
            let removed = RemovedRows { events: if counts { gone } else { 0 }, ..RemovedRows::default() };
            let stored = &erasing.stored.erasure;
            let changed = count_removed(step.on(), &stored.id, removed, &stored.zone).await?;
            step.commit(changed).await?;
        }
        Ok(())
    }

    /// The first of the next blocks that has a row of the tenant.
    async fn first_block(&self, tenant_no: i32, file: &str, from: i64) -> Result<Option<i64>, Failure> {
        let sql = format!(
            "SELECT ((min(ctid)::text::point)[0])::int8 FROM {file} WHERE tenant_no = $1 AND ctid >= $2::text::tid \
             AND ctid < $3::text::tid"
        );
        let query = sqlx::query(AssertSqlSafe(sql)).bind(tenant_no).bind(block(from));
        let mut connection = self.worker.acquire().await?;
        Ok(query.bind(block(from + BLOCKS_LOOKED_MAX)).fetch_one(&mut *connection).await?.try_get(0)?)
    }
}

/// The beginning of a block, as the server writes it.
fn block(number: i64) -> String {
    format!("({number},0)")
}
