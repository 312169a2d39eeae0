//! `GET /v1/customers`, `GET /v1/customers/{id}` and `GET /v1/customers/{id}/usage`.

use serde_json::{Value, json};

use crate::harness::TestApi;

#[tokio::test]
async fn a_customer_exists_from_its_first_event_on() {
    let api = TestApi::start().await;
    api.get("/v1/customers/acme%2Feu").await.problem(404);
    api.get("/v1/customers/acme%2Feu/usage").await.problem(404);
    api.post("/v1/events", r#"{"id": "1", "customer": "acme/eu", "tokens": 3, "latencyMs": 5}"#).await.json(202);
    let customer = api.get("/v1/customers/acme%2Feu").await.json(200);
    assert_eq!(
        customer,
        json!({
            "id": "acme/eu", "tenant": "default", "external_id": "acme/eu", "name": null, "attributes": {}, "profile_version": 0,
            "created": "2026-11-21T10:00:10Z", "updated": "2026-11-21T10:00:10Z",
            "totals": {"totalCalls": 1, "totalTokens": 3, "totalInputTokens": 0, "totalOutputTokens": 0,
                "tokens_by_class": {"input": 0, "cache_read": 0, "cache_write": 0, "output": 0, "reasoning": 0},
                "avgLatencyMs": 5, "byEndpoint": {}, "byModel": {}},
        })
    );
}

#[tokio::test]
async fn usage_tells_window_day_and_total_apart() {
    let api = TestApi::start().await;
    let event = |id: &str, time: &str| json!({"id": id, "customer": "c", "time": time, "endpoint": "/e", "model": "m", "tokens": 1});
    let events = [
        event("window", "2026-11-21T10:00:00Z"),
        event("today", "2026-11-21T00:00:00Z"),
        event("yesterday", "2026-11-20T23:59:59.999999Z"),
    ];
    api.post("/v1/events", serde_json::to_vec(&events).unwrap()).await.json(202);
    let usage = api.get("/v1/customers/c/usage").await.json(200);
    assert_eq!(usage["customer"], "c");
    assert_eq!(usage["current_window"]["windowStart"], "2026-11-21T10:00:00Z");
    assert_eq!(usage["current_window"]["state"], "open");
    assert_eq!(usage["current_window"]["aggregations"]["totalCalls"], 1);
    assert_eq!(usage["today"]["totalCalls"], 2);
    assert_eq!(usage["today"]["byEndpoint"], json!({"/e": {"calls": 2, "tokens": 2}}));
    assert_eq!(usage["total"]["totalCalls"], 3);
    assert_eq!(usage["total"]["byModel"], json!({"m": {"calls": 3, "tokens": 3}}));
}

#[tokio::test]
async fn customers_are_paged_in_order_of_id() {
    let api = TestApi::start().await;
    let events: Vec<_> = (0..7).map(|n| json!({"id": n.to_string(), "customer": format!("c{n}")})).collect();
    api.post("/v1/events", serde_json::to_vec(&events).unwrap()).await.json(202);
    api.post("/v1/events", r#"{"id": "nobody"}"#).await.json(202);
    let mut ids = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = api.get(&format!("/v1/customers?limit=3{cursor}")).await.json(200);
        ids.extend(page["data"].as_array().unwrap().iter().map(|row| row["id"].clone()));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(ids, (0..7).map(|n| Value::from(format!("c{n}"))).collect::<Vec<_>>());
}
