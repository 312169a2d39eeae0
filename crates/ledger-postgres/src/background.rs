//! What the ledger does besides counting: erasures and retention, and with the owner's login what only that may do. Each
//! pass goes on where the last one was ended.

use std::sync::Arc;
use std::time::Duration;

use ports::clock::Clock;
use ports::erasures::ErasureStage;
use ports::{ErrorKind, PortError};
use postgres::Logins;
use tokio::task::JoinHandle;

use crate::ledger::PostgresLedger;

/// Time between two passes, unless an erasure is asked for.
const PASS_EVERY: Duration = Duration::from_secs(30);
/// Time between two passes with the owner's login, unless an erasure waits for that.
const OWNER_EVERY: Duration = Duration::from_secs(3_600);

/// The login that owns the tables.
#[derive(Clone)]
pub struct Owner {
    /// Its address, with its password.
    pub url: String,
    /// The logins that it gives rights.
    pub logins: Logins,
}

impl std::fmt::Debug for Owner {
    /// Without the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Owner").field("logins", &self.logins).finish_non_exhaustive()
    }
}

impl PostgresLedger {
    /// Makes the erasures and moves the floors that are due, once.
    ///
    /// # Errors
    /// When it cannot be done; the next pass goes on.
    pub async fn maintain(&self, clock: &dyn Clock) -> Result<(), PortError> {
        self.erase_due().await?;
        self.retain_due(clock).await
    }

    /// Does so again and again until the task is aborted or the ledger can write nothing any more; with the owner's login
    /// also what only that may do.
    pub fn maintain_in_background(self: &Arc<Self>, clock: Arc<dyn Clock>, owner: Option<Owner>) -> JoinHandle<()> {
        let ledger = Arc::downgrade(self);
        tokio::spawn(async move {
            let mut owned_at = None;
            while let Some(ledger) = ledger.upgrade() {
                let passed = ledger.pass(&*clock, owner.as_ref(), &mut owned_at).await;
                if let Err(failure) = passed {
                    tracing::warn!(%failure, "failed to maintain the ledger in PostgreSQL");
                    if failure.kind() == ErrorKind::Closed {
                        return;
                    }
                }
                let _ = tokio::time::timeout(PASS_EVERY, ledger.wake.notified()).await;
            }
        })
    }

    async fn pass(
        &self,
        clock: &dyn Clock,
        owner: Option<&Owner>,
        owned_at: &mut Option<Duration>,
    ) -> Result<(), PortError> {
        self.maintain(clock).await?;
        let Some(Owner { url, logins }) = owner else { return Ok(()) };
        let waits = !self.state.read().erasures.at(ErasureStage::Confirmed).is_empty();
        let now = clock.monotonic();
        if !waits && owned_at.is_some_and(|then| now.saturating_sub(then) < OWNER_EVERY) {
            return Ok(());
        }
        crate::maintain::maintain(url, logins).await?;
        *owned_at = Some(now);
        self.erase_due().await
    }
}
