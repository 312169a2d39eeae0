//! Erasures against the memory twin, which keeps every event and only forgets names: what stays is what it was, also
//! after a restart. The seed of a failing run is in the message.

mod answers;

use std::ops::RangeInclusive;
use std::sync::Arc;

use domain::calendar::Zone;
use domain::erasure::{ErasureRequest, Subject};
use domain::limits::ERASURES_UNFINISHED_MAX;
use domain::position::Seq;
use domain::time::TimeRange;
use domain::window::WindowRule;

use super::dice::Dice;
use super::questions::Home;
use crate::ErrorKind;
use crate::active_users::{ActiveUsers, ActiveUsersQuery};
use crate::erasures::{ErasureStage, Erasures};
use crate::journal::Delivery;
use crate::ledger::{Ledger, Outcome};
use crate::reports::Reports;
use crate::testing::ledger::records::{EventSpec, at, event, record, scope};
use crate::testing::ledger::{MemoryLedger, set_zone};

pub use answers::{TENANTS, answers};

/// Steps of a random run.
const STEPS: u32 = 40;

/// Erases where it matters. `home` gives an empty home, with windows by the default rule.
///
/// # Panics
/// When an answer is not the oracle's.
pub async fn erasures_conformance<H>(home: impl AsyncFn() -> H)
where
    H: Home,
    H::Ledger: Reports + Erasures,
{
    a_repetition_of_an_erased_event_is_told_and_a_new_one_counts(World::filled(home().await).await).await;
    an_erasure_that_blocks_refuses_what_comes_later(World::filled(home().await).await).await;
    who_comes_back_while_an_erasure_is_made_stays(World::filled(home().await).await).await;
    what_was_never_seen_is_erased_and_a_request_is_made_once(World::filled(home().await).await).await;
    of_a_whole_workspace_nothing_is_left(World::filled(home().await).await, home().await).await;
    i4_whom_an_erasure_is_about_is_known_until_others_have_forgotten(World::filled(home().await).await).await;
    a_customer_that_is_erased_is_not_counted_apart(World::filled(home().await).await).await;
    days_of_erased_users_are_of_the_zone_of_then(World::filled(home().await).await).await;
    i6_a_workspace_has_so_many_erasures_under_way_and_no_more(World::new(home().await).await).await;
}

/// An erasure as it is asked for, of this number.
pub fn request(number: usize, subject: &Subject, blocks: bool) -> ErasureRequest {
    ErasureRequest { id: format!("erasure-{number}"), subject: subject.clone(), blocks, by: "user:a".to_owned() }
}

/// Says what other stores say when they have forgotten.
pub fn confirm(ledger: &dyn Erasures) {
    let ids: Vec<_> = ledger.unfinished().into_iter().map(|one| one.id).collect();
    ledger.confirm(&ids);
}

struct World<H: Home> {
    seed: u64,
    home: H,
    ledger: Arc<H::Ledger>,
    oracle: MemoryLedger,
    journal: Vec<Delivery>,
    erasures: usize,
}

impl<H: Home> World<H>
where
    H::Ledger: Reports + Erasures,
{
    async fn new(home: H) -> Self {
        let ledger = home.open().await;
        let oracle = MemoryLedger::new(WindowRule::default());
        Self { seed: 0, home, ledger, oracle, journal: Vec::new(), erasures: 0 }
    }

    async fn filled(home: H) -> Self {
        let mut world = Self::new(home).await;
        for id in 0..40 {
            for tenant in 0..TENANTS.len() {
                world.record(tenant, &[visit(id, id % 3, id % 4)]).await;
            }
        }
        world
    }

    async fn record(&mut self, tenant: usize, events: &[EventSpec]) -> Vec<Outcome> {
        let seq = self.journal.len() as u64 + 1;
        let entry = record(seq, &scope(TENANTS[tenant]), at(200_000), events);
        let expected = self.oracle.apply(std::slice::from_ref(&entry)).await;
        let found = self.ledger.apply(std::slice::from_ref(&entry)).await;
        assert!(found.failed.is_none(), "seed {}: {:?}", self.seed, found.failed);
        assert_eq!(found.applied, expected.applied, "seed {}", self.seed);
        self.journal.push(entry);
        found.applied.into_iter().flat_map(|applied| applied.outcomes).collect()
    }

    async fn restart(&mut self) {
        self.ledger = self.home.open().await;
        let flushed = self.ledger.cursor();
        let rest: Vec<Delivery> =
            self.journal.iter().filter(|entry| Seq::of_record(entry.id) > flushed).cloned().collect();
        let replayed = self.ledger.apply(&rest).await;
        assert!(replayed.failed.is_none(), "seed {}: {:?}", self.seed, replayed.failed);
    }

    /// Makes the erasures that were asked for, to their end.
    async fn finish(&self) {
        for _ in 0..2 {
            self.home.maintain(&self.ledger).await.expect("maintenance");
            confirm(&*self.ledger);
        }
        self.home.maintain(&self.ledger).await.expect("maintenance");
        confirm(&self.oracle);
    }

    async fn ask(&mut self, tenant: usize, subject: &Subject, blocks: bool) {
        self.erasures += 1;
        let request = request(self.erasures, subject, blocks);
        self.oracle.erase(&scope(TENANTS[tenant]), &request).await.expect("an erasure");
        self.ledger.erase(&scope(TENANTS[tenant]), &request).await.expect("an erasure");
    }

    async fn erase(&mut self, tenant: usize, subject: &Subject, blocks: bool) {
        self.ask(tenant, subject, blocks).await;
        self.finish().await;
    }

    async fn check(&self) {
        for (expected, found) in answers(&self.oracle).await.into_iter().zip(answers(&*self.ledger).await) {
            assert_eq!(found, expected, "seed {}", self.seed);
        }
        for tenant in TENANTS.map(scope) {
            let told = |ledger: &dyn Erasures| -> Vec<_> {
                let erasures = ledger.erasures(&tenant).into_iter();
                erasures.map(|one| (one.id, one.kind, one.blocks, one.gone.events, one.finished_at.is_some())).collect()
            };
            assert_eq!(told(&*self.ledger), told(&self.oracle), "seed {}", self.seed);
        }
    }

    async fn step(&mut self, dice: &mut Dice) {
        let tenant = usize::try_from(dice.below(2)).unwrap_or_default();
        match dice.below(17) {
            0..10 => {
                let events: Vec<_> = (0..=dice.below(5)).map(|_| random_event(dice)).collect();
                self.record(tenant, &events).await;
            }
            10..12 => drop(self.ledger.flush().await.expect("a flush")),
            12..14 => self.home.maintain(&self.ledger).await.expect("maintenance"),
            14 => self.restart().await,
            _ => {
                let subject = match dice.below(2) {
                    0 => Subject::User(format!("u{}", dice.below(5))),
                    _ => Subject::Customer(format!("c{}", dice.below(4))),
                };
                let blocks = dice.below(5) == 0;
                self.erase(tenant, &subject, blocks).await;
            }
        }
    }
}

fn random_event(dice: &mut Dice) -> EventSpec {
    type Set = fn(EventSpec, &str) -> EventSpec;
    let (id, seconds) = (format!("e{}", dice.below(90)), dice.below(200_000));
    let mut event = event(&id, seconds).kind(&format!("k{}", dice.below(2)));
    event = event.tokens(dice.below(100).unsigned_abs(), 3);
    let fields: [(u32, u32, Set, &str); 5] = [
        (5, 3, |event, name| event.customer(name), "c"),
        (5, 4, |event, name| event.user(name), "u"),
        (2, 2, |event, name| event.project(name), "p"),
        (2, 2, |event, name| event.endpoint(name), "/e"),
        (2, 2, |event, name| event.model(name), "m"),
    ];
    for (one_in, names, set, prefix) in fields {
        if dice.below(one_in) > 0 {
            event = set(event, &format!("{prefix}{}", dice.below(names)));
        }
    }
    if dice.below(2) > 0 { event.latency_ms(1 + dice.below(500).unsigned_abs()) } else { event }
}

fn visit(id: u8, customer: u8, user: u8) -> EventSpec {
    let part = id % 2;
    event(&format!("e{id}"), i64::from(id) * 700)
        .kind(&format!("k{part}"))
        .customer(&format!("c{customer}"))
        .user(&format!("u{user}"))
        .project(&format!("p{part}"))
        .endpoint(&format!("/e{part}"))
        .tokens(7, 3)
        .latency_ms(3)
}

fn user(name: &str) -> Subject {
    Subject::User(name.to_owned())
}

fn customer(name: &str) -> Subject {
    Subject::Customer(name.to_owned())
}

/// Erases at random, in one run for each seed. `home` gives an empty home, with windows by the default rule.
///
/// # Panics
/// When an answer is not the oracle's.
pub async fn random_erasures_conformance<H>(seeds: RangeInclusive<u64>, home: impl AsyncFn() -> H)
where
    H: Home,
    H::Ledger: Reports + Erasures,
{
    for seed in seeds {
        let mut world = World::new(home().await).await;
        world.seed = seed;
        let mut dice = Dice::new(seed);
        for _ in 0..STEPS {
            world.step(&mut dice).await;
        }
        world.check().await;
        world.restart().await;
        world.check().await;
    }
}

async fn a_repetition_of_an_erased_event_is_told_and_a_new_one_counts<H: Home>(mut world: World<H>)
where
    H::Ledger: Reports + Erasures,
{
    world.erase(0, &customer("c1"), false).await;
    assert_eq!(world.record(0, &[visit(1, 1, 1)]).await, [Outcome::Erased]);
    assert_eq!(world.record(0, &[visit(2, 2, 2)]).await, [Outcome::Duplicate], "of another customer");
    assert_eq!(world.record(1, &[visit(1, 1, 1)]).await, [Outcome::Duplicate], "I5: of another tenant");
    assert_eq!(world.record(0, &[visit(80, 1, 1)]).await, [Outcome::Fresh], "it came later");
    world.check().await;
}

async fn an_erasure_that_blocks_refuses_what_comes_later<H: Home>(mut world: World<H>)
where
    H::Ledger: Reports + Erasures,
{
    world.erase(0, &user("u1"), true).await;
    for _ in 0..2 {
        let refuses = |tenant: &str, user| world.ledger.refuses(&scope(tenant), None, Some(user));
        assert_eq!((refuses("a", "u1"), refuses("a", "u2"), refuses("b", "u1")), (true, false, false));
        world.restart().await;
    }
    let events = [visit(80, 0, 1), visit(81, 0, 2), visit(80, 0, 1)];
    assert_eq!(world.record(0, &events).await, [Outcome::Refused, Outcome::Fresh, Outcome::Refused]);
    assert_eq!(world.record(1, &[visit(80, 0, 1)]).await, [Outcome::Fresh]);
    world.check().await;
}

/// What comes between the request and its end is not covered, also where it adds to the same windows.
async fn who_comes_back_while_an_erasure_is_made_stays<H: Home>(mut world: World<H>)
where
    H::Ledger: Reports + Erasures,
{
    for (tenant, subject) in [(0, customer("c1")), (1, user("u1"))] {
        world.ask(tenant, &subject, false).await;
        let again = [event("late", 700).customer("c1").user("u1").kind("k1").endpoint("/e1"), visit(80, 1, 1)];
        world.record(tenant, &again).await;
        world.finish().await;
        world.check().await;
        world.restart().await;
        world.check().await;
    }
}

async fn what_was_never_seen_is_erased_and_a_request_is_made_once<H: Home>(mut world: World<H>)
where
    H::Ledger: Reports + Erasures,
{
    for subject in [user("nobody"), customer("c1"), customer("c1")] {
        world.erase(0, &subject, false).await;
    }
    world.check().await;
    let first = world.ledger.erase(&scope("a"), &request(2, &customer("c1"), false)).await.expect("the same");
    assert_eq!((first.gone.events, first.finished_at.is_some()), (13, true));
    for (tenant, other) in [
        ("a", request(2, &customer("c2"), false)),
        ("a", request(2, &user("c1"), false)),
        ("a", request(2, &customer("c1"), true)),
        ("b", request(2, &customer("c1"), false)),
    ] {
        let refused = world.ledger.erase(&scope(tenant), &other).await.map_err(|why| why.kind());
        assert_eq!(refused, Err(ErrorKind::Conflict), "{tenant} {other:?}");
    }
    assert_eq!(world.ledger.erasures(&scope("a")).len(), 3);
}

async fn of_a_whole_workspace_nothing_is_left<H: Home>(mut world: World<H>, empty: H)
where
    H::Ledger: Reports + Erasures,
{
    world.erase(0, &customer("c1"), false).await;
    world.erase(0, &user("u2"), false).await;
    world.erasures += 1;
    let of = |answers: Vec<String>, tenant: &str| -> Vec<_> {
        answers.into_iter().filter(|answer| answer.starts_with(&format!("{tenant} "))).collect()
    };
    let others = of(answers(&*world.ledger).await, "b");
    let whole = request(world.erasures, &Subject::Workspace, true);
    world.ledger.erase(&scope("a"), &whole).await.expect("an erasure");
    world.finish().await;
    let left = answers(&*world.ledger).await;
    assert_eq!(of(left.clone(), "b"), others, "I5: nobody else's");
    assert_eq!(of(left, "a"), of(answers(&*empty.open().await).await, "a"), "as if it had never been");
    assert_eq!(world.ledger.names().iter().filter(|(tenant, ..)| tenant.as_str() == "a").count(), 0);
    for _ in 0..2 {
        assert!(world.ledger.refuses(&scope("a"), None, None) && !world.ledger.refuses(&scope("b"), None, None));
        let erased: Vec<_> = world.ledger.erased_tenants().iter().map(|tenant| tenant.as_str().to_owned()).collect();
        assert_eq!(erased, ["a"]);
        let seq = world.ledger.applied().next();
        let entry = record(seq.0, &scope("a"), at(200_000), &[event("e1", 5), event("new", 5).customer("c1")]);
        let applied = world.ledger.apply(std::slice::from_ref(&entry)).await.applied;
        assert_eq!(applied[0].outcomes, [Outcome::Refused, Outcome::Refused]);
        world.journal.push(entry);
        world.restart().await;
    }
    assert_eq!(world.ledger.erasures(&scope("a")).len(), world.erasures);
}

async fn i4_whom_an_erasure_is_about_is_known_until_others_have_forgotten<H: Home>(mut world: World<H>)
where
    H::Ledger: Reports + Erasures,
{
    let subject = user("u1");
    world.ask(0, &subject, false).await;
    let told = |world: &World<H>| {
        let unfinished = world.ledger.unfinished().into_iter();
        unfinished.map(|one| (one.id, one.subject, one.stage)).collect::<Vec<_>>()
    };
    let at = |stage| vec![("erasure-1".to_owned(), Some(subject.clone()), stage)];
    assert_eq!(told(&world), at(ErasureStage::Removing));
    confirm(&*world.ledger);
    world.home.maintain(&world.ledger).await.expect("maintenance");
    assert_eq!(told(&world), at(ErasureStage::Removed), "a confirmation before that says nothing");
    world.check().await;
    world.restart().await;
    world.home.maintain(&world.ledger).await.expect("maintenance");
    assert_eq!(told(&world), at(ErasureStage::Removed));
    world.finish().await;
    assert_eq!(told(&world), []);
    world.check().await;
    world.restart().await;
    assert_eq!(told(&world), []);
}

async fn a_customer_that_is_erased_is_not_counted_apart<H: Home>(mut world: World<H>)
where
    H::Ledger: Reports + Erasures,
{
    let (a, day) = (scope("a"), TimeRange::new(at(190_000), at(210_000)).expect("a range"));
    world.ledger.meter_customer(&a, "c1").await.expect("counted apart");
    let received = world.ledger.received(&a, day).await.expect("what was received");
    assert_eq!(received.by_customer.keys().collect::<Vec<_>>(), ["c1"]);
    world.ask(0, &customer("c1"), false).await;
    let refused = world.ledger.meter_customer(&a, "c1").await.map_err(|why| why.kind());
    assert_eq!(refused, Err(ErrorKind::Conflict));
    let left = world.ledger.received(&a, day).await.expect("what was received");
    assert_eq!((left.by_customer.len(), left.all), (0, received.all));
    world.finish().await;
    world.ledger.meter_customer(&a, "c1").await.expect("it may come again");
    world.record(0, &[visit(80, 1, 1)]).await;
    let again = world.ledger.received(&a, day).await.expect("what was received");
    assert_eq!(again.by_customer.get("c1").map(|amounts| amounts.events), Some(1));
}

async fn days_of_erased_users_are_of_the_zone_of_then<H: Home>(mut world: World<H>)
where
    H::Ledger: Reports + Erasures,
{
    let users = |zone: &str| ActiveUsersQuery {
        range: TimeRange::ALL,
        zone: Zone::parse(zone).expect("a zone"),
        project: None,
        kind: None,
        named_only: false,
    };
    let is_estimate = |world: &World<H>, zone: &str| world.ledger.is_estimate(&scope("a"), &users(zone));
    assert!(!is_estimate(&world, "Asia/Tokyo"));
    world.erase(0, &user("u1"), false).await;
    assert_eq!((is_estimate(&world, "UTC"), is_estimate(&world, "Asia/Tokyo")), (false, true));
    assert_eq!(world.ledger.erasures(&scope("a"))[0].zone, "UTC");
    let tokyo = Zone::parse("Asia/Tokyo").expect("a zone");
    set_zone(&*world.ledger, &scope("a"), &tokyo).await.expect("a change of zone");
    assert!(is_estimate(&world, "Asia/Tokyo") && !is_estimate_of_other(&world, &users("UTC")));
    let days = world.ledger.active_users(&scope("a"), &users("Asia/Tokyo")).await.expect("users");
    let mut all = domain::users::UserSet::default();
    days.values().for_each(|users| all.merge(users));
    assert_eq!(all.len(), 4, "who was erased is still counted");
}

/// I5: another tenant has erased nothing.
fn is_estimate_of_other<H: Home>(world: &World<H>, query: &ActiveUsersQuery) -> bool {
    world.ledger.is_estimate(&scope("b"), query)
}

async fn i6_a_workspace_has_so_many_erasures_under_way_and_no_more<H: Home>(world: World<H>)
where
    H::Ledger: Reports + Erasures,
{
    let ask = async |tenant: &str, number: usize| {
        let asked = request(number, &user(&format!("u{number}")), false);
        world.ledger.erase(&scope(tenant), &asked).await.map(drop).map_err(|why| why.kind())
    };
    for number in 0..ERASURES_UNFINISHED_MAX {
        assert_eq!(ask("a", number).await, Ok(()), "{number}");
    }
    let next = ERASURES_UNFINISHED_MAX;
    assert_eq!(ask("a", next).await, Err(ErrorKind::Overloaded));
    assert_eq!(ask("a", 0).await, Ok(()), "the same is no more than it was");
    assert_eq!(ask("b", next + 1).await, Ok(()), "I5: of another tenant");
    world.finish().await;
    assert_eq!(ask("a", next).await, Ok(()));
}
