//! What was received, over flushes, restarts, merges and customers that are counted from some moment on, against the
//! memory twin; and that verification finds a sum that is wrong.

#![expect(clippy::expect_used, reason = "for tests, which fail loudly")]

use domain::position::Seq;
use domain::quota::{Amounts, QUARTER_US};
use domain::time::{TimeRange, Timestamp};
use domain::window::WindowRule;
use ledger_embedded::EmbeddedLedger;
use ports::ledger::Ledger;
use ports::manifest::{Commit, Manifest, ReceivedSum};
use ports::testing::ledger::MemoryLedger;
use ports::testing::ledger::records::{at, event, record, scope};
use proptest::prelude::*;

use crate::folder::{TestFolder, small};

const TENANTS: [&str; 2] = ["a", "b"];
const CUSTOMERS: [&str; 3] = ["c", "d", "e"];

#[derive(Debug, Clone)]
enum Step {
    /// A record: tenant, receive time in minutes, and its events: (number of the id, customer, tokens).
    Apply(usize, i64, Vec<(u8, usize, u64)>),
    Meter(usize, usize),
    Flush,
    Maintain,
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let events = proptest::collection::vec((0_u8..40, 0..CUSTOMERS.len(), 0_u64..9), 1..5);
    let step = prop_oneof![
        6 => (0..TENANTS.len(), 0_i64..90, events).prop_map(|(of, minute, events)| Step::Apply(of, minute, events)),
        1 => (0..TENANTS.len(), 0..CUSTOMERS.len()).prop_map(|(of, customer)| Step::Meter(of, customer)),
        1 => Just(Step::Flush),
        1 => Just(Step::Maintain),
        1 => Just(Step::Restart),
    ];
    proptest::collection::vec(step, 1..40)
}

async fn differences(ledger: &EmbeddedLedger) -> Vec<String> {
    let mut differences = Vec::new();
    ledger.verify(&mut |difference| differences.push(difference.to_string())).await.expect("verify");
    differences
}

async fn agree(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let (folder, twin) = (TestFolder::new(), MemoryLedger::new(WindowRule::default()));
    let mut ledger = folder.open(small(WindowRule::default())).await;
    let mut records = Vec::new();
    for step in steps {
        match step {
            Step::Apply(of, minute, events) => {
                let event = |(id, customer, tokens): &(u8, usize, u64)| {
                    event(&id.to_string(), i64::from(*id)).customer(CUSTOMERS[*customer]).tokens(*tokens, 1)
                };
                let events: Vec<_> = events.iter().map(event).collect();
                let seq = records.len() as u64 + 1;
                let record = record(seq, &scope(TENANTS[of]), at(minute * 60), &events);
                prop_assert!(twin.apply(std::slice::from_ref(&record)).await.failed.is_none());
                prop_assert!(ledger.apply(std::slice::from_ref(&record)).await.failed.is_none());
                records.push(record);
            }
            Step::Meter(of, customer) => {
                twin.meter_customer(&scope(TENANTS[of]), CUSTOMERS[customer]).await.expect("metered");
                ledger.meter_customer(&scope(TENANTS[of]), CUSTOMERS[customer]).await.expect("metered");
            }
            Step::Flush => drop(ledger.flush().await.expect("flush")),
            Step::Maintain => ledger.maintain().await.expect("maintain"),
            Step::Restart => {
                drop(ledger);
                ledger = folder.open(small(WindowRule::default())).await;
                let cursor = usize::try_from(ledger.cursor().0).expect("a position");
                prop_assert!(ledger.apply(&records[cursor..]).await.failed.is_none());
            }
        }
        for tenant in TENANTS {
            let quarter = |number: i64| Timestamp::from_micros(number * QUARTER_US);
            for range in [TimeRange::ALL, TimeRange::new(quarter(1), quarter(4)).expect("a range")] {
                let told = ledger.received(&scope(tenant), range).await.expect("an answer");
                prop_assert_eq!(told, twin.received(&scope(tenant), range).await.expect("an answer"));
            }
        }
    }
    prop_assert_eq!(differences(&ledger).await, Vec::<String>::new());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn i3_what_was_received_is_what_the_twin_says(steps in steps()) {
        tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(agree(steps))?;
    }
}

#[tokio::test]
async fn verification_finds_a_sum_that_is_wrong() {
    let folder = TestFolder::new();
    let ledger = folder.open(small(WindowRule::default())).await;
    let applied = ledger.apply(&[record(1, &scope("a"), at(5), &[event("1", 7).customer("c")])]).await;
    assert!(applied.failed.is_none());
    assert_eq!(ledger.flush().await.expect("flush"), Seq(1));
    assert_eq!(differences(&ledger).await, Vec::<String>::new());
    let sum = ReceivedSum {
        tenant: scope("a").tenant().clone(),
        customer: String::new(),
        start: at(0),
        amounts: Amounts { events: 1, ..Amounts::default() },
    };
    folder.manifest.commit(&Commit { received: vec![sum], ..Commit::default() }).await.expect("a commit");
    let found = differences(&ledger).await;
    assert_eq!(found.len(), 1, "{found:?}");
    let name = format!("tenant a customer \"\" received in {}", at(0));
    assert!(found[0].contains(&name), "{found:?}");
}
