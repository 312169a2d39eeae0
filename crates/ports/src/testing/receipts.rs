//! What everything that tells what became of records has to do: the contract of [`crate::receipts`] as a test.

#![expect(clippy::expect_used, clippy::panic, reason = "for tests, which fail loudly")]

use std::sync::Arc;
use std::time::Duration;

use domain::position::{RecordId, Seq};

use crate::journal::Delivery;
use crate::ledger::Outcome::{Duplicate, Fresh, Mismatch};
use crate::receipts::{Fate, Receipts};
use crate::testing::ledger::records::{at, event, record, scope};

/// Longer than any test takes.
const LONG: Duration = Duration::from_secs(300);
/// Too short for anything to happen.
const SHORT: Duration = Duration::from_millis(50);

/// Runs the cases. `receipts` are those of a fresh ledger, `apply` has it apply a record, and `give_up` makes one a dead
/// letter for the reason "no"; another process may do both.
///
/// # Panics
/// When the contract is broken.
pub async fn receipts_conformance(
    receipts: Arc<dyn Receipts>,
    apply: impl AsyncFn(&Delivery),
    give_up: impl AsyncFn(&Delivery),
) {
    let acme = scope("acme");
    let make = |seq, ids: &[&str]| {
        let events: Vec<_> = ids.iter().map(|id| event(id, i64::from(ids.len() == 1))).collect();
        record(seq, &acme, at(1), &events)
    };
    let fate = async |seq: u64| receipts.fate(&acme, Seq(seq).into()).await.expect("an answer");

    assert_eq!(fate(1).await, None, "it is not there yet");
    assert_eq!(receipts.wait_for(&acme, Seq(1).into(), SHORT).await.expect("an answer"), None, "the wait has an end");
    apply(&make(1, &["a", "b"])).await;
    assert_eq!(fate(1).await, Some(Fate::Applied(Some(vec![Fresh, Fresh]))));
    apply(&make(2, &["a"])).await;
    assert_eq!(fate(2).await, Some(Fate::Applied(Some(vec![Mismatch]))));
    assert_eq!(fate(3).await, None);
    give_up(&make(3, &["never"])).await;
    assert_eq!(fate(3).await, Some(Fate::DeadLettered("no".to_owned())));

    // Those who wait are told, however many they are and however long ago they began.
    let waiting: Vec<_> = (4..=6_u64).chain(4..=6).map(|seq| waiter(&receipts, Seq(seq).into())).collect();
    tokio::time::sleep(SHORT).await;
    apply(&make(4, &["a", "b"])).await;
    give_up(&make(5, &["never"])).await;
    apply(&make(6, &["c", "c"])).await;
    let told = [
        Fate::Applied(Some(vec![Duplicate, Duplicate])),
        Fate::DeadLettered("no".to_owned()),
        Fate::Applied(Some(vec![Fresh, Duplicate])),
    ];
    for (at, waiter) in waiting.into_iter().enumerate() {
        assert_eq!(waiter.await.expect("a task"), Some(told[at % 3].clone()), "record {}", 4 + at % 3);
    }
    assert_eq!(receipts.wait_for(&acme, Seq(6).into(), LONG).await.expect("an answer"), Some(told[2].clone()));
}

fn waiter(receipts: &Arc<dyn Receipts>, id: RecordId) -> tokio::task::JoinHandle<Option<Fate>> {
    let receipts = Arc::clone(receipts);
    tokio::spawn(async move {
        match receipts.wait_for(&scope("acme"), id, LONG).await {
            Ok(fate) => fate,
            Err(error) => panic!("{error}"),
        }
    })
}
