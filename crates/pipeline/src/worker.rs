//! The worker: the one consumer of the journal, on a thread of its own. Reads top to bottom in
//! [`Worker::run`]: next → apply → publish → ack → trim. What it decides is in [`Applier`].

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use domain::position::Seq;
use domain::record::RecordView;
use domain::rejection::RejectCode;
use domain::tenant::TenantId;
use domain::time::MICROS_PER_SECOND;
use ports::clock::Clock;
use ports::journal::{Delivery, OrderedJournal};
use ports::ledger::{Applied, Ledger, Outcome};
use ports::live::{Live, LiveEvent};
use ports::{ErrorKind, PortError};
use tokio::sync::watch;

use crate::applying::{AfterFailure, Applier, ApplyObserver, Attempt, Failures};
use crate::failure::{FatalError, error_chain};
use crate::live::Announcements;
use crate::names::KnownNames;
use crate::quotas::Quotas;
use crate::receipts::Receipts;
use crate::shares::BacklogShares;
use crate::stop::StopSignal;
use crate::telemetry::{Metrics, Tally};

/// Longest time without a look at what may be trimmed.
const TRIM_INTERVAL: Duration = Duration::from_secs(1);

/// What the worker works with.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) journal: Arc<dyn OrderedJournal>,
    pub(crate) ledger: Arc<dyn Ledger>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) receipts: Arc<Receipts>,
    pub(crate) names: Arc<KnownNames>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) live: Arc<dyn Live>,
    pub(crate) announcements: Arc<Announcements>,
    pub(crate) backlog: Arc<BacklogShares>,
    pub(crate) quotas: Option<Arc<Quotas>>,
    pub(crate) stop: StopSignal,
    /// The last record that was durable at the start.
    pub(crate) replay_until: Seq,
}

/// The running worker.
#[derive(Debug)]
pub(crate) struct WorkerHandle {
    ended: watch::Receiver<bool>,
}

impl WorkerHandle {
    /// Whether it has not ended.
    pub(crate) fn is_alive(&self) -> bool {
        !*self.ended.borrow()
    }

    /// Waits until it has ended.
    pub(crate) async fn join(&self) {
        // An error means that the sender is gone, hence the thread.
        let _ = self.ended.clone().wait_for(|ended| *ended).await;
    }
}

/// Starts the worker. Whatever ends it other than its [`StopSignal`] is reported as a failure.
pub(crate) fn spawn(worker: Worker, failure: FatalError) -> WorkerHandle {
    let (end, ended) = watch::channel(false);
    let on_thread = failure.clone();
    let body = move || {
        let outcome = catch_unwind(AssertUnwindSafe(|| run_on_this_thread(worker)));
        match outcome {
            Ok(Ok(())) => {}
            Ok(Err(error)) => on_thread.report(error_chain(&error)),
            Err(_) => on_thread.report("failed to apply records: the worker panicked".to_owned()),
        }
        end.send_replace(true);
    };
    if let Err(error) = thread::Builder::new().name("worker".to_owned()).spawn(body) {
        failure.report(format!("failed to start the worker: {error}"));
    }
    WorkerHandle { ended }
}

fn run_on_this_thread(worker: Worker) -> Result<(), PortError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| PortError::new(ErrorKind::Unavailable, "start the worker").because(error))?;
    runtime.block_on(worker.run())
}

impl Worker {
    async fn run(self) -> Result<(), PortError> {
        let mut stop = self.stop.clone();
        let mut trimmed = Seq::ZERO;
        let (mut applier, mut failures) = (Applier::default(), Failures::default());
        loop {
            let next = tokio::select! {
                biased;
                () = stop.abandoned() => return Ok(()),
                next = self.journal.next() => next,
                () = self.clock.sleep(TRIM_INTERVAL) => {
                    self.metrics.apply_idle();
                    self.trim(&mut trimmed).await;
                    continue;
                }
            };
            match next {
                Ok(deliveries) if deliveries.is_empty() => return Ok(()),
                Ok(deliveries) => {
                    failures = Failures::default();
                    applier.hold(deliveries);
                    self.apply(&mut applier, &mut stop).await?;
                }
                Err(error) => match failures.next(error.kind()) {
                    AfterFailure::Retry(after) => self.pause(after, error, &mut stop).await?,
                    AfterFailure::DeadLetter | AfterFailure::Restart => return Err(error),
                },
            }
            self.trim(&mut trimmed).await;
        }
    }

    /// Applies all that is held, however long that takes.
    async fn apply(&self, applier: &mut Applier, stop: &mut StopSignal) -> Result<(), PortError> {
        loop {
            match applier.attempt(&*self.journal, &*self.ledger, &mut Publisher(self)).await? {
                Attempt::Done => return Ok(()),
                Attempt::Retry { after, error } => self.pause(after, error, stop).await?,
            }
        }
    }

    /// Waits before the next attempt. Gives the error back when there is to be none.
    async fn pause(&self, after: Duration, error: PortError, stop: &mut StopSignal) -> Result<(), PortError> {
        self.metrics.apply_retry();
        tracing::warn!(
            error = error_chain(&error),
            wait_ms = after.as_millis(),
            "records were not applied; trying again"
        );
        tokio::select! {
            biased;
            () = stop.ended() => Err(error),
            () = self.clock.sleep(after) => Ok(()),
        }
    }

    /// After the replay the ledger knows every name that was in use before the restart.
    fn caught_up(&self, seq: Seq) {
        if seq == self.replay_until {
            self.names.resume(self.ledger.names());
        }
    }

    /// Lets the journal forget what the ledger holds durably.
    async fn trim(&self, trimmed: &mut Seq) {
        let cursor = self.ledger.cursor();
        let erased = part_erased(&*self.journal, &*self.ledger).await;
        if cursor > *trimmed || erased.is_some() {
            match self.journal.trim(cursor).await {
                Ok(()) => *trimmed = cursor,
                Err(error) => tracing::warn!(error = error_chain(&error), "the journal was not trimmed; trying again"),
            }
        }
        tell_if_gone(&*self.journal, erased);
    }
}

/// Has the journal begin a new file where it still holds what was erased, which must not wait for a file to be full.
/// Returns the last record that was erased, if it holds any.
pub(crate) async fn part_erased(journal: &dyn OrderedJournal, ledger: &dyn Ledger) -> Option<Seq> {
    let erased = ledger.erased_through();
    if journal.first_kept() > erased {
        return None;
    }
    if let Err(error) = journal.part_after(erased).await {
        tracing::warn!(error = error_chain(&error), "erased records stay in the journal for now; trying again");
    }
    Some(erased)
}

/// Says so when the journal has trimmed what it held of erased records.
pub(crate) fn tell_if_gone(journal: &dyn OrderedJournal, erased: Option<Seq>) {
    if let Some(erased) = erased.filter(|erased| journal.first_kept() > *erased) {
        tracing::info!(through = erased.0, "no file of the journal holds what was erased any more");
    }
}

/// Makes known what became of records: first to the live view, so that a client that waits for a receipt
/// finds the events there too. The live view is handed each event once, even when it fails.
struct Publisher<'w>(&'w Worker);

impl ApplyObserver for Publisher<'_> {
    async fn applied(&mut self, deliveries: &[Delivery], applied: &[Applied]) {
        let Self(worker) = self;
        let now = worker.clock.now();
        let mut effects = Effects::default();
        let oldest = now.plus_micros(-i64::from(worker.live.retention_sec()) * MICROS_PER_SECOND);
        for (delivery, applied) in deliveries.iter().zip(applied) {
            // The ledger has read the same bytes; what it could not read is not among `applied`.
            let Ok(record) = RecordView::parse(&delivery.payload) else { continue };
            if let Some(quotas) = &worker.quotas {
                quotas.applied(applied.seq, &record, &applied.outcomes);
            }
            let late = worker.announcements.late_windows(record.tenant());
            for (body, outcome) in record.bodies().zip(&applied.outcomes) {
                match (outcome, body.and_then(|body| body.brief())) {
                    (Outcome::Fresh, Ok(event)) => {
                        effects.ingested.add(event.kind);
                        if event.time > oldest {
                            effects.live(record.tenant(), LiveEvent { time: event.time, user: event.user });
                        }
                        if let Some(late) = &late {
                            late.event(event.customer, event.time);
                        }
                    }
                    (Outcome::Fresh, Err(_)) => {}
                    (Outcome::Duplicate, _) => worker.metrics.duplicate(false),
                    (Outcome::Mismatch, _) => worker.metrics.duplicate(true),
                    (Outcome::Erased | Outcome::Refused, _) => {
                        worker.metrics.failed(RejectCode::Erased.as_str(), 1);
                    }
                }
            }
            if worker.journal.seq(delivery.id) > worker.replay_until {
                worker.metrics.visible(record.received_at(), now);
            }
        }
        for (tenant, events) in &effects.live {
            if let Err(error) = worker.live.record(tenant, now, events).await {
                tracing::warn!(
                    error = error_chain(&error),
                    events = events.len(),
                    "events are missing in the live view"
                );
            }
        }
        if let Some(last) = deliveries.last() {
            worker.backlog.applied(worker.journal.seq(last.id), worker.clock.monotonic());
        }
        worker.receipts.publish(applied);
        deliveries.iter().for_each(|delivery| worker.caught_up(worker.journal.seq(delivery.id)));
        worker.metrics.ingested(&effects.ingested);
    }

    async fn dead_lettered(&mut self, delivery: &Delivery, reason: &str) {
        let Self(worker) = self;
        let seq = worker.journal.seq(delivery.id);
        tracing::error!(seq = seq.0, %reason, "a record became a dead letter");
        if let (Some(quotas), Ok(record)) = (&worker.quotas, RecordView::parse(&delivery.payload)) {
            quotas.dead_lettered(seq, &record);
        }
        worker.backlog.applied(seq, worker.clock.monotonic());
        worker.receipts.publish_dead_letter(seq, reason);
        worker.caught_up(seq);
    }
}

/// What applied records come to, beside what the ledger holds of them.
#[derive(Debug, Default)]
struct Effects<'e> {
    ingested: Tally<'e>,
    /// Recent events, in runs of one tenant.
    live: Vec<(TenantId, Vec<LiveEvent<'e>>)>,
}

impl<'e> Effects<'e> {
    fn live(&mut self, tenant: &TenantId, event: LiveEvent<'e>) {
        match self.live.last_mut() {
            Some((latest, events)) if latest == tenant => events.push(event),
            _ => self.live.push((tenant.clone(), vec![event])),
        }
    }
}
