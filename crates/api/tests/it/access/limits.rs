//! Limits on what comes in: who is counted with whom, what is refused before its body is read, and who sets limits.

use std::time::Duration;

use access::signatures::{SigningSecret, sign};
use domain::limits::Limits;
use domain::rate::{Rate, ServerRates};
use domain::tenant::Keyring;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::cast::{Cast, by, new_key, tenant};
use crate::harness::{Reach, Reply, TestApi};
use domain::access::rights::KeyScope;

const SECOND: Duration = Duration::from_secs(1);

async fn limited(rates: ServerRates) -> Cast {
    Cast::limited(Limits { rates, ..Limits::default() }, Reach::default()).await
}

fn rate(number: u64) -> Option<Rate> {
    Rate::new(number).ok()
}

async fn limit(cast: &Cast, path: &str, fields: Value) -> Value {
    cast.ask("operator", "PATCH", path, fields).await.json(200)
}

/// Checks everything that all refusals for their number have.
fn refused(reply: &Reply, scope: &str, field: &str) -> u64 {
    let problem = reply.problem(429);
    assert_eq!(problem["type"], "urn:nilometer:problem:rate-limited", "{problem}");
    assert_eq!(problem["field"], field);
    let retry_after: u64 = reply.header("retry-after").parse().unwrap();
    assert_eq!(reply.header("ratelimit"), format!("\"{scope}\";r=0;t={retry_after}"));
    assert!(reply.header("ratelimit-policy").starts_with(&format!("\"{scope}\";q=")), "{:?}", reply.headers);
    assert_eq!(reply.header("x-ratelimit-remaining"), "0");
    assert_eq!(reply.header("x-ratelimit-reset"), retry_after.to_string());
    assert!(reply.headers.contains_key("x-ratelimit-limit"));
    retry_after
}

async fn refusals(cast: &Cast, scope: &str) -> String {
    let metrics = cast.api.get("/metrics").await;
    let name = format!("rate_limit_exceeded_total{{scope=\"{scope}\"}} ");
    let line = metrics.text().lines().find_map(|line| line.strip_prefix(&name)).map(str::to_owned);
    line.unwrap_or_else(|| panic!("no {name} in {}", metrics.text()))
}

async fn send(cast: &Cast, caller: &str, path: &str, events: usize) -> Reply {
    let body: Vec<_> = (0..events).map(|_| json!({"type": "t"})).collect();
    cast.ask(caller, "POST", path, json!(body)).await
}

#[tokio::test]
async fn i6_a_key_that_asks_too_often_is_refused_on_its_own_and_answers_say_how_it_stands() {
    let cast = limited(ServerRates { key_requests: rate(2), ..ServerRates::default() }).await;
    let first = cast.ask("key read", "GET", "/v1/events", Value::Null).await;
    assert_eq!(first.status, 200);
    assert_eq!(first.header("ratelimit-policy"), r#""key";q=20;w=10"#);
    assert_eq!(first.header("ratelimit"), r#""key";r=19;t=1"#);
    assert_eq!(
        ["limit", "remaining", "reset"].map(|name| first.header(&format!("x-ratelimit-{name}"))),
        ["20", "19", "1"]
    );
    for _ in 1..20 {
        assert_eq!(cast.ask("key read", "GET", "/v1/windows", Value::Null).await.status, 200);
    }
    // Also where no route is, and where nothing is needed.
    for path in ["/v1/events", "/nowhere", "/"] {
        let reply = cast.ask("key read", "GET", path, Value::Null).await;
        assert_eq!(refused(&reply, "key", "Authorization"), 1, "{path}");
    }
    assert_eq!(refusals(&cast, "key").await, "3");
    assert_eq!(send(&cast, "key ingest", "/v1/events", 1).await.status, 202, "another key");
    assert_eq!(cast.ask("viewer", "GET", "/v1/windows", Value::Null).await.status, 200, "a person");
    for _ in 0..50 {
        assert_eq!(cast.ask("operator", "GET", "/v1/workspaces", Value::Null).await.status, 200, "who sets the limits");
    }
    cast.api.clock.advance(SECOND);
    for _ in 0..2 {
        assert_eq!(cast.ask("key read", "GET", "/v1/events", Value::Null).await.status, 200);
    }
    assert_eq!(cast.ask("key read", "GET", "/v1/events", Value::Null).await.status, 429);
}

#[tokio::test]
async fn i6_what_shows_no_valid_credential_counts_for_its_address_and_for_nobody_else() {
    let cast = limited(ServerRates { address_requests_per_min: rate(24), ..ServerRates::default() }).await;
    for bad in ["nm_test_nobody", "key-that-nobody-has"] {
        for _ in 0..8 {
            let headers = [("authorization", &*format!("Bearer {bad}"))];
            assert_eq!(cast.api.send("GET", "/v1/events", &headers, "").await.status, 401);
        }
    }
    for path in ["/v1/events", "/nowhere", "/", "/docs/"] {
        assert_ne!(cast.api.get(path).await.status, 429, "{path}");
    }
    for path in ["/v1/events", "/nowhere", "/", "/docs/", "/openapi.json", "/v1/auth/jwks"] {
        assert_eq!(refused(&cast.api.get(path).await, "address", "Authorization"), 3, "{path}");
    }
    let login = cast.api.send("POST", "/v1/auth/login", &[("content-type", "application/json")], "{}").await;
    refused(&login, "address", "Authorization");
    for caller in ["owner", "key read", "operator"] {
        assert_ne!(cast.ask(caller, "GET", "/v1/workspace", Value::Null).await.status, 429, "{caller}");
    }
    for probe in ["/healthz", "/livez", "/readyz"] {
        for _ in 0..30 {
            assert_eq!(cast.api.get(probe).await.status, 200, "{probe}");
        }
    }
    cast.api.clock.advance(SECOND * 60);
    assert_eq!(cast.api.get("/").await.status, 200);
}

#[tokio::test]
async fn i6_a_refused_request_is_answered_before_its_body_is_there() {
    let cast = limited(ServerRates::default()).await;
    limit(&cast, "/v1/workspaces/a", json!({"events_per_sec": 1})).await;
    assert_eq!(send(&cast, "key ingest", "/v1/events", 11).await.status, 202);
    let key = cast.bearer("key ingest");
    let mut stream = TcpStream::connect(cast.api.address).await.unwrap();
    let head = format!(
        "POST /v1/events HTTP/1.1\r\nhost: localhost\r\nauthorization: {key}\r\ncontent-type: application/json\r\n\
         content-length: 1000000\r\n\r\n["
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 4_096];
    let read = tokio::time::timeout(SECOND * 20, stream.read(&mut answer)).await.unwrap().unwrap();
    let answer = String::from_utf8_lossy(&answer[..read]).into_owned();
    assert!(answer.starts_with("HTTP/1.1 429 "), "{answer}");
}

#[tokio::test]
async fn every_batch_passes_in_the_end_and_debt_is_said_on_every_route_that_takes_events() {
    let cast = limited(ServerRates { workspace_events: rate(1), ..ServerRates::default() }).await;
    let first = send(&cast, "key ingest", "/v1/events", 40).await;
    assert_eq!((first.status, first.header("ratelimit")), (202, r#""events";r=0;t=40"#));
    assert_eq!(first.header("ratelimit-policy"), r#""events";q=10;w=10;nilometer-unit="events""#);
    for path in ["/v1/events", "/v1/ingest", "/events"] {
        for caller in ["key ingest", "member"] {
            assert_eq!(refused(&send(&cast, caller, path, 1).await, "events", "body"), 31, "{caller} {path}");
        }
    }
    assert_eq!(refusals(&cast, "events").await, "6");
    assert_eq!(cast.ask("key read", "GET", "/v1/events", Value::Null).await.status, 200, "reading goes on");
    cast.api.clock.advance(SECOND * 30);
    assert_eq!(send(&cast, "key ingest", "/v1/events", 1).await.status, 429);
    cast.api.clock.advance(SECOND);
    let again = send(&cast, "key ingest", "/v1/events", 500).await.json(202);
    assert_eq!(again["accepted"], 500, "a batch of any size");
}

#[tokio::test]
async fn i5_the_limit_of_a_workspace_holds_for_all_its_requests_and_for_no_other_workspace() {
    let cast = limited(ServerRates::default()).await;
    limit(&cast, "/v1/workspaces/a", json!({"requests_per_sec": 0})).await;
    for (caller, method, path) in [
        ("key read", "GET", "/v1/events"),
        ("owner", "GET", "/v1/settings"),
        ("viewer", "GET", "/v1/live/stream"),
        ("viewer", "GET", "/v1/live/ws"),
        ("key ingest", "POST", "/v1/events"),
        ("viewer", "GET", "/stats/dau"),
    ] {
        let reply = cast.ask(caller, method, path, Value::Null).await;
        assert_eq!(refused(&reply, "workspace", "Nilometer-Workspace"), 3_600, "{caller} {path}");
        assert_eq!(reply.header("ratelimit-policy"), r#""workspace";q=0;w=10"#);
    }
    let made = cast.api.access.create_key(&by(), Some(&tenant("b")), new_key(&[KeyScope::Read]), None).await.unwrap();
    let headers = [("authorization", &*format!("Bearer {}", made.text.unwrap().expose()))];
    assert_eq!(cast.api.send("GET", "/v1/events", &headers, "").await.status, 200);
    assert_eq!(cast.ask("owner", "GET", "/v1/auth/me", Value::Null).await.status, 200, "what is of no workspace");
    limit(&cast, "/v1/workspaces/a", json!({"requests_per_sec": null})).await;
    assert_eq!(cast.ask("key read", "GET", "/v1/events", Value::Null).await.status, 200);
}

#[tokio::test]
async fn i9_a_limit_is_0_to_a_thousand_million_and_the_operator_s_to_set() {
    let cast = limited(ServerRates::default()).await;
    let fields = [("/v1/workspaces/a", "requests_per_sec"), ("/v1/workspaces/a", "events_per_sec")];
    let made = cast.api.access.create_key(&by(), Some(&tenant("a")), new_key(&[KeyScope::Read]), None).await.unwrap();
    let of_key = format!("/v1/workspaces/a/keys/{}", made.key.id);
    let text = made.text.unwrap();
    for (path, field) in fields.into_iter().chain([(&*of_key, "requests_per_sec")]) {
        for wrong in [json!(1_000_000_001), json!(-1), json!(1.5), json!("7"), json!(u64::MAX), json!([1])] {
            let problem = cast.ask("operator", "PATCH", path, json!({field: wrong})).await.problem(422);
            assert_eq!(
                (&problem["field"], &problem["type"]),
                (&json!(field), &json!("urn:nilometer:problem:out-of-range"))
            );
        }
        for right in [json!(1_000_000_000), json!(1), json!(0), json!(null)] {
            assert_eq!(limit(&cast, path, json!({field: right})).await[field], right);
        }
        for caller in ["owner", "admin", "key admin"] {
            cast.ask(caller, "PATCH", path, json!({field: 5})).await.problem(403);
        }
    }
    cast.ask("owner", "PATCH", "/v1/workspace", json!({"events_per_sec": 5})).await.problem(400);
    let own = format!("/v1/keys/{}", made.key.id);
    cast.ask("admin", "PATCH", &own, json!({"requests_per_sec": 5})).await.problem(400);

    let changed = limit(&cast, &of_key, json!({"requests_per_sec": 1})).await;
    assert_eq!(changed["version"], 6);
    let headers = [("authorization", &*format!("Bearer {}", text.expose()))];
    let mut statuses = Vec::new();
    for _ in 0..11 {
        statuses.push(cast.api.send("GET", "/v1/events", &headers, "").await.status);
    }
    assert_eq!((statuses[9], statuses[10]), (200, 429));
    let rotated = cast.ask("admin", "POST", &format!("{own}/rotate"), json!({})).await.json(201);
    assert_eq!(rotated["requests_per_sec"], 1, "a rotated key hands its limit on");
    for path in ["/v1/workspaces/b/keys", "/v1/workspaces/none/keys"] {
        let path = format!("{path}/{}", made.key.id);
        cast.ask("operator", "PATCH", &path, json!({"requests_per_sec": 1})).await.problem(404);
    }
    let log = cast.ask("owner", "GET", "/v1/audit", Value::Null).await.json(200);
    let has = |action: &str, field: &str| {
        log["data"].as_array().unwrap().iter().any(|entry| {
            entry["action"] == action && entry["after"][field] == 1 && entry["after"][field] != entry["before"][field]
        })
    };
    assert!(has("key.change", "requests_per_sec") && has("workspace.change", "events_per_sec"), "{log}");
}

/// A signature that fits nothing, over the secret of this id.
fn forged(cast: &Cast, id: &str) -> String {
    let now = cast.api.access.now().micros() / 1_000_000;
    format!("t={now},k={id},v1={}", "0".repeat(64))
}

async fn make_secret(cast: &Cast) -> SigningSecret {
    let made = cast.ask("admin", "POST", "/v1/signing-secrets", json!({"name": "n"})).await.json(201);
    SigningSecret::parse(made["secret"].as_str().unwrap()).unwrap()
}

async fn send_signed(cast: &Cast, signature: &str, body: &str, more: &[(&str, &str)]) -> Reply {
    let headers = [&[("nilometer-signature", signature), ("content-type", "application/json")][..], more].concat();
    cast.api.send("POST", "/v1/events", &headers, body.to_owned()).await
}

#[tokio::test]
async fn a_signature_that_does_not_fit_uses_up_nothing_of_the_workspace() {
    let cast = limited(ServerRates { address_requests_per_min: rate(13), ..ServerRates::default() }).await;
    limit(&cast, "/v1/workspaces/a", json!({"requests_per_sec": 1})).await;
    let made = cast.ask("admin", "POST", "/v1/signing-secrets", json!({"name": "n"})).await.json(201);
    let id = made["id"].as_str().unwrap();
    let now = cast.api.access.now().micros() / 1_000_000;
    let forged = format!("t={now},k={id},v1={}", "0".repeat(64));
    let headers = [("nilometer-signature", &*forged), ("content-type", "application/json")];
    let mut statuses = Vec::new();
    for _ in 0..12 {
        statuses.push(cast.api.send("POST", "/v1/events", &headers, r#"{"type": "t"}"#).await.status);
    }
    assert_eq!(statuses.iter().filter(|status| **status == 401).count(), 9, "{statuses:?}");
    assert_eq!(statuses.last(), Some(&429));
    // One of ten was used above.
    for _ in 0..9 {
        assert_eq!(cast.ask("key read", "GET", "/v1/events", Value::Null).await.status, 200);
    }
}

/// Found in November 2026: the refusal of a signature that did not fit showed how much the workspace had left, and counted
/// otherwise when there was no such secret.
#[tokio::test]
async fn i5_whoever_names_the_secret_of_another_is_told_nothing_of_it() {
    let rates = ServerRates {
        address_requests_per_min: rate(1_000),
        key_requests: rate(50),
        workspace_events: rate(10),
        ..ServerRates::default()
    };
    let cast = limited(rates).await;
    let secret = make_secret(&cast).await;
    let told = async |id: &str, workspace: &[(&str, &str)]| {
        let reply = send_signed(&cast, &forged(&cast, id), r#"{"type": "t"}"#, workspace).await;
        assert!(!reply.headers.keys().any(|name| name.as_str().contains("ratelimit")), "{:?}", reply.headers);
        let mut problem = reply.problem(401);
        problem.as_object_mut().unwrap().retain(|field, _| field != "instance" && field != "request_id");
        problem
    };
    let of_none = told("AAAAAAAAAAAA", &[]).await;
    let revoked = make_secret(&cast).await;
    cast.ask("admin", "DELETE", &format!("/v1/signing-secrets/{}", revoked.id()), Value::Null).await.json(200);
    let named: [&[(&str, &str)]; 3] = [&[], &[("nilometer-workspace", "a")], &[("nilometer-workspace", "b")]];
    for workspace in named {
        for id in [secret.id(), revoked.id(), "AAAAAAAAAAAA"] {
            assert_eq!(told(id, workspace).await, of_none, "{id} {workspace:?}");
        }
    }
    // Neither in debt, nor when none may come, nor when the workspace is suspended.
    assert_eq!(send(&cast, "key ingest", "/v1/events", 200).await.status, 202);
    assert_eq!(told(secret.id(), &[]).await, of_none);
    limit(&cast, "/v1/workspaces/a", json!({"requests_per_sec": 0})).await;
    assert_eq!(told(secret.id(), &[]).await, of_none);
    limit(&cast, "/v1/workspaces/a", json!({"requests_per_sec": null, "status": "suspended"})).await;
    assert_eq!(told(secret.id(), &[]).await, of_none);
    limit(&cast, "/v1/workspaces/a", json!({"status": "active"})).await;
    // Whoever has the secret is told as any other.
    let body = r#"{"type": "t"}"#;
    let signature = sign(&secret, cast.api.access.now(), "POST", "/v1/events", body.as_bytes()).unwrap().to_string();
    refused(&send_signed(&cast, &signature, body, &[]).await, "events", "body");
    cast.api.clock.advance(SECOND * 60);
    let signature = sign(&secret, cast.api.access.now(), "POST", "/v1/events", body.as_bytes()).unwrap().to_string();
    let taken = send_signed(&cast, &signature, body, &[]).await;
    assert_eq!((taken.status, taken.header("ratelimit")), (202, r#""key";r=499;t=1, "events";r=99;t=1"#));
}

/// Found in November 2026: bodies under a signature that nobody had checked were held in the name of the workspace whose
/// secret they named.
#[tokio::test]
async fn i6_bodies_under_a_forged_signature_are_held_in_nobody_s_name() {
    let limits = Limits { body_bytes_max: 8 << 10, decoded_bytes_max: 8 << 10, ..Limits::default() };
    let cast = Cast::limited(limits, Reach::default()).await;
    let id = make_secret(&cast).await.id().to_owned();
    let head = format!(
        "POST /v1/events HTTP/1.1\r\nhost: localhost\r\nnilometer-signature: {}\r\n\
         content-type: application/json\r\ncontent-length: 8192\r\n\r\n{}",
        forged(&cast, &id),
        " ".repeat(8_191)
    );
    let mut waiting = JoinSet::new();
    for _ in 0..12 {
        let mut stream = TcpStream::connect(cast.api.address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        waiting.spawn(async move {
            let mut answer = vec![0; 4_096];
            let read = stream.read(&mut answer).await.unwrap();
            (String::from_utf8_lossy(&answer[..read]).into_owned(), stream)
        });
    }
    // None is whole, so only those are answered for which there is no more room.
    let (full, _stream) = tokio::time::timeout(SECOND * 20, waiting.join_next()).await.unwrap().unwrap().unwrap();
    assert!(full.starts_with("HTTP/1.1 503 "), "{full}");
    let body = format!("{:8192}", r#"{"type": "t"}"#);
    let headers = [("authorization", cast.bearer("key ingest")), ("content-type", "application/json".to_owned())];
    let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
    assert_eq!(
        cast.api.send("POST", "/v1/events", &headers, body).await.status,
        202,
        "the workspace has its whole share"
    );
    let login = cast.api.send("POST", "/v1/auth/login", &[("content-type", "application/json")], "{}").await;
    assert_ne!(login.status, 503, "and whoever is not known");
}

/// Found in November 2026: an address that had sent too many forged signatures was refused after the next body.
#[tokio::test]
async fn i6_after_too_many_forged_signatures_an_address_is_refused_before_the_body() {
    let cast = limited(ServerRates { address_requests_per_min: rate(60), ..ServerRates::default() }).await;
    let id = make_secret(&cast).await.id().to_owned();
    let signature = forged(&cast, &id);
    while send_signed(&cast, &signature, "{}", &[]).await.status == 401 {}
    let mut stream = TcpStream::connect(cast.api.address).await.unwrap();
    let head = format!(
        "POST /v1/events HTTP/1.1\r\nhost: localhost\r\nnilometer-signature: {signature}\r\n\
         content-type: application/json\r\ncontent-length: 1000000\r\n\r\n["
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 4_096];
    let read = tokio::time::timeout(SECOND * 20, stream.read(&mut answer)).await.unwrap().unwrap();
    let answer = String::from_utf8_lossy(&answer[..read]).into_owned();
    assert!(answer.starts_with("HTTP/1.1 429 "), "{answer}");
    assert_eq!(cast.ask("key read", "GET", "/v1/events", Value::Null).await.status, 200, "keys from there are taken");
}

/// Found in November 2026: without a key in profile `dev`, the operator was counted by address and refused.
#[tokio::test]
async fn the_operator_without_a_key_is_not_counted() {
    let rates = ServerRates { address_requests_per_min: rate(2), ..ServerRates::default() };
    let keyring = Keyring::new().with_anonymous_default();
    let api = TestApi::with_keys(Limits { rates, ..Limits::default() }, keyring).await;
    for _ in 0..5 {
        api.get("/v1/workspaces").await.json(200);
    }
    for (at, status) in [401, 401, 429].into_iter().enumerate() {
        let unknown = api.send("GET", "/v1/workspaces", &[("authorization", "Bearer nobody")], "").await;
        assert_eq!(unknown.status, status, "{at}: a wrong key is counted");
    }
}
