//! Bulk loads: events that are read from a file on this machine, by the same admission and through the
//! same journal as requests. Differs from a request in three ways: the batch is built event by event
//! while the file is read; nothing is looked up before the journal, since the ledger's verdict is
//! awaited anyway; and no event is too late, because a file of the past is what loads are for.

use std::sync::Arc;
use std::time::Duration;

use domain::admit::{Admission, AdmissionContext};
use domain::encryption::FieldEncryption;
use domain::event::Candidate;
use domain::limits::{Limits, RECORD_EVENTS_MAX};
use domain::rejection::{RejectCode, Rejection};
use domain::tenant::TenantScope;
use domain::warning::Warning;

use super::{Ingest, IngestError};
use crate::inflight::Stamp;
use crate::names::TenantNames;
use crate::receipts::BatchOutcome;
use crate::stage::{Durable, PendingBatch};

/// Wait for room in the backlog before the next look.
const ROOM_WAIT: Duration = Duration::from_millis(5);

/// Builds batches for one tenant.
#[derive(Debug)]
pub struct Loader<'i> {
    ingest: &'i Ingest,
    scope: &'i TenantScope,
    limits: Limits,
    names: Arc<TenantNames>,
    encryption: Option<Arc<FieldEncryption>>,
    strict: bool,
}

/// A batch being built.
#[derive(Debug)]
pub struct LoadBatch<'l> {
    loader: &'l Loader<'l>,
    admission: Admission<'l>,
    stamp: Stamp,
    events: usize,
}

/// A batch that is complete.
#[derive(Debug)]
pub struct LoadedBatch(PendingBatch);

/// A batch that is durable.
#[derive(Debug, Clone, Copy)]
pub struct LoadedDurably(Durable);

/// What became of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoadedOutcome {
    /// It was applied.
    Applied {
        /// Events that were counted.
        accepted: u64,
        /// Events whose id was counted before, also if what was counted has been erased.
        duplicates: u64,
    },
    /// It could not be applied and is kept among the dead letters: nothing of it is counted.
    DeadLettered {
        /// Why.
        reason: Arc<str>,
    },
}

impl Ingest {
    /// A loader of events of `scope`, which refuses those that look like a mistake if it is `strict`.
    pub fn loader<'i>(&'i self, scope: &'i TenantScope, strict: bool) -> Loader<'i> {
        let limits = Limits { lateness_us_max: None, ..self.settings.limits(scope, &self.limits) };
        Loader {
            ingest: self,
            scope,
            limits,
            names: self.names.of(scope.tenant()),
            encryption: self.encryption.of(scope),
            strict,
        }
    }

    /// Makes a batch durable; waits while the backlog is over its limit, and while the time is in doubt.
    ///
    /// # Errors
    /// [`IngestError`] when the journal does not take it; nothing of it was acknowledged then.
    pub async fn append_loaded(&self, batch: LoadedBatch) -> Result<LoadedDurably, IngestError> {
        while self.clock.doubt().is_some() || self.journaling.check_room(&self.limits).await.is_err() {
            if self.journaling.failure.reason().is_some() {
                return Err(IngestError::Unavailable);
            }
            self.clock.sleep(ROOM_WAIT).await;
        }
        Ok(LoadedDurably(self.journaling.append(batch.0).await.map_err(IngestError::from)?))
    }

    /// Waits until a batch is applied or given up, and says what became of it.
    ///
    /// # Errors
    /// [`IngestError::Unavailable`] when that is forgotten, because too many batches came after it.
    pub async fn outcome_of_loaded(&self, LoadedDurably(durable): LoadedDurably) -> Result<LoadedOutcome, IngestError> {
        self.receipts.wait_for(durable.seq()).await;
        match self.receipts.batch_outcome(durable.seq()) {
            Some(BatchOutcome::Applied { accepted, duplicates, erased, .. }) => {
                Ok(LoadedOutcome::Applied { accepted, duplicates: duplicates + erased })
            }
            Some(BatchOutcome::DeadLettered(reason)) => Ok(LoadedOutcome::DeadLettered { reason }),
            None => Err(IngestError::Unavailable),
        }
    }
}

impl Loader<'_> {
    /// Begins a batch whose record will take about `capacity` bytes.
    pub fn batch(&self, capacity: usize) -> LoadBatch<'_> {
        let stamp = self.ingest.in_flight.enter(self.ingest.clock.now());
        let context = AdmissionContext {
            scope: self.scope,
            limits: &self.limits,
            hasher: &self.ingest.payload_hasher,
            times: stamp.times(),
            request: None,
            strict: self.strict,
            former_ids: self.ingest.holds_former_ids(),
            project: None,
            encryption: self.encryption.as_ref(),
        };
        let admission = Admission::new(context, capacity);
        LoadBatch { loader: self, admission, stamp, events: 0 }
    }
}

impl LoadBatch<'_> {
    /// Takes one event; `assign_id` makes an id when it has none. It must not be full. Says what looks like a mistake
    /// in the event.
    ///
    /// # Errors
    /// Why it is not taken.
    pub fn take<'c>(
        &mut self,
        candidate: &'c Candidate<'c>,
        assign_id: impl FnOnce() -> String,
    ) -> Result<Vec<Warning<'c>>, Rejection> {
        debug_assert!(!self.is_full());
        let ingest = self.loader.ingest;
        let mut names = ingest.names.begin_check(&self.loader.names);
        let checked = self.admission.check(candidate, &mut names, assign_id);
        names.decided(checked.is_ok());
        drop(names);
        let checked = checked?;
        let event = checked.view();
        if ingest.ledger.refuses(self.loader.scope, event.customer, event.user) {
            return Err(Rejection::whole(
                RejectCode::Erased,
                "its user or customer was erased and is not to come again",
            ));
        }
        self.admission.push(&checked);
        self.events += 1;
        Ok(checked.into_warnings())
    }

    /// How many events it holds.
    pub fn events(&self) -> usize {
        self.events
    }

    /// Whether it can take no more.
    pub fn is_full(&self) -> bool {
        self.events >= RECORD_EVENTS_MAX
    }

    /// The batch, or `None` when it holds nothing.
    pub fn finish(self) -> Option<LoadedBatch> {
        let admitted = self.admission.finish()?;
        Some(LoadedBatch(PendingBatch { admitted, stamp: self.stamp, reservation: None, quota: None, request: None }))
    }
}
