//! Random records, flushes, merges and restarts: every answer is the oracle's, and the audit finds
//! nothing (I1, I2, I3, I4).

#![expect(clippy::expect_used, reason = "for tests, which fail loudly")]

use domain::event::EventId;
use domain::position::Seq;
use domain::time::{TimeRange, Timestamp};
use domain::window::WindowRule;
use ports::analytics::Analytics;
use ports::journal::Delivery;
use ports::ledger::Ledger;
use ports::reports::{EventFilter, EventQuery, Order, Reports, WindowQuery};
use ports::testing::ledger::MemoryLedger;
use ports::testing::ledger::hours::hour_sums;
use ports::testing::ledger::records::{EventSpec, at, event, record, scope};
use proptest::prelude::*;

use crate::folder::{TestFolder, small};

const TENANTS: [&str; 2] = ["a", "b"];

#[derive(Debug, Clone)]
enum Step {
    Record { tenant: usize, received: i64, events: Vec<Ev> },
    Flush,
    Maintain,
    Restart,
    Close { through: i64 },
}

#[derive(Debug, Clone)]
struct Ev {
    id: u8,
    seconds: i64,
    customer: Option<u8>,
    endpoint: Option<u8>,
    model: Option<u8>,
    user: Option<u8>,
    kind: u8,
    tokens: u64,
    /// Tokens read from a cache, written to one, and spent on reasoning, in thirds of all.
    parts: Option<(u8, u8, u8)>,
    latency: Option<u64>,
}

fn ev() -> impl Strategy<Value = Ev> {
    let name = || proptest::option::of(0_u8..3);
    let tokens = prop_oneof![0_u64..100, Just(1_000_000_000_000)];
    let parts = proptest::option::of((0_u8..2, 0_u8..3, 0_u8..4));
    let measures = (tokens, parts, proptest::option::of(0_u64..500));
    (0_u8..60, 0_i64..7_300, name(), name(), name(), name(), 0_u8..3, measures).prop_map(
        |(id, seconds, customer, endpoint, model, user, kind, (tokens, parts, latency))| Ev {
            id,
            seconds,
            customer,
            endpoint,
            model,
            user,
            kind,
            tokens,
            parts,
            latency,
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0_usize..2, 0_i64..7_400, proptest::collection::vec(ev(), 1..6))
            .prop_map(|(tenant, received, events)| Step::Record { tenant, received: received + 7_200, events }),
        1 => Just(Step::Flush),
        2 => Just(Step::Maintain),
        1 => Just(Step::Restart),
        1 => (0_i64..15_000).prop_map(|through| Step::Close { through }),
    ]
}

fn spec(ev: &Ev) -> EventSpec {
    let mut spec = event(&format!("e{}", ev.id), ev.seconds).kind(&format!("k{}", ev.kind)).tokens(ev.tokens, 3);
    if let Some((cache_read, cache_write, reasoning)) = ev.parts {
        let thirds = |part: u8| ev.tokens / 3 * u64::from(part);
        spec = spec.token_parts(thirds(cache_read), thirds(cache_write), u64::from(reasoning));
    }
    if let Some(customer) = ev.customer {
        spec = spec.customer(&format!("c{customer}"));
    }
    if let Some(endpoint) = ev.endpoint {
        spec = spec.endpoint(&format!("/e{endpoint}"));
    }
    if let Some(model) = ev.model {
        spec = spec.model(&format!("m{model}"));
    }
    if let Some(user) = ev.user {
        spec = spec.user(&format!("u{user}"));
    }
    ev.latency.map_or(spec.clone(), |latency| spec.latency_ms(latency))
}

/// Everything that can be asked, as text, so that a difference shows itself.
async fn answers(ledger: &dyn Reports, analytics: &dyn Analytics) -> Vec<String> {
    let mut answers = Vec::new();
    for tenant in TENANTS {
        let scope = scope(tenant);
        for (order, limit) in [(Order::Descending, 7), (Order::Ascending, 100)] {
            for filter in filters() {
                let mut query = EventQuery { filter, order, after: None, limit, bytes_max: usize::MAX };
                loop {
                    let page = ledger.events(&scope, &query).await.expect("events");
                    query.after = page.next;
                    answers.push(format!("{tenant} {query:?} {:?}", page.rows));
                    if page.next.is_none() {
                        break;
                    }
                }
            }
        }
        for customer in [None, Some(""), Some("c0"), Some("c1")] {
            let customer = customer.map(str::to_owned);
            let range = TimeRange::new(at(600), at(5_000)).expect("a range");
            for range in [TimeRange::ALL, range] {
                let mut query = WindowQuery { customer: customer.clone(), range, state: None, after: None, limit: 3 };
                loop {
                    let page = ledger.windows(&scope, &query).await.expect("windows");
                    query.after.clone_from(&page.next);
                    answers.push(format!("{tenant} {query:?} {:?}", page.rows));
                    if page.next.is_none() {
                        break;
                    }
                }
            }
        }
        let page = ledger.customers(&scope, None, 2).await.expect("customers");
        answers.push(format!("{tenant} {page:?}"));
        for (customer, second) in [("", 100), ("c0", 3_700), ("c2", 7_000)] {
            let day = TimeRange::new(at(1_800), at(5_430)).expect("a range");
            let usage = ledger.usage(&scope, customer, at(second), day).await.expect("usage");
            answers.push(format!("{tenant} {customer} {usage:?}"));
        }
        let hours = hour_sums(analytics, &scope, TimeRange::ALL).await.expect("sums of hours");
        answers.push(format!("{tenant} {hours:?}"));
        for id in 0..60 {
            answers.push(format!(
                "{tenant} {:?}",
                ledger.event(&scope, EventId::native(&format!("e{id}"))).await.expect("event")
            ));
        }
    }
    answers
}

fn filters() -> Vec<EventFilter> {
    let all = EventFilter::default();
    let text = |text: &str| Some(text.to_owned());
    vec![
        EventFilter { customer: text("c1"), ..all.clone() },
        EventFilter { customer: text(""), kind: text("k1"), ..all.clone() },
        EventFilter { user: text("u0"), endpoint: text("/e1"), ..all.clone() },
        EventFilter { range: TimeRange::new(at(1_000), at(4_000)).expect("a range"), ..all.clone() },
        all,
    ]
}

/// Takes the steps, the first `old` of them as an earlier release: its segments are files of version 2, and it knows no
/// parts of tokens.
async fn run(steps: Vec<Step>, old: usize) {
    let folder = TestFolder::new();
    let oracle = MemoryLedger::new(WindowRule::default());
    let mut ledger = folder.open(small(WindowRule::default())).await;
    let mut journal: Vec<Delivery> = Vec::new();
    for (at_step, mut step) in steps.into_iter().enumerate() {
        if at_step == old && old > 0 {
            ledger.flush().await.expect("flush");
            folder.make_old().await;
            ledger = folder.open(small(WindowRule::default())).await;
        }
        if let (true, Step::Record { events, .. }) = (at_step < old, &mut step) {
            events.iter_mut().for_each(|event| event.parts = None);
        }
        match step {
            Step::Record { tenant, received, events } => {
                let events: Vec<_> = events.iter().map(spec).collect();
                let entry = record(journal.len() as u64 + 1, &scope(TENANTS[tenant]), at(received), &events);
                let expected = oracle.apply(std::slice::from_ref(&entry)).await;
                let found = ledger.apply(std::slice::from_ref(&entry)).await;
                assert!(found.failed.is_none(), "{:?}", found.failed);
                assert_eq!(found.applied, expected.applied);
                journal.push(entry);
            }
            Step::Flush => {
                let cursor = ledger.flush().await.expect("flush");
                assert_eq!(cursor, Seq(journal.len() as u64));
            }
            Step::Maintain => ledger.maintain().await.expect("maintain"),
            Step::Restart => {
                ledger = folder.open(small(WindowRule::default())).await;
                let from = usize::try_from(ledger.cursor().0).expect("a cursor");
                let replayed = ledger.apply(&journal[from..]).await;
                assert!(replayed.failed.is_none(), "{:?}", replayed.failed);
            }
            Step::Close { through } => {
                oracle.close_through(at(through)).await.expect("close");
                ledger.close_through(at(through)).await.expect("close");
            }
        }
    }
    for (expected, found) in answers(&oracle, &oracle).await.into_iter().zip(answers(&*ledger, &*ledger).await) {
        assert_eq!(expected, found);
    }
    assert_eq!(ledger.closed_through(), oracle.closed_through());
    let mut differences = Vec::new();
    let summary = ledger.verify(&mut |difference| differences.push(difference.to_string())).await.expect("verify");
    assert_eq!(differences, Vec::<String>::new());
    let listed = ledger.stats();
    assert_eq!(listed.flushed_events, summary.events);
    assert!(Timestamp::MIN <= ledger.closed_through());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn i3_every_answer_is_the_oracles(steps in proptest::collection::vec(step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        runtime.block_on(run(steps, 0));
    }

    /// Old and new segments give their answers together, and so do the new ones that merges make of both.
    #[test]
    fn i3_segments_of_the_last_version_and_of_this_one_add_up(
        steps in proptest::collection::vec(step(), 10..60),
        old in 5_usize..40,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        runtime.block_on(run(steps, old));
    }
}
