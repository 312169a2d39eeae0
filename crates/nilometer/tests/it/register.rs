//! The commands on the register, over the folder of a stopped server and against a running one.
#![expect(clippy::disallowed_methods, reason = "small files of a test's own folder")]

use std::path::Path;

use serde_json::{Value, json};

use crate::harness::{Server, run, stderr, stdout};

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
