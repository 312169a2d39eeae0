//! `GET` and `PATCH /v1/settings`, and what they change.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use domain::calendar::Day;
use domain::tenant::TenantScope;
use domain::users::UserSet;
use parking_lot::Mutex;
use ports::active_users::{ActiveUsers, ActiveUsersQuery, VersionedZone};
use ports::{ErrorKind, PortError};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::harness::{KEY_A, TestApi};

const JSON: (&str, &str) = ("content-type", "application/json");

async fn patch(api: &TestApi, body: &str) -> crate::harness::Reply {
    api.send("PATCH", "/v1/settings", &[JSON], body.to_owned()).await
}

/// The settings that are answered, without their version, which is the ETag.
fn decided(reply: &crate::harness::Reply) -> Value {
    let mut body = reply.json(200);
    let version = body.as_object_mut().unwrap().remove("version").unwrap();
    assert_eq!(reply.header("etag"), format!("\"{version}\""));
    body
}

/// The settings of a tenant that keeps all of its events.
fn settings_of(timezone: &str, week_start: &str, max_lateness_sec: &Value, retention_days: &Value) -> Value {
    json!({
        "timezone": timezone, "week_start": week_start, "max_lateness_sec": max_lateness_sec, "min_time": null,
        "retention_days": retention_days, "kept_since": null,
    })
}

#[tokio::test]
async fn how_long_events_are_kept_is_set_per_tenant() {
    let api = TestApi::start().await;
    for days in [json!(90), json!(0), json!(36_525), Value::Null] {
        let after = settings_of("UTC", "monday", &Value::Null, &days);
        assert_eq!(decided(&patch(&api, &json!({"retention_days": days}).to_string()).await), after);
        assert_eq!(decided(&patch(&api, "{}").await), after, "it stays as it is");
    }
    patch(&api, r#"{"retention_days": 30}"#).await.json(200);
    let other = api.send("GET", "/v1/settings", &[("x-api-key", KEY_A)], "").await.json(200);
    assert_eq!(other["retention_days"], Value::Null, "I5");
}

#[tokio::test]
async fn a_change_merges_the_fields_given() {
    let api = TestApi::start().await;
    let settings = |timezone: &str, week_start: &str, max_lateness_sec: Value| {
        settings_of(timezone, week_start, &max_lateness_sec, &Value::Null)
    };
    assert_eq!(decided(&api.get("/v1/settings").await), settings("UTC", "monday", Value::Null));
    for (change, after) in [
        (r#"{"week_start": "sunday"}"#, settings("UTC", "sunday", Value::Null)),
        (r#"{"timezone": "europe/BERLIN", "max_lateness_sec": 120}"#, settings("Europe/Berlin", "sunday", json!(120))),
        ("{}", settings("Europe/Berlin", "sunday", json!(120))),
        (r#"{"max_lateness_sec": null, "timezone": "UTC"}"#, settings("UTC", "sunday", Value::Null)),
    ] {
        assert_eq!(decided(&patch(&api, change).await), after, "{change}");
        assert_eq!(decided(&api.get("/v1/settings").await), after, "{change}");
    }
    let other = decided(&api.send("GET", "/v1/settings", &[("x-api-key", KEY_A)], "").await);
    assert_eq!(other, settings("UTC", "monday", Value::Null), "I5");
}

#[tokio::test]
async fn i9_bad_settings_are_named_and_change_nothing() {
    let api = TestApi::start().await;
    let cases = [
        (r#"{"timezone": "Mars/Olympus"}"#, "timezone"),
        (r#"{"timezone": "../../etc/passwd"}"#, "timezone"),
        (r#"{"timezone": null}"#, "timezone"),
        (r#"{"timezone": 1, "week_start": "sunday"}"#, "timezone"),
        (r#"{"week_start": "tuesday"}"#, "week_start"),
        (r#"{"week_start": ["monday"]}"#, "week_start"),
        (r#"{"max_lateness_sec": -1}"#, "max_lateness_sec"),
        (r#"{"max_lateness_sec": 1.5}"#, "max_lateness_sec"),
        (r#"{"max_lateness_sec": 3155760001}"#, "max_lateness_sec"),
        (r#"{"max_lateness_sec": 18446744073709551616}"#, "max_lateness_sec"),
        (r#"{"max_lateness_sec": "120"}"#, "max_lateness_sec"),
        (r#"{"min_time": "1980"}"#, "min_time"),
        (r#"{"min_time": "2026-02-30"}"#, "min_time"),
        (r#"{"min_time": "2026-11-21T10:00:11Z"}"#, "min_time"),
        (r#"{"min_time": 315619200}"#, "min_time"),
        (r#"{"retention_days": -1}"#, "retention_days"),
        (r#"{"retention_days": 36526}"#, "retention_days"),
        (r#"{"retention_days": 1.5}"#, "retention_days"),
        (r#"{"retention_days": "30"}"#, "retention_days"),
        (r#"{"kept_since": null}"#, "kept_since"),
        (r#"{"week_start": "sunday", "time_zone": "UTC"}"#, "time_zone"),
        (r#"{"week_start": "sunday", "week_start": "monday"}"#, "week_start"),
    ];
    for (body, field) in cases {
        assert_eq!(patch(&api, body).await.problem(400)["field"], field, "{body}");
    }
    for body in ["", "[]", "null", "{", "\u{feff}{}", r#""x""#] {
        patch(&api, body).await.problem(400);
    }
    patch(&api, &format!(r#"{{"timezone": "{}"}}"#, "x".repeat(70_000))).await.problem(413);
    api.send("PATCH", "/v1/settings", &[("content-type", "text/csv")], "{}").await.problem(415);
    api.send("PATCH", "/v1/settings", &[JSON, ("content-encoding", "gzip")], "{}").await.problem(415);
    assert_eq!(api.get("/v1/settings?tenant=a").await.problem(400)["field"], "tenant");
    let settings = decided(&api.get("/v1/settings").await);
    assert_eq!(settings, settings_of("UTC", "monday", &Value::Null, &Value::Null));
}

#[tokio::test]
async fn a_tenants_lateness_goes_before_the_servers() {
    let api = TestApi::with(domain::limits::Limits { lateness_us_max: Some(60_000_000), ..Default::default() }).await;
    let status = async |id: &str, time: &str| {
        let body = format!(r#"{{"id": "{id}", "time": "{time}"}}"#);
        let reply = api.post("/v1/events", body).await;
        let results: Value = serde_json::from_str(reply.text()).unwrap();
        results["results"][0]["code"].as_str().unwrap_or("accepted").to_owned()
    };
    assert_eq!(status("1", "2026-11-21T09:59:09Z").await, "too_late");
    patch(&api, r#"{"max_lateness_sec": 120}"#).await.json(200);
    assert_eq!(status("2", "2026-11-21T09:58:10Z").await, "accepted");
    assert_eq!(status("3", "2026-11-21T09:58:09Z").await, "too_late");
    patch(&api, r#"{"max_lateness_sec": 0}"#).await.json(200);
    assert_eq!(status("4", "1980-01-02T00:00:00Z").await, "accepted", "any age");
    patch(&api, r#"{"max_lateness_sec": null}"#).await.json(200);
    assert_eq!(status("5", "2026-11-21T09:59:09Z").await, "too_late");
}

#[tokio::test]
async fn an_event_before_the_earliest_time_is_told_and_the_tenant_says_which_that_is() {
    let api = TestApi::start().await;
    let verdict = async |id: &str, time: &str| {
        let reply = api.post("/v1/events", format!(r#"{{"id": "{id}", "time": "{time}"}}"#)).await;
        let results: Value = serde_json::from_str(reply.text()).unwrap();
        let result = &results["results"][0];
        (result["code"].as_str().unwrap_or("accepted").to_owned(), result["field"].clone())
    };
    let too_old = ("time_too_old".to_owned(), json!("time"));
    let taken = ("accepted".to_owned(), Value::Null);
    for old in ["0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "1980-01-01 00:00:00", "1980-01-01T23:59:59.999999999Z"]
    {
        assert_eq!(verdict("old", old).await, too_old, "{old}");
    }
    assert_eq!(verdict("1", "1980-01-02T00:00:00Z").await, taken);
    let changed = patch(&api, r#"{"timezone": "Europe/Berlin", "min_time": "2020-01-01"}"#).await.json(200);
    assert_eq!(changed["min_time"], "2019-12-31T23:00:00Z", "a date is a day of the tenant's zone");
    assert_eq!(verdict("2", "2019-12-31T22:59:59.999999Z").await, too_old);
    assert_eq!(verdict("2", "2019-12-31T23:00:00Z").await, taken);
    patch(&api, r#"{"min_time": "0001-01-01T00:00:00Z"}"#).await.json(200);
    assert_eq!(verdict("3", "1969-12-31T23:59:59.999999999Z").await, taken);
    assert_eq!(api.get("/v1/events/3").await.json(200)["time"], "1969-12-31T23:59:59.999999Z", "rounded down");
    patch(&api, r#"{"min_time": null}"#).await.json(200);
    assert_eq!(verdict("4", "1969-12-31T23:59:59Z").await, too_old);
}

#[tokio::test]
async fn a_new_zone_holds_for_days_and_kept_answers_at_once() {
    let api = TestApi::start().await;
    let event = r#"{"id": "1", "customer": "c", "user": "u", "type": "t", "time": "2026-11-19T20:00:00Z"}"#;
    api.post("/v1/events", event).await.json(202);
    let dau = async || api.get("/stats/dau?from=2026-11-19&to=2026-11-20").await.json(200);
    let series =
        async || api.get("/analytics?interval=day&from=2026-11-20&to=2026-11-20").await.json(200)["data"].clone();
    let summary =
        async || api.get("/accounts/c/summary?from=2026-11-20&to=2026-11-20").await.json(200)["totals"].clone();
    let day = |date: &str, users: u64| json!({"date": date, "users": users});
    assert_eq!(dau().await, json!({"tz": "UTC", "data": [day("2026-11-19", 1), day("2026-11-20", 0)]}));
    assert_eq!(series().await, json!([{"time": "2026-11-20T00:00:00Z", "value": 0}]));
    assert_eq!(summary().await, json!({}));
    patch(&api, r#"{"timezone": "Pacific/Auckland"}"#).await.json(200);
    assert_eq!(dau().await, json!({"tz": "Pacific/Auckland", "data": [day("2026-11-19", 0), day("2026-11-20", 1)]}));
    assert_eq!(series().await, json!([{"time": "2026-11-19T11:00:00Z", "value": 1}]));
    assert_eq!(summary().await, json!({"t": 1}));
}

#[tokio::test]
async fn today_in_a_customers_usage_is_the_tenants_day() {
    let api = TestApi::start().await;
    // It is 23:00:10 of the same day in Auckland, which began at 11:00 UTC the day before.
    let event = |id: &str, time: &str| json!({"id": id, "customer": "c", "time": time});
    let events = [
        event("in", "2026-11-20T11:00:00Z"),
        event("out", "2026-11-20T10:59:59Z"),
        event("utc", "2026-11-21T00:00:00Z"),
    ];
    api.post("/v1/events", serde_json::to_vec(&events).unwrap()).await.json(202);
    let today = async || api.get("/v1/customers/c/usage").await.json(200)["today"]["totalCalls"].clone();
    assert_eq!(today().await, 1);
    patch(&api, r#"{"timezone": "Pacific/Auckland"}"#).await.json(200);
    assert_eq!(today().await, 2);
}

/// Days of users that answer nothing, and change their zone as they are told.
#[derive(Debug)]
struct Stub {
    refusal: Option<ErrorKind>,
    /// A change takes one, and waits for it.
    turns: Semaphore,
    applied: Mutex<VersionedZone>,
}

#[async_trait]
impl ActiveUsers for Stub {
    async fn active_users(&self, _: &TenantScope, _: &ActiveUsersQuery) -> Result<BTreeMap<Day, UserSet>, PortError> {
        Err(PortError::new(ErrorKind::Gone, "answer"))
    }

    fn applied_zone(&self, _: &TenantScope) -> VersionedZone {
        self.applied.lock().clone()
    }

    async fn recount(&self, _: &TenantScope, wanted: &VersionedZone) -> Result<(), PortError> {
        self.turns.acquire().await.unwrap().forget();
        self.refusal.map_or(Ok(()), |kind| Err(PortError::new(kind, "change the zone")))?;
        *self.applied.lock() = wanted.clone();
        Ok(())
    }
}

#[tokio::test]
async fn a_zone_that_needs_dropped_events_is_gone_and_changes_nothing() {
    let stub = Stub { refusal: Some(ErrorKind::Gone), turns: Semaphore::new(9), applied: Mutex::default() };
    let api = TestApi::with_active_users(Arc::new(stub)).await;
    let problem = patch(&api, r#"{"week_start": "sunday", "timezone": "Asia/Tokyo"}"#).await.problem(410);
    assert_eq!((&problem["type"], &problem["field"]), (&json!("urn:nilometer:problem:gone"), &json!("timezone")));
    assert_eq!(api.get("/v1/settings").await.json(200)["week_start"], "monday");
    for (path, field) in [
        ("/stats/dau", "from"),
        ("/stats/wau?tz=Asia/Tokyo", "tz"),
        ("/stats/mau?type=t&project=p", "type"),
        ("/stats/retention?tz=Asia/Tokyo", "tz"),
    ] {
        assert_eq!(api.get(path).await.problem(410)["field"], field, "{path}");
    }
    assert_eq!(patch(&api, r#"{"timezone": "utc"}"#).await.json(200)["timezone"], "UTC", "the same zone is no change");
}

#[tokio::test]
async fn while_a_zone_changes_questions_are_answered_and_another_zone_waits() {
    let stub = Arc::new(Stub { refusal: None, turns: Semaphore::new(0), applied: Mutex::default() });
    let api = Arc::new(TestApi::with_active_users(stub.clone()).await);
    let first = tokio::spawn({
        let api = Arc::clone(&api);
        async move { patch(&api, r#"{"timezone": "Asia/Tokyo", "week_start": "sunday"}"#).await.status }
    });
    while api.get("/v1/settings").await.json(200).get("timezone_pending").is_none() {}
    let second = tokio::spawn({
        let api = Arc::clone(&api);
        async move { patch(&api, r#"{"timezone": "Europe/Berlin", "week_start": "saturday"}"#).await.status }
    });
    patch(&api, r#"{"max_lateness_sec": 7}"#).await.json(200);
    let meanwhile = api.get("/v1/settings").await.json(200);
    let fields = ["timezone", "timezone_pending", "week_start"].map(|field| meanwhile[field].as_str().unwrap());
    assert_eq!(fields, ["UTC", "Asia/Tokyo", "monday"]);
    assert_eq!(
        api.get("/stats/top-events").await.json(200),
        json!({"tz": "UTC", "from": null, "to": null, "data": []})
    );
    assert!(!second.is_finished(), "it waits");
    stub.turns.add_permits(2);
    assert_eq!((first.await.unwrap(), second.await.unwrap()), (200, 200));
    let settings = api.get("/v1/settings").await.json(200);
    let fields = ["timezone", "week_start"].map(|field| settings[field].as_str().unwrap());
    assert_eq!((fields, settings.get("timezone_pending")), (["Europe/Berlin", "saturday"], None));
    assert_eq!(settings["max_lateness_sec"], 7, "what was changed meanwhile stays");
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_no_half_change() {
    let stub = Arc::new(Stub { refusal: None, turns: Semaphore::new(0), applied: Mutex::default() });
    let api = Arc::new(TestApi::with_active_users(stub.clone()).await);
    let body = r#"{"timezone": "Asia/Tokyo", "week_start": "sunday"}"#;
    let gone = tokio::time::timeout(std::time::Duration::from_millis(300), patch(&api, body)).await;
    assert!(gone.is_err());
    stub.turns.add_permits(1);
    while api.get("/v1/settings").await.json(200)["week_start"] != "sunday" {
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
}
