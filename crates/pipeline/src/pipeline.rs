//! Everything that runs over the ports, wired up: the request path, the worker and the closer. The
//! only place that starts and ends them.

use std::future::Future;
use std::sync::Arc;

use domain::limits::{Limits, RECORD_EVENTS_MAX};
use domain::position::Seq;
use domain::tenant::{TenantId, TenantScope};
use domain::window::WindowRule;
use parking_lot::Mutex;
use ports::active_users::ActiveUsers;
use ports::analytics::Analytics;
use ports::catalog::{Catalog, TenantSettings};
use ports::clock::Clock;
use ports::journal::{JournalHealth, OrderedJournal};
use ports::ledger::Ledger;
use ports::live::Live;
use ports::queries::Queries;
use ports::references::References;
use ports::reports::Reports;
use ports::{ErrorKind, PortError};
use tokio::task::JoinHandle;

use crate::closer::Closer;
use crate::failure::{Failure, chain};
use crate::inflight::InFlight;
use crate::ingest::{Ingest, Space};
use crate::live::{Announcements, Announcer, LiveParts, LiveState, LiveView, Rebuild};
use crate::names::KnownNames;
use crate::receipts::{BatchOutcome, ReceiptKey, ReceiptState, Receipts};
use crate::references::ReferenceTables;
use crate::settings::Settings;
use crate::stage::Journaling;
use crate::stop::Stop;
use crate::telemetry::{Metrics, PortGauges};
use crate::worker::{self, Worker, WorkerHandle};

/// What a pipeline runs over.
#[derive(Debug, Clone)]
pub struct PipelineParts {
    /// Where accepted events become durable.
    pub journal: Arc<dyn OrderedJournal>,
    /// Where they become counted.
    pub ledger: Arc<dyn Ledger>,
    /// Answers questions about what is counted.
    pub reports: Arc<dyn Reports>,
    /// Answers who was active when.
    pub active_users: Arc<dyn ActiveUsers>,
    /// Answers sums over a range of time.
    pub analytics: Arc<dyn Analytics>,
    /// Runs structured queries.
    pub queries: Arc<dyn Queries>,
    /// The live view.
    pub live: Arc<dyn Live>,
    /// Where reference tables are kept.
    pub references: Arc<dyn References>,
    /// Who the tenants are and what they have decided.
    pub catalog: Arc<dyn Catalog>,
    /// What the catalog holds of their decisions.
    pub settings: Vec<(TenantId, TenantSettings)>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// All limits.
    pub limits: Limits,
    /// Length and grace of windows.
    pub rule: WindowRule,
    /// The secret key of the data folder, which receipts are made with.
    pub key: [u8; 16],
}

/// One line of the answer to "can it serve".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What was checked: `journal`, `ledger` or `live`.
    pub name: &'static str,
    /// Whether it can serve.
    pub ok: bool,
    /// Whether nothing is served without it.
    pub required: bool,
    /// Why not, or `ready`.
    pub message: String,
}

impl Check {
    fn of(name: &'static str, problem: Option<String>) -> Self {
        Self { name, ok: problem.is_none(), required: true, message: problem.unwrap_or_else(|| "ready".to_owned()) }
    }
}

/// The running pipeline. Dropping it ends everything at once, as a crash would; see
/// [`Pipeline::shutdown`] for the gentle end.
#[derive(Debug)]
pub struct Pipeline {
    parts: PipelineParts,
    ingest: Ingest,
    live: LiveView,
    tables: ReferenceTables,
    receipts: Arc<Receipts>,
    settings: Arc<Settings>,
    key: ReceiptKey,
    failure: Failure,
    stop: Stop,
    worker: WorkerHandle,
    closer: Mutex<Option<JoinHandle<()>>>,
    replay_until: Seq,
}

impl Pipeline {
    /// Starts the worker thread and the closer task; has to be called inside a tokio runtime. A
    /// worker that cannot be started is reported by [`Pipeline::failed`].
    pub fn start(mut parts: PipelineParts, metrics: Arc<Metrics>) -> Arc<Self> {
        parts.limits.batch_events_max = parts.limits.batch_events_max.min(RECORD_EVENTS_MAX);
        let PipelineParts { journal, ledger, active_users, catalog, clock, limits, rule, .. } = parts.clone();
        let stored = std::mem::take(&mut parts.settings);
        let (failure, stop) = (Failure::new(), Stop::new());
        let settings = Arc::new(Settings::new(catalog, active_users, clock.clone(), stored, stop.signal()));
        let replay_until = journal.last_durable();
        let receipts = Arc::new(Receipts::new(ledger.applied()));
        let in_flight = InFlight::new(ledger.closed_through());
        let names = Arc::new(KnownNames::new(&limits));
        names.resume(ledger.names());
        let live_state = Arc::<LiveState>::default();
        observe_ports(&metrics, &parts, &live_state);
        let announcements = Arc::new(Announcements::new(Arc::clone(&ledger), rule));
        let key = ReceiptKey::new(parts.key);
        let worker = Worker {
            journal: journal.clone(),
            ledger: ledger.clone(),
            clock: clock.clone(),
            receipts: receipts.clone(),
            names: names.clone(),
            metrics: metrics.clone(),
            live: Arc::clone(&parts.live),
            announcements: announcements.clone(),
            stop: stop.signal(),
            replay_until,
        };
        let tables = ReferenceTables::new(Arc::clone(&parts.references), Arc::clone(&parts.live), clock.clone());
        let live = start_live(&parts, &stop, &receipts, &tables, live_state, announcements);
        let space = Space::new(&limits);
        let ingest = Ingest {
            journaling: journaling(&parts, &metrics, &failure),
            ledger,
            clock,
            metrics,
            names,
            settings: settings.clone(),
            in_flight,
            receipts: receipts.clone(),
            key: key.clone(),
            space,
            limits,
        };
        let worker = worker::spawn(worker, failure.clone());
        let closer = Closer {
            journal: parts.journal.clone(),
            ledger: parts.ledger.clone(),
            clock: parts.clock.clone(),
            in_flight: ingest.in_flight.clone(),
            receipts: receipts.clone(),
            rule,
            failure: failure.clone(),
        };
        let closer = Mutex::new(Some(tokio::spawn(closer.run(stop.signal()))));
        Arc::new(Self {
            parts,
            ingest,
            live,
            tables,
            receipts,
            settings,
            key,
            failure,
            stop,
            worker,
            closer,
            replay_until,
        })
    }

    /// The request path.
    pub fn ingest(&self) -> &Ingest {
        &self.ingest
    }

    /// Questions about what is applied.
    pub fn reports(&self) -> &dyn Reports {
        &*self.parts.reports
    }

    /// Who was active when.
    pub fn active_users(&self) -> &dyn ActiveUsers {
        &*self.parts.active_users
    }

    /// Sums over a range of time.
    pub fn analytics(&self) -> &dyn Analytics {
        &*self.parts.analytics
    }

    /// What the tenants have decided for themselves.
    pub fn settings(&self) -> &Arc<Settings> {
        &self.settings
    }

    /// Structured queries.
    pub fn queries(&self) -> &dyn Queries {
        &*self.parts.queries
    }

    /// The live view.
    pub fn live(&self) -> &LiveView {
        &self.live
    }

    /// The reference tables that the live view is enriched with.
    pub fn reference_tables(&self) -> &ReferenceTables {
        &self.tables
    }

    /// What became of the batch with this receipt; `None` when this tenant was given no such
    /// receipt (I5).
    ///
    /// # Errors
    /// As [`Reports::dead_letter_reason`].
    pub async fn receipt(&self, scope: &TenantScope, id: &str) -> Result<Option<ReceiptState>, PortError> {
        let Some(seq) = self.key.read(scope, id) else { return Ok(None) };
        if seq > self.receipts.applied() {
            return Ok(Some(ReceiptState::Queued));
        }
        if let Some(BatchOutcome::Applied { accepted, duplicates, .. }) = self.receipts.batch_outcome(seq) {
            return Ok(Some(ReceiptState::Applied { accepted: Some(accepted), duplicates: Some(duplicates) }));
        }
        let dead_letter = self.parts.reports.dead_letter_reason(scope, seq).await?;
        Ok(Some(match dead_letter {
            Some(reason) => ReceiptState::DeadLettered { reason },
            None => ReceiptState::Applied { accepted: None, duplicates: None },
        }))
    }

    /// Whether requests can be served: what the journal says, and whether the ledger has caught up
    /// with everything that was durable at the start and is still being fed. The live view has a line
    /// of its own, without which all else can be served.
    pub async fn readiness(&self) -> Vec<Check> {
        vec![
            Check::of("journal", self.journal_problem().await),
            Check::of("ledger", self.ledger_problem()),
            Check { required: false, ..Check::of("live", self.live.problem()) },
        ]
    }

    async fn journal_problem(&self) -> Option<String> {
        match self.parts.journal.health().await {
            JournalHealth::Ready => {}
            JournalHealth::Full => return Some("the disk is full".to_owned()),
            JournalHealth::Poisoned(reason) => return Some(format!("a sync failed, restart needed: {reason}")),
            JournalHealth::Closed => return Some("closed".to_owned()),
        }
        let (bytes, limit) = (self.parts.journal.backlog().await.bytes, self.parts.limits.backlog_bytes_max);
        (bytes >= limit as u64).then(|| format!("{bytes} bytes wait to be applied, the limit is {limit}"))
    }

    /// Whether what was durable at start is not all visible yet. Until it is, answers would show less
    /// than was shown before the restart (I10).
    pub fn is_replaying(&self) -> bool {
        self.receipts.applied() < self.replay_until
    }

    fn ledger_problem(&self) -> Option<String> {
        if let Some(reason) = self.failure.reason() {
            return Some(reason);
        }
        if !self.worker.is_alive() {
            return Some("the worker has ended".to_owned());
        }
        let (applied, all) = (self.receipts.applied(), self.replay_until);
        self.is_replaying().then(|| format!("replaying the journal: record {applied} of {all}"))
    }

    /// Resolves, with the reason, when the process must end with an error: after a failed sync, or
    /// when stored data is not what was written.
    pub fn failed(&self) -> impl Future<Output = String> + Send + use<> {
        self.failure.wait()
    }

    /// Length and grace of windows.
    pub fn rule(&self) -> WindowRule {
        self.parts.rule
    }

    /// The time.
    pub fn clock(&self) -> &dyn Clock {
        &*self.parts.clock
    }

    /// All limits.
    pub fn limits(&self) -> &Limits {
        &self.parts.limits
    }

    /// Closes the journal, applies what it still holds, and makes everything durable in the ledger,
    /// so that the next start has nothing to replay.
    ///
    /// # Errors
    /// When the rest could not be applied or made durable. Nothing acknowledged is lost: the next
    /// start goes on where this one ended.
    pub async fn shutdown(&self) -> Result<(), PortError> {
        self.stop.drain();
        let closer = self.closer.lock().take();
        if let Some(closer) = closer {
            // An error means that the task panicked, which ends it too.
            let _ = closer.await;
        }
        self.parts.journal.close().await;
        self.worker.join().await;
        if let Some(reason) = self.failure.reason() {
            return Err(PortError::new(ErrorKind::Unavailable, "apply the rest of the journal").because(reason));
        }
        let flushed = self.parts.ledger.flush().await?;
        if let Err(error) = self.parts.journal.trim(flushed).await {
            tracing::warn!(error = chain(&error), "the journal was not trimmed; the next start will");
        }
        Ok(())
    }
}

fn observe_ports(metrics: &Metrics, parts: &PipelineParts, live_state: &Arc<LiveState>) {
    metrics.observe_ports(PortGauges {
        journal: Arc::downgrade(&parts.journal),
        backlog: Mutex::default(),
        ledger: Arc::downgrade(&parts.ledger),
        live: Arc::downgrade(&parts.live),
        live_state: Arc::downgrade(live_state),
    });
}

fn journaling(parts: &PipelineParts, metrics: &Arc<Metrics>, failure: &Failure) -> Journaling {
    Journaling {
        journal: parts.journal.clone(),
        clock: parts.clock.clone(),
        metrics: metrics.clone(),
        failure: failure.clone(),
    }
}

/// Starts what reads the recent past and what announces windows.
fn start_live(
    parts: &PipelineParts,
    stop: &Stop,
    receipts: &Arc<Receipts>,
    tables: &ReferenceTables,
    state: Arc<LiveState>,
    announcements: Arc<Announcements>,
) -> LiveView {
    let replay_until = parts.journal.last_durable();
    let rebuild = Rebuild {
        live: Arc::clone(&parts.live),
        reports: Arc::clone(&parts.reports),
        catalog: Arc::clone(&parts.catalog),
        clock: Arc::clone(&parts.clock),
        tables: tables.clone(),
        state: Arc::clone(&state),
        applied: parts.ledger.applied_position(),
        future_us_max: parts.limits.future_us_max,
    };
    tokio::spawn(rebuild.run(stop.signal()));
    let announcer = Announcer {
        announcements: Arc::clone(&announcements),
        reports: Arc::clone(&parts.reports),
        clock: Arc::clone(&parts.clock),
        receipts: Arc::clone(receipts),
        replay_until,
    };
    tokio::spawn(announcer.run(stop.signal()));
    LiveView::new(LiveParts {
        live: Arc::clone(&parts.live),
        clock: Arc::clone(&parts.clock),
        receipts: Arc::clone(receipts),
        replay_until,
        state,
        announcements,
        stop: stop.signal(),
    })
}
