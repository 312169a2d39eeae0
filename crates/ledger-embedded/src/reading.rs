//! Reading for a caller: files block, so they are read on threads for that, a limited number at a time and
//! for a limited time, and a read whose caller has left ends early. Until it has, it keeps what its caller
//! holds, so that it counts against its tenant.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use domain::limits::QUERY_TIME_MAX;
use ports::held::{self, Held};
use ports::{ErrorKind, PortError};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

use crate::core::Core;

impl Core {
    /// Runs a read of files on a thread that may block. It keeps what its caller holds until it has ended:
    /// when the caller has left, it goes on to its next check. Of reads whose callers hold nothing only some
    /// run at once; the wait for them is part of the time that the read may take.
    pub(crate) async fn read<T, F>(self: &Arc<Self>, read: F) -> Result<T, PortError>
    where
        T: Send + 'static,
        F: FnOnce(&Self, &CancellationToken) -> Result<T, PortError> + Send + 'static,
    {
        let cancelled = CancellationToken::new();
        let _cancel_on_drop = cancelled.clone().drop_guard();
        // One timer for the wait and the read.
        let mut time_is_over = pin!(tokio::time::sleep(QUERY_TIME_MAX));
        let kept = self.admitted(&mut time_is_over).await?;
        let core = Arc::clone(self);
        let reading = tokio::task::spawn_blocking(move || {
            let _kept = kept;
            read(&core, &cancelled)
        });
        let failed = |why| PortError::new(ErrorKind::Unavailable, "read: the reader failed").because(why);
        tokio::select! {
            biased;
            read = reading => read.map_err(failed)?,
            () = time_is_over => Err(took_too_long(QUERY_TIME_MAX)),
        }
    }

    /// What a read keeps until it has ended: what its caller holds, or else one of the places for reads
    /// whose callers hold nothing.
    async fn admitted(
        &self,
        time_is_over: impl Future<Output = ()>,
    ) -> Result<(Held, Option<OwnedSemaphorePermit>), PortError> {
        let held = held::current();
        if !held.is_nothing() {
            return Ok((held, None));
        }
        let closed = |why| PortError::new(ErrorKind::Closed, "read").because(why);
        tokio::select! {
            biased;
            place = Arc::clone(&self.own_reads).acquire_owned() => Ok((held, Some(place.map_err(closed)?))),
            () = time_is_over => {
                Err(PortError::new(ErrorKind::Overloaded, "read: too many reads of the server itself run"))
            }
        }
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

    use domain::limits::SERVER_READS_MAX;
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

    #[tokio::test]
    async fn i6_a_read_whose_caller_has_left_keeps_what_it_held_until_it_ends() {
        let options = LedgerOptions { background: false, ..LedgerOptions::default() };
        let ledger = open(options, Arc::new(ManualClock::new(at(0)))).await;
        let ((begin, begun), (end, ended)) = (oneshot::channel(), std::sync::mpsc::channel::<()>());
        let read = move |_: &Core, _: &CancellationToken| {
            begin.send(()).expect("the caller waits");
            ended.recv().expect("the test ends it");
            Ok(())
        };
        let permit = Arc::new("a permit");
        {
            let mut reading = pin!(held::during(Held::new(permit.clone()), ledger.core.read(read)));
            tokio::select! {
                ended = &mut reading => ended.expect("no end before the test ends it"),
                begun = begun => begun.expect("the read begins"),
            }
        }
        assert_eq!(Arc::strong_count(&permit), 2, "the caller has left, the read has not ended");
        end.send(()).expect("the read waits");
        while Arc::strong_count(&permit) > 1 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn i6_a_read_of_the_server_that_finds_no_place_in_time_is_overload() {
        let options = LedgerOptions { background: false, ..LedgerOptions::default() };
        let ledger = open(options, Arc::new(ManualClock::new(at(0)))).await;
        let own = u32::try_from(SERVER_READS_MAX).expect("few");
        let _own = Arc::clone(&ledger.core.own_reads).try_acquire_many_owned(own).expect("free places");
        let refused = ledger.core.admitted(std::future::ready(())).await.map_err(|why| why.kind());
        assert_eq!(refused.expect_err("no place"), ErrorKind::Overloaded);
        let permitted = held::during(Held::new(Arc::new("a permit")), ledger.core.admitted(std::future::ready(())));
        assert!(permitted.await.is_ok(), "what has a permit needs no place");
    }
}
