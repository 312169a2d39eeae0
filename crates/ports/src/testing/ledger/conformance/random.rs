//! Random records in the ledger under test and in the oracle, which must answer alike. The seed of
//! a failing run is in the message.

use std::future::Future;
use std::sync::Arc;

use domain::aggregate::Totals;
use domain::position::Seq;
use domain::tenant::TenantScope;
use domain::window::WindowRule;

use super::answers::{Answers, STATES, events, window_query, windows};
use super::dice::Dice;
use super::requests::find;
use crate::analytics::Analytics;
use crate::journal::Delivery;
use crate::ledger::Ledger;
use crate::reports::{EventFilter, Order, Reports, WindowQuery};
use crate::testing::ledger::MemoryLedger;
use crate::testing::ledger::records::{EventSpec, admitted_under, at, event, request_key, scope};

const SEEDS: u64 = 12;
const RECORDS: u64 = 40;
const CUSTOMERS: [&str; 5] = ["", "a", "a ", "aa", "é"];

pub(super) async fn i3_random_records_give_the_oracles_answers<L, F, Fut>(open: &F)
where
    L: Ledger + Reports + Analytics + 'static,
    F: Fn(WindowRule) -> Fut,
    Fut: Future<Output = Arc<L>>,
{
    for seed in 1..=SEEDS {
        let rule = WindowRule::default();
        run(seed, &*open(rule).await, &MemoryLedger::new(rule)).await;
    }
}

async fn run<L: Ledger + Reports + Analytics>(seed: u64, subject: &L, oracle: &MemoryLedger) {
    let mut dice = Dice::new(seed);
    let tenants = [scope("acme"), scope("acm"), scope("zeta")];
    let mut entries = Vec::new();
    let mut clock = 0;
    for seq in 1..=RECORDS {
        clock += dice.below(25);
        let batch: Vec<EventSpec> = (0..=dice.below(6)).map(|_| random_event(&mut dice, clock)).collect();
        let tenant = dice.pick(&tenants.each_ref());
        let key = format!("k{}", dice.below(12));
        let key = (dice.below(3) == 0).then(|| request_key(&key, seq));
        let payload = admitted_under(key, tenant, at(clock), &batch).payload().clone();
        let entry = Delivery { id: Seq(seq).into(), payload };
        entries.push(entry);
        let from = entries.len() - 1 - usize::try_from(dice.below(3)).unwrap_or(0).min(entries.len() - 1);
        let (mine, theirs) = (subject.apply(&entries[from..]).await, oracle.apply(&entries[from..]).await);
        assert!(mine.failed.is_none() && theirs.failed.is_none(), "seed {seed}: {:?}", mine.failed);
        assert_eq!(mine.applied.last(), theirs.applied.last(), "seed {seed}");
        if dice.below(6) == 0 {
            subject.flush().await.expect("a flush");
        }
        if dice.below(8) == 0 {
            let through = at(clock - dice.below(60));
            subject.close_through(through).await.expect("a closing");
            oracle.close_through(through).await.expect("a closing");
        }
        if dice.below(10) == 0 || seq == RECORDS {
            for tenant in &tenants {
                compare(seed, subject, oracle, tenant, clock).await;
            }
        }
    }
}

fn random_event(dice: &mut Dice, clock: i64) -> EventSpec {
    let id = format!("e{}", dice.below(150));
    let seconds = match dice.below(20) {
        0 => -1_800_000_000,
        1 => clock - dice.below(20_000),
        _ => clock - dice.below(70),
    };
    let mut event = event(&id, seconds);
    if dice.below(4) > 0 {
        event = event.customer(dice.pick(&CUSTOMERS[1..]));
    }
    if dice.below(3) > 0 {
        event = event.endpoint(dice.pick(&["/a", "/b"])).model(dice.pick(&["m", "n"]));
    }
    match dice.below(4) {
        0 => event.kind(dice.pick(&["call", "view"])).project(dice.pick(&["p", "q"])),
        1 => {
            let (input, output) = (dice.below(9).unsigned_abs(), dice.below(9).unsigned_abs());
            dice.tokens(event, input, output).user("u")
        }
        2 => event.latency_ms(dice.below(900).unsigned_abs()).untimed(),
        _ => event,
    }
}

async fn compare<L: Ledger + Reports + Analytics>(
    seed: u64,
    subject: &L,
    oracle: &MemoryLedger,
    tenant: &TenantScope,
    clock: i64,
) {
    let mine = Answers::of(subject, tenant, &CUSTOMERS, at(clock)).await;
    let theirs = Answers::of(oracle, tenant, &CUSTOMERS, at(clock)).await;
    assert_eq!(mine, theirs, "seed {seed}");
    for key in 0..12 {
        let key = format!("k{key}");
        assert_eq!(find(subject, tenant, &key).await, find(oracle, tenant, &key).await, "seed {seed}: {key}");
    }
    let mut sums = [Totals::default(); 2];
    // Sums of hours do not say how many events were late.
    mine.windows.iter().for_each(|window| sums[0].merge(&Totals { late: 0, ..window.aggregate.totals }));
    mine.hours.iter().for_each(|hour| sums[1].merge(&hour.totals));
    assert_eq!(sums[0], sums[1], "seed {seed}: windows and hours tell one truth");
    assert_eq!(sums[0].calls, mine.events.len() as u64, "seed {seed}: and so do the events");
    for customer in CUSTOMERS {
        let filter = EventFilter { customer: Some(customer.to_owned()), ..EventFilter::default() };
        let of_subject = events(subject, tenant, filter.clone(), Order::Descending, 4).await;
        assert_eq!(of_subject, events(oracle, tenant, filter, Order::Descending, 4).await, "seed {seed}");
    }
    for state in STATES {
        let query = WindowQuery { state: Some(state), ..window_query() };
        let of_subject = windows(subject, tenant, &query, 5).await;
        assert_eq!(of_subject, windows(oracle, tenant, &query, 5).await, "seed {seed}: {state:?}");
    }
}
