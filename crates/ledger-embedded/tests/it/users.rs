//! Active users against a brute-force oracle, which numbers users itself: through flushes, merges,
//! restarts, faults of the one commit, late events, zones with clock changes and changes of zone.

#![expect(clippy::expect_used, reason = "for tests, which fail loudly")]

#[cfg(feature = "failpoints")]
mod recounts;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use domain::calendar::{Calendar, Day, DayRange, WeekStart, Zone};
use domain::time::{TimeRange, Timestamp};
use domain::users::{UserNumber, UserSet};
use domain::window::WindowRule;
use ledger_embedded::{EmbeddedLedger, LedgerOptions};
use ports::ErrorKind;
use ports::active_users::{ActiveUsers, ActiveUsersQuery};
use ports::journal::Delivery;
use ports::ledger::{Ledger, Outcome};
use ports::testing::clock::ManualClock;
use ports::testing::ledger::records::{EventSpec, at, event, record, scope};
use ports::testing::ledger::set_zone;
use ports::testing::manifest::FaultPoint;
use proptest::prelude::*;

use crate::folder::{TestFolder, small};
use crate::lingering::Lingering;

const TENANTS: [&str; 2] = ["a", "b"];
const ZONES: [&str; 6] =
    ["UTC", "Europe/Berlin", "America/Goose_Bay", "Asia/Kolkata", "Pacific/Apia", "America/New_York"];
/// Clocks change near these instants: Berlin forward and back, Goose Bay back over midnight, Apia over a day.
const CHANGES: [&str; 4] =
    ["2026-03-29T01:00:00Z", "2026-10-25T01:00:00Z", "2010-11-07T03:01:00Z", "2011-12-30T10:00:00Z"];

#[derive(Debug, Clone)]
enum Step {
    Record {
        tenant: usize,
        events: Vec<Ev>,
    },
    Flush,
    Maintain,
    Restart,
    /// A fault of the next commit, by a flush or by a change of zone, and a restart.
    Fault {
        after: bool,
        zone: Option<(usize, usize)>,
    },
    Zone {
        tenant: usize,
        zone: usize,
    },
    Ask(Question),
}

#[derive(Debug, Clone)]
struct Ev {
    id: u8,
    minutes: i64,
    user: Option<u8>,
    project: Option<u8>,
    kind: u8,
}

#[derive(Debug, Clone)]
struct Question {
    tenant: usize,
    zone: usize,
    /// Minutes around the change, whole days around it, or everything.
    range: Option<(i64, i64, bool)>,
    project: Option<u8>,
    kind: Option<u8>,
}

fn ev() -> impl Strategy<Value = Ev> {
    let minutes = prop_oneof![2 => -2_900_i64..2_900, 1 => -90_i64..90];
    (0_u8..80, minutes, proptest::option::weighted(0.8, 0_u8..12), proptest::option::of(0_u8..2), 0_u8..2)
        .prop_map(|(id, minutes, user, project, kind)| Ev { id, minutes, user, project, kind })
}

fn question() -> impl Strategy<Value = Question> {
    let range = (-3_000_i64..3_000, 0_i64..5_000, any::<bool>());
    let name = || proptest::option::of(0_u8..3);
    (0_usize..2, 0_usize..ZONES.len(), proptest::option::weighted(0.8, range), name(), name())
        .prop_map(|(tenant, zone, range, project, kind)| Question { tenant, zone, range, project, kind })
}

fn step() -> impl Strategy<Value = Step> {
    let zone = || (0_usize..2, 0_usize..ZONES.len());
    prop_oneof![
        8 => (0_usize..2, proptest::collection::vec(ev(), 1..6))
            .prop_map(|(tenant, events)| Step::Record { tenant, events }),
        1 => Just(Step::Flush),
        1 => Just(Step::Maintain),
        1 => Just(Step::Restart),
        1 => (any::<bool>(), proptest::option::of(zone())).prop_map(|(after, zone)| Step::Fault { after, zone }),
        1 => zone().prop_map(|(tenant, zone)| Step::Zone { tenant, zone }),
        6 => question().prop_map(Step::Ask),
    ]
}

/// An event that counted.
#[derive(Debug)]
struct Counted {
    tenant: usize,
    time: Timestamp,
    user: UserNumber,
    project: String,
    kind: String,
}

/// What every answer is computed from, the long way.
#[derive(Debug, Default)]
struct Oracle {
    users: BTreeMap<(usize, u8), UserNumber>,
    counted: Vec<Counted>,
}

impl Oracle {
    fn count(&mut self, tenant: usize, time: Timestamp, ev: &Ev) {
        let Some(user) = ev.user else { return };
        let known = self.users.keys().filter(|(of, _)| *of == tenant).count();
        let next = UserNumber(u32::try_from(known).expect("few users"));
        let user = *self.users.entry((tenant, user)).or_insert(next);
        let project = ev.project.map(project_name).unwrap_or_default();
        self.counted.push(Counted { tenant, time, user, project, kind: kind_name(ev.kind) });
    }

    fn answer(&self, tenant: usize, query: &ActiveUsersQuery) -> BTreeMap<Day, UserSet> {
        let calendar = calendar(&query.zone);
        let mut days: BTreeMap<Day, UserSet> = BTreeMap::new();
        for one in self.counted.iter().filter(|one| one.tenant == tenant && query.range.contains(one.time)) {
            let same = |wanted: &Option<String>, found: &String| wanted.as_ref().is_none_or(|wanted| wanted == found);
            if same(&query.project, &one.project) && same(&query.kind, &one.kind) {
                days.entry(calendar.day_of(one.time)).or_default().insert(one.user);
            }
        }
        days
    }
}

fn project_name(project: u8) -> String {
    format!("p{project}")
}

fn kind_name(kind: u8) -> String {
    format!("k{kind}")
}

fn zone(at: usize) -> Zone {
    Zone::parse(ZONES[at]).expect("a zone")
}

fn calendar(zone: &Zone) -> Calendar {
    Calendar { zone: zone.clone(), week_start: WeekStart::Monday }
}

fn spec(ev: &Ev, change: Timestamp) -> EventSpec {
    let seconds = (change.micros() - at(0).micros()) / 1_000_000 + ev.minutes * 60;
    let mut spec = event(&format!("e{}", ev.id), seconds).kind(&kind_name(ev.kind));
    if let Some(project) = ev.project {
        spec = spec.project(&project_name(project));
    }
    match ev.user {
        Some(user) => spec.user(&format!("u{user}")),
        None => spec,
    }
}

fn query(question: &Question, change: Timestamp) -> ActiveUsersQuery {
    let zone = zone(question.zone);
    let minutes = |minutes: i64| change.plus_micros(minutes * 60_000_000);
    let range = question.range.map(|(from, length, whole)| {
        let (from, to) = (minutes(from), minutes(from + length));
        let calendar = calendar(&zone);
        let days = DayRange { first: calendar.day_of(from), last: calendar.day_of(to) };
        if whole { calendar.range_of(days) } else { TimeRange::new(from, to).expect("a range") }
    });
    // One of three projects and types does not exist; the empty project is that of events without one.
    let project = question.project.map(|project| if project == 0 { String::new() } else { project_name(project) });
    ActiveUsersQuery {
        range: range.unwrap_or(TimeRange::ALL),
        zone,
        project,
        kind: question.kind.map(kind_name),
        named_only: false,
    }
}

struct World {
    folder: TestFolder,
    ledger: Arc<EmbeddedLedger>,
    oracle: Oracle,
    journal: Vec<Delivery>,
    zones: [usize; 2],
    change: Timestamp,
}

impl World {
    async fn new(change: Timestamp) -> Self {
        let folder = TestFolder::new();
        let ledger = folder.open(small(WindowRule::default())).await;
        Self { folder, ledger, oracle: Oracle::default(), journal: Vec::new(), zones: [0, 0], change }
    }

    async fn reopen(&mut self) {
        self.ledger = self.folder.open(small(WindowRule::default())).await;
        let from = usize::try_from(self.ledger.cursor().0).expect("a cursor");
        let replayed = self.ledger.apply(&self.journal[from..]).await;
        assert!(replayed.failed.is_none(), "{:?}", replayed.failed);
    }

    async fn record(&mut self, tenant: usize, events: &[Ev]) {
        let specs: Vec<_> = events.iter().map(|ev| spec(ev, self.change)).collect();
        let received = self.change.plus_micros(30 * 86_400_000_000);
        let entry = record(self.journal.len() as u64 + 1, &scope(TENANTS[tenant]), received, &specs);
        let batch = self.ledger.apply(std::slice::from_ref(&entry)).await;
        assert!(batch.failed.is_none(), "{:?}", batch.failed);
        let outcomes = batch.applied.into_iter().flat_map(|applied| applied.outcomes);
        for (ev, outcome) in events.iter().zip(outcomes) {
            if outcome == Outcome::Fresh {
                self.oracle.count(tenant, self.change.plus_micros(ev.minutes * 60_000_000), ev);
            }
        }
        self.journal.push(entry);
    }

    async fn fault(&mut self, after: bool, to: Option<(usize, usize)>) {
        self.ledger.flush().await.expect("flush");
        self.folder.fail_next(if after { FaultPoint::AfterCommit } else { FaultPoint::BeforeCommit });
        match to {
            Some((tenant, to)) => {
                let told = set_zone(&*self.ledger, &scope(TENANTS[tenant]), &zone(to)).await;
                assert_eq!(told.is_ok(), self.zones[tenant] == to, "{told:?}");
                if after {
                    self.zones[tenant] = to;
                }
            }
            None => {
                let late = Ev { id: 200, minutes: 0, user: Some(99), project: None, kind: 0 };
                let known = self.oracle.counted.len();
                self.record(0, &[late]).await;
                let told = self.ledger.flush().await;
                assert!(told.is_err(), "{told:?}");
                assert!(self.oracle.counted.len() <= known + 1);
            }
        }
        self.reopen().await;
    }

    async fn ask(&self, question: &Question) {
        let query = query(question, self.change);
        let found = self.ledger.active_users(&scope(TENANTS[question.tenant]), &query).await.expect("an answer");
        assert_eq!(found, self.oracle.answer(question.tenant, &query), "{query:?}");
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Record { tenant, events } => self.record(tenant, &events).await,
            Step::Flush => drop(self.ledger.flush().await.expect("flush")),
            Step::Maintain => self.ledger.maintain().await.expect("maintain"),
            Step::Restart => self.reopen().await,
            Step::Fault { after, zone } => self.fault(after, zone).await,
            Step::Zone { tenant, zone: to } => {
                set_zone(&*self.ledger, &scope(TENANTS[tenant]), &zone(to)).await.expect("a zone");
                self.zones[tenant] = to;
            }
            Step::Ask(question) => self.ask(&question).await,
        }
        for (tenant, zone) in TENANTS.into_iter().zip(self.zones) {
            assert_eq!(self.ledger.applied_zone(&scope(tenant)).zone.name(), ZONES[zone]);
        }
    }

    async fn end(&self) {
        for (tenant, zone) in self.zones.into_iter().enumerate() {
            for (first, days) in (-3..3).flat_map(|first| (0..3).map(move |days| (first, days))) {
                let range = Some((first * 1_440, days * 1_440, true));
                self.ask(&Question { tenant, zone, range, project: None, kind: None }).await;
            }
        }
        for tenant in 0..TENANTS.len() {
            for zone in 0..ZONES.len() {
                for range in [None, Some((-2_880, 5_760, true)), Some((-777, 1_555, false))] {
                    self.ask(&Question { tenant, zone, range, project: None, kind: None }).await;
                    self.ask(&Question { tenant, zone, range, project: Some(0), kind: None }).await;
                    self.ask(&Question { tenant, zone, range, project: Some(1), kind: Some(1) }).await;
                }
            }
        }
        let mut differences = Vec::new();
        let summary = self.ledger.verify(&mut |one| differences.push(one.to_string())).await.expect("verify");
        assert_eq!(differences, Vec::<String>::new());
        assert_eq!(summary.users, self.oracle.users.len() as u64);
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 80, ..ProptestConfig::default() })]

    #[test]
    fn i3_active_users_are_the_oracles(
        change in 0_usize..CHANGES.len(),
        zones in (0_usize..ZONES.len(), 0_usize..ZONES.len()),
        steps in proptest::collection::vec(step(), 1..60),
    ) {
        runtime().block_on(async {
            let mut world = World::new(Timestamp::parse(CHANGES[change]).expect("an instant")).await;
            for (tenant, zone) in [zones.0, zones.1].into_iter().enumerate() {
                world.take(Step::Zone { tenant, zone }).await;
            }
            for step in steps {
                world.take(step).await;
            }
            world.end().await;
        });
    }
}

fn days_of(zone: &Zone, range: TimeRange) -> ActiveUsersQuery {
    ActiveUsersQuery { range, zone: zone.clone(), project: None, kind: None, named_only: false }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn i3_flushes_and_changes_of_zone_never_show_through() {
    let folder = TestFolder::new();
    let options = LedgerOptions { background: true, ..small(WindowRule::default()) };
    let manifest = Arc::new(Lingering(Arc::new(folder.manifest.reopen())));
    let clock: Arc<ManualClock> = Arc::clone(&folder.clock);
    let ledger = EmbeddedLedger::open(Arc::new(folder.vfs.clone()), TestFolder::dir(), manifest, clock, options)
        .await
        .expect("opens");
    let t = scope("t");
    // Every event from half past six on lies on another day there.
    let zones = [Zone::utc(), zone(3)];
    let done = Arc::new(AtomicBool::new(false));
    let changing = {
        let (ledger, t, zones, done) = (Arc::clone(&ledger), t.clone(), zones.clone(), Arc::clone(&done));
        tokio::spawn(async move {
            for n in (0..2).cycle() {
                if done.load(Ordering::Relaxed) {
                    break;
                }
                set_zone(&*ledger, &t, &zones[1 - n]).await.expect("a zone");
                tokio::task::yield_now().await;
            }
        })
    };
    let mut oracle = Oracle::default();
    for n in 0_u8..250 {
        let ev = Ev { id: n, minutes: 1_100 + i64::from(n), user: Some(n), project: None, kind: 0 };
        let entry = record(u64::from(n) + 1, &t, at(1_000_000), &[spec(&ev, at(0))]);
        assert!(ledger.apply(&[entry]).await.failed.is_none());
        oracle.count(0, at((1_100 + i64::from(n)) * 60), &ev);
        for zone in &zones {
            let query = days_of(zone, TimeRange::ALL);
            let found = ledger.active_users(&t, &query).await.expect("an answer");
            assert_eq!(found, oracle.answer(0, &query), "{n} {zone:?}");
        }
    }
    done.store(true, Ordering::Relaxed);
    changing.await.expect("no panic");
}

#[tokio::test]
async fn days_outlive_raw_events_and_what_needs_those_is_gone() {
    let folder = TestFolder::new();
    let options =
        LedgerOptions { retention_days: Some(2), retention_delay: Duration::ZERO, ..small(WindowRule::default()) };
    let ledger = folder.open(options.clone()).await;
    let (t, other) = (scope("t"), scope("other"));
    let day = 86_400;
    let events = [event("1", 10).user("u"), event("2", day + 10).user("v")];
    assert!(ledger.apply(&[record(1, &t, at(2 * day), &events)]).await.failed.is_none());
    ledger.flush().await.expect("flush");
    let whole = days_of(&Zone::utc(), TimeRange::ALL);
    let before = ledger.active_users(&t, &whole).await.expect("an answer");
    assert_eq!(before.len(), 2);
    folder.clock.set(at(5 * day));
    ledger.maintain().await.expect("maintain");
    let late = [event("3", 4 * day).user("w"), event("4", 4 * day + 1).user("v")];
    let of_other = [event("3", 4 * day).user("w")];
    let entries = [record(2, &t, at(5 * day), &late), record(3, &other, at(5 * day), &of_other)];
    assert!(ledger.apply(&entries).await.failed.is_none());
    let mut ledger = ledger;
    for again in [false, true] {
        if again {
            ledger = folder.open(options.clone()).await;
        }
        assert!(ledger.apply(&entries).await.failed.is_none());
        let all = ledger.active_users(&t, &whole).await.expect("an answer");
        assert_eq!(all.len(), 3);
        assert!(before.iter().all(|(day, users)| all.get(day) == Some(users)), "days outlive raw events");
        let kind = |found: Result<_, ports::PortError>| found.err().map(|why| why.kind());
        let part = TimeRange::new(at(11), at(4 * day)).expect("a range");
        for gone in [days_of(&Zone::utc(), part), days_of(&zone(1), TimeRange::ALL)] {
            assert_eq!(kind(ledger.active_users(&t, &gone).await.map(drop)), Some(ErrorKind::Gone), "{gone:?}");
        }
        assert_eq!(kind(set_zone(&*ledger, &t, &zone(1)).await), Some(ErrorKind::Gone));
        assert_eq!(ledger.applied_zone(&t).zone, Zone::utc());
        let kept = TimeRange::new(at(3 * day + 1), at(4 * day + 1)).expect("a range");
        let found = ledger.active_users(&t, &days_of(&zone(1), kept)).await.expect("raw events that are kept");
        assert_eq!(found.values().map(UserSet::len).sum::<u64>(), 1);
        assert_eq!(ledger.active_users(&other, &days_of(&zone(1), TimeRange::ALL)).await.expect("an answer").len(), 1);
        set_zone(&*ledger, &other, &zone(1)).await.expect("I5: nothing of this tenant was dropped");
        let mut differences = Vec::new();
        ledger.verify(&mut |one| differences.push(one.to_string())).await.expect("verify");
        assert_eq!(differences, Vec::<String>::new());
    }
}

#[tokio::test]
async fn i8_a_change_of_zone_in_doubt_ends_the_ledger() {
    for (point, doubtful) in
        [(FaultPoint::BeforeCommit, true), (FaultPoint::AfterCommit, true), (FaultPoint::DiskFull, false)]
    {
        let mut world = World::new(at(0)).await;
        let visit = |id| Ev { id, minutes: i64::from(id), user: Some(id), project: None, kind: 0 };
        world.record(0, &[visit(1)]).await;
        world.ledger.flush().await.expect("flush");
        world.folder.fail_next(point);
        let told = set_zone(&*world.ledger, &scope(TENANTS[0]), &zone(3)).await.map_err(|why| why.kind());
        let next = [record(2, &scope(TENANTS[0]), at(0), &[spec(&visit(2), at(0))])];
        if doubtful {
            assert_eq!(told, Err(ErrorKind::Poisoned), "{point:?}");
            assert_eq!(world.ledger.failure(), Some(ErrorKind::Poisoned), "{point:?}");
            let refused = world.ledger.apply(&next).await;
            assert_eq!(refused.failed.map(|why| why.kind()), Some(ErrorKind::Poisoned), "{point:?}");
            let again = set_zone(&*world.ledger, &scope(TENANTS[0]), &zone(1)).await.map_err(|why| why.kind());
            assert_eq!(again, Err(ErrorKind::Poisoned), "{point:?}");
            let unknown = world.ledger.active_users(&scope(TENANTS[0]), &days_of(&Zone::utc(), TimeRange::ALL)).await;
            assert_eq!(unknown.map_err(|why| why.kind()), Err(ErrorKind::Unavailable), "{point:?}");
            world.reopen().await;
        } else {
            assert_eq!((told, world.ledger.failure()), (Err(ErrorKind::Full), None));
        }
        assert!(world.ledger.apply(&next).await.failed.is_none(), "{point:?}");
        assert_eq!(
            world.ledger.applied_zone(&scope(TENANTS[0])).zone,
            zone(if point == FaultPoint::AfterCommit { 3 } else { 0 })
        );
    }
}

#[tokio::test]
async fn i6_questions_that_nobody_waits_for_any_more_give_their_turns_back() {
    let mut world = World::new(at(0)).await;
    for id in 0..40 {
        world.record(0, &[Ev { id, minutes: i64::from(id), user: Some(id), project: Some(1), kind: 1 }]).await;
    }
    let query = ActiveUsersQuery {
        project: Some(project_name(1)),
        kind: Some(kind_name(1)),
        ..days_of(&zone(3), TimeRange::ALL)
    };
    for _ in 0..40 {
        let _ = tokio::time::timeout(Duration::ZERO, world.ledger.active_users(&scope(TENANTS[0]), &query)).await;
    }
    let found = world.ledger.active_users(&scope(TENANTS[0]), &query).await.expect("an answer");
    assert_eq!(found, world.oracle.answer(0, &query));
}
