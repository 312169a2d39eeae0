//! F43: one workspace floods, another sends a little. Told in units of work, not in time: how many records of the flood
//! the worker applies before one of the other that was there already, how much of the backlog they have, and whose
//! requests are refused. The journal and the ledger are the real ones; limits, shares and the worker's steps are the
//! product's own. Each step of the clock the flood sends far more than the worker can apply.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use domain::limits::Limits;
use domain::position::Seq;
use domain::rate::{Rate, ServerRates};
use domain::record::RecordView;
use futures::FutureExt;
use pipeline::applying::{Applier, ApplyObserver, Attempt};
use pipeline::inflight::InFlight;
use pipeline::shares::BacklogShares;
use pipeline::{Metrics, RateLimits};
use ports::clock::Clock;
use ports::journal::Delivery;
use ports::ledger::Applied;
use ports::testing::ledger::records::{admitted_at, event, scope};
use sim::{Subject, World};

use crate::embedded::{BACKLOG_BYTES_MAX, Embedded, Setup, runtime};

/// A step of the clock, in which the worker applies one record.
const STEP: Duration = Duration::from_millis(10);
const STEPS_PER_SECOND: usize = 100;
/// Events of one batch of the flood, and batches that it tries in one step: 2,500 events a second.
const FLOOD_BATCH: usize = 5;
const FLOOD_BATCHES: usize = 5;
/// The limit of the flood where it has one: a fiftieth of what it sends.
const FLOOD_RATE: u64 = 50;
/// Steps between two events of the quiet one: 20 a second.
const QUIET_EVERY: usize = 5;
const SECONDS: usize = 40;
const QUIET: &str = "quiet";

/// What holds for a run.
#[derive(Debug, Clone, Copy)]
struct Rules {
    floods: bool,
    is_limited: bool,
    has_shares: bool,
}

/// What came of it.
#[derive(Debug, Default)]
struct Outcome {
    quiet_taken: u64,
    quiet_refused: u64,
    flood_taken: u64,
    flood_refused: u64,
    /// For each record of the quiet one: the step it was taken in, and the records and bytes of others that were
    /// applied between that and its own.
    waits: Vec<(usize, usize, usize)>,
    /// Most bytes of the flood that waited at once.
    flood_waiting_max: usize,
}

/// What the worker has applied of others than the quiet one.
#[derive(Debug, Default)]
struct Done {
    records: usize,
    bytes: usize,
    /// Bytes that wait, by tenant.
    waiting: BTreeMap<String, usize>,
    /// Records of the quiet one that wait: the step, and what was applied when each was taken.
    quiet: BTreeMap<Seq, (usize, usize, usize)>,
    waits: Vec<(usize, usize, usize)>,
}

struct Watcher<'w> {
    subject: &'w Embedded,
    done: &'w mut Done,
    shares: Option<&'w BacklogShares>,
}

impl ApplyObserver for Watcher<'_> {
    async fn applied(&mut self, deliveries: &[Delivery], _: &[Applied]) {
        for delivery in deliveries {
            let seq = self.subject.journal().seq(delivery.id);
            let record = RecordView::parse(&delivery.payload).unwrap();
            if let Some((step, records, bytes)) = self.done.quiet.remove(&seq) {
                self.done.waits.push((step, self.done.records - records, self.done.bytes - bytes));
            }
            if record.tenant().as_str() != QUIET {
                self.done.records += 1;
                self.done.bytes += delivery.payload.len();
            }
            *self.done.waiting.get_mut(record.tenant().as_str()).unwrap() -= delivery.payload.len();
            if let Some(shares) = self.shares {
                shares.applied(seq, Duration::ZERO);
            }
        }
    }

    async fn dead_lettered(&mut self, _: &Delivery, reason: &str) {
        panic!("a dead letter: {reason}");
    }
}

/// A process that takes events and applies them.
struct Server {
    world: World,
    subject: Embedded,
    limits: RateLimits,
    shares: Option<BacklogShares>,
    in_flight: Arc<InFlight>,
    applier: Applier,
    inbox: Vec<Delivery>,
    done: Done,
    sent: usize,
}

impl Server {
    async fn start(rules: Rules) -> Self {
        let world = World::default();
        let setup = Setup { flush_rows: 2_000, fan_in: 4, segment_bytes: 20_000, ..Setup::SMALL };
        let subject = Embedded::open(&world, &setup).await.unwrap();
        let limits = RateLimits::new(ServerRates::default(), world.clock.clone(), Arc::new(Metrics::new()));
        let in_flight = InFlight::new(subject.ledger().closed_through(), Limits::default().clock_drift_us_max);
        let shares = rules.has_shares.then(|| BacklogShares::new(BACKLOG_BYTES_MAX as u64, Seq::ZERO));
        let (applier, done) = (Applier::default(), Done::default());
        Self { world, subject, limits, shares, in_flight, applier, inbox: Vec::new(), done, sent: 0 }
    }

    /// The path of a request: what it is held to, in the order of the product. The record, if it is taken.
    async fn send(&mut self, tenant: &str, events: usize, rate: Option<Rate>) -> Option<Seq> {
        let scope = scope(tenant);
        self.limits.check_events(scope.tenant(), rate).ok()?;
        if self.subject.journal().backlog().await.bytes >= BACKLOG_BYTES_MAX as u64 {
            return None;
        }
        if self.shares.as_ref().is_some_and(|shares| shares.is_over(scope.tenant())) {
            return None;
        }
        let charge = self.limits.events(scope.tenant(), rate, events).ok()?;
        let stamp = self.in_flight.enter(self.world.clock.now());
        let specs: Vec<_> = (0..events).map(|n| event(&format!("{tenant}-{}-{n}", self.sent), 0)).collect();
        self.sent += 1;
        let admitted = admitted_at(None, &scope, stamp.times(), &specs);
        let bytes = admitted.payload().len();
        let share = self.shares.as_ref().map(|shares| shares.take(scope.tenant(), bytes));
        if matches!(share, Some(None)) {
            self.limits.give_back(charge);
            return None;
        }
        let share = share.flatten();
        let appending = stamp.begin_append();
        let appended = self.subject.journal().append(&admitted).await;
        appending.answered(appended.as_ref().err().map(ports::PortError::kind));
        let seq = self.subject.journal().seq(appended.ok()?);
        if let Some((shares, share)) = self.shares.as_ref().zip(share) {
            shares.journaled(seq, share, Duration::ZERO);
        }
        *self.done.waiting.entry(tenant.to_owned()).or_default() += bytes;
        Some(seq)
    }

    /// The worker applies one record.
    async fn work(&mut self) {
        let Self { subject, applier, inbox, done, shares, .. } = self;
        if inbox.is_empty()
            && let Some(next) = subject.journal().next().now_or_never()
        {
            inbox.extend(next.unwrap());
        }
        if !inbox.is_empty() {
            applier.hold(vec![inbox.remove(0)]);
        }
        let mut watcher = Watcher { subject, done, shares: shares.as_ref() };
        let attempt = applier.attempt(subject.journal(), subject.ledger(), &mut watcher).await;
        assert!(matches!(attempt, Ok(Attempt::Done)), "{attempt:?}");
    }
}

async fn play(rules: Rules) -> Outcome {
    let mut server = Server::start(rules).await;
    let flood_rate = rules.is_limited.then(|| Rate::new(FLOOD_RATE).unwrap());
    let mut outcome = Outcome::default();
    for step in 0..SECONDS * STEPS_PER_SECOND {
        for _ in 0..if rules.floods { FLOOD_BATCHES } else { 0 } {
            match server.send("flood", FLOOD_BATCH, flood_rate).await {
                Some(_) => outcome.flood_taken += FLOOD_BATCH as u64,
                None => outcome.flood_refused += FLOOD_BATCH as u64,
            }
        }
        let waiting = server.done.waiting.get("flood").copied().unwrap_or(0);
        outcome.flood_waiting_max = outcome.flood_waiting_max.max(waiting);
        if step % QUIET_EVERY == 0 {
            match server.send(QUIET, 1, None).await {
                Some(seq) => {
                    outcome.quiet_taken += 1;
                    server.done.quiet.insert(seq, (step, server.done.records, server.done.bytes));
                }
                None => outcome.quiet_refused += 1,
            }
        }
        server.work().await;
        server.world.clock.advance(STEP);
        if step % STEPS_PER_SECOND == 0 {
            server.subject.maintain().await.unwrap();
            let cursor = server.subject.ledger().cursor();
            server.subject.journal().trim(cursor).await.unwrap();
        }
    }
    while !server.done.quiet.is_empty() {
        server.work().await;
    }
    outcome.waits = std::mem::take(&mut server.done.waits);
    outcome
}

fn run(rules: Rules) -> Outcome {
    runtime().block_on(play(rules))
}

/// The most records that were applied before one of the quiet one that was there, from a step on.
fn records_before(outcome: &Outcome, from: usize) -> usize {
    outcome.waits.iter().filter(|(step, ..)| *step >= from).map(|(_, records, _)| *records).max().unwrap()
}

#[test]
fn f43_i6_a_flood_at_fifty_times_its_limit_leaves_the_quiet_one_as_if_alone() {
    let alone = run(Rules { floods: false, is_limited: false, has_shares: true });
    assert_eq!((alone.quiet_refused, records_before(&alone, 0)), (0, 0));
    let both = run(Rules { floods: true, is_limited: true, has_shares: true });
    assert_eq!((both.quiet_refused, both.quiet_taken), (0, alone.quiet_taken));
    let most = FLOOD_RATE * 10 + FLOOD_RATE * SECONDS as u64 + FLOOD_BATCH as u64;
    // A batch that is counted and then finds no room in the backlog is given back.
    let least = FLOOD_RATE * SECONDS as u64;
    assert!((least..=most).contains(&both.flood_taken), "{} of {most}", both.flood_taken);
    assert!(both.flood_refused > 38 * both.flood_taken, "it does flood: {}", both.flood_refused);
    // Once the burst is used up, no more than one record at a time lies before it.
    assert!(records_before(&both, 15 * STEPS_PER_SECOND) <= 1, "{}", records_before(&both, 15 * STEPS_PER_SECOND));
    // Before that, no more than the flood's share.
    let bytes = both.waits.iter().map(|(_, _, bytes)| *bytes).max().unwrap();
    assert!(bytes <= BACKLOG_BYTES_MAX / 2, "{bytes} bytes of the flood lay before it");
}

#[test]
fn f43_i6_a_flood_without_a_limit_has_its_share_of_the_backlog_and_no_more() {
    let shared = run(Rules { floods: true, is_limited: false, has_shares: true });
    assert_eq!(shared.quiet_refused, 0);
    assert!(shared.flood_waiting_max <= BACKLOG_BYTES_MAX / 2, "{} bytes waited", shared.flood_waiting_max);
    let bytes = shared.waits.iter().map(|(_, _, bytes)| *bytes).max().unwrap();
    assert!(bytes <= BACKLOG_BYTES_MAX / 2, "{bytes} bytes of the flood lay before it");
    // What the quiet one leaves of the worker, the flood gets.
    let steps = (SECONDS * STEPS_PER_SECOND) as u64;
    assert!(shared.flood_taken >= (steps - shared.quiet_taken) * FLOOD_BATCH as u64, "{}", shared.flood_taken);
    // Without shares the quiet one finds the backlog full.
    let unshared = run(Rules { floods: true, is_limited: false, has_shares: false });
    assert!(unshared.quiet_refused > unshared.quiet_taken, "{} refused", unshared.quiet_refused);
}
