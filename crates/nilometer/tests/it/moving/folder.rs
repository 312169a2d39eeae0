//! A folder in which everything happened: several workspaces with people and keys, late events, erasures, retention,
//! a quota, a reference table, another zone, a request with a key.

use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::faults::wait;
use crate::harness::{Server, run, stderr, stdout};

const WAIT_MAX: Duration = Duration::from_secs(60);
const JSON: (&str, &str) = ("content-type", "application/json");

/// The folder of a stopped server.
pub(super) struct Filled {
    data: TempDir,
    pub(super) acme_key: String,
    pub(super) beta_key: String,
    pub(super) acme_events: u32,
}

impl Filled {
    pub(super) fn path(&self) -> String {
        self.data.path().to_str().unwrap().to_owned()
    }

    /// Serves it once more.
    pub(super) fn send_more(&self) {
        let server = Server::start(self.data.path());
        assert_eq!(server.post("/v1/events?wait=applied", json!({"id": "one more"}).to_string()).0, 202);
        server.stop();
    }
}

pub(super) fn fill() -> Filled {
    fill_with(2_000)
}

/// With so many events in the largest workspace.
pub(super) fn fill_with(acme_events: u32) -> Filled {
    let data = tempfile::tempdir().unwrap();
    let at = data.path().to_str().unwrap();
    admin(&["admin", "create-workspace", "acme", "--owner", "ann@example.com", "--data", at]);
    for workspace in ["beta", "zeta"] {
        admin(&["admin", "create-workspace", workspace, "--data", at]);
    }
    let key = |workspace: &str| {
        let scopes = "ingest,read,admin";
        let made =
            admin(&["admin", "create-key", "--workspace", workspace, "--name", "k", "--scope", scopes, "--data", at]);
        made["key"].as_str().unwrap().to_owned()
    };
    let (acme_key, beta_key, zeta_key) = (key("acme"), key("beta"), key("zeta"));
    let server = Server::with(data.path(), &["--retention-delay-sec", "0"]);
    // What is in the ledger before the zone is chosen is counted again.
    send(&server, &acme_key, (0..acme_events / 2).map(|n| call("acme", n)));
    change(&server, &acme_key, "PATCH", "/v1/settings", &json!({"timezone": "Asia/Kolkata"}));
    change(&server, &acme_key, "POST", "/v1/projects", &json!({"id": "web", "name": "The web"}));
    change(&server, &beta_key, "PATCH", "/v1/settings", &json!({"retention_days": 30}));
    send(&server, &beta_key, (0..40).map(|n| call("beta", n)));
    send(&server, &zeta_key, (0..5).map(|n| call("zeta", n)));
    fill_default(&server);
    let (status, _) = with_key(
        &server,
        &acme_key,
        &[("idempotency-key", "first")],
        ("POST", "/v1/events?wait=applied"),
        &Value::from((acme_events / 2..acme_events).map(|n| call("acme", n)).collect::<Vec<_>>()),
    );
    assert_eq!(status, 202);
    let old = || server_events(&server, &beta_key);
    assert!(wait::until(WAIT_MAX, || old() < 40), "retention drops what is old");
    server.stop();
    Filled { data, acme_key, beta_key, acme_events }
}

/// The tenant of requests without a key: a quota, a reference table, an erased user and an erased customer.
fn fill_default(server: &Server) {
    let quota =
        json!({"customer": "limited", "measure": "events", "period": "month", "limit": 1_000_000, "hard": true});
    assert_eq!(server.send("PUT", "/v1/workspaces/default/quotas", &[JSON], quota.to_string()).0, 200);
    let table = json!({"ts": "2026-01-01T00:00:00Z", "user_metadata": {"ann": {"plan": "pro"}}});
    assert_eq!(server.send("PUT", "/v1/reference/users", &[JSON], table.to_string()).0, 200);
    let event = |n: u32| {
        let (customer, user) = (["limited", "free", "other"][n as usize % 3], ["ann", "eve", "bob"][n as usize % 3]);
        json!({"id": format!("d{n}"), "customer": customer, "user": user, "type": "call", "tokens": n,
            "endpoint": "/chat", "model": "m", "time": format!("2026-10-{:02}T10:00:{:02}Z", 1 + n % 9, n % 60)})
    };
    let events: Vec<_> = (0..60).map(event).collect();
    assert_eq!(server.post("/v1/events?wait=applied", Value::from(events).to_string()).0, 202);
    for (key, body) in [
        ("user", json!({"kind": "user", "id": "eve", "block": true})),
        ("customer", json!({"kind": "customer", "id": "other", "block": false})),
    ] {
        let headers = [JSON, ("idempotency-key", key)];
        assert_eq!(server.send("POST", "/v1/erasures", &headers, body.to_string()).0, 202);
    }
    let done = || {
        let (_, list) = server.get("/v1/erasures");
        let all = list["data"].as_array().unwrap();
        all.len() == 2 && all.iter().all(|erasure| erasure["status"] == "done")
    };
    assert!(wait::until(WAIT_MAX, done), "{:?}", server.get("/v1/erasures"));
    // Without a time of its own: neither old nor late.
    assert_eq!(server.post("/v1/events?wait=applied", json!({"id": "now", "user": "bob"}).to_string()).0, 202);
}

/// An event that is old and so late; but of beta only every second one is, and beyond its retention.
fn call(workspace: &str, n: u32) -> Value {
    let (day, second) = (1 + n / 7 % 28, n % 60);
    let mut event = json!({"id": format!("{workspace}-{n}"), "customer": format!("c{}", n % 5), "user": format!("u{}", n % 11),
        "type": format!("t{}", n % 3), "project": (["web", ""][n as usize % 2]), "endpoint": format!("/e{}", n % 4),
        "model": "m", "tokens": n, "latency_ms": 1.5, "properties": {"n": n, "text": "é\u{0}"},
        "time": format!("2026-03-{day:02}T08:00:{second:02}Z")});
    if workspace == "beta" && !n.is_multiple_of(2) {
        event["time"] = Value::Null;
    }
    event
}

fn send(server: &Server, key: &str, events: impl Iterator<Item = Value>) {
    let events: Vec<_> = events.collect();
    let (status, told) = with_key(server, key, &[], ("POST", "/v1/events?wait=applied"), &Value::from(events));
    assert_eq!(status, 202, "{told}");
}

fn change(server: &Server, key: &str, method: &str, path: &str, body: &Value) {
    let (status, told) = with_key(server, key, &[], (method, path), body);
    assert!(matches!(status, 200 | 201), "{path}: {told}");
}

fn server_events(server: &Server, key: &str) -> usize {
    with_key(server, key, &[], ("GET", "/v1/events?limit=100"), &Value::Null).1["data"].as_array().unwrap().len()
}

fn with_key(
    server: &Server,
    key: &str,
    more: &[(&str, &str)],
    (method, path): (&str, &str),
    body: &Value,
) -> (u16, Value) {
    let bearer = format!("Bearer {key}");
    let headers = [&[("authorization", bearer.as_str()), JSON], more].concat();
    server.send(method, path, &headers, if body.is_null() { String::new() } else { body.to_string() })
}

/// The answer of a command that succeeds.
fn admin(args: &[&str]) -> Value {
    let output = run(args);
    assert_eq!(output.status.code(), Some(0), "{args:?}: {}", stderr(&output));
    serde_json::from_str(stdout(&output)).unwrap()
}
