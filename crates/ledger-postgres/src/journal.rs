//! What a server needs of the ledger to put its journal in front of it: where its records come from, and the secret of
//! their receipts.

use ports::PortError;
use postgres::{Failure, Login, PostgresLimits, check, connect};

use crate::fences::SCHEMA;
use crate::ledger::PostgresLedger;
use crate::schema::schema;

/// The name of the journal that the records of a ledger come from, if they ever came from one with a name. Asked with the
/// worker's login, before the ledger is opened with [`crate::PostgresLedgerOptions::journal`].
///
/// # Errors
/// As [`PostgresLedger::open`].
pub async fn journal_of(worker_url: &str) -> Result<Option<String>, PortError> {
    let limits = PostgresLimits { connections: 1, ..PostgresLimits::default() };
    let asked = async {
        let pool = connect(worker_url, &limits, SCHEMA, &[]).await?;
        check(&pool, &schema(), Login::Worker).await?;
        let named = "SELECT max(generation) FROM buckets";
        let journal = sqlx::query_scalar(named).fetch_one(&pool).await?;
        pool.close().await;
        Ok::<_, Failure>(journal)
    };
    asked.await.map_err(|failure| failure.during("read which journal the ledger in PostgreSQL belongs to"))
}

impl PostgresLedger {
    /// The secret key of receipts and of hashes of payloads.
    pub async fn secret_key(&self) -> [u8; 16] {
        self.writer.lock().await.key
    }
}
