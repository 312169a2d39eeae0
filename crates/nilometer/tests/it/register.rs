//! The commands on the register, over the folder of a stopped server and against a running one.
#![expect(clippy::disallowed_methods, reason = "small files of a test's own folder")]

use std::path::Path;

use serde_json::{Value, json};

use crate::harness::{Server, nilometer, run, stderr, stdout};

/// The answer of a command that succeeds.
fn answer(args: &[&str]) -> Value {
    let output = run(args);
    assert_eq!(output.status.code(), Some(0), "{args:?}: {}", stderr(&output));
    serde_json::from_str(stdout(&output)).unwrap()
}

fn prod(data: &Path) -> Server {
    Server::with(data, &["--profile", "prod"])
}

fn with_key(server: &Server, key: &str, method: &str, path: &str, body: Value) -> (u16, Value) {
    let bearer = format!("Bearer {key}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    server.send(method, path, &headers, if body.is_null() { String::new() } else { body.to_string() })
}

/// Sets limits of the workspace `beta` and of its key, and takes them back.
fn limit_workspace_and_key(server: &Server, on: &[&str], key: &str, id: &str) {
    let ask = |args: &[&str]| answer(&[args, on].concat());
    let limited = ask(&["admin", "limit", "beta", "--requests-per-sec", "0", "--events-per-sec", "7"]);
    assert_eq!((&limited["requests_per_sec"], &limited["events_per_sec"]), (&json!(0), &json!(7)));
    assert_eq!(with_key(server, key, "GET", "/v1/events", Value::Null).0, 429);
    let limited = ask(&["admin", "limit", "beta", "--requests-per-sec", "server"]);
    assert_eq!((&limited["requests_per_sec"], &limited["events_per_sec"]), (&Value::Null, &json!(7)));
    assert_eq!(ask(&["admin", "limit", "beta", "--key", id, "--requests-per-sec", "5"])["requests_per_sec"], 5);
    let keys = ask(&["admin", "list", "keys", "--workspace", "beta"]);
    assert_eq!(keys["data"].as_array().unwrap().len(), 1, "{keys}");
    assert_eq!((&keys["data"][0]["id"], &keys["data"][0]["requests_per_sec"]), (&json!(id), &json!(5)));
    let whose = run(&[&["admin", "list", "users", "--workspace", "beta"][..], on].concat());
    assert!(stderr(&whose).contains("--workspace") && whose.status.code() == Some(2), "{}", stderr(&whose));
    let refused = run(&[&["admin", "limit", "beta", "--events-per-sec", "1000000001"][..], on].concat());
    assert!(stderr(&refused).contains("events_per_sec") && refused.status.code() == Some(2), "{}", stderr(&refused));
}

#[test]
fn an_operator_begins_with_one_command_and_goes_on_while_the_server_runs() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("new folder");
    let at = folder.to_str().unwrap();
    let made = answer(&["admin", "create-workspace", "acme", "--owner", "ann@example.com", "--data", at]);
    assert_eq!((&made["id"], &made["owner"]["user"]["email"]), (&json!("acme"), &json!("ann@example.com")));
    let token = made["owner"]["password_reset"]["token"].as_str().unwrap().to_owned();
    let key = ["admin", "create-key", "--workspace", "acme", "--name", "k", "--scope", "ingest,read", "--data", at];
    let key = answer(&key)["key"].as_str().unwrap().to_owned();
    let operator = answer(&["admin", "create-key", "--operator", "--name", "op", "--data", at]);
    let operator = operator["key"].as_str().unwrap().to_owned();
    let key_file = data.path().join("operator.key");
    std::fs::write(&key_file, format!("{operator}\n")).unwrap();

    let server = prod(&folder);
    assert_eq!(with_key(&server, &key, "POST", "/v1/events?wait=applied", json!({"id": "e1"})).0, 202);
    assert_eq!(with_key(&server, &key, "GET", "/v1/events/e1", Value::Null).1["tenant"], "acme");
    assert_eq!(server.get("/v1/events").0, 401, "prod has no tenant for requests without a key");
    assert_eq!(server.get("/metrics?window=5").0, 401);
    let reset = json!({"token": token, "password": "correct horse"}).to_string();
    let json_body = [("content-type", "application/json")];
    assert_eq!(server.send("POST", "/v1/auth/reset", &json_body, reset).0, 204);
    let body = json!({"email": "ann@example.com", "password": "correct horse"}).to_string();
    let (status, login) = server.send("POST", "/v1/auth/login", &json_body, body);
    assert_eq!((status, &login["workspaces"][0]["role"]), (200, &json!("owner")));

    let url = server.url();
    let on = ["--url", &url, "--key-file", key_file.to_str().unwrap()];
    let ask = |args: &[&str]| answer(&[args, &on].concat());
    ask(&["admin", "create-workspace", "beta"]);
    let second = ask(&["admin", "create-key", "--workspace", "beta", "--name", "k", "--scope", "read"]);
    let second_id = second["id"].as_str().unwrap().to_owned();
    let second = second["key"].as_str().unwrap();
    assert_eq!(with_key(&server, second, "GET", "/v1/events", Value::Null).1["data"], json!([]));
    ask(&["admin", "create-user", "bob@example.com", "--workspace", "beta", "--role", "viewer"]);
    assert_eq!(ask(&["admin", "list", "users"])["data"].as_array().unwrap().len(), 2);
    assert!(ask(&["admin", "reset-password", "BOB@example.com"])["token"].as_str().unwrap().starts_with("nmp_"));
    ask(&["admin", "suspend", "beta"]);
    assert_eq!(with_key(&server, second, "GET", "/v1/events", Value::Null).0, 403);
    ask(&["admin", "resume", "beta"]);
    assert_eq!(with_key(&server, second, "GET", "/v1/events", Value::Null).0, 200);
    limit_workspace_and_key(&server, &on, second, &second_id);
    assert!(ask(&["admin", "rotate-signing-key"])["kid"].is_string());
    let keys = ask(&["admin", "list", "operator-keys"]);
    let id = keys["data"][0]["id"].as_str().unwrap();
    ask(&["admin", "revoke-operator-key", id]);
    let refused = run(&[&["admin", "list", "workspaces"][..], &on].concat());
    assert!(refused.status.code() == Some(1) && stderr(&refused).contains("revoked"), "{}", stderr(&refused));
    server.stop();

    let listed = answer(&["admin", "list", "workspaces", "--data", at]);
    let ids: Vec<_> = listed["data"].as_array().unwrap().iter().map(|workspace| workspace["id"].clone()).collect();
    assert_eq!(ids, ["acme", "beta"]);
    let exported = run(&["export", "--tenant", "acme", "--data", at]);
    assert_eq!(stdout(&exported).lines().count(), 1);
    let verified = run(&["verify", "--data", at]);
    assert_eq!(verified.status.code(), Some(0), "{}", stdout(&verified));
    let server = prod(&folder);
    let body = json!({"email": "ann@example.com", "password": "correct horse"}).to_string();
    let (_, login) = server.send("POST", "/v1/auth/login", &json_body, body);
    let token = login["access_token"].as_str().unwrap();
    let (_, log) = with_key(&server, token, "GET", "/v1/audit?action=export", Value::Null);
    assert_eq!((&log["data"][0]["actor"], &log["data"][0]["target"]), (&json!("command"), &json!("events")));
}

#[test]
fn a_list_of_more_than_a_page_is_listed_whole() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    let ids: Vec<_> = (0..1_001).map(|n| format!("w{n:04}")).collect();
    for id in &ids {
        assert_eq!(server.post("/v1/workspaces", json!({"id": id}).to_string()).0, 201);
    }
    let (_, page) = server.get("/v1/workspaces?limit=1000");
    assert!(page["next_cursor"].is_string(), "one page does not hold them");
    let listed = |at: &[&str]| {
        let listed = answer(&[&["admin", "list", "workspaces"], at].concat());
        let rows = listed["data"].as_array().unwrap().iter();
        let made = rows.map(|row| row["id"].as_str().unwrap().to_owned()).filter(|id| id != "default");
        made.collect::<Vec<_>>()
    };
    assert_eq!(listed(&["--url", &server.url()]), ids);
    server.stop();
    assert_eq!(listed(&["--data", data.path().to_str().unwrap()]), ids);
}

#[test]
fn a_mistyped_folder_is_no_new_folder() {
    let data = tempfile::tempdir().unwrap();
    let missing = data.path().join("typo");
    let at = missing.to_str().unwrap();
    for args in [
        &["admin", "list", "workspaces"][..],
        &["admin", "suspend", "acme"],
        &["admin", "create-key", "--workspace", "acme", "--name", "k", "--scope", "read"],
        &["admin", "replace-master-key", "--yes"],
    ] {
        let refused = run(&[args, &["--data", at]].concat());
        assert!(!refused.status.success() && stderr(&refused).contains("typo"), "{args:?}: {}", stderr(&refused));
        assert!(!missing.exists(), "{args:?}");
    }
}

#[test]
fn a_lost_master_key_is_told_and_can_be_given_up() {
    let data = tempfile::tempdir().unwrap();
    let at = data.path().to_str().unwrap();
    answer(&["admin", "create-workspace", "acme", "--data", at]);
    let theirs = data.path().join("theirs.key");
    std::fs::write(&theirs, "a-key-that-was-made-elsewhere").unwrap();
    let register = ["admin", "create-key", "--workspace", "acme", "--name", "k", "--scope", "ingest", "--data", at];
    let made = answer(&register)["key"].as_str().unwrap().to_owned();
    answer(&[&register[..], &["--register", theirs.to_str().unwrap()]].concat());
    std::fs::remove_file(data.path().join("master.key")).unwrap();
    for args in [&["serve", "--listen", "127.0.0.1:0", "--data", at][..], &["admin", "list", "users", "--data", at]] {
        let refused = run(args);
        assert!(stderr(&refused).contains("replace-master-key"), "{}", stderr(&refused));
        assert!(!data.path().join("master.key").exists(), "no other key takes its place");
    }
    // The key of access tokens as well.
    assert_eq!(answer(&["admin", "replace-master-key", "--yes", "--old-is-lost", "--data", at])["ended"], 2);
    let server = prod(data.path());
    assert_eq!(with_key(&server, &made, "POST", "/v1/events", json!({"id": "e"})).0, 202);
    let theirs = std::fs::read_to_string(&theirs).unwrap();
    assert_eq!(with_key(&server, &theirs, "POST", "/v1/events", json!({"id": "e"})).0, 401);
    server.stop();
}

/// Real processes are killed while keys are made: each that was answered is there, with its entry in the log.
#[test]
fn i8_a_key_that_was_answered_survives_a_kill() {
    let data = tempfile::tempdir().unwrap();
    let mut made: Vec<String> = Vec::new();
    for round in 0..5 {
        let server = Server::start(data.path());
        for number in 0..10 + round {
            let body = json!({"name": format!("k{round}-{number}"), "scopes": ["read"]}).to_string();
            let (status, key) = server.post("/v1/keys", body);
            assert_eq!(status, 201, "{key}");
            made.push(key["key"].as_str().unwrap().to_owned());
        }
        server.kill();
    }
    let server = Server::start(data.path());
    for key in &made {
        assert_eq!(with_key(&server, key, "GET", "/v1/events", Value::Null).0, 200);
    }
    let (_, log) = server.get("/v1/audit?action=key.create&limit=1000");
    assert_eq!(log["data"].as_array().unwrap().len(), made.len());
    server.stop();
    let verified = run(&["verify", "--data", data.path().to_str().unwrap()]);
    assert_eq!(verified.status.code(), Some(0), "{}", stdout(&verified));
}

/// Logs in on a running server; the whole answer.
fn log_in(server: &Server, email: &str, password: &str) -> (u16, Value) {
    server.post("/v1/auth/login", json!({"email": email, "password": password}).to_string())
}

/// Sets a password by the token of an answer.
fn set_password(server: &Server, reset: &Value, password: &str) {
    let body = json!({"token": reset["token"], "password": password}).to_string();
    assert_eq!(server.post("/v1/auth/reset", body).0, 204, "{reset}");
}

#[test]
fn every_command_works_on_a_stopped_folder() {
    let data = tempfile::tempdir().unwrap();
    let at = ["--data", data.path().to_str().unwrap()];
    let ask = |args: &[&str]| answer(&[args, &at].concat());
    ask(&["admin", "create-workspace", "acme", "--name", "Acme", "--owner", "ann@example.com"]);
    let bob =
        ask(&["admin", "create-user", "bob@example.com", "--workspace", "acme", "--role", "viewer", "--name", "Bob"]);
    assert_eq!((&bob["user"]["name"], &bob["user"]["status"]), (&json!("Bob"), &json!("active")));
    let reset = ask(&["admin", "reset-password", "ANN@example.com"]);
    let first = ask(&["admin", "rotate-signing-key"])["kid"].clone();
    let second = ask(&["admin", "rotate-signing-key"])["kid"].clone();
    assert_ne!(first, second);
    let key = ask(&["admin", "create-key", "--workspace", "acme", "--name", "k", "--scope", "read"])["key"].clone();
    let operator = ask(&["admin", "create-key", "--operator", "--name", "op"]);
    ask(&["admin", "revoke-operator-key", operator["id"].as_str().unwrap()]);
    assert_eq!(ask(&["admin", "suspend", "acme"])["status"], "suspended");
    assert_eq!(ask(&["admin", "limit", "acme", "--events-per-sec", "9"])["events_per_sec"], 9);
    assert_eq!(ask(&["admin", "list", "users"])["data"].as_array().unwrap().len(), 2);
    assert_eq!(ask(&["admin", "list", "operator-keys"])["data"][0]["status"], "revoked");

    let (key, operator) = (key.as_str().unwrap(), operator["key"].as_str().unwrap());
    let server = prod(data.path());
    let (_, told) = with_key(&server, key, "GET", "/v1/events", Value::Null);
    assert_eq!((&told["status"], &told["detail"]), (&json!(403), &json!("the workspace is suspended")));
    assert_eq!(with_key(&server, operator, "GET", "/v1/workspaces", Value::Null).0, 401, "revoked");
    let jwks = server.get("/.well-known/jwks.json").1;
    let kids: Vec<_> = jwks["keys"].as_array().unwrap().iter().map(|key| key["kid"].clone()).collect();
    assert!(kids.contains(&second), "{jwks}");
    set_password(&server, &reset, "correct horse");
    set_password(&server, &bob["password_reset"], "battery staple");
    server.stop();

    assert_eq!(ask(&["admin", "resume", "acme"])["status"], "active");
    let server = prod(data.path());
    assert_eq!(with_key(&server, key, "GET", "/v1/events", Value::Null).0, 200);
    let (status, login) = log_in(&server, "ann@example.com", "correct horse");
    assert_eq!((status, &login["workspaces"][0]["role"]), (200, &json!("owner")));
    let (_, login_of_bob) = log_in(&server, "bob@example.com", "battery staple");
    assert_eq!(login_of_bob["workspaces"][0]["role"], "viewer");
    let token = login["access_token"].as_str().unwrap();
    let log = with_key(&server, token, "GET", "/v1/audit?actor=command&limit=1000", Value::Null).1;
    let done: Vec<_> = log["data"].as_array().unwrap().iter().rev().map(|entry| entry["action"].clone()).collect();
    let changes = ["workspace.change"; 3];
    let expected = [&["workspace.create", "member.add", "member.add", "key.create"][..], &changes].concat();
    assert_eq!(done, expected, "{log}");
    server.stop();
}

#[test]
fn a_weak_key_is_registered_only_when_asked_and_only_to_send() {
    let data = tempfile::tempdir().unwrap();
    let at = ["--data", data.path().to_str().unwrap()];
    answer(&[&["admin", "create-workspace", "acme"], &at[..]].concat());
    let file = data.path().join("weak.key");
    std::fs::write(&file, "gateway-7\n").unwrap();
    let create = ["admin", "create-key", "--workspace", "acme", "--name", "old", "--register", file.to_str().unwrap()];
    for (more, field) in [
        (&["--scope", "ingest"][..], "key"),
        (&["--scope", "read"], "key"),
        (&["--scope", "ingest,read", "--allow-weak"], "scopes"),
        (&["--scope", "read", "--allow-weak"], "scopes"),
        (&["--scope", "admin", "--allow-weak"], "scopes"),
    ] {
        let refused = run(&[&create[..], more, &at].concat());
        assert_eq!(refused.status.code(), Some(2), "{more:?}: {}", stderr(&refused));
        assert!(stderr(&refused).contains(&format!("field '{field}'")), "{more:?}: {}", stderr(&refused));
        assert!(!stderr(&refused).contains("gateway-7"), "{}", stderr(&refused));
    }
    let made = answer(&[&create[..], &["--scope", "ingest", "--allow-weak"], &at].concat());
    assert!(made.get("key").is_none(), "{made}");
    let server = prod(data.path());
    assert_eq!(with_key(&server, "gateway-7", "POST", "/v1/events", json!({"id": "e"})).0, 202);
    assert_eq!(with_key(&server, "gateway-7", "GET", "/v1/events", Value::Null).0, 403);
    assert_eq!(with_key(&server, "gateway-8", "POST", "/v1/events", json!({"id": "e"})).0, 401);
    server.stop();
}

/// All files below a folder, but the master key.
fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.file_name().unwrap() != "master.key" {
            found.push(path);
        }
    }
    found
}

/// Makes a secret of each kind on a running server and uses it; all of their texts.
fn secrets_of_every_kind(server: &Server, operator: &str) -> Vec<(&'static str, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let by_operator = |path: &str, body: Value| {
        let (status, made) = with_key(server, operator, "POST", path, body);
        assert_eq!(status, 201, "{path}: {made}");
        made
    };
    let owner = by_operator("/v1/workspaces/acme/members", json!({"email": "ann@example.com", "role": "owner"}));
    set_password(server, &owner["password_reset"], "correct horse battery");
    let (_, login) = log_in(server, "ann@example.com", "correct horse battery");
    let access = text(&login["access_token"]);
    let ask = |path: &str, body: Value| with_key(server, &access, "POST", path, body);
    let key = text(&ask("/v1/keys", json!({"name": "k", "scopes": ["ingest"]})).1["key"]);
    let registered = "made-elsewhere-0123456789";
    let fields = json!({"name": "theirs", "scopes": ["ingest"], "key": registered});
    assert_eq!(ask("/v1/keys", fields).0, 201);
    let signing = text(&ask("/v1/signing-secrets", json!({"name": "s"})).1["secret"]);
    let invited = ask("/v1/invitations", json!({"email": "bob@example.com", "role": "viewer"})).1;
    let refresh = json!({"refresh_token": login["refresh_token"]}).to_string();
    let next = server.post("/v1/auth/refresh", refresh).1;
    let cookie = json!({"email": "ann@example.com", "password": "correct horse battery", "cookie": true}).to_string();
    let own = [("sec-fetch-site", "same-origin"), ("content-type", "application/json")];
    let (status, fields, _) = server.exchange("POST", "/v1/auth/login", &own, cookie);
    assert_eq!(status, 200);
    let cookie = fields["set-cookie"].to_str().unwrap().split(['=', ';']).nth(1).unwrap().to_owned();
    // Used rightly and wrongly.
    for credential in [&key, registered] {
        assert_eq!(with_key(server, credential, "POST", "/v1/events", json!({"type": "t"})).0, 202);
        assert_eq!(with_key(server, credential, "GET", "/v1/keys", Value::Null).0, 403);
        assert_eq!(with_key(server, &format!("{credential}x"), "GET", "/v1/keys", Value::Null).0, 401);
    }
    assert_eq!(log_in(server, "ann@example.com", "what she typed by mistake").0, 401);
    let bad = json!({"token": invited["token"], "password": "short", "name": "Bob"}).to_string();
    assert_eq!(server.post("/v1/auth/register", bad).0, 400);
    let reset =
        by_operator(&format!("/v1/users/{}/password-reset", owner["user"]["id"].as_str().unwrap()), Value::Null);
    vec![
        ("key of the operator", operator.to_owned()),
        ("key", key),
        ("registered key", registered.to_owned()),
        ("signing secret", signing),
        ("password", "correct horse battery".to_owned()),
        ("mistyped password", "what she typed by mistake".to_owned()),
        ("invitation", text(&invited["token"])),
        ("used token of a reset", text(&owner["password_reset"]["token"])),
        ("token of a reset", text(&reset["token"])),
        ("access token", access),
        ("refresh token", text(&login["refresh_token"])),
        ("newest refresh token", text(&next["refresh_token"])),
        ("cookie", cookie),
    ]
}

#[test]
fn no_secret_is_in_any_file_or_log() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let at = ["--data", data.to_str().unwrap()];
    answer(&[&["admin", "create-workspace", "acme"], &at[..]].concat());
    let operator = answer(&[&["admin", "create-key", "--operator", "--name", "op"], &at[..]].concat());
    let server = Server::with(&data, &["--profile", "prod", "--log-level", "trace"]);
    let mut secrets = secrets_of_every_kind(&server, operator["key"].as_str().unwrap());
    // As it lies there while it runs, the files that end with the process among it.
    let mut held: Vec<_> =
        files(&data).into_iter().map(|path| (std::fs::read(&path).unwrap_or_default(), path)).collect();
    let log = server.stop().join("\n");
    assert!(log.contains("/v1/auth/login"), "the log says what was asked");
    held.extend(files(&data).into_iter().map(|path| (std::fs::read(&path).unwrap(), path)));
    assert!(held.iter().any(|(bytes, _)| bytes.windows(15).any(|found| found == b"ann@example.com")), "files are read");
    secrets.push(("master key", std::fs::read_to_string(data.join("master.key")).unwrap().trim().to_owned()));
    for (what, secret) in &secrets {
        assert!(secret.len() >= 16, "{what}");
        // Of what begins with its public id also the end, which says as much.
        let end = if secret.starts_with("nm") { &secret[secret.len() - 24..] } else { secret };
        for text in [secret.as_str(), end] {
            assert!(!log.contains(text), "the {what} is in the log");
            for (bytes, path) in &held {
                let is_in = bytes.windows(text.len()).any(|found| found == text.as_bytes());
                assert!(!is_in, "the {what} is in {}", path.display());
            }
        }
    }
}

/// Found in November 2026: workspaces that came with the configuration or an import were in no log, nor were reads by a
/// command.
#[test]
fn what_commands_and_settings_make_or_read_is_in_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let at = ["--data", data.to_str().unwrap()];
    let file = folder.path().join("events.ndjson");
    std::fs::write(&file, "{\"id\": \"e1\", \"customer\": \"c 1\"}\n").unwrap();
    let import = ["import", file.to_str().unwrap(), "--now", "--tenant", "acme"];
    assert!(run(&[&import[..], &at].concat()).status.success());
    let mut command = nilometer(&["serve", "--listen", "127.0.0.1:0", at[0], at[1]]);
    command.env("NILOMETER_API_KEYS", "beta:the-key-of-beta");
    let server = Server::run(command);
    let told = |log: &Value| {
        let told =
            |entry: &Value| format!("{} {}", entry["actor"].as_str().unwrap(), entry["target"].as_str().unwrap());
        log["data"].as_array().unwrap().iter().rev().map(told).collect::<Vec<_>>()
    };
    let log = server.get("/v1/server/audit?action=workspace.create").1;
    assert_eq!(told(&log), ["command workspace:acme", "server workspace:beta", "server workspace:default"]);
    let own = server.get("/v1/audit?action=workspace.create").1;
    assert_eq!((told(&own), &own["data"][0]["seq"]), (vec!["server workspace:default".to_owned()], &json!(1)));
    let json_body = [("content-type", "application/json")];
    assert_eq!(server.post("/v1/events?wait=applied", r#"{"id": "e1", "customer": "c 1"}"#).0, 202);
    server.stop();
    let list = ["events", "list", "--customer", "c 1", "--first", "oldest", "--limit", "7"];
    assert_eq!(stdout(&run(&[&list[..], &at].concat())).lines().count(), 1);
    let server = Server::start(&data);
    assert_eq!(server.get("/v1/audit?action=events.read").1["data"], json!([]), "the workspace does not ask for that");
    let audited = r#"{"audit_reads": true}"#.to_owned();
    assert_eq!(server.send("PATCH", "/v1/workspace", &json_body, audited).0, 200);
    server.stop();
    assert_eq!(stdout(&run(&[&list[..], &at].concat())).lines().count(), 1);
    assert!(run(&[&["events", "list", "--tenant", "acme"], &at[..]].concat()).status.success());
    let server = Server::start(&data);
    let read = server.get("/v1/audit?action=events.read").1;
    assert_eq!(told(&read), ["command events list"]);
    assert_eq!(read["data"][0]["after"], json!({"customer": "c 1", "first": "oldest", "limit": 7}));
    server.stop();
    assert_eq!(run(&[&["verify"], &at[..]].concat()).status.code(), Some(0));
}
