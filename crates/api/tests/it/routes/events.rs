//! `GET /v1/events` and `GET /v1/events/{id}`.

use serde_json::{Value, json};

use crate::harness::TestApi;

fn ids(listing: &Value) -> Vec<&str> {
    listing["data"].as_array().unwrap().iter().map(|event| event["event_id"].as_str().unwrap()).collect()
}

/// Ten events a minute apart, two at each instant, of customers c0 to c2 and one without.
async fn with_events() -> TestApi {
    let api = TestApi::start().await;
    let events: Vec<_> = (0..10)
        .map(|n| {
            let mut event = json!({
                "id": format!("e{n}"), "time": format!("2026-11-20T10:0{}:00Z", n / 2), "user": format!("u{}", n % 2),
                "type": if n < 5 { "low" } else { "high" }, "endpoint": format!("/p/{}", n % 3), "project": "p",
            });
            if n % 4 < 3 {
                event["customer"] = json!(format!("c{}", n % 4));
            }
            event
        })
        .collect();
    api.post("/v1/events", serde_json::to_vec(&events).unwrap()).await.json(202);
    api
}

#[tokio::test]
async fn an_event_has_every_field() {
    let api = TestApi::start().await;
    let body = r#"{"id": "e/1", "time": "2026-11-21T09:00:00.5Z", "type": "t", "project": "p", "customer": "c", "user": "u",
        "endpoint": "/e", "properties": {"b":1.50, "a": [null], "latencyMs": 0.25, "inputTokens": 2, "outputTokens": 3, "model": "m"}}"#;
    api.post("/v1/events", body).await.json(202);
    let found = api.get("/v1/events/e%2F1").await;
    assert_eq!(
        found.json(200),
        json!({
            "event_id": "e/1", "type": "t", "time": "2026-11-21T09:00:00.5Z", "received_at": "2026-11-21T10:00:10Z",
            "tenant": "default", "project": "p", "customer": "c", "user": "u", "endpoint": "/e",
            "properties": {"b": 1.5, "a": [null], "latencyMs": 0.25, "inputTokens": 2, "outputTokens": 3, "model": "m"},
            "tokens": 5, "input_tokens": 2, "output_tokens": 3, "latency_ms": 0.25, "model": "m",
        })
    );
    assert!(found.text().contains(r#"{"b":1.50, "a": [null]"#), "properties are as the client wrote them");
    api.get("/v1/events/e").await.problem(404);
    api.post("/v1/events", r#"{"id": "bare"}"#).await.json(202);
    let bare = api.get("/v1/events/bare").await.json(200);
    for field in ["project", "customer", "user", "endpoint", "properties", "tokens", "latency_ms", "model"] {
        assert_eq!(bare.get(field), Some(&Value::Null), "{field}");
    }
}

#[tokio::test]
async fn filters_narrow_and_ranges_are_half_open() {
    let api = with_events().await;
    let cases = [
        ("order=asc", vec!["e0", "e1", "e2", "e3", "e4", "e5", "e6", "e7", "e8", "e9"]),
        ("customer=c0&order=asc", vec!["e0", "e4", "e8"]),
        ("customer=&order=asc", vec!["e3", "e7"]),
        ("user=u1&type=high&order=asc", vec!["e5", "e7", "e9"]),
        ("endpoint=%2Fp%2F0&order=asc", vec!["e0", "e3", "e6", "e9"]),
        ("project=q", vec![]),
        ("from=2026-11-20T10:03:00Z&order=asc", vec!["e6", "e7", "e8", "e9"]),
        ("to=2026-11-20T10:01:00Z&order=asc", vec!["e0", "e1"]),
        ("from=2026-11-20T10:01:00Z&to=2026-11-20T10:01:00Z", vec![]),
        ("from=2026-11-20&to=2026-11-20&limit=2&order=asc", vec!["e0", "e1"]),
        ("from=2026-11-20T12:01:00%2B02:00&to=2026-11-20T10:02:00&order=asc", vec!["e2", "e3"]),
        ("to=2026-11-19", vec![]),
    ];
    for (query, expected) in cases {
        assert_eq!(ids(&api.get(&format!("/v1/events?{query}")).await.json(200)), expected, "{query}");
    }
}

#[tokio::test]
async fn pages_together_are_the_listing_in_either_order() {
    let api = with_events().await;
    for order in ["asc", "desc"] {
        let whole = api.get(&format!("/v1/events?order={order}")).await.json(200);
        assert_eq!(whole["next_cursor"], Value::Null);
        for limit in [1, 3, 5, 10] {
            let mut paged = Vec::new();
            let mut cursor = String::new();
            loop {
                let page = api.get(&format!("/v1/events?order={order}&limit={limit}{cursor}")).await.json(200);
                let rows = page["data"].as_array().unwrap();
                assert!(rows.len() <= limit);
                paged.extend(rows.iter().cloned());
                match page["next_cursor"].as_str() {
                    Some(next) => cursor = format!("&cursor={next}"),
                    None => break,
                }
            }
            assert_eq!(Value::Array(paged), whole["data"], "{order} by {limit}");
        }
    }
}
