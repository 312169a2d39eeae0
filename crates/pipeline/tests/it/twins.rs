//! Twins with switches: a journal whose appends can be held, and a ledger that can refuse, hold or
//! panic, and that keeps a log of what it was asked.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use domain::admit::{Admitted, Dimension};
use domain::position::Seq;
use domain::tenant::{TenantId, TenantScope};
use domain::time::Timestamp;
use parking_lot::Mutex;
use ports::journal::{Backlog, Entry, Journal, JournalHealth};
use ports::ledger::{Batch, Ledger, LedgerStats, Sighting};
use ports::testing::journal::MemoryJournal;
use ports::testing::ledger::MemoryLedger;
use ports::{ErrorKind, PortError};
use tokio::sync::Semaphore;

/// More appends than any test makes.
const UNHELD: usize = 1 << 30;

/// A journal that appends only as often as it is let.
#[derive(Debug)]
pub(crate) struct GatedJournal {
    inner: MemoryJournal,
    permits: Semaphore,
}

impl GatedJournal {
    pub(crate) fn open_to_all(inner: MemoryJournal) -> Self {
        Self { inner, permits: Semaphore::new(UNHELD) }
    }

    pub(crate) fn inner(&self) -> &MemoryJournal {
        &self.inner
    }

    /// Holds every further append.
    pub(crate) fn hold(&self) {
        self.permits.forget_permits(usize::MAX);
    }

    /// Lets one append that is held go on.
    pub(crate) fn release_one(&self) {
        self.permits.add_permits(1);
    }

    /// Ends [`GatedJournal::hold`].
    pub(crate) fn release(&self) {
        self.permits.add_permits(UNHELD);
    }
}

#[async_trait]
impl Journal for GatedJournal {
    async fn append(&self, admitted: &Admitted) -> Result<Seq, PortError> {
        self.permits.acquire().await.unwrap().forget();
        self.inner.append(admitted).await
    }

    async fn next(&self) -> Result<Vec<Entry>, PortError> {
        self.inner.next().await
    }

    fn ack(&self, applied: Seq) {
        self.inner.ack(applied);
    }

    async fn trim(&self, flushed: Seq) -> Result<(), PortError> {
        self.inner.trim(flushed).await
    }

    fn backlog(&self) -> Backlog {
        self.inner.backlog()
    }

    fn health(&self) -> JournalHealth {
        self.inner.health()
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}

/// What a [`FaultyLedger`] does wrong.
#[derive(Debug, Clone, Default)]
pub(crate) struct LedgerFaults {
    /// Every apply fails like this.
    pub(crate) refuse: Option<ErrorKind>,
    /// These records can never be applied.
    pub(crate) poison: BTreeSet<Seq>,
    /// Burying fails.
    pub(crate) refuse_burial: bool,
    /// The next apply panics.
    pub(crate) panic: bool,
    /// It says of itself that only a restart can help.
    pub(crate) broken: Option<ErrorKind>,
    /// At most this many records are applied per call.
    pub(crate) at_once_max: Option<usize>,
}

/// A ledger with faults; without any it is the ledger it was made from.
#[derive(Debug)]
pub(crate) struct FaultyLedger {
    inner: Arc<MemoryLedger>,
    faults: Mutex<LedgerFaults>,
    /// Records that were handed in again after they had been refused for their own sake.
    attempts: Mutex<Vec<Seq>>,
    /// Each closing, with what was applied at that moment.
    closings: Mutex<Vec<(Timestamp, Seq)>>,
}

impl FaultyLedger {
    pub(crate) fn over(inner: Arc<MemoryLedger>) -> Self {
        Self { inner, faults: Mutex::default(), attempts: Mutex::default(), closings: Mutex::default() }
    }

    pub(crate) fn set(&self, faults: LedgerFaults) {
        *self.faults.lock() = faults;
    }

    /// Attempts at poison records.
    pub(crate) fn attempts(&self) -> Vec<Seq> {
        self.attempts.lock().clone()
    }

    pub(crate) fn closings(&self) -> Vec<(Timestamp, Seq)> {
        self.closings.lock().clone()
    }
}

#[async_trait]
impl Ledger for FaultyLedger {
    fn cursor(&self) -> Seq {
        self.inner.cursor()
    }

    fn applied(&self) -> Seq {
        self.inner.applied()
    }

    async fn apply(&self, entries: &[Entry]) -> Batch {
        let faults = self.faults.lock().clone();
        assert!(!faults.panic, "asked to panic");
        if let Some(kind) = faults.refuse {
            return Batch { applied: Vec::new(), failed: Some(PortError::new(kind, "apply, as asked")) };
        }
        let entries = &entries[..entries.len().min(faults.at_once_max.unwrap_or(usize::MAX))];
        let healthy = entries.iter().take_while(|entry| !faults.poison.contains(&entry.seq)).count();
        let mut batch = self.inner.apply(&entries[..healthy]).await;
        if let Some(poison) = entries.get(healthy) {
            self.attempts.lock().push(poison.seq);
            batch.failed = Some(PortError::new(ErrorKind::Unacceptable, "read the record").because("it is poison"));
        }
        batch
    }

    async fn dead_letter(&self, entry: &Entry, reason: &str) -> Result<(), PortError> {
        if self.faults.lock().refuse_burial {
            return Err(PortError::new(ErrorKind::Unavailable, "store a dead letter, as asked"));
        }
        self.inner.dead_letter(entry, reason).await
    }

    fn seen(&self, scope: &TenantScope, ids: &[&str]) -> Vec<Option<Sighting>> {
        self.inner.seen(scope, ids)
    }

    async fn close_through(&self, through: Timestamp) -> Result<(), PortError> {
        self.closings.lock().push((through, self.inner.applied()));
        self.inner.close_through(through).await
    }

    fn closed_through(&self) -> Timestamp {
        self.inner.closed_through()
    }

    async fn flush(&self) -> Result<Seq, PortError> {
        self.inner.flush().await
    }

    fn names(&self) -> Vec<(TenantId, Dimension, String)> {
        self.inner.names()
    }

    fn failure(&self) -> Option<ErrorKind> {
        self.faults.lock().broken
    }

    fn stats(&self) -> LedgerStats {
        self.inner.stats()
    }
}
