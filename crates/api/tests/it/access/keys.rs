//! API keys: made, used, bound, rotated, revoked, registered.

use domain::access::rights::KeyScope;
use domain::tenant::Keyring;
use serde_json::{Value, json};

use super::cast::{Cast, by, new_key, send, tenant};
use crate::harness::{Reach, Reply};

fn id_of(key: &str) -> String {
    key.split('_').nth(2).unwrap().to_owned()
}

async fn with(cast: &Cast, key: &str, method: &str, path: &str, body: Value) -> Reply {
    send(&cast.api, &format!("Bearer {key}"), method, path, &[], body).await
}

async fn make(cast: &Cast, caller: &str, fields: Value) -> String {
    let made = cast.ask(caller, "POST", "/v1/keys", fields).await.json(201);
    made["key"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_key_is_shown_once_and_opens_its_workspace() {
    let cast = Cast::new().await;
    let made = cast.ask("admin", "POST", "/v1/keys", json!({"name": "web", "scopes": ["ingest", "read"]})).await;
    let made = made.json(201);
    let key = made["key"].as_str().unwrap();
    assert!(key.starts_with(made["prefix"].as_str().unwrap()), "{made}");
    let sent = with(&cast, key, "POST", "/v1/events?wait=applied", json!({"id": "e1"})).await.json(202);
    assert_eq!(sent["accepted"], 1);
    assert_eq!(with(&cast, key, "GET", "/v1/events/e1", Value::Null).await.json(200)["tenant"], "a");
    let listed = cast.ask("admin", "GET", "/v1/keys?limit=1000", Value::Null).await;
    assert!(!listed.text().contains(key), "the secret is never listed");
    let own = format!("/v1/keys/{}", made["id"].as_str().unwrap());
    let read = cast.ask("admin", "GET", &own, Value::Null).await.json(200);
    assert_eq!((&read["status"], &read["created_by"].as_str().unwrap()[..5]), (&json!("active"), "user:"));
    assert!(read["last_used"].is_string(), "{read}");
    for broken in [&key[..key.len() - 1], &format!("{key}0"), &key.replacen("live", "test", 1)] {
        let refused = with(&cast, broken, "GET", "/v1/events", Value::Null).await.problem(401);
        assert!(refused["detail"].as_str().unwrap().contains("not whole"), "{refused}");
    }
}

#[tokio::test]
async fn a_key_makes_no_wider_key() {
    let cast = Cast::new().await;
    let later = "2026-12-24T00:00:00Z";
    let fields =
        json!({"name": "limited", "scopes": ["admin", "read"], "expires": later, "addresses": ["127.0.0.0/8"]});
    let limited = make(&cast, "owner", fields).await;
    let within = json!({"name": "n", "scopes": ["read"], "expires": later, "addresses": ["127.0.0.1"]});
    let made = with(&cast, &limited, "POST", "/v1/keys", within.clone()).await.json(201);
    for (field, value) in [
        ("scopes", json!(["ingest"])),
        ("scopes", json!(["read", "admin", "ingest"])),
        ("expires", json!("2026-12-25T00:00:00Z")),
        ("expires", Value::Null),
        ("addresses", json!([])),
        ("addresses", json!(["127.0.0.1", "0.0.0.0/0"])),
    ] {
        let mut wider = within.clone();
        wider[field] = value;
        let refused = with(&cast, &limited, "POST", "/v1/keys", wider.clone()).await.problem(403);
        assert!(refused["detail"].as_str().unwrap().contains("only manage keys"), "{wider}: {refused}");
    }
    let own = format!("/v1/keys/{}", made["id"].as_str().unwrap());
    with(&cast, &limited, "PATCH", &own, json!({"expires": null})).await.problem(403);
    with(&cast, &limited, "PATCH", &own, json!({"addresses": []})).await.problem(403);
    let ingest = id_of(&cast.credentials["key ingest"]);
    with(&cast, &limited, "DELETE", &format!("/v1/keys/{ingest}"), Value::Null).await.problem(403);
    with(&cast, &limited, "POST", &format!("/v1/keys/{ingest}/rotate"), json!({})).await.problem(403);
    with(&cast, &limited, "DELETE", &own, Value::Null).await.json(200);
}

#[tokio::test]
async fn a_rotated_key_goes_on_for_its_overlap_and_no_longer() {
    let cast = Cast::new().await;
    let old = make(&cast, "owner", json!({"name": "n", "scopes": ["read"]})).await;
    let rotate = format!("/v1/keys/{}/rotate", id_of(&old));
    let new = cast.ask("owner", "POST", &rotate, json!({"overlap_sec": 60})).await.json(201);
    let new = new["key"].as_str().unwrap();
    let status = async |key: &str| with(&cast, key, "GET", "/v1/events", Value::Null).await.status;
    assert_eq!((status(&old).await, status(new).await), (200, 200));
    cast.api.clock.advance(std::time::Duration::from_secs(61));
    assert_eq!((status(&old).await, status(new).await), (401, 200));
    // Its time is over: no rotation brings it back.
    cast.ask("owner", "POST", &rotate, json!({})).await.problem(409);
    let at_once = format!("/v1/keys/{}/rotate", id_of(new));
    let last = cast.ask("owner", "POST", &at_once, json!({"overlap_sec": 0})).await.json(201);
    assert_eq!((status(new).await, status(last["key"].as_str().unwrap()).await), (401, 200));
    cast.ask("owner", "POST", &at_once, json!({"overlap_sec": 2_592_001})).await.problem(400);
}

#[tokio::test]
async fn a_key_of_a_project_writes_and_reads_that_project_alone() {
    let cast = Cast::new().await;
    for project in ["web", "app"] {
        cast.ask("admin", "POST", "/v1/projects", json!({"id": project})).await.json(201);
    }
    let fields = json!({"name": "web", "scopes": ["ingest", "read"], "project": "web"});
    let web = make(&cast, "admin", fields).await;
    let events = json!([{"id": "w1", "user": "u1"}, {"id": "w2", "project": "web"}, {"id": "x", "project": "app"}]);
    let sent = with(&cast, &web, "POST", "/v1/events?wait=applied", events).await.json(202);
    assert_eq!((&sent["accepted"], &sent["rejected"]), (&json!(2), &json!(1)));
    assert_eq!(sent["results"][2]["code"], "project_mismatch");
    let other = json!({"id": "a1", "project": "app", "user": "u2"});
    cast.ask("member", "POST", "/v1/events?wait=applied", other).await.json(202);

    let listed = with(&cast, &web, "GET", "/v1/events", Value::Null).await.json(200);
    assert_eq!(listed["data"].as_array().unwrap().len(), 2);
    with(&cast, &web, "GET", "/v1/events/w1", Value::Null).await.json(200);
    with(&cast, &web, "GET", "/v1/events/a1", Value::Null).await.problem(404);
    with(&cast, &web, "GET", "/v1/events?project=app", Value::Null).await.problem(403);
    let query = json!({"aggregations": [{"op": "count"}]});
    let rows = with(&cast, &web, "POST", "/v1/query", query.clone()).await.json(200);
    assert_eq!(rows["rows"][0][0], 2, "{rows}");
    let any = json!({"aggregations": [{"op": "count"}], "filter": {"or": [
        {"field": "project", "op": "eq", "value": "app"}, {"field": "project", "op": "exists"}]}});
    assert_eq!(with(&cast, &web, "POST", "/v1/query", any).await.json(200)["rows"][0][0], 2);
    let top = with(&cast, &web, "GET", "/stats/top-events", Value::Null).await.json(200);
    assert!(top.to_string().contains("\"count\":2"), "{top}");
    let series = with(&cast, &web, "GET", "/v1/analytics?metric=count", Value::Null).await.json(200);
    assert!(!series.to_string().contains("\"value\":3"), "{series}");
    let dau = with(&cast, &web, "GET", "/stats/dau", Value::Null).await.json(200);
    assert!(!dau.to_string().contains("\"users\":2"), "{dau}");
    for path in ["/v1/customers", "/v1/windows", "/accounts/sample", "/v1/live", "/reference/users", "/v1/settings"] {
        let refused = with(&cast, &web, "GET", path, Value::Null).await.problem(403);
        assert!(refused["detail"].as_str().unwrap().contains("bound to a project"), "{path}: {refused}");
    }
    for (fields, field) in [
        (json!({"name": "n", "scopes": ["read"], "project": "none"}), "project"),
        (json!({"name": "n", "scopes": ["admin"], "project": "web"}), "scopes"),
        (json!({"name": "n", "scopes": []}), "scopes"),
        (json!({"name": "n", "scopes": ["everything"]}), "scopes"),
        (json!({"name": " ", "scopes": ["read"]}), "name"),
        (json!({"name": "n", "scopes": ["read"], "expires": "2026-11-21T10:00:10Z"}), "expires"),
        (json!({"name": "n", "scopes": ["read"], "addresses": ["127.0.0.1", "here"]}), "addresses[1]"),
    ] {
        assert_eq!(
            cast.ask("admin", "POST", "/v1/keys", fields.clone()).await.problem(400)["field"],
            field,
            "{fields}"
        );
    }
}

#[tokio::test]
async fn a_key_made_elsewhere_is_registered_and_opens_the_workspace() {
    let cast = Cast::new().await;
    let register = async |key: &str, scopes: Value, allow_weak: bool| {
        let fields = json!({"name": "theirs", "scopes": scopes, "key": key, "allow_weak": allow_weak});
        cast.ask("admin", "POST", "/v1/keys", fields).await
    };
    let theirs = "phc_0123456789abcdefghij";
    let made = register(theirs, json!(["ingest"]), false).await.json(201);
    assert!(made.get("key").is_none() && made.get("prefix").is_none(), "{made}");
    with(&cast, theirs, "POST", "/v1/events", json!({"id": "e"})).await.json(202);
    with(&cast, "phc_0123456789abcdefghik", "POST", "/v1/events", json!({"id": "e"})).await.problem(401);
    assert_eq!(register(theirs, json!(["ingest"]), false).await.problem(409)["field"], "key");
    assert_eq!(register("short-key", json!(["ingest"]), false).await.problem(400)["field"], "key");
    assert_eq!(register("short-key", json!(["read"]), true).await.problem(400)["field"], "scopes");
    register("short-key", json!(["ingest"]), true).await.json(201);
    for bad in
        ["1234567", "nm_live_0123456789abcdefghij", "eyJhbGciOi.0123456789.abcdefg", "with a space in it now", ""]
    {
        assert_eq!(register(bad, json!(["ingest"]), true).await.problem(400)["field"], "key", "{bad}");
    }
    register(&"x".repeat(513), json!(["ingest"]), true).await.problem(400);
    register(&"x".repeat(512), json!(["ingest"]), true).await.json(201);
    let own = format!("/v1/keys/{}", made["id"].as_str().unwrap());
    cast.ask("admin", "POST", &format!("{own}/rotate"), json!({})).await.problem(409);
    cast.ask("admin", "DELETE", &own, Value::Null).await.json(200);
    with(&cast, theirs, "POST", "/v1/events", json!({"id": "e"})).await.problem(401);
}

/// I5: whose text it is, in another workspace or in the configuration, is not told, and the server's log tells it.
#[tokio::test]
async fn i5_a_text_that_another_holds_is_refused_alike_whoever_that_is_and_free_when_it_is_revoked() {
    let mut configured = Keyring::new();
    configured.add(tenant("b"), "configured-key-of-b-0001").unwrap();
    let cast = Cast::with(configured, Reach::default()).await;
    let theirs = "phc_0123456789abcdefghij";
    let register = async |workspace: &str, key: &str| {
        let fields = json!({"name": "theirs", "scopes": ["ingest"], "key": key});
        match workspace {
            "a" => cast.ask("admin", "POST", "/v1/keys", fields).await,
            _ => cast.ask("operator", "POST", &format!("/v1/workspaces/{workspace}/keys"), fields).await,
        }
    };
    let of_b = register("b", theirs).await.json(201);
    let (foreign, of_configuration) =
        (register("a", theirs).await.problem(409), register("a", "configured-key-of-b-0001").await.problem(409));
    for field in ["type", "detail", "field"] {
        assert_eq!(foreign[field], of_configuration[field]);
    }
    let (all, id) = (foreign.to_string(), of_b["id"].as_str().unwrap());
    assert!(!all.contains(id) && !all.contains(theirs), "{all}");
    // The own workspace may know: it sees its keys.
    let own = register("b", theirs).await.problem(409);
    assert!(own["detail"].as_str().unwrap().contains("of this workspace"), "{own}");

    let log = async |caller: &str, path: &str| {
        let found = cast.ask(caller, "GET", path, Value::Null).await.json(200);
        let is_it = |entry: &&Value| entry["action"] == "key.register.refused";
        found["data"].as_array().unwrap().iter().filter(is_it).cloned().collect::<Vec<_>>()
    };
    let of_server = log("operator", "/v1/server/audit").await;
    assert_eq!(of_server.len(), 1, "once a minute for one who tries: {of_server:?}");
    assert_eq!(of_server[0]["target"], format!("key:{id}"));
    assert_eq!((&of_server[0]["after"]["workspace"], &of_server[0]["after"]["holder"]), (&json!("a"), &json!("b")));
    let of_a = log("admin", "/v1/audit?limit=1000").await;
    assert_eq!(of_a.len(), 1);
    assert!(of_a[0]["target"] == "key" && of_a[0]["after"].is_null(), "the holder is not named: {of_a:?}");
    cast.api.clock.advance(std::time::Duration::from_secs(61));
    register("a", "configured-key-of-b-0001").await.problem(409);
    let of_server = log("operator", "/v1/server/audit").await;
    assert_eq!(
        (&of_server[0]["target"], &of_server[0]["after"]["not_noted_before"]),
        (&json!("configuration"), &json!(1))
    );

    cast.api.access.revoke_key(&by(), Some(&tenant("b")), id, None).await.unwrap();
    with(&cast, theirs, "POST", "/v1/events", json!({"id": "e"})).await.problem(401);
    register("a", theirs).await.json(201);
    with(&cast, theirs, "POST", "/v1/events?wait=applied", json!({"id": "e"})).await.json(202);
    assert_eq!(cast.ask("member", "GET", "/v1/events/e", Value::Null).await.json(200)["tenant"], "a");
    register("b", theirs).await.problem(409);
}

#[tokio::test]
async fn a_repeated_creation_makes_nothing_new() {
    let cast = Cast::new().await;
    let fields = json!({"name": "once", "scopes": ["read"]});
    let once = [("idempotency-key", "create-1")];
    let made = cast.ask_with("admin", "POST", "/v1/keys", &once, fields.clone()).await.json(201);
    let again = cast.ask_with("admin", "POST", "/v1/keys", &once, fields.clone()).await.problem(409);
    assert!(again["type"].as_str().unwrap().ends_with("already_created"), "{again}");
    assert!(again["detail"].as_str().unwrap().contains(made["id"].as_str().unwrap()), "{again}");
    assert!(!again.to_string().contains(made["key"].as_str().unwrap()));
    let other = json!({"name": "other", "scopes": ["read"]});
    cast.ask_with("admin", "POST", "/v1/keys", &once, other).await.problem(422);
    // Of another caller it is another key.
    cast.ask_with("owner", "POST", "/v1/keys", &once, fields.clone()).await.json(201);
    for (path, fields) in [("/v1/workspaces", json!({"id": "c"})), ("/v1/workspaces", json!({"id": "d", "name": "D"}))]
    {
        let id = fields["id"].as_str().unwrap().to_owned();
        let key = [("idempotency-key", &*id)];
        let made = cast.ask_with("operator", "POST", path, &key, fields.clone()).await.json(201);
        assert_eq!(cast.ask_with("operator", "POST", path, &key, fields).await.json(201), made);
    }
    let key = [("idempotency-key", "p")];
    let made = cast.ask_with("admin", "POST", "/v1/projects", &key, json!({"id": "web"})).await.json(201);
    assert_eq!(cast.ask_with("admin", "POST", "/v1/projects", &key, json!({"id": "web"})).await.json(201), made);
    let person = json!({"email": "new@example.com", "role": "viewer"});
    cast.ask_with("admin", "POST", "/v1/invitations", &key, person.clone()).await.json(201);
    cast.ask_with("admin", "POST", "/v1/invitations", &key, person).await.problem(409);
    cast.api.clock.advance(std::time::Duration::from_secs(24 * 3_600));
    let made = cast.api.access.create_key(&by(), Some(&tenant("a")), new_key(&[KeyScope::Read]), None).await;
    assert!(made.is_ok());
    for bad in ["", "with space", &"x".repeat(257)] {
        let headers = [("idempotency-key", bad)];
        let refused = cast.ask_with("operator", "POST", "/v1/workspaces", &headers, json!({"id": "e"})).await;
        assert_eq!(refused.problem(400)["field"], "Idempotency-Key", "{bad}");
    }
}

#[tokio::test]
async fn of_two_changes_of_one_version_one_counts() {
    let cast = Cast::new().await;
    let key = id_of(&make(&cast, "owner", json!({"name": "n", "scopes": ["read"]})).await);
    let path = format!("/v1/keys/{key}");
    let read = cast.ask("owner", "GET", &path, Value::Null).await;
    let tag = read.header("etag").to_owned();
    assert_eq!(tag, "\"1\"");
    let change = async |name: &str| {
        cast.ask_with("owner", "PATCH", &path, &[("if-match", &tag)], json!({"name": name})).await.status
    };
    let (one, two) = tokio::join!(change("one"), change("two"));
    let mut both = [one, two];
    both.sort_unstable();
    assert_eq!(both, [200, 412]);
    assert_eq!(cast.ask("owner", "GET", &path, Value::Null).await.header("etag"), "\"2\"");
    cast.ask_with("owner", "DELETE", &path, &[("if-match", "\"1\"")], Value::Null).await.problem(412);
    cast.ask_with("owner", "DELETE", &path, &[("if-match", "one")], Value::Null).await.problem(412);
    cast.ask_with("owner", "DELETE", &path, &[("if-match", "*")], Value::Null).await.json(200);
    cast.ask("owner", "PATCH", &path, json!({"name": "late"})).await.problem(409);
    cast.ask("owner", "DELETE", &path, Value::Null).await.json(200);
}

#[tokio::test]
async fn a_key_from_a_wrong_address_is_refused_and_a_key_of_another_workspace_is_not_there() {
    let cast = Cast::new().await;
    let far = make(&cast, "owner", json!({"name": "n", "scopes": ["read"], "addresses": ["192.0.2.0/24"]})).await;
    let refused = with(&cast, &far, "GET", "/v1/events", Value::Null).await.problem(403);
    assert!(refused["detail"].as_str().unwrap().contains("address"), "{refused}");
    let theirs = cast.api.access.create_key(&by(), Some(&tenant("b")), new_key(&[KeyScope::Read]), None).await.unwrap();
    let foreign = format!("/v1/keys/{}", theirs.key.id);
    for (method, body) in [("GET", Value::Null), ("PATCH", json!({"name": "mine"})), ("DELETE", Value::Null)] {
        let of_b = cast.ask("owner", method, &foreign, body.clone()).await.problem(404);
        let of_nobody = cast.ask("owner", method, "/v1/keys/AAAAAAAAAAAA", body).await.problem(404);
        assert_eq!(of_b["detail"], of_nobody["detail"]);
    }
    with(&cast, theirs.text.as_ref().unwrap().expose(), "GET", "/v1/events", Value::Null).await.json(200);
}

/// Found in November 2026: a key shortened the life of one that it may not revoke, and the operator's made a wider one.
#[tokio::test]
async fn a_key_changes_nothing_that_it_may_not_make() {
    let cast = Cast::new().await;
    let limited = make(&cast, "owner", json!({"name": "n", "scopes": ["admin", "read"]})).await;
    let wider = make(&cast, "owner", json!({"name": "n", "scopes": ["ingest"]})).await;
    let path = format!("/v1/keys/{}", id_of(&wider));
    with(&cast, &limited, "PATCH", &path, json!({"expires": "2026-11-21T10:01:00Z"})).await.problem(403);
    let same = cast.ask("owner", "PATCH", &path, json!({})).await.json(200);
    assert_eq!(same["version"], 1, "nothing has changed");
    let short = json!({"name": "n", "expires": "2026-11-21T11:00:00Z", "addresses": ["127.0.0.1"]});
    let short = cast.ask("operator", "POST", "/v1/server/keys", short).await.json(201)["key"].clone();
    let short = short.as_str().unwrap();
    with(&cast, short, "POST", "/v1/server/keys", json!({"name": "n"})).await.problem(403);
    with(&cast, short, "POST", "/v1/workspaces/a/keys", json!({"name": "n", "scopes": ["read"]})).await.json(201);
    let tag = [("if-match", "\"7\"")];
    cast.ask_with("owner", "POST", &format!("{path}/rotate"), &tag, json!({})).await.problem(412);
}

/// I5: what a key of one project opens is listed here, and a new route is not among it by itself.
#[tokio::test]
async fn i5_a_key_of_a_project_opens_these_routes_and_no_other() {
    const OPEN: [&str; 19] = [
        "GET /analytics",
        "GET /stats/dau",
        "GET /stats/mau",
        "GET /stats/retention",
        "GET /stats/top-events",
        "GET /stats/wau",
        "GET /v1/analytics",
        "GET /v1/events",
        "GET /v1/events/none",
        "GET /v1/receipts/none",
        "GET /v1/stats/dau",
        "GET /v1/stats/mau",
        "GET /v1/stats/retention",
        "GET /v1/stats/top-events",
        "GET /v1/stats/wau",
        "POST /events",
        "POST /v1/events",
        "POST /v1/ingest",
        "POST /v1/query",
    ];
    let cast = Cast::new().await;
    cast.ask("admin", "POST", "/v1/projects", json!({"id": "web"})).await.json(201);
    let fields = json!({"name": "web", "scopes": ["ingest", "read", "decrypt"], "project": "web"});
    let web = make(&cast, "owner", fields).await;
    let mut open = Vec::new();
    let mut refused = 0;
    for route in super::matrix::routes() {
        let reply = with(&cast, &web, &route.method, &route.target, super::matrix::body(&route)).await;
        let what = format!("{} {}", route.method, route.target);
        assert!(reply.status < 500 && reply.status != 401, "{what}: {}", reply.text());
        match &*route.needs {
            "none" | "server, with window aggregates:read" => {}
            "login" => assert_eq!(reply.status, 403, "{what}"),
            _ if reply.status == 403 => {
                let detail = reply.problem(403)["detail"].as_str().unwrap().to_owned();
                let is_why = ["bound to a project", "this needs the permission"].iter().any(|why| detail.contains(why));
                assert!(is_why, "{what}: {detail}");
                refused += 1;
            }
            _ => open.push(what),
        }
    }
    open.sort_unstable();
    assert_eq!(open, OPEN);
    assert!(refused > 40, "{refused}");
    let metrics = with(&cast, &web, "GET", "/metrics?window=0", Value::Null).await.problem(403);
    assert!(metrics["detail"].as_str().unwrap().contains("bound to a project"), "{metrics}");
}

/// A creation by its path: who makes it, with what in the place of the ids, what is sent, and where those that were made
/// are listed.
async fn creation(cast: &Cast, path: &str) -> (&'static str, String, Value, &'static str) {
    let key = json!({"name": "once", "scopes": ["read"]});
    let (caller, id, body, listed) = match path {
        "/v1/keys" => ("owner", String::new(), key, "/v1/keys"),
        "/v1/keys/{id}/rotate" => ("owner", id_of(&make(cast, "owner", key).await), json!({}), "/v1/keys"),
        "/v1/signing-secrets" => ("owner", String::new(), json!({"name": "once"}), "/v1/signing-secrets"),
        "/v1/projects" => ("owner", String::new(), json!({"id": "once"}), "/v1/projects"),
        "/v1/invitations" => {
            let invited = json!({"email": "once@example.com", "role": "viewer"});
            ("owner", String::new(), invited, "/v1/invitations")
        }
        "/v1/workspaces" => ("operator", String::new(), json!({"id": "once"}), "/v1/workspaces"),
        "/v1/workspaces/{id}/members" => {
            ("operator", "a".to_owned(), json!({"email": "made@example.com", "role": "viewer"}), "/v1/users")
        }
        "/v1/workspaces/{id}/keys" => ("operator", "a".to_owned(), key, "/v1/workspaces/a/keys"),
        "/v1/server/keys" => ("operator", String::new(), json!({"name": "once"}), "/v1/server/keys"),
        _ => panic!("{path}: say here what it makes"),
    };
    (caller, path.replace("{id}", &id), body, listed)
}

/// Every creation of the document, sent several times at once with one `Idempotency-Key`: one thing is made, and who is
/// answered with a secret is one.
#[tokio::test]
async fn every_creation_is_made_once_also_in_parallel() {
    let cast = Cast::new().await;
    let document = serde_json::to_value(api::document()).unwrap();
    let mut checked = 0;
    for (path, operations) in document["paths"].as_object().unwrap() {
        let told = &operations["post"];
        let takes_key = |one: &Value| one["in"] == "header" && one["name"] == "Idempotency-Key";
        let parameters = told["parameters"].as_array();
        let is_creation =
            told["responses"].get("201").is_some() && parameters.is_some_and(|all| all.iter().any(takes_key));
        if !is_creation {
            continue;
        }
        let (caller, target, body, listed) = creation(&cast, path).await;
        let count = async || {
            // The operator lists no keys of a workspace; its owner does.
            let (reader, listed) =
                if listed == "/v1/workspaces/a/keys" { ("owner", "/v1/keys") } else { (caller, listed) };
            let all = cast.ask(reader, "GET", &format!("{listed}?limit=1000"), Value::Null).await.json(200);
            all["data"].as_array().unwrap().len()
        };
        let before = count().await;
        let key = [("idempotency-key", &*format!("once-{checked}"))];
        let send = async || cast.ask_with(caller, "POST", &target, &key, body.clone()).await;
        let replies = futures::future::join_all((0..6).map(|_| send())).await;
        assert_eq!(count().await, before + 1, "{path}");
        let made: Vec<_> = replies.iter().filter(|reply| reply.status == 201).collect();
        let again: Vec<_> =
            replies.iter().filter(|reply| reply.status == 409).map(|reply| reply.problem(409)).collect();
        assert_eq!(made.len() + again.len(), 6, "{path}");
        let has_secret = !matches!(&**path, "/v1/projects" | "/v1/workspaces");
        assert_eq!(made.len(), if has_secret { 1 } else { 6 }, "{path}");
        assert!(made.iter().all(|reply| reply.body == made[0].body), "{path}");
        assert!(again.iter().all(|again| again["type"].as_str().unwrap().ends_with("already_created")), "{path}");
        let later = send().await;
        assert_eq!(later.status, if has_secret { 409 } else { 201 }, "{path}");
        checked += 1;
    }
    assert_eq!(checked, 9);
}
