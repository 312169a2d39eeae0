//! The stages of a request as types, each made by the stage before it and by nothing else:
//! [`PendingBatch`] (checked, stamped) → [`Durable`] (in the journal) → [`Visible`] (in queries). An answer
//! that says `accepted` needs a [`Durable`], so answering before durability does not compile (I8).

use std::sync::Arc;

use domain::admit::Admitted;
use domain::limits::Limits;
use domain::position::Seq;
use ports::clock::Clock;
use ports::journal::OrderedJournal;
use ports::ledger::Outcome;
use ports::{ErrorKind, PortError};
use tokio::sync::OwnedSemaphorePermit;

use crate::failure::{Failure, chain};
use crate::inflight::Stamp;
use crate::receipts::{BatchOutcome, Receipts};
use crate::telemetry::Metrics;

/// The events of one request that are to be journaled, with what they hold while they are.
#[derive(Debug)]
pub(crate) struct PendingBatch {
    pub(crate) admitted: Admitted,
    pub(crate) stamp: Stamp,
    /// The memory that the request may take; none for a load, which has a few batches and no body.
    pub(crate) space: Option<OwnedSemaphorePermit>,
}

/// A batch that survives any crash.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Durable {
    seq: Seq,
}

impl Durable {
    /// Its number in the journal.
    pub(crate) fn seq(self) -> Seq {
        self.seq
    }
}

/// A batch that is visible in queries.
#[derive(Debug)]
pub(crate) struct Visible {
    outcomes: Option<Arc<[Outcome]>>,
}

impl Visible {
    /// The ledger's verdict on each event of the batch; `None` when all were counted, or when so many
    /// batches came after it that this has been forgotten.
    pub(crate) fn outcomes(&self) -> Option<&[Outcome]> {
        self.outcomes.as_deref()
    }
}

/// The stage that makes batches durable.
#[derive(Debug, Clone)]
pub(crate) struct Journaling {
    pub(crate) journal: Arc<dyn OrderedJournal>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) failure: Failure,
}

impl Journaling {
    /// Refuses a request before any work on it while the backlog is over its limit.
    pub(crate) async fn check_room(&self, limits: &Limits) -> Result<(), ErrorKind> {
        let over = self.journal.backlog().await.bytes >= limits.backlog_bytes_max as u64;
        if over { Err(ErrorKind::Overloaded) } else { Ok(()) }
    }

    /// Appends a batch. It goes on to its end when the caller goes away, because the record
    /// may become durable all the same.
    pub(crate) async fn append(&self, batch: PendingBatch) -> Result<Durable, ErrorKind> {
        let stage = self.clone();
        let task = tokio::spawn(async move { stage.run(batch).await });
        task.await.unwrap_or(Err(ErrorKind::Unavailable))
    }

    async fn run(self, batch: PendingBatch) -> Result<Durable, ErrorKind> {
        let PendingBatch { admitted, stamp, space } = batch;
        let appending = stamp.begin_append();
        let started = self.clock.monotonic();
        let result = self.journal.append(&admitted).await;
        appending.answered(result.as_ref().err().map(PortError::kind));
        drop(space);
        match result {
            Ok(id) => {
                self.metrics.appended(admitted.payload().len(), self.clock.monotonic().saturating_sub(started));
                Ok(Durable { seq: self.journal.seq(id) })
            }
            Err(error) => {
                if error.kind() == ErrorKind::Poisoned {
                    self.failure.report(chain(&error));
                } else {
                    tracing::warn!(error = chain(&error), events = admitted.events(), "a batch was not journaled");
                }
                Err(error.kind())
            }
        }
    }
}

/// Waits until a batch is visible. Never returns for one that became a dead letter.
pub(crate) async fn visible(durable: Durable, receipts: &Receipts) -> Visible {
    receipts.wait_for(durable.seq).await;
    match receipts.batch_outcome(durable.seq) {
        Some(BatchOutcome::Applied { outcomes, .. }) => Visible { outcomes },
        Some(BatchOutcome::DeadLettered(_)) => std::future::pending().await,
        None => Visible { outcomes: None },
    }
}
