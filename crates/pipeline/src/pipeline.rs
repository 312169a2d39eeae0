//! Starts and ends the roles of one process, and says whether they can serve. Knows no question and
//! answers none.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use domain::limits::{Limits, RECORD_EVENTS_MAX};
use domain::position::Seq;
use domain::tenant::TenantScope;
use domain::trusted_time::ClockDoubt;
use domain::window::WindowRule;
use parking_lot::Mutex;
use ports::clock::Clock;
use ports::journal::{JournalHealth, OrderedJournal};
use ports::ledger::{Ledger, RetentionNotice};
use ports::live::Live;
use ports::{ErrorKind, PortError};
use tokio::task::JoinHandle;

use crate::failure::FatalError;
use crate::gate::FairLimiter;
use crate::inflight::InFlight;
use crate::ingest::Ingest;
use crate::live::{Announcements, LiveView};
use crate::names::KnownNames;
use crate::rate_limits::RateLimits;
use crate::receipts::Receipts;
use crate::references::ReferenceTables;
use crate::roles::{IngestRole, LiveRole, RoleContext, RunningLive, RunningWorker, WorkerRole};
use crate::shares::BacklogShares;
use crate::stop::Stop;
use crate::telemetry::{Metrics, PortGauges};

/// Longest wait for what is on its way: until it is journaled and applied, both together.
const SETTLED_WITHIN: Duration = Duration::from_secs(10);

/// What a process runs: the roles that are given, over one ledger.
#[derive(Debug, Clone)]
pub struct PipelineParts {
    /// Where events become counted.
    pub ledger: Arc<dyn Ledger>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// All limits.
    pub limits: Limits,
    /// Length and grace of windows.
    pub rule: WindowRule,
    /// The one gate of the process.
    pub limiter: FairLimiter,
    /// Takes events.
    pub ingest: Option<IngestRole>,
    /// Applies them.
    pub worker: Option<WorkerRole>,
    /// Keeps the live view.
    pub live: Option<LiveRole>,
}

/// The result of one readiness check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadinessCheck {
    /// What was checked: `journal`, `ledger`, `live`, `clock`, `database` while it is away, or `retention` when it waits;
    /// beside the pipeline `catalog` and `register`.
    pub name: &'static str,
    /// Whether it can serve.
    pub ok: bool,
    /// Whether nothing is served without it.
    pub required: bool,
    /// Why not, or `ready`.
    pub message: String,
}

impl ReadinessCheck {
    /// What was checked is required, and has this problem if any.
    pub fn of(name: &'static str, problem: Option<String>) -> Self {
        Self { name, ok: problem.is_none(), required: true, message: problem.unwrap_or_else(|| "ready".to_owned()) }
    }
}

/// The running roles. Dropping it ends everything at once, as a crash would; see
/// [`Pipeline::shutdown`] for the gentle end.
#[derive(Debug)]
pub struct Pipeline {
    context: RoleContext,
    /// The journal that the roles write or read, if any does.
    journal: Option<Arc<dyn OrderedJournal>>,
    ingest: Option<Ingest>,
    /// Applies the zones that tenants want and a crash has left unapplied.
    recounts: Mutex<Option<JoinHandle<()>>>,
    worker: Option<RunningWorker>,
    live: Option<RunningLive>,
}

impl Pipeline {
    /// Starts the roles; has to be called inside a tokio runtime. A worker that cannot be started is
    /// reported by [`Pipeline::failed`].
    pub fn start(parts: PipelineParts, metrics: Arc<Metrics>) -> Arc<Self> {
        let PipelineParts { ledger, clock, mut limits, rule, limiter, ingest, worker, live } = parts;
        limits.batch_events_max = limits.batch_events_max.min(RECORD_EVENTS_MAX);
        let names = KnownNames::new(&limits);
        names.resume(ledger.names());
        let rate_limits = RateLimits::new(limits.rates, Arc::clone(&clock), Arc::clone(&metrics));
        let context = RoleContext {
            rate_limits: Arc::new(rate_limits),
            backlog: Arc::new(BacklogShares::new(limits.backlog_bytes_max as u64, ledger.applied())),
            applies: worker.is_some(),
            failure: FatalError::new(),
            stop: Stop::new(),
            receipts: Arc::new(Receipts::new(ledger.applied())),
            in_flight: InFlight::new(ledger.closed_through(), limits.clock_drift_us_max),
            names: Arc::new(names),
            quotas: ingest.as_ref().map(|ingest| Arc::clone(ingest.settings.quotas())),
            announcements: Arc::new(Announcements::new(Arc::clone(&ledger), rule)),
            replay_until: worker.as_ref().map_or(ledger.applied(), |worker| worker.journal.last_durable()),
            applied_at_start: ledger.applied_position(),
            ledger,
            clock,
            limits,
            rule,
            metrics,
            limiter,
        };
        if let Some(quotas) = &context.quotas {
            quotas.attach(Arc::clone(&context.receipts), context.replay_until);
        }
        let journal = worker.as_ref().map(|worker| &worker.journal).or(ingest.as_ref().map(|ingest| &ingest.journal));
        let journal = journal.cloned();
        let live_port = live.as_ref().map(|live| Arc::clone(&live.live));
        let ingest = ingest.map(|role| role.start(&context));
        let recounts = ingest.as_ref().map(|ingest| {
            let settings = Arc::clone(&ingest.settings);
            tokio::spawn(settings.resume_recounts(context.stop.signal()))
        });
        let worker = worker.map(|role| role.start(&context));
        let live = live.map(|role| role.start(&context));
        observe_ports(&context, journal.as_ref(), live_port.as_ref().zip(live.as_ref()));
        Arc::new(Self { context, journal, ingest, recounts: Mutex::new(recounts), worker, live })
    }

    /// The request path.
    ///
    /// # Errors
    /// `Unavailable` when this process does not run it.
    pub fn ingest(&self) -> Result<&Ingest, PortError> {
        self.ingest.as_ref().ok_or_else(|| not_run("take events"))
    }

    /// The live view.
    ///
    /// # Errors
    /// `Unavailable` when this process does not keep it.
    pub fn live(&self) -> Result<&LiveView, PortError> {
        self.live.as_ref().map(|live| &live.view).ok_or_else(|| not_run("read the live view"))
    }

    /// The reference tables that the live view is enriched with.
    ///
    /// # Errors
    /// As [`Pipeline::live`].
    pub fn reference_tables(&self) -> Result<&ReferenceTables, PortError> {
        self.live.as_ref().map(|live| &live.tables).ok_or_else(|| not_run("read the reference tables"))
    }

    /// Whether requests can be served: whether the time is certain, what the journal says, and whether the
    /// ledger has caught up with everything that was durable at the start and is still being fed. The live view has a line
    /// of its own, without which all else can be served. A role that does not run has no line.
    pub async fn readiness(&self) -> Vec<ReadinessCheck> {
        let mut checks = Vec::with_capacity(5);
        if let Some(journal) = &self.journal {
            checks.push(ReadinessCheck::of("journal", self.journal_problem(&**journal).await));
        }
        checks.push(ReadinessCheck::of("ledger", self.ledger_problem()));
        let live = self.live.as_ref().map(|live| ReadinessCheck::of("live", live.view.problem()));
        checks.extend(live.map(|check| ReadinessCheck { required: false, ..check }));
        checks.push(ReadinessCheck::of("clock", self.context.clock.doubt().as_ref().map(doubtful)));
        checks.extend(self.context.ledger.outage().map(away));
        checks.extend(self.context.ledger.retention_notice().as_ref().map(waiting_retention));
        checks
    }

    async fn journal_problem(&self, journal: &dyn OrderedJournal) -> Option<String> {
        match journal.health().await {
            JournalHealth::Ready => {}
            JournalHealth::Full => return Some("the disk is full".to_owned()),
            JournalHealth::Poisoned(reason) => return Some(format!("a sync failed, restart needed: {reason}")),
            JournalHealth::Closed => return Some("closed".to_owned()),
        }
        let (bytes, limit) = (journal.backlog().await.bytes, self.context.limits.backlog_bytes_max);
        let is_full = bytes >= limit as u64 || self.context.backlog.is_stuck(self.context.clock.monotonic());
        is_full.then(|| format!("{bytes} bytes wait to be applied, the limit is {limit}, of one workspace its share"))
    }

    /// Whether what was durable at start is not all visible yet. Until it is, answers would show less
    /// than was shown before the restart (I10).
    pub fn is_replaying(&self) -> bool {
        self.context.receipts.applied() < self.context.replay_until
    }

    fn ledger_problem(&self) -> Option<String> {
        if let Some(reason) = self.context.failure.reason() {
            return Some(reason);
        }
        if self.worker.as_ref().is_some_and(|worker| !worker.is_alive()) {
            return Some("the worker has ended".to_owned());
        }
        let (applied, all) = (self.context.receipts.applied(), self.context.replay_until);
        self.is_replaying().then(|| format!("replaying the journal: record {applied} of {all}"))
    }

    /// Waits until all that is durable now is applied.
    pub async fn applied(&self) {
        if let Some(journal) = &self.journal {
            self.context.receipts.wait_for(journal.last_durable()).await;
        }
    }

    /// Runs `change` while nothing of a workspace is on its way: its requests wait, and all that is journaled is applied.
    /// How long it takes then is its own to bound.
    ///
    /// # Errors
    /// `Overloaded` when nothing is run since what is on its way takes too long, and what `change` fails with.
    pub(crate) async fn while_settled<T>(
        &self,
        scope: &TenantScope,
        change: impl Future<Output = Result<T, PortError>>,
    ) -> Result<T, PortError> {
        let Some(quotas) = &self.context.quotas else { return change.await };
        // Requests wait for the rest alone.
        self.context.ledger.flush().await?;
        let settled = async {
            let held = quotas.hold_requests(scope).await?;
            self.applied().await;
            Ok::<_, PortError>(held)
        };
        let _held = tokio::select! {
            biased;
            held = settled => held?,
            () = self.context.clock.sleep(SETTLED_WITHIN) => {
                let why = "wait for events on their way: they are not applied in time";
                return Err(PortError::new(ErrorKind::Overloaded, why));
            }
        };
        change.await
    }

    /// Whether the journal's files may still hold records up to and with this one.
    pub fn journal_holds(&self, through: Seq) -> bool {
        self.journal.as_ref().is_some_and(|journal| journal.first_kept() <= through)
    }

    /// Resolves, with the reason, when the process must end with an error: after a failed sync, or
    /// when stored data is not what was written.
    pub fn failed(&self) -> impl Future<Output = String> + Send + use<> {
        self.context.failure.wait()
    }

    /// Length and grace of windows.
    pub fn rule(&self) -> WindowRule {
        self.context.rule
    }

    /// The time.
    pub fn clock(&self) -> &dyn Clock {
        &*self.context.clock
    }

    /// All limits.
    pub fn limits(&self) -> &Limits {
        &self.context.limits
    }

    /// How much may come in of whom.
    pub fn rate_limits(&self) -> &RateLimits {
        &self.context.rate_limits
    }

    /// Closes the journal; where the worker runs, applies what it still holds and makes everything
    /// durable in the ledger, so that the next start has nothing to replay.
    ///
    /// # Errors
    /// When the rest could not be applied or made durable. Nothing acknowledged is lost: the next
    /// start goes on where this one ended.
    pub async fn shutdown(&self) -> Result<(), PortError> {
        self.context.stop.drain();
        if let Some(ingest) = &self.ingest {
            ingest.settings.stop();
        }
        let recounts = self.recounts.lock().take();
        if let Some(recounts) = recounts {
            // An error means that the task panicked, which ends it too.
            let _ = recounts.await;
        }
        let mut erased = None;
        if let Some(worker) = &self.worker {
            worker.end_closing().await;
            erased = worker.part_erased(&self.context).await;
        }
        if let Some(journal) = &self.journal {
            journal.close().await;
        }
        match &self.worker {
            Some(worker) => worker.finish(&self.context, erased).await,
            None => match self.context.failure.reason() {
                Some(reason) => Err(PortError::new(ErrorKind::Unavailable, "end the roles").because(reason)),
                None => Ok(()),
            },
        }
    }
}

/// What a shared database does not answer; events are taken all the same.
fn away(why: String) -> ReadinessCheck {
    let message = format!("away, events wait in the journal: {why}");
    ReadinessCheck { name: "database", ok: false, required: false, message }
}

/// What retention will drop, and when; nothing is wrong with that.
fn waiting_retention(notice: &RetentionNotice) -> ReadinessCheck {
    let RetentionNotice { before, segments, events, due_in, .. } = notice;
    let since = notice.oldest.map_or_else(String::new, |oldest| format!(" from {oldest} on"));
    let message = format!(
        "retention is new or shorter, or the clock is ahead: in {} s of uptime raw events before {before} are dropped, \
         at most {events} in {segments} segments{since}; a longer retention_days keeps them",
        due_in.as_secs()
    );
    ReadinessCheck { name: "retention", ok: true, required: false, message }
}

/// Why the clock is not believed, for the operator.
fn doubtful(doubt: &ClockDoubt) -> String {
    let (offset, direction) = match doubt.offset_sec() {
        behind @ ..0 => (-behind, "behind"),
        ahead => (ahead, "ahead of"),
    };
    format!(
        "the clock shows {}, {offset} s {direction} the trusted time, {}, since {} s; it is believed in {} s if it \
         stays so, and at once by `nilometer admin accept-clock`",
        doubt.wall,
        doubt.trusted,
        doubt.lasted.as_secs(),
        doubt.corrected_in.as_secs(),
    )
}

fn not_run(what: &str) -> PortError {
    PortError::new(ErrorKind::Unavailable, format!("{what}: this process does not run that role"))
}

fn observe_ports(
    context: &RoleContext,
    journal: Option<&Arc<dyn OrderedJournal>>,
    live: Option<(&Arc<dyn Live>, &RunningLive)>,
) {
    context.metrics.observe_ports(PortGauges {
        clock: Arc::downgrade(&context.clock),
        journal: journal.map(Arc::downgrade),
        backlog: Mutex::default(),
        ledger: Arc::downgrade(&context.ledger),
        live: live.map(|(live, running)| (Arc::downgrade(live), Arc::downgrade(&running.status))),
        limiter: context.limiter.clone(),
    });
}
