//! Reading for a caller: files block, so they are read on threads for that, a limited number at a time and
//! for a limited time, and a read whose caller has left ends early.

use std::sync::Arc;
use std::time::Duration;

use domain::limits::QUERY_TIME_MAX;
use ports::{ErrorKind, PortError};
use tokio_util::sync::CancellationToken;

use crate::core::Core;

impl Core {
    /// Runs a read of files on a thread that may block, within the bound of all reads. It keeps its place
    /// in that bound until it has ended: when its caller has left, it goes on to its next check.
    pub(crate) async fn read<T, F>(self: &Arc<Self>, read: F) -> Result<T, PortError>
    where
        T: Send + 'static,
        F: FnOnce(&Self, &CancellationToken) -> Result<T, PortError> + Send + 'static,
    {
        let cancelled = CancellationToken::new();
        let _cancel_on_drop = cancelled.clone().drop_guard();
        let core = Arc::clone(self);
        let reading = async {
            let closed = |why| PortError::new(ErrorKind::Closed, "read").because(why);
            let slot = Arc::clone(&core.file_reads).acquire_owned().await.map_err(closed)?;
            let reading = tokio::task::spawn_blocking(move || {
                let _slot = slot;
                read(&core, &cancelled)
            });
            let failed = |why| PortError::new(ErrorKind::Unavailable, "read: the reader failed").because(why);
            reading.await.map_err(failed)?
        };
        tokio::time::timeout(QUERY_TIME_MAX, reading).await.unwrap_or_else(|_| Err(took_too_long(QUERY_TIME_MAX)))
    }
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
    use ports::testing::ledger::records::at;
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
        {
            let mut reading = pin!(ledger.core.read(read));
            tokio::select! {
                ended = &mut reading => ended.expect("no end before it is cancelled"),
                begun = begun => begun.expect("the read begins"),
            }
        }
        assert_eq!(ended.await.expect("the read ends"), ErrorKind::Unavailable);
    }
}
