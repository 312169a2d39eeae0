//! Reading for a caller: files block, so they are read on threads for that, a limited number at a time and
//! for a limited time, and a read whose caller has left ends early.

use std::sync::Arc;
use std::time::Duration;

use domain::limits::QUERY_TIME_MAX;
use domain::tenant::TenantScope;
use ports::fair::{FairLimiter, FairPermit};
use ports::{ErrorKind, PortError};
use tokio_util::sync::CancellationToken;

use crate::core::Core;

impl Core {
    /// Waits until one read more of the tenant may run. Taken before anything is set aside for the read,
    /// so that those that wait hold nothing. The server itself needs no turn.
    pub(crate) async fn turn(&self, scope: &TenantScope) -> Result<Option<FairPermit>, PortError> {
        turn_of(&self.readers, scope).await
    }

    /// Waits until one query more of the manifest by the tenant may run.
    pub(crate) async fn lookup(&self, scope: &TenantScope) -> Result<Option<FairPermit>, PortError> {
        turn_of(&self.lookups, scope).await
    }

    /// Runs a read of a tenant's files on a thread that may block.
    pub(crate) async fn read<T, F>(self: &Arc<Self>, scope: &TenantScope, read: F) -> Result<T, PortError>
    where
        T: Send + 'static,
        F: FnOnce(&Self, &CancellationToken) -> Result<T, PortError> + Send + 'static,
    {
        let turn = self.turn(scope).await?;
        self.read_in(turn, read).await
    }

    /// Runs a read on a thread that may block, with the turn that was taken for it, or without one when it
    /// reads no files. The turn ends with the read, also when the caller has left before.
    pub(crate) async fn read_in<T, F>(self: &Arc<Self>, turn: Option<FairPermit>, read: F) -> Result<T, PortError>
    where
        T: Send + 'static,
        F: FnOnce(&Self, &CancellationToken) -> Result<T, PortError> + Send + 'static,
    {
        let cancelled = CancellationToken::new();
        let _cancel_on_drop = cancelled.clone().drop_guard();
        let core = Arc::clone(self);
        let reading = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            read(&core, &cancelled)
        });
        match tokio::time::timeout(QUERY_TIME_MAX, reading).await {
            Ok(Ok(found)) => found,
            Ok(Err(panicked)) => {
                Err(PortError::new(ErrorKind::Unavailable, "read: the reader failed").because(panicked))
            }
            Err(_) => Err(took_too_long(QUERY_TIME_MAX)),
        }
    }
}

async fn turn_of(turns: &FairLimiter, scope: &TenantScope) -> Result<Option<FairPermit>, PortError> {
    if scope.is_servers() {
        return Ok(None);
    }
    turns.take(scope.tenant()).await.map(Some)
}

/// Ends the work of a caller that has left. Called once per batch of rows.
pub(crate) fn check_cancelled(cancelled: &CancellationToken) -> Result<(), PortError> {
    if cancelled.is_cancelled() {
        return Err(PortError::new(ErrorKind::Unavailable, "read: the caller has left"));
    }
    Ok(())
}

/// The refusal of an answer after the time that it may take.
pub(crate) fn took_too_long(time_max: Duration) -> PortError {
    let context = format!("answer within {} s: ask for less, or again when less is asked", time_max.as_secs_f64());
    PortError::new(ErrorKind::TimedOut, context)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::expect_used, reason = "tests")]

    use std::pin::pin;

    use ports::testing::clock::ManualClock;
    use ports::testing::ledger::records::{at, scope};
    use tokio::sync::oneshot;

    use super::*;
    use crate::fixture::open;
    use crate::options::LedgerOptions;

    #[tokio::test]
    async fn i6_a_read_ends_when_its_caller_has_left() {
        let options = LedgerOptions { background: false, ..LedgerOptions::default() };
        let ledger = open(options, Arc::new(ManualClock::new(at(0)))).await;
        let ((begin, begun), (end, ended)) = (oneshot::channel(), oneshot::channel());
        let read = move |_: &Core, cancelled: &CancellationToken| {
            begin.send(()).expect("the caller waits");
            let why = loop {
                match check_cancelled(cancelled) {
                    Ok(()) => std::thread::yield_now(),
                    Err(why) => break why,
                }
            };
            end.send(why.kind()).expect("the test waits");
            Ok(())
        };
        let asks = scope("asks");
        {
            let mut reading = pin!(ledger.core.read(&asks, read));
            tokio::select! {
                ended = &mut reading => ended.expect("no end before it is cancelled"),
                begun = begun => begun.expect("the read begins"),
            }
        }
        assert_eq!(ended.await.expect("the read ends"), ErrorKind::Unavailable);
    }
}
