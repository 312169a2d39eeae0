//! The lists of the register: all of them are read page by page, in one way.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::cast::{Cast, by, new_key};
use domain::access::rights::KeyScope;

/// Each list, who reads it, and the field that its rows are in order of.
const LISTS: [(&str, &str, &str); 11] = [
    ("/v1/quotas", "viewer", "customer"),
    ("/v1/workspaces/a/quotas", "operator", "customer"),
    ("/v1/projects", "viewer", "id"),
    ("/v1/members", "admin", "user"),
    ("/v1/invitations", "admin", "id"),
    ("/v1/keys", "admin", "id"),
    ("/v1/signing-secrets", "admin", "id"),
    ("/v1/users", "operator", "email"),
    ("/v1/workspaces", "operator", "id"),
    ("/v1/server/keys", "operator", "id"),
    ("/v1/workspaces/a/keys", "operator", "id"),
];

/// A server with some of everything.
async fn filled() -> Cast {
    let cast = Cast::new().await;
    for n in 0..5 {
        cast.ask("admin", "POST", "/v1/projects", json!({"id": format!("p{n}")})).await.json(201);
        let person = json!({"email": format!("I{n}@example.com"), "role": "viewer"});
        cast.ask("admin", "POST", "/v1/invitations", person).await.json(201);
        cast.ask("admin", "POST", "/v1/keys", json!({"name": "k", "scopes": ["read"]})).await.json(201);
        cast.ask("admin", "POST", "/v1/signing-secrets", json!({"name": "s"})).await.json(201);
        cast.ask("operator", "POST", "/v1/workspaces", json!({"id": format!("w{n}")})).await.json(201);
        cast.ask("operator", "POST", "/v1/server/keys", json!({"name": "o"})).await.json(201);
        let quota = json!({"customer": format!("C{n}"), "measure": "events", "period": "month", "limit": n});
        cast.ask("operator", "PUT", "/v1/workspaces/a/quotas", quota).await.json(200);
        let member = json!({"email": format!("M{n}@example.com"), "role": "owner"});
        cast.ask("operator", "POST", &format!("/v1/workspaces/{}/members", ["a", "b"][n % 2]), member).await.json(201);
    }
    cast.api.access.create_key(&by(), Some(&super::cast::tenant("b")), new_key(&[KeyScope::Read]), None).await.unwrap();
    cast
}

async fn page(cast: &Cast, caller: &str, path: &str) -> (Vec<Value>, Option<String>) {
    let page = cast.ask(caller, "GET", path, Value::Null).await.json(200);
    (page["data"].as_array().unwrap().clone(), page["next_cursor"].as_str().map(str::to_owned))
}

#[tokio::test]
async fn pages_of_any_length_are_the_whole_list_in_order() {
    let cast = filled().await;
    for (path, caller, key) in LISTS {
        let (whole, next) = page(&cast, caller, path).await;
        assert!(next.is_none() && whole.len() >= 5, "{path}: {}", whole.len());
        let keys: Vec<_> = whole.iter().map(|row| row[key].as_str().unwrap().to_lowercase()).collect();
        if key == "email" {
            assert!(keys.is_sorted(), "{path}: {keys:?}");
        } else {
            assert!(whole.is_sorted_by_key(|row| row[key].as_str()), "{path}: {keys:?}");
        }
        assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), keys.len(), "{path}");
        for limit in 1..=whole.len() {
            let (mut all, mut next) = (Vec::new(), Some(String::new()));
            while let Some(cursor) = next {
                let begin = if cursor.is_empty() { String::new() } else { format!("&cursor={cursor}") };
                let (rows, then) = page(&cast, caller, &format!("{path}?limit={limit}{begin}")).await;
                assert!(rows.len() == limit || then.is_none() && !rows.is_empty(), "{path} {limit}");
                all.extend(rows);
                next = then;
            }
            assert_eq!(all, whole, "{path} {limit}");
        }
    }
}

#[tokio::test]
async fn i5_a_cursor_is_of_its_list_and_its_workspace_alone() {
    let cast = filled().await;
    let refused = async |caller: &str, path: &str, cursor: &str| {
        let reply = cast.ask(caller, "GET", &format!("{path}cursor={cursor}"), Value::Null).await;
        assert_eq!(reply.problem(400)["field"], "cursor", "{path}");
    };
    let owner_of_b = super::cast::person(&cast.api, "b", "boss@example.com", domain::access::rights::Role::Owner).await;
    for (path, caller, _) in LISTS {
        let (_, cursor) = page(&cast, caller, &format!("{path}?limit=1")).await;
        let cursor = cursor.unwrap();
        for (other, reader, _) in LISTS.into_iter().filter(|(other, ..)| *other != path) {
            refused(reader, &format!("{other}?"), &cursor).await;
        }
        refused(caller, &format!("{path}?"), "00").await;
        if caller != "operator" {
            let bearer = format!("Bearer {owner_of_b}");
            let target = format!("{path}?cursor={cursor}");
            let reply = super::cast::send(&cast.api, &bearer, "GET", &target, &[], Value::Null).await;
            assert_eq!(reply.problem(400)["field"], "cursor", "{path}");
        }
    }
    let (_, cursor) = page(&cast, "operator", "/v1/workspaces/a/keys?limit=1").await;
    refused("operator", "/v1/workspaces/b/keys?", &cursor.unwrap()).await;
    let (_, cursor) = page(&cast, "operator", "/v1/server/audit?limit=1").await;
    refused("operator", "/v1/server/audit?action=login&", &cursor.unwrap()).await;
}

#[tokio::test]
async fn the_operator_finds_the_keys_of_a_workspace_to_limit_and_nothing_that_opens_it() {
    let cast = filled().await;
    let (keys, _) = page(&cast, "operator", "/v1/workspaces/b/keys").await;
    assert_eq!((keys.len(), &keys[0]["scopes"], &keys[0]["requests_per_sec"]), (1, &json!(["read"]), &Value::Null));
    let path = format!("/v1/workspaces/b/keys/{}", keys[0]["id"].as_str().unwrap());
    cast.ask("operator", "PATCH", &path, json!({"requests_per_sec": 5})).await.json(200);
    let listed = cast.ask("operator", "GET", "/v1/workspaces/b/keys", Value::Null).await;
    assert_eq!(listed.json(200)["data"][0]["requests_per_sec"], 5);
    let row = listed.json(200)["data"][0].clone();
    assert!(row.get("key").is_none() && row.get("hash").is_none(), "{row}");
    cast.ask("operator", "GET", "/v1/workspaces/nowhere/keys", Value::Null).await.problem(404);
    for caller in ["owner", "admin", "key admin"] {
        cast.ask(caller, "GET", "/v1/workspaces/a/keys", Value::Null).await.problem(403);
    }
}

#[tokio::test]
async fn a_person_is_found_by_the_address() {
    let cast = filled().await;
    let find = async |email: &str| page(&cast, "operator", &format!("/v1/users?email={email}")).await;
    for email in ["m1%40example.com", "M1%40EXAMPLE.COM", "%20m1%40example.com"] {
        let (found, next) = find(email).await;
        assert_eq!((found.len(), next), (1, None), "{email}");
        assert_eq!(found[0]["email"], "M1@example.com");
    }
    assert_eq!(find("m9%40example.com").await, (Vec::new(), None));
    for bad in ["", "m1", "a%00%40b"] {
        let reply = cast.ask("operator", "GET", &format!("/v1/users?email={bad}"), Value::Null).await;
        assert_eq!(reply.problem(400)["field"], "email", "{bad}");
    }
}

#[tokio::test]
async fn the_audit_log_of_the_server_is_paged_as_the_others() {
    let cast = filled().await;
    let (whole, next) = page(&cast, "operator", "/v1/server/audit?limit=1000").await;
    assert!(next.is_none() && whole.len() > 20);
    let (mut all, mut next) = (Vec::new(), Some(String::new()));
    while let Some(cursor) = next {
        let begin = if cursor.is_empty() { String::new() } else { format!("&cursor={cursor}") };
        let (rows, then) = page(&cast, "operator", &format!("/v1/server/audit?limit=7{begin}")).await;
        all.extend(rows);
        next = then;
    }
    assert_eq!(all, whole);
}

/// So that a list that is added is paged as well.
#[test]
fn every_list_of_the_document_is_paged() {
    let document = serde_json::to_value(api::document()).unwrap();
    let mut lists = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        let told = &operations["get"];
        let body = told["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].as_str();
        let schema = body.and_then(|body| document.pointer(body.trim_start_matches('#')));
        let is_list = schema.is_some_and(|schema| schema["properties"]["data"]["type"] == "array");
        let names: Vec<_> =
            told["parameters"].as_array().into_iter().flatten().map(|one| one["name"].clone()).collect();
        let is_paged = names.contains(&json!("limit")) && names.contains(&json!("cursor"));
        let is_cursor = schema.is_some_and(|schema| !schema["properties"]["next_cursor"].is_null());
        assert!(is_paged == is_cursor, "{path}: {names:?}");
        if is_list && is_cursor {
            lists.insert(path.clone());
        }
    }
    let of_document = |path: &str| path.replace("/workspaces/a/", "/workspaces/{id}/");
    assert!(LISTS.iter().all(|(path, ..)| lists.contains(&of_document(path))), "{lists:?}");
}
