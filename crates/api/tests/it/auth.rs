//! I5: the tenant comes from the credential and nothing else.

use domain::limits::Limits;
use domain::tenant::{Keyring, TenantId};
use serde_json::json;

use crate::harness::{KEY_A, KEY_B, TestApi};

const EVENT: &str = r#"{"id": "e1", "customer": "c", "timestamp": "2026-11-21T10:00:00Z"}"#;

#[tokio::test]
async fn i5_a_key_in_either_header_opens_its_own_tenant() {
    let api = TestApi::start().await;
    let bearer = format!("Bearer {KEY_A}");
    let taken = api.send("POST", "/v1/events?wait=applied", &[("authorization", &bearer)], EVENT).await.json(202);
    assert_eq!(taken["accepted"], 1);
    for headers in [
        [("authorization", bearer.as_str())],
        [("x-api-key", KEY_A)],
        [("authorization", &bearer.replace("Bearer", "bearer"))],
    ] {
        let found = api.send("GET", "/v1/events/e1", &headers, "").await.json(200);
        assert_eq!(found["tenant"], "a");
    }
    api.send("GET", "/v1/events/e1", &[("x-api-key", KEY_B)], "").await.problem(404);
    api.get("/v1/events/e1").await.problem(404);
    for path in ["/v1/events", "/v1/windows", "/v1/customers"] {
        let listed = api.send("GET", path, &[("x-api-key", KEY_B)], "").await.json(200);
        assert_eq!(listed, json!({"data": [], "next_cursor": null}), "{path}");
    }
    api.send("GET", "/v1/customers/c/usage", &[("x-api-key", KEY_B)], "").await.problem(404);
    let receipt = format!("/v1/receipts/{}", taken["receipt"].as_str().unwrap());
    api.send("GET", &receipt, &[("x-api-key", KEY_B)], "").await.problem(404);
    assert_eq!(api.send("GET", &receipt, &[("x-api-key", KEY_A)], "").await.json(200)["status"], "applied");
}

#[tokio::test]
async fn i5_two_keys_that_differ_are_refused_whatever_their_order() {
    let api = TestApi::start().await;
    let [a, b] = [KEY_A, KEY_B].map(|key| format!("Bearer {key}"));
    for headers in [
        [("authorization", &a[..]), ("x-api-key", KEY_B)],
        [("x-api-key", KEY_B), ("authorization", &a)],
        [("authorization", &a), ("authorization", &b)],
        [("x-api-key", KEY_A), ("x-api-key", KEY_B)],
        [("authorization", &a), ("x-api-key", "nobody-has-this-key")],
    ] {
        let problem = api.send("POST", "/v1/events", &headers, EVENT).await.problem(401);
        assert!(problem["detail"].as_str().unwrap().contains("two API keys"), "{headers:?}: {problem}");
    }
    for headers in [
        [("authorization", &a[..]), ("x-api-key", KEY_A)],
        [("x-api-key", KEY_A), ("x-api-key", KEY_A)],
        [("authorization", "Basic dXNlcjpwYXNz"), ("x-api-key", KEY_A)],
        [("x-api-key", KEY_A), ("authorization", "Digest username=u")],
        [("authorization", "Basic dXNlcjpwYXNz"), ("authorization", &a)],
    ] {
        let taken = api.send("POST", "/v1/events?wait=applied", &headers, r#"{"type": "t"}"#).await.json(202);
        assert_eq!(taken["accepted"], 1, "{headers:?}");
        let events = api.send("GET", "/v1/events?limit=1", &headers, "").await.json(200);
        assert!(events["data"].as_array().unwrap().iter().all(|event| event["tenant"] == "a"), "{headers:?}");
    }
}

#[tokio::test]
async fn i5_the_same_id_of_two_tenants_is_two_events() {
    let api = TestApi::start().await;
    for key in [KEY_A, KEY_B] {
        let taken = api.send("POST", "/v1/events?wait=applied", &[("x-api-key", key)], EVENT).await.json(202);
        assert_eq!(taken["accepted"], 1);
    }
}

#[tokio::test]
async fn i5_a_foreign_tenant_in_the_body_is_refused_by_name() {
    let api = TestApi::start().await;
    let body = r#"[{"id": "mine", "tenant_id": "a"}, {"id": "theirs", "workspace_id": "b"}]"#;
    let taken = api.send("POST", "/v1/events", &[("x-api-key", KEY_A)], body).await.json(202);
    assert_eq!((&taken["accepted"], &taken["rejected"]), (&json!(1), &json!(1)));
    assert_eq!(taken["results"][1]["status"], "rejected");
    assert_eq!(taken["results"][1]["code"], "tenant_mismatch");
}

#[tokio::test]
async fn a_request_without_a_valid_key_is_told_how_to_send_one() {
    let mut keyring = Keyring::new();
    keyring.add(TenantId::parse("a").unwrap(), KEY_A).unwrap();
    let api = TestApi::with_keys(Limits::default(), keyring).await;
    let bad: [&[(&str, &str)]; 7] = [
        &[],
        &[("authorization", "Bearer nobody-has-this-key")],
        &[("authorization", "Basic dXNlcjpwYXNz")],
        &[("authorization", KEY_A)],
        &[("x-api-key", "")],
        &[("authorization", "Bearer nobody-has-this-key"), ("x-api-key", KEY_A)],
        &[("authorization", "Basic dXNlcjpwYXNz"), ("x-api-key", "nobody-has-this-key")],
    ];
    for headers in bad {
        for (method, path) in
            [("GET", "/v1/events"), ("POST", "/v1/events"), ("POST", "/events"), ("GET", "/v1/windows")]
        {
            let refused = api.send(method, path, headers, "").await;
            let problem = refused.problem(401);
            assert_eq!(problem["type"], "urn:nilometer:problem:unauthorized");
            assert!(refused.header("www-authenticate").starts_with("Bearer"), "{headers:?}");
        }
    }
    for path in ["/healthz", "/livez", "/readyz", "/metrics", "/openapi.json", "/docs/"] {
        assert_eq!(api.get(path).await.status, 200, "{path} needs no key");
    }
}
