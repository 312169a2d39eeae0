//! What is taken, what is not, and how each event is told.

use bytes::Bytes;
use domain::limits::Limits;
use pipeline::{IngestError, IngestRequest};

use crate::twins::LedgerFaults;
use crate::world::{START, World, batch, request, verdicts};

#[tokio::test]
async fn i1_an_accepted_event_is_counted() {
    let world = World::new();
    let answer = world.post_and_wait("acme", r#"{"id":"e1","customer":"c","properties":{"tokens":5}}"#).await;
    assert_eq!((answer.accepted, answer.duplicates, answer.rejected), (1, 0, 0));
    let events = world.events("acme").await;
    assert_eq!(events.len(), 1);
    assert_eq!((events[0].id.as_str(), events[0].tokens), ("e1", Some(5)));
    assert_eq!((events[0].time, events[0].received_at), (START, START), "no time of its own: when it was received");
}

#[tokio::test]
async fn every_event_has_its_own_verdict_in_the_order_of_the_body() {
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
        {"id":"theirs","tenant":"zeta"},
        {"id":"late","time":"never"},
        {"id":"last"}
    ]"#;
    let answer = world.post_and_wait("acme", body).await;
    assert_eq!(
        verdicts(&answer),
        [
            "new accepted",
            "bad rejected invalid_number",
            "old duplicate",
            "- rejected invalid_json",
            "changed duplicate payload_mismatch",
            "new duplicate",
            "new duplicate payload_mismatch",
            "theirs rejected tenant_mismatch",
            "late rejected invalid_time",
            "last accepted",
        ]
    );
    assert_eq!((answer.accepted, answer.duplicates, answer.rejected), (2, 4, 4));
    assert_eq!(answer.results[1].field.as_deref(), Some("tokens"));
    assert!(answer.results.iter().filter(|result| result.code.is_some()).all(|result| result.message.is_some()));
    assert_eq!(world.ids("acme").await, ["changed", "last", "new", "old"], "I4: what was rejected left no trace");
    assert!(world.ids("zeta").await.is_empty(), "I5");
}

#[tokio::test]
async fn an_event_without_an_id_is_given_one_of_its_receive_time() {
    let world = World::new();
    let answer = world.post_and_wait("acme", r#"[{"customer":"a"},{"customer":"a"}]"#).await;
    assert_eq!(answer.accepted, 2);
    let mut told: Vec<&str> = answer.results.iter().filter_map(|result| result.event_id.as_deref()).collect();
    told.sort_unstable();
    assert_eq!(told, world.ids("acme").await);
    let milliseconds = format!("{:012x}", START.micros() / 1_000);
    for id in told {
        assert_eq!((id.len(), &id[14..15]), (36, "7"), "a UUIDv7: {id}");
        assert_eq!(id[..13].replace('-', ""), milliseconds);
    }
}

#[tokio::test]
async fn a_body_that_cannot_be_taken_is_told_why_and_nothing_is_journaled() {
    let limits = Limits { batch_events_max: 3, body_bytes_max: 200, decoded_bytes_max: 200, ..Limits::default() };
    let world = World::with(limits);
    let with = |content_type: Option<&str>, content_encoding: Option<&str>, body: &str| IngestRequest {
        content_type: content_type.map(str::to_owned),
        content_encoding: content_encoding.map(str::to_owned),
        ..request(body)
    };
    let long = format!(r#"{{"id":"{}"}}"#, "x".repeat(300));
    let many = batch("e", 4);
    for (request, reason) in [
        (with(None, None, "{\"id\":"), "malformed"),
        (with(None, None, ""), "malformed"),
        (with(None, None, &long), "too_large"),
        (with(None, None, &many), "too_large"),
        (with(None, Some("br"), "{}"), "unsupported_encoding"),
        (with(Some("image/png"), None, "{}"), "unsupported_media_type"),
        (with(None, Some("gzip"), "not gzip"), "malformed"),
    ] {
        let told = world.send("acme", request.clone()).await.err();
        let found = match &told {
            Some(IngestError::Malformed { .. }) => "malformed",
            Some(IngestError::TooLarge { .. }) => "too_large",
            Some(IngestError::UnsupportedEncoding { .. }) => "unsupported_encoding",
            Some(IngestError::UnsupportedMediaType { .. }) => "unsupported_media_type",
            _ => "taken",
        };
        assert_eq!(found, reason, "{request:?}: {told:?}");
    }
    assert_eq!(world.durable().0, 0);
    assert_eq!(world.metric("events_failed_total{reason=\"malformed\"}").await, Some(3.0));
}

#[tokio::test]
async fn when_every_event_is_rejected_nothing_is_journaled() {
    let world = World::new();
    let answer = world.post_and_wait("acme", r#"[{"id":"d","user":"\u0007"},{"id":"e","time":"x"}]"#).await;
    assert_eq!((answer.accepted, answer.rejected, answer.receipt.clone()), (0, 2, None));
    assert_eq!(verdicts(&answer), ["d rejected invalid_value", "e rejected invalid_time"]);
    assert_eq!(world.durable().0, 0);
}

#[tokio::test]
async fn an_id_longer_than_any_may_be_is_not_sent_back() {
    let world = World::new();
    let body = format!(r#"{{"id":"{}"}}"#, "x".repeat(100_000));
    let answer = world.post("acme", &body).await.unwrap();
    assert_eq!(verdicts(&answer), ["- rejected too_long"]);
}

#[tokio::test]
async fn i6_a_tenant_uses_no_more_names_than_its_limit_and_a_rejected_event_uses_none() {
    let world = World::with(Limits { types_max: 2, endpoints_max: 1, ..Limits::default() });
    let body = r#"[
        {"id":"1","type":"a","endpoint":"/x"},
        {"id":"2","type":"wasted","endpoint":"/y"},
        {"id":"3","type":"b"},
        {"id":"4","type":"c"},
        {"id":"5","type":"a"}
    ]"#;
    let answer = world.post_and_wait("acme", body).await;
    let expected =
        ["1 accepted", "2 rejected cardinality_limit", "3 accepted", "4 rejected cardinality_limit", "5 accepted"];
    assert_eq!(verdicts(&answer), expected);
    assert_eq!(answer.results[1].field.as_deref(), Some("endpoint"));
    assert_eq!(world.post("zeta", r#"{"type":"c"}"#).await.unwrap().accepted, 1, "I5: limits are per tenant");
    let world = world.restart(LedgerFaults::default());
    world.settle().await;
    let answer = world.post("acme", r#"[{"id":"6","type":"c"},{"id":"7","type":"b"}]"#).await.unwrap();
    assert_eq!(verdicts(&answer), ["6 rejected cardinality_limit", "7 accepted"], "limits outlive a restart");
}

#[tokio::test]
async fn metrics_count_what_happened() {
    let world = World::new();
    world.post_and_wait("acme", r#"[{"id":"1","type":"a"},{"id":"2","type":"b"},{"id":"2","type":"b"}]"#).await;
    world.post_and_wait("acme", r#"[{"id":"1","type":"z"},{"id":"3","type":"a"},{"id":"4","time":"x"}]"#).await;
    world.settle().await;
    for (series, value) in [
        ("events_received_total{event_type=\"other\"}", 5.0),
        ("events_received_total{event_type=\"unknown\"}", 1.0),
        ("events_ingested_total{event_type=\"other\"}", 3.0),
        ("events_duplicate_total", 2.0),
        ("events_payload_mismatch_total", 1.0),
        ("events_failed_total{reason=\"invalid_time\"}", 1.0),
        ("ingestion_duration_seconds_count", 2.0),
        ("accepted_to_visible_seconds_count", 2.0),
        ("journal_appends_total", 2.0),
        ("journal_durable_seq", 2.0),
        ("backlog_records", 0.0),
        ("backlog_bytes", 0.0),
        ("ledger_unflushed_events", 3.0),
        ("ledger_dead_letters", 0.0),
    ] {
        assert_eq!(world.metric(series).await, Some(value), "{series}");
    }
}

#[tokio::test]
async fn a_compressed_body_counts_at_its_decoded_size() {
    let world = World::new();
    let body = stored_as_gzip(br#"{"id":"z"}"#);
    let request = IngestRequest {
        content_encoding: Some("gzip".to_owned()),
        body: Bytes::from(body),
        wait: true,
        ..IngestRequest::default()
    };
    assert_eq!(world.send("acme", request).await.unwrap().accepted, 1);
    assert_eq!(world.ids("acme").await, ["z"]);
}

/// Gzip made by hand: header, one stored block, trailer.
pub(crate) fn stored_as_gzip(plain: &[u8]) -> Vec<u8> {
    let mut body = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255, 1];
    let len = u16::try_from(plain.len()).unwrap();
    body.extend_from_slice(&len.to_le_bytes());
    body.extend_from_slice(&(!len).to_le_bytes());
    body.extend_from_slice(plain);
    body.extend_from_slice(&crc32(plain).to_le_bytes());
    body.extend_from_slice(&u32::from(len).to_le_bytes());
    body
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    !crc
}
