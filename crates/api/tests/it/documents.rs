//! The example bodies of the documents that this product serves, from the request to the answers.

use serde_json::json;

use crate::harness::{KEY_A, TestApi};

#[tokio::test]
async fn a_metering_event_becomes_the_documented_window() {
    let api = TestApi::start().await;
    let body = r#"{
        "eventId": "uuid", "timestamp": "2026-11-21T10:00:05Z", "tenantId": "default", "customerId": "string",
        "apiEndpoint": "/api/completion",
        "metadata": {"tokens": 1500, "model": "gpt-4", "latencyMs": 234, "inputTokens": 500, "outputTokens": 1000}
    }"#;
    let taken = api.post("/v1/events", body).await.json(202);
    assert_eq!(taken["results"], json!([{"event_id": "uuid", "status": "accepted"}]));
    assert_eq!(taken["applied"], true);
    let windows = api.get("/v1/windows?customer=string").await.json(200);
    assert_eq!(
        windows,
        json!({
            "data": [{
                "windowStart": "2026-11-21T10:00:00Z",
                "windowEnd": "2026-11-21T10:00:30Z",
                "tenantId": "default",
                "customerId": "string",
                "state": "open",
                "revision": 1,
                "aggregations": {
                    "totalCalls": 1,
                    "totalTokens": 1500,
                    "totalInputTokens": 500,
                    "totalOutputTokens": 1000,
                    "tokens_by_class": {
                        "input": 500, "cache_read": 0, "cache_write": 0, "output": 1000, "reasoning": 0,
                    },
                    "avgLatencyMs": 234,
                    "byEndpoint": {"/api/completion": {"calls": 1, "tokens": 1500}},
                    "byModel": {"gpt-4": {"calls": 1, "tokens": 1500}},
                },
            }],
            "next_cursor": null,
        })
    );
    let whole = api.get("/v1/windows?customer=string").await;
    assert!(whole.text().contains(r#""avgLatencyMs":234,"#), "a whole mean has no fraction: {}", whole.text());
    let event = api.get("/v1/events/uuid").await.json(200);
    assert_eq!(event["type"], "api_call");
    assert_eq!(event["properties"]["model"], "gpt-4");
}

#[tokio::test]
async fn enrichment_events_are_answered_one_by_one() {
    let api = TestApi::start().await;
    let event = r#"{"event_id": "uuid", "user_id": "u-123", "type": "click", "ts": "2025-10-08T12:34:56.789Z"}"#;
    let taken = api.post("/events", event).await.json(202);
    assert_eq!(taken["results"], json!([{"event_id": "uuid", "status": "success"}]));
    let batch = format!("[{event}, {}]", event.replace("uuid", "another"));
    let taken = api.post("/events", batch).await.json(202);
    assert_eq!(taken["results"][0]["status"], "error");
    assert_eq!(taken["results"][0]["message"], "duplicate event_id");
    assert_eq!(taken["results"][1], json!({"event_id": "another", "status": "success"}));
    assert_eq!((&taken["queued"], &taken["duplicates"]), (&json!(1), &json!(1)));
}

#[tokio::test]
async fn analytics_events_are_taken() {
    let api = TestApi::start().await;
    let body = r#"[{"event_id": "6f1c6c2e-95a5-4f7c-9d5a-7cf4c6a2b111", "user_id": "u-1", "event_type": "app_open",
        "occurred_at": "2024-01-15T10:30:00Z", "properties": {"country": "DE"}}]"#;
    assert_eq!(api.post("/events", body).await.json(202)["queued"], 1);
    let found = api.get("/v1/events?type=app_open&user=u-1").await.json(200);
    assert_eq!(found["data"][0]["time"], "2024-01-15T10:30:00Z");
    assert_eq!(found["data"][0]["properties"], json!({"country": "DE"}));
}

#[tokio::test]
async fn platform_events_are_taken_with_an_api_key() {
    let api = TestApi::start().await;
    let body = r#"{"workspace_id": "a", "project": "p-1", "event": "signup", "idempotency_key": "k-1",
        "event_time": "2026-01-01T00:00:00Z", "payload": {"plan": "pro"}}"#;
    let headers = [("authorization", &*format!("Bearer {KEY_A}")), ("content-type", "application/json")];
    let taken = api.send("POST", "/v1/ingest?wait=applied", &headers, body).await.json(202);
    assert_eq!(taken["accepted"], 1);
    let found = api.send("GET", "/v1/events?project=p-1", &headers[..1], "").await.json(200);
    assert_eq!(found["data"][0]["event_id"], "k-1");
    assert_eq!(found["data"][0]["type"], "signup");
}

#[tokio::test]
async fn account_events_are_queued_as_a_job() {
    let api = TestApi::start().await;
    let body = r#"{"events": [
        {"event_id": "evt_001", "account_id": "acc_123", "user_id": "user_456", "type": "message_sent",
         "timestamp": "2026-02-01T10:30:00.000Z", "metadata": {"channel": "email"}},
        {"event_id": "evt_002", "account_id": "acc_123", "user_id": "user_789", "type": "login",
         "timestamp": "2026-02-01T10:35:00.000Z"}
    ]}"#;
    let taken = api.post("/events", body).await.json(202);
    assert_eq!((&taken["statusCode"], &taken["queued"]), (&json!(202), &json!(2)));
    let job = taken["jobId"].as_str().unwrap();
    assert_eq!(api.get(&format!("/v1/receipts/{job}")).await.json(200)["status"], "applied");
    let again = api.post("/events", body).await.json(202);
    assert_eq!((&again["statusCode"], &again["queued"], &again["duplicates"]), (&json!(202), &json!(0), &json!(2)));
    assert_eq!(api.get("/v1/customers/acc_123").await.json(200)["totals"]["totalCalls"], 2, "I2");
}
