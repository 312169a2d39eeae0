//! Erasures over HTTP. That they erase is shown where the store is; here, who may ask, for what, and what is answered.

use std::time::Duration;

use domain::access::rights::Role;
use domain::tenant::TenantScope;
use ports::ErrorKind;
use ports::erasures::Erasures;
use ports::register::Register;
use ports::testing::manifest::FaultPoint;
use serde_json::{Value, json};

use super::cast::{Cast, person, send, tenant};
use crate::harness::TestApi;

async fn filled() -> Cast {
    let cast = Cast::new().await;
    let events = json!([
        {"id": "1", "customer": "c", "user": "u", "type": "call", "tokens": 3},
        {"id": "2", "customer": "d", "user": "u", "type": "call", "tokens": 4},
        {"id": "3", "customer": "d", "user": "v", "type": "call", "tokens": 5},
    ]);
    cast.ask("member", "POST", "/v1/events?wait=applied", events).await.json(202);
    cast
}

#[tokio::test]
async fn an_owner_erases_a_customer_once_however_often_it_is_asked_for() {
    let cast = filled().await;
    let ask = async |key: &str, body: Value| {
        cast.ask_with("owner", "POST", "/v1/erasures", &[("idempotency-key", key)], body).await
    };
    let body = json!({"kind": "customer", "id": "c", "block": true});
    cast.ask("admin", "POST", "/v1/erasures", body.clone()).await.problem(403);
    cast.ask("admin", "PATCH", "/v1/customers/c", json!({"name": "Acme"})).await.json(200);
    let asked = ask("k", body.clone()).await.json(202);
    assert_eq!(
        (&asked["kind"], &asked["block"], &asked["gone"]["events"]),
        (&json!("customer"), &json!(true), &json!(1))
    );
    assert!(asked["requested_by"].as_str().unwrap().starts_with("user:"), "{asked}");
    assert!(!asked.to_string().contains("\"c\""), "it does not name whom it erased: {asked}");
    assert_eq!(ask("k", body.clone()).await.json(202)["id"], asked["id"]);
    // Found in November 2026: this was a conflict, as if something had changed.
    for other in [json!({"kind": "customer", "id": "d", "block": true}), json!({"kind": "workspace", "id": "a"})] {
        let refused = ask("k", other).await.problem(422);
        assert_eq!(refused["type"], "urn:nilometer:problem:idempotency-key-reused");
    }
    let again = ask("other", body).await.json(202);
    assert_eq!((&again["gone"]["events"], again["id"] == asked["id"]), (&json!(0), false), "twice is nothing more");

    let path = format!("/v1/erasures/{}", asked["id"].as_str().unwrap());
    assert_eq!(cast.ask("owner", "GET", &path, Value::Null).await.json(200)["id"], asked["id"]);
    cast.ask("owner", "GET", "/v1/erasures/none", Value::Null).await.problem(404);
    let all = cast.ask("owner", "GET", "/v1/erasures", Value::Null).await.json(200);
    assert_eq!(all["data"].as_array().unwrap().len(), 2);

    cast.ask("viewer", "GET", "/v1/customers/c", Value::Null).await.problem(404);
    let events = cast.ask("member", "GET", "/v1/events", Value::Null).await.json(200);
    assert_eq!(events["data"].as_array().unwrap().len(), 2);
    let sums = cast.ask("viewer", "GET", "/stats/top-events", Value::Null).await.json(200);
    assert_eq!(sums["data"], json!([{"type": "call", "count": 3}]), "totals stay");
    let events = json!([{"id": "1", "customer": "d"}, {"id": "9", "customer": "c"}, {"id": "8", "customer": "d"}]);
    let told = cast.ask("member", "POST", "/v1/events", events).await.json(202);
    let codes: Vec<_> =
        [0, 1, 2].map(|at| (told["results"][at]["status"].clone(), told["results"][at]["code"].clone())).into();
    assert_eq!(codes[0], (json!("duplicate"), json!("erased")));
    assert_eq!(codes[1], (json!("rejected"), json!("erased")));
    assert_eq!(codes[2], (json!("accepted"), Value::Null));
    // A profile that comes later is a new one.
    let log = cast.ask("admin", "GET", "/v1/audit?action=erasure.request", Value::Null).await.json(200);
    assert_eq!(log["data"].as_array().unwrap().len(), 2, "{log}");
    assert!(!log.to_string().contains("\"c\""), "{log}");
    let log = cast.ask("admin", "GET", "/v1/audit?action=customer.change", Value::Null).await.json(200);
    let (entry, first) = (&log["data"][0], &log["data"][0]["erased_by"]);
    assert_eq!(
        (&entry["target"], &entry["after"], &entry["address"]),
        (&json!("customer"), &Value::Null, &Value::Null)
    );
    assert!(first.is_u64() && entry["actor"].as_str().unwrap().starts_with("user:"), "who did what stays: {log}");
    let of_it = cast.ask("admin", "GET", "/v1/audit?target=customer:c", Value::Null).await.json(200);
    assert_eq!(of_it["data"], json!([]));
}

#[tokio::test]
async fn a_user_that_is_erased_is_taken_out_of_the_reference_table() {
    let cast = filled().await;
    let table = json!({"ts": "2026-01-01T00:00:00Z", "user_metadata": {"u": {"plan": "a"}, "v": {"plan": "b"}}});
    cast.ask("admin", "PUT", "/reference/users", table).await.json(200);
    cast.ask("owner", "POST", "/v1/erasures", json!({"kind": "customer", "id": "u"})).await.json(202);
    let read =
        async || cast.ask("member", "GET", "/reference/users", Value::Null).await.json(200)["user_metadata"].clone();
    assert_eq!(read().await, json!({"u": {"plan": "a"}, "v": {"plan": "b"}}), "a customer is not a user");
    cast.ask("owner", "POST", "/v1/erasures", json!({"kind": "user", "id": "u"})).await.json(202);
    assert_eq!(read().await, json!({"v": {"plan": "b"}}));
    // Found in November 2026: the table took the time of the erasure, and refused what was loaded for an earlier one.
    let table = cast.ask("member", "GET", "/reference/users", Value::Null).await.json(200);
    assert_eq!(table["ts"], "2026-01-01T00:00:00Z", "{table}");
    let later = json!({"ts": "2026-01-02T00:00:00Z", "user_metadata": {"v": {"plan": "c"}}});
    cast.ask("admin", "PUT", "/reference/users", later).await.json(200);
}

#[tokio::test]
async fn what_cannot_be_erased_is_refused_with_the_field() {
    let cast = filled().await;
    for (body, field) in [
        (json!({"kind": "customers", "id": "c"}), "kind"),
        // Found in November 2026: of a field that is missing the body was named.
        (json!({"id": "c"}), "kind"),
        (json!({"kind": "customer"}), "id"),
        (json!({"kind": null, "id": "c"}), "kind"),
        (json!({"kind": "customer", "id": ""}), "id"),
        (json!({"kind": "customer", "id": "a\u{1}"}), "id"),
        (json!({"kind": "user", "id": "x".repeat(257)}), "id"),
        (json!({"kind": "workspace", "id": "b"}), "id"),
        (json!({"kind": "user", "id": "u", "blocks": true}), "blocks"),
    ] {
        assert_eq!(
            cast.ask("owner", "POST", "/v1/erasures", body.clone()).await.problem(400)["field"],
            field,
            "{body}"
        );
    }
    assert_eq!(cast.ask("owner", "GET", "/v1/erasures", Value::Null).await.json(200)["data"], json!([]));
    let never_seen = json!({"kind": "user", "id": "nobody"});
    assert_eq!(cast.ask("owner", "POST", "/v1/erasures", never_seen).await.json(202)["gone"]["events"], 0);
}

#[tokio::test]
async fn a_workspace_that_is_erased_is_served_no_more_and_its_id_is_never_given_again() {
    let cast = filled().await;
    cast.ask("admin", "PATCH", "/v1/workspace", json!({"name": "Acme"})).await.json(200);
    cast.ask("owner", "POST", "/v1/erasures", json!({"kind": "workspace", "id": "a"})).await.json(202);
    for (caller, path) in [("owner", "/v1/erasures"), ("viewer", "/v1/customers"), ("key read", "/v1/events")] {
        let refused = cast.ask(caller, "GET", path, Value::Null).await;
        assert!(matches!(refused.status, 401 | 403 | 404), "{path}: {}", refused.status);
    }
    let left = cast.ask("operator", "GET", "/v1/workspaces/a", Value::Null).await.json(200);
    assert_eq!((&left["status"], &left["name"]), (&json!("deleting"), &json!("a")));
    cast.ask("operator", "POST", "/v1/workspaces", json!({"id": "a"})).await.problem(409);
}

/// Found in November 2026: the operator gave an erased workspace back to its members, and wrote names and texts into it.
#[tokio::test]
async fn i5_nobody_changes_a_workspace_that_is_erased() {
    let cast = filled().await;
    let key = cast.ask("admin", "POST", "/v1/keys", json!({"name": "k", "scopes": ["read"]})).await.json(201);
    let quota = json!({"customer": "c", "measure": "events", "period": "day", "limit": 5});
    let quotas = "/v1/workspaces/a/quotas";
    cast.ask("operator", "PUT", quotas, quota.clone()).await.json(200);
    cast.ask("owner", "POST", "/v1/erasures", json!({"kind": "workspace", "id": "a"})).await.json(202);
    assert_eq!(cast.ask("operator", "GET", quotas, Value::Null).await.json(200)["data"], json!([]));
    let key = format!("/v1/workspaces/a/keys/{}", key["id"].as_str().unwrap());
    let one = format!("{quotas}?customer=c&measure=events&period=day");
    for (method, path, body) in [
        ("PATCH", "/v1/workspaces/a", json!({"status": "active"})),
        ("PATCH", "/v1/workspaces/a", json!({"status": "deleting"})),
        ("PATCH", "/v1/workspaces/a", json!({"name": "Ann"})),
        ("PATCH", "/v1/workspaces/a", json!({"requests_per_sec": 5})),
        ("PATCH", &key, json!({"requests_per_sec": 5})),
        ("POST", "/v1/workspaces/a/keys", json!({"name": "Ann", "scopes": ["read"]})),
        ("POST", "/v1/workspaces/a/members", json!({"email": "new@example.com", "role": "owner"})),
        ("POST", "/v1/workspaces/a/members", json!({"email": "owner@example.com", "role": "owner"})),
        ("PUT", quotas, quota),
        ("DELETE", &one, Value::Null),
    ] {
        let refused = cast.ask("operator", method, path, body.clone()).await.problem(409);
        assert!(refused["detail"].as_str().unwrap().contains("is erased"), "{method} {path} {body}: {refused}");
    }
    let left = cast.ask("operator", "GET", "/v1/workspaces/a", Value::Null).await.json(200);
    assert_eq!((&left["status"], &left["name"]), (&json!("deleting"), &json!("a")));
    // One that the operator alone has set so comes back.
    cast.ask("operator", "PATCH", "/v1/workspaces/b", json!({"status": "deleting"})).await.json(200);
    cast.ask("operator", "PATCH", "/v1/workspaces/b", json!({"status": "active"})).await.json(200);
}

/// Found in November 2026: nobody could. Its owner and its keys are gone with it, and the operator was refused.
#[tokio::test]
async fn i5_the_operator_reads_what_came_of_the_erasure_of_a_workspace_and_nobody_else_does() {
    let cast = filled().await;
    let path = "/v1/workspaces/a/erasures";
    let read = async |path: &str| cast.ask("operator", "GET", path, Value::Null).await.json(200);
    assert_eq!(read(path).await["data"], json!([]));
    let user = cast.ask("owner", "POST", "/v1/erasures", json!({"kind": "user", "id": "v"})).await.json(202);
    // As who asks from within is answered, as long as there is anybody.
    let own = cast.ask("owner", "GET", "/v1/erasures", Value::Null).await.json(200);
    assert_eq!(read(path).await["data"][0]["gone"], own["data"][0]["gone"]);
    let whole = cast.ask("owner", "POST", "/v1/erasures", json!({"kind": "workspace", "id": "a"})).await.json(202);
    let all = read(path).await;
    let rows = all["data"].as_array().unwrap();
    let told: Vec<_> = rows.iter().map(|row| (&row["id"], &row["kind"], &row["gone"]["events"])).collect();
    assert_eq!(
        told,
        [(&user["id"], &json!("user"), &json!(1)), (&whole["id"], &json!("workspace"), &json!(2))],
        "in order of request"
    );
    for row in rows {
        assert_eq!(row["not_reached"].as_array().unwrap().len(), 5, "{row}");
        assert!(row["requested_by"].as_str().unwrap().starts_with("user:"), "{row}");
    }
    let first = read(&format!("{path}?limit=1")).await;
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = read(&format!("{path}?limit=1&cursor={cursor}")).await;
    let pages = [&first, &second].map(|page| page["data"][0]["id"].clone());
    assert_eq!((pages, &second["next_cursor"]), ([user["id"].clone(), whole["id"].clone()], &Value::Null));

    assert_eq!(read("/v1/workspaces/b/erasures").await["data"], json!([]), "those of one workspace alone");
    let of_b = format!("/v1/workspaces/b/erasures?cursor={cursor}");
    assert_eq!(cast.ask("operator", "GET", &of_b, Value::Null).await.problem(400)["field"], "cursor");
    cast.ask("operator", "GET", "/v1/workspaces/nowhere/erasures", Value::Null).await.problem(404);
    let owner_of_b = format!("Bearer {}", person(&cast.api, "b", "boss@example.com", Role::Owner).await);
    let refused = async |path: &str| {
        let mut refused = send(&cast.api, &owner_of_b, "GET", path, &[], Value::Null).await.problem(403);
        refused.as_object_mut().unwrap().remove("request_id").unwrap();
        refused
    };
    let of_nobody = refused("/v1/workspaces/nowhere/erasures").await;
    for workspace in ["a", "b"] {
        assert_eq!(refused(&format!("/v1/workspaces/{workspace}/erasures")).await, of_nobody, "{workspace}");
    }
}

/// Found in November 2026: in profile `dev` it shut the operator out, who has no key there.
#[tokio::test]
async fn the_workspace_of_requests_without_a_key_is_not_erased() {
    let api = TestApi::start().await;
    let ask = async |body: Value| send(&api, "", "POST", "/v1/erasures", &[], body).await;
    let refused = ask(json!({"kind": "workspace", "id": "default"})).await.problem(409);
    assert!(refused["detail"].as_str().unwrap().contains("without a key"), "{refused}");
    ask(json!({"kind": "user", "id": "u"})).await.json(202);
}

#[tokio::test]
async fn erasures_are_listed_page_by_page_in_order_of_request() {
    let cast = filled().await;
    let mut asked = Vec::new();
    for user in ["u", "v", "w"] {
        let made = cast.ask("owner", "POST", "/v1/erasures", json!({"kind": "user", "id": user})).await.json(202);
        asked.push(made["id"].clone());
    }
    let (mut listed, mut next) = (Vec::new(), Some(String::new()));
    while let Some(cursor) = next {
        let begin = if cursor.is_empty() { String::new() } else { format!("&cursor={cursor}") };
        let page = cast.ask("owner", "GET", &format!("/v1/erasures?limit=2{begin}"), Value::Null).await.json(200);
        listed.extend(page["data"].as_array().unwrap().iter().map(|row| row["id"].clone()));
        next = page["next_cursor"].as_str().map(str::to_owned);
    }
    assert_eq!(listed, asked);
}

/// Waits until all erasures are finished but for the journal, which nobody trims while the clock stands.
async fn finished(cast: &Cast) {
    while !cast.api.ledger().unfinished().is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// How many of these customers of workspace `a` have a profile.
async fn profiles(cast: &Cast, customers: &[&str]) -> usize {
    let customers: Vec<_> = customers.iter().map(|customer| (*customer).to_owned()).collect();
    let scope = TenantScope::for_operator(tenant("a"));
    cast.api.catalog().customer_profiles(&scope, &customers).await.unwrap().len()
}

/// Found in November 2026: the catalog forgot before anything was durable, so a request that was refused had removed a
/// profile, a user's row and the operator's quota.
#[tokio::test]
async fn for_an_erasure_that_is_refused_the_catalog_forgets_nothing() {
    let cast = filled().await;
    cast.ask("admin", "PATCH", "/v1/customers/c", json!({"name": "Acme"})).await.json(200);
    let table = json!({"ts": "2026-01-01T00:00:00Z", "user_metadata": {"u": {"plan": "a"}}});
    cast.ask("admin", "PUT", "/reference/users", table).await.json(200);
    let quota = json!({"customer": "c", "measure": "events", "period": "day", "limit": 5});
    cast.ask("operator", "PUT", "/v1/workspaces/a/quotas", quota).await.json(200);
    let faults =
        [(ErrorKind::Overloaded, 503), (ErrorKind::Exhausted, 422), (ErrorKind::Full, 507), (ErrorKind::Conflict, 409)];
    for (fault, status) in faults {
        cast.api.ledger().refuse_erasures(Some(fault));
        for (kind, id) in [("customer", "c"), ("user", "u"), ("workspace", "a")] {
            cast.ask("owner", "POST", "/v1/erasures", json!({"kind": kind, "id": id})).await.problem(status);
        }
    }
    assert_eq!(profiles(&cast, &["c"]).await, 1);
    let read = async |path: &str| cast.ask("owner", "GET", path, Value::Null).await.json(200);
    assert_eq!(read("/reference/users").await["user_metadata"], json!({"u": {"plan": "a"}}));
    assert_eq!(read("/v1/quotas").await["data"][0]["customer"], "c");
    let log = read("/v1/audit?action=customer.change").await;
    assert_eq!((&log["data"][0]["target"], &log["data"][0]["erased_by"]), (&json!("customer:c"), &Value::Null));
    let log = read("/v1/audit?action=erasure.request&limit=100").await;
    assert_eq!(log["data"].as_array().unwrap().len(), 12, "that it was asked for is told");
    cast.api.ledger().refuse_erasures(None);
    cast.ask("owner", "POST", "/v1/erasures", json!({"kind": "customer", "id": "c"})).await.json(202);
    assert_eq!(profiles(&cast, &["c"]).await, 0);
}

/// Found in November 2026: the catalog forgot for both, and the one that lost was told of a conflict.
#[tokio::test]
async fn of_two_requests_with_one_key_at_once_one_is_made_and_the_other_forgets_nobody() {
    let cast = filled().await;
    for customer in ["c", "d"] {
        let path = format!("/v1/customers/{customer}");
        cast.ask("admin", "PATCH", &path, json!({"name": "Acme"})).await.json(200);
    }
    let ask = async |customer: &str| {
        let body = json!({"kind": "customer", "id": customer});
        cast.ask_with("owner", "POST", "/v1/erasures", &[("idempotency-key", "k")], body).await.status
    };
    let answers = tokio::join!(ask("c"), ask("d"));
    assert!(matches!(answers, (202, 422) | (422, 202)), "{answers:?}");
    finished(&cast).await;
    assert_eq!(profiles(&cast, &["c"]).await, usize::from(answers.0 == 422));
    assert_eq!(profiles(&cast, &["d"]).await, usize::from(answers.1 == 422));
}

/// Found in November 2026: whom to forget was lost before the catalog had forgotten, and what was left of it stayed.
#[tokio::test]
async fn an_erasure_is_not_finished_before_the_catalog_has_forgotten() {
    let cast = filled().await;
    cast.api.ledger().hold_erasures(true);
    cast.ask("owner", "POST", "/v1/erasures", json!({"kind": "customer", "id": "c"})).await.json(202);
    cast.ask("owner", "POST", "/v1/erasures", json!({"kind": "user", "id": "u"})).await.json(202);
    // Written since.
    cast.ask("admin", "PATCH", "/v1/customers/c", json!({"name": "Acme"})).await;
    let row = json!({"user_metadata": {"u": {"plan": "a"}, "v": {"plan": "b"}}});
    cast.ask("admin", "PATCH", "/reference/users", row).await.json(200);
    let quota = json!({"customer": "c", "measure": "events", "period": "day", "limit": 5});
    let refused = cast.ask("operator", "PUT", "/v1/workspaces/a/quotas", quota.clone()).await.problem(409);
    assert!(refused["detail"].as_str().unwrap().contains("being erased"), "{refused}");
    cast.api.catalog().fail_next(FaultPoint::DiskFull);
    cast.api.ledger().hold_erasures(false);
    finished(&cast).await;
    assert_eq!(profiles(&cast, &["c"]).await, 0);
    let table = cast.ask("member", "GET", "/reference/users", Value::Null).await.json(200);
    assert_eq!(table["user_metadata"], json!({"v": {"plan": "b"}}));
    assert!(cast.api.catalog().scrubs() > 0);
    cast.ask("operator", "PUT", "/v1/workspaces/a/quotas", quota).await.json(200);
}

/// Found in November 2026: each had them written anew two or three times, and whoever changed anything waited for it.
#[tokio::test]
async fn i6_for_all_erasures_that_wait_the_files_of_the_catalog_are_written_anew_once() {
    let cast = filled().await;
    cast.api.ledger().hold_erasures(true);
    for user in ["u", "v", "w", "x"] {
        cast.ask("owner", "POST", "/v1/erasures", json!({"kind": "user", "id": user})).await.json(202);
    }
    assert_eq!(cast.api.catalog().scrubs(), 0);
    cast.api.ledger().hold_erasures(false);
    finished(&cast).await;
    assert_eq!(cast.api.catalog().scrubs(), 1);
}
