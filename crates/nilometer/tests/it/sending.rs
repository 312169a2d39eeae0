//! Events as people really send them, to the real binary over HTTP: the right number, or word of the mistake.

use serde_json::{Value, json};

use crate::faults::server::{Launch, Server};

fn start() -> (tempfile::TempDir, Server) {
    let data = tempfile::tempdir().unwrap();
    let server = Launch::on(data.path()).start_ready();
    (data, server)
}

fn send(server: &Server, path: &str, events: &Value) -> Value {
    let answer = server.client().post(path, &events.to_string()).unwrap();
    assert_eq!(answer.status, 202, "{}", answer.text());
    answer.json()
}

fn get(server: &Server, path: &str) -> (u16, Value) {
    let answer = server.client().get(path).unwrap();
    (answer.status, answer.json())
}

/// The tokens in, out and in all of one customer.
fn tokens_of(server: &Server, customer: &str) -> [u64; 3] {
    let body = json!({
        "aggregations": [
            {"op": "sum", "field": "input_tokens"}, {"op": "sum", "field": "output_tokens"}, {"op": "sum", "field": "tokens"},
        ],
        "filter": {"field": "customer", "op": "eq", "value": customer},
    });
    let answer = server.client().post("/v1/query", &body.to_string()).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    let row = answer.json()["rows"][0].clone();
    [0, 1, 2].map(|at| row[at].as_u64().unwrap_or(0))
}

/// What providers return, and what it counts: in, out and all tokens.
fn usage_rows() -> Vec<(&'static str, Value, [u64; 3])> {
    vec![
        (
            "chat",
            json!({"prompt_tokens": 1200, "prompt_tokens_details": {"cached_tokens": 1024}, "completion_tokens": 350,
                "completion_tokens_details": {"reasoning_tokens": 256}, "total_tokens": 1550}),
            [1200, 350, 1550],
        ),
        (
            "responses",
            json!({"input_tokens": 2006, "input_tokens_details": {"cached_tokens": 1920, "cache_write_tokens": 64},
                "output_tokens": 300, "output_tokens_details": {"reasoning_tokens": 120}, "total_tokens": 2306}),
            [2006, 300, 2306],
        ),
        (
            "anthropic",
            json!({"input_tokens": 50, "cache_read_input_tokens": 100_000, "cache_creation_input_tokens": 248,
                "cache_creation": {"ephemeral_5m_input_tokens": 148, "ephemeral_1h_input_tokens": 100},
                "output_tokens": 503, "output_tokens_details": {"thinking_tokens": 300}}),
            [100_298, 503, 100_801],
        ),
        ("anthropic-stream", json!({"input_tokens": 25, "output_tokens": 15}), [25, 15, 40]),
        (
            "gemini",
            json!({"promptTokenCount": 1000, "cachedContentTokenCount": 600, "toolUsePromptTokenCount": 40,
                "candidatesTokenCount": 200, "thoughtsTokenCount": 150, "totalTokenCount": 1390}),
            [1040, 350, 1390],
        ),
        (
            "gemini-live",
            json!({"promptTokenCount": 80, "responseTokenCount": 20, "totalTokenCount": 100}),
            [80, 20, 100],
        ),
        (
            "reasoning-outside",
            json!({"prompt_tokens": 100, "completion_tokens": 40,
                "completion_tokens_details": {"reasoning_tokens": 25}, "total_tokens": 165}),
            [100, 65, 165],
        ),
        (
            "compaction",
            json!({"input_tokens": 100, "output_tokens": 50, "iterations": [
                {"type": "message", "input_tokens": 100, "output_tokens": 50},
                {"type": "compaction", "input_tokens": 4000, "output_tokens": 900}]}),
            [4100, 950, 5050],
        ),
        (
            "conflict",
            json!({"prompt_tokens": 100, "prompt_tokens_details": {"cached_tokens": 150}, "completion_tokens": 10}),
            [100, 10, 110],
        ),
        ("embedding", json!({"prompt_tokens": 8, "total_tokens": 8}), [8, 0, 8]),
        ("callback", json!({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}), [10, 5, 15]),
    ]
}

#[test]
fn the_usage_of_providers_counts_their_tokens_at_every_place() {
    let (_data, server) = start();
    for (name, usage, wanted) in usage_rows() {
        let places = [
            json!({"properties": {"usage": usage}}),
            json!({"usage": usage}),
            json!({"properties": {"response": {"id": "r1", "model": "m", "usage": usage}}}),
        ];
        for (at, place) in places.into_iter().enumerate() {
            let customer = format!("{name}-{at}");
            let mut event = json!({"id": customer, "customer": customer});
            event.as_object_mut().unwrap().extend(place.as_object().unwrap().clone());
            let answer = send(&server, "/v1/events?wait=applied", &event);
            let codes: Vec<_> = answer["warnings"].as_array().unwrap().iter().map(|sum| sum["code"].clone()).collect();
            let told = if name == "conflict" { vec![json!("usage_conflict")] } else { Vec::new() };
            assert_eq!((&answer["accepted"], codes), (&json!(1), told), "{event}");
            assert_eq!(tokens_of(&server, &customer), wanted, "{event}");
        }
    }
    // As a proxy's callback puts it: flat in the data of a CloudEvent.
    let callback = json!({"specversion": "1.0", "source": "proxy", "id": "1", "type": "call", "subject": "flat",
        "data": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}});
    send(&server, "/v1/events?wait=applied", &callback);
    assert_eq!(tokens_of(&server, "flat"), [10, 5, 15]);
}

/// Two gateways that both count from 1.
#[test]
fn i2_source_and_id_together_are_the_identity_of_a_cloud_event() {
    let (_data, server) = start();
    let event = |source: &str| json!({"specversion": "1.0", "source": source, "id": "1", "type": "call", "subject": "acme", "data": {"tokens": 5}});
    for path in ["/v1/events?wait=applied", "/v1/ingest?wait=applied", "/events?wait=applied"] {
        let sources = [format!("{path}#eu"), format!("{path}#us")];
        for source in &sources {
            assert_eq!(send(&server, path, &event(source))["accepted"], 1, "{source}");
            let again = send(&server, path, &event(source));
            assert_eq!((&again["accepted"], &again["duplicates"]), (&json!(0), &json!(1)), "{source}");
            assert_eq!(again["results"][0]["event_id"], "1", "the sender's id is echoed");
        }
    }
    assert_eq!(tokens_of(&server, "acme")[2], 30);
    let native = json!({"id": "ce:/gateway/eu#1", "customer": "acme"});
    send(&server, "/v1/events?wait=applied", &event("/gateway/eu"));
    assert_eq!(send(&server, "/v1/events?wait=applied", &native)["accepted"], 1, "no native id is a CloudEvent's");
    let (status, found) = get(&server, "/v1/events/1?source=%2Fgateway%2Feu");
    assert_eq!((status, &found["event_id"], &found["type"]), (200, &json!("ce:/gateway/eu#1"), &json!("call")));
    let (status, found) = get(&server, "/v1/events/ce:%2Fgateway%2Feu%231");
    assert_eq!((status, &found["type"]), (200, &json!("custom")), "a native id goes first");
    send(&server, "/v1/events?wait=applied", &event("/only/cloud"));
    let (status, found) = get(&server, "/v1/events/ce:%2Fonly%2Fcloud%231");
    assert_eq!((status, &found["type"]), (200, &json!("call")));
    assert_eq!(get(&server, "/v1/events/1?source=other").0, 404);
    let bare = json!({"specversion": "1.0", "id": "1", "type": "call", "subject": "acme"});
    let told = send(&server, "/v1/events", &bare);
    assert_eq!((&told["accepted"], &told["warnings"][0]["code"]), (&json!(1), &json!("missing_source")));
}

#[test]
fn what_looks_like_a_mistake_is_told_in_sum_and_refused_when_asked() {
    let (_data, server) = start();
    let events = json!([
        {"id": "1", "customer": "acme", "time": "2026-11-01T00:00:00Z"},
        {"id": "2", "customer": "acme", "created_at": "2026-11-01T00:00:00Z"},
        {"id": "3", "customer": "acme", "created_at": "2026-11-01T00:00:00Z", "custmer": "x"},
        {"transaction_id": "4", "user": "u", "time": "2001-01-01T00:00:00Z"},
        {"id": "5", "type": "tick", "time": "2026-11-01T00:00:00Z"},
    ]);
    let strict = server.client().post("/v1/events?strict=true", &events.to_string()).unwrap().json();
    assert_eq!((&strict["accepted"], &strict["rejected"]), (&json!(1), &json!(4)));
    let codes: Vec<_> = strict["results"].as_array().unwrap().iter().map(|result| result["code"].clone()).collect();
    assert_eq!(
        codes,
        [
            json!(null),
            json!("time_not_read"),
            json!("time_not_read"),
            json!("id_not_read"),
            json!("no_customer_or_user")
        ]
    );
    assert_eq!(strict["results"][1]["field"], "created_at");

    let told = send(&server, "/v1/events", &events);
    let sums = told["warnings"].as_array().unwrap().iter();
    let sums: Vec<_> = sums
        .map(|sum| {
            (
                sum["code"].as_str().unwrap(),
                sum["field"].as_str(),
                sum["count"].as_u64().unwrap(),
                sum["first"].as_u64().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        sums,
        [
            ("time_not_read", Some("created_at"), 2, 1),
            ("id_not_read", Some("transaction_id"), 1, 3),
            ("zero_time", Some("time"), 1, 3),
            ("no_customer_or_user", None, 1, 4),
        ]
    );
    assert_eq!(told["results"][1]["warnings"], json!(["time_not_read"]));
    assert_eq!(told["results"][0].get("warnings"), None);
    let metrics = server.client().get("/metrics").unwrap().text().to_owned();
    assert!(metrics.contains("events_warned_total{code=\"time_not_read\"} 2"), "{metrics}");
    let wrong = server.client().post("/v1/events?strict=yes", "{}").unwrap();
    assert_eq!((wrong.status, &wrong.json()["field"]), (400, &json!("strict")));
}
