//! `GET /healthz`, `GET /livez` and `GET /readyz`.

use domain::time::Timestamp;
use ports::clock::Clock;
use serde_json::json;

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
    assert_eq!(names, ["journal", "ledger", "live", "clock"].map(|name| json!(name)));
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
