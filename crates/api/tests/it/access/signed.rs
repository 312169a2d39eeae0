//! Signed requests.

use std::time::Duration;

use access::signatures::{SigningSecret, sign};
use api::{BasePath, WebOptions};
use domain::limits::Limits;
use domain::tenant::Keyring;
use serde_json::{Value, json};

use super::cast::Cast;
use crate::harness::{KEY_A, Reach, Reply, TestApi};

async fn post(cast: &Cast, signature: &str, target: &str, body: &str) -> Reply {
    let headers = [("nilometer-signature", signature), ("content-type", "application/json")];
    cast.api.send("POST", target, &headers, body.to_owned()).await
}

async fn secret(cast: &Cast, fields: Value) -> SigningSecret {
    let made = cast.ask("admin", "POST", "/v1/signing-secrets", fields).await.json(201);
    SigningSecret::parse(made["secret"].as_str().unwrap()).unwrap()
}

#[tokio::test]
async fn f41_a_captured_request_counts_once_and_not_after_its_time() {
    let cast = Cast::new().await;
    let secret = secret(&cast, json!({"name": "n"})).await;
    let (target, body) = ("/v1/events?wait=applied", r#"[{"type": "t"}, {"type": "t"}]"#);
    let signature = sign(&secret, cast.api.access.now(), "POST", target, body.as_bytes()).unwrap().to_string();
    assert_eq!(post(&cast, &signature, target, body).await.json(202)["accepted"], 2);
    for _ in 0..3 {
        let again = post(&cast, &signature, target, body).await.json(202);
        assert_eq!(
            (&again["accepted"], &again["duplicates"]),
            (&json!(2), &json!(0)),
            "answered as the first time: {again}"
        );
    }
    // Found in November 2026: with a header that is not signed, it counted again.
    let headers =
        [("nilometer-signature", &*signature), ("content-type", "application/json"), ("idempotency-key", "another")];
    assert_eq!(cast.api.send("POST", target, &headers, body).await.problem(400)["field"], "Idempotency-Key");
    let events = cast.ask("member", "GET", "/v1/events", Value::Null).await.json(200);
    assert_eq!(events["data"].as_array().unwrap().len(), 2, "{events}");

    for (target, body) in
        [("/v1/events", body), (target, r#"[{"type": "t"}, {"type": "u"}]"#), ("/v1/ingest?wait=applied", body)]
    {
        post(&cast, &signature, target, body).await.problem(401);
    }
    let (head, tail) = signature.split_at(signature.len() - 1);
    let flipped = format!("{head}{}", if tail == "0" { "1" } else { "0" });
    post(&cast, &flipped, target, body).await.problem(401);
    cast.api.clock.advance(Duration::from_secs(301));
    assert_eq!(post(&cast, &signature, target, body).await.problem(400)["field"], "Nilometer-Signature");
    for bad in ["", "t=1", "t=x,k=a,v1=b", "v1=00"] {
        assert_eq!(post(&cast, bad, target, body).await.problem(400)["field"], "Nilometer-Signature", "{bad}");
    }
}

#[tokio::test]
async fn a_signature_sends_events_of_its_project_and_reads_nothing() {
    let cast = Cast::new().await;
    cast.ask("admin", "POST", "/v1/projects", json!({"id": "web"})).await.json(201);
    let secret = secret(&cast, json!({"name": "n", "project": "web"})).await;
    let now = cast.api.access.now();
    let signed = |method: &str, target: &str, body: &str| {
        sign(&secret, now, method, target, body.as_bytes()).unwrap().to_string()
    };
    let body = r#"[{"id": "e1"}, {"id": "e2", "project": "app"}]"#;
    let sent = post(&cast, &signed("POST", "/v1/events", body), "/v1/events", body).await.json(202);
    assert_eq!((&sent["accepted"], &sent["rejected"]), (&json!(1), &json!(1)));
    for path in ["/v1/events", "/v1/customers", "/v1/keys"] {
        let headers = [("nilometer-signature", &*signed("GET", path, ""))];
        cast.api.send("GET", path, &headers, "").await.problem(403);
    }
    let both = [("nilometer-signature", &*signed("POST", "/v1/events", body)), ("x-api-key", "another-credential")];
    cast.api.send("POST", "/v1/events", &both, body).await.problem(400);
    let listed = cast.ask("admin", "GET", "/v1/signing-secrets", Value::Null).await;
    assert!(!listed.text().contains("nms_"), "{}", listed.text());
    let path = format!("/v1/signing-secrets/{}", secret.id());
    cast.ask("admin", "DELETE", &path, Value::Null).await.json(200);
    let other = r#"{"id": "e3"}"#;
    post(&cast, &signed("POST", "/v1/events", other), "/v1/events", other).await.problem(401);
}

/// Found in November 2026: receipts were answered before any signature was held against anything.
#[tokio::test]
async fn f40_a_signature_opens_nothing_but_what_it_is_held_against() {
    let cast = Cast::new().await;
    let secret = secret(&cast, json!({"name": "n"})).await;
    let now = cast.api.access.now().micros() / 1_000_000;
    let forged = format!("t={now},k={},v1={}", secret.id(), "0".repeat(64));
    let routes =
        [("GET", "/v1/receipts/x"), ("GET", "/v1/customers"), ("GET", "/v1/auth/me"), ("GET", "/v1/workspaces")];
    for (method, path) in routes {
        let refused = cast.api.send(method, path, &[("nilometer-signature", &forged)], "").await.problem(403);
        assert_eq!(refused["field"], "Nilometer-Signature", "{path}");
    }
    let refused = post(&cast, &forged, "/v1/events", r#"{"id": "e"}"#).await.problem(401);
    assert!(refused["detail"].as_str().unwrap().contains("does not fit"), "{refused}");
    // Nobody writes to the log of a workspace by naming its secret.
    let logged = cast.ask("admin", "GET", "/v1/audit?limit=1000", Value::Null).await;
    assert!(!logged.text().contains("permission.refused"), "{}", logged.text());
}

/// Found in November 2026: a key that may not send events made a secret that may.
#[tokio::test]
async fn a_key_makes_no_secret_that_may_do_more() {
    let cast = Cast::new().await;
    let make = async |key: Value, secret: Value| {
        let key = cast.ask("owner", "POST", "/v1/keys", key).await.json(201)["key"].as_str().unwrap().to_owned();
        let bearer = format!("Bearer {key}");
        super::cast::send(&cast.api, &bearer, "POST", "/v1/signing-secrets", &[], secret).await
    };
    let (plain, end) = (json!({"name": "s"}), "2026-12-24T00:00:00Z");
    make(json!({"name": "k", "scopes": ["admin"]}), plain.clone()).await.problem(403);
    let near = json!({"name": "k", "scopes": ["admin", "ingest"], "addresses": ["127.0.0.0/8"]});
    make(near, plain.clone()).await.problem(403);
    let short = json!({"name": "k", "scopes": ["admin", "ingest"], "expires": end});
    make(short.clone(), plain.clone()).await.problem(403);
    make(short, json!({"name": "s", "expires": end})).await.json(201);
    make(json!({"name": "k", "scopes": ["admin", "ingest"]}), plain).await.json(201);
}

/// Below a path the signature is over the request line as the client has sent it, and over nothing else.
#[tokio::test]
async fn a_signature_covers_the_path_as_sent_below_a_base_path() {
    let web = WebOptions { base_path: BasePath::parse("/meter").unwrap(), ..WebOptions::default() };
    let reach = Reach { web, keys: vec![("a", KEY_A)], ..Reach::default() };
    let api = TestApi::reached(Limits::default(), Keyring::new(), reach).await;
    let json_of_a = [("x-api-key", KEY_A), ("content-type", "application/json")];
    let made = api.send("POST", "/meter/v1/signing-secrets", &json_of_a, r#"{"name": "n"}"#).await.json(201);
    let secret = SigningSecret::parse(made["secret"].as_str().unwrap()).unwrap();
    let body = r#"{"type": "t"}"#;
    let (sent, inner) = ("/meter/v1/events?wait=applied", "/v1/events?wait=applied");
    let post = async |signed: &str, target: &str| {
        let signature = sign(&secret, api.access.now(), "POST", signed, body.as_bytes()).unwrap().to_string();
        let headers = [("nilometer-signature", &*signature), ("content-type", "application/json")];
        api.send("POST", target, &headers, body).await
    };
    assert_eq!(post(sent, sent).await.json(202)["accepted"], 1);
    post(inner, sent).await.problem(401);
    // A slash at the end is left out by routes, and is signed all the same.
    api.clock.advance(Duration::from_secs(1));
    let slash = "/meter/v1/events/?wait=applied";
    post(sent, slash).await.problem(401);
    assert_eq!(post(slash, slash).await.json(202)["accepted"], 1);
    let listed = api.send("GET", "/meter/v1/events", &json_of_a, "").await.json(200);
    assert_eq!(listed["data"].as_array().unwrap().len(), 2);
}
