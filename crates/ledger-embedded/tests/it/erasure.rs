//! Erasures against the memory twin, which keeps every event and only forgets names: through flushes, merges, restarts
//! and crashes, what stays is what it was, what goes is nowhere, and `verify` recomputes all of it.

#![expect(clippy::expect_used, reason = "for tests, which fail loudly")]

mod answers;
#[cfg(feature = "failpoints")]
mod crashes;
#[cfg(feature = "failpoints")]
mod giving_way;
mod remains;
mod room;

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::calendar::{Calendar, Interval, Period, Zone};
use domain::erasure::Subject;
use domain::limits::ERASURES_UNFINISHED_MAX;
use domain::series::{Facet, Metric, SeriesQuery};
use domain::time::TimeRange;
use domain::window::WindowRule;
use ledger_embedded::{EmbeddedLedger, LedgerOptions};
use ports::ErrorKind;
use ports::active_users::{ActiveUsers, ActiveUsersQuery};
use ports::analytics::Analytics;
use ports::erasures::{ErasureStage, Erasures};
use ports::journal::Delivery;
use ports::ledger::{Ledger, Outcome};
use ports::testing::ledger::MemoryLedger;
use ports::testing::ledger::conformance::erasing::{TENANTS, answers, confirm, request};
use ports::testing::ledger::conformance::{erasures_conformance, random_erasures_conformance};
use ports::testing::ledger::records::{EventSpec, at, event, record, scope};
use proptest::prelude::*;

use crate::folder::{TestFolder, small};

#[derive(Debug, Clone)]
enum Step {
    Record { tenant: usize, events: Vec<Ev> },
    Flush,
    Maintain,
    Restart,
    Erase { tenant: usize, subject: Subject, blocks: bool },
}

#[derive(Debug, Clone)]
struct Ev {
    id: u8,
    seconds: i64,
    customer: Option<u8>,
    user: Option<u8>,
    project: Option<u8>,
    kind: u8,
    endpoint: Option<u8>,
    model: Option<u8>,
    tokens: u64,
    latency: Option<u64>,
}

fn ev() -> impl Strategy<Value = Ev> {
    let names = (
        proptest::option::weighted(0.8, 0_u8..3),
        proptest::option::weighted(0.8, 0_u8..4),
        proptest::option::of(0_u8..2),
        0_u8..2,
        proptest::option::of(0_u8..2),
        proptest::option::of(0_u8..2),
    );
    (0_u8..90, 0_i64..200_000, names, 0_u64..100, proptest::option::of(1_u64..500)).prop_map(
        |(id, seconds, (customer, user, project, kind, endpoint, model), tokens, latency)| Ev {
            id,
            seconds,
            customer,
            user,
            project,
            kind,
            endpoint,
            model,
            tokens,
            latency,
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    let subject = prop_oneof![
        (0_u8..5).prop_map(|user| Subject::User(format!("u{user}"))),
        (0_u8..4).prop_map(|customer| Subject::Customer(format!("c{customer}"))),
    ];
    prop_oneof![
        10 => (0_usize..2, proptest::collection::vec(ev(), 1..6))
            .prop_map(|(tenant, events)| Step::Record { tenant, events }),
        2 => Just(Step::Flush),
        2 => Just(Step::Maintain),
        1 => Just(Step::Restart),
        2 => (0_usize..2, subject, proptest::bool::weighted(0.2))
            .prop_map(|(tenant, subject, blocks)| Step::Erase { tenant, subject, blocks }),
    ]
}

/// Gives an event a text.
type Set = fn(EventSpec, &str) -> EventSpec;

fn spec(ev: &Ev) -> EventSpec {
    let mut spec = event(&format!("e{}", ev.id), ev.seconds).kind(&format!("k{}", ev.kind)).tokens(ev.tokens, 3);
    let fields: [(Option<u8>, Set, &str); 5] = [
        (ev.customer, |spec, name| spec.customer(name), "c"),
        (ev.user, |spec, name| spec.user(name), "u"),
        (ev.project, |spec, name| spec.project(name), "p"),
        (ev.endpoint, |spec, name| spec.endpoint(name), "/e"),
        (ev.model, |spec, name| spec.model(name), "m"),
    ];
    for (number, set, prefix) in fields {
        if let Some(number) = number {
            spec = set(spec, &format!("{prefix}{number}"));
        }
    }
    ev.latency.map_or(spec.clone(), |latency| spec.latency_ms(latency))
}

/// Makes the erasures that were asked for, to their end.
async fn finish(ledger: &EmbeddedLedger) {
    ledger.maintain().await.expect("maintain");
    confirm(ledger);
    ledger.maintain().await.expect("maintain");
}

fn options() -> LedgerOptions {
    small(WindowRule::default())
}

async fn differences(ledger: &EmbeddedLedger) -> Vec<String> {
    let mut differences = Vec::new();
    ledger.verify(&mut |difference| differences.push(difference.to_string())).await.expect("verify");
    differences
}

struct World {
    folder: TestFolder,
    ledger: Arc<EmbeddedLedger>,
    oracle: MemoryLedger,
    journal: Vec<Delivery>,
    erasures: usize,
}

impl World {
    async fn new() -> Self {
        let folder = TestFolder::new();
        let ledger = folder.open(options()).await;
        let oracle = MemoryLedger::new(WindowRule::default());
        Self { folder, ledger, oracle, journal: Vec::new(), erasures: 0 }
    }

    async fn record(&mut self, tenant: usize, events: &[Ev]) -> Vec<Outcome> {
        let events: Vec<_> = events.iter().map(spec).collect();
        let seq = self.journal.len() as u64 + 1;
        let entry = record(seq, &scope(TENANTS[tenant]), at(200_000), &events);
        let expected = self.oracle.apply(std::slice::from_ref(&entry)).await;
        let found = self.ledger.apply(std::slice::from_ref(&entry)).await;
        assert!(found.failed.is_none(), "{:?}", found.failed);
        assert_eq!(found.applied, expected.applied);
        self.journal.push(entry);
        found.applied.into_iter().flat_map(|applied| applied.outcomes).collect()
    }

    async fn restart(&mut self) {
        self.ledger = self.folder.open(options()).await;
        let from = usize::try_from(self.ledger.cursor().0).expect("a cursor");
        let replayed = self.ledger.apply(&self.journal[from..]).await;
        assert!(replayed.failed.is_none(), "{:?}", replayed.failed);
    }

    async fn erase(&mut self, tenant: usize, subject: &Subject, blocks: bool) {
        self.erasures += 1;
        let request = request(self.erasures, subject, blocks);
        self.oracle.erase(&scope(TENANTS[tenant]), &request).await.expect("an erasure");
        confirm(&self.oracle);
        self.ledger.erase(&scope(TENANTS[tenant]), &request).await.expect("an erasure");
        finish(&self.ledger).await;
    }

    async fn check(&self) {
        for (expected, found) in answers(&self.oracle).await.into_iter().zip(answers(&*self.ledger).await) {
            assert_eq!(found, expected);
        }
        for tenant in TENANTS.map(scope) {
            let told = |ledger: &dyn Erasures| -> Vec<_> {
                let erasures = ledger.erasures(&tenant).into_iter();
                erasures.map(|one| (one.id, one.kind, one.blocks, one.gone.events, one.finished_at.is_some())).collect()
            };
            assert_eq!(told(&*self.ledger), told(&self.oracle));
        }
    }
}

async fn run(steps: Vec<Step>) {
    let mut world = World::new().await;
    for step in steps {
        match step {
            Step::Record { tenant, events } => drop(world.record(tenant, &events).await),
            Step::Flush => drop(world.ledger.flush().await.expect("flush")),
            Step::Maintain => world.ledger.maintain().await.expect("maintain"),
            Step::Restart => world.restart().await,
            Step::Erase { tenant, subject, blocks } => world.erase(tenant, &subject, blocks).await,
        }
    }
    world.check().await;
    assert_eq!(differences(&world.ledger).await, Vec::<String>::new());
    world.restart().await;
    world.check().await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn i3_what_an_erasure_leaves_is_what_was_there(steps in proptest::collection::vec(step(), 5..50)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(run(steps));
    }
}

#[tokio::test]
async fn erasures_are_those_of_every_ledger() {
    erasures_conformance(async || TestFolder::new()).await;
    random_erasures_conformance(1..=6, async || TestFolder::new()).await;
}

fn visit(id: u8, customer: u8, user: u8) -> Ev {
    Ev {
        id,
        seconds: i64::from(id) * 700,
        customer: Some(customer),
        user: Some(user),
        project: Some(id % 2),
        kind: id % 2,
        endpoint: Some(id % 2),
        model: None,
        tokens: 7,
        latency: Some(3),
    }
}

async fn filled() -> World {
    let mut world = World::new().await;
    for id in 0..40 {
        world.record(0, &[visit(id, id % 3, id % 4)]).await;
        world.record(1, &[visit(id, id % 3, id % 4)]).await;
    }
    world
}

#[tokio::test]
async fn a_repetition_of_an_erased_event_is_told_and_a_new_one_counts() {
    let mut world = filled().await;
    world.erase(0, &Subject::Customer("c1".to_owned()), false).await;
    assert_eq!(world.record(0, &[visit(1, 1, 1)]).await, [Outcome::Erased]);
    assert_eq!(world.record(0, &[visit(2, 2, 2)]).await, [Outcome::Duplicate], "of another customer");
    assert_eq!(world.record(1, &[visit(1, 1, 1)]).await, [Outcome::Duplicate], "I5: of another tenant");
    assert_eq!(world.record(0, &[visit(80, 1, 1)]).await, [Outcome::Fresh], "it came later");
    world.check().await;
    assert_eq!(differences(&world.ledger).await, Vec::<String>::new());
}

#[tokio::test]
async fn an_erasure_that_blocks_refuses_what_comes_later_also_after_a_restart() {
    let mut world = filled().await;
    world.erase(0, &Subject::User("u1".to_owned()), true).await;
    let refuses = |world: &World, tenant: usize, user| world.ledger.refuses(&scope(TENANTS[tenant]), None, Some(user));
    for _ in 0..2 {
        assert_eq!(
            (refuses(&world, 0, "u1"), refuses(&world, 0, "u2"), refuses(&world, 1, "u1")),
            (true, false, false)
        );
        world.restart().await;
    }
    assert_eq!(world.record(0, &[visit(80, 0, 1), visit(81, 0, 2)]).await, [Outcome::Refused, Outcome::Fresh]);
    assert_eq!(world.record(1, &[visit(80, 0, 1)]).await, [Outcome::Fresh]);
    world.check().await;
}

#[tokio::test]
async fn what_was_never_seen_is_erased_at_once_and_the_same_request_is_not_made_twice() {
    let mut world = filled().await;
    world.erase(0, &Subject::User("nobody".to_owned()), false).await;
    world.erase(0, &Subject::Customer("c1".to_owned()), false).await;
    world.erase(0, &Subject::Customer("c1".to_owned()), false).await;
    world.check().await;
    let again = request(2, &Subject::Customer("c1".to_owned()), false);
    let first = world.ledger.erase(&scope("a"), &again).await.expect("the same");
    assert_eq!((first.gone.events, first.finished_at.is_some()), (13, true));
    for (tenant, other) in [
        ("a", request(2, &Subject::Customer("c2".to_owned()), false)),
        ("a", request(2, &Subject::User("c1".to_owned()), false)),
        ("a", request(2, &Subject::Customer("c1".to_owned()), true)),
        ("b", request(2, &Subject::Customer("c1".to_owned()), false)),
    ] {
        let refused = world.ledger.erase(&scope(tenant), &other).await.map_err(|why| why.kind());
        assert_eq!(refused, Err(ErrorKind::Conflict), "{tenant} {other:?}");
    }
    assert_eq!(world.ledger.erasures(&scope("a")).len(), 3);
    assert_eq!(differences(&world.ledger).await, Vec::<String>::new());
}

#[tokio::test]
async fn counts_of_users_are_an_estimate_only_where_they_need_raw_events_or_another_zone() {
    let mut world = filled().await;
    let query = |zone: &str, project: Option<&str>| ActiveUsersQuery {
        range: TimeRange::ALL,
        zone: Zone::parse(zone).expect("a zone"),
        project: project.map(str::to_owned),
        kind: project.map(|_| "k0".to_owned()),
        named_only: false,
    };
    let told = |world: &World| {
        [query("UTC", None), query("UTC", Some("p0")), query("Asia/Tokyo", None)]
            .map(|query| world.ledger.is_estimate(&scope("a"), &query))
    };
    assert_eq!(told(&world), [false; 3]);
    world.erase(0, &Subject::User("u1".to_owned()), false).await;
    assert_eq!(told(&world), [false, true, true]);
    assert!(!world.ledger.is_estimate(&scope("b"), &query("Asia/Tokyo", None)), "I5");
    let tokyo = Zone::parse("Asia/Tokyo").expect("a zone");
    ports::testing::ledger::set_zone(&*world.ledger, &scope("a"), &tokyo).await.expect("a change of zone");
    assert_eq!(told(&world), [true, true, true]);
    let days = world.ledger.active_users(&scope("a"), &query("Asia/Tokyo", None)).await.expect("users");
    let mut all = domain::users::UserSet::default();
    days.values().for_each(|users| all.merge(users));
    assert_eq!(all.len(), 4, "who was erased is still counted");
    assert_eq!(differences(&world.ledger).await, Vec::<String>::new());
}

#[tokio::test]
async fn of_a_whole_workspace_nothing_is_left_and_nothing_comes_again() {
    let mut world = filled().await;
    world.ledger.flush().await.expect("flush");
    world.erasures += 1;
    let whole = request(world.erasures, &Subject::Workspace, true);
    let before: BTreeMap<_, _> = [("b", answers_of(&world, "b").await)].into();
    world.ledger.erase(&scope("a"), &whole).await.expect("an erasure");
    finish(&world.ledger).await;
    assert_eq!(answers_of(&world, "b").await, before["b"], "I5: nobody else's");
    let left = answers_of(&world, "a").await;
    assert_eq!(left, answers_of(&World::new().await, "a").await, "as if it had never been");
    let events = [event("e1", 5), event("new", 5).customer("c1")];
    let entry = record(world.journal.len() as u64 + 1, &scope("a"), at(200_000), &events);
    let applied = world.ledger.apply(&[entry]).await.applied;
    assert_eq!(applied[0].outcomes, [Outcome::Refused, Outcome::Refused]);
    assert_eq!(differences(&world.ledger).await, Vec::<String>::new());
    let reopened = world.folder.open(options()).await;
    assert_eq!(reopened.erasures(&scope("a")).len(), 1);
    assert_eq!(differences(&reopened).await, Vec::<String>::new());
}

/// Found in November 2026: the store forgot whom it erased before the catalog had, which then had nothing to go by after
/// a kill.
#[tokio::test]
async fn i4_whom_an_erasure_is_about_is_known_until_the_catalog_has_forgotten() {
    let mut world = filled().await;
    let subject = Subject::User("u1".to_owned());
    let asked = request(1, &subject, false);
    world.ledger.erase(&scope("a"), &asked).await.expect("an erasure");
    world.oracle.erase(&scope("a"), &asked).await.expect("an erasure");
    let told = |world: &World| {
        let unfinished = world.ledger.unfinished().into_iter();
        unfinished.map(|one| (one.id, one.subject, one.stage)).collect::<Vec<_>>()
    };
    let at = |stage| vec![("erasure-1".to_owned(), Some(subject.clone()), stage)];
    assert_eq!(told(&world), at(ErasureStage::Removing));
    confirm(&*world.ledger);
    for _ in 0..2 {
        for _ in 0..2 {
            world.ledger.maintain().await.expect("maintain");
            assert_eq!(told(&world), at(ErasureStage::Removed), "a confirmation before that says nothing");
        }
        world.check().await;
        assert_eq!(differences(&world.ledger).await, Vec::<String>::new());
        world.restart().await;
        assert_eq!(told(&world), at(ErasureStage::Removing), "what was done is done again, and finds nothing");
    }
    finish(&world.ledger).await;
    confirm(&world.oracle);
    world.check().await;
    assert_eq!(told(&world), []);
    world.restart().await;
    assert_eq!(told(&world), []);
}

#[tokio::test]
async fn segments_are_merged_while_an_erasure_waits_for_the_catalog() {
    let mut world = filled().await;
    world.ledger.flush().await.expect("flush");
    let segments = world.ledger.stats().segments;
    let asked = request(1, &Subject::Customer("c1".to_owned()), false);
    world.ledger.erase(&scope("a"), &asked).await.expect("an erasure");
    world.oracle.erase(&scope("a"), &asked).await.expect("an erasure");
    for id in 80..85 {
        world.record(0, &[visit(id, 1, 1)]).await;
        world.record(1, &[visit(id, 1, 1)]).await;
    }
    world.ledger.flush().await.expect("flush");
    world.ledger.maintain().await.expect("maintain");
    assert!(world.ledger.stats().segments < segments, "{segments} before");
    world.restart().await;
    finish(&world.ledger).await;
    confirm(&world.oracle);
    world.check().await;
    assert_eq!(differences(&world.ledger).await, Vec::<String>::new());
}

/// Found in November 2026: only the 10,000 of all time were a bound, and each is looked for in every segment.
#[tokio::test]
async fn i6_a_workspace_has_so_many_erasures_under_way_and_no_more() {
    let world = World::new().await;
    let ask = async |tenant: &str, number: usize| {
        let asked = request(number, &Subject::User(format!("u{number}")), false);
        world.ledger.erase(&scope(tenant), &asked).await.map(drop).map_err(|why| why.kind())
    };
    for number in 0..ERASURES_UNFINISHED_MAX {
        assert_eq!(ask("a", number).await, Ok(()), "{number}");
    }
    let next = ERASURES_UNFINISHED_MAX;
    assert_eq!(ask("a", next).await, Err(ErrorKind::Overloaded));
    assert_eq!(ask("a", 0).await, Ok(()), "the same is no more than it was");
    assert_eq!(ask("b", next + 1).await, Ok(()), "I5: of another tenant");
    finish(&world.ledger).await;
    assert_eq!(ask("a", next).await, Ok(()));
}

async fn answers_of(world: &World, tenant: &str) -> Vec<String> {
    let all = answers(&*world.ledger).await;
    all.into_iter().filter(|answer| answer.starts_with(&format!("{tenant} "))).collect()
}
