//! `?wait=applied` and receipts.

use std::sync::Arc;
use std::time::Duration;

use domain::limits::Limits;
use pipeline::{IngestRequest, ReceiptState};
use ports::ErrorKind;

use crate::twins::LedgerFaults;
use crate::world::{START, World, eventually, request, within};

fn down() -> LedgerFaults {
    LedgerFaults { refuse: Some(ErrorKind::Unavailable), ..LedgerFaults::default() }
}

#[tokio::test]
async fn a_request_that_waits_is_answered_when_its_events_are_visible() {
    let world = Arc::new(World::new());
    world.ledger.set(down());
    let waiting = tokio::spawn({
        let world = Arc::clone(&world);
        async move { world.post_and_wait("acme", r#"{"id":"e1"}"#).await }
    });
    eventually("the record is durable", || (world.durable().0 == 1).then_some(())).await;
    assert!(!waiting.is_finished());
    assert!(world.ids("acme").await.is_empty());
    world.ledger.set(LedgerFaults::default());
    world.settle().await;
    let answer = within("the answer", waiting).await.unwrap();
    assert_eq!((answer.accepted, answer.applied), (1, true));
    assert_eq!(world.ids("acme").await, ["e1"]);
}

#[tokio::test]
async fn i6_a_request_waits_no_longer_than_its_limit_and_is_accepted_all_the_same() {
    let limits = Limits { wait_applied_max: Duration::from_secs(3), ..Limits::default() };
    let world = Arc::new(World::with(limits));
    world.ledger.set(down());
    let waiting = tokio::spawn({
        let world = Arc::clone(&world);
        let request = IngestRequest { wait: true, ..request(r#"{"id":"e1"}"#) };
        async move { world.send("acme", request).await }
    });
    let answer = eventually("the answer", || {
        world.clock.advance(Duration::from_millis(100));
        waiting.is_finished().then_some(())
    });
    answer.await;
    let answer = waiting.await.unwrap().unwrap();
    assert_eq!((answer.accepted, answer.applied), (1, false));
    assert_eq!(world.receipt("acme", &answer.receipt.unwrap()).await, Some(ReceiptState::Queued));
}

#[tokio::test]
async fn without_waiting_the_answer_comes_while_the_ledger_is_down() {
    let world = World::new();
    world.ledger.set(down());
    let answer = within("the answer", world.post("acme", r#"{"id":"e1"}"#)).await.unwrap();
    assert_eq!((answer.accepted, answer.applied), (1, false));
}

#[tokio::test]
async fn a_request_with_nothing_to_apply_does_not_wait() {
    let world = World::new();
    world.post_and_wait("acme", r#"{"id":"e1"}"#).await;
    world.ledger.set(down());
    let answer = within("the answer", world.post_and_wait("acme", r#"[{"id":"e1"},{"id":""}]"#)).await;
    assert_eq!((answer.duplicates, answer.rejected, answer.receipt), (1, 1, None));
}

#[tokio::test]
async fn i5_a_receipt_is_good_for_its_own_tenant_only() {
    let world = World::new();
    let receipt = world.post_and_wait("acme", r#"[{"id":"e1"},{"id":"e2"}]"#).await.receipt.unwrap();
    let counted = ReceiptState::Applied { accepted: Some(2), duplicates: Some(0), erased: Some(0) };
    assert_eq!(world.receipt("acme", &receipt).await, Some(counted));
    assert_eq!(world.receipt("zeta", &receipt).await, None);
    for garbage in ["", "1", "0000000000000001", &receipt[1..], &receipt.to_uppercase(), &"0".repeat(32)] {
        assert_eq!(world.receipt("acme", garbage).await, None, "{garbage}");
    }
}

#[tokio::test]
async fn a_receipt_outlives_a_restart_without_its_counts() {
    let world = World::new();
    let receipt = world.post_and_wait("acme", r#"{"id":"e1"}"#).await.receipt.unwrap();
    let world = world.restart(LedgerFaults::default());
    let forgotten = ReceiptState::Applied { accepted: None, duplicates: None, erased: None };
    assert_eq!(world.receipt("acme", &receipt).await, Some(forgotten));
    assert_eq!(world.receipt("zeta", &receipt).await, None);
}

/// Defect 2 of November 2026: looking ids up blocked the thread, and with it every other request. This
/// runtime has one thread.
#[tokio::test]
async fn a_lookup_that_waits_for_the_disk_holds_up_no_other_request() {
    let world = Arc::new(World::new());
    world.ledger.set(LedgerFaults { hold_lookup_of: Some("slow"), ..LedgerFaults::default() });
    let slow = tokio::spawn({
        let world = Arc::clone(&world);
        async move { world.post("acme", r#"{"id":"slow","type":"first"}"#).await }
    });
    tokio::task::yield_now().await;
    // The same tenant, with a name that is new to it: its names are not locked meanwhile.
    let quick = within("the answer", world.post("acme", r#"{"id":"quick","type":"second"}"#)).await.unwrap();
    assert_eq!(quick.accepted, 1);
    assert!(!slow.is_finished());
    world.ledger.release_lookup();
    assert_eq!(within("the answer", slow).await.unwrap().unwrap().accepted, 1);
    world.settle().await;
    assert_eq!(world.ids("acme").await, ["quick", "slow"]);
}

/// Defect 8 of November 2026: latency was the difference of two readings of a clock that may be set back.
#[tokio::test]
async fn latency_is_right_when_the_clock_is_set_back_in_between() {
    let world = Arc::new(World::new());
    world.journal.hold();
    let waiting = tokio::spawn({
        let world = Arc::clone(&world);
        async move { world.post("acme", r#"{"id":"e1"}"#).await }
    });
    eventually("the append is under way", || (world.journal.waiting() == 1).then_some(())).await;
    world.clock.advance(Duration::from_secs(2));
    world.clock.set(START.plus_micros(-3_600_000_000));
    world.clock.advance(Duration::from_secs(1));
    world.journal.release();
    within("the answer", waiting).await.unwrap().unwrap();
    for series in ["ingestion_duration_seconds_sum", "journal_append_duration_seconds_sum"] {
        assert_eq!(world.metric(series).await, Some(3.0), "{series}");
    }
}
