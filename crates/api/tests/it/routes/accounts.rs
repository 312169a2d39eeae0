//! `GET /accounts/sample` and `GET /accounts/{id}/summary`, also under `/v1`.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::series::{SeriesPoint, SeriesQuery};
use domain::tenant::TenantScope;
use domain::time::TimeRange;
use ports::analytics::{Analytics, Summary};
use ports::{ErrorKind, PortError};
use serde_json::{Value, json};

use crate::harness::{KEY_A, KEY_B, TestApi};

fn event(id: &str, account: &str, user: Option<&str>, kind: &str, time: &str) -> Value {
    json!({"event_id": id, "account_id": account, "user_id": user, "type": kind, "timestamp": time})
}

async fn take(api: &TestApi, events: &[Value]) {
    api.post("/events", serde_json::to_vec(events).unwrap()).await.json(202);
}

#[tokio::test]
async fn a_sample_is_the_first_accounts_in_order_of_id() {
    let api = TestApi::start().await;
    assert_eq!(api.get("/accounts/sample").await.json(200), json!({"account_ids": []}));
    let events: Vec<_> =
        (0..12).map(|n| event(&n.to_string(), &format!("acc_{n:03}"), None, "t", "2026-01-01")).collect();
    take(&api, &events).await;
    take(&api, &[json!({"event_id": "nobody"})]).await;
    let ids = |path: &'static str| async { api.get(path).await.json(200)["account_ids"].as_array().unwrap().clone() };
    assert_eq!(ids("/accounts/sample?limit=3").await, ["acc_000", "acc_001", "acc_002"]);
    assert_eq!(ids("/v1/accounts/sample").await.len(), 10);
}

#[tokio::test]
async fn a_summary_has_the_documented_shape() {
    let api = TestApi::start().await;
    take(
        &api,
        &[
            event("1", "acc_123", Some("user_2"), "message_sent", "2026-11-21T09:00:00Z"),
            event("2", "acc_123", Some("user_1"), "message_sent", "2026-11-21T09:00:01Z"),
            event("3", "acc_123", Some("user_2"), "login", "2026-11-21T09:00:02Z"),
            event("4", "acc_123", None, "login", "2026-11-21T09:00:03Z"),
            event("5", "acc_999", Some("user_9"), "login", "2026-11-21T09:00:03Z"),
        ],
    )
    .await;
    let summary = json!({
        "account_id": "acc_123", "window": "last_24h", "totals": {"login": 2, "message_sent": 2},
        "top_users": [{"user_id": "user_2", "events": 2}, {"user_id": "user_1", "events": 1}],
    });
    for path in ["/accounts/acc_123/summary", "/v1/accounts/acc_123/summary?window=last_24h"] {
        assert_eq!(api.get(path).await.json(200), summary, "{path}");
    }
    assert_eq!(api.get("/accounts/acc_123/summary?top=1").await.json(200)["top_users"].as_array().unwrap().len(), 1);
    api.get("/accounts/acc_000/summary").await.problem(404);
}

#[tokio::test]
async fn windows_are_exact_at_their_edges() {
    let api = TestApi::start().await;
    // The clock stands at 2026-11-21T10:00:10Z.
    take(
        &api,
        &[
            event("a", "c", None, "before", "2026-11-20T10:00:09.999999Z"),
            event("b", "c", None, "first", "2026-11-20T10:00:10Z"),
            event("c", "c", None, "now", "2026-11-21T10:00:10Z"),
            event("d", "c", None, "after", "2026-11-21T10:00:10.000001Z"),
            event("e", "c", None, "week", "2026-11-14T10:00:10Z"),
            event("f", "c", None, "old", "2026-11-14T10:00:09.999999Z"),
        ],
    )
    .await;
    let totals = async |query: &str| api.get(&format!("/accounts/c/summary?{query}")).await.json(200);
    assert_eq!(totals("window=last_24h").await["totals"], json!({"first": 1, "now": 1}));
    assert_eq!(totals("window=last_7d").await["totals"], json!({"before": 1, "first": 1, "now": 1, "week": 1}));
    let custom = totals("from=2026-11-14T10:00:10Z&to=2026-11-20T10:00:10Z").await;
    assert_eq!(custom["totals"], json!({"before": 1, "week": 1}));
    assert_eq!(custom["window"], "custom");
    assert_eq!((&custom["from"], &custom["to"]), (&json!("2026-11-14T10:00:10Z"), &json!("2026-11-20T10:00:10Z")));
    let days = totals("from=2026-11-14&to=2026-11-14").await;
    assert_eq!(days["totals"], json!({"old": 1, "week": 1}), "both days are inside");
    assert_eq!(totals("from=2026-11-21").await["totals"], json!({"now": 1}), "up to the present");
}

#[tokio::test]
async fn a_kept_answer_says_its_age_and_a_new_one_can_be_asked_for() {
    let api = TestApi::start().await;
    take(&api, &[event("1", "c", Some("u"), "t", "2026-11-21T10:00:00Z")]).await;
    let path = "/accounts/c/summary";
    let first = api.get(path).await;
    assert_eq!((first.header("cache-control"), first.header("age")), ("private, max-age=60", "0"));
    take(&api, &[event("2", "c", Some("u"), "t", "2026-11-21T10:00:01Z")]).await;
    api.clock.advance(Duration::from_secs(20));
    let kept = api.get(path).await;
    assert_eq!((kept.json(200), kept.header("age")), (first.json(200), "20"));
    let other = api.get("/accounts/c/summary?window=last_7d").await;
    assert_eq!((&other.json(200)["totals"]["t"], other.header("age")), (&json!(2), "0"), "another question");
    let new = api.send("GET", path, &[("cache-control", "no-cache")], "").await;
    assert_eq!((&new.json(200)["totals"]["t"], new.header("age")), (&json!(2), "0"));
    let kept = api.get(path).await;
    assert_eq!(kept.json(200)["totals"]["t"], 2, "the new answer replaced the old one");
    take(&api, &[event("2b", "c", Some("u"), "t", "2026-11-21T10:00:01Z")]).await;
    api.clock.advance(Duration::from_secs(9));
    for (asked, count, age) in [("max-age=10", 2, "9"), ("max-age=9", 3, "0"), ("max-age=\"10\"", 3, "0")] {
        let reply = api.send("GET", path, &[("cache-control", asked)], "").await;
        assert_eq!((&reply.json(200)["totals"]["t"], reply.header("age")), (&json!(count), age), "{asked}");
    }
    take(&api, &[event("2c", "c", Some("u"), "t", "2026-11-21T10:00:01Z")]).await;
    let fresh = api.send("GET", path, &[("cache-control", "max-age=0")], "").await;
    assert_eq!((&fresh.json(200)["totals"]["t"], fresh.header("age")), (&json!(4), "0"), "not from the cache");
    assert_eq!(api.get(path).await.json(200)["totals"]["t"], 4, "it replaced the old one too");
    take(&api, &[event("3", "c", Some("u"), "t", "2026-11-21T10:00:01Z")]).await;
    api.clock.advance(Duration::from_secs(60));
    let late = api.get(path).await;
    assert_eq!((&late.json(200)["totals"]["t"], late.header("age")), (&json!(5), "0"));
}

#[tokio::test]
async fn i5_a_kept_answer_is_for_its_tenant_alone() {
    let api = TestApi::start().await;
    let body = r#"{"event_id": "1", "account_id": "c", "type": "secret"}"#;
    let headers = [("x-api-key", KEY_A), ("content-type", "application/json")];
    api.send("POST", "/events?wait=applied", &headers, body).await.json(202);
    let summary = async |key| api.send("GET", "/accounts/c/summary", &[("x-api-key", key)], "").await;
    assert_eq!(summary(KEY_A).await.json(200)["totals"], json!({"secret": 1}));
    summary(KEY_B).await.problem(404);
    api.get("/accounts/c/summary").await.problem(404);
}

#[tokio::test]
async fn an_unknown_account_is_known_with_its_first_event() {
    let api = TestApi::start().await;
    api.get("/accounts/c/summary").await.problem(404);
    take(&api, &[event("1", "c", None, "t", "2026-11-21T10:00:00Z")]).await;
    assert_eq!(api.get("/accounts/c/summary").await.json(200)["totals"], json!({"t": 1}), "a refusal is not kept");
}

#[tokio::test]
async fn i3_a_day_of_the_tenants_zone_is_the_same_for_summaries_events_and_windows() {
    let api = TestApi::start().await;
    let headers = [("content-type", "application/json")];
    api.send("PATCH", "/v1/settings", &headers, r#"{"timezone": "Europe/Berlin"}"#).await.json(200);
    take(
        &api,
        &[
            event("a", "c", None, "t", "2026-11-19T22:59:59.999999Z"),
            event("b", "c", None, "t", "2026-11-19T23:00:00Z"),
            event("c", "c", None, "t", "2026-11-20T12:00:00Z"),
            event("d", "c", None, "t", "2026-11-20T22:59:59.999999Z"),
            event("e", "c", None, "t", "2026-11-20T23:00:00Z"),
        ],
    )
    .await;
    let day = "from=2026-11-20&to=2026-11-20";
    let summary = api.get(&format!("/accounts/c/summary?{day}")).await.json(200);
    assert_eq!(summary["totals"], json!({"t": 3}));
    let events = api.get(&format!("/v1/events?customer=c&order=asc&{day}")).await.json(200);
    let ids: Vec<_> = events["data"].as_array().unwrap().iter().map(|event| event["event_id"].clone()).collect();
    assert_eq!(ids, ["b", "c", "d"]);
    let windows = api.get(&format!("/v1/windows?customer=c&{day}")).await.json(200);
    let calls = windows["data"].as_array().unwrap().iter().map(|window| &window["aggregations"]["totalCalls"]);
    assert_eq!(calls.filter_map(Value::as_u64).sum::<u64>(), 3);
    let types = api.get(&format!("/stats/top-events?{day}")).await.json(200);
    assert_eq!(types["data"], json!([{"type": "t", "count": 3}]));
}

/// Sums that are refused with an error of this kind.
#[derive(Debug)]
struct Refusing(ErrorKind);

#[async_trait]
impl Analytics for Refusing {
    async fn top_types(
        &self,
        _: &TenantScope,
        _: TimeRange,
        _: Option<&str>,
        _: usize,
    ) -> Result<Vec<(String, u64)>, PortError> {
        Err(PortError::new(self.0, "answer"))
    }

    async fn summary(&self, _: &TenantScope, _: &str, _: TimeRange, _: usize) -> Result<Option<Summary>, PortError> {
        Err(PortError::new(self.0, "answer"))
    }

    async fn series(&self, _: &TenantScope, _: &SeriesQuery) -> Result<Vec<SeriesPoint>, PortError> {
        Err(PortError::new(self.0, "answer"))
    }
}

/// The server of each test fails it when the document lacks the status of an answer.
#[tokio::test]
async fn the_document_has_every_status_of_a_summary() {
    for (kind, status) in [
        (ErrorKind::Gone, 410),
        (ErrorKind::Exhausted, 422),
        (ErrorKind::Corrupt, 500),
        (ErrorKind::Unavailable, 503),
        (ErrorKind::TimedOut, 504),
    ] {
        let api = TestApi::with_analytics(Arc::new(Refusing(kind))).await;
        for path in ["/accounts/c/summary", "/v1/accounts/c/summary", "/analytics", "/stats/top-events"] {
            api.get(path).await.problem(status);
        }
    }
}
