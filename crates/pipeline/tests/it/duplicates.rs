//! I2: one (tenant, id) is counted once, whether the request or the worker finds out first.

use std::sync::Arc;

use domain::position::Seq;
use pipeline::{IngestError, ReceiptState};
use ports::ErrorKind;
use ports::testing::journal::AppendFault;

use crate::twins::LedgerFaults;
use crate::world::{World, verdicts};

const DOWN: Option<ErrorKind> = Some(ErrorKind::Unavailable);

#[tokio::test]
async fn an_applied_id_is_a_duplicate_at_once_and_is_not_journaled_again() {
    let world = World::new();
    world.post_and_wait("acme", r#"{"id":"e1"}"#).await;
    let answer = world.post("acme", r#"{"id":"e1"}"#).await.unwrap();
    assert_eq!((verdicts(&answer), answer.receipt), (vec!["e1 duplicate".to_owned()], None));
    assert_eq!(world.durable(), Seq(1));
    let mixed = world.post("acme", r#"[{"id":"e1"},{"id":"e2"}]"#).await.unwrap();
    assert_eq!(verdicts(&mixed), ["e1 duplicate", "e2 accepted"]);
    world.settle().await;
    assert_eq!(world.ids("acme").await, ["e1", "e2"]);
}

#[tokio::test]
async fn the_hint_may_miss_what_is_on_its_way_and_the_ledger_decides() {
    let world = World::new();
    world.ledger.set(LedgerFaults { refuse: DOWN, ..LedgerFaults::default() });
    let first = world.post("acme", r#"{"id":"e1"}"#).await.unwrap();
    let second = world.post("acme", r#"[{"id":"e1"},{"id":"e2"}]"#).await.unwrap();
    assert_eq!((first.accepted, second.accepted), (1, 2), "nothing is applied yet, so nothing is known");
    world.ledger.set(LedgerFaults::default());
    world.settle().await;
    assert_eq!(world.ids("acme").await, ["e1", "e2"]);
    let state = |accepted, duplicates| {
        Some(ReceiptState::Applied { accepted: Some(accepted), duplicates: Some(duplicates), erased: Some(0) })
    };
    assert_eq!(world.receipt("acme", &first.receipt.unwrap()).await, state(1, 0));
    assert_eq!(world.receipt("acme", &second.receipt.unwrap()).await, state(1, 1));
    assert_eq!(world.metric("events_duplicate_total").await, Some(1.0));
}

#[tokio::test]
async fn a_failed_append_does_not_make_the_retry_a_duplicate() {
    let world = World::new();
    for (kind, error) in [
        (ErrorKind::Unavailable, IngestError::Unavailable),
        (ErrorKind::Full, IngestError::DiskFull),
        (ErrorKind::Overloaded, IngestError::Overloaded),
    ] {
        world.journal.inner().fail_appends(Some(AppendFault { kind, kept: false }));
        let body = format!(r#"{{"id":"{error}","type":"{error}"}}"#);
        assert_eq!(world.post("acme", &body).await.err(), Some(error.clone()));
        assert_eq!(world.post("acme", &body).await.err(), Some(error.clone()), "and again");
        world.journal.inner().fail_appends(None);
        let retry = world.post_and_wait("acme", &body).await;
        assert_eq!(verdicts(&retry), [format!("{error} accepted")]);
    }
    assert_eq!(world.events("acme").await.len(), 3);
}

#[tokio::test]
async fn an_append_whose_answer_was_lost_is_counted_once() {
    let world = World::new();
    world.ledger.set(LedgerFaults { refuse: DOWN, ..LedgerFaults::default() });
    world.journal.inner().fail_appends(Some(AppendFault { kind: ErrorKind::Unavailable, kept: true }));
    assert_eq!(world.post("acme", r#"{"id":"e1"}"#).await.err(), Some(IngestError::Unavailable));
    world.journal.inner().fail_appends(None);
    assert_eq!(world.post("acme", r#"{"id":"e1"}"#).await.unwrap().accepted, 1);
    world.ledger.set(LedgerFaults::default());
    world.settle().await;
    assert_eq!(world.durable(), Seq(2));
    assert_eq!(world.ids("acme").await, ["e1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn f17_one_id_from_many_requests_at_once_is_counted_once() {
    let world = Arc::new(World::new());
    let posts: Vec<_> = (0..200)
        .map(|n| {
            let world = Arc::clone(&world);
            let body = format!(r#"[{{"id":"same","customer":"c"}},{{"id":"own{n}"}},{{"id":"same","customer":"c"}}]"#);
            tokio::spawn(async move { world.post_and_wait("acme", &body).await })
        })
        .collect();
    let (mut accepted, mut duplicates) = (0, 0);
    for post in posts {
        let answer = post.await.unwrap();
        accepted += answer.accepted;
        duplicates += answer.duplicates;
    }
    assert_eq!((accepted, duplicates), (201, 399), "settled verdicts: one of them took the id");
    assert_eq!(world.events("acme").await.len(), 201);
}

#[tokio::test]
async fn f18_the_same_id_with_another_payload_is_told_and_the_first_one_stands() {
    let world = World::new();
    let in_one = r#"[{"id":"a","user":"1"},{"id":"a","user":"2"}]"#;
    assert_eq!(
        verdicts(&world.post_and_wait("acme", in_one).await),
        ["a accepted", "a duplicate payload_mismatch"],
        "within one request"
    );
    let hinted = world.post("acme", r#"{"id":"a","user":"3"}"#).await.unwrap();
    assert_eq!(verdicts(&hinted), ["a duplicate payload_mismatch"], "known when it came");
    world.ledger.set(LedgerFaults { refuse: DOWN, ..LedgerFaults::default() });
    world.post("acme", r#"{"id":"b","user":"1"}"#).await.unwrap();
    let (late, ()) = tokio::join!(world.post_and_wait("acme", r#"{"id":"b","user":"2"}"#), async {
        tokio::task::yield_now().await;
        world.ledger.set(LedgerFaults::default());
        world.settle().await;
    });
    assert_eq!(verdicts(&late), ["b duplicate payload_mismatch"], "decided by the ledger");
    let users: Vec<_> = world.events("acme").await.into_iter().map(|event| event.user.unwrap()).collect();
    assert_eq!(users, ["1", "1"]);
    assert_eq!(world.metric("events_payload_mismatch_total").await, Some(3.0));
}

#[tokio::test]
async fn i5_the_same_id_of_two_tenants_is_two_events() {
    let world = World::new();
    for tenant in ["acme", "zeta"] {
        assert_eq!(world.post_and_wait(tenant, r#"{"id":"e1"}"#).await.accepted, 1);
    }
    assert_eq!((world.ids("acme").await, world.ids("zeta").await), (vec!["e1".to_owned()], vec!["e1".to_owned()]));
}
