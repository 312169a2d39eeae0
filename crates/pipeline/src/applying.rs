//! What is done with delivered records: applied, acknowledged, tried again, or given up as dead letters.
//! [`Applier`] holds them and makes one attempt at a time; it never sleeps and reads no clock, so the
//! worker and the simulation run the very same steps.
//!
//! What it does when the ledger refuses a record:
//! - `Unacceptable`: after three such refusals it becomes a dead letter with its reason, and the records
//!   after it are applied; a ledger that counts them itself tells that it has become one;
//! - `Corrupt`, `Poisoned`, `Conflict`: the process has to restart, which replays the journal from
//!   what the ledger holds durably;
//! - anything else: tried again without end, with waits that double up to the longest, while the
//!   journal keeps what comes in (I7).

use std::future::Future;
use std::time::Duration;

use domain::position::RecordId;
use ports::journal::{Delivery, Journal};
use ports::ledger::{Applied, AppliedRecords, DeadRecord, Ledger};
use ports::{ErrorKind, PortError};

use crate::failure::{error_chain, needs_restart};

/// Refusals of a record as `Unacceptable` after which it becomes a dead letter.
const ATTEMPTS_MAX: u32 = 3;
/// Wait after the first failed attempt; it doubles with each further one.
const BACKOFF_MIN: Duration = Duration::from_millis(100);
/// Longest wait between two attempts.
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// Observes outcomes before records are acknowledged.
pub trait ApplyObserver: Send {
    /// These records are visible in queries; `applied` says what became of each.
    fn applied(&mut self, deliveries: &[Delivery], applied: &[Applied]) -> impl Future<Output = ()> + Send;

    /// This record became a dead letter, for this reason.
    fn dead_lettered(&mut self, delivery: &Delivery, reason: &str) -> impl Future<Output = ()> + Send;
}

/// What came of an attempt.
#[derive(Debug)]
pub enum Attempt {
    /// Nothing is held any more.
    Done,
    /// The first record that is held could not be applied yet, for this reason.
    Retry {
        /// When to try again.
        after: Duration,
        /// Why it failed.
        error: PortError,
    },
}

/// Delivered records that are not acknowledged yet, and how far applying them is.
#[derive(Debug, Default)]
pub struct Applier {
    held: Vec<Delivery>,
    /// How many of `held` are done with.
    done: usize,
    failures: Failures,
    /// Why the first record that is left becomes a dead letter, once that is decided.
    dead_letter: Option<String>,
    /// The ids that are acknowledged next; kept for its memory.
    acked: Vec<RecordId>,
}

impl Applier {
    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.done == self.held.len()
    }

    /// Takes records that the journal has delivered, behind those that are held.
    pub fn hold(&mut self, deliveries: Vec<Delivery>) {
        if self.is_empty() {
            (self.held, self.done) = (deliveries, 0);
        } else {
            self.held.extend(deliveries);
        }
    }

    /// Applies all that is held, up to the first failed attempt.
    ///
    /// # Errors
    /// The failure after which only a new process can go on.
    pub async fn attempt(
        &mut self,
        journal: &dyn Journal,
        ledger: &dyn Ledger,
        observer: &mut impl ApplyObserver,
    ) -> Result<Attempt, PortError> {
        loop {
            let failed = match (self.held.get(self.done), &self.dead_letter) {
                (None, _) => {
                    self.held.clear();
                    self.done = 0;
                    return Ok(Attempt::Done);
                }
                (Some(_), None) => self.apply(journal, ledger, observer).await,
                (Some(refused), Some(reason)) => match ledger.dead_letter(refused, reason).await {
                    Ok(()) => {
                        observer.dead_lettered(refused, reason).await;
                        journal.ack(&[refused.id]).await;
                        self.done += 1;
                        (self.failures, self.dead_letter) = (Failures::default(), None);
                        None
                    }
                    Err(error) => Some(error),
                },
            };
            let Some(error) = failed else { continue };
            // A dead letter is not given up: its reason stays, and it is tried again ever more slowly.
            let is_final = self.dead_letter.is_some() && error.kind() == ErrorKind::Unacceptable;
            let kind = if is_final { ErrorKind::Unavailable } else { error.kind() };
            match self.failures.next(kind) {
                AfterFailure::Restart => return Err(error),
                AfterFailure::Retry(after) => return Ok(Attempt::Retry { after, error }),
                AfterFailure::DeadLetter => {
                    (self.failures, self.dead_letter) = (Failures::default(), Some(error_chain(&error)));
                }
            }
        }
    }

    /// One call of the ledger: what it applied is observed and acknowledged, in this order. Returns why it
    /// stopped before the end.
    async fn apply(
        &mut self,
        journal: &dyn Journal,
        ledger: &dyn Ledger,
        observer: &mut impl ApplyObserver,
    ) -> Option<PortError> {
        let held = &self.held[self.done..];
        fail::fail_point!("worker::before_apply");
        let AppliedRecords { applied, dead, failed } = ledger.apply(held).await;
        fail::fail_point!("worker::after_apply");
        let (done, left) = held.split_at(applied.len().min(held.len()));
        if !done.is_empty() {
            observe(done, &applied, &dead, observer).await;
            fail::fail_point!("worker::before_ack");
            self.acked.clear();
            self.acked.extend(done.iter().map(|delivery| delivery.id));
            journal.ack(&self.acked).await;
            self.failures = Failures::default();
        }
        let unfinished = !left.is_empty();
        self.done += done.len();
        let unsaid = || PortError::new(ErrorKind::Unavailable, "apply all of the records");
        unfinished.then(|| failed.unwrap_or_else(unsaid))
    }
}

/// Hands on what became of records, in their order.
async fn observe(
    mut done: &[Delivery],
    mut applied: &[Applied],
    dead: &[DeadRecord],
    observer: &mut impl ApplyObserver,
) {
    for letter in dead {
        let Some(at) = applied.iter().position(|applied| applied.seq == letter.seq) else { continue };
        let ((before, rest), (outcomes, later)) = (done.split_at(at), applied.split_at(at));
        if at > 0 {
            observer.applied(before, outcomes).await;
        }
        if let Some((delivery, behind)) = rest.split_first() {
            observer.dead_lettered(delivery, &letter.reason).await;
            done = behind;
        }
        applied = later.get(1..).unwrap_or_default();
    }
    if !done.is_empty() {
        observer.applied(done, applied).await;
    }
}

/// Failed attempts in a row: decides what comes next.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    attempts: u32,
    /// How many of them were because of the record itself.
    refusals: u32,
}

/// What comes after a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AfterFailure {
    /// Another attempt, after this time.
    Retry(Duration),
    /// The record is given up.
    DeadLetter,
    /// A new process.
    Restart,
}

impl Failures {
    pub(crate) fn next(&mut self, kind: ErrorKind) -> AfterFailure {
        self.refusals += u32::from(kind == ErrorKind::Unacceptable);
        if self.refusals >= ATTEMPTS_MAX {
            return AfterFailure::DeadLetter;
        }
        if needs_restart(kind) {
            return AfterFailure::Restart;
        }
        let wait = BACKOFF_MIN.saturating_mul(1_u32.checked_shl(self.attempts).unwrap_or(u32::MAX));
        self.attempts = self.attempts.saturating_add(1);
        AfterFailure::Retry(wait.min(BACKOFF_MAX))
    }
}

#[cfg(test)]
mod tests;
