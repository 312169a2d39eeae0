//! I9: everything that cannot be answered is refused in one form, which names the part of the request.

use std::collections::BTreeSet;

use ports::ErrorKind;
use serde_json::Value;

use crate::harness::TestApi;

#[tokio::test]
async fn unknown_routes_are_problems() {
    let api = TestApi::start().await;
    for path in ["/v1", "/v1/event", "/v1/events//", "/v2/events", "/v1/customers/a/b", "/%2e%2e/etc/passwd", "/%FF"] {
        let problem = api.get(path).await.problem(404);
        assert_eq!(problem["type"], "urn:nilometer:problem:not-found", "{path}");
    }
}

#[tokio::test]
async fn a_slash_at_the_end_finds_its_route() {
    let api = TestApi::start().await;
    assert_eq!(api.send("POST", "/v1/events/?wait=applied", &[], r#"{"id": "e1", "customer": "c"}"#).await.status, 202);
    for path in
        ["/v1/events/", "/v1/events/e1/", "/v1/customers/c/usage/", "/v1/windows/?limit=1", "/healthz/", "/docs/"]
    {
        assert_eq!(api.get(path).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn wrong_methods_are_problems_that_name_the_right_ones() {
    let api = TestApi::start().await;
    let cases = [
        ("DELETE", "/v1/events", "GET,HEAD,POST"),
        ("GET", "/v1/ingest", "POST"),
        ("PUT", "/events", "POST"),
        ("POST", "/v1/windows", "GET,HEAD"),
        ("PUT", "/v1/customers/c", "GET,HEAD,PATCH"),
        ("BREW", "/healthz", "GET,HEAD"),
    ];
    for (method, path, allowed) in cases {
        let refused = api.send(method, path, &[], "").await;
        refused.problem(405);
        let allow: BTreeSet<_> = refused.header("allow").split(',').map(|word| word.trim().to_owned()).collect();
        assert_eq!(allow, allowed.split(',').map(ToOwned::to_owned).collect(), "{method} {path}");
    }
}

#[tokio::test]
async fn a_sane_request_id_is_kept_and_any_other_replaced() {
    let api = TestApi::start().await;
    let kept = api.send("GET", "/healthz", &[("x-request-id", "trace-1.a:b_C")], "").await;
    assert_eq!(kept.header("x-request-id"), "trace-1.a:b_C");
    let long = "x".repeat(129);
    for strange in ["", "two words", "{}", long.as_str()] {
        let replaced = api.send("GET", "/v1/nothing", &[("x-request-id", strange)], "").await;
        replaced.problem(404);
        assert_eq!(replaced.header("x-request-id").len(), 36, "{strange:?}");
    }
    let (one, two) = (api.get("/healthz").await, api.get("/healthz").await);
    assert_ne!(one.header("x-request-id"), two.header("x-request-id"));
}

#[tokio::test]
async fn bad_parameters_are_named() {
    let api = TestApi::start().await;
    let cases = [
        ("/v1/events?limit=0", "limit"),
        ("/v1/events?limit=1001", "limit"),
        ("/v1/events?limit=ten", "limit"),
        ("/v1/events?limit=-1", "limit"),
        ("/v1/events?from=yesterday", "from"),
        ("/v1/events?to=2026-13-01", "to"),
        ("/v1/events?to=0000-01-01T00:00:00Z", "to"),
        ("/v1/events?from=2026-11-22&to=2026-11-21T23:59:59Z", "from"),
        ("/v1/events?order=random", "order"),
        ("/v1/events?cursor=garbage", "cursor"),
        ("/v1/events?cursor=", "cursor"),
        ("/v1/events?cursor=5b5d", "cursor"),
        ("/v1/events?user=", "user"),
        ("/v1/events?custmer=c", "custmer"),
        ("/v1/events?customer=c&customer=d", "customer"),
        ("/v1/windows?state=ajar", "state"),
        ("/v1/windows?limit=1e3", "limit"),
        ("/v1/windows?cursor=%00", "cursor"),
        ("/v1/windows?from=2026-11-22T00:00:01Z&to=2026-11-21", "from"),
        ("/v1/windows?user=u", "user"),
        ("/v1/customers?cursor=7b7d", "cursor"),
        ("/v1/customers?page=2", "page"),
        ("/v1/customers/c/usage?from=2026-11-21", "from"),
        ("/v1/customers/c?limit=1", "limit"),
        ("/v1/events/e?type=t", "type"),
        ("/v1/receipts/r?wait=applied", "wait"),
    ];
    for (path, field) in cases {
        let problem = api.get(path).await.problem(400);
        assert_eq!(problem["field"], field, "{path}: {problem}");
        assert!(problem["detail"].as_str().unwrap().contains(field) || field == "window", "{path}: {problem}");
    }
    for path in ["/v1/events?wait=soon", "/v1/ingest?wait=", "/events?wiat=applied"] {
        let field = if path.contains("wiat") { "wiat" } else { "wait" };
        assert_eq!(api.send("POST", path, &[], "{}").await.problem(400)["field"], field, "{path}");
    }
    let problem = api.get("/v1/events/%FF").await.problem(400);
    assert_eq!(problem["field"], "id");
}

#[tokio::test]
async fn i8_a_journal_that_refuses_is_never_answered_with_202() {
    let api = TestApi::start().await;
    let cases = [
        (ErrorKind::Overloaded, 503, true),
        (ErrorKind::Unavailable, 503, true),
        (ErrorKind::Full, 507, false),
        (ErrorKind::Closed, 503, true),
    ];
    for (kind, status, retry) in cases {
        api.refuse(Some(kind));
        for path in ["/v1/events", "/v1/ingest", "/events"] {
            let refused = api.send("POST", path, &[], r#"{"id": "e1"}"#).await;
            refused.problem(status);
            let seconds: Option<u32> = refused.header("retry-after").parse().ok();
            assert_eq!(seconds.is_some(), retry, "{kind:?} on {path}");
        }
    }
    api.refuse(None);
    let taken = api.post("/v1/events", r#"{"id": "e1"}"#).await.json(202);
    assert_eq!(taken["results"][0]["status"], "accepted", "I8: a failed append must not make the retry a duplicate");
}

#[tokio::test]
async fn a_full_disk_shows_in_readiness_and_reads_still_work() {
    let api = TestApi::start().await;
    api.post("/v1/events", r#"{"id": "e1"}"#).await.json(202);
    api.refuse(Some(ErrorKind::Full));
    let ready = api.get("/readyz").await.json(503);
    assert_eq!(ready["ready"], false);
    let journal = ready["checks"].as_array().unwrap().iter().find(|check| check["name"] == "journal").unwrap();
    assert_eq!(journal["ok"], false);
    assert!(journal["message"].as_str().unwrap().contains("disk"), "{journal}");
    let found: Value = api.get("/v1/events/e1").await.json(200);
    assert_eq!(found["event_id"], "e1");
}
