//! `Idempotency-Key` on the routes that take events.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use ports::ErrorKind;
use serde_json::{Value, json};

use crate::harness::{KEY_A, KEY_B, Reply, TestApi};

const JSON: (&str, &str) = ("content-type", "application/json");

async fn send(api: &TestApi, path: &str, key: &str, body: &str) -> Reply {
    api.send("POST", &format!("{path}?wait=applied"), &[JSON, ("idempotency-key", key)], body.to_owned()).await
}

async fn total(api: &TestApi) -> usize {
    api.get("/v1/events?limit=1000").await.json(200)["data"].as_array().unwrap().len()
}

#[tokio::test]
async fn i2_the_same_request_twice_is_answered_alike_and_counted_once_on_every_route() {
    let api = TestApi::start().await;
    let body = r#"[{"customer": "c"}, {"customer": "c"}, {"id": "bad", "time": "never"}]"#;
    for (nth, path) in ["/v1/events", "/v1/ingest", "/events"].into_iter().enumerate() {
        let first = send(&api, path, "one", body).await.json(202);
        assert_eq!(send(&api, path, "one", body).await.json(202), first, "{path}");
        assert_eq!(total(&api).await, 2 * (nth + 1), "each route has keys of its own");
        let id = first["results"][0]["event_id"].as_str().unwrap();
        assert_eq!(api.get(&format!("/v1/events/{id}")).await.json(200)["event_id"], id);
    }
    assert_eq!(send(&api, "/v1/events", "two", body).await.json(202)["accepted"], 2);
    assert_eq!(total(&api).await, 8);
}

#[tokio::test]
async fn another_body_under_a_used_key_is_a_problem_that_names_the_header() {
    let api = TestApi::start().await;
    send(&api, "/v1/events", "k", r#"{"customer": "a"}"#).await.json(202);
    let refused = send(&api, "/v1/events", "k", r#"{"customer": "b"}"#).await.problem(422);
    assert_eq!(refused["type"], "urn:nilometer:problem:idempotency-key-reused");
    assert_eq!(refused["field"], "Idempotency-Key");
    assert_eq!(total(&api).await, 1);
}

#[tokio::test]
async fn a_key_that_is_none_is_refused_and_nothing_is_taken() {
    let api = TestApi::start().await;
    let long = "x".repeat(256);
    for bad in ["", "a b", "a\tb", "\u{e4}", long.as_str()] {
        let refused = send(&api, "/v1/events", bad, "{\"id\":\"e\"}").await.problem(400);
        assert_eq!((&refused["field"], refused["detail"].is_string()), (&json!("Idempotency-Key"), true), "{bad:?}");
    }
    let twice = [JSON, ("idempotency-key", "a"), ("idempotency-key", "a")];
    let refused = api.send("POST", "/v1/events", &twice, "{\"id\":\"e\"}").await.problem(400);
    assert_eq!(refused["detail"], "is given more than once");
    assert_eq!(total(&api).await, 0);
    let longest = "x".repeat(255);
    assert_eq!(send(&api, "/v1/events", &longest, "{\"id\":\"e\"}").await.json(202)["accepted"], 1);
}

#[tokio::test]
async fn i5_a_key_belongs_to_its_credential() {
    let api = TestApi::start().await;
    let mut ids = Vec::new();
    for key in [KEY_A, KEY_B] {
        let with = [JSON, ("x-api-key", key), ("idempotency-key", "k")];
        for _ in 0..2 {
            let taken = api.send("POST", "/v1/events?wait=applied", &with, "{\"customer\":\"c\"}").await.json(202);
            assert_eq!(taken["accepted"], 1);
            ids.push(taken["results"][0]["event_id"].clone());
        }
    }
    assert!(ids[0] == ids[1] && ids[2] == ids[3] && ids[0] != ids[2], "{ids:?}");
    let as_bearer = format!("Bearer {KEY_A}");
    let with = [JSON, ("authorization", as_bearer.as_str()), ("idempotency-key", "k")];
    let again = api.send("POST", "/v1/events?wait=applied", &with, "{\"customer\":\"c\"}").await.json(202);
    assert_eq!(again["results"][0]["event_id"], ids[0], "the same credential in another header");
}

#[tokio::test]
async fn a_body_counts_as_it_is_decoded() {
    let api = TestApi::start().await;
    let lines = "{\"customer\":\"c\"}\n{\"customer\":\"c\"}\n";
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(lines.as_bytes()).unwrap();
    let with = [("content-type", "application/x-ndjson"), ("idempotency-key", "k")];
    let first = api.send("POST", "/v1/events?wait=applied", &with, lines).await.json(202);
    let with = [with[0], with[1], ("content-encoding", "gzip")];
    let again = api.send("POST", "/v1/events?wait=applied", &with, gzip.finish().unwrap()).await.json(202);
    assert_eq!(again, first);
    assert_eq!(total(&api).await, 2);
}

#[tokio::test]
async fn a_refused_write_leaves_the_key_free_and_may_be_repeated() {
    let api = TestApi::start().await;
    api.refuse(Some(ErrorKind::Overloaded));
    let refused = send(&api, "/v1/events", "k", "{\"customer\":\"c\"}").await;
    assert_eq!(refused.problem(503)["status"], 503);
    api.refuse(None);
    assert_eq!(send(&api, "/v1/events", "k", "{\"customer\":\"d\"}").await.json(202)["accepted"], 1);
    assert_eq!(send(&api, "/v1/events", "r", "{\"time\":\"never\"}").await.problem(422)["rejected"], 1);
    assert_eq!(send(&api, "/v1/events", "r", "{\"customer\":\"d\"}").await.json(202)["accepted"], 1);
}

#[tokio::test]
async fn f17_of_many_requests_with_one_key_at_once_one_is_taken_and_others_are_told_to_come_again() {
    let api = std::sync::Arc::new(TestApi::start().await);
    let sends: Vec<_> = (0..24)
        .map(|_| {
            let api = std::sync::Arc::clone(&api);
            tokio::spawn(async move { send(&api, "/v1/events", "k", "[{\"customer\":\"c\"}]").await })
        })
        .collect();
    let mut taken: Vec<Value> = Vec::new();
    for reply in sends {
        let reply = reply.await.unwrap();
        if reply.status == 409 {
            let refused = reply.problem(409);
            assert_eq!(refused["type"], "urn:nilometer:problem:request-running");
            assert_eq!((&refused["field"], reply.header("retry-after")), (&json!("Idempotency-Key"), "1"));
        } else {
            taken.push(reply.json(202));
        }
    }
    assert!(!taken.is_empty());
    taken.iter().for_each(|answer| assert_eq!(answer, &taken[0]));
    assert_eq!(total(&api).await, 1);
}
