//! What goes wrong behind the request path, and what comes of it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use domain::limits::Limits;
use domain::position::Seq;
use pipeline::{IngestError, IngestRequest, ReceiptState};
use ports::ErrorKind;
use ports::journal::Journal;
use ports::ledger::Ledger;
use ports::testing::journal::AppendFault;

use crate::twins::LedgerFaults;
use crate::world::{World, batch, eventually, eventually_told, request, within};

fn refusing(kind: ErrorKind) -> LedgerFaults {
    LedgerFaults { refuse: Some(kind), ..LedgerFaults::default() }
}

#[tokio::test]
async fn a_dead_letter_that_cannot_be_stored_keeps_its_reason_and_is_tried_ever_more_slowly() {
    let world = World::new();
    let (poison, refuse_dead_letters) = (BTreeSet::from([Seq(1)]), Some(ErrorKind::Unacceptable));
    world.ledger.set(LedgerFaults { poison: poison.clone(), refuse_dead_letters, ..LedgerFaults::default() });
    let receipt = world.post("acme", r#"{"id":"e"}"#).await.unwrap().receipt.unwrap();
    eventually("five attempts to store it", || {
        world.clock.advance(Duration::from_millis(100));
        (world.ledger.refused_letters() == 5).then_some(())
    })
    .await;
    world.clock.advance(Duration::from_millis(400));
    tokio::task::yield_now().await;
    assert_eq!(world.ledger.refused_letters(), 5, "the sixth comes after more than 400 ms");
    world.ledger.set(LedgerFaults { poison, ..LedgerFaults::default() });
    world.settle().await;
    let state = world.receipt("acme", &receipt).await;
    assert!(
        matches!(&state, Some(ReceiptState::DeadLettered { reason }) if reason == "failed to read the record: it is poison"),
        "{state:?}"
    );
}

#[tokio::test]
async fn f27_a_poison_record_is_dead_lettered_once_and_the_queue_goes_on() {
    let world = World::new();
    world
        .ledger
        .set(LedgerFaults { refuse_dead_letters: Some(ErrorKind::Unavailable), ..refusing(ErrorKind::Unavailable) });
    let mut receipts = Vec::new();
    for n in 0..5 {
        receipts.push(world.post("acme", &format!(r#"{{"id":"e{n}"}}"#)).await.unwrap().receipt.unwrap());
    }
    let poison = BTreeSet::from([Seq(2), Seq(3)]);
    world.ledger.set(LedgerFaults {
        poison: poison.clone(),
        refuse_dead_letters: Some(ErrorKind::Unavailable),
        ..LedgerFaults::default()
    });
    eventually("three attempts", || {
        world.clock.advance(Duration::from_millis(100));
        (world.ledger.attempts().len() == 3).then_some(())
    })
    .await;
    world.ledger.set(LedgerFaults { poison, ..LedgerFaults::default() });
    world.settle().await;
    assert_eq!(world.ledger.attempts(), [2, 2, 2, 3, 3, 3].map(Seq));
    assert_eq!(world.ids("acme").await, ["e0", "e3", "e4"]);
    assert_eq!(world.ledger.stats().dead_letters, 2);
    for (receipt, is_dead_lettered) in receipts.iter().zip([false, true, true, false, false]) {
        match world.receipt("acme", receipt).await {
            Some(ReceiptState::DeadLettered { reason }) => {
                assert!(is_dead_lettered);
                assert_eq!(reason, "failed to read the record: it is poison");
            }
            state => assert!(!is_dead_lettered, "{state:?}"),
        }
    }
    assert!(world.not_ready().await.is_empty(), "{:?}", world.pipeline.readiness().await);
    let receipt = &receipts[1];
    let world = world.restart(LedgerFaults::default());
    world.settle().await;
    assert_eq!(world.ledger.stats().dead_letters, 2, "once");
    assert!(matches!(world.receipt("acme", receipt).await, Some(ReceiptState::DeadLettered { .. })));
}

#[tokio::test]
async fn a_request_that_waits_for_a_dead_letter_is_not_told_it_is_applied() {
    let limits = Limits { wait_applied_max: Duration::from_secs(5), ..Limits::default() };
    let world = Arc::new(World::with(limits));
    world.ledger.set(LedgerFaults { poison: BTreeSet::from([Seq(1)]), ..LedgerFaults::default() });
    let waiting = tokio::spawn({
        let world = Arc::clone(&world);
        let request = IngestRequest { wait: true, ..request(r#"{"id":"e1"}"#) };
        async move { world.send("acme", request).await.unwrap() }
    });
    eventually("the answer", || {
        world.clock.advance(Duration::from_millis(50));
        waiting.is_finished().then_some(())
    })
    .await;
    let answer = waiting.await.unwrap();
    assert!(!answer.applied);
    world.settle().await;
    let state = world.receipt("acme", &answer.receipt.unwrap()).await;
    assert!(matches!(state, Some(ReceiptState::DeadLettered { .. })), "{state:?}");
    let received_at = world.now();
    eventually("windows close past it", || {
        world.clock.advance(Duration::from_secs(10));
        (world.ledger.closed_through() > received_at).then_some(())
    })
    .await;
}

#[tokio::test]
async fn f28_while_the_ledger_is_down_the_backlog_is_bounded_and_nothing_acknowledged_is_lost() {
    let limits = Limits { backlog_bytes_max: 20_000, ..Limits::default() };
    let world = World::with(limits);
    world.ledger.set(refusing(ErrorKind::Unavailable));
    let (mut acknowledged, mut refused) = (Vec::new(), 0);
    for n in 0..200 {
        match world.post("acme", &batch(&format!("{n}-"), 10)).await {
            Ok(answer) => {
                assert_eq!(answer.accepted, 10);
                acknowledged.extend((0..10).map(|i| format!("{n}-{i}")));
            }
            Err(error) => {
                assert_eq!(error, IngestError::Overloaded);
                refused += 1;
            }
        }
        assert!(world.journal.backlog().await.bytes < 22_000, "I6");
    }
    assert!(refused > 0 && !acknowledged.is_empty());
    assert!(world.journal.backlog().await.bytes < 11_000, "F43: half of it is for others");
    assert_eq!(world.post("zeta", r#"{"id":"of another"}"#).await.unwrap().accepted, 1);
    world.clock.advance(Duration::from_secs(10));
    assert_eq!(world.not_ready().await, ["journal"]);
    assert_eq!(world.metric("events_failed_total{reason=\"overloaded\"}").await, Some(f64::from(refused)));
    let is_tried = async || world.metric("apply_retries_total").await.filter(|retries| *retries >= 1.0);
    eventually_told("an attempt to apply", is_tried).await;
    world.ledger.set(LedgerFaults::default());
    world.settle().await;
    assert!(world.not_ready().await.is_empty(), "I7");
    acknowledged.sort();
    assert_eq!(world.ids("acme").await, acknowledged, "I1, I4");
    assert_eq!(world.post("acme", r#"{"id":"again"}"#).await.unwrap().accepted, 1);
}

#[tokio::test]
async fn a_ledger_that_applies_little_at_a_time_gets_everything() {
    let world = World::new();
    world.ledger.set(LedgerFaults { at_once_max: Some(1), ..refusing(ErrorKind::Unavailable) });
    for n in 0..20 {
        world.post("acme", &batch(&format!("{n}-"), 2)).await.unwrap();
    }
    world.ledger.set(LedgerFaults { at_once_max: Some(1), ..LedgerFaults::default() });
    world.settle().await;
    assert_eq!(world.events("acme").await.len(), 40);
}

#[tokio::test]
async fn i8_a_poisoned_journal_acknowledges_nothing_and_ends_the_process() {
    let world = World::new();
    let failed = world.pipeline.failed();
    world.post_and_wait("acme", r#"{"id":"e1"}"#).await;
    world.journal.inner().fail_appends(Some(AppendFault { kind: ErrorKind::Poisoned, kept: false }));
    for _ in 0..2 {
        assert_eq!(world.post("acme", r#"{"id":"e2"}"#).await.err(), Some(IngestError::Unavailable));
    }
    let reason = within("the failure", failed).await;
    assert_eq!(reason, "failed to append to the journal");
    assert_eq!(within("the failure, asked later", world.pipeline.failed()).await, reason);
    assert_eq!(world.not_ready().await, ["journal", "ledger"]);
}

#[tokio::test]
async fn a_full_disk_is_told_and_over_when_there_is_space_again() {
    let world = World::new();
    world.journal.inner().fail_appends(Some(AppendFault { kind: ErrorKind::Full, kept: false }));
    assert_eq!(world.post("acme", r#"{"id":"e1"}"#).await.err(), Some(IngestError::DiskFull));
    assert_eq!(world.not_ready().await, ["journal"]);
    world.journal.inner().fail_appends(None);
    assert_eq!(world.post_and_wait("acme", r#"{"id":"e1"}"#).await.accepted, 1);
    assert!(world.not_ready().await.is_empty());
}

#[tokio::test]
async fn a_ledger_that_met_corruption_ends_the_process_and_nothing_is_skipped() {
    for kind in [ErrorKind::Corrupt, ErrorKind::Poisoned, ErrorKind::Conflict] {
        let world = World::new();
        world.post_and_wait("acme", r#"{"id":"e1"}"#).await;
        world.ledger.set(refusing(kind));
        world.post("acme", r#"{"id":"e2"}"#).await.unwrap();
        let reason = within("the failure", world.pipeline.failed()).await;
        assert_eq!(reason, "failed to apply, as asked");
        assert_eq!(world.not_ready().await, ["ledger"]);
        assert!(world.pipeline.shutdown().await.is_err());
        let world = world.restart(LedgerFaults::default());
        world.settle().await;
        assert_eq!(world.ids("acme").await, ["e1", "e2"], "I1");
    }
}

#[tokio::test]
async fn i7_a_ledger_that_fails_while_nothing_is_applied_ends_the_process_and_closes_no_window() {
    let world = World::new();
    world.post_and_wait("acme", r#"{"id":"e1"}"#).await;
    world.ledger.set(LedgerFaults { broken: Some(ErrorKind::Poisoned), ..LedgerFaults::default() });
    let closings = world.ledger.closings().len();
    let passing = async {
        loop {
            world.clock.advance(Duration::from_secs(10));
            tokio::task::yield_now().await;
        }
    };
    let reason = tokio::select! {
        reason = within("the failure", world.pipeline.failed()) => reason,
        () = passing => unreachable!(),
    };
    assert!(reason.contains("Poisoned"), "{reason}");
    assert_eq!(world.ledger.closings().len(), closings);
    assert_eq!(world.not_ready().await, ["ledger"]);
}

#[tokio::test]
async fn a_panic_of_the_worker_ends_the_process_and_loses_nothing() {
    let world = World::new();
    world.ledger.set(LedgerFaults { panic: true, ..LedgerFaults::default() });
    world.post("acme", r#"{"id":"e1"}"#).await.unwrap();
    let reason = within("the failure", world.pipeline.failed()).await;
    assert!(reason.contains("panicked"), "{reason}");
    eventually_told("the worker has ended", async || (world.not_ready().await == ["ledger"]).then_some(())).await;
    let world = world.restart(LedgerFaults::default());
    world.settle().await;
    assert_eq!(world.ids("acme").await, ["e1"]);
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_its_events_taken_and_no_window_hanging() {
    let world = Arc::new(World::new());
    world.journal.hold();
    let client = tokio::spawn({
        let world = Arc::clone(&world);
        async move { world.post("acme", r#"{"id":"e1"}"#).await }
    });
    eventually("the stamp is taken", || {
        world.clock.advance(Duration::from_secs(10));
        (!world.ledger.closings().is_empty()).then_some(())
    })
    .await;
    client.abort();
    assert!(client.await.is_err());
    let held = world.ledger.closed_through();
    for _ in 0..50 {
        world.clock.advance(Duration::from_secs(10));
        tokio::task::yield_now().await;
    }
    world.journal.release();
    eventually("the event is counted", || {
        world.clock.advance(Duration::from_secs(10));
        (world.durable() == Seq(1) && world.ledger.applied() == Seq(1)).then_some(())
    })
    .await;
    let received_at = world.events("acme").await[0].received_at;
    eventually("windows close again", || {
        world.clock.advance(Duration::from_secs(10));
        (world.ledger.closed_through() > held.max(received_at)).then_some(())
    })
    .await;
}
