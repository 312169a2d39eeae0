//! The audit log.

use serde_json::{Value, json};

use super::cast::{Cast, PASSWORD, send};

#[tokio::test]
async fn every_change_is_in_the_log_of_its_workspace_with_who_and_what() {
    let cast = Cast::new().await;
    let made = cast.ask("admin", "POST", "/v1/keys", json!({"name": "k", "scopes": ["read"]})).await;
    let request_id = made.header("x-request-id").to_owned();
    let key = format!("key:{}", made.json(201)["id"].as_str().unwrap());
    cast.ask("admin", "PATCH", "/v1/settings", json!({"week_start": "sunday"})).await.json(200);
    cast.ask(
        "admin",
        "PUT",
        "/reference/users",
        json!({"ts": "2026-11-21T10:00:00Z", "user_metadata": {"u": {"plan": "pro"}}}),
    )
    .await;
    cast.ask("viewer", "GET", "/v1/keys", Value::Null).await.problem(403);
    let find = async |query: &str| {
        let found = cast.ask("admin", "GET", &format!("/v1/audit?{query}"), Value::Null).await.json(200);
        found["data"].as_array().unwrap().clone()
    };
    let created = find(&format!("target={key}")).await;
    assert_eq!(created.len(), 1);
    let entry = &created[0];
    assert_eq!((&entry["action"], &entry["request_id"]), (&json!("key.create"), &json!(request_id)));
    assert!(entry["actor"].as_str().unwrap().starts_with("user:") && entry["address"] == "127.0.0.1", "{entry}");
    assert_eq!((&entry["before"], &entry["after"]["scopes"]), (&Value::Null, &json!(["read"])));
    let settings = find("action=settings.change").await;
    assert_eq!(settings.len(), 1, "{settings:?}");
    assert_eq!(find("action=reference.replace").await.len(), 1);
    // Written beside the answer.
    let mut refused = find("action=permission.refused").await;
    while refused.is_empty() {
        refused = find("action=permission.refused").await;
    }
    assert_eq!(refused[0]["target"], "keys");
    let all = find("limit=1000").await;
    assert!(all.iter().all(|entry| !entry.to_string().contains("nm_")), "no secret in the log");
    let seqs: Vec<_> = all.iter().map(|entry| entry["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, (1..=all.len() as u64).rev().collect::<Vec<_>>());

    let page = cast.ask("admin", "GET", "/v1/audit?limit=2", Value::Null).await.json(200);
    let next = page["next_cursor"].as_str().unwrap();
    let second = cast.ask("admin", "GET", &format!("/v1/audit?limit=2&cursor={next}"), Value::Null).await.json(200);
    assert_eq!(second["data"][0]["seq"], page["data"][1]["seq"].as_u64().unwrap() - 1);
    let lines = cast.ask("admin", "GET", "/v1/audit?format=ndjson", Value::Null).await;
    assert_eq!(lines.header("content-type"), "application/x-ndjson");
    assert_eq!(lines.text().lines().count(), all.len() + 1, "with the entry of this export");
    assert_eq!(find("action=export").await[0]["target"], "audit");
    assert!(find("from=2026-11-22").await.is_empty() && find("to=2026-11-20").await.is_empty());
    cast.ask("admin", "GET", "/v1/audit?format=csv", Value::Null).await.problem(400);
}

#[tokio::test]
async fn i5_the_log_of_one_workspace_says_nothing_of_another_nor_of_the_server() {
    let cast = Cast::new().await;
    let before = cast.ask("admin", "GET", "/v1/audit?limit=1000", Value::Null).await.json(200);
    cast.ask("operator", "POST", "/v1/workspaces/b/keys", json!({"name": "k", "scopes": ["read"]})).await.json(201);
    cast.ask("operator", "POST", "/v1/workspaces", json!({"id": "c"})).await.json(201);
    let body = json!({"email": "nobody@example.com", "password": PASSWORD});
    send(&cast.api, "", "POST", "/v1/auth/login", &[], body).await.problem(401);
    assert_eq!(cast.ask("admin", "GET", "/v1/audit?limit=1000", Value::Null).await.json(200), before);
    let server = cast.ask("operator", "GET", "/v1/server/audit", Value::Null).await.json(200);
    let actions: Vec<_> = server["data"].as_array().unwrap().iter().map(|entry| entry["action"].clone()).collect();
    for action in ["workspace.create", "login", "login.failed", "user.create", "key.create"] {
        assert!(actions.contains(&json!(action)), "{action}: {actions:?}");
    }
}

#[tokio::test]
async fn reads_of_raw_events_are_logged_when_the_workspace_asks_for_that() {
    let cast = Cast::new().await;
    let reads = async || {
        let found = cast.ask("admin", "GET", "/v1/audit?action=events.read", Value::Null).await.json(200);
        found["data"].as_array().unwrap().len()
    };
    cast.ask("member", "GET", "/v1/events", Value::Null).await.json(200);
    assert_eq!(reads().await, 0);
    cast.ask("admin", "PATCH", "/v1/workspace", json!({"audit_reads": true})).await.json(200);
    cast.ask("member", "GET", "/v1/events", Value::Null).await.json(200);
    cast.ask("member", "GET", "/v1/events/none", Value::Null).await.problem(404);
    cast.ask("key read", "POST", "/v1/query", json!({"aggregations": [{"op": "count"}]})).await.json(200);
    cast.ask("viewer", "GET", "/v1/customers", Value::Null).await.json(200);
    assert_eq!(reads().await, 3);
}
