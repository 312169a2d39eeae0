//! Starts over what is there, and ends that leave nothing behind.

use std::time::Duration;

use domain::limits::Limits;
use domain::position::Seq;
use pipeline::IngestError;
use ports::ErrorKind;
use ports::ledger::Ledger;

use crate::twins::LedgerFaults;
use crate::world::{World, batch, eventually, verdicts, within};

#[tokio::test]
async fn it_is_not_ready_until_what_was_durable_at_the_start_is_applied() {
    let world = World::new();
    let down = LedgerFaults { refuse: Some(ErrorKind::Unavailable), ..LedgerFaults::default() };
    world.ledger.set(down.clone());
    for n in 0..3 {
        world.post("acme", &batch(&format!("{n}-"), 5)).await.unwrap();
    }
    let world = world.restart(down);
    assert_eq!(world.not_ready().await, ["ledger"]);
    assert_eq!(world.pipeline.readiness().await[1].message, "replaying the journal: record 0 of 3");
    world.ledger.set(LedgerFaults::default());
    world.settle().await;
    assert!(world.not_ready().await.is_empty());
    assert_eq!(world.events("acme").await.len(), 15, "I1");
    assert_eq!(world.metric("accepted_to_visible_seconds_count").await, Some(0.0), "a replay is no delay");
}

#[tokio::test]
async fn i6_names_that_only_the_journal_holds_count_after_the_replay() {
    let world = World::with(Limits { types_max: 2, ..Limits::default() });
    world.ledger.set(LedgerFaults { refuse: Some(ErrorKind::Unavailable), ..LedgerFaults::default() });
    world.post("acme", r#"[{"id":"1","type":"a"},{"id":"2","type":"b"}]"#).await.unwrap();
    let world = world.restart(LedgerFaults::default());
    world.settle().await;
    let answer = world.post("acme", r#"[{"id":"3","type":"c"},{"id":"4","type":"a"}]"#).await.unwrap();
    assert_eq!(verdicts(&answer), ["3 rejected cardinality_limit", "4 accepted"]);
}

#[tokio::test]
async fn a_shutdown_applies_and_flushes_everything_and_refuses_what_comes_after() {
    let world = World::new();
    for n in 0..50 {
        world.post("acme", &batch(&format!("{n}-"), 3)).await.unwrap();
    }
    within("the shutdown", world.pipeline.shutdown()).await.unwrap();
    assert_eq!((world.ledger.applied(), world.ledger.cursor()), (Seq(50), Seq(50)));
    assert_eq!(world.events("acme").await.len(), 150);
    assert_eq!(world.post("acme", r#"{"id":"late"}"#).await.err(), Some(IngestError::Unavailable));
    assert_eq!(world.not_ready().await, ["journal", "ledger"]);
    within("a second shutdown", world.pipeline.shutdown()).await.unwrap();
    let world = world.restart(LedgerFaults::default());
    assert!(world.not_ready().await.is_empty(), "nothing to replay");
    assert_eq!(world.post_and_wait("acme", r#"{"id":"after"}"#).await.accepted, 1);
    assert_eq!(world.events("acme").await.len(), 151);
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_a_ledger_that_is_down() {
    let world = World::new();
    world.ledger.set(LedgerFaults { refuse: Some(ErrorKind::Unavailable), ..LedgerFaults::default() });
    world.post("acme", r#"{"id":"e1"}"#).await.unwrap();
    let error = within("the shutdown", world.pipeline.shutdown()).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let world = world.restart(LedgerFaults::default());
    world.settle().await;
    assert_eq!(world.ids("acme").await, ["e1"], "I1: the next start goes on");
}

#[tokio::test]
async fn the_journal_is_trimmed_up_to_what_the_ledger_holds_durably() {
    let world = World::new();
    for n in 0..4 {
        world.post_and_wait("acme", &format!(r#"{{"id":"e{n}"}}"#)).await;
    }
    world.ledger.flush().await.unwrap();
    world.post_and_wait("acme", r#"{"id":"e4"}"#).await;
    eventually("the journal is trimmed", || {
        world.clock.advance(Duration::from_secs(1));
        (world.first_kept() == Some(Seq(5))).then_some(())
    })
    .await;
}
