//! What a benchmark asks of the database beside the ledger's port, with the login of its owner: the same events copied
//! into a bare table, sizes, locks, and a vacuum. It has a schema of its own, and changes nothing of the ledger's.

use std::str::FromStr;

use domain::position::Seq;
use domain::tenant::TenantId;
use domain::window::WindowRule;
use ports::PortError;
use ports::journal::Delivery;
use ports::ledger::{Applied, Outcome};
use postgres::{Failure, Logins};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};

use crate::batch::{Batch, Place};
use crate::copy::Rows;
use crate::fences::SCHEMA;
use crate::fold::FreshEvent;
use crate::rows::{EVENT_COLUMNS, event_rows};

/// Ids that are made in one statement, in the order of their index.
const IDS: u64 = 1_000_000;

/// A connection of a benchmark.
#[derive(Debug)]
pub struct Probe(PgConnection);

/// Rows of events, ready to be copied.
#[derive(Debug)]
pub struct BareRows(Rows);

/// What a table takes, with all its partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableSize {
    /// Its name.
    pub name: String,
    /// Bytes of its rows.
    pub rows_bytes: u64,
    /// Bytes of its indexes.
    pub indexes_bytes: u64,
}

impl Probe {
    /// Connects with the owner's login and makes an empty bare table.
    ///
    /// # Errors
    /// When the server cannot be reached, or the login may not make a schema.
    pub async fn open(owner_url: &str) -> Result<Self, PortError> {
        let opened = async {
            let options = PgConnectOptions::from_str(owner_url)?;
            let mut connection = options.disable_statement_logging().connect().await?;
            let make = format!(
                "DROP SCHEMA IF EXISTS nilometer_bench CASCADE; CREATE SCHEMA nilometer_bench; \
                 CREATE TABLE nilometer_bench.bare (LIKE {SCHEMA}.usage_events)"
            );
            sqlx::raw_sql(AssertSqlSafe(make)).execute(&mut connection).await?;
            Ok(Self(connection))
        };
        opened.await.map_err(told)
    }

    /// Removes the bare table.
    ///
    /// # Errors
    /// When the server cannot be reached.
    pub async fn close(mut self) -> Result<(), PortError> {
        sqlx::raw_sql("DROP SCHEMA nilometer_bench CASCADE").execute(&mut self.0).await.map_err(told)?;
        self.0.close().await.map_err(told)
    }

    /// Copies rows into the bare table. Durable on return; says how many there are.
    ///
    /// # Errors
    /// When the server cannot be reached.
    pub async fn copy(&mut self, rows: BareRows) -> Result<u64, PortError> {
        let count = rows.0.count();
        let copied = rows.0.copy(&mut self.0, &format!("nilometer_bench.bare ({EVENT_COLUMNS})")).await;
        copied.map_err(|failure| failure.during("measure the ledger in PostgreSQL"))?;
        Ok(count)
    }

    /// How many bytes of log the server has written since it was made.
    ///
    /// # Errors
    /// When the server cannot be reached.
    pub async fn log_bytes(&mut self) -> Result<u64, PortError> {
        self.number("SELECT (pg_current_wal_insert_lsn() - '0/0')::int8").await
    }

    /// How many locks of relations a transaction of the worker has at this moment, at most.
    ///
    /// # Errors
    /// When the server cannot be reached.
    pub async fn locks(&mut self) -> Result<u64, PortError> {
        self.number(&format!(
            "SELECT coalesce(max(n), 0) FROM (SELECT count(*) AS n FROM pg_locks l JOIN pg_stat_activity a USING (pid) \
             WHERE locktype = 'relation' AND usename = '{}' GROUP BY pid) locks",
            Logins::default().worker
        ))
        .await
    }

    /// How many connections the worker has.
    ///
    /// # Errors
    /// When the server cannot be reached.
    pub async fn connections(&mut self) -> Result<u64, PortError> {
        let worker = Logins::default().worker;
        self.number(&format!("SELECT count(*) FROM pg_stat_activity WHERE usename = '{worker}'")).await
    }

    /// Vacuums every table of the ledger that has dead rows.
    ///
    /// # Errors
    /// When the server cannot be reached.
    pub async fn vacuum(&mut self) -> Result<(), PortError> {
        let dead = format!(
            "SELECT format('VACUUM %I.%I', schemaname, relname) FROM pg_stat_user_tables \
             WHERE schemaname = '{SCHEMA}' AND n_dead_tup > 0"
        );
        let dead: Vec<String> = sqlx::query_scalar(AssertSqlSafe(dead)).fetch_all(&mut self.0).await.map_err(told)?;
        for vacuum in dead {
            sqlx::raw_sql(AssertSqlSafe(vacuum)).execute(&mut self.0).await.map_err(told)?;
        }
        Ok(())
    }

    /// What each table takes, the largest first.
    ///
    /// # Errors
    /// When the server cannot be reached.
    pub async fn sizes(&mut self) -> Result<Vec<TableSize>, PortError> {
        let sizes = format!(
            "SELECT coalesce(p.relname, c.relname)::text, sum(pg_table_size(c.oid))::int8, \
             sum(pg_indexes_size(c.oid))::int8 FROM pg_class c LEFT JOIN pg_inherits i ON i.inhrelid = c.oid \
             LEFT JOIN pg_class p ON p.oid = i.inhparent \
             WHERE c.relkind = 'r' AND c.relnamespace = '{SCHEMA}'::regnamespace GROUP BY 1 ORDER BY 2 DESC"
        );
        let rows: Vec<(String, i64, i64)> =
            sqlx::query_as(AssertSqlSafe(sizes)).fetch_all(&mut self.0).await.map_err(told)?;
        let size = |(name, rows, indexes): (String, i64, i64)| TableSize {
            name,
            rows_bytes: rows.unsigned_abs(),
            indexes_bytes: indexes.unsigned_abs(),
        };
        Ok(rows.into_iter().map(size).collect())
    }

    async fn number(&mut self, sql: &str) -> Result<u64, PortError> {
        let number: i64 =
            sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(&mut self.0).await.map_err(told)?;
        Ok(number.unsigned_abs())
    }
}

impl BareRows {
    /// The rows of those events of records that counted.
    ///
    /// # Errors
    /// When one is no record.
    pub fn of(records: &[Delivery], applied: &[Applied]) -> Result<Self, PortError> {
        let first = records.first().map_or(0, |first| Seq::of_record(first.id).0.saturating_sub(1));
        let bare = |_: Option<&TenantId>| Some(Place { bucket: 0, cursor: Seq(first) });
        let batch = Batch::take(records, Some(Seq(first)), Seq::ZERO, &bare, &|_| false, records.len());
        if let Some(why) = batch.stopped {
            return Err(why);
        }
        let mut fresh = Vec::new();
        for (record, applied) in batch.records.iter().zip(applied) {
            let outcomes = applied.outcomes.iter().enumerate();
            let counted = outcomes.filter(|(_, outcome)| **outcome == Outcome::Fresh);
            fresh.extend(counted.map(|(index, _)| FreshEvent { record, index, user: None }));
        }
        let rows = event_rows(&fresh, |_| Ok(0), WindowRule::default());
        Ok(Self(rows.map_err(|failure| failure.during("measure the ledger in PostgreSQL"))?))
    }
}

/// Makes so many ids that no event has, as if they had been counted, with the worker's login.
///
/// # Errors
/// When the server cannot be reached.
pub async fn fill_ids(worker_url: &str, count: u64) -> Result<(), PortError> {
    let filled = async {
        let options = PgConnectOptions::from_str(worker_url)?;
        let mut connection = options.disable_statement_logging().connect().await?;
        let mut left = count;
        while left > 0 {
            let some = left.min(IDS);
            let fill = format!(
                "INSERT INTO {SCHEMA}.event_ids_0 SELECT gen_random_uuid(), 0, 0, now(), now(), 0, 0, 1 \
                 FROM generate_series(1, {some}) ORDER BY 1"
            );
            sqlx::raw_sql(AssertSqlSafe(fill)).execute(&mut connection).await?;
            left -= some;
        }
        connection.close().await
    };
    filled.await.map_err(told)
}

fn told(error: sqlx::Error) -> PortError {
    Failure::from(error).during("measure the ledger in PostgreSQL")
}
