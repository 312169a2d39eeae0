//! Bodies of every kind and size: taken, or refused with the limit that was reached (I6, I9).

use std::io::Write;
use std::time::Duration;

use domain::limits::Limits;
use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use serde_json::json;

use crate::harness::{KEY_A, TestApi};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn every_form_and_encoding_is_taken() {
    let api = TestApi::start().await;
    let one = |id: &str| format!(r#"{{"id": "{id}", "type": "t"}}"#);
    let cloud = |id: &str| format!(r#"{{"specversion": "1.0", "id": "{id}", "source": "s", "type": "t"}}"#);
    let zstd = zstd::encode_all(one("zstd").as_bytes(), 0).unwrap();
    let cases: [(&str, &str, Vec<u8>, u64); 9] = [
        ("application/json", "", one("one").into(), 1),
        ("application/json; charset=utf-8", "identity", format!("[{}, {}]", one("b"), one("c")).into(), 2),
        ("application/json", "", format!(r#"{{"events": [{}]}}"#, one("d")).into(), 1),
        ("application/x-ndjson", "", format!("{}\n{}\n", one("e"), one("f")).into(), 2),
        ("application/cloudevents+json", "", cloud("g").into(), 1),
        ("application/cloudevents-batch+json", "", format!("[{}]", cloud("h")).into(), 1),
        ("application/json", "gzip", gzip(one("gzip").as_bytes()), 1),
        ("application/json", "zstd", zstd, 1),
        ("", "", one("no-type").into(), 1),
    ];
    for (kind, encoding, body, events) in cases {
        let mut headers = vec![("content-type", kind), ("content-encoding", encoding)];
        headers.retain(|(_, value)| !value.is_empty());
        let taken = api.send("POST", "/v1/events", &headers, body).await.json(202);
        assert_eq!(taken["accepted"], events, "{kind} {encoding}: {taken}");
    }
}

#[tokio::test]
async fn i9_what_is_no_body_of_events_is_refused_whole() {
    let api = TestApi::start().await;
    let cases: [(&str, &str, &[u8], u16); 11] = [
        ("application/json", "", b"", 400),
        ("application/json", "", b"hello", 400),
        ("application/json", "", b"{\"id\": \"e\"", 400),
        ("application/json", "", b"{\"id\": \"\xff\"}", 400),
        ("application/json", "", b"7", 400),
        ("application/json", "", b"{\"id\": \"e\"} trailing", 400),
        ("application/xml", "", b"<event/>", 415),
        ("application/x-www-form-urlencoded", "", b"id=e", 415),
        ("application/json", "br", b"{}", 415),
        ("application/json", "gzip, gzip", b"{}", 415),
        ("application/json", "gzip", b"not gzip", 400),
    ];
    for (kind, encoding, body, status) in cases {
        let mut headers = vec![("content-type", kind), ("content-encoding", encoding)];
        headers.retain(|(_, value)| !value.is_empty());
        let refused = api.send("POST", "/v1/events", &headers, body.to_vec()).await;
        assert!(refused.status == status, "{kind} {encoding} {:?}: {}", String::from_utf8_lossy(body), refused.text());
        refused.problem(status);
    }
    let lines: [[(&str, &str); 2]; 2] = [
        [("content-encoding", "gzip"), ("content-encoding", "zstd")],
        [("content-type", "application/json"), ("content-type", "application/x-ndjson")],
    ];
    for lines in lines {
        api.send("POST", "/v1/events", &lines, gzip(br#"{"id":"e"}"#)).await.problem(415);
    }
    assert_eq!(api.get("/v1/events").await.json(200)["data"], json!([]), "I4");
}

#[tokio::test]
async fn i9_each_bad_event_is_refused_by_field_and_its_neighbours_are_taken() {
    let api = TestApi::start().await;
    let long = "x".repeat(257);
    let long_id = format!(r#"{{"id": "{long}"}}"#);
    let deep = format!(r#"{{"id": "e", "properties": {{"a": {}1{}}}}}"#, "[".repeat(128), "]".repeat(128));
    let cases = [
        (deep.as_str(), "too_deep", ""),
        (r#"{"id": ""}"#, "invalid_value", "id"),
        (long_id.as_str(), "too_long", "id"),
        (r#"{"id": {}}"#, "invalid_type", "id"),
        (r#"{"id": "nul\u0000"}"#, "invalid_value", "id"),
        (r#"{"id": "e", "tokens": -1}"#, "invalid_number", "tokens"),
        (r#"{"id": "e", "metadata": {"tokens": 1.5}}"#, "invalid_number", "tokens"),
        (r#"{"id": "e", "metadata": {"tokens": 9223372036854775808}}"#, "invalid_number", "tokens"),
        (r#"{"id": "e", "metadata": {"latencyMs": 1e400}}"#, "invalid_number", "latencyMs"),
        (r#"{"id": "e", "timestamp": "tomorrow"}"#, "invalid_time", "time"),
        (r#"{"id": "e", "timestamp": "2026-11-21T10:02:11Z"}"#, "time_in_future", "time"),
        (r#"{"id": "e", "timestamp": "1969-07-20T20:17:40Z"}"#, "time_too_old", "time"),
        (r#"{"id": "e", "timestamp": "9999-12-30T00:00:00Z"}"#, "time_in_future", "time"),
        (r#"{"id": "e", "timestamp": "0000-12-31T23:59:59Z"}"#, "invalid_time", "time"),
        (r#"{"id": "e", "event_id": "f"}"#, "conflicting_fields", ""),
        (r#""text""#, "", ""),
    ];
    let before = r#"{"id": "before"}"#;
    for (bad, code, field) in cases {
        let taken =
            api.post("/v1/events", format!(r#"[{before}, {bad}, {{"timestamp": "1989-07-20T20:17:40Z"}}]"#)).await;
        let taken = taken.json(202);
        assert_eq!(taken["rejected"], 1, "{bad}: {taken}");
        let verdict = &taken["results"][1];
        assert_eq!(verdict["status"], "rejected", "{bad}");
        assert!(code.is_empty() || verdict["code"] == code, "{bad}: {verdict}");
        assert!(!verdict["message"].as_str().unwrap().is_empty(), "{bad}: {verdict}");
        let named = verdict["field"].as_str().unwrap_or_default();
        assert!(field.is_empty() || named == field || (field == "time" && named == "timestamp"), "{bad}: {verdict}");
        assert_eq!(taken["results"][2]["status"], "accepted", "{bad}");
    }
    let refused = api.post("/v1/events", r#"[{"id": ""}, {"tokens": -1}]"#).await.problem(422);
    assert_eq!(refused["type"], "urn:nilometer:problem:all-rejected");
    assert_eq!((&refused["rejected"], &refused["accepted"]), (&json!(2), &json!(0)));
    assert_eq!(refused["results"].as_array().unwrap().len(), 2);
    let refused = api.post("/events", r#"{"events": [{"id": ""}]}"#).await.problem(422);
    assert_eq!(refused["results"][0]["status"], "error");
}

#[tokio::test]
async fn i6_bodies_and_batches_over_their_limits_are_413() {
    let limits =
        Limits { body_bytes_max: 10_000, decoded_bytes_max: 20_000, batch_events_max: 10, ..Limits::default() };
    let api = TestApi::with(limits).await;
    let padded = |bytes: usize| format!(r#"{{"id": "e"{}}}"#, " ".repeat(bytes - 11));
    assert_eq!(api.post("/v1/events", padded(10_000)).await.status, 202);
    for body in [padded(10_001), padded(1_000_000)] {
        let problem = api.post("/v1/events", body).await.problem(413);
        assert!(problem["detail"].as_str().unwrap().contains("10000 bytes"), "{problem}");
    }
    let bomb = gzip(padded(10_000_000).as_bytes());
    assert!(bomb.len() < 1_000_000);
    for bytes in [20_001, 40_000] {
        let body = gzip(padded(bytes).as_bytes());
        api.send("POST", "/v1/events", &[("content-encoding", "gzip")], body).await.problem(413);
    }
    let eleven = format!("[{}]", ["{\"type\": \"t\"}"; 11].join(","));
    api.post("/v1/events", eleven).await.problem(413);
    assert_eq!(
        api.post("/v1/events", format!("[{}]", ["{\"type\": \"t\"}"; 10].join(","))).await.json(202)["accepted"],
        10
    );
}

#[tokio::test]
async fn i6_a_body_that_does_not_come_is_given_up() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let api = TestApi::with(Limits { body_timeout: Duration::from_millis(50), ..Limits::default() }).await;
    let mut stream = tokio::net::TcpStream::connect(api.address).await.unwrap();
    stream
        .write_all(b"POST /v1/events HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n{\"id\":")
        .await
        .unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 408");
}

#[tokio::test]
async fn i6_all_bodies_together_have_a_limit() {
    use tokio::io::AsyncWriteExt;
    let api = TestApi::with(Limits { body_bytes_max: 1_024, ..Limits::default() }).await;
    let mut held = Vec::new();
    // Sixteen of the largest size are set aside, of which one workspace has half; each leaves its last byte out.
    for _ in 0..16 {
        let mut stream = tokio::net::TcpStream::connect(api.address).await.unwrap();
        stream.write_all(b"POST /v1/events HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1024\r\n\r\n").await.unwrap();
        stream.write_all(&[b' '; 1_023]).await.unwrap();
        held.push(stream);
    }
    let body = format!(r#"{{"id": "{}"}}"#, "x".repeat(200));
    let refused = loop {
        // The held bodies are read in their own time.
        let answer = api.send("POST", "/v1/events", &[], body.clone()).await;
        if answer.status != 202 {
            break answer;
        }
    };
    refused.problem(503);
    assert_eq!(refused.header("retry-after"), "1");
    let other = api.send("POST", "/v1/events", &[("x-api-key", KEY_A)], body.clone()).await;
    assert_eq!(other.status, 202, "F43: the rest is for others");
    drop(held);
    while api.send("POST", "/v1/events", &[], body.clone()).await.status != 202 {}
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn i9_any_bytes_get_an_answer_and_none_is_a_500(body in proptest::collection::vec(any::<u8>(), 0..200), json in any::<bool>()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let api = TestApi::start().await;
            let kind = if json { "application/json" } else { "application/x-ndjson" };
            let answer = api.send("POST", "/v1/events", &[("content-type", kind)], body).await;
            prop_assert!(matches!(answer.status, 202 | 400 | 413 | 422), "{}", answer.text());
            Ok(())
        })?;
    }
}
