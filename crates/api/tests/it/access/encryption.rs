//! Encrypted properties: who lists them, who sees them in plain text and who lets others, and what a query may ask of them.

use access::By;
use access::control::EncryptionOfRegister;
use domain::access::audit::Cause;
use domain::access::rights::{KeyScope, Role};
use domain::tenant::TenantScope;
use ports::encryption::Encryption;
use serde_json::{Value, json};

use super::cast::{Cast, by, new_key, person, send, tenant};
use crate::harness::Reply;

const SETTINGS: &str = "/v1/settings/encryption";

async fn encrypt(cast: &Cast, paths: &[(&str, bool)]) -> Reply {
    let paths: Vec<_> = paths.iter().map(|(path, mode)| json!({"path": path, "deterministic": mode})).collect();
    cast.ask("owner", "PATCH", SETTINGS, json!({"paths": paths})).await
}

async fn post(cast: &Cast, id: &str, properties: Value) -> Value {
    let event = json!({"id": id, "type": "t", "customer": "c", "properties": properties});
    cast.ask("key ingest", "POST", "/v1/events?wait=applied", event).await.json(202)
}

/// What somebody sees of the properties of an event, in a list and by its id.
async fn seen(cast: &Cast, bearer: &str, id: &str) -> Value {
    let get = async |path: &str| send(&cast.api, bearer, "GET", path, &[], Value::Null).await.json(200);
    let one = get(&format!("/v1/events/{id}")).await["properties"].clone();
    let all = get("/v1/events").await;
    let listed = all["data"].as_array().unwrap().iter().find(|event| event["event_id"] == id).unwrap().clone();
    assert_eq!(listed["properties"], one);
    one
}

async fn query(cast: &Cast, bearer: &str, body: Value) -> Reply {
    send(&cast.api, bearer, "POST", "/v1/query", &[], body).await
}

#[tokio::test]
async fn plain_text_is_for_owners_and_for_whom_an_owner_lets() {
    let cast = Cast::new().await;
    encrypt(&cast, &[("email", false), ("city", true)]).await.json(200);
    let plain = json!({"email": "a@b", "city": "Bern", "n": 1});
    let hidden = json!({"email": "<encrypted>", "city": "<encrypted>", "n": 1});
    post(&cast, "e", plain.clone()).await;
    assert_eq!(seen(&cast, &cast.bearer("owner"), "e").await, plain);
    for caller in ["member", "admin", "key read"] {
        assert_eq!(seen(&cast, &cast.bearer(caller), "e").await, hidden, "{caller}");
    }
    let members = cast.ask("owner", "GET", "/v1/members", Value::Null).await.json(200);
    let of = |role: &str| {
        let found = members["data"].as_array().unwrap().iter().find(|member| member["role"] == role);
        format!("/v1/members/{}", found.unwrap()["user"].as_str().unwrap())
    };
    let (member, viewer) = (of("member"), of("viewer"));
    // An admin manages members, and lets nobody see, also not oneself.
    for path in [&member, &of("admin")] {
        let refused = cast.ask("admin", "PATCH", path, json!({"decrypt": true})).await.problem(403);
        assert!(refused["detail"].as_str().unwrap().contains("owner"), "{refused}");
    }
    let let_in = cast.ask("owner", "PATCH", &member, json!({"decrypt": true})).await.json(200);
    assert_eq!((&let_in["decrypt"], &let_in["role"]), (&json!(true), &json!("member")));
    assert_eq!(seen(&cast, &cast.bearer("member"), "e").await, plain, "at once");
    // A role that reads no events gains none by it.
    cast.ask("owner", "PATCH", &viewer, json!({"decrypt": true})).await.json(200);
    cast.ask("viewer", "GET", "/v1/events/e", Value::Null).await.problem(403);
    // Taking it away is for those who manage members, too.
    cast.ask("admin", "PATCH", &member, json!({"decrypt": false})).await.json(200);
    assert_eq!(seen(&cast, &cast.bearer("member"), "e").await, hidden);

    let key = json!({"name": "k", "scopes": ["read", "decrypt"]});
    cast.ask("admin", "POST", "/v1/keys", key.clone()).await.problem(403);
    cast.ask("operator", "POST", "/v1/workspaces/a/keys", key.clone()).await.problem(403);
    let made = cast.ask("owner", "POST", "/v1/keys", key).await.json(201);
    let bearer = format!("Bearer {}", made["key"].as_str().unwrap());
    assert_eq!(seen(&cast, &bearer, "e").await, plain);
    // Whoever rotates or changes a key has its use.
    let id = format!("/v1/keys/{}", made["id"].as_str().unwrap());
    cast.ask("admin", "POST", &format!("{id}/rotate"), json!({})).await.problem(403);
    cast.ask("admin", "PATCH", &id, json!({"addresses": ["10.0.0.0/8"]})).await.problem(403);
    cast.ask("admin", "DELETE", &id, Value::Null).await.json(200);
    let alone = cast.api.access.create_key(&by(), Some(&tenant("a")), new_key(&[KeyScope::Decrypt]), None).await;
    let alone = format!("Bearer {}", alone.unwrap().text.unwrap().expose());
    send(&cast.api, &alone, "GET", "/v1/events", &[], Value::Null).await.problem(403);
    let log = cast.ask("owner", "GET", "/v1/audit?action=member.change", Value::Null).await.json(200);
    assert_eq!(log["data"][2]["after"], json!({"role": "member", "decrypt": true}), "{log}");
}

/// An admin showed a viewer, to whom an owner had granted it in vain, plain text by another role.
#[tokio::test]
async fn a_role_that_begins_to_read_plain_text_is_given_by_an_owner() {
    let cast = Cast::new().await;
    encrypt(&cast, &[("email", false)]).await.json(200);
    post(&cast, "e", json!({"email": "a@b"})).await;
    let members = cast.ask("owner", "GET", "/v1/members", Value::Null).await.json(200);
    let viewer = members["data"].as_array().unwrap().iter().find(|member| member["role"] == "viewer").unwrap().clone();
    let path = format!("/v1/members/{}", viewer["user"].as_str().unwrap());
    cast.ask("owner", "PATCH", &path, json!({"decrypt": true})).await.json(200);
    for role in ["member", "admin"] {
        let refused = cast.ask("admin", "PATCH", &path, json!({"role": role})).await.problem(403);
        assert!(refused["detail"].as_str().unwrap().contains("owner"), "{refused}");
    }
    // Without the grant it is like any other change of a role.
    cast.ask("admin", "PATCH", &path, json!({"role": "member", "decrypt": false})).await.json(200);
    cast.ask("admin", "PATCH", &path, json!({"role": "viewer"})).await.json(200);
    cast.ask("owner", "PATCH", &path, json!({"decrypt": true})).await.json(200);
    cast.ask("owner", "PATCH", &path, json!({"role": "member"})).await.json(200);
    // From one role that sees it to another.
    cast.ask("admin", "PATCH", &path, json!({"role": "admin"})).await.json(200);
    cast.ask("admin", "PATCH", &path, json!({"role": "viewer"})).await.json(200);
    assert_eq!(seen(&cast, &cast.bearer("owner"), "e").await["email"], "a@b");
}

/// A lost answer and a retry made two versions of the data key.
#[tokio::test]
async fn a_repeated_rotation_makes_one_version() {
    let cast = Cast::new().await;
    encrypt(&cast, &[("email", false)]).await.json(200);
    let rotate = async |key: &str| {
        let rotate = format!("{SETTINGS}/rotate");
        cast.ask_with("owner", "POST", &rotate, &[("idempotency-key", key)], Value::Null).await.json(200)
    };
    let first = rotate("one").await;
    assert_eq!(first["key_version"], 2);
    assert_eq!(rotate("one").await, first);
    assert_eq!(rotate("two").await["key_version"], 3);
    let log = cast.ask("owner", "GET", "/v1/audit?action=data-key.create", Value::Null).await.json(200);
    assert_eq!(log["data"].as_array().unwrap().len(), 3, "{log}");
}

/// Values that do not open were told in the log alone.
#[tokio::test]
async fn values_that_do_not_open_are_counted() {
    let cast = Cast::new().await;
    encrypt(&cast, &[("email", false), ("city", true)]).await.json(200);
    post(&cast, "e", json!({"email": "a", "city": "b"})).await;
    let counted = async || {
        let metrics = cast.api.get("/metrics").await;
        let text = String::from_utf8(metrics.body.to_vec()).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("encrypted_values_unreadable_total "));
        line.map(str::to_owned)
    };
    seen(&cast, &cast.bearer("owner"), "e").await;
    assert_eq!(counted().await.as_deref(), Some("0"));
    let encryption = EncryptionOfRegister(cast.api.access.clone());
    encryption.destroy_data_key(&TenantScope::for_operator(tenant("a")), &by().cause).await.unwrap();
    // Read by its id, and in a list.
    seen(&cast, &cast.bearer("owner"), "e").await;
    assert_eq!(counted().await.as_deref(), Some("4"));
    seen(&cast, &cast.bearer("member"), "e").await;
    assert_eq!(counted().await.as_deref(), Some("4"), "whoever sees no plain text is shown none");
}

#[tokio::test]
async fn i5_the_same_event_of_two_workspaces_is_encrypted_apart_and_another_owner_sees_nothing_of_it() {
    let cast = Cast::new().await;
    let other = format!("Bearer {}", person(&cast.api, "b", "b@example.com", Role::Owner).await);
    encrypt(&cast, &[("email", true)]).await.json(200);
    let paths = json!({"paths": [{"path": "email", "deterministic": true}]});
    send(&cast.api, &other, "PATCH", SETTINGS, &[], paths).await.json(200);
    post(&cast, "e", json!({"email": "a"})).await;
    let event = json!({"id": "e", "properties": {"email": "a"}});
    send(&cast.api, &other, "POST", "/v1/events?wait=applied", &[], event).await.json(202);
    let stored = async |workspace: &str| {
        let scope = TenantScope::for_operator(tenant(workspace));
        cast.api.stored_properties(&scope, "e").await
    };
    let (a, b) = (stored("a").await, stored("b").await);
    assert!(a.starts_with("{\"email\":\"nmenc1.d.1.") && a != b, "{a} {b}");
    let encryption = EncryptionOfRegister(cast.api.access.clone());
    let lens = encryption.of(&TenantScope::for_operator(tenant("b"))).unwrap().lens();
    let value = a.strip_prefix("{\"email\":").unwrap().strip_suffix('}').unwrap();
    assert_eq!(lens.value_at("email", value), "\"<unreadable>\"");
}

#[tokio::test]
async fn a_query_compares_values_of_deterministic_paths_over_all_versions_of_the_key_and_of_no_others() {
    let cast = Cast::new().await;
    post(&cast, "before", json!({"city": "Bern", "email": "x"})).await;
    encrypt(&cast, &[("city", true), ("email", false), ("amount", true), ("person", true)]).await.json(200);
    for (index, city) in ["Bern", "Rome", "Bern", "Rome", "Bern"].into_iter().enumerate() {
        if index == 2 {
            assert_eq!(
                cast.ask("owner", "POST", &format!("{SETTINGS}/rotate"), json!({})).await.json(200)["key_version"],
                2
            );
        }
        post(&cast, &format!("e{index}"), json!({"city": city, "email": "x", "amount": index, "person": {"a": 1}}))
            .await;
    }
    let owner = cast.bearer("owner");
    let count = json!({"op": "count"});
    let by_city =
        json!({"aggregations": [count, {"op": "sum", "field": "properties.amount"}], "group_by": ["properties.city"]});
    let rows = query(&cast, &owner, by_city.clone()).await.json(200)["rows"].clone();
    assert_eq!(rows, json!([["Bern", 4, 6], ["Rome", 2, 4]]));
    let filter = json!({"field": "properties.city", "op": "eq", "value": "Rome"});
    let filtered = json!({"aggregations": [count, {"op": "unique", "field": "properties.city"}], "filter": filter});
    assert_eq!(query(&cast, &owner, filtered.clone()).await.json(200)["rows"], json!([[2, 1]]));
    // Who may not see them sees one text in place of all, and cannot try values out.
    let reader = cast.bearer("key read");
    let rows = query(&cast, &reader, by_city).await.json(200)["rows"].clone();
    assert_eq!(rows, json!([["<encrypted>", 5, null], ["Bern", 1, null]]));
    assert_eq!(query(&cast, &reader, filtered).await.json(200)["rows"], json!([[0, 0]]));
    for caller in [&owner, &reader] {
        for (part, path) in [
            (json!({"group_by": ["properties.email"]}), "properties.email"),
            (json!({"group_by": ["properties.email.of"]}), "properties.email"),
            (json!({"group_by": ["properties.person.a"]}), "properties.person.a"),
            (json!({"filter": {"not": 1}}), ""),
            (
                json!({"filter": {"or": [filter.clone(), {"field": "properties.email", "op": "eq", "value": "x"}]}}),
                "properties.email",
            ),
            (json!({"aggregations": [{"op": "unique", "field": "properties.email"}]}), "properties.email"),
            (json!({"aggregations": [{"op": "max", "field": "properties.\"email\""}]}), "properties.\"email\""),
        ] {
            let mut body = json!({"aggregations": [count]});
            body.as_object_mut().unwrap().extend(part.as_object().unwrap().clone());
            let answer = query(&cast, caller, body).await;
            if path.is_empty() {
                answer.problem(400);
                continue;
            }
            let refused = answer.problem(422);
            assert_eq!(refused["type"], "urn:nilometer:problem:encrypted-path");
            assert!(refused["detail"].as_str().unwrap().contains(path), "{refused}");
        }
        let counted = json!({
            "aggregations": [{"op": "count", "field": "properties.email"}],
            "filter": {"field": "properties.email", "op": "exists", "value": true},
        });
        assert_eq!(query(&cast, caller, counted).await.json(200)["rows"], json!([[6]]));
    }
    // What was encrypted stays so, also when the path is no longer listed.
    encrypt(&cast, &[]).await.json(200);
    query(&cast, &owner, json!({"aggregations": [count], "group_by": ["properties.email"]})).await.problem(422);
    assert_eq!(seen(&cast, &owner, "e0").await["email"], "x");
    assert_eq!(seen(&cast, &reader, "e0").await["email"], "<encrypted>");
}

#[tokio::test]
async fn a_noted_query_holds_nothing_that_encrypted_values_are_compared_with() {
    let cast = Cast::new().await;
    encrypt(&cast, &[("city", true)]).await.json(200);
    cast.ask("owner", "PATCH", "/v1/workspace", json!({"audit_reads": true})).await.json(200);
    let filter = |city: Value| {
        let plan = json!({"field": "properties.plan", "op": "eq", "value": "pro"});
        json!({"or": [{"field": "properties.city", "op": "in", "value": city}, plan]})
    };
    let body = json!({"aggregations": [{"op": "count"}], "filter": filter(json!(["Rome"]))});
    query(&cast, &cast.bearer("owner"), body).await.json(200);
    let log = cast.ask("owner", "GET", "/v1/audit?action=events.read", Value::Null).await.json(200);
    assert_eq!(log["data"][0]["after"]["query"]["filter"], filter(json!("<encrypted>")), "{log}");
}

#[tokio::test]
async fn what_the_server_reads_itself_is_no_path_and_a_path_keeps_how_it_is_bound() {
    let cast = Cast::new().await;
    for path in [
        "tokens",
        "inputTokens",
        "input-tokens",
        "model",
        "latency_ms",
        "usage",
        "usage.prompt_tokens",
        "usageMetadata",
        "response.id",
        "cacheReadTokens",
        "cached_content_token_count",
        "customer",
        "customerId",
        "user",
        "project",
        "tenant",
        "endpoint.x",
        "\"model\"",
    ] {
        let refused = encrypt(&cast, &[("email", false), (path, false)]).await.problem(422);
        assert_eq!(refused["field"], "paths[1].path", "{path}: {refused}");
        assert!(refused["detail"].as_str().unwrap().contains(path), "{refused}");
    }
    for path in ["", "a..b", "\"a", &"x".repeat(5_000)] {
        assert_eq!(encrypt(&cast, &[(path, false)]).await.problem(422)["field"], "paths[0].path");
    }
    assert_eq!(encrypt(&cast, &[("a", false), ("a", false)]).await.problem(422)["field"], "paths[1].path");
    let many: Vec<_> = (0..65).map(|n| format!("p{n}")).collect();
    let many: Vec<_> = many.iter().map(|path| (path.as_str(), false)).collect();
    assert_eq!(encrypt(&cast, &many).await.problem(422)["field"], "paths");
    let none = cast.ask("viewer", "GET", SETTINGS, Value::Null).await.json(200);
    assert_eq!((&none["paths"], &none["key_version"], &none["version"]), (&json!([]), &Value::Null, &json!(0)));
    cast.ask("owner", "POST", &format!("{SETTINGS}/rotate"), json!({})).await.problem(409);

    assert_eq!(encrypt(&cast, &[("a", false), ("d", true)]).await.header("etag"), "\"1\"");
    encrypt(&cast, &[("a", true)]).await.problem(422);
    encrypt(&cast, &[]).await.json(200);
    encrypt(&cast, &[("d", false)]).await.problem(422);
    encrypt(&cast, &[("d", true)]).await.json(200);
    let forbid = json!({"allow_deterministic": false});
    assert_eq!(cast.ask("owner", "PATCH", SETTINGS, forbid.clone()).await.problem(422)["field"], "allow_deterministic");
    encrypt(&cast, &[("a", false)]).await.json(200);
    cast.ask("owner", "PATCH", SETTINGS, forbid).await.json(200);
    encrypt(&cast, &[("d", true)]).await.problem(422);
    let stale = cast.ask_with("owner", "PATCH", SETTINGS, &[("if-match", "\"1\"")], json!({"paths": []})).await;
    stale.problem(412);
    let log = cast.ask("owner", "GET", "/v1/audit?target=encryption", Value::Null).await.json(200);
    assert_eq!(
        log["data"][0]["after"],
        json!({"paths": [{"path": "a", "deterministic": false}], "allow_deterministic": false})
    );
    assert_eq!(log["data"].as_array().unwrap().len(), 5, "{log}");
}

#[tokio::test]
async fn ciphertext_and_what_stands_for_it_are_refused_from_clients() {
    let cast = Cast::new().await;
    encrypt(&cast, &[("email", false)]).await.json(200);
    post(&cast, "e", json!({"email": {"of": ["a"]}})).await;
    let scope = TenantScope::for_operator(tenant("a"));
    let stored: Value = serde_json::from_str(&cast.api.stored_properties(&scope, "e").await).unwrap();
    for (properties, is_refused) in [
        (stored.clone(), true),
        (json!({"other": [stored["email"]]}), true),
        (json!({"email": "<encrypted>"}), true),
        (json!({"email": "<unreadable>"}), true),
        (json!({"other": "<encrypted>"}), false),
        (json!({"email": ["<encrypted>"]}), false),
    ] {
        let event = json!({"type": "t", "properties": properties});
        let answer = cast.ask("key ingest", "POST", "/v1/events", event).await;
        if is_refused {
            assert_eq!(answer.problem(422)["results"][0]["code"], "encrypted_value", "{properties}");
        } else {
            answer.json(202);
        }
    }
    // A retry is one, also after a rotation and when its path is no longer encrypted; another value is another payload.
    let code = async |value: &str| post(&cast, "r", json!({"email": value})).await["results"][0].clone();
    assert_eq!(code("x").await["status"], "accepted");
    cast.ask("owner", "POST", &format!("{SETTINGS}/rotate"), json!({})).await.json(200);
    for _ in 0..2 {
        assert_eq!((&code("x").await["status"], &code("x").await["code"]), (&json!("duplicate"), &Value::Null));
        assert_eq!(code("y").await["code"], "payload_mismatch");
        encrypt(&cast, &[]).await.json(200);
    }
}

#[tokio::test]
async fn a_destroyed_key_leaves_nothing_readable_and_nothing_encrypting() {
    let cast = Cast::new().await;
    encrypt(&cast, &[("email", false)]).await.json(200);
    post(&cast, "e", json!({"email": "a"})).await;
    let encryption = EncryptionOfRegister(cast.api.access.clone());
    let (scope, other) = (TenantScope::for_operator(tenant("a")), TenantScope::for_operator(tenant("b")));
    let By { cause, .. } = by();
    encryption.destroy_data_key(&other, &cause).await.unwrap();
    assert_eq!(seen(&cast, &cast.bearer("owner"), "e").await["email"], "a", "another workspace's is another's");
    for _ in 0..2 {
        encryption.destroy_data_key(&scope, &Cause::command()).await.unwrap();
        assert_eq!(seen(&cast, &cast.bearer("owner"), "e").await["email"], "<unreadable>");
    }
    let now = cast.ask("owner", "GET", SETTINGS, Value::Null).await.json(200);
    assert_eq!((&now["paths"], &now["key_version"]), (&json!([]), &Value::Null));
    let log = cast.ask("owner", "GET", "/v1/audit?action=data-key.destroy", Value::Null).await.json(200);
    assert_eq!(log["data"].as_array().unwrap().len(), 1);
    // A path that is listed again makes a new key, of a number that was never used.
    assert_eq!(encrypt(&cast, &[("email", false)]).await.json(200)["key_version"], 2);
    post(&cast, "f", json!({"email": "b"})).await;
    assert_eq!(seen(&cast, &cast.bearer("owner"), "f").await["email"], "b");
    assert_eq!(seen(&cast, &cast.bearer("owner"), "e").await["email"], "<unreadable>");
}
