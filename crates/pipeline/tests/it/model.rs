//! Random requests, faults and restarts against a model that fits on a page: per tenant a map from
//! id to the payload that was sent first.

use std::collections::BTreeMap;

use pipeline::{EventResult, Status};
use ports::ErrorKind;
use ports::testing::journal::AppendFault;
use proptest::prelude::*;

use crate::twins::LedgerFaults;
use crate::world::World;

const TENANTS: [&str; 2] = ["acme", "zeta"];

/// One event of a request: an id, a payload, and whether something is wrong with it.
#[derive(Debug, Clone)]
struct Event {
    id: u8,
    user: u8,
    broken: bool,
}

#[derive(Debug, Clone)]
enum Step {
    Post {
        tenant: usize,
        events: Vec<Event>,
        wait: bool,
    },
    /// A request that is not acknowledged; `kept` when it may be counted all the same.
    FailedPost {
        tenant: usize,
        events: Vec<Event>,
        kept: bool,
    },
    LedgerDown,
    LedgerUp,
    Restart,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = (0_u8..25, 0_u8..3, prop::bool::weighted(0.15)).prop_map(|(id, user, broken)| Event {
        id,
        user: if user == 2 { 1 } else { 0 },
        broken,
    });
    proptest::collection::vec(event, 1..8)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (0_usize..2, events(), any::<bool>())
            .prop_map(|(tenant, events, wait)| Step::Post { tenant, events, wait }),
        2 => (0_usize..2, events(), any::<bool>())
            .prop_map(|(tenant, events, kept)| Step::FailedPost { tenant, events, kept }),
        1 => Just(Step::LedgerDown),
        2 => Just(Step::LedgerUp),
        1 => Just(Step::Restart),
    ]
}

fn body(events: &[Event]) -> String {
    let lines: Vec<String> = events
        .iter()
        .map(|event| {
            let tokens = if event.broken { "-1" } else { "1" };
            format!(r#"{{"id":"e{:02}","user":"u{}","tokens":{tokens}}}"#, event.id, event.user)
        })
        .collect();
    format!("[{}]", lines.join(","))
}

/// What may be counted of one id: the payloads that were journaled, first to last.
type Journaled = BTreeMap<(usize, u8), u8>;

/// Adds the events of a durable request in order; tells for each whether it is the first of its id.
fn journal(model: &mut Journaled, tenant: usize, events: &[Event]) -> Vec<Option<bool>> {
    let mut first = Vec::new();
    for event in events {
        first.push((!event.broken).then(|| {
            let new = !model.contains_key(&(tenant, event.id));
            model.entry((tenant, event.id)).or_insert(event.user);
            new
        }));
    }
    first
}

/// Checks the verdicts of an acknowledged request. A duplicate may be missed by the hint only while
/// its first sighting is on its way, so never when the request waited.
fn check(events: &[Event], first: &[Option<bool>], results: &[EventResult], waited: bool) {
    assert_eq!(results.len(), events.len());
    for ((event, first), result) in events.iter().zip(first).zip(results) {
        assert_eq!(result.event_id.as_deref(), Some(format!("e{:02}", event.id).as_str()));
        match (first, result.status) {
            (None, Status::Rejected) => assert_eq!(result.code, Some("invalid_number")),
            (Some(true), Status::Accepted) | (Some(false), Status::Duplicate) => {}
            (Some(false), Status::Accepted) => assert!(!waited, "a settled verdict: {result:?}"),
            (first, status) => panic!("{event:?} is first: {first:?}, and was told {status:?}"),
        }
    }
}

async fn run(steps: Vec<Step>) {
    let mut world = World::new();
    let mut model = Journaled::new();
    let mut down = false;
    for step in steps {
        match step {
            Step::Post { tenant, events, wait } => {
                let wait = wait && !down;
                let body = body(&events);
                let answer = match wait {
                    true => world.post_and_wait(TENANTS[tenant], &body).await,
                    false => world.post(TENANTS[tenant], &body).await.unwrap(),
                };
                let first = journal(&mut model, tenant, &events);
                check(&events, &first, &answer.results, wait);
            }
            Step::FailedPost { tenant, events, kept } => {
                world.journal.inner().fail_appends(Some(AppendFault { kind: ErrorKind::Unavailable, kept }));
                let told = world.post(TENANTS[tenant], &body(&events)).await;
                world.journal.inner().fail_appends(None);
                // Without a new event there is nothing to append, hence nothing to fail.
                if kept || told.is_ok() {
                    journal(&mut model, tenant, &events);
                }
            }
            Step::LedgerDown | Step::LedgerUp => {
                down = matches!(step, Step::LedgerDown);
                let refuse = down.then_some(ErrorKind::Unavailable);
                world.ledger.set(LedgerFaults { refuse, ..LedgerFaults::default() });
                if !down {
                    world.settle().await;
                }
            }
            Step::Restart => {
                world = world.restart(LedgerFaults::default());
                down = false;
                world.settle().await;
            }
        }
    }
    world.ledger.set(LedgerFaults::default());
    world.settle().await;
    let mut counted = Journaled::new();
    for (tenant, name) in TENANTS.iter().enumerate() {
        for event in world.events(name).await {
            let number = |text: &str| text[1..].parse::<u8>().unwrap();
            let again = counted.insert((tenant, number(&event.id)), number(&event.user.unwrap()));
            assert_eq!(again, None, "I2");
        }
    }
    assert_eq!(counted, model, "I1, I4: exactly what was journaled, each with its first payload");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, max_shrink_iters: 500, ..ProptestConfig::default() })]

    #[test]
    fn random_requests_are_counted_as_the_model_says(steps in proptest::collection::vec(step(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(run(steps));
    }
}
