//! Questions that the real binary cannot answer yet, or not any more: while the journal is replayed,
//! while the live view is rebuilt, and after retention has dropped what they ask for.

use serde_json::json;

#[cfg(feature = "failpoints")]
use crate::faults::http::Answer;
use crate::faults::server::{Launch, Server, WAIT_MAX};
use crate::faults::wait;

/// Everything that is computed from what is applied.
#[cfg(feature = "failpoints")]
const QUESTIONS: [&str; 15] = [
    "/v1/events",
    "/v1/events/e1",
    "/v1/windows",
    "/v1/customers",
    "/v1/customers/c",
    "/v1/customers/c/usage",
    "/accounts/sample",
    "/accounts/c/summary",
    "/stats/dau",
    "/stats/wau",
    "/stats/mau",
    "/stats/top-events",
    "/stats/retention",
    "/analytics",
    "/v1/analytics?metric=unique_users",
];
/// Everything that the live view answers.
#[cfg(feature = "failpoints")]
const LIVE: [&str; 3] = ["/v1/live", "/metrics?window=60", "/v1/live/stream"];

const QUERY: &str = r#"{"aggregations": [{"op": "count"}]}"#;

#[cfg(feature = "failpoints")]
fn assert_told_to_wait(answer: &Answer, path: &str, why: &str) {
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("5")), "{path}: {}", answer.text());
    let problem = answer.json();
    assert_eq!(problem["type"], "urn:nilometer:problem:unavailable", "{path}: {problem}");
    assert!(problem["detail"].as_str().unwrap().contains(why), "{path}: {problem}");
}

fn post(server: &Server, body: &str) {
    let answer = server.client().post("/v1/events?wait=applied", body).unwrap();
    assert_eq!((answer.status, &answer.json()["applied"]), (202, &json!(true)), "{}", answer.text());
}

fn count(server: &Server) -> serde_json::Value {
    let answer = server.client().post("/v1/query", QUERY).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["rows"][0][0].clone()
}

#[test]
#[cfg(feature = "failpoints")]
fn i1_while_the_journal_is_replayed_questions_are_told_to_wait_and_events_are_taken() {
    let data = tempfile::tempdir().unwrap();
    let launch = Launch::on(data.path()).unflushed();
    let server = launch.start_ready();
    post(&server, r#"[{"id": "e1", "customer": "c", "user": "u"}, {"id": "e2"}]"#);
    server.kill();

    let server = launch.clone().failpoints("worker::before_apply=pause").start();
    let mut client = server.client();
    for path in QUESTIONS {
        assert_told_to_wait(&client.get(path).unwrap(), path, "replayed");
    }
    for path in LIVE {
        assert_told_to_wait(&client.get(path).unwrap(), path, "replaying the journal: record 0 of 1");
    }
    assert_told_to_wait(&client.post("/v1/query", QUERY).unwrap(), "/v1/query", "replayed");
    let zone = r#"{"timezone": "Asia/Tokyo"}"#;
    let changed = client.send("PATCH", "/v1/settings", &[("content-type", "application/json")], zone.as_bytes());
    assert_told_to_wait(&changed.unwrap(), "/v1/settings", "replayed");
    let ready = client.get("/readyz").unwrap();
    assert_eq!((ready.status, &ready.json()["ready"]), (503, &json!(false)), "{}", ready.text());
    assert_eq!(client.get("/healthz").unwrap().status, 200);
    assert_eq!(client.post("/v1/events", r#"{"id": "e3"}"#).unwrap().status, 202);
    server.kill();

    let server = launch.start_ready();
    assert_eq!(count(&server), 3);
    server.stop();
}

#[test]
#[cfg(feature = "failpoints")]
fn while_the_live_view_is_rebuilt_only_live_questions_are_told_to_wait() {
    let data = tempfile::tempdir().unwrap();
    let launch = Launch::on(data.path()).set("worker_threads", 4);
    let server = launch.start_ready();
    post(&server, r#"[{"id": "e1", "customer": "c", "user": "u"}, {"id": "e2"}]"#);
    server.stop();

    let server = launch.clone().failpoints("live::before_rebuild=pause").start_ready();
    let mut client = server.client();
    for path in LIVE {
        assert_told_to_wait(&client.get(path).unwrap(), path, "recent events are being read");
    }
    for path in QUESTIONS {
        assert_eq!(client.get(path).unwrap().status, 200, "{path}");
    }
    let ready = client.get("/readyz").unwrap().json();
    let live = json!({"name": "live", "ok": false, "message": "recent events are being read"});
    assert!(ready["checks"].as_array().unwrap().contains(&live), "{ready}");
    server.kill();

    let server = launch.start_ready();
    let mut client = server.client();
    let mut last = None;
    let whole = wait::until(WAIT_MAX, || {
        let answer = client.get("/v1/live").unwrap();
        last = Some(answer.text().to_owned());
        answer.status == 200
    });
    assert!(whole, "{last:?}");
    assert!(last.unwrap().contains(r#""unknown":2"#));
    server.stop();
}

#[test]
fn i9_what_needs_events_that_retention_has_dropped_is_gone_for_a_reason_that_is_named() {
    let data = tempfile::tempdir().unwrap();
    let launch = Launch::on(data.path()).restless();
    let server = launch.start_ready();
    let old = r#"{"customer": "c", "user": "u", "type": "t", "project": "p", "time": "2020-01-05T10:20:00Z"}"#;
    post(&server, old);
    server.stop();

    let server = launch.clone().set("retention_days", 2).set("retention_delay_sec", 0).start_ready();
    let mut client = server.client();
    // Something new makes a flush, and after it retention has its turn.
    let mut round = 0;
    let dropped = wait::until(WAIT_MAX, || {
        round += 1;
        post(&server, &json!({"id": format!("new{round}")}).to_string());
        let found = client.get("/v1/events?to=2020-02-01").unwrap();
        found.json()["data"] == json!([])
    });
    assert!(dropped, "{}", server.log());
    for (path, field) in [
        ("/stats/dau?from=2020-01-01&to=2020-01-31&tz=Asia/Tokyo", "tz"),
        ("/stats/wau?from=2020-01-01&to=2020-01-31&type=t&project=p", "type"),
        ("/stats/mau?from=2020-01-05T10:00:00Z&to=2020-01-06T10:00:00Z", "from"),
        ("/stats/retention?tz=Asia/Tokyo", "tz"),
        ("/stats/top-events?from=2020-01-05T10:10:00Z&to=2020-01-06", "from"),
        ("/v1/analytics?metric=unique_users&from=2020-01-01&to=2020-01-31", "from"),
        ("/analytics?from=2020-01-05T10:10:00Z&to=2020-01-06", "from"),
    ] {
        let answer = client.get(path).unwrap();
        assert_eq!(answer.status, 410, "{path}: {}", answer.text());
        let problem = answer.json();
        assert_eq!(problem["type"], "urn:nilometer:problem:gone", "{path}: {problem}");
        assert_eq!(problem["field"], field, "{path}: {problem}");
    }
    let query = r#"{"aggregations": [{"op": "count"}], "from": "2020-01-01"}"#;
    let answer = client.post("/v1/query", query).unwrap();
    assert_eq!((answer.status, &answer.json()["field"]), (410, &json!("from")), "{}", answer.text());
    let zone = r#"{"timezone": "Asia/Tokyo"}"#;
    let headers = [("content-type", "application/json")];
    let answer = client.send("PATCH", "/v1/settings", &headers, zone.as_bytes()).unwrap();
    assert_eq!((answer.status, &answer.json()["field"]), (410, &json!("timezone")), "{}", answer.text());
    // Sums and days outlive the events.
    for (path, place) in [
        ("/stats/dau?from=2020-01-05&to=2020-01-05", "/data/0/users"),
        ("/stats/top-events?from=2020-01-05&to=2020-01-05", "/data/0/count"),
        ("/v1/analytics?interval=day&from=2020-01-05&to=2020-01-05", "/data/0/value"),
        ("/v1/windows?to=2020-02-01", "/data/0/aggregations/totalCalls"),
    ] {
        let answer = client.get(path).unwrap();
        assert_eq!(answer.json().pointer(place), Some(&json!(1)), "{path}: {}", answer.text());
    }
    assert!(count(&server).as_u64().unwrap() > 0, "what is kept is still counted");
    server.stop();
}

#[test]
fn a_workspace_keeps_its_events_for_another_time_than_the_others() {
    let data = tempfile::tempdir().unwrap();
    let launch = Launch::on(data.path()).restless().set("api_keys", "beta:the-key-of-beta");
    let (json_body, key) = (("content-type", "application/json"), ("x-api-key", "the-key-of-beta"));
    let server = launch.start_ready();
    let mut client = server.client();
    let old = br#"{"id": "old", "time": "2020-01-05T10:20:00Z"}"#;
    for headers in [&[json_body][..], &[json_body, key]] {
        assert_eq!(client.send("POST", "/v1/events?wait=applied", headers, old).unwrap().status, 202);
    }
    // One that is new waits, over a restart too, and says for what.
    let days = br#"{"retention_days": 30}"#;
    let changed = client.send("PATCH", "/v1/settings", &[json_body], days).unwrap();
    assert_eq!((changed.status, &changed.json()["retention_days"]), (200, &json!(30)), "{}", changed.text());
    let waits = wait::until(WAIT_MAX, || {
        let pending = client.get("/v1/settings").unwrap().json()["retention_pending"].clone();
        pending["due_in_sec"].as_u64().is_some_and(|due| (86_000..=86_400).contains(&due))
    });
    assert!(waits, "{}", client.get("/v1/settings").unwrap().text());
    assert_eq!(client.get("/v1/events/old").unwrap().status, 200, "it waits");
    server.kill();

    let server = launch.clone().set("retention_delay_sec", 0).start_ready();
    let mut client = server.client();
    let gone = wait::until(WAIT_MAX, || client.get("/v1/events/old").unwrap().status == 404);
    assert!(gone, "{}", server.log());
    let settings = client.get("/v1/settings").unwrap().json();
    assert!(settings["kept_since"].is_string() && settings["retention_pending"].is_null(), "{settings}");
    assert_eq!(client.send("GET", "/v1/events/old", &[key], b"").unwrap().status, 200, "I5");
    let windows = client.get("/v1/windows?to=2020-02-01").unwrap().json();
    assert_eq!(windows["data"][0]["aggregations"]["totalCalls"], 1, "{windows}");
    // What is gone is still known, and counts no second time.
    let again = client.send("POST", "/v1/events?wait=applied", &[json_body], old).unwrap();
    assert_eq!(again.json()["duplicates"], 1, "{}", again.text());
    server.stop();
    let verified = crate::harness::run(&["verify", "--data", data.path().to_str().unwrap()]);
    assert_eq!(verified.status.code(), Some(0), "{}", crate::harness::stdout(&verified));
}
