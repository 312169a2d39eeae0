//! Figures for metrics: how much of the tables is dead, and what waits to be folded, removed or written anew.

use domain::time::Timestamp;
use ports::PortError;
use postgres::Failure;
use sqlx::Row as _;

use crate::ledger::PostgresLedger;
use crate::types::{Instant, unsigned};

/// Rows of a table with all its partitions, as far as the server has counted them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableFigures {
    /// Its name.
    pub name: String,
    /// Rows that are there.
    pub live_rows: u64,
    /// Rows that are gone and whose room is not free yet.
    pub dead_rows: u64,
    /// Bytes on disk, with indexes.
    pub bytes: u64,
}

/// How the ledger in PostgreSQL is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figures {
    /// Its tables, in order of name.
    pub tables: Vec<TableFigures>,
    /// Sets of users that are not folded into those of their days yet.
    pub deltas: u64,
    /// When the oldest of them was added.
    pub oldest_delta: Option<Timestamp>,
    /// Tables and partitions in which texts of rows may stand that are gone.
    pub unscrubbed: u64,
    /// Erasures that are not finished.
    pub unfinished_erasures: u64,
}

impl PostgresLedger {
    /// Asks the server for figures.
    ///
    /// # Errors
    /// When it does not answer.
    // public for tests: no metric shows them yet.
    pub async fn figures(&self) -> Result<Figures, PortError> {
        self.read_figures().await.map_err(|failure| failure.during("read the figures of the ledger in PostgreSQL"))
    }

    async fn read_figures(&self) -> Result<Figures, Failure> {
        let mut connection = self.worker.acquire().await?;
        let tables = "SELECT name, sum(live)::int8, sum(dead)::int8, sum(bytes)::int8 FROM (SELECT \
                      coalesce(parent.relname, c.relname)::text AS name, pg_stat_get_live_tuples(c.oid) AS live, \
                      pg_stat_get_dead_tuples(c.oid) AS dead, pg_total_relation_size(c.oid) AS bytes FROM pg_class c \
                      LEFT JOIN pg_inherits i ON i.inhrelid = c.oid LEFT JOIN pg_class parent ON parent.oid = i.inhparent \
                      WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r') counted GROUP BY 1 ORDER BY 1";
        let mut read = Vec::new();
        for row in sqlx::query(tables).fetch_all(&mut *connection).await? {
            let number = |at: usize| row.try_get(at).map(unsigned);
            let (name, live_rows, dead_rows, bytes) = (row.try_get(0)?, number(1)?, number(2)?, number(3)?);
            read.push(TableFigures { name, live_rows, dead_rows, bytes });
        }
        let others = "SELECT (SELECT count(*) FROM user_day_deltas), (SELECT min(added_at) FROM user_day_deltas), \
                      (SELECT count(*) FROM unscrubbed), (SELECT count(*) FROM erasures WHERE finished_at IS NULL)";
        let row = sqlx::query(others).fetch_one(&mut *connection).await?;
        let number = |at: usize| row.try_get(at).map(unsigned);
        let oldest: Option<Instant> = row.try_get(1)?;
        Ok(Figures {
            tables: read,
            deltas: number(0)?,
            oldest_delta: oldest.map(|Instant(at)| at),
            unscrubbed: number(2)?,
            unfinished_erasures: number(3)?,
        })
    }
}
