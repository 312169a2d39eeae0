//! Quotas over the whole pipeline: what is admitted against an oracle, over restarts, duplicates, changes of quota and
//! zone, jumps of the clock and failures of the journal.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use domain::access::audit::Cause;
use domain::calendar::Zone;
use domain::erasure::{ErasureRequest, Subject};
use domain::quota::{Measure, QuotaCalendar, QuotaKey, QuotaPeriod, QuotaTerms};
use domain::time::Timestamp;
use pipeline::{IngestError, IngestRequest, QuotaError, SettingsChange};
use ports::ErrorKind;
use ports::erasures::Erasures;
use ports::register::Register;
use ports::testing::journal::AppendFault;
use ports::testing::ledger::records::scope;
use proptest::prelude::*;

use crate::twins::{ExactLookups, LedgerFaults};
use crate::world::{World, request, verdicts, within};

const HARD: bool = true;

fn key(customer: Option<&str>, measure: Measure, period: QuotaPeriod) -> QuotaKey {
    QuotaKey { customer: customer.map(str::to_owned), measure, period }
}

async fn set(world: &World, key: QuotaKey, limit: u64, is_hard: bool) {
    let terms = Some(QuotaTerms { limit, is_hard });
    world.settings.quotas().set(&scope("a"), key, terms, None, &Cause::command()).await.unwrap();
}

/// What is used of the quotas of tenant `a`.
async fn used(world: &World) -> Vec<u64> {
    let states = world.settings.quotas().states(&scope("a"), |_| true).await.unwrap();
    states.iter().map(|state| state.used).collect()
}

async fn restarted(world: World) -> World {
    let world = world.restart(LedgerFaults::default());
    world.settings.quotas().load().await.unwrap();
    world
}

fn events(ids: &[&str]) -> String {
    let events: Vec<_> = ids.iter().map(|id| format!(r#"{{"id":"{id}"}}"#)).collect();
    format!("[{}]", events.join(","))
}

const OF_MONTH: QuotaKey = QuotaKey { customer: None, measure: Measure::Events, period: QuotaPeriod::Month };

#[tokio::test]
async fn a_hard_quota_admits_up_to_its_limit_over_a_restart_and_no_further() {
    let world = World::new();
    world.post_and_wait("a", &events(&["0"])).await;
    set(&world, OF_MONTH, 4, HARD).await;
    let answer = world.post_and_wait("a", &events(&["1", "2", "1"])).await;
    assert_eq!(verdicts(&answer), ["1 accepted", "2 accepted", "1 duplicate"]);
    let world = restarted(world).await;
    assert_eq!(used(&world).await, [3]);
    let answer = world.post_and_wait("a", &events(&["2", "3", "4", "4"])).await;
    let expected = ["2 duplicate", "3 accepted", "4 rejected quota_exceeded", "4 rejected quota_exceeded"];
    assert_eq!(verdicts(&answer), expected, "a known id is a duplicate whatever is left");
    let answer = world.post("a", &events(&["0", "3"])).await.unwrap();
    assert_eq!(verdicts(&answer), ["0 duplicate", "3 duplicate"]);
    let answer = world.post_and_wait("b", &events(&["1", "2", "3", "4", "5"])).await;
    assert_eq!(answer.accepted, 5, "I5: another workspace has no quota");
    assert_eq!(world.metric(r#"events_failed_total{reason="quota_exceeded"}"#).await, Some(2.0));
    world.clock.advance(Duration::from_secs(31 * 24 * 3_600));
    let answer = world.post_and_wait("a", &events(&["4", "5", "6", "7", "8"])).await;
    assert_eq!((answer.accepted, answer.rejected), (4, 1), "the next month");
}

#[tokio::test]
async fn nothing_passes_a_quota_of_0_and_a_lowered_one_refuses_until_its_period_ends() {
    let world = World::new();
    set(&world, OF_MONTH, 3, HARD).await;
    assert_eq!(world.post_and_wait("a", &events(&["1", "2", "3"])).await.accepted, 3);
    set(&world, OF_MONTH, 1, HARD).await;
    assert_eq!(verdicts(&world.post("a", &events(&["4"])).await.unwrap()), ["4 rejected quota_exceeded"]);
    set(&world, OF_MONTH, 4, HARD).await;
    assert_eq!(world.post_and_wait("a", &events(&["4", "5"])).await.accepted, 1);
    set(&world, OF_MONTH, 0, HARD).await;
    set(&world, key(None, Measure::Events, QuotaPeriod::Day), 0, HARD).await;
    world.clock.advance(Duration::from_secs(31 * 24 * 3_600));
    assert_eq!(world.post("a", &events(&["6"])).await.unwrap().accepted, 0);
    let quotas = world.settings.quotas();
    for key in [OF_MONTH, key(None, Measure::Events, QuotaPeriod::Day)] {
        assert!(quotas.set(&scope("a"), key.clone(), None, None, &Cause::command()).await.unwrap().is_some());
        assert!(quotas.set(&scope("a"), key, None, None, &Cause::command()).await.unwrap().is_none(), "it is gone");
    }
    assert_eq!(world.post_and_wait("a", &events(&["6"])).await.accepted, 1);
}

#[tokio::test]
async fn a_soft_quota_tells_and_refuses_nothing() {
    let world = World::new();
    set(&world, OF_MONTH, 1, !HARD).await;
    let asking = IngestRequest { quota: true, wait: true, ..request(&events(&["1", "2", "3"])) };
    let answer = world.send("a", asking);
    let answer = answer.await.unwrap();
    assert_eq!((answer.accepted, answer.over_soft_quota), (3, 2));
    assert_eq!(world.post("a", &events(&["1", "2"])).await.unwrap().over_soft_quota, 0, "duplicates use nothing");
    let states = answer.quotas.unwrap();
    assert_eq!((states[0].used, states[0].left()), (3, 0));
    assert_eq!(world.metric("quota_soft_exceeded_total").await, Some(2.0));
}

#[tokio::test]
async fn what_a_customer_used_before_its_quota_counts() {
    let world = World::new();
    let of = |customer: &str, ids: std::ops::Range<u32>| {
        let event = |id| format!(r#"{{"id":"{customer}{id}","customer":"{customer}","tokens":10}}"#);
        format!("[{}]", ids.map(event).collect::<Vec<_>>().join(","))
    };
    world.post_and_wait("a", &of("x", 0..3)).await;
    set(&world, key(Some("x"), Measure::Tokens, QuotaPeriod::Month), 45, HARD).await;
    assert_eq!(used(&world).await, [30]);
    let answer = world.post_and_wait("a", &of("x", 3..6)).await;
    assert_eq!(verdicts(&answer), ["x3 accepted", "x4 rejected quota_exceeded", "x5 rejected quota_exceeded"]);
    assert_eq!(answer.results[1].field.as_deref(), Some("customer"));
    assert_eq!(world.post_and_wait("a", &of("y", 0..9)).await.accepted, 9, "another customer's are not refused");
}

#[tokio::test]
async fn what_the_journal_does_not_take_and_duplicates_on_their_way_give_back_what_they_reserved() {
    let world = World::new();
    set(&world, OF_MONTH, 3, HARD).await;
    assert_eq!(used(&world).await, [0]);
    world.journal.inner().fail_appends(Some(AppendFault { kind: ErrorKind::Full, kept: false }));
    assert_eq!(world.post("a", &events(&["1", "2"])).await, Err(IngestError::DiskFull));
    assert_eq!(used(&world).await, [0], "the journal has refused them");
    world.journal.inner().fail_appends(None);
    // Both stand in the journal before either is applied.
    world.ledger.set(LedgerFaults { refuse: Some(ErrorKind::Unavailable), ..LedgerFaults::default() });
    for _ in 0..2 {
        assert_eq!(world.post("a", &events(&["1"])).await.unwrap().accepted, 1, "as far as known");
    }
    assert_eq!(used(&world).await, [2], "I2: the duplicate is on its way");
    world.ledger.set(LedgerFaults::default());
    world.settle().await;
    assert_eq!(used(&world).await, [1]);
    assert_eq!(world.post_and_wait("a", &events(&["2", "3", "4"])).await.accepted, 2);
}

/// Whoever sends an event again that was accepted must not hear that it is refused: it counts.
#[tokio::test]
async fn i1_what_was_accepted_is_a_duplicate_on_a_full_quota_also_on_its_way() {
    let world = World::new();
    set(&world, OF_MONTH, 1, HARD).await;
    world.ledger.set(LedgerFaults { refuse: Some(ErrorKind::Unavailable), ..LedgerFaults::default() });
    assert_eq!(world.post("a", &events(&["1"])).await.unwrap().accepted, 1);
    let new = within("a refusal at once", world.post("a", &events(&["2"]))).await.unwrap();
    assert_eq!(verdicts(&new), ["2 rejected quota_exceeded"], "this id is not on its way");
    let body = events(&["2", "1"]);
    let again = async {
        tokio::join!(world.post("a", &body), async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            world.ledger.set(LedgerFaults::default());
            world.clock.advance(Duration::from_millis(200));
        })
    };
    let (again, ()) = within("it is applied", again).await;
    assert_eq!(verdicts(&again.unwrap()), ["2 rejected quota_exceeded", "1 duplicate"]);
    assert_eq!(world.metric(r#"events_failed_total{reason="quota_exceeded"}"#).await, Some(2.0), "counted once each");
    assert_eq!(used(&world).await, [1]);
    // What is missed in haste is looked up again before it is refused.
    world.ledger.set(LedgerFaults { misses_in_haste: true, ..LedgerFaults::default() });
    assert_eq!(verdicts(&world.post("a", &body).await.unwrap()), ["2 rejected quota_exceeded", "1 duplicate"]);
}

#[tokio::test]
async fn an_event_that_waits_for_an_earlier_one_takes_its_room_when_that_does_not_count() {
    let world = World::new();
    set(&world, OF_MONTH, 1, HARD).await;
    assert_eq!(used(&world).await, [0]);
    let poison = world.durable().next();
    let refuse = Some(ErrorKind::Unavailable);
    world.ledger.set(LedgerFaults { refuse, ..LedgerFaults::default() });
    assert_eq!(world.post("a", &events(&["1"])).await.unwrap().accepted, 1);
    let body = events(&["1"]);
    let again = async {
        tokio::join!(world.post("a", &body), async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            world.ledger.set(LedgerFaults { poison: BTreeSet::from([poison]), ..LedgerFaults::default() });
            world.settle().await;
        })
    };
    let (again, ()) = within("it became a dead letter", again).await;
    assert_eq!(verdicts(&again.unwrap()), ["1 accepted"]);
    world.ledger.set(LedgerFaults::default());
    world.settle().await;
    assert_eq!(used(&world).await, [1]);
}

#[tokio::test]
async fn i6_a_request_does_not_wait_for_ever_for_an_event_on_its_way() {
    let world = World::new();
    set(&world, OF_MONTH, 1, HARD).await;
    world.ledger.set(LedgerFaults { refuse: Some(ErrorKind::Unavailable), ..LedgerFaults::default() });
    assert_eq!(world.post("a", &events(&["1"])).await.unwrap().accepted, 1);
    let body = events(&["1"]);
    let again = async {
        tokio::join!(world.post("a", &body), async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            world.clock.advance(Duration::from_secs(10));
        })
    };
    assert_eq!(within("it gives up", again).await.0, Err(IngestError::Overloaded));
    world.ledger.set(LedgerFaults::default());
    world.settle().await;
    assert_eq!(used(&world).await, [1], "what the one that gave up had reserved is taken back");
}

/// Found in November 2026: what such a request had reserved stayed reserved until a restart, and its ids on their way.
#[tokio::test]
async fn a_request_that_ends_while_a_refusal_is_made_certain_gives_back_what_it_reserved() {
    let world = World::new();
    set(&world, OF_MONTH, 2, HARD).await;
    let body = events(&["1", "2", "3"]);
    world.ledger.set(LedgerFaults { exact_lookups: ExactLookups::Fail, ..LedgerFaults::default() });
    assert_eq!(world.post("a", &body).await, Err(IngestError::Overloaded));
    assert_eq!(used(&world).await, [0], "the look-up has failed");
    world.ledger.set(LedgerFaults { exact_lookups: ExactLookups::Hang, ..LedgerFaults::default() });
    let left = tokio::time::timeout(Duration::from_millis(100), world.post("a", &body)).await;
    assert!(left.is_err() && world.ledger.looked_up_exactly() == 2, "{left:?}");
    assert_eq!(used(&world).await, [0], "the client has left");
    world.ledger.set(LedgerFaults::default());
    let answer = within("nothing is on its way", world.post("a", &body)).await.unwrap();
    assert_eq!(verdicts(&answer), ["1 accepted", "2 accepted", "3 rejected quota_exceeded"]);
}

#[tokio::test]
async fn a_record_that_becomes_a_dead_letter_gives_back_what_it_reserved() {
    let world = World::new();
    set(&world, OF_MONTH, 2, HARD).await;
    let poison = world.durable().next();
    world.ledger.set(LedgerFaults { poison: BTreeSet::from([poison]), ..LedgerFaults::default() });
    assert_eq!(world.post("a", &events(&["1", "2"])).await.unwrap().accepted, 2);
    world.settle().await;
    assert_eq!(used(&world).await, [0]);
    let world = restarted(world).await;
    assert_eq!((used(&world).await, world.post_and_wait("a", &events(&["3", "4", "5"])).await.accepted), (vec![0], 2));
}

#[tokio::test]
async fn requests_of_a_workspace_with_a_quota_wait_for_the_replay_of_the_journal() {
    let world = World::new();
    set(&world, OF_MONTH, 3, HARD).await;
    world.ledger.set(LedgerFaults { refuse: Some(ErrorKind::Unavailable), ..LedgerFaults::default() });
    assert_eq!(world.post("a", &events(&["1", "2"])).await.unwrap().accepted, 2);
    let world = world.restart(LedgerFaults { refuse: Some(ErrorKind::Unavailable), ..LedgerFaults::default() });
    world.settings.quotas().load().await.unwrap();
    let body = events(&["3", "4", "1"]);
    let (early, ()) = tokio::join!(world.post("a", &body), async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        world.ledger.set(LedgerFaults::default());
        // As long as the worker waits after its first failure, and less than a request waits.
        world.clock.advance(Duration::from_millis(200));
    });
    assert_eq!(verdicts(&early.unwrap()), ["3 accepted", "4 rejected quota_exceeded", "1 duplicate"]);
}

#[tokio::test]
async fn f16_a_clock_that_jumps_takes_no_event_and_moves_no_period() {
    let world = World::new();
    set(&world, OF_MONTH, 2, HARD).await;
    assert_eq!(world.post_and_wait("a", &events(&["1", "2"])).await.accepted, 2);
    world.clock.set(world.now().plus_micros(40 * 24 * 3_600 * 1_000_000));
    assert_eq!(world.post("a", &events(&["3"])).await, Err(IngestError::ClockUnsure));
    assert_eq!(used(&world).await, [2]);
}

/// Found in November 2026: each change of the zone began a period with a whole quota at the next midnight of the new
/// zone.
#[tokio::test]
async fn four_changes_of_zone_in_four_hours_admit_no_more_than_two_quotas_within_24_hours() {
    const LIMIT: u64 = 10;
    let zones = ["Etc/GMT+1", "Etc/GMT+2", "Etc/GMT+3", "Etc/GMT+4"];
    // Half an hour before a day and a month end.
    let first = Timestamp::parse("2026-01-31T23:30:00Z").unwrap();
    for period in QuotaPeriod::ALL {
        let world = World::new();
        set(&world, key(None, Measure::Events, period), LIMIT, HARD).await;
        let mut accepted = Vec::new();
        for hour in 0..24_i64 {
            let to_pass_us = first.micros() + hour * 3_600 * 1_000_000 - world.now().micros();
            world.clock.advance(Duration::from_micros(u64::try_from(to_pass_us).unwrap()));
            let ids: Vec<_> = (0..=LIMIT).map(|id| format!("{hour}-{id}")).collect();
            let ids: Vec<_> = ids.iter().map(String::as_str).collect();
            accepted.push(world.post_and_wait("a", &events(&ids)).await.accepted);
            if let Some(zone) = usize::try_from(hour).ok().and_then(|hour| zones.get(hour)) {
                let change = SettingsChange { zone: Some(Zone::parse(zone).unwrap()), ..SettingsChange::default() };
                world.settings.change(&scope("a"), &change, &Cause::command()).await.unwrap();
            }
        }
        assert_eq!(accepted[..2], [10, 10], "the {period:?} under way, and the next one");
        assert!(accepted[2..].iter().all(|accepted| *accepted == 0), "{period:?}: {accepted:?}");
    }
}

#[derive(Debug, Clone)]
enum Step {
    /// Sends events: (number of the id, customer, tokens, whether it is a call).
    Send(Vec<(u8, u8, u64, bool)>),
    Set(u8, Measure, QuotaPeriod, Option<u64>),
    Pass(u64),
    Zone(&'static str),
    Restart,
}

const CUSTOMERS: [Option<&str>; 3] = [None, Some("x"), Some("y")];

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let event = (0_u8..60, 0_u8..3, 0_u64..4, any::<bool>());
    let measure = proptest::sample::select(Measure::ALL.to_vec());
    let period = proptest::sample::select(QuotaPeriod::ALL.to_vec());
    let limit = proptest::option::weighted(0.8, 0_u64..15);
    let step = prop_oneof![
        8 => proptest::collection::vec(event, 1..6).prop_map(Step::Send),
        3 => (0_u8..3, measure, period, limit).prop_map(|(of, measure, period, limit)| Step::Set(of, measure, period, limit)),
        2 => (0_u64..30 * 3_600).prop_map(Step::Pass),
        1 => proptest::sample::select(vec!["UTC", "Asia/Tokyo", "America/New_York", "Asia/Kathmandu"]).prop_map(Step::Zone),
        2 => Just(Step::Restart),
    ];
    proptest::collection::vec(step, 1..30)
}

/// What one event that was counted used, and when.
#[derive(Debug, Clone, Copy)]
struct Counted {
    customer: u8,
    tokens: u64,
    is_call: bool,
    at: Timestamp,
}

/// Quotas as they should be: all that was counted in one list, and periods by the calendar.
#[derive(Debug, Default)]
struct Oracle {
    quotas: BTreeMap<QuotaKey, u64>,
    calendar: QuotaCalendar,
    counted: BTreeMap<u8, Counted>,
}

impl Oracle {
    fn amount(measure: Measure, event: &Counted) -> u64 {
        match measure {
            Measure::Events => 1,
            Measure::Tokens => event.tokens,
            Measure::Calls => u64::from(event.is_call),
        }
    }

    fn used(&self, key: &QuotaKey, at: Timestamp) -> u64 {
        let range = self.calendar.period_at(key.period, at);
        let is_mine = |event: &&Counted| {
            let customer = CUSTOMERS[usize::from(event.customer)];
            range.contains(event.at) && key.customer.as_deref().is_none_or(|of| customer == Some(of))
        };
        self.counted.values().filter(is_mine).map(|event| Self::amount(key.measure, event)).sum()
    }

    /// The verdict on an event, which then counts.
    fn take(&mut self, id: u8, event: Counted) -> &'static str {
        if self.counted.contains_key(&id) {
            return "duplicate";
        }
        let customer = CUSTOMERS[usize::from(event.customer)];
        let is_over = |(key, limit): (&QuotaKey, &u64)| {
            let more = Self::amount(key.measure, &event);
            let is_mine = key.customer.as_deref().is_none_or(|of| customer == Some(of));
            is_mine && more > 0 && self.used(key, event.at) + more > *limit
        };
        if self.quotas.iter().any(is_over) {
            return "rejected";
        }
        self.counted.insert(id, event);
        "accepted"
    }
}

async fn agree(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let (mut world, mut oracle) = (World::new(), Oracle::default());
    for step in steps {
        match step {
            Step::Send(events) => {
                let text = |(id, customer, tokens, is_call): &(u8, u8, u64, bool)| {
                    let customer = CUSTOMERS[usize::from(*customer)];
                    let customer = customer.map_or_else(String::new, |name| format!(r#","customer":"{name}""#));
                    let call = if *is_call { r#","endpoint":"/e""# } else { "" };
                    format!(r#"{{"id":"{id}","tokens":{tokens}{customer}{call}}}"#)
                };
                let body = format!("[{}]", events.iter().map(text).collect::<Vec<_>>().join(","));
                let answer = world.post_and_wait("a", &body).await;
                let told: Vec<_> =
                    verdicts(&answer).iter().map(|verdict| verdict.split(' ').nth(1).unwrap().to_owned()).collect();
                let at = world.now();
                let expected = events
                    .into_iter()
                    .map(|(id, customer, tokens, is_call)| oracle.take(id, Counted { customer, tokens, is_call, at }));
                prop_assert_eq!(told, expected.collect::<Vec<_>>());
            }
            Step::Set(of, measure, period, limit) => {
                let key = key(CUSTOMERS[usize::from(of)], measure, period);
                let terms = limit.map(|limit| QuotaTerms { limit, is_hard: HARD });
                world.settings.quotas().set(&scope("a"), key.clone(), terms, None, &Cause::command()).await.unwrap();
                match limit {
                    Some(limit) => oracle.quotas.insert(key, limit),
                    None => oracle.quotas.remove(&key),
                };
            }
            Step::Pass(seconds) => world.clock.advance(Duration::from_secs(seconds)),
            Step::Zone(name) => {
                let zone = Zone::parse(name).unwrap();
                let change = SettingsChange { zone: Some(zone.clone()), ..SettingsChange::default() };
                let applied = oracle.calendar.zone == zone;
                world.settings.change(&scope("a"), &change, &Cause::command()).await.unwrap();
                if !applied {
                    oracle.calendar = oracle.calendar.change(zone, world.now()).0;
                }
            }
            Step::Restart => world = restarted(world).await,
        }
        let states = world.settings.quotas().states(&scope("a"), |_| true).await.unwrap();
        for state in states {
            let (told, expected) = (state.used, oracle.used(&state.quota.key, world.now()));
            prop_assert_eq!(told, expected, "{:?}", state);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn i1_i2_quotas_are_those_of_the_oracle_over_restarts_and_changes(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        runtime.block_on(within("the story ends", agree(steps)))?;
    }
}

/// Found in November 2026: such a quota was set and loaded, and its customer counted apart by name for ever; one that was
/// on its way when a workspace was erased stayed.
#[tokio::test]
async fn no_quota_is_set_or_loaded_for_who_is_being_erased() {
    let world = World::new();
    set(&world, key(Some("c"), Measure::Events, QuotaPeriod::Month), 5, HARD).await;
    let erase = async |world: &World, id: &str, subject: &Subject| {
        let (id, by) = (id.to_owned(), "user:a".to_owned());
        let asked = ErasureRequest { id, subject: subject.clone(), blocks: false, by };
        world.stored.erase(&scope("a"), &asked).await.unwrap();
    };
    let customer = Subject::Customer("c".to_owned());
    erase(&world, "1", &customer).await;
    let day = |customer| key(customer, Measure::Tokens, QuotaPeriod::Day);
    let terms = Some(QuotaTerms { limit: 5, is_hard: HARD });
    let cause = Cause::command();
    let refused = world.settings.quotas().set(&scope("a"), day(Some("c")), terms, None, &cause).await;
    assert!(matches!(refused, Err(QuotaError::CustomerBeingErased)), "{refused:?}");
    let world = restarted(world).await;
    assert_eq!(used(&world).await, Vec::<u64>::new(), "it goes with its customer");
    world.store.forget(&scope("a"), &customer, "1").await.unwrap();
    world.stored.confirm(&["1".to_owned()]);
    set(&world, day(Some("c")), 5, HARD).await;
    assert_eq!(used(&world).await, [0], "what comes after that is new");
    erase(&world, "2", &Subject::Workspace).await;
    for of in [Some("c"), Some("d"), None] {
        let terms = Some(QuotaTerms { limit: 6, is_hard: HARD });
        let refused = world.settings.quotas().set(&scope("a"), day(of), terms, None, &cause).await;
        assert!(matches!(refused, Err(QuotaError::WorkspaceErased)), "{of:?} {refused:?}");
    }
}
