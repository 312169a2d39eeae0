//! Tenants that keep their raw events for another time than the server.

#![expect(clippy::expect_used, reason = "for tests, which fail loudly")]

mod disk;
mod waits;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use domain::calendar::Zone;
use domain::time::{MICROS_PER_DAY, MICROS_PER_HOUR, TimeRange, Timestamp};
use domain::window::WindowRule;
use ledger_embedded::{EmbeddedLedger, LedgerOptions};
use ports::ErrorKind;
use ports::active_users::{ActiveUsers, VersionedZone};
use ports::clock::Clock;
use ports::ledger::Ledger;
use ports::manifest::{FileKind, FileMeta};
use ports::reports::{EventFilter, EventQuery, Order, Reports};
use ports::testing::ledger::records::{at, event, event_at, record, scope};
use proptest::prelude::*;

use crate::folder::{TestFolder, small};

const DAY: Duration = Duration::from_secs(86_400);
const HOUR: Duration = Duration::from_secs(3_600);

fn keeps(server: Option<u32>, tenants: &[(&str, u32)]) -> LedgerOptions {
    let own = tenants.iter().map(|(tenant, days)| (scope(tenant).tenant().clone(), *days)).collect();
    LedgerOptions { retention_days: server, tenant_retention_days: own, ..small(WindowRule::default()) }
}

/// The ids of the raw events that a tenant is shown.
async fn shown(ledger: &impl Reports, tenant: &str) -> BTreeSet<String> {
    let all = EventQuery {
        filter: EventFilter::default(),
        order: Order::Descending,
        after: None,
        limit: 10_000,
        bytes_max: usize::MAX,
    };
    ledger.events(&scope(tenant), &all).await.expect("events").rows.into_iter().map(|event| event.id).collect()
}

async fn differences(ledger: &EmbeddedLedger) -> Vec<String> {
    let mut differences = Vec::new();
    ledger.verify(&mut |difference| differences.push(difference.to_string())).await.expect("verify");
    differences
}

/// One event of each day and tenant, a segment for every two days.
async fn filled(options: LedgerOptions, days: i64) -> (TestFolder, Arc<EmbeddedLedger>) {
    let folder = TestFolder::new();
    let ledger = folder.open(options).await;
    for day in 0..days {
        folder.clock.set(at(day * 86_400 + 10));
        for (n, tenant) in (1..).zip(["a", "b"]) {
            let id = format!("{tenant}{day}");
            let events = [event(&id, day * 86_400 + 5).customer("c").user(&id)];
            let seq = u64::try_from(day * 2).expect("a day") + n;
            let applied = ledger.apply(&[record(seq, &scope(tenant), at(day * 86_400 + 10), &events)]).await;
            assert!(applied.failed.is_none());
        }
        if day % 2 == 1 {
            ledger.flush().await.expect("flush");
        }
    }
    (folder, ledger)
}

fn ids(tenant: &str, days: std::ops::Range<i64>) -> BTreeSet<String> {
    days.map(|day| format!("{tenant}{day}")).collect()
}

#[tokio::test]
async fn a_shorter_retention_of_one_tenant_waits_a_day_and_hides_nobody_elses_events() {
    let (folder, ledger) = filled(keeps(None, &[]), 10).await;
    ledger.set_retention(&scope("a"), Some(3));
    ledger.maintain().await.expect("maintain");
    assert_eq!(shown(&*ledger, "a").await, ids("a", 0..10), "it waits");
    let notice = ledger.retention_of(&scope("a"));
    assert_eq!((notice.kept_since, notice.waiting), (None, Some((at(6 * 86_400), DAY))));
    folder.clock.advance(HOUR * 20);
    ledger.maintain().await.expect("maintain");
    ledger.flush().await.expect("flush");
    drop(ledger);
    // The wait goes on over a restart; while nothing runs, nothing is waited.
    let ledger = folder.open(keeps(None, &[("a", 3)])).await;
    ledger.maintain().await.expect("maintain");
    assert_eq!(ledger.retention_of(&scope("a")).waiting.map(|(_, due_in)| due_in), Some(HOUR * 4));
    folder.clock.advance(HOUR * 4);
    ledger.maintain().await.expect("maintain");
    assert_eq!(shown(&*ledger, "a").await, ids("a", 7..10), "before the tenth day less three");
    assert_eq!(shown(&*ledger, "b").await, ids("b", 0..10));
    assert_eq!(ledger.retention_of(&scope("a")).kept_since, Some(at(7 * 86_400)));
    assert_eq!(ledger.retention_of(&scope("b")), Default::default());
    assert_eq!(differences(&ledger).await, Vec::<String>::new());
    // A day of another zone is counted from raw events, which are no longer all there.
    let zone = VersionedZone { zone: Zone::parse("Asia/Tokyo").expect("a zone"), version: 1 };
    let again = ledger.recount(&scope("a"), &zone).await.map_err(|why| why.kind());
    assert_eq!(again, Err(ErrorKind::Gone));
    ledger.recount(&scope("b"), &zone).await.expect("all of its events are there");
}

#[tokio::test]
async fn what_retention_hides_of_a_shared_segment_goes_when_it_is_merged() {
    let options = LedgerOptions { retention_delay: Duration::ZERO, compact_fan_in: 5, ..keeps(None, &[]) };
    let (folder, ledger) = filled(options.clone(), 10).await;
    ledger.set_retention(&scope("a"), Some(3));
    // The floor moves after the merge of this look.
    let before = LedgerOptions { compact_fan_in: 99, ..options.clone() };
    drop(ledger);
    let own = keeps(None, &[("a", 3)]).tenant_retention_days;
    let ledger = folder.open(LedgerOptions { tenant_retention_days: own.clone(), ..before }).await;
    ledger.maintain().await.expect("maintain");
    assert_eq!((ledger.stats().segments, ledger.stats().flushed_events), (5, 20), "hidden, and still there");
    drop(ledger);
    let ledger = folder.open(LedgerOptions { tenant_retention_days: own, ..options }).await;
    ledger.maintain().await.expect("maintain");
    assert_eq!((ledger.stats().segments, ledger.stats().flushed_events), (1, 14), "six days of one tenant went");
    assert_eq!(shown(&*ledger, "a").await, ids("a", 6..10));
    assert_eq!(shown(&*ledger, "b").await, ids("b", 0..10));
    assert_eq!(differences(&ledger).await, Vec::<String>::new());
    let totals = ledger.usage(&scope("a"), "c", at(0), TimeRange::ALL).await.expect("usage").expect("known");
    assert_eq!(totals.customer.total.totals.calls, 10, "sums stay");
    let again = [event("a0", 5).customer("c").user("a0")];
    let again = ledger.apply(&[record(99, &scope("a"), at(10 * 86_400), &again)]).await;
    let outcomes: Vec<_> = again.applied.into_iter().flat_map(|applied| applied.outcomes).collect();
    assert_ne!(outcomes, [ports::ledger::Outcome::Fresh], "I2: an id outlives its event");
}

#[tokio::test]
async fn a_longer_retention_keeps_what_the_server_drops_and_files_go_when_nobody_keeps_them() {
    let options = LedgerOptions { retention_delay: Duration::ZERO, ..keeps(Some(2), &[("a", 6)]) };
    let (folder, ledger) = filled(LedgerOptions { compact_fan_in: 99, ..options }, 10).await;
    ledger.maintain().await.expect("maintain");
    assert_eq!(shown(&*ledger, "a").await, ids("a", 3..10));
    assert_eq!(shown(&*ledger, "b").await, ids("b", 7..10));
    assert_eq!(ledger.stats().flushed_events, 16, "of one segment nobody keeps anything");
    // For ever; what is gone does not come back.
    ledger.set_retention(&scope("a"), Some(0));
    folder.clock.advance(DAY * 30);
    ledger.maintain().await.expect("maintain");
    assert_eq!(shown(&*ledger, "a").await, ids("a", 3..10));
    assert_eq!(shown(&*ledger, "b").await, ids("b", 0..0));
    // As the server again.
    ledger.set_retention(&scope("a"), None);
    ledger.maintain().await.expect("maintain");
    assert_eq!(shown(&*ledger, "a").await, ids("a", 0..0));
    assert_eq!(ledger.stats().flushed_events, 0);
    assert_eq!(differences(&ledger).await, Vec::<String>::new());
}

#[derive(Debug, Clone)]
enum Step {
    Event { tenant: usize, hours_ago: i64 },
    Pass { hours: u32 },
    Days { tenant: usize, days: Option<u32> },
    Flush,
    Maintain,
    Restart,
}

const TENANTS: [&str; 3] = ["a", "b", "c"];
const SERVER_DAYS: u32 = 4;

fn step() -> impl Strategy<Value = Step> {
    let days = prop_oneof![Just(None), Just(Some(0)), (1_u32..9).prop_map(Some)];
    prop_oneof![
        8 => (0..TENANTS.len(), 0_i64..240).prop_map(|(tenant, hours_ago)| Step::Event { tenant, hours_ago }),
        3 => (1_u32..40).prop_map(|hours| Step::Pass { hours }),
        2 => (0..TENANTS.len(), days).prop_map(|(tenant, days)| Step::Days { tenant, days }),
        1 => Just(Step::Flush),
        4 => Just(Step::Maintain),
        1 => Just(Step::Restart),
    ]
}

/// What the oracle knows: every event there ever was, and for how long each tenant keeps its own.
#[derive(Default)]
struct Oracle {
    events: BTreeMap<&'static str, BTreeMap<String, Timestamp>>,
    days: HashMap<&'static str, u32>,
    floors: BTreeMap<&'static str, Timestamp>,
    /// When it was looked, and where the floor of each tenant belonged then.
    looks: Vec<(Timestamp, BTreeMap<&'static str, Timestamp>)>,
}

impl Oracle {
    fn target(&self, tenant: &str, now: Timestamp) -> Timestamp {
        let days = self.days.get(tenant).copied().unwrap_or(SERVER_DAYS);
        if days == 0 {
            return Timestamp::MIN;
        }
        now.plus_micros(-i64::from(days) * MICROS_PER_DAY).floor_to(MICROS_PER_HOUR)
    }

    fn look(&mut self, now: Timestamp) {
        self.looks.push((now, TENANTS.map(|tenant| (tenant, self.target(tenant, now))).into()));
    }

    /// Whether an event may have been hidden by the last look, when the floor was at `floor` before: time itself has come
    /// to it since the look before, or for a day all looks have said that it will be gone by now.
    fn may_go(&self, tenant: &str, floor: Timestamp, time: Timestamp) -> bool {
        let Some((now, _)) = self.looks.last() else { return false };
        let since = |then: Timestamp| now.micros() - then.micros();
        let elapsed = self.looks.iter().rev().nth(1).map_or(0, |(before, _)| since(*before));
        if time < floor.plus_micros(elapsed + MICROS_PER_HOUR) {
            return true;
        }
        for (then, targets) in self.looks.iter().rev() {
            if time >= targets[tenant].plus_micros(since(*then) + MICROS_PER_HOUR) {
                return false;
            }
            if since(*then) >= MICROS_PER_DAY {
                return true;
            }
        }
        false
    }

    /// Floors never go back, never beyond what the setting in force allows, exactly what is behind them is shown, and what
    /// is no longer had its wait.
    async fn check(&mut self, ledger: &EmbeddedLedger, now: Timestamp) {
        for tenant in TENANTS {
            let floor = ledger.retention_of(&scope(tenant)).kept_since.unwrap_or(Timestamp::MIN);
            let before = self.floors.insert(tenant, floor).unwrap_or(Timestamp::MIN);
            assert!(floor >= before, "the floor of {tenant} went from {before} to {floor}");
            assert!(floor == before || floor <= self.target(tenant, now), "{tenant} lost what it keeps");
            let waited = |time: &Timestamp| !(before..floor).contains(time) || self.may_go(tenant, before, *time);
            let early = self.events.get(tenant).into_iter().flatten().find(|(_, time)| !waited(time));
            assert_eq!(early, None, "of {tenant}, whose floor went from {before} to {floor} without a wait");
            let events = self.events.entry(tenant).or_default().iter();
            let kept: BTreeSet<_> = events.filter(|(_, time)| **time >= floor).map(|(id, _)| id.clone()).collect();
            assert_eq!(shown(ledger, tenant).await, kept, "{tenant} from {floor}");
        }
    }
}

async fn run(steps: Vec<Step>) {
    let folder = TestFolder::new();
    let options = |oracle: &Oracle| {
        let own: Vec<_> = oracle.days.iter().map(|(tenant, days)| (*tenant, *days)).collect();
        keeps(Some(SERVER_DAYS), &own)
    };
    let mut oracle = Oracle::default();
    folder.clock.advance(DAY * 30);
    let mut ledger = folder.open(options(&oracle)).await;
    ledger.maintain().await.expect("maintain");
    oracle.look(folder.clock.now());
    oracle.check(&ledger, folder.clock.now()).await;
    for (n, step) in (1_u64..).zip(steps) {
        let now = folder.clock.now();
        match step {
            Step::Event { tenant, hours_ago } => {
                let (id, time) = (format!("e{n}"), now.plus_micros(-hours_ago * MICROS_PER_HOUR));
                let events = [event_at(&id, time).customer("c").user(&id)];
                let seq = ledger.applied().0 + 1;
                let applied = ledger.apply(&[record(seq, &scope(TENANTS[tenant]), now, &events)]).await;
                assert!(applied.failed.is_none());
                oracle.events.entry(TENANTS[tenant]).or_default().insert(id, time);
            }
            Step::Pass { hours } => folder.clock.advance(HOUR * hours),
            Step::Days { tenant, days } => {
                match days {
                    Some(days) => oracle.days.insert(TENANTS[tenant], days),
                    None => oracle.days.remove(TENANTS[tenant]),
                };
                ledger.set_retention(&scope(TENANTS[tenant]), days);
            }
            Step::Flush => drop(ledger.flush().await.expect("flush")),
            Step::Maintain => {
                ledger.maintain().await.expect("maintain");
                oracle.look(now);
            }
            Step::Restart => {
                // What is not flushed is in the journal, which this test has none of.
                ledger.flush().await.expect("flush");
                drop(ledger);
                ledger = folder.open(options(&oracle)).await;
            }
        }
        oracle.check(&ledger, folder.clock.now()).await;
    }
    // In the end, after every wait, each floor is where its setting says.
    for _ in 0..60 {
        folder.clock.advance(HOUR);
        ledger.maintain().await.expect("maintain");
        oracle.look(folder.clock.now());
        oracle.check(&ledger, folder.clock.now()).await;
    }
    for tenant in TENANTS {
        let target = oracle.target(tenant, folder.clock.now());
        assert!(oracle.floors[tenant] >= target, "{tenant} keeps more than it says");
    }
    assert_eq!(differences(&ledger).await, Vec::<String>::new());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 80, ..ProptestConfig::default() })]

    #[test]
    fn i5_every_tenant_is_shown_what_its_own_retention_keeps(steps in proptest::collection::vec(step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        runtime.block_on(run(steps));
    }
}
