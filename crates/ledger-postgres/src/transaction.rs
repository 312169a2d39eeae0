//! A transaction on a connection of its own. One that does not end well takes its connection with it: what is half sent on
//! it can do nothing more, and the server takes back what was not committed.

use postgres::Failure;
use sqlx::Postgres;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnection, PgPool};

/// A transaction. Dropped, it never happened, unless it was being committed.
#[derive(Debug)]
pub(crate) struct OwnTransaction {
    connection: PoolConnection<Postgres>,
    is_over: bool,
}

impl OwnTransaction {
    /// Begins a change.
    pub(crate) async fn begin(pool: &PgPool) -> Result<Self, Failure> {
        Self::begin_as("BEGIN", pool.acquire().await?).await
    }

    /// Begins to read what one moment has.
    pub(crate) async fn begin_reading(on: PoolConnection<Postgres>) -> Result<Self, Failure> {
        Self::begin_as("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", on).await
    }

    async fn begin_as(begin: &'static str, connection: PoolConnection<Postgres>) -> Result<Self, Failure> {
        let mut begun = Self { connection, is_over: false };
        sqlx::raw_sql(begin).execute(&mut *begun.connection).await?;
        Ok(begun)
    }

    pub(crate) fn on(&mut self) -> &mut PgConnection {
        &mut self.connection
    }

    /// Makes it count. Durable on return; after an error nobody knows whether it counts.
    pub(crate) async fn commit(mut self) -> Result<(), Failure> {
        sqlx::raw_sql("COMMIT").execute(&mut *self.connection).await?;
        self.is_over = true;
        Ok(())
    }

    /// Ends it without a change.
    pub(crate) async fn end(mut self) -> Result<(), Failure> {
        sqlx::raw_sql("ROLLBACK").execute(&mut *self.connection).await?;
        self.is_over = true;
        Ok(())
    }
}

impl Drop for OwnTransaction {
    fn drop(&mut self) {
        if !self.is_over {
            self.connection.close_on_drop();
        }
    }
}
