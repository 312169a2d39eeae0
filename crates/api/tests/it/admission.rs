//! Every route takes one permit of the gate at most, of the class that its work is of.

use std::collections::BTreeSet;

use domain::limits::Limits;
use pipeline::WorkClass;

use crate::harness::TestApi;

/// A request of a route: its method, its path in the document, the path asked for, its body, and the
/// class of its permit.
type Case = (&'static str, &'static str, &'static str, &'static str, Option<WorkClass>);

const COUNT: &str = r#"{"aggregations": [{"op": "count"}]}"#;
const TABLE: &str = r#"{"user_metadata": {"u": {"plan": "pro"}}, "ts": "2026-11-21T10:00:00Z"}"#;
const PATCH: &str = r#"{"user_metadata": {"u": {"plan": "free"}}}"#;

const CASES: [Case; 37] = [
    ("GET", "/v1/events", "/v1/events", "", Some(WorkClass::Read)),
    ("POST", "/v1/events", "/v1/events", r#"{"id": "1"}"#, None),
    ("POST", "/v1/ingest", "/v1/ingest", r#"{"id": "2"}"#, None),
    ("POST", "/events", "/events", r#"{"id": "3"}"#, None),
    ("GET", "/v1/receipts/{id}", "/v1/receipts/x", "", None),
    ("GET", "/v1/events/{id}", "/v1/events/1", "", Some(WorkClass::Read)),
    ("GET", "/v1/windows", "/v1/windows", "", Some(WorkClass::Read)),
    ("GET", "/v1/customers", "/v1/customers", "", Some(WorkClass::Read)),
    ("GET", "/v1/customers/{id}", "/v1/customers/c", "", Some(WorkClass::Read)),
    ("GET", "/v1/customers/{id}/usage", "/v1/customers/c/usage", "", Some(WorkClass::Read)),
    ("POST", "/v1/query", "/v1/query", COUNT, Some(WorkClass::Query)),
    ("GET", "/v1/settings", "/v1/settings", "", None),
    ("PATCH", "/v1/settings", "/v1/settings", r#"{"timezone": "Asia/Tokyo"}"#, Some(WorkClass::ZoneChange)),
    ("GET", "/stats/dau", "/stats/dau", "", Some(WorkClass::Statistics)),
    ("GET", "/stats/wau", "/stats/wau", "", Some(WorkClass::Statistics)),
    ("GET", "/stats/mau", "/stats/mau?tz=UTC", "", Some(WorkClass::Statistics)),
    ("GET", "/stats/top-events", "/stats/top-events", "", Some(WorkClass::Lookup)),
    ("GET", "/stats/top-events", "/stats/top-events?from=2026-11-21T10:00:01Z", "", Some(WorkClass::Read)),
    ("GET", "/stats/retention", "/stats/retention", "", Some(WorkClass::Statistics)),
    ("GET", "/accounts/sample", "/accounts/sample", "", Some(WorkClass::Read)),
    ("GET", "/accounts/{id}/summary", "/accounts/c/summary", "", Some(WorkClass::Read)),
    ("GET", "/analytics", "/analytics?metric=count&interval=hour", "", Some(WorkClass::Read)),
    ("PUT", "/reference/users", "/reference/users", TABLE, Some(WorkClass::TableChange)),
    ("PATCH", "/reference/users", "/reference/users", PATCH, Some(WorkClass::TableChange)),
    ("GET", "/reference/users", "/reference/users", "", Some(WorkClass::TableRead)),
    ("GET", "/healthz", "/healthz", "", None),
    ("GET", "/livez", "/livez", "", None),
    ("GET", "/readyz", "/readyz", "", None),
    ("GET", "/metrics", "/metrics", "", None),
    ("GET", "/metrics", "/metrics?window=300", "", Some(WorkClass::Live)),
    ("GET", "/v1/live", "/v1/live", "", Some(WorkClass::Live)),
    // A stream needs none; the window that it shows is added up for all streams of its tenant.
    ("GET", "/v1/live/stream", "/v1/live/stream?window=0", "", None),
    ("GET", "/v1/live/ws", "/v1/live/ws?window=0", "", None),
    // An answer that is kept is given again without a permit.
    ("GET", "/accounts/{id}/summary", "/accounts/c/summary", "", None),
    ("GET", "/stats/dau", "/stats/dau?from=never", "", None),
    ("PATCH", "/v1/settings", "/v1/settings", r#"{"timezone": "Asia/Tokyo"}"#, None),
    ("PUT", "/reference/users", "/reference/users", "[]", Some(WorkClass::TableChange)),
];

#[tokio::test]
async fn i6_every_route_takes_one_permit_at_most() {
    let api = TestApi::live(Limits::default()).await;
    api.post("/v1/events", r#"{"id": "0", "customer": "c", "user": "u"}"#).await.json(202);
    let admitted = || WorkClass::ALL.map(|class| api.limiter.load(class).admitted);
    for (method, _, path, body, class) in CASES {
        let before = admitted();
        let headers: &[_] = if body.is_empty() { &[] } else { &[("content-type", "application/json")] };
        let reply = api.send(method, path, headers, body).await;
        assert!(reply.status < 500, "{method} {path}: {}", reply.text());
        let after = admitted();
        let taken = WorkClass::ALL.into_iter().zip(before.into_iter().zip(after)).filter(|(_, (old, new))| old != new);
        let taken: Vec<_> = taken.map(|(class, (old, new))| (class, new - old)).collect();
        assert_eq!(taken, class.map(|class| (class, 1)).into_iter().collect::<Vec<_>>(), "{method} {path} {body}");
    }
}

#[tokio::test]
async fn a_large_table_is_received_with_one_permit_and_changed_with_the_next() {
    let api = TestApi::live(Limits::default()).await;
    let user = |number: usize| format!(r#""{}-{number}": {{"plan": "pro"}}"#, "u".repeat(200));
    let users: Vec<_> = (0..6_000).map(user).collect();
    let table = format!(r#"{{"user_metadata": {{{}}}, "ts": "2026-11-21T10:00:00Z"}}"#, users.join(","));
    assert!(table.len() > 1 << 20);
    let stored = api.send("PUT", "/reference/users", &[("content-type", "application/json")], table).await;
    assert_eq!(stored.json(200)["users"], 6_000);
    for class in [WorkClass::TableText, WorkClass::TableChange] {
        let load = api.limiter.load(class);
        assert_eq!((load.admitted, load.running, load.waiting), (1, 0, 0), "{class:?}");
    }
}

#[test]
fn every_route_of_the_document_is_among_the_cases() {
    let document = serde_json::to_value(api::document()).unwrap();
    let mut routes = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        routes.extend(methods.as_object().unwrap().keys().map(|method| (method.to_uppercase(), path.clone())));
    }
    let cases: BTreeSet<_> = CASES.iter().map(|(method, path, ..)| (method.to_string(), path.to_string())).collect();
    // What is served without a version is the same route under `/v1`.
    let is_known = |(method, path): &&(String, String)| {
        let bare = path.strip_prefix("/v1").unwrap_or(path);
        cases.contains(&(method.clone(), path.clone())) || cases.contains(&(method.clone(), bare.to_owned()))
    };
    let unknown: Vec<_> = routes.iter().filter(|route| !is_known(route)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}
