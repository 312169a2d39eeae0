//! The table of rights, held against every route of the API's document. A route that is added without a permission does
//! not compile; one whose permission this table does not know fails here.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::cast::{CALLERS, Cast, send};
use api::MetricsReaders;

use crate::harness::{Reach, Reply};

/// Which of [`CALLERS`] have a permission, as the documentation for people says.
const TABLE: [(&str, [bool; 8]); 13] = [
    ("aggregates:read", [true, true, true, true, false, true, false, false]),
    ("events:read", [false, true, true, true, false, true, false, false]),
    ("events:write", [false, true, true, true, true, false, false, false]),
    ("settings:read", [true, true, true, true, false, true, true, false]),
    ("reference:read", [false, true, true, true, false, true, true, false]),
    ("settings:write", [false, false, true, true, false, false, true, false]),
    ("keys", [false, false, true, true, false, false, true, false]),
    ("members", [false, false, true, true, false, false, false, false]),
    ("audit:read", [false, false, true, true, false, false, false, false]),
    ("encryption", [false, false, false, true, false, false, false, false]),
    ("decrypt", [false, false, false, true, false, false, false, false]),
    ("erase", [false, false, false, true, false, false, false, false]),
    ("server", [false, false, false, false, false, false, false, true]),
];

/// What the document says of routes that show encrypted properties in plain text to some.
const FOR_PLAIN_TEXT: &str = ", decrypt for plain text of encrypted properties";

/// A route of the document.
pub(super) struct Route {
    pub(super) method: String,
    /// With ids in it that nothing has, and parameters that end streams at once.
    pub(super) target: String,
    pub(super) needs: String,
}

pub(super) fn routes() -> Vec<Route> {
    let document = serde_json::to_value(api::document()).unwrap();
    let mut routes = Vec::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let needs = operation["x-permission"].as_str();
            let needs = needs.unwrap_or_else(|| panic!("{method} {path} does not say what it needs"));
            // What shows more to some is open to all who may read.
            let needs = needs.strip_suffix(FOR_PLAIN_TEXT).unwrap_or(needs).to_owned();
            // A window that nobody may ask for is refused after the rights are known, and no stream begins.
            let end = if path.starts_with("/v1/live") { "?window=0" } else { "" };
            let target = format!("{}{end}", path.replace("{id}", "none").replace("{workspace}", "none"));
            routes.push(Route { method: method.to_uppercase(), target, needs });
        }
    }
    assert!(routes.len() > 60, "{}", routes.len());
    // Whoever leaves has no rights from then on.
    routes.sort_by_key(|route| route.target.ends_with("/leave"));
    routes
}

fn allowed(needs: &str) -> Option<BTreeMap<&'static str, bool>> {
    let (_, row) = TABLE.iter().find(|(permission, _)| *permission == needs)?;
    Some(CALLERS.into_iter().zip(*row).collect())
}

/// Whether an answer refuses the rights of the caller, whatever else it may refuse.
fn lacks_right(reply: &Reply) -> bool {
    reply.status == 403 && reply.json(403)["detail"].as_str().unwrap().starts_with("this needs the permission")
}

pub(super) fn body(route: &Route) -> Value {
    if matches!(route.method.as_str(), "GET" | "DELETE") { Value::Null } else { json!({"no such field": 1}) }
}

#[tokio::test]
async fn every_route_is_open_to_whom_the_table_says_and_to_nobody_else() {
    let cast = Cast::new().await;
    let mut checked = 0;
    for route in routes() {
        let Some(allowed) = allowed(&route.needs) else {
            assert!(
                matches!(&*route.needs, "none" | "login" | "server, with window aggregates:read"),
                "{}",
                route.needs
            );
            continue;
        };
        for caller in CALLERS {
            let reply = cast.ask(caller, &route.method, &route.target, body(&route)).await;
            let what = format!("{caller}: {} {}: {} {}", route.method, route.target, reply.status, reply.text());
            assert_ne!(reply.status, 401, "{what}");
            assert_ne!(reply.status, 500, "{what}");
            assert_eq!(!lacks_right(&reply), allowed[caller], "{what}");
            checked += 1;
        }
    }
    assert!(checked > 400, "{checked}");
}

#[tokio::test]
async fn f37_no_route_but_the_open_ones_answers_without_a_credential_or_with_a_dead_one() {
    let cast = Cast::new().await;
    let key = |caller: &str| cast.credentials[caller].split('_').nth(2).unwrap().to_owned();
    let read = format!("/v1/keys/{}", key("key read"));
    cast.ask("key admin", "DELETE", &read, Value::Null).await.problem(403);
    for caller in CALLERS.into_iter().filter(|caller| caller.starts_with("key")) {
        let path = format!("/v1/keys/{}", key(caller));
        cast.ask("owner", "DELETE", &path, Value::Null).await.json(200);
    }
    let own = format!("/v1/server/keys/{}", key("operator"));
    cast.ask("operator", "DELETE", &own, Value::Null).await.json(200);
    for caller in ["viewer", "member", "admin", "owner"] {
        assert_eq!(cast.ask(caller, "POST", "/v1/auth/logout", Value::Null).await.status, 204);
    }
    let made_up = [String::new(), format!("{}x", cast.bearer("owner"))];
    let dead: Vec<_> = made_up.into_iter().chain(CALLERS.map(|caller| cast.bearer(caller))).collect();
    for route in routes() {
        let is_open = matches!(&*route.needs, "none" | "server, with window aggregates:read");
        for bearer in &dead {
            let reply = send(&cast.api, bearer, &route.method, &route.target, &[], body(&route)).await;
            let what = format!("{} {} with '{bearer}': {}", route.method, route.target, reply.status);
            assert_eq!(reply.status == 401, !is_open, "{what} {}", reply.text());
        }
    }
}

#[tokio::test]
async fn f36_a_foreign_workspace_is_answered_as_one_that_is_not_there() {
    let cast = Cast::new().await;
    let plain = |reply: &Reply| {
        let mut body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
        body.as_object_mut().map(|body| body.remove("request_id"));
        (reply.status, body)
    };
    for route in routes().iter().filter(|route| allowed(&route.needs).is_some() && route.needs != "server") {
        for caller in CALLERS {
            let mut answers = Vec::new();
            for named in ["b", "nowhere", "A", "ä"] {
                let headers = [("nilometer-workspace", named)];
                let reply = cast.ask_with(caller, &route.method, &route.target, &headers, body(route)).await;
                answers.push(plain(&reply));
            }
            // A key opens one workspace, and that of the operator none, whichever is named.
            let expected = if caller.starts_with("key") || caller == "operator" { 403 } else { 404 };
            assert_eq!(answers[0].0, expected, "{caller} {} {}: {:?}", route.method, route.target, answers[0]);
            assert!(answers.iter().all(|answer| *answer == answers[0]), "{caller} {}: {answers:?}", route.target);
        }
        let own = [("nilometer-workspace", "a")];
        let reply = cast.ask_with("owner", &route.method, &route.target, &own, body(route)).await;
        assert!(!matches!(reply.status, 401 | 403), "{} {}: {}", route.method, route.target, reply.text());
    }
}

#[tokio::test]
async fn a_workspace_that_is_suspended_or_being_deleted_answers_nobody_and_the_operator_can_bring_it_back() {
    let cast = Cast::new().await;
    let set = async |status: &str| {
        let changed = cast.ask("operator", "PATCH", "/v1/workspaces/a", json!({"status": status})).await.json(200);
        assert_eq!(changed["status"], status);
    };
    for status in ["suspended", "deleting"] {
        set(status).await;
        for route in routes().iter().filter(|route| allowed(&route.needs).is_some() && route.needs != "server") {
            for caller in CALLERS.into_iter().filter(|caller| *caller != "operator") {
                let reply = cast.ask(caller, &route.method, &route.target, body(route)).await;
                let refused = reply.problem(403);
                assert!(refused["detail"].as_str().unwrap().contains("suspended"), "{status} {}", route.target);
            }
        }
        set("active").await;
        cast.ask("viewer", "GET", "/v1/customers", Value::Null).await.json(200);
    }
}

#[tokio::test]
async fn metrics_in_production_are_for_the_operator_and_for_the_token() {
    let token = "a-token-for-prometheus";
    let readers = MetricsReaders::Token(Some(*blake3::hash(token.as_bytes()).as_bytes()));
    let cast = Cast::reached(Reach { metrics_readers: readers, ..Reach::default() }).await;
    let get = async |bearer: &str| send(&cast.api, bearer, "GET", "/metrics", &[], Value::Null).await.status;
    assert_eq!(get("").await, 401);
    assert_eq!(get(&format!("Bearer {token}")).await, 200);
    assert_eq!(get(&format!("Bearer {token}x")).await, 401);
    assert_eq!(get(&cast.bearer("operator")).await, 200);
    for caller in CALLERS.into_iter().filter(|caller| *caller != "operator") {
        assert_eq!(get(&cast.bearer(caller)).await, 403, "{caller}");
    }
    let window = cast.ask("viewer", "GET", "/metrics?window=0", Value::Null).await;
    assert_eq!(window.status, 400, "with a window it is a read: {}", window.text());
    cast.ask("key ingest", "GET", "/metrics?window=0", Value::Null).await.problem(403);
}
