//! `PUT`, `PATCH` and `GET /v1/reference/users`, also under `/reference/users`.

use domain::limits::{Limits, REFERENCE_USERS_MAX};
use serde_json::json;

use crate::harness::TestApi;

const PATH: &str = "/v1/reference/users";

async fn api() -> TestApi {
    TestApi::live(Limits::default()).await
}

#[tokio::test]
async fn a_table_is_replaced_changed_and_read() {
    let api = api().await;
    let none = api.get(PATH).await;
    assert_eq!(none.text(), r#"{"generation":0,"ts":null,"users":0,"user_metadata":{}}"#);
    let table = r#"{"user_metadata": {"u-1": {"plan": "pro", "seats": 5, "ratio": 0.5, "beta": true}},
        "ts": "2025-10-08T12:00:00.000Z"}"#;
    let stored = api.send("PUT", "/reference/users", &[], table).await;
    let changed = r#"{"message":"Reference table updated successfully","generation":1,"users":1}"#;
    assert_eq!((stored.status, stored.text(), stored.header("etag")), (200, changed, "\"1\""));
    let again = api.send("PUT", PATH, &[], table).await;
    assert_eq!(again.text(), changed, "the same table at the same time is no change");
    let patch = r#"{"user_metadata": {"u-1": {"plan": "free", "beta": null}, "u-2": {}, "u-3": null}}"#;
    assert_eq!(api.send("PATCH", "/reference/users", &[], patch).await.json(200)["generation"], 2);
    for path in [PATH, "/reference/users"] {
        let read = api.get(path).await;
        assert_eq!(read.header("etag"), "\"2\"");
        assert_eq!(
            read.json(200),
            json!({
                "generation": 2, "ts": "2026-11-21T10:00:10Z", "users": 2,
                "user_metadata": {"u-1": {"plan": "free", "seats": "5", "ratio": "0.5"}, "u-2": {}},
            })
        );
    }
    for (kind, status) in [
        ("application/x-www-form-urlencoded", 200),
        ("application/json; charset=\"UTF-8\"", 200),
        ("text/plain; charset=latin1", 415),
    ] {
        let same = r#"{"user_metadata": {}}"#;
        assert_eq!(api.send("PATCH", PATH, &[("content-type", kind)], same).await.status, status, "{kind}");
    }
    assert_eq!(api.send("GET", PATH, &[("if-none-match", "\"2\"")], "").await.status, 304);
}

#[tokio::test]
async fn a_table_of_any_size_is_read_whole() {
    let api = api().await;
    for users in [1, 511, 512, 513, 1_024, 5_000] {
        let known = |n: usize| (format!("u\"{n:05}"), json!({"plan": (n % 3).to_string(), "own": n.to_string()}));
        let table: serde_json::Map<_, _> = (0..users).map(known).collect();
        let body = json!({"user_metadata": table, "ts": format!("2026-02-01T00:00:00.{users:06}Z")});
        api.send("PUT", PATH, &[], body.to_string()).await.json(200);
        let read = api.get(PATH).await.json(200);
        assert_eq!((&read["user_metadata"], &read["users"]), (&json!(table), &json!(users)));
    }
}

#[tokio::test]
async fn what_is_stale_or_made_for_another_generation_is_refused() {
    let api = api().await;
    let table = |plan: &str, ts: &str| format!(r#"{{"user_metadata": {{"u": {{"plan": "{plan}"}}}}, "ts": "{ts}"}}"#);
    api.send("PUT", PATH, &[], table("pro", "2025-10-08T12:00:00Z")).await.json(200);
    for (plan, ts) in [("pro", "2025-10-08T11:59:59Z"), ("free", "2025-10-08T12:00:00Z")] {
        let problem = api.send("PUT", PATH, &[], table(plan, ts)).await.problem(409);
        assert_eq!(problem["field"], "ts", "{problem}");
    }
    let newer = table("free", "2025-10-08T13:00:00Z");
    for tag in ["\"2\"", "\"0\"", "1", "\"x\"", "W/\"1\""] {
        for (method, body) in [("PUT", newer.as_str()), ("PATCH", r#"{"user_metadata": {}}"#)] {
            let problem = api.send(method, PATH, &[("if-match", tag)], body.to_owned()).await.problem(412);
            assert_eq!(problem["field"], "If-Match", "{problem}");
        }
    }
    assert_eq!(api.get(PATH).await.json(200)["generation"], 1);
    assert_eq!(api.send("PUT", PATH, &[("if-match", "\"1\"")], newer).await.json(200)["generation"], 2);
}

#[tokio::test]
async fn i9_a_body_that_is_no_table_is_refused_with_its_place() {
    let api = api().await;
    let ts = r#""ts": "2026-01-01T00:00:00Z""#;
    let long = "x".repeat(300);
    for (body, status, field) in [
        (String::new(), 400, Some("body")),
        ("{".to_owned(), 400, Some("body")),
        ("[]".to_owned(), 400, Some("body")),
        (format!("{{{ts}}}"), 400, Some("user_metadata")),
        (r#"{"user_metadata": {}}"#.to_owned(), 400, Some("ts")),
        (r#"{"user_metadata": {}, "ts": "soon"}"#.to_owned(), 400, Some("ts")),
        (r#"{"user_metadata": {}, "ts": null}"#.to_owned(), 400, Some("ts")),
        (r#"{"user_metadata": {}, "ts": {}}"#.to_owned(), 400, Some("ts")),
        (format!(r#"{{"user_metadata": {{}}, {ts}, {ts}}}"#), 400, Some("ts")),
        (format!(r#"{{"user_metadata": {{}}, "users": {{}}, {ts}}}"#), 400, Some("users")),
        (format!(r#"{{"user_metadata": [], {ts}}}"#), 400, Some("user_metadata")),
        (format!(r#"{{"user_metadata": {{"u": 5}}, {ts}}}"#), 400, Some("user_metadata.u")),
        (format!(r#"{{"user_metadata": {{"u": null}}, {ts}}}"#), 400, Some("user_metadata.u")),
        (format!(r#"{{"user_metadata": {{"u": {{"a": null}}}}, {ts}}}"#), 400, Some("user_metadata.u.a")),
        (format!(r#"{{"user_metadata": {{"u": {{"a": [1]}}}}, {ts}}}"#), 400, Some("user_metadata.u.a")),
        (format!(r#"{{"user_metadata": {{"u": {{"a": {{}}}}}}, {ts}}}"#), 400, Some("user_metadata.u.a")),
        (format!(r#"{{"user_metadata": {{"u": {{"a": 1, "a": 2}}}}, {ts}}}"#), 400, Some("user_metadata.u.a")),
        (format!(r#"{{"user_metadata": {{"u": {{}}, "v": {{}}, "u": {{}}}}, {ts}}}"#), 400, Some("user_metadata.u")),
        (format!(r#"{{"user_metadata": {{"u": {{"a b": 1}}}}, {ts}}}"#), 400, Some("user_metadata.u")),
        (format!(r#"{{"user_metadata": {{"": {{}}}}, {ts}}}"#), 400, Some("user_metadata")),
        (format!(r#"{{"user_metadata": {{"u": {{"a": "{long}"}}}}, {ts}}}"#), 400, Some("user_metadata.u.a")),
        (format!(r#"{{"user_metadata": {{"{long}": {{}}}}, {ts}}}"#), 400, Some("user_metadata")),
        (format!(r#"{{"user_metadata": {{}}, {ts}}} x"#), 400, Some("body")),
    ] {
        let problem = api.send("PUT", PATH, &[], body.clone()).await.problem(status);
        assert_eq!(problem["field"].as_str(), field, "{body}: {problem}");
    }
    let gzip = api.send("PUT", PATH, &[("content-encoding", "gzip")], "x").await;
    gzip.problem(415);
    assert_eq!(api.get(PATH).await.json(200)["generation"], 0);
}

#[tokio::test]
async fn i6_too_many_users_values_or_bytes_are_refused() {
    let api = api().await;
    let ts = r#""ts": "2026-01-01T00:00:00Z""#;
    let users: Vec<String> = (0..=REFERENCE_USERS_MAX).map(|n| format!("\"{n}\":{{}}")).collect();
    let many = format!("{{\"user_metadata\":{{{}}},{ts}}}", users.join(","));
    assert_eq!(api.send("PUT", PATH, &[], many).await.problem(413)["field"], "user_metadata");
    let attributes: Vec<String> = (0..33).map(|n| format!("\"a{n}\":1")).collect();
    let wide = format!("{{\"user_metadata\":{{\"u\":{{{}}}}},{ts}}}", attributes.join(","));
    assert_eq!(api.send("PUT", PATH, &[], wide).await.problem(413)["field"], "user_metadata.u");
    let values: Vec<String> = (0..10_001).map(|n| format!("\"u{n}\":{{\"seat\":{n}}}")).collect();
    let distinct = format!("{{\"user_metadata\":{{{}}},{ts}}}", values.join(","));
    assert_eq!(api.send("PUT", PATH, &[], distinct).await.problem(413)["field"], "seat");
    api.send("PUT", PATH, &[], vec![b' '; (64 << 20) + 1]).await.problem(413);
}
