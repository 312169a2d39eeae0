//! `GET /healthz`, `GET /livez` and `GET /readyz`.

use std::sync::Arc;

use domain::limits::REGISTER_STALENESS_MAX;
use domain::time::Timestamp;
use ports::clock::Clock;
use ports::testing::manifest::FaultPoint;
use serde_json::{Value, json};

use crate::harness::TestApi;

#[tokio::test]
async fn alive_is_ok() {
    let api = TestApi::start().await;
    for path in ["/healthz", "/livez"] {
        assert_eq!(api.get(path).await.text(), r#"{"ok":true}"#, "{path}");
    }
}

#[tokio::test]
async fn readiness_names_each_dependency() {
    let api = TestApi::start().await;
    let ready = api.get("/readyz").await.json(200);
    assert_eq!(ready["ready"], true);
    let names: Vec<_> = ready["checks"].as_array().unwrap().iter().map(|check| check["name"].clone()).collect();
    assert_eq!(names, ["journal", "ledger", "live", "clock", "catalog", "register"].map(|name| json!(name)));
}

/// A check of `/readyz` by its name.
fn check<'a>(ready: &'a Value, name: &str) -> &'a Value {
    ready["checks"].as_array().unwrap().iter().find(|check| check["name"] == name).unwrap()
}

/// The line of a metric without labels.
async fn metric(api: &TestApi, name: &str) -> String {
    let text = api.get("/metrics").await.text().to_owned();
    let found = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned));
    found.unwrap_or_else(|| panic!("{name} is missing in:\n{text}"))
}

/// I8: nothing is changed any more, and events go on.
#[tokio::test]
async fn a_catalog_that_takes_no_writes_is_told_and_stops_changes_alone() {
    let api = TestApi::start().await;
    assert_eq!(metric(&api, "catalog_poisoned").await, "0");
    api.catalog().fail_next(FaultPoint::BeforeCommit);
    api.send("PATCH", "/v1/settings", &[("content-type", "application/json")], r#"{"week_start": "sunday"}"#)
        .await
        .problem(503);
    let ready = api.get("/readyz").await.json(200);
    let catalog = check(&ready, "catalog");
    assert_eq!(catalog["ok"], false);
    assert!(catalog["message"].as_str().unwrap().contains("restart needed"), "{catalog}");
    assert_eq!(metric(&api, "catalog_poisoned").await, "1");
    assert_eq!(api.post("/v1/events", r#"{"id": "e1"}"#).await.json(202)["accepted"], 1);
    api.get("/v1/events/e1").await.json(200);
}

#[tokio::test]
async fn a_register_that_is_not_known_for_too_long_is_told() {
    let api = TestApi::start().await;
    let keeping_up = tokio::spawn(Arc::clone(&api.access).keep_up());
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    // As if it hung.
    keeping_up.abort();
    assert!(keeping_up.await.unwrap_err().is_cancelled());
    api.clock.advance(REGISTER_STALENESS_MAX);
    assert_eq!(check(&api.get("/readyz").await.json(200), "register")["message"], "ready");
    assert_eq!(metric(&api, "register_unknown_seconds").await, "30.0");
    api.clock.advance(std::time::Duration::from_secs(1));
    let ready = api.get("/readyz").await.json(503);
    assert!(check(&ready, "register")["message"].as_str().unwrap().contains("31 s"), "{ready}");
    api.access.refresh().await.unwrap();
    api.get("/readyz").await.json(200);
    assert_eq!(metric(&api, "register_unknown_seconds").await, "0.0");
}

#[tokio::test]
async fn f16_a_clock_that_jumps_is_told_and_stops_writes_alone() {
    let api = TestApi::start().await;
    api.post("/v1/events", r#"{"id": "e1"}"#).await.json(202);
    let right = api.clock.now();
    for (shown, offset) in [("2100-01-01T00:00:00Z", "ahead of"), ("1970-01-01T00:00:00Z", "behind")] {
        api.clock.set(Timestamp::parse(shown).unwrap());
        for path in ["/v1/events", "/v1/ingest", "/events"] {
            let refused = api.send("POST", path, &[], r#"{"id": "e2"}"#).await;
            let problem = refused.problem(503);
            assert_eq!(problem["type"], "urn:nilometer:problem:clock-unsure", "{path}");
            assert_eq!(refused.header("retry-after"), "10");
        }
        let ready = api.get("/readyz").await.json(503);
        let clock = ready["checks"].as_array().unwrap().iter().find(|check| check["name"] == "clock").unwrap();
        let message = clock["message"].as_str().unwrap();
        assert!(message.contains(&format!("the clock shows {shown}")) && message.contains(offset), "{message}");
        assert!(message.contains("accept-clock"), "{message}");
        assert_eq!(api.get("/v1/events/e1").await.json(200)["event_id"], "e1", "reads work");
        api.clock.set(right);
        api.get("/readyz").await.json(200);
    }
    let taken = api.post("/v1/events", r#"{"id": "e2"}"#).await.json(202);
    assert_eq!(taken["accepted"], 1);
}
