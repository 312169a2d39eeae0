//! One moment of the database, read on several connections at once.

use std::time::Duration;

use postgres::{Failure, Login, PostgresLimits, check, connect};
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgPool;

use crate::fences::SCHEMA;
use crate::schema::schema;
use crate::transaction::OwnTransaction;

/// Tables that are read beside each other, and the connection that keeps the moment.
const CONNECTIONS: u32 = 5;
/// Whole tables are sorted, each once; what does not fit is sorted on the server's disk.
const SETTINGS: [(&str, &str); 1] = [("work_mem", "64MB")];

/// A moment. Kept as long as this is.
#[derive(Debug)]
pub(crate) struct Moment {
    pool: PgPool,
    keeper: OwnTransaction,
    name: String,
}

impl Moment {
    /// What the worker's login sees now.
    pub(crate) async fn open(worker_url: &str) -> Result<Self, Failure> {
        let no_end = Duration::ZERO;
        let limits =
            PostgresLimits { connections: CONNECTIONS, statement: no_end, idle: no_end, ..PostgresLimits::default() };
        let pool = connect(worker_url, &limits, SCHEMA, &SETTINGS).await?;
        check(&pool, &schema(), Login::Worker).await?;
        let mut keeper = OwnTransaction::begin_reading(pool.acquire().await?).await?;
        let name = sqlx::query_scalar("SELECT pg_export_snapshot()").fetch_one(keeper.on()).await?;
        Ok(Self { pool, keeper, name })
    }

    /// A transaction that reads this moment.
    pub(crate) async fn reader(&self) -> Result<OwnTransaction, Failure> {
        let mut reader = OwnTransaction::begin_reading(self.pool.acquire().await?).await?;
        // The server has given the name.
        let read = AssertSqlSafe(format!("SET TRANSACTION SNAPSHOT '{}'", self.name));
        sqlx::raw_sql(read).execute(reader.on()).await?;
        Ok(reader)
    }

    /// Lets it go.
    pub(crate) async fn close(self) {
        // Nothing was changed.
        let _ = self.keeper.end().await;
        self.pool.close().await;
    }
}
