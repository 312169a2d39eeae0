//! How a process gets its buckets and keeps them: all that it may have or none, for one lease at a time.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use ports::ErrorKind;
use postgres::Failure;
use sqlx::postgres::PgPool;

use crate::bucket::{Buckets, Wanted};
use crate::options::PostgresLedgerOptions;
use crate::state::State;
use crate::transaction::OwnTransaction;
use crate::types::Uuid;

/// How often buckets that another has are looked at.
const TAKE_PAUSE: Duration = Duration::from_millis(50);

/// Takes the buckets, as soon as nobody has any of them. Tells whether their last owner has left without giving them
/// away.
pub(crate) async fn take(pool: &PgPool, options: &PostgresLedgerOptions) -> Result<(Buckets, bool), Failure> {
    let wanted = Wanted {
        buckets: &options.buckets,
        node: Uuid(options.node),
        lease: options.lease,
        journal: options.journal.as_deref(),
        takes_over: options.takes_over,
        is_after_crash: options.is_after_crash,
    };
    let taking = async {
        loop {
            let mut transaction = OwnTransaction::begin(pool).await?;
            if let Some(taken) = Buckets::take(transaction.on(), &wanted).await? {
                transaction.commit().await?;
                return Ok(taken);
            }
            transaction.end().await?;
            tokio::time::sleep(TAKE_PAUSE).await;
        }
    };
    // One lease, and a little, so that one that ends just then is seen.
    let taken = tokio::time::timeout(options.lease + TAKE_PAUSE * 10, taking).await;
    let kept = "another process has a bucket, and keeps it".to_owned();
    taken.map_err(|_| Failure::Refused { kind: ErrorKind::Conflict, reason: kept })?
}

/// Keeps the buckets until all of them are lost.
pub(crate) async fn renew(pool: PgPool, mut buckets: Buckets, state: Arc<RwLock<State>>) {
    loop {
        tokio::time::sleep(buckets.renewal()).await;
        match renew_once(&pool, &mut buckets).await {
            Ok(()) => state.write().outage = None,
            Err(failure) if buckets.is_empty() => {
                tracing::error!(%failure, "failed to keep a bucket");
                state.write().failure = Some(ErrorKind::Closed);
                return;
            }
            Err(failure) => {
                tracing::warn!(%failure, "failed to renew the lease of buckets");
                state.write().outage = Some(failure.to_string());
            }
        }
    }
}

async fn renew_once(pool: &PgPool, buckets: &mut Buckets) -> Result<(), Failure> {
    let mut transaction = OwnTransaction::begin(pool).await?;
    buckets.fence(transaction.on()).await?;
    buckets.renew(transaction.on()).await?;
    transaction.commit().await
}

/// Gives the buckets to whoever wants them.
pub(crate) async fn release(pool: &PgPool, buckets: &mut Buckets) -> Result<(), Failure> {
    while !buckets.is_empty() {
        let mut transaction = OwnTransaction::begin(pool).await?;
        match buckets.fence(transaction.on()).await {
            Ok(_) => {
                buckets.release(transaction.on()).await?;
                return transaction.commit().await;
            }
            // What is lost is another's to give away.
            Err(failure) if failure.kind() == ErrorKind::Closed => {}
            Err(failure) => return Err(failure),
        }
    }
    Ok(())
}
