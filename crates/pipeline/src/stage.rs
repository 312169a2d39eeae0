//! The stages of a request as types, each made by the stage before it and by nothing else:
//! [`PendingBatch`] (checked, stamped) → [`Durable`] (in the journal) → [`Visible`] (in queries). An answer
//! that says `accepted` needs a [`Durable`], so answering before durability does not compile (I8).

use std::sync::Arc;
use std::time::Duration;

use domain::admit::Admitted;
use domain::limits::Limits;
use domain::position::{RecordId, Seq};
use domain::tenant::TenantScope;
use ports::clock::Clock;
use ports::journal::OrderedJournal;
use ports::ledger::{Outcome, Sighting};
use ports::receipts::{Fate, Receipts as Fates};
use ports::{ErrorKind, PortError};

use crate::failure::{FatalError, error_chain};
use crate::inflight::{Stamp, leaves_unknown};
use crate::quotas::Reservation;
use crate::receipts::{BatchOutcome, Receipts};
use crate::running_requests::RunningRequest;
use crate::shares::{BacklogShares, Share};
use crate::telemetry::Metrics;

/// The events of one request that are to be journaled, with what they hold while they are.
#[derive(Debug)]
pub(crate) struct PendingBatch {
    pub(crate) admitted: Admitted,
    pub(crate) stamp: Stamp,
    /// The memory reserved for its decoded body; none for a load, which has a few batches and no body.
    pub(crate) reservation: Option<Share>,
    /// What is reserved of quotas; none for a load, which is not held to any.
    pub(crate) quota: Option<Reservation>,
    /// Holds the request's key, if it has one.
    pub(crate) request: Option<RunningRequest>,
}

/// A batch that survives any crash.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Durable {
    seq: Seq,
}

impl Durable {
    /// The batch in which something was counted: the ledger is fed from the journal, which hands out only what
    /// is durable.
    pub(crate) fn of_counted(sighting: &Sighting) -> Self {
        Self { seq: sighting.seq }
    }

    /// Its number in the journal.
    pub(crate) fn seq(self) -> Seq {
        self.seq
    }
}

/// A batch that is visible in queries, with what is known of the ledger's verdicts on its events.
#[derive(Debug)]
pub(crate) enum Visible {
    /// Every event was counted.
    AllCounted,
    /// The verdict on each event, in the order of the batch.
    PerEvent(Arc<[Outcome]>),
    /// So many batches came after it that the verdicts have been forgotten.
    Forgotten,
}

/// The stage that makes batches durable.
#[derive(Debug, Clone)]
pub(crate) struct Journaling {
    pub(crate) journal: Arc<dyn OrderedJournal>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) failure: FatalError,
    /// Whose the records are that wait; none where nothing is applied in this process.
    pub(crate) backlog: Option<Arc<BacklogShares>>,
}

impl Journaling {
    /// Refuses a request before any work on it while the backlog is over its limit.
    pub(crate) async fn check_room(&self, limits: &Limits) -> Result<(), ErrorKind> {
        let over = self.journal.backlog().await.bytes >= limits.backlog_bytes_max as u64;
        if over { Err(ErrorKind::Overloaded) } else { Ok(()) }
    }

    /// Refuses a request before any work on it while so much of its tenant waits that the rest is for others.
    pub(crate) fn check_share(&self, scope: &TenantScope) -> Result<(), ErrorKind> {
        let is_over = self.backlog.as_ref().is_some_and(|backlog| backlog.is_over(scope.tenant()));
        if is_over { Err(ErrorKind::Overloaded) } else { Ok(()) }
    }

    /// Room in the backlog for the record of a request. A load needs none: it waits for room, and has all of it.
    fn take_share(&self, batch: &PendingBatch) -> Result<Option<Share>, ErrorKind> {
        let Some(backlog) = self.backlog.as_ref().filter(|_| batch.reservation.is_some()) else { return Ok(None) };
        let admitted = &batch.admitted;
        let share = backlog.take(admitted.scope().tenant(), admitted.payload().len());
        share.map(Some).ok_or(ErrorKind::Overloaded)
    }

    /// Refuses a request as long as what the journal held at the start may not survive a crash: the answer would
    /// rest on it where an event is known already.
    pub(crate) async fn check_settled(&self) -> Result<(), ErrorKind> {
        self.journal.settle().await.map_err(|error| {
            match error.kind() {
                ErrorKind::Poisoned => self.failure.report(error_chain(&error)),
                // Said once, when it was found.
                ErrorKind::Full => tracing::debug!(error = error_chain(&error), "a request was refused"),
                _ => tracing::warn!(error = error_chain(&error), "a request was refused"),
            }
            error.kind()
        })
    }

    /// What the journal calls the record with this number.
    pub(crate) fn id_of(&self, seq: Seq) -> RecordId {
        self.journal.id(seq)
    }

    /// Appends a batch. It goes on to its end when the caller goes away, because the record may become
    /// durable all the same.
    pub(crate) async fn append(&self, batch: PendingBatch) -> Result<Durable, ErrorKind> {
        let stage = self.clone();
        let task = tokio::spawn(async move { stage.run(batch).await });
        task.await.unwrap_or(Err(ErrorKind::Unavailable))
    }

    async fn run(self, batch: PendingBatch) -> Result<Durable, ErrorKind> {
        let share = self.take_share(&batch)?;
        let PendingBatch { admitted, stamp, reservation, quota, request } = batch;
        let appending = stamp.begin_append();
        let started = self.clock.monotonic();
        let result = self.journal.append(&admitted).await;
        appending.answered(result.as_ref().err().map(PortError::kind));
        drop(reservation);
        match result {
            Ok(id) => {
                self.metrics.appended(admitted.payload().len(), self.clock.monotonic().saturating_sub(started));
                let seq = self.journal.seq(id);
                if let Some((backlog, share)) = self.backlog.as_ref().zip(share) {
                    backlog.journaled(seq, share, self.clock.monotonic());
                }
                if let Some(quota) = quota {
                    quota.journaled(seq);
                }
                if let Some(request) = request {
                    request.journaled(seq);
                }
                Ok(Durable { seq })
            }
            Err(error) => {
                if let Some(quota) = quota.filter(|_| leaves_unknown(Some(error.kind()))) {
                    quota.in_doubt();
                }
                if error.kind() == ErrorKind::Poisoned {
                    self.failure.report(error_chain(&error));
                } else {
                    tracing::warn!(
                        error = error_chain(&error),
                        events = admitted.events(),
                        "a batch was not journaled"
                    );
                }
                Err(error.kind())
            }
        }
    }
}

/// Waits until a batch is visible that another process applies, as long as may be; none when it is not by then, or became
/// a dead letter.
pub(crate) async fn visible_elsewhere(
    scope: &TenantScope,
    id: RecordId,
    fates: &dyn Fates,
    longest: Duration,
) -> Option<Visible> {
    match fates.wait_for(scope, id, longest).await {
        Ok(Some(Fate::Applied(Some(outcomes)))) => Some(Visible::PerEvent(outcomes.into())),
        Ok(Some(Fate::Applied(None))) => Some(Visible::Forgotten),
        Ok(Some(Fate::DeadLettered(_)) | None) => None,
        Err(error) => {
            tracing::warn!(error = error_chain(&error), "whether events are visible cannot be told");
            None
        }
    }
}

/// Waits until a batch is visible. Never returns for one that became a dead letter.
pub(crate) async fn visible(durable: Durable, receipts: &Receipts) -> Visible {
    receipts.wait_for(durable.seq).await;
    match receipts.batch_outcome(durable.seq) {
        Some(BatchOutcome::Applied { outcomes: None, .. }) => Visible::AllCounted,
        Some(BatchOutcome::Applied { outcomes: Some(outcomes), .. }) => Visible::PerEvent(outcomes),
        Some(BatchOutcome::DeadLettered(_)) => std::future::pending().await,
        None => Visible::Forgotten,
    }
}
