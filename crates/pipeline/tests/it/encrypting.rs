//! Requests whose events are encrypted: what they may take, and what waits for them.

use std::sync::{Arc, mpsc};
use std::time::Duration;

use domain::limits::{ENCRYPTED_VALUES_MAX, Limits};
use domain::payload::HashRule;
use domain::rate::{Rate, ServerRates};
use domain::record::RecordView;
use pipeline::IngestError;
use ports::ErrorKind;
use ports::testing::journal::AppendFault;

use crate::repeats::keyed;
use crate::twins::LongCipher;
use crate::world::{World, batch, verdicts};

/// Longest that a test waits for a state before it fails.
const WAIT_MAX: Duration = Duration::from_secs(20);

fn events(count: usize, values: usize) -> String {
    let values = vec![r#"{"x":1}"#; values].join(",");
    let events: Vec<_> = (0..count).map(|n| format!(r#"{{"id":"e{n}","properties":{{"a":[{values}]}}}}"#)).collect();
    format!("[{}]", events.join(","))
}

/// Found in November 2026: a legal batch became a record that only an empty backlog has room for.
#[tokio::test]
async fn i6_a_batch_that_becomes_too_large_by_encryption_is_refused_whole_and_its_halves_are_taken() {
    let world = World::with(Limits { decoded_bytes_max: 40 << 10, ..Limits::default() });
    world.encryption.answer([Some(LongCipher::at("a.x"))]);
    let refused = world.post("acme", &events(10, 100)).await.unwrap_err();
    let IngestError::TooLarge { message } = refused else { panic!("{refused}") };
    assert!(message.contains("40960 bytes: send fewer events"), "{message}");
    assert!(world.records().await.is_empty(), "I4: nothing of it");
    assert_eq!(world.post("acme", &events(5, 100)).await.unwrap().accepted, 5);
    for (_, record) in world.records().await {
        assert!(record.len() < 40 << 10, "{}", record.len());
    }
    world.encryption.answer([None]);
    assert_eq!(world.post("zeta", &events(10, 100)).await.unwrap().accepted, 10, "as it is, it fits");
}

#[tokio::test]
async fn i9_an_event_with_too_many_values_is_rejected_and_its_neighbours_are_taken() {
    let world = World::new();
    world.encryption.answer([Some(LongCipher::at("a.x"))]);
    let [many, most] = [ENCRYPTED_VALUES_MAX + 1, ENCRYPTED_VALUES_MAX].map(|values| {
        let one = events(1, values);
        one[1..one.len() - 1].to_owned()
    });
    let answer = world.post("acme", &format!("[{},{most}]", many.replace("e0", "many"))).await.unwrap();
    assert_eq!(verdicts(&answer), ["many rejected properties_too_large", "e0 accepted"]);
    let message = answer.results[0].message.as_deref().unwrap();
    assert!(message.contains("more than 1000 values"), "{message}");
}

/// Found in November 2026: 32 MiB of short values were encrypted on an async thread, which all others waited for, under
/// the lock on the workspace's names.
#[test]
fn i6_long_encryption_holds_up_no_async_thread_and_no_other_request() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
    let world = runtime.block_on(async { Arc::new(World::new()) });
    let (encryption, go) = LongCipher::held_at("a.x", 5_000);
    world.encryption.answer([Some(encryption.clone()), Some(encryption), None]);
    let (begun, begins) = mpsc::channel();
    let slow = runtime.spawn({
        let world = Arc::clone(&world);
        async move {
            begun.send(()).unwrap();
            world.post("acme", &events(100, 100)).await
        }
    });
    begins.recv_timeout(WAIT_MAX).unwrap();
    let (answered, answers) = mpsc::channel();
    let quick = runtime.spawn({
        let world = Arc::clone(&world);
        async move {
            // Its type is new, so that it changes the names of the workspace.
            answered.send(world.post("acme", r#"{"id":"q","type":"new"}"#).await.map(|answer| answer.accepted))
        }
    });
    let told = answers.recv_timeout(WAIT_MAX);
    drop(go);
    assert_eq!(told, Ok(Ok(1)));
    runtime.block_on(async move {
        quick.await.unwrap().unwrap();
        assert_eq!(slow.await.unwrap().unwrap().accepted, 100);
        drop(world);
    });
}

/// Found in November 2026: what a workspace encrypts was asked before a request waited for the one before it with its
/// key, so that an event was journaled in plain text after the answer that its path is listed.
#[tokio::test]
async fn what_is_listed_while_a_keyed_request_waits_is_encrypted() {
    let world = World::new();
    world.encryption.answer([None, Some(LongCipher::at("email"))]);
    let body = r#"{"id":"e1","properties":{"email":"ann@example.org"}}"#;
    assert_eq!(world.send("acme", keyed("k", body)).await.unwrap().accepted, 1);
    let records = world.records().await;
    let record = RecordView::parse(&records[0].1).unwrap();
    assert!(!records[0].1.windows(15).any(|window| window == b"ann@example.org"));
    assert_eq!(
        record.request().unwrap().body.rule,
        HashRule::SealedRequestBody,
        "nor does the hash of the body tell it"
    );
    world.settle().await;
    let again = world.send("acme", keyed("k", body)).await.unwrap();
    assert_eq!((again.accepted, again.duplicates), (1, 0), "and a repetition is known");
}

/// Found in November 2026: events were counted that the journal did not take, so that retries were over the limit.
#[tokio::test]
async fn events_that_the_server_did_not_take_are_not_counted() {
    let rates = ServerRates { workspace_events: Rate::new(10).ok(), ..ServerRates::default() };
    let world = World::with(Limits { rates, ..Limits::default() });
    for kind in [ErrorKind::Full, ErrorKind::Overloaded, ErrorKind::Unavailable] {
        world.journal.inner().fail_appends(Some(AppendFault { kind, kept: false }));
        for _ in 0..5 {
            let refused = world.post("acme", &batch("e", 200)).await.unwrap_err();
            assert!(!matches!(refused, IngestError::RateLimited(_)), "{kind:?}: {refused}");
        }
    }
    world.journal.inner().fail_appends(None);
    assert_eq!(world.post("acme", &batch("e", 200)).await.unwrap().accepted, 200);
    assert!(matches!(world.post("acme", &batch("f", 1)).await, Err(IngestError::RateLimited(_))));
}
