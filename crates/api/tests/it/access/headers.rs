//! The headers that the document names as parameters, held against what routes do: a route takes a header exactly if the
//! document says so, and whatever is edited has a version. A new route without that fails here.

use serde_json::{Value, json};

use super::cast::{Cast, send};
use crate::harness::{Reply, TestApi};

/// An operation of the document.
struct Operation {
    method: String,
    /// With ids in it that nothing has, and parameters that end streams at once.
    target: String,
    path: String,
    told: Value,
}

impl Operation {
    fn takes(&self, place: &str, name: &str) -> bool {
        let all = self.told["parameters"].as_array();
        all.is_some_and(|all| all.iter().any(|one| one["in"] == place && one["name"] == name))
    }

    fn needs(&self) -> &str {
        self.told["x-permission"].as_str().unwrap()
    }

    /// Whether it acts in a workspace.
    fn is_of_workspace(&self) -> bool {
        !matches!(self.needs(), "none" | "login" | "server")
    }

    fn caller(&self) -> &'static str {
        if self.needs() == "server" { "operator" } else { "owner" }
    }

    fn body(&self) -> Value {
        if self.told["requestBody"].is_null() { Value::Null } else { json!({"no such field": 1}) }
    }

    fn what(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

fn operations() -> Vec<Operation> {
    let document = serde_json::to_value(api::document()).unwrap();
    let mut found = Vec::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, told) in operations.as_object().unwrap() {
            let end = if path.starts_with("/v1/live") || path == "/metrics" { "?window=0" } else { "" };
            let target = format!("{}{end}", path.replace("{id}", "none").replace("{workspace}", "b"));
            found.push(Operation { method: method.to_uppercase(), target, path: path.clone(), told: told.clone() });
        }
    }
    assert!(found.len() > 60, "{}", found.len());
    // Whoever leaves or logs out is refused for that from then on.
    let is_last =
        |one: &Operation| u8::from(one.path.ends_with("/leave")) + 2 * u8::from(one.path.ends_with("/logout"));
    found.sort_by_key(is_last);
    found
}

/// What a caller who may is answered: the status, and the field that is refused.
async fn asked(cast: &Cast, operation: &Operation, target: &str, headers: &[(&str, &str)]) -> (u16, String) {
    let bearer = if operation.needs() == "none" { String::new() } else { cast.bearer(operation.caller()) };
    let reply = send(&cast.api, &bearer, &operation.method, target, headers, operation.body()).await;
    let body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    (reply.status, body["field"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn whatever_is_edited_has_a_version() {
    for operation in operations() {
        let (what, takes) = (operation.what(), operation.takes("header", "If-Match"));
        let is_edit = matches!(&*operation.method, "PUT" | "PATCH" | "DELETE");
        assert!(takes || !is_edit, "{what} takes no If-Match");
        if takes {
            assert!(operation.told["responses"].get("412").is_some(), "{what} says nothing of 412");
        }
        let answers = operation.told["responses"].as_object().unwrap();
        for (status, told) in answers.iter().filter(|(status, _)| matches!(&***status, "200" | "201")) {
            assert!(!is_edit || told["headers"].get("ETag").is_some(), "{what} {status} has no ETag");
        }
        let makes =
            operation.method == "POST" && answers.contains_key("201") && operation.told["requestBody"].is_object();
        assert!(!makes || operation.takes("header", "Idempotency-Key"), "{what} cannot be repeated");
    }
}

#[tokio::test]
async fn a_route_takes_a_header_exactly_if_the_document_says_so() {
    let cast = Cast::new().await;
    let (mut versions, mut keys, mut workspaces) = (0, 0, 0);
    for operation in operations() {
        let what = operation.what();
        let version = asked(&cast, &operation, &operation.target, &[("if-match", "one")]).await;
        let takes = operation.takes("header", "If-Match");
        assert_eq!(version == (412, "If-Match".to_owned()), takes, "{what}: {version:?}");
        versions += u32::from(takes);

        let key = asked(&cast, &operation, &operation.target, &[("idempotency-key", "two words")]).await;
        let takes = operation.takes("header", "Idempotency-Key");
        assert_eq!(key == (400, "Idempotency-Key".to_owned()), takes, "{what}: {key:?}");
        keys += u32::from(takes);

        let two = [("nilometer-workspace", "a"), ("nilometer-workspace", "b")];
        let named = asked(&cast, &operation, &operation.target, &two).await;
        let takes = operation.takes("header", "Nilometer-Workspace");
        assert_eq!(named == (400, "Nilometer-Workspace".to_owned()), takes, "{what}: {named:?}");
        assert_eq!(takes, operation.is_of_workspace(), "{what}");
        workspaces += u32::from(takes);

        let separator = if operation.target.contains('?') { '&' } else { '?' };
        let target = format!("{}{separator}workspace=nowhere", operation.target);
        let named = asked(&cast, &operation, &target, &[]).await;
        let takes = operation.takes("query", "workspace");
        assert_eq!(named == (404, "Nilometer-Workspace".to_owned()), takes, "{what}: {named:?}");
        assert_eq!(takes, matches!(&*operation.path, "/v1/live/stream" | "/v1/live/ws"), "{what}");
    }
    assert!(versions > 15 && keys > 10 && workspaces > 50, "{versions} {keys} {workspaces}");
}

/// Two changes that know the same version: one counts, whatever is changed.
#[tokio::test]
async fn of_two_changes_of_one_version_of_the_settings_one_counts() {
    let cast = Cast::new().await;
    let read = async || {
        let reply = cast.ask("owner", "GET", "/v1/settings", Value::Null).await;
        let tag = reply.header("etag").to_owned();
        assert_eq!(tag, format!("\"{}\"", reply.json(200)["version"]));
        tag
    };
    for round in 0..8 {
        let tag = read().await;
        let change = async |caller: &str, seconds: u32| {
            let body = json!({"max_lateness_sec": seconds});
            let reply = cast.ask_with(caller, "PATCH", "/v1/settings", &[("if-match", &tag)], body).await;
            (reply.status, reply.header("etag").to_owned())
        };
        let (one, two) = tokio::join!(change("owner", 10 + round), change("admin", 50 + round));
        let now = read().await;
        assert_ne!(tag, now);
        let mut both = [one.clone(), two.clone()];
        both.sort_unstable();
        assert_eq!(both, [(200, now), (412, String::new())], "{one:?} {two:?}");
    }
    let tag = read().await;
    let zone = json!({"timezone": "Asia/Tokyo", "week_start": "sunday"});
    let stale = cast.ask_with("owner", "PATCH", "/v1/settings", &[("if-match", "\"7\"")], zone.clone()).await;
    assert_eq!(stale.problem(412)["field"], "If-Match");
    let changed = cast.ask_with("owner", "PATCH", "/v1/settings", &[("if-match", &tag)], zone.clone()).await.json(200);
    assert_eq!((&changed["timezone"], &changed["week_start"]), (&json!("Asia/Tokyo"), &json!("sunday")));
    assert_ne!(read().await, tag);
    cast.ask_with("owner", "PATCH", "/v1/settings", &[("if-match", &tag)], zone).await.problem(412);
    let any = cast.ask_with("owner", "PATCH", "/v1/settings", &[("if-match", "*")], json!({"timezone": "UTC"})).await;
    assert_eq!(any.json(200)["timezone"], "UTC");
}

#[tokio::test]
async fn an_invitation_of_another_version_is_not_withdrawn() {
    let cast = Cast::new().await;
    let new = json!({"email": "x@example.com", "role": "viewer"});
    let made = cast.ask("admin", "POST", "/v1/invitations", new).await;
    assert_eq!(made.header("etag"), "\"1\"");
    let made = made.json(201);
    assert_eq!(made["version"], 1);
    let path = format!("/v1/invitations/{}", made["id"].as_str().unwrap());
    let withdraw = async |tag: &str| cast.ask_with("admin", "DELETE", &path, &[("if-match", tag)], Value::Null).await;
    assert_eq!(withdraw("\"2\"").await.problem(412)["field"], "If-Match");
    let listed = cast.ask("admin", "GET", "/v1/invitations", Value::Null).await.json(200);
    assert_eq!(listed["data"].as_array().unwrap().len(), 1);
    assert_eq!(withdraw("\"1\"").await.status, 204);
    withdraw("\"1\"").await.problem(404);
}

/// Found in November 2026: answers in which nobody had entered a workspace did not say that a key and the workspace that is
/// named make another one.
#[tokio::test]
async fn answers_to_credentials_vary_by_them() {
    let cast = Cast::new().await;
    let check = |reply: &Reply, what: &str| {
        let told = reply.headers.get_all("vary").iter().map(|value| value.to_str().unwrap().to_ascii_lowercase());
        let told: Vec<_> = told.flat_map(|value| value.split(", ").map(str::to_owned).collect::<Vec<_>>()).collect();
        for name in ["authorization", "x-api-key", "cookie", "nilometer-workspace"] {
            assert!(told.iter().any(|told| told == name), "{what}: {} {told:?}", reply.status);
        }
    };
    for operation in operations() {
        let what = operation.what();
        let ask = async |bearer: &str, headers: &[(&str, &str)]| {
            send(&cast.api, bearer, &operation.method, &operation.target, headers, operation.body()).await
        };
        if operation.needs() != "none" && operation.path != "/metrics" {
            let refused = ask("", &[]).await;
            assert_eq!(refused.status, 401, "{what}");
            check(&refused, &what);
        }
        for headers in [("x-api-key", "another-key"), ("nilometer-workspace", "nowhere"), ("cookie", "nm=x")] {
            check(&ask("", &[headers]).await, &what);
        }
        check(&ask(&cast.bearer(operation.caller()), &[]).await, &what);
    }
    let dev = TestApi::start().await;
    let foreign = dev.send("GET", "/v1/customers", &[("nilometer-workspace", "nowhere")], "").await;
    assert!(matches!(foreign.status, 403 | 404), "{}", foreign.text());
    check(&foreign, "dev");
    check(&dev.get("/v1/customers").await, "dev without anything");
    assert_eq!(dev.get("/healthz").await.header("vary"), "", "what is for everybody is one answer");
}
