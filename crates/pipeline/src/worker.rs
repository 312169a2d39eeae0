//! The worker: the one consumer of the journal, on a thread of its own. Reads top to bottom in
//! [`Worker::run`]: next → apply → publish → ack → trim.
//!
//! What it does when the ledger refuses a record:
//! - `Unacceptable`: three attempts, then it is dead-lettered with its reason and the queue goes on;
//! - `Corrupt`, `Poisoned`, `Conflict`: the process has to restart, which replays the journal from
//!   what the ledger holds durably;
//! - anything else: tries again for ever, ever more slowly, while the journal buffers (I7).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use domain::position::Seq;
use domain::record::RecordView;
use domain::tenant::TenantId;
use domain::time::MICROS_PER_SECOND;
use ports::clock::Clock;
use ports::journal::{Entry, Journal};
use ports::ledger::{Applied, Batch, Ledger, Outcome};
use ports::live::{Live, LiveEvent};
use ports::{ErrorKind, PortError};
use tokio::sync::watch;

use crate::failure::{Failure, chain};
use crate::live::Announcements;
use crate::names::KnownNames;
use crate::receipts::Receipts;
use crate::stop::StopSignal;
use crate::telemetry::{Metrics, Tally};

/// Attempts before a record that can never be applied is dead-lettered.
const ATTEMPTS_MAX: u32 = 3;
/// Wait after the first failed attempt; it doubles with each further one.
const BACKOFF_MIN: Duration = Duration::from_millis(100);
/// Longest wait between two attempts.
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// Longest time without a look at what may be trimmed.
const TRIM_INTERVAL: Duration = Duration::from_secs(1);

/// What the worker works with.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) ledger: Arc<dyn Ledger>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) receipts: Arc<Receipts>,
    pub(crate) names: Arc<KnownNames>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) live: Arc<dyn Live>,
    pub(crate) announcements: Arc<Announcements>,
    pub(crate) stop: StopSignal,
    /// The last record that was durable at the start.
    pub(crate) replay_until: Seq,
}

/// The running worker.
#[derive(Debug)]
pub(crate) struct WorkerHandle {
    ended: watch::Receiver<bool>,
}

impl WorkerHandle {
    /// Whether it has not ended.
    pub(crate) fn is_alive(&self) -> bool {
        !*self.ended.borrow()
    }

    /// Waits until it has ended.
    pub(crate) async fn join(&self) {
        // An error means that the sender is gone, hence the thread.
        let _ = self.ended.clone().wait_for(|ended| *ended).await;
    }
}

/// Starts the worker. Whatever ends it other than its [`StopSignal`] is reported as a failure.
pub(crate) fn spawn(worker: Worker, failure: Failure) -> WorkerHandle {
    let (end, ended) = watch::channel(false);
    let on_thread = failure.clone();
    let body = move || {
        let outcome = catch_unwind(AssertUnwindSafe(|| run_on_this_thread(worker)));
        match outcome {
            Ok(Ok(())) => {}
            Ok(Err(error)) => on_thread.report(chain(&error)),
            Err(_) => on_thread.report("failed to apply records: the worker panicked".to_owned()),
        }
        end.send_replace(true);
    };
    if let Err(error) = thread::Builder::new().name("worker".to_owned()).spawn(body) {
        failure.report(format!("failed to start the worker: {error}"));
    }
    WorkerHandle { ended }
}

fn run_on_this_thread(worker: Worker) -> Result<(), PortError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| PortError::new(ErrorKind::Unavailable, "start the worker").because(error))?;
    runtime.block_on(worker.run())
}

impl Worker {
    async fn run(mut self) -> Result<(), PortError> {
        let mut trimmed = Seq::ZERO;
        let mut retry = Retry::default();
        loop {
            let next = tokio::select! {
                biased;
                () = self.stop.abandoned() => return Ok(()),
                next = self.journal.next() => next,
                () = self.clock.sleep(TRIM_INTERVAL) => {
                    self.metrics.apply_idle();
                    self.trim(&mut trimmed).await;
                    continue;
                }
            };
            match next {
                Ok(entries) if entries.is_empty() => return Ok(()),
                Ok(entries) => {
                    retry = Retry::default();
                    self.apply(&entries).await?;
                }
                Err(error) => self.pause(&mut retry, error).await?,
            }
            self.trim(&mut trimmed).await;
        }
    }

    /// Applies all of `entries`, however long that takes.
    async fn apply(&mut self, entries: &[Entry]) -> Result<(), PortError> {
        let mut rest = entries;
        let (mut retry, mut refusals) = (Retry::default(), 0);
        while !rest.is_empty() {
            fail::fail_point!("worker::before_apply");
            let Batch { applied, failed } = self.ledger.apply(rest).await;
            fail::fail_point!("worker::after_apply");
            let (done, left) = rest.split_at(applied.len().min(rest.len()));
            if let Some(last) = done.last() {
                self.publish(done, &applied).await;
                fail::fail_point!("worker::before_ack");
                self.journal.ack(last.seq);
                (retry, refusals) = (Retry::default(), 0);
            }
            rest = left;
            let Some((refused, behind)) = left.split_first() else { break };
            let error = failed.unwrap_or_else(|| PortError::new(ErrorKind::Unavailable, "apply all of the records"));
            refusals += u32::from(error.kind() == ErrorKind::Unacceptable);
            if refusals == ATTEMPTS_MAX {
                self.dead_letter(refused, &error).await?;
                (retry, refusals) = (Retry::default(), 0);
                rest = behind;
            } else {
                self.pause(&mut retry, error).await?;
            }
        }
        Ok(())
    }

    /// Puts a record that can never be applied among the dead letters, however long that takes.
    async fn dead_letter(&mut self, entry: &Entry, why: &PortError) -> Result<(), PortError> {
        let reason = chain(why);
        tracing::error!(seq = entry.seq.0, %reason, "a record became a dead letter");
        let mut retry = Retry::default();
        while let Err(error) = self.ledger.dead_letter(entry, &reason).await {
            self.pause(&mut retry, error).await?;
        }
        self.receipts.publish_dead_letter(entry.seq, &reason);
        self.caught_up(entry.seq);
        self.journal.ack(entry.seq);
        Ok(())
    }

    /// Waits before the next attempt. Gives the error back when there is to be none.
    async fn pause(&mut self, retry: &mut Retry, error: PortError) -> Result<(), PortError> {
        if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Poisoned | ErrorKind::Conflict) {
            return Err(error);
        }
        self.metrics.apply_retry();
        let wait = retry.next_wait();
        tracing::warn!(error = chain(&error), wait_ms = wait.as_millis(), "records were not applied; trying again");
        tokio::select! {
            biased;
            () = self.stop.ended() => Err(error),
            () = self.clock.sleep(wait) => Ok(()),
        }
    }

    /// Tells everyone who wants to know what became of `entries`: first the live view, so that whoever
    /// waits for a receipt finds the events there too.
    async fn publish(&self, entries: &[Entry], applied: &[Applied]) {
        let now = self.clock.now();
        let mut effects = Effects::default();
        let oldest = now.plus_micros(-i64::from(self.live.retention_sec()) * MICROS_PER_SECOND);
        for (entry, applied) in entries.iter().zip(applied) {
            // The ledger has read the same bytes; what it could not read is not among `applied`.
            let Ok(record) = RecordView::parse(&entry.payload) else { continue };
            let late = self.announcements.late_windows(record.tenant());
            for (body, outcome) in record.bodies().zip(&applied.outcomes) {
                match (outcome, body.and_then(|body| body.event())) {
                    (Outcome::Fresh, Ok(event)) => {
                        effects.ingested.add(event.kind);
                        if event.time > oldest {
                            effects.live(record.tenant(), LiveEvent { time: event.time, user: event.user });
                        }
                        if let Some(late) = &late {
                            late.event(event.customer, event.time);
                        }
                    }
                    (Outcome::Fresh, Err(_)) => {}
                    (Outcome::Duplicate, _) => self.metrics.duplicate(false),
                    (Outcome::Mismatch, _) => self.metrics.duplicate(true),
                }
            }
            if entry.seq > self.replay_until {
                self.metrics.visible(record.received_at(), now);
            }
        }
        for (tenant, events) in &effects.live {
            if let Err(error) = self.live.record(tenant, now, events).await {
                tracing::warn!(error = chain(&error), events = events.len(), "events are missing in the live view");
            }
        }
        self.receipts.publish(applied);
        entries.iter().for_each(|entry| self.caught_up(entry.seq));
        self.metrics.ingested(&effects.ingested);
    }

    /// After the replay the ledger knows every name that was in use before the restart.
    fn caught_up(&self, seq: Seq) {
        if seq == self.replay_until {
            self.names.resume(self.ledger.names());
        }
    }

    /// Lets the journal forget what the ledger holds durably.
    async fn trim(&self, trimmed: &mut Seq) {
        let cursor = self.ledger.cursor();
        if cursor > *trimmed {
            match self.journal.trim(cursor).await {
                Ok(()) => *trimmed = cursor,
                Err(error) => tracing::warn!(error = chain(&error), "the journal was not trimmed; trying again"),
            }
        }
    }
}

/// What is effects of applied records.
#[derive(Debug, Default)]
struct Effects<'e> {
    ingested: Tally<'e>,
    /// Recent events, in runs of one tenant.
    live: Vec<(TenantId, Vec<LiveEvent<'e>>)>,
}

impl<'e> Effects<'e> {
    fn live(&mut self, tenant: &TenantId, event: LiveEvent<'e>) {
        match self.live.last_mut() {
            Some((latest, events)) if latest == tenant => events.push(event),
            _ => self.live.push((tenant.clone(), vec![event])),
        }
    }
}

/// Failed attempts in a row.
#[derive(Debug, Default)]
struct Retry {
    attempts: u32,
}

impl Retry {
    fn next_wait(&mut self) -> Duration {
        let wait = BACKOFF_MIN.saturating_mul(1_u32.checked_shl(self.attempts).unwrap_or(u32::MAX));
        self.attempts = self.attempts.saturating_add(1);
        wait.min(BACKOFF_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_their_longest() {
        let mut retry = Retry::default();
        let waits: Vec<u128> = (0..40).map(|_| retry.next_wait().as_millis()).collect();
        assert_eq!(&waits[..7], [100, 200, 400, 800, 1_600, 3_200, 5_000]);
        assert!(waits[6..].iter().all(|wait| *wait == 5_000));
    }
}
