//! A server that follows the one that is written, for answers alone. It answers once it has everything that the other had
//! made durable when the question came, so that whoever asks reads what was written before; if that takes too long, or it
//! is no follower of that server, the one that is written answers.

use std::time::Duration;

use postgres::{Failure, connect_standby};
use sqlx::Postgres;
use sqlx::pool::PoolConnection;
use sqlx::postgres::PgPool;

use crate::fences::SCHEMA;
use crate::options::ReplicaOptions;
use crate::scoped::Readers;

/// How often it is asked how far it is.
const PAUSE: Duration = Duration::from_millis(5);

/// Its connections, and for how long it is waited for.
#[derive(Debug)]
pub(crate) struct Replica {
    pub(crate) readers: Readers,
    wait: Duration,
}

impl Replica {
    /// Knows where it is. Whether it follows `primary` is looked at whenever it is connected to.
    pub(crate) async fn new(
        options: &ReplicaOptions,
        settings: &[(&'static str, &'static str)],
        primary: &PgPool,
    ) -> Result<Self, Failure> {
        let pool = connect_standby(&options.url, &options.limits, SCHEMA, settings, primary).await?;
        Ok(Self { readers: Readers::new(pool), wait: options.wait })
    }

    /// A connection to it that sees everything that `primary` has made durable; none if that takes too long.
    pub(crate) async fn caught_up(&self, primary: &PgPool) -> Option<PoolConnection<Postgres>> {
        match tokio::time::timeout(self.wait, self.catch_up(primary)).await {
            Ok(Ok(on)) => Some(on),
            Ok(Err(why)) => {
                tracing::debug!(%why, "failed to read from the replica");
                None
            }
            Err(_) => {
                tracing::debug!(wait_ms = self.wait.as_millis(), "failed to read from the replica: it is behind");
                None
            }
        }
    }

    async fn catch_up(&self, primary: &PgPool) -> Result<PoolConnection<Postgres>, sqlx::Error> {
        let durable: String = sqlx::query_scalar("SELECT pg_current_wal_flush_lsn()::text").fetch_one(primary).await?;
        let mut on = self.readers.pool.acquire().await?;
        // Before the transaction that reads begins: that sees what there was when it began.
        let has = "SELECT pg_is_in_recovery() AND coalesce(pg_last_wal_replay_lsn() >= $1::pg_lsn, false)";
        while !sqlx::query_scalar::<_, bool>(has).bind(&durable).fetch_one(&mut *on).await? {
            tokio::time::sleep(PAUSE).await;
        }
        Ok(on)
    }
}
