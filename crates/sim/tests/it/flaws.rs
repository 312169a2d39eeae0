//! The simulation put to the test: a flaw is planted, and some seed has to find it, by the promise that it
//! breaks. Without a flaw everything here passes calls on.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::admit::{Admitted, Dimension};
use domain::event::EventId;
use domain::invariant::Invariant;
use domain::position::{EventPosition, RecordId, Seq};
use domain::tenant::{TenantId, TenantScope};
use domain::time::{TimeRange, Timestamp};
use journal::LocalJournal;
use ledger_embedded::EmbeddedLedger;
use ports::journal::{Backlog, Delivery, Journal, JournalHealth, OrderedJournal};
use ports::ledger::{AppliedRecords, Ledger, LedgerStats, Received, Sighting};
use ports::{ErrorKind, PortError};
use sim::{Action, Ending, Rules, Simulation, Workload};
use vfs::testing::SimVfs;
use vfs::{ReadFile, Vfs, WriteFile};

use crate::embedded::{Embedded, Setup, runtime};

/// A mistake that a storage engine can make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// A file's sync does nothing.
    FilesNotSynced,
    /// A folder's sync does nothing.
    FoldersNotSynced,
    /// An append is acknowledged though its sync has failed.
    AckedOverFailedSync,
    /// A record is acknowledged under the number of the one before.
    NumberGivenTwice,
    /// The journal is told that what is applied is durable.
    TrimmedWhenApplied,
    /// The worker acknowledges records before it applies them, and the journal forgets them.
    AckedBeforeApplied,
    /// A record that was applied is reported with other outcomes.
    DuplicatesCounted,
    /// Windows are closed before all that belongs to them is applied.
    ClosedTooEarly,
}

/// The world's disk.
pub(crate) fn flawed_disk(disk: &SimVfs, flaw: Option<Flaw>) -> Arc<dyn Vfs> {
    match flaw {
        Some(Flaw::FilesNotSynced | Flaw::FoldersNotSynced) => Arc::new(FlawedDisk { disk: disk.clone(), flaw }),
        _ => Arc::new(disk.clone()),
    }
}

#[derive(Debug)]
struct FlawedDisk {
    disk: SimVfs,
    flaw: Option<Flaw>,
}

impl FlawedDisk {
    fn wrap(&self, file: Box<dyn WriteFile>) -> Box<dyn WriteFile> {
        if self.flaw == Some(Flaw::FilesNotSynced) { Box::new(Unsynced(file)) } else { file }
    }
}

impl Vfs for FlawedDisk {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.disk.create_dir_all(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.disk.list(dir)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn WriteFile>> {
        self.disk.create(path).map(|file| self.wrap(file))
    }

    fn open_append(&self, path: &Path) -> io::Result<Box<dyn WriteFile>> {
        self.disk.open_append(path).map(|file| self.wrap(file))
    }

    fn open_read(&self, path: &Path) -> io::Result<Arc<dyn ReadFile>> {
        self.disk.open_read(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        if self.flaw == Some(Flaw::FoldersNotSynced) { Ok(()) } else { self.disk.sync_dir(dir) }
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        self.disk.free_bytes(dir)
    }
}

#[derive(Debug)]
struct Unsynced(Box<dyn WriteFile>);

impl WriteFile for Unsynced {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.append(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.0.truncate(len)
    }

    fn len(&self) -> u64 {
        self.0.len()
    }
}

/// The journal.
#[derive(Debug)]
pub(crate) struct FlawedJournal {
    pub(crate) journal: LocalJournal,
    pub(crate) flaw: Option<Flaw>,
}

#[async_trait]
impl Journal for FlawedJournal {
    async fn append(&self, admitted: &Admitted) -> Result<RecordId, PortError> {
        let answer = self.journal.append(admitted).await;
        match (self.flaw, answer) {
            (Some(Flaw::AckedOverFailedSync), Err(why)) if why.kind() == ErrorKind::Poisoned => {
                Ok(self.journal.last_durable().next().into())
            }
            (Some(Flaw::NumberGivenTwice), Ok(id)) => Ok(Seq(self.journal.seq(id).0.max(2) - 1).into()),
            (_, answer) => answer,
        }
    }

    async fn next(&self) -> Result<Vec<Delivery>, PortError> {
        let deliveries = self.journal.next().await?;
        if self.flaw == Some(Flaw::AckedBeforeApplied) {
            let ids: Vec<RecordId> = deliveries.iter().map(|delivery| delivery.id).collect();
            self.journal.ack(&ids).await;
            // As a broker does with what is acknowledged.
            self.journal.trim(self.journal.acked_through()).await?;
        }
        Ok(deliveries)
    }

    async fn ack(&self, ids: &[RecordId]) {
        self.journal.ack(ids).await;
    }

    async fn backlog(&self) -> Backlog {
        self.journal.backlog().await
    }

    async fn settle(&self) -> Result<(), PortError> {
        self.journal.settle().await
    }

    async fn health(&self) -> JournalHealth {
        self.journal.health().await
    }

    async fn close(&self) {
        self.journal.close().await;
    }
}

#[async_trait]
impl OrderedJournal for FlawedJournal {
    fn last_durable(&self) -> Seq {
        self.journal.last_durable()
    }

    fn acked_through(&self) -> Seq {
        self.journal.acked_through()
    }

    async fn part_after(&self, through: Seq) -> Result<(), PortError> {
        self.journal.part_after(through).await
    }

    fn first_kept(&self) -> Seq {
        self.journal.first_kept()
    }

    async fn trim(&self, flushed: Seq) -> Result<(), PortError> {
        let applied = self.journal.acked_through();
        self.journal.trim(if self.flaw == Some(Flaw::TrimmedWhenApplied) { applied } else { flushed }).await
    }
}

/// The ledger.
#[derive(Debug)]
pub(crate) struct FlawedLedger {
    pub(crate) ledger: Arc<EmbeddedLedger>,
    pub(crate) flaw: Option<Flaw>,
}

#[async_trait]
impl Ledger for FlawedLedger {
    fn cursor(&self) -> Seq {
        self.ledger.cursor()
    }

    fn applied(&self) -> Seq {
        self.ledger.applied()
    }

    async fn apply(&self, deliveries: &[Delivery]) -> AppliedRecords {
        let mut records = self.ledger.apply(deliveries).await;
        if self.flaw == Some(Flaw::DuplicatesCounted) {
            let outcomes = records.applied.iter_mut().flat_map(|applied| &mut applied.outcomes);
            outcomes.for_each(|outcome| *outcome = ports::ledger::Outcome::Fresh);
        }
        records
    }

    async fn dead_letter(&self, delivery: &Delivery, reason: &str) -> Result<(), PortError> {
        self.ledger.dead_letter(delivery, reason).await
    }

    async fn seen(&self, scope: &TenantScope, ids: &[EventId<'_>]) -> Vec<Option<Sighting>> {
        self.ledger.seen(scope, ids).await
    }

    async fn seen_exactly(&self, scope: &TenantScope, ids: &[EventId<'_>]) -> Result<Vec<Option<Sighting>>, PortError> {
        self.ledger.seen_exactly(scope, ids).await
    }

    fn holds_former_ids(&self) -> bool {
        self.ledger.holds_former_ids()
    }

    fn applied_position(&self) -> EventPosition {
        self.ledger.applied_position()
    }

    async fn close_through(&self, through: Timestamp) -> Result<(), PortError> {
        let ahead = Duration::from_secs(if self.flaw == Some(Flaw::ClosedTooEarly) { 120 } else { 0 });
        self.ledger.close_through(through.plus_micros(i64::try_from(ahead.as_micros()).unwrap())).await
    }

    async fn reopen_after(&self, closed: Timestamp) -> Result<(), PortError> {
        self.ledger.reopen_after(closed).await
    }

    fn closed_through(&self) -> Timestamp {
        self.ledger.closed_through()
    }

    async fn flush(&self) -> Result<Seq, PortError> {
        self.ledger.flush().await
    }

    async fn received(&self, scope: &TenantScope, range: TimeRange) -> Result<Received, PortError> {
        self.ledger.received(scope, range).await
    }

    async fn meter_customer(&self, scope: &TenantScope, customer: &str) -> Result<(), PortError> {
        self.ledger.meter_customer(scope, customer).await
    }

    fn names(&self) -> Vec<(TenantId, Dimension, String)> {
        self.ledger.names()
    }

    fn stats(&self) -> LedgerStats {
        self.ledger.stats()
    }
}

/// The promises by which the first seeds find the flaw.
fn found(flaw: Flaw) -> Vec<Invariant> {
    let runtime = runtime();
    let broken = |seed| {
        let rules = Rules { seed, ending: Ending::PowerLoss, troubled_starts: false, retention_days: None };
        let setup = Setup { flaw: Some(flaw), ..Setup::SMALL };
        // Groups form behind a sync, which some of the flaws leave out.
        let single = |action: &Action| !matches!(action, Action::SendTogether(..));
        let story = Workload::new(seed).filter(single).take(80);
        let played = runtime.block_on(Simulation::<Embedded>::run(rules, setup, story));
        played.err().map(|broken| broken.violation.invariant)
    };
    (0..8).filter_map(broken).collect()
}

#[test]
fn planted_flaws_are_found() {
    use Invariant::{HonestAck, Monotonic, NoAcknowledgedLoss, NoDoubleCount, SelfRecovery};
    for (flaw, promises) in [
        (Flaw::FilesNotSynced, &[NoAcknowledgedLoss, SelfRecovery][..]),
        (Flaw::FoldersNotSynced, &[NoAcknowledgedLoss, SelfRecovery]),
        (Flaw::AckedOverFailedSync, &[HonestAck]),
        (Flaw::NumberGivenTwice, &[NoAcknowledgedLoss]),
        (Flaw::TrimmedWhenApplied, &[NoAcknowledgedLoss, SelfRecovery]),
        (Flaw::AckedBeforeApplied, &[NoAcknowledgedLoss, SelfRecovery]),
        (Flaw::DuplicatesCounted, &[NoDoubleCount]),
        (Flaw::ClosedTooEarly, &[Monotonic]),
    ] {
        let found = found(flaw);
        assert!(found.iter().any(|promise| promises.contains(promise)), "{flaw:?} shows as {found:?}");
    }
}
