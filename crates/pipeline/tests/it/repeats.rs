//! Requests with a key: the same request again is answered as the first time and takes nothing (I2).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use domain::access::audit::Cause;
use domain::limits::Limits;
use domain::position::Seq;
use domain::request::IdempotencyKey;
use domain::tenant::CredentialHash;
use pipeline::{IngestAnswer, IngestError, IngestRequest, NOT_TAKEN, SettingsChange};
use ports::ErrorKind;
use ports::testing::journal::AppendFault;
use ports::testing::ledger::records::scope;

use crate::twins::LedgerFaults;
use crate::world::{World, eventually, request, verdicts, within};

const ROUTE: &str = "/v1/events";

fn key_of(credential: &str, route: &str, text: &str) -> IdempotencyKey {
    IdempotencyKey::new(CredentialHash::of(Some(credential)), route, text.as_bytes()).unwrap()
}

pub(crate) fn keyed(text: &str, body: &str) -> IngestRequest {
    IngestRequest { key: Some(key_of("credential", ROUTE, text)), ..request(body) }
}

fn down() -> LedgerFaults {
    LedgerFaults { refuse: Some(ErrorKind::Unavailable), ..LedgerFaults::default() }
}

impl World {
    async fn send_keyed(&self, text: &str, body: &str) -> Result<IngestAnswer, IngestError> {
        within("the answer", self.send("acme", keyed(text, body))).await
    }

    async fn taken(&self, text: &str, body: &str) -> IngestAnswer {
        let answer = self.send_keyed(text, body).await.unwrap();
        self.settle().await;
        answer
    }
}

fn same(first: &IngestAnswer, again: &IngestAnswer) {
    assert_eq!(first.results, again.results, "the verdicts of the first time");
    assert_eq!(first.receipt, again.receipt, "and its receipt");
    assert_eq!((first.accepted, first.duplicates, first.rejected), (again.accepted, again.duplicates, again.rejected));
}

#[tokio::test]
async fn i2_the_same_request_twice_is_one_request_also_for_events_without_an_id() {
    let world = World::new();
    let body = r#"[{"customer":"a"},{"customer":"a"},{"id":"own"}]"#;
    let first = world.taken("k", body).await;
    assert_eq!(first.accepted, 3);
    for _ in 0..3 {
        same(&first, &world.send_keyed("k", body).await.unwrap());
    }
    assert_eq!(world.durable(), Seq(1), "a repetition is not journaled");
    let mut told: Vec<_> = first.results.iter().filter_map(|result| result.event_id.clone()).collect();
    told.sort();
    assert_eq!(told, world.ids("acme").await, "an event is found under the id that it was told");
    assert_eq!(world.metric("ingest_requests_replayed_total").await, Some(3.0));
    assert_eq!(world.metric("events_received_total{event_type=\"custom\"}").await, Some(3.0), "they came once");
    let other = world.taken("k2", body).await;
    assert_eq!(verdicts(&other)[2], "own duplicate", "another key is another request");
    assert_eq!(world.events("acme").await.len(), 5);
}

#[tokio::test]
async fn i2_an_id_that_was_made_of_a_key_is_that_very_event_when_it_is_sent_as_an_id() {
    let world = World::new();
    let first = world.taken("k", r#"{"customer":"a"}"#).await;
    let id = first.results[0].event_id.clone().unwrap();
    let again = world.post("acme", &format!(r#"{{"id":"{id}","customer":"a"}}"#)).await.unwrap();
    assert_eq!(verdicts(&again), [format!("{id} duplicate")]);
    assert_eq!(world.events("acme").await.len(), 1);
}

#[tokio::test]
async fn a_key_belongs_to_its_tenant_credential_and_route() {
    let world = World::new();
    let body = r#"{"customer":"a"}"#;
    let with = |key| IngestRequest { key: Some(key), ..request(body) };
    for (tenant, credential, route) in [
        ("acme", "credential", ROUTE),
        ("zeta", "credential", ROUTE),
        ("acme", "another-credential", ROUTE),
        ("acme", "credential", "/v1/ingest"),
    ] {
        let answer = world.send(tenant, with(key_of(credential, route, "k"))).await.unwrap();
        assert_eq!(answer.accepted, 1);
        world.settle().await;
        same(&answer, &world.send(tenant, with(key_of(credential, route, "k"))).await.unwrap());
    }
    assert_eq!((world.events("acme").await.len(), world.events("zeta").await.len()), (3, 1));
}

#[tokio::test]
async fn another_body_under_a_used_key_is_refused_before_anything_is_journaled() {
    let world = World::new();
    world.taken("k", r#"{"id":"e1"}"#).await;
    for body in [r#"{"id":"e2"}"#, r#"{"id":"e1"} "#, "no JSON"] {
        assert_eq!(world.send_keyed("k", body).await.err(), Some(IngestError::KeyReused), "{body}");
    }
    let lines = IngestRequest { content_type: Some("application/x-ndjson".to_owned()), ..keyed("k", r#"{"id":"e1"}"#) };
    assert_eq!(world.send("acme", lines).await.err(), Some(IngestError::KeyReused), "read in another way");
    assert_eq!(world.durable(), Seq(1));
    assert_eq!(world.ids("acme").await, ["e1"]);
    assert_eq!(world.metric("events_failed_total{reason=\"idempotency_key_reused\"}").await, Some(4.0));
}

#[tokio::test]
async fn every_verdict_comes_again_as_it_was() {
    let world = World::new();
    world.post_and_wait("acme", r#"[{"id":"old"},{"id":"changed","user":"a"}]"#).await;
    let body = r#"[
        {"id":"new"},
        {"id":"bad","properties":{"tokens":-1}},
        {"id":"old"},
        17,
        {"id":"changed","user":"b"},
        {"id":"new"},
        {"id":"new","user":"x"},
        {"customer":"c"},
        {"id":"theirs","tenant":"zeta"},
        {"id":"late","time":"never"},
        {"id":"last"}
    ]"#;
    let first = world.taken("k", body).await;
    assert_eq!((first.accepted, first.duplicates, first.rejected), (3, 4, 4));
    same(&first, &world.send_keyed("k", body).await.unwrap());
}

#[tokio::test]
async fn what_was_accepted_stays_so_when_it_would_be_too_late_now_and_what_was_not_is_never_taken() {
    let world = World::new();
    world.ensure_tenants(&["acme"]).await;
    let change = SettingsChange { max_lateness_sec: Some(Some(60)), ..SettingsChange::default() };
    let body = r#"[{"id":"now","time":"2026-01-01T00:00:00Z"},{"id":"ahead","time":"2026-01-01T00:05:00Z"}]"#;
    let first = world.taken("k", body).await;
    assert_eq!(verdicts(&first), ["now accepted", "ahead rejected time_in_future"]);
    world.settings.change(&scope("acme"), &change, &Cause::command()).await.unwrap();
    world.clock.advance(Duration::from_secs(330));
    let again = world.send_keyed("k", body).await.unwrap();
    assert_eq!(verdicts(&again), ["now accepted".to_owned(), format!("ahead rejected {NOT_TAKEN}")]);
    assert_eq!(world.ids("acme").await, ["now"]);
    world.clock.advance(Duration::from_secs(600));
    let again = world.send_keyed("k", body).await.unwrap();
    assert_eq!(verdicts(&again), ["now accepted", "ahead rejected too_late"]);
    assert_eq!(again.receipt, first.receipt);
}

#[tokio::test]
async fn nothing_is_remembered_of_a_request_of_which_no_event_was_taken() {
    let world = World::new();
    world.post_and_wait("acme", r#"{"id":"old"}"#).await;
    assert_eq!(
        verdicts(&world.send_keyed("k", r#"{"id":"e1","time":"never"}"#).await.unwrap()),
        ["e1 rejected invalid_time"]
    );
    assert!(matches!(world.send_keyed("k", "no JSON").await, Err(IngestError::Malformed { .. })));
    assert_eq!(verdicts(&world.send_keyed("k", r#"{"id":"old"}"#).await.unwrap()), ["old duplicate"]);
    world.journal.inner().fail_appends(Some(AppendFault { kind: ErrorKind::Full, kept: false }));
    assert_eq!(world.send_keyed("k", r#"{"id":"e2"}"#).await.err(), Some(IngestError::DiskFull));
    world.journal.inner().fail_appends(None);
    let taken = world.taken("k", r#"{"id":"e3"}"#).await;
    assert_eq!(verdicts(&taken), ["e3 accepted"]);
    assert_eq!(world.ids("acme").await, ["e3", "old"]);
}

#[tokio::test]
async fn while_the_first_is_on_its_way_another_is_refused_and_takes_nothing() {
    let world = Arc::new(World::new());
    world.journal.hold();
    let first = tokio::spawn({
        let world = Arc::clone(&world);
        async move { world.send("acme", keyed("k", r#"{"customer":"a"}"#)).await }
    });
    eventually("the first append is held", || (world.journal.waiting() == 1).then_some(())).await;
    for body in [r#"{"customer":"a"}"#, r#"{"customer":"b"}"#] {
        assert_eq!(world.send_keyed("k", body).await.err(), Some(IngestError::RequestRunning));
    }
    let other = tokio::spawn({
        let world = Arc::clone(&world);
        async move { world.send("acme", keyed("other", r#"{"customer":"a"}"#)).await }
    });
    eventually("another key goes its way", || (world.journal.waiting() == 2).then_some(())).await;
    world.journal.release();
    let first = within("the answer", first).await.unwrap().unwrap();
    within("the answer", other).await.unwrap().unwrap();
    world.settle().await;
    same(&first, &world.send_keyed("k", r#"{"customer":"a"}"#).await.unwrap());
    assert_eq!(world.events("acme").await.len(), 2);
    assert_eq!(world.metric("events_failed_total{reason=\"request_running\"}").await, Some(2.0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn f17_of_many_requests_with_one_key_at_once_exactly_one_is_journaled() {
    let world = Arc::new(World::new());
    let body = r#"[{"customer":"a"},{"customer":"a"}]"#;
    for round in 0..20 {
        let posts: Vec<_> = (0..16)
            .map(|_| {
                let world = Arc::clone(&world);
                tokio::spawn(async move { world.send("acme", keyed(&format!("k{round}"), body)).await })
            })
            .collect();
        let mut answers = Vec::new();
        for post in posts {
            match post.await.unwrap() {
                Ok(answer) => answers.push(answer),
                Err(error) => assert_eq!(error, IngestError::RequestRunning),
            }
        }
        answers.windows(2).for_each(|pair| same(&pair[0], &pair[1]));
        assert!(!answers.is_empty());
        assert_eq!(world.durable(), Seq(round + 1));
    }
    world.settle().await;
    assert_eq!(world.events("acme").await.len(), 40);
}

#[tokio::test]
async fn one_that_comes_before_the_first_is_applied_waits_for_that_and_no_longer_than_a_request_may() {
    let world = Arc::new(World::with(Limits { wait_applied_max: Duration::from_secs(3_600), ..Limits::default() }));
    world.ledger.set(down());
    let first = world.send_keyed("k", r#"{"customer":"a"}"#).await.unwrap();
    let again = |world: &Arc<World>| {
        let world = Arc::clone(world);
        tokio::spawn(async move { world.send("acme", keyed("k", r#"{"customer":"a"}"#)).await })
    };
    let waiting = again(&world);
    eventually("it gives up", || {
        world.clock.advance(Duration::from_secs(60));
        waiting.is_finished().then_some(())
    })
    .await;
    assert_eq!(waiting.await.unwrap().err(), Some(IngestError::RequestRunning));
    let waiting = again(&world);
    world.ledger.set(LedgerFaults::default());
    world.settle().await;
    same(&first, &within("the answer", waiting).await.unwrap().unwrap());
    assert_eq!(world.events("acme").await.len(), 1);
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_its_key_taken_until_its_record_is_applied() {
    let world = Arc::new(World::new());
    world.journal.hold();
    let first = tokio::spawn({
        let world = Arc::clone(&world);
        async move { world.send("acme", keyed("k", r#"{"customer":"a"}"#)).await }
    });
    eventually("the append is held", || (world.journal.waiting() == 1).then_some(())).await;
    first.abort();
    assert!(within("its end", first).await.is_err());
    assert_eq!(world.send_keyed("k", r#"{"customer":"a"}"#).await.err(), Some(IngestError::RequestRunning));
    world.journal.release();
    eventually("it is durable all the same", || (world.durable() == Seq(1)).then_some(())).await;
    world.settle().await;
    let again = world.send_keyed("k", r#"{"customer":"a"}"#).await.unwrap();
    assert_eq!((again.accepted, world.durable()), (1, Seq(1)));
    assert_eq!(world.events("acme").await.len(), 1);
}

#[tokio::test]
async fn a_client_that_goes_away_before_its_events_are_decided_frees_its_key() {
    let world = Arc::new(World::new());
    world.ledger.set(LedgerFaults { hold_lookup_of: Some("e1"), ..LedgerFaults::default() });
    let first = tokio::spawn({
        let world = Arc::clone(&world);
        async move { world.send("acme", keyed("k", r#"{"id":"e1"}"#)).await }
    });
    eventually("its ids are looked up", || (world.ledger.looked_up() == 1).then_some(())).await;
    assert_eq!(world.send_keyed("k", r#"{"id":"e1"}"#).await.err(), Some(IngestError::RequestRunning));
    first.abort();
    assert!(within("its end", first).await.is_err());
    world.ledger.set(LedgerFaults::default());
    assert_eq!(verdicts(&world.taken("k", r#"{"id":"e2"}"#).await), ["e2 accepted"]);
}

#[tokio::test]
async fn i1_i2_a_key_outlives_a_restart_and_nothing_is_taken_before_the_replay_has_ended() {
    let world = World::new();
    world.ledger.set(down());
    let body = r#"[{"customer":"a"},{"customer":"a"}]"#;
    let first = world.send_keyed("k", body).await.unwrap();
    let world = Arc::new(world.restart(down()));
    let waiting = tokio::spawn({
        let world = Arc::clone(&world);
        async move { world.send("acme", keyed("k", body)).await }
    });
    eventually("it gives up", || {
        world.clock.advance(Duration::from_millis(100));
        waiting.is_finished().then_some(())
    })
    .await;
    assert_eq!(waiting.await.unwrap().err(), Some(IngestError::Replaying));
    let other = world.post("acme", r#"{"id":"other"}"#).await.unwrap();
    assert_eq!(other.accepted, 1, "requests without a key are taken meanwhile");
    world.ledger.set(LedgerFaults::default());
    world.settle().await;
    same(&first, &world.send_keyed("k", body).await.unwrap());
    assert_eq!(world.send_keyed("k", "{}").await.err(), Some(IngestError::KeyReused));
    assert_eq!(world.events("acme").await.len(), 3);
}

#[tokio::test]
async fn i2_an_append_whose_answer_was_lost_is_counted_once_also_without_ids() {
    let world = World::new();
    world.ledger.set(down());
    let body = r#"[{"customer":"a"},{"customer":"a"}]"#;
    world.journal.inner().fail_appends(Some(AppendFault { kind: ErrorKind::Unavailable, kept: true }));
    assert_eq!(world.send_keyed("k", body).await.err(), Some(IngestError::Unavailable));
    world.journal.inner().fail_appends(None);
    let retry = world.send_keyed("k", body).await.unwrap();
    assert_eq!(retry.accepted, 2);
    world.ledger.set(LedgerFaults::default());
    world.settle().await;
    assert_eq!(world.durable(), Seq(2));
    assert_eq!(world.events("acme").await.len(), 2);
    assert_eq!(world.send_keyed("k", body).await.unwrap().results, retry.results);
}

#[tokio::test]
async fn a_dead_letter_frees_its_key() {
    let world = World::new();
    world.ledger.set(LedgerFaults { poison: [Seq(1)].into(), ..LedgerFaults::default() });
    world.taken("k", r#"{"id":"e1"}"#).await;
    assert!(world.ids("acme").await.is_empty());
    assert_eq!(verdicts(&world.taken("k", r#"{"id":"e2"}"#).await), ["e2 accepted"]);
    assert_eq!(world.ids("acme").await, ["e2"]);
}

#[tokio::test]
async fn a_repetition_may_wait_be_compressed_or_be_lines() {
    let world = World::new();
    let lines = IngestRequest {
        content_type: Some("application/x-ndjson".to_owned()),
        wait: true,
        ..keyed("k", "{\"customer\":\"a\"}\n{\"customer\":\"a\"}\n")
    };
    let first = within("the answer", world.send("acme", lines.clone())).await.unwrap();
    let again = within("the answer", world.send("acme", lines)).await.unwrap();
    same(&first, &again);
    assert!(first.applied && again.applied);
    // The same body, stored as gzip.
    let plain = b"{\"customer\":\"a\"}\n{\"customer\":\"a\"}\n";
    let stored = IngestRequest {
        content_type: Some("application/x-ndjson; charset=utf-8".to_owned()),
        content_encoding: Some("gzip".to_owned()),
        body: Bytes::from(crate::taking::stored_as_gzip(plain)),
        ..keyed("k", "")
    };
    same(&first, &world.send("acme", stored).await.unwrap());
    assert_eq!(world.events("acme").await.len(), 2);
}

#[tokio::test]
async fn a_request_without_a_key_looks_nothing_up_for_one() {
    let world = World::new();
    world.post_and_wait("acme", r#"{"id":"e1"}"#).await;
    assert_eq!((world.ledger.looked_up(), world.ledger.looked_up_exactly()), (1, 0));
}
