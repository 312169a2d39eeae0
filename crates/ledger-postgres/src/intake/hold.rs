//! All buckets of the ledger, held while a folder is moved in: no server writes meanwhile. Others get them when the lease has
//! ended, or when they are given away.

use std::time::Duration;

use domain::bucket::BucketCount;
use domain::limits::LEDGER_LEASE;
use ports::ErrorKind;
use postgres::Failure;
use sqlx::postgres::PgConnection;

use crate::transaction::OwnTransaction;
use crate::types::Uuid;

/// The buckets of one move.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hold {
    /// The folder that is moved in, in place of a node: one process has it.
    folder: Uuid,
    pub(super) buckets: BucketCount,
}

impl Hold {
    /// Takes all buckets, if nobody else has one.
    pub(super) async fn take(mut transaction: OwnTransaction, folder: Uuid) -> Result<Self, Failure> {
        let on = transaction.on();
        let lock = "SELECT owner IS NULL OR owner = $1 OR expires_at < clock_timestamp() FROM buckets \
                    ORDER BY bucket FOR NO KEY UPDATE";
        let are_free: Vec<Option<bool>> = sqlx::query_scalar(lock).bind(folder).fetch_all(&mut *on).await?;
        if !are_free.iter().all(|is_free| is_free.unwrap_or(false)) {
            let reason = "a server works in the database; stop all of them, and try again some seconds later";
            return Err(Failure::Refused { kind: ErrorKind::Conflict, reason: reason.to_owned() });
        }
        let count = u16::try_from(are_free.len()).ok().and_then(|count| BucketCount::new(count).ok());
        let count = count.ok_or_else(|| Failure::Refused {
            kind: ErrorKind::Corrupt,
            reason: format!("the ledger has {} buckets", are_free.len()),
        })?;
        let held = Self { folder, buckets: count };
        let take = "UPDATE buckets SET epoch = epoch + 1, owner = $1";
        sqlx::query(take).bind(folder).execute(&mut *on).await?;
        held.renew(on).await?;
        transaction.commit().await?;
        Ok(held)
    }

    /// Keeps them for another lease, and refuses when another has one of them. A transaction begins with this.
    pub(super) async fn renew(&self, on: &mut PgConnection) -> Result<(), Failure> {
        let sql = "UPDATE buckets SET expires_at = clock_timestamp() + $2 * interval '1 millisecond' WHERE owner = $1";
        let lease = i64::try_from(LEDGER_LEASE.as_millis()).unwrap_or(i64::MAX);
        let renewed = sqlx::query(sql).bind(self.folder).bind(lease).execute(on).await?.rows_affected();
        if renewed == u64::from(self.buckets.get()) {
            return Ok(());
        }
        let reason = "another process has taken a bucket".to_owned();
        Err(Failure::Refused { kind: ErrorKind::Closed, reason })
    }

    /// How often they are to be renewed.
    pub(super) fn renewal() -> Duration {
        LEDGER_LEASE / 3
    }

    /// Gives them to whoever wants them.
    pub(super) async fn release(&self, on: &mut PgConnection) -> Result<(), Failure> {
        let sql = "UPDATE buckets SET owner = NULL, expires_at = NULL WHERE owner = $1";
        sqlx::query(sql).bind(self.folder).execute(on).await?;
        Ok(())
    }
}
