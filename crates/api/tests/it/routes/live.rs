//! `GET /v1/live` and `GET /metrics?window=`.

use std::time::Duration;

use domain::limits::Limits;
use serde_json::json;

use crate::harness::{KEY_A, KEY_B, TestApi};

#[tokio::test]
async fn the_documented_shape_under_both_paths() {
    let api = TestApi::live(Limits::default()).await;
    let table = r#"{"user_metadata": {"u-1": {"plan": "pro", "region": "eu"}, "u-2": {"plan": "free"}},
        "ts": "2025-10-08T12:00:00.000Z"}"#;
    api.send("PUT", "/reference/users", &[], table).await.json(200);
    api.post(
        "/events",
        r#"[{"event_id": "1", "user_id": "u-1", "type": "click"}, {"event_id": "2", "user_id": "u-1", "type": "view"},
            {"event_id": "3", "user_id": "u-2", "type": "view", "ts": "2026-11-21T10:00:00Z"},
            {"event_id": "4", "user_id": "u-9", "type": "view", "ts": "2026-11-21T09:56:00Z"},
            {"event_id": "5", "type": "view"}, {"event_id": "1", "user_id": "u-1", "type": "click"}]"#,
    )
    .await
    .json(202);
    let reply = api.get("/metrics?window=10").await;
    assert_eq!(
        reply.text(),
        r#"{"window_sec":10,"events_per_sec":0.3,"unique_users":1,"unknown":1,"by_plan":{"pro":2},"by_region":{"eu":2},"generation":1}"#
    );
    let whole = json!({
        "window_sec": 300, "events_per_sec": 5.0 / 300.0, "unique_users": 3, "unknown": 2,
        "by_plan": {"free": 1, "pro": 2}, "by_region": {"eu": 2}, "generation": 1,
    });
    for path in ["/metrics?window=300", "/v1/live?window=300", "/v1/live"] {
        assert_eq!(api.get(path).await.json(200), whole, "{path}");
    }
    api.clock.advance(Duration::from_secs(300));
    assert_eq!(api.get("/v1/live").await.json(200)["unique_users"], 0);
    assert_eq!(api.get("/v1/live?window=1800").await.json(200)["unique_users"], 3);
}

#[tokio::test]
async fn an_event_of_the_future_counts_when_its_second_comes_and_one_without_a_table_is_unknown() {
    let api = TestApi::live(Limits::default()).await;
    api.post("/v1/events", r#"{"id": "1", "user": "u", "time": "2026-11-21T10:00:15Z"}"#).await.json(202);
    assert_eq!(api.get("/v1/live").await.json(200)["unknown"], 0);
    api.clock.advance(Duration::from_secs(5));
    let now = api.get("/v1/live?window=1").await;
    assert_eq!(now.text(), r#"{"window_sec":1,"events_per_sec":1.0,"unique_users":1,"unknown":1,"generation":0}"#);
}

#[tokio::test]
async fn i5_a_tenant_sees_its_own_events_and_its_own_table() {
    let api = TestApi::live(Limits::default()).await;
    let (a, b) = ([("x-api-key", KEY_A)], [("x-api-key", KEY_B)]);
    api.send("POST", "/v1/events?wait=applied", &a, r#"{"id": "1", "user": "u"}"#).await.json(202);
    let table = r#"{"user_metadata": {"u": {"plan": "pro"}}, "ts": "2025-10-08T12:00:00Z"}"#;
    api.send("PUT", "/v1/reference/users", &b, table).await.json(200);
    let mine = api.send("GET", "/metrics?window=60", &a, "").await.json(200);
    assert_eq!((&mine["unique_users"], &mine["unknown"], &mine["generation"]), (&json!(1), &json!(1), &json!(0)));
    let theirs = api.send("GET", "/metrics?window=60", &b, "").await.json(200);
    assert_eq!((&theirs["unique_users"], &theirs["generation"]), (&json!(0), &json!(1)));
    api.send("GET", "/metrics?window=60", &[("x-api-key", "wrong")], "").await.problem(401);
}

#[tokio::test]
async fn i9_a_window_that_makes_no_sense_is_refused_by_name() {
    let api = TestApi::live(Limits::default()).await;
    for path in ["/metrics", "/v1/live", "/v1/live/stream"] {
        for bad in ["0", "1801", "NaN", "-1", "1.5", "", "+5", "1e2", "300;", "٣", "99999999999999999999", "Infinity"]
        {
            let problem = api.get(&format!("{path}?window={}", bad.replace('٣', "%D9%A3"))).await.problem(400);
            assert_eq!(problem["field"], "window", "{path} {bad}: {problem}");
        }
        assert_eq!(api.get(&format!("{path}?window=1&window=2")).await.problem(400)["field"], "window");
        assert_eq!(api.get(&format!("{path}?window=1&by=plan")).await.problem(400)["field"], "by");
    }
    assert_eq!(api.get("/metrics?window").await.problem(400)["field"], "window");
}
