//! The audit log.

use domain::limits::PAGE_BYTES_MAX;
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
    cast.ask("admin", "POST", "/v1/projects", json!({"id": "web"})).await.json(201);
    let bound = json!({"name": "of web", "scopes": ["read"], "project": "web"});
    let bound = cast.ask("admin", "POST", "/v1/keys", bound).await.json(201)["key"].as_str().unwrap().to_owned();
    let reads = async || {
        let found = cast.ask("admin", "GET", "/v1/audit?action=events.read", Value::Null).await.json(200);
        let told = |entry: &Value| (entry["target"].as_str().unwrap().to_owned(), entry["after"].clone());
        found["data"].as_array().unwrap().iter().rev().map(told).collect::<Vec<_>>()
    };
    cast.ask("member", "GET", "/v1/events", Value::Null).await.json(200);
    assert_eq!(reads().await, []);
    cast.ask("admin", "PATCH", "/v1/workspace", json!({"audit_reads": true})).await.json(200);
    let filtered = "/v1/events?from=2026-11-01&to=2026-11-20T10:00&tz=Asia/Tokyo&customer=&type=call&limit=5";
    for path in ["/v1/events", filtered] {
        cast.ask("member", "GET", path, Value::Null).await.json(200);
    }
    cast.ask("member", "GET", "/v1/events/none?source=s", Value::Null).await.problem(404);
    let query = json!({"from": "2026-11-01", "aggregations": [{"op": "count"}], "group_by": ["type"]});
    cast.ask("key read", "POST", "/v1/query", query.clone()).await.json(200);
    let web = format!("Bearer {bound}");
    send(&cast.api, &web, "GET", "/v1/events?user=u", &[], Value::Null).await.json(200);
    send(&cast.api, &web, "POST", "/v1/query", &[], query.clone()).await.json(200);
    // What is refused reads nothing, and sums are no raw events.
    cast.ask("member", "GET", "/v1/events?from=never", Value::Null).await.problem(400);
    cast.ask("member", "POST", "/v1/query", json!({})).await.problem(400);
    cast.ask("viewer", "GET", "/v1/customers", Value::Null).await.json(200);
    let given = json!({
        "from": "2026-11-01", "to": "2026-11-20T10:00", "tz": "Asia/Tokyo", "customer": "", "type": "call",
        "limit": "5",
    });
    let expected = [
        ("GET /v1/events", json!({})),
        ("GET /v1/events", given),
        ("GET /v1/events/{id}", json!({"id": "none", "source": "s"})),
        ("POST /v1/query", json!({"query": query})),
        ("GET /v1/events", json!({"user": "u", "project": "web"})),
        ("POST /v1/query", json!({"query": query, "project": "web"})),
    ];
    assert_eq!(reads().await, expected.map(|(route, asked)| (route.to_owned(), asked)));

    let long =
        json!({"aggregations": [{"op": "count"}], "filter": {"field": "type", "op": "eq", "value": "x".repeat(250)}});
    let many = json!({"aggregations": [{"op": "count"}], "filter": {"or": vec![long["filter"].clone(); 20]}});
    cast.ask("member", "POST", "/v1/query", many).await.json(200);
    let (_, told) = reads().await.pop().unwrap();
    assert!(told["begins"].as_str().unwrap().starts_with("{\"query\":{"), "{told}");
    assert!(told["bytes"].as_u64().unwrap() > 4_096 && told.to_string().len() < 5_000, "{told}");
    for (caller, event) in [("member", "e1"), ("member", "e2")] {
        cast.ask(caller, "POST", "/v1/events?wait=applied", json!({"id": event})).await.json(202);
    }
    let page = cast.ask("member", "GET", "/v1/events?limit=1", Value::Null).await.json(200);
    let next = format!("/v1/events?limit=1&cursor={}", page["next_cursor"].as_str().unwrap());
    cast.ask("member", "GET", &next, Value::Null).await.json(200);
    assert_eq!(reads().await.pop().unwrap().1, json!({"limit": "1", "is_next_page": true}));
}

/// Entries that are long fill a page before its rows do; the pages are the whole log all the same.
#[tokio::test]
async fn i6_a_page_of_long_entries_is_not_longer_than_any_page() {
    let cast = Cast::new().await;
    cast.ask("member", "POST", "/v1/events?wait=applied", json!({"id": "e1", "customer": "c"})).await.json(202);
    // An entry tells the names of all attributes: 15 KiB.
    let names = (0..60).map(|n| (format!("{n:0>250}"), json!(1)));
    let attributes: serde_json::Map<_, _> = names.collect();
    cast.ask("admin", "PATCH", "/v1/customers/c", json!({"attributes": attributes})).await.json(200);
    for n in 0..300 {
        cast.ask("admin", "PATCH", "/v1/customers/c", json!({"name": format!("n{n}")})).await.json(200);
    }
    let (mut seqs, mut next, mut pages) = (Vec::new(), Some(String::new()), 0);
    while let Some(cursor) = next {
        let begin = if cursor.is_empty() { String::new() } else { format!("&cursor={cursor}") };
        let reply = cast.ask("admin", "GET", &format!("/v1/audit?limit=1000{begin}"), Value::Null).await;
        assert!(reply.body.len() < PAGE_BYTES_MAX + (64 << 10), "{}", reply.body.len());
        let page = reply.json(200);
        seqs.extend(page["data"].as_array().unwrap().iter().map(|entry| entry["seq"].as_u64().unwrap()));
        next = page["next_cursor"].as_str().map(str::to_owned);
        pages += 1;
    }
    assert!(pages >= 2, "{pages}");
    assert_eq!(seqs, (1..=seqs.len() as u64).rev().collect::<Vec<_>>());
    let lines = cast.ask("admin", "GET", "/v1/audit?format=ndjson", Value::Null).await;
    assert_eq!(lines.text().lines().count(), seqs.len() + 1, "with the entry of this export");
}
