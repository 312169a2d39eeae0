//! A pipeline over twins, and how a test talks to it.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use domain::access::audit::Cause;
use domain::limits::Limits;
use domain::position::Seq;
use domain::record::{ReceiptTimes, RecordView};
use domain::time::{TimeRange, Timestamp};
use domain::window::WindowRule;
use pipeline::{
    EventResult, FairLimiter, IngestAnswer, IngestError, IngestRequest, IngestRole, LiveRole, Metrics, Pipeline,
    PipelineParts, ReadPorts, ReceiptState, Settings, Status, TrustedClock, WorkerRole,
};
use ports::catalog::Catalog;
use ports::clock::Clock;
use ports::journal::{Journal, OrderedJournal};
use ports::ledger::Ledger;
use ports::live::Live;
use ports::reports::{EventFilter, EventQuery, Order, Reports, StoredEvent, Window, WindowQuery};
use ports::testing::catalog::MemoryCatalog;
use ports::testing::clock::ManualClock;
use ports::testing::journal::{MemoryJournal, MemoryLog};
use ports::testing::ledger::MemoryLedger;
use ports::testing::ledger::records::scope;

use crate::twins::{FaultyLedger, FaultyLive, GatedJournal, LedgerFaults, ScriptedEncryption};

/// Longest that a test waits for a state before it fails.
const WAIT_MAX: Duration = Duration::from_secs(20);

/// When the clock of a new world starts: on a window boundary.
pub(crate) const START: Timestamp = Timestamp::from_micros(1_767_225_600_000_000);

pub(crate) struct World {
    log: MemoryLog,
    pub(crate) stored: Arc<MemoryLedger>,
    pub(crate) store: Arc<MemoryCatalog>,
    limits: Limits,
    pub(crate) journal: Arc<GatedJournal>,
    pub(crate) ledger: Arc<FaultyLedger>,
    pub(crate) live: Arc<FaultyLive>,
    /// The machine's clock.
    pub(crate) clock: Arc<ManualClock>,
    /// What the process believes of it.
    pub(crate) trusted: Arc<TrustedClock>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) encryption: Arc<ScriptedEncryption>,
    pub(crate) pipeline: Arc<Pipeline>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(Limits::default())
    }

    pub(crate) fn with(limits: Limits) -> Self {
        let stored = Arc::new(MemoryLedger::new(WindowRule::default()));
        let clock = Arc::new(ManualClock::new(START));
        let live = Arc::new(FaultyLive::new(1_800));
        Self::open(MemoryLog::default(), stored, Arc::default(), clock, limits, LedgerFaults::default(), live)
    }

    /// A new process over what the disk kept.
    pub(crate) fn restart(self, faults: LedgerFaults) -> Self {
        self.restart_with(faults, FaultyLive::new(1_800))
    }

    /// A new process over what the disk kept, with this live view.
    pub(crate) fn restart_with(self, faults: LedgerFaults, live: FaultyLive) -> Self {
        let Self { log, stored, store, clock, limits, pipeline, .. } = self;
        drop(pipeline);
        Self::open(log, stored, Arc::new(store.reopen()), clock, limits, faults, Arc::new(live))
    }

    fn open(
        log: MemoryLog,
        stored: Arc<MemoryLedger>,
        store: Arc<MemoryCatalog>,
        clock: Arc<ManualClock>,
        limits: Limits,
        faults: LedgerFaults,
        live: Arc<FaultyLive>,
    ) -> Self {
        let journal = MemoryJournal::open(log.clone(), stored.applied(), limits.backlog_bytes_max as u64).unwrap();
        let journal = Arc::new(GatedJournal::open_to_all(journal));
        let ledger = Arc::new(FaultyLedger::over(Arc::clone(&stored)));
        ledger.set(faults);
        let trusted = TrustedClock::start(clock.clone(), Some(stored.closed_through()), limits.clock_drift_us_max);
        let metrics = Arc::new(Metrics::new());
        let limiter = FairLimiter::new();
        let reads = ReadPorts::of(&stored, &limiter);
        let active_users = Arc::new(reads.active_users.clone());
        let live_port: Arc<dyn Live> = live.clone();
        let settings = Settings::new(store.clone(), active_users, ledger.clone(), trusted.clone(), Vec::new());
        let (settings, encryption) = (Arc::new(settings), Arc::new(ScriptedEncryption::default()));
        let parts = PipelineParts {
            ledger: ledger.clone(),
            clock: trusted.clone(),
            limits: limits.clone(),
            rule: WindowRule::default(),
            limiter,
            ingest: Some(IngestRole {
                journal: journal.clone(),
                reports: reads.reports,
                fates: None,
                settings: Arc::clone(&settings),
                encryption: encryption.clone(),
                key: [7; 16],
            }),
            worker: Some(WorkerRole { journal: journal.clone(), live: Arc::clone(&live_port) }),
            live: Some(LiveRole {
                live: live_port,
                reports: stored.clone(),
                catalog: store.clone(),
                references: store.clone(),
            }),
        };
        let pipeline = Pipeline::start(parts, Arc::clone(&metrics));
        Self {
            log,
            stored,
            store,
            limits,
            journal,
            ledger,
            live,
            clock,
            trusted,
            metrics,
            settings,
            encryption,
            pipeline,
        }
    }

    /// Registers tenants, as the configuration does.
    pub(crate) async fn ensure_tenants(&self, tenants: &[&str]) {
        let tenants: Vec<_> = tenants.iter().map(|tenant| scope(tenant).tenant().clone()).collect();
        self.store.ensure_tenants(&tenants, self.now(), &Cause::server()).await.unwrap();
    }

    /// Posts a JSON body for `tenant`.
    pub(crate) async fn post(&self, tenant: &str, body: &str) -> Result<IngestAnswer, IngestError> {
        self.send(tenant, request(body)).await
    }

    /// Posts a JSON body for `tenant` and waits until it is applied.
    pub(crate) async fn post_and_wait(&self, tenant: &str, body: &str) -> IngestAnswer {
        let answer = self.send(tenant, IngestRequest { wait: true, ..request(body) });
        let answer = within("the answer", answer).await.unwrap();
        assert!(answer.applied);
        answer
    }

    pub(crate) async fn send(&self, tenant: &str, request: IngestRequest) -> Result<IngestAnswer, IngestError> {
        self.pipeline.ingest().unwrap().ingest(&scope(tenant), request).await
    }

    pub(crate) async fn receipt(&self, tenant: &str, id: &str) -> Option<ReceiptState> {
        self.pipeline.ingest().unwrap().receipt(&scope(tenant), id).await.unwrap()
    }

    /// All events of `tenant`, oldest first.
    pub(crate) async fn events(&self, tenant: &str) -> Vec<StoredEvent> {
        let query = EventQuery {
            filter: EventFilter::default(),
            order: Order::Ascending,
            after: None,
            limit: usize::MAX,
            bytes_max: usize::MAX,
        };
        self.stored.events(&scope(tenant), &query).await.unwrap().rows
    }

    pub(crate) async fn ids(&self, tenant: &str) -> Vec<String> {
        let mut ids: Vec<String> = self.events(tenant).await.into_iter().map(|event| event.id).collect();
        ids.sort();
        ids
    }

    /// Waits until everything durable is applied, while time passes.
    pub(crate) async fn settle(&self) {
        eventually("everything is applied", || {
            self.clock.advance(Duration::from_millis(500));
            (self.journal.acked_through() == self.journal.last_durable()).then_some(())
        })
        .await;
    }

    /// Both stamps of each record that the journal still has.
    pub(crate) async fn stamps(&self) -> Vec<(Seq, ReceiptTimes)> {
        let records = self.records().await;
        records.iter().map(|(seq, payload)| (*seq, RecordView::parse(payload).unwrap().times())).collect()
    }

    /// Each record that the journal still has.
    pub(crate) async fn records(&self) -> Vec<(Seq, Bytes)> {
        let first = self.first_kept().filter(|first| *first <= self.durable());
        let Some(first) = first else { return Vec::new() };
        let journal = MemoryJournal::open(self.log.clone(), Seq(first.0 - 1), u64::MAX).unwrap();
        let mut records = Vec::new();
        while records.last().is_none_or(|(seq, _)| *seq < self.durable()) {
            for delivery in journal.next().await.unwrap() {
                records.push((journal.seq(delivery.id), delivery.payload));
            }
        }
        records
    }

    /// All windows of `tenant`, oldest first.
    pub(crate) async fn windows(&self, tenant: &str) -> Vec<Window> {
        let query = WindowQuery { customer: None, range: TimeRange::ALL, state: None, after: None, limit: usize::MAX };
        let mut windows = self.stored.windows(&scope(tenant), &query).await.unwrap().rows;
        windows.sort_by_key(|window| window.start);
        windows
    }

    pub(crate) fn durable(&self) -> Seq {
        self.journal.last_durable()
    }

    /// The first record that the journal still has: it can be opened before that one, not earlier.
    pub(crate) fn first_kept(&self) -> Option<Seq> {
        let opens = |after: &Seq| MemoryJournal::open(self.log.clone(), *after, u64::MAX).is_ok();
        (0..=self.durable().0).map(Seq).find(opens).map(Seq::next)
    }

    pub(crate) async fn not_ready(&self) -> Vec<&'static str> {
        self.pipeline
            .readiness()
            .await
            .iter()
            .filter(|check| check.required && !check.ok)
            .map(|check| check.name)
            .collect()
    }

    /// The value of the metric that is written like `series`.
    pub(crate) async fn metric(&self, series: &str) -> Option<f64> {
        let text = self.metrics.encode().await;
        text.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok())
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

/// Waits for `state`, looking again and again.
pub(crate) async fn eventually<T>(what: &str, mut state: impl FnMut() -> Option<T>) -> T {
    eventually_told(what, async || state()).await
}

/// Waits for a `state` that has to be asked for, asking again and again.
pub(crate) async fn eventually_told<T>(what: &str, mut state: impl AsyncFnMut() -> Option<T>) -> T {
    let looking = async {
        loop {
            if let Some(found) = state().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    within(what, looking).await
}

/// Fails when `future` takes longer than any machine needs.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(WAIT_MAX, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited in vain: {what}"),
    }
}

pub(crate) fn request(body: &str) -> IngestRequest {
    IngestRequest { body: Bytes::copy_from_slice(body.as_bytes()), ..IngestRequest::default() }
}

/// `n` events with ids `prefix`0, `prefix`1 and so on, as a JSON body.
pub(crate) fn batch(prefix: &str, n: usize) -> String {
    let events: Vec<String> = (0..n).map(|i| format!(r#"{{"id":"{prefix}{i}","customer":"c"}}"#)).collect();
    format!("[{}]", events.join(","))
}

/// A result in short: the id, the verdict and the code.
pub(crate) fn short(result: &EventResult) -> String {
    let status = match result.status {
        Status::Accepted => "accepted",
        Status::Duplicate => "duplicate",
        Status::Rejected => "rejected",
    };
    let parts = [result.event_id.as_deref().unwrap_or("-"), status, result.code.unwrap_or("")];
    parts.join(" ").trim_end().to_owned()
}

pub(crate) fn verdicts(answer: &IngestAnswer) -> Vec<String> {
    answer.results.iter().map(short).collect()
}
