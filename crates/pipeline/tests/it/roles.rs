//! The roles of a process, each started alone over what another process left.

use std::sync::Arc;

use domain::access::audit::Cause;
use domain::limits::{Limits, READS_AT_ONCE_MAX};
use domain::position::Seq;
use domain::window::WindowRule;
use live::MemoryLive;
use pipeline::{
    FairLimiter, IngestRequest, IngestRole, LiveRole, Metrics, Pipeline, PipelineParts, ReadPorts, ReceiptState,
    Settings, WorkClass, WorkerRole,
};
use ports::ErrorKind;
use ports::catalog::Catalog;
use ports::clock::Clock;
use ports::encryption::NoEncryption;
use ports::journal::{Journal, OrderedJournal};
use ports::ledger::Ledger;
use ports::receipts::Receipts;
use ports::testing::catalog::MemoryCatalog;
use ports::testing::clock::ManualClock;
use ports::testing::journal::{MemoryJournal, MemoryLog};
use ports::testing::ledger::MemoryLedger;
use ports::testing::ledger::records::scope;

use crate::world::{START, batch, eventually, request, within};

/// What outlives processes.
struct Disk {
    log: MemoryLog,
    ledger: Arc<MemoryLedger>,
    store: Arc<MemoryCatalog>,
    clock: Arc<ManualClock>,
}

impl Disk {
    fn new() -> Self {
        Self {
            log: MemoryLog::default(),
            ledger: Arc::new(MemoryLedger::new(WindowRule::default())),
            store: Arc::default(),
            clock: Arc::new(ManualClock::new(START)),
        }
    }

    fn journal(&self) -> Arc<MemoryJournal> {
        Arc::new(MemoryJournal::open(self.log.clone(), self.ledger.applied(), u64::MAX).unwrap())
    }

    fn idle(&self) -> PipelineParts {
        PipelineParts {
            ledger: self.ledger.clone(),
            clock: self.clock.clone(),
            limits: Limits::default(),
            rule: WindowRule::default(),
            limiter: FairLimiter::new(),
            ingest: None,
            worker: None,
            live: None,
        }
    }

    fn ingest(&self, journal: Arc<MemoryJournal>) -> Arc<Pipeline> {
        self.ingest_told_by(journal, None)
    }

    fn ingest_told_by(&self, journal: Arc<MemoryJournal>, fates: Option<Arc<dyn Receipts>>) -> Arc<Pipeline> {
        let parts = self.idle();
        let reads = ReadPorts::of(&self.ledger, &parts.limiter);
        let days = Arc::new(reads.active_users.clone());
        let ledger = self.ledger.clone();
        let settings = Settings::new(self.store.clone(), days, ledger, self.clock.clone(), Vec::new());
        let settings = Arc::new(settings);
        let ingest = IngestRole {
            journal,
            reports: reads.reports,
            fates,
            settings,
            encryption: Arc::new(NoEncryption),
            key: [7; 16],
        };
        Pipeline::start(PipelineParts { ingest: Some(ingest), ..parts }, Arc::new(Metrics::new()))
    }

    fn worker(&self, journal: Arc<MemoryJournal>) -> Arc<Pipeline> {
        let worker = WorkerRole { journal, live: Arc::new(MemoryLive::new(1_800)) };
        Pipeline::start(PipelineParts { worker: Some(worker), ..self.idle() }, Arc::new(Metrics::new()))
    }

    fn live(&self, limiter: &FairLimiter) -> Arc<Pipeline> {
        let live = LiveRole {
            live: Arc::new(MemoryLive::new(1_800)),
            reports: self.ledger.clone(),
            catalog: self.store.clone(),
            references: self.store.clone(),
        };
        Pipeline::start(
            PipelineParts { live: Some(live), limiter: limiter.clone(), ..self.idle() },
            Arc::new(Metrics::new()),
        )
    }
}

async fn lines(pipeline: &Pipeline) -> Vec<(&'static str, bool)> {
    pipeline.readiness().await.iter().map(|check| (check.name, check.ok)).collect()
}

#[tokio::test]
async fn each_role_runs_alone() {
    let disk = Disk::new();
    let tenant = scope("acme");
    disk.store.ensure_tenants(&[tenant.tenant().clone()], disk.clock.now(), &Cause::server()).await.unwrap();

    let journal = disk.journal();
    let takes = disk.ingest(journal.clone());
    let answer = takes.ingest().unwrap().ingest(&tenant, request(&batch("e", 3))).await.unwrap();
    assert_eq!(answer.results.len(), 3);
    assert_eq!(
        (journal.last_durable(), journal.backlog().await.records),
        (Seq(1), 1),
        "I8: durable, and in the backlog"
    );
    assert_eq!(disk.ledger.applied(), Seq::ZERO);
    let receipt = answer.receipt.unwrap();
    assert_eq!(takes.ingest().unwrap().receipt(&tenant, &receipt).await.unwrap(), Some(ReceiptState::Queued));
    assert_eq!(lines(&takes).await, [("journal", true), ("ledger", true), ("clock", true)]);
    assert_eq!(takes.live().unwrap_err().kind(), ErrorKind::Unavailable);
    within("the end of ingest", takes.shutdown()).await.unwrap();
    assert_eq!(disk.ledger.applied(), Seq::ZERO, "what it took waits for a worker");

    let applies = disk.worker(disk.journal());
    eventually("the record is applied", || (disk.ledger.applied() == Seq(1)).then_some(())).await;
    eventually("nothing is left to replay", || (!applies.is_replaying()).then_some(())).await;
    assert_eq!(lines(&applies).await, [("journal", true), ("ledger", true), ("clock", true)]);
    assert_eq!(applies.ingest().unwrap_err().kind(), ErrorKind::Unavailable);
    within("the end of the worker", applies.shutdown()).await.unwrap();
    assert_eq!(disk.ledger.cursor(), Seq(1), "what it applied is durable");

    // Of the gate's permits to read none is left: what the server reads of itself needs none (I6).
    let limiter = FairLimiter::new();
    let mut reads = Vec::new();
    for other in ["a", "b"] {
        for _ in 0..READS_AT_ONCE_MAX / 2 {
            reads.push(limiter.admit(WorkClass::Read, scope(other).tenant()).await.unwrap());
        }
    }
    let shows = disk.live(&limiter);
    eventually("the live view is whole", || shows.live().unwrap().problem().is_none().then_some(())).await;
    assert_eq!(shows.live().unwrap().window(&tenant, 1_800).await.unwrap().events, 3);
    assert_eq!(lines(&shows).await, [("ledger", true), ("live", true), ("clock", true)]);
    within("the end of the live view", shows.shutdown()).await.unwrap();
}

#[tokio::test]
async fn without_a_worker_nothing_is_replayed_and_nobody_is_told_applied() {
    let disk = Disk::new();
    let takes = disk.ingest(disk.journal());
    takes.ingest().unwrap().ingest(&scope("acme"), request(&batch("e", 1))).await.unwrap();
    within("the end", takes.shutdown()).await.unwrap();
    let takes = disk.ingest(disk.journal());
    assert!(!takes.is_replaying(), "another process applies what is in the journal");
    let waits = IngestRequest { wait: true, ..request(&batch("f", 1)) };
    let ingest = takes.ingest().unwrap();
    let tenant = scope("acme");
    let answering = ingest.ingest(&tenant, waits);
    tokio::pin!(answering);
    let answer = loop {
        tokio::select! {
            biased;
            answer = &mut answering => break answer.unwrap(),
            () = tokio::task::yield_now() => disk.clock.advance(std::time::Duration::from_secs(1)),
        }
    };
    assert!(!answer.applied);
}

#[tokio::test]
async fn what_another_process_applies_is_told_by_a_ledger_that_tells_of_it() {
    let (disk, tenant) = (Disk::new(), scope("acme"));
    disk.store.ensure_tenants(&[tenant.tenant().clone()], disk.clock.now(), &Cause::server()).await.unwrap();
    let journal = disk.journal();
    let takes = disk.ingest_told_by(journal.clone(), Some(disk.ledger.clone()));
    let waiting = tokio::spawn({
        let (takes, tenant) = (Arc::clone(&takes), tenant.clone());
        async move {
            let waits = IngestRequest { wait: true, ..request(&batch("e", 3)) };
            takes.ingest().unwrap().ingest(&tenant, waits).await.unwrap()
        }
    });
    eventually("it is journaled", || (journal.last_durable() == Seq(1)).then_some(())).await;
    let applies = disk.worker(journal);
    let answer = within("the answer", waiting).await.unwrap();
    assert!(answer.applied);
    let counted = ReceiptState::Applied { accepted: Some(3), duplicates: Some(0), erased: Some(0) };
    let receipt = answer.receipt.unwrap();
    assert_eq!(takes.ingest().unwrap().receipt(&tenant, &receipt).await.unwrap(), Some(counted.clone()));
    within("the end of ingest", takes.shutdown()).await.unwrap();
    within("the end of the worker", applies.shutdown()).await.unwrap();
    let again = disk.ingest_told_by(disk.journal(), Some(disk.ledger.clone()));
    assert_eq!(again.ingest().unwrap().receipt(&tenant, &receipt).await.unwrap(), Some(counted), "after a restart too");
}
