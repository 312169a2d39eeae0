//! Settings that make no sense end the start with exit code 2 and the setting's name.

use std::io::Write;

use crate::harness::{Server, nilometer, run, stderr, stdout};

/// Variables of a pod in whose namespace a Service is called nilometer.
const OF_KUBERNETES: [(&str, &str); 8] = [
    ("NILOMETER_PORT", "tcp://10.96.12.7:8080"),
    ("NILOMETER_SERVICE_HOST", "10.96.12.7"),
    ("NILOMETER_SERVICE_PORT", "8080"),
    ("NILOMETER_SERVICE_PORT_HTTP", "8080"),
    ("NILOMETER_PORT_8080_TCP", "tcp://10.96.12.7:8080"),
    ("NILOMETER_PORT_8080_TCP_PROTO", "tcp"),
    ("NILOMETER_PORT_8080_TCP_PORT", "8080"),
    ("NILOMETER_PORT_8080_TCP_ADDR", "10.96.12.7"),
];

#[test]
fn impossible_and_unknown_settings_are_named() {
    let cases: [(&[&str], &str); 6] = [
        (&["--listen", "0.0.0.0:0"], "api_keys"),
        (&["--body-bytes-max", "1"], "body_bytes_max"),
        (&["--window-length-sec", "7"], "window_length_sec"),
        (&["--flush-rows", "lots"], "--flush-rows"),
        (&["--flush-rowz", "1"], "--flush-rowz"),
        (&["--config", "/no/such/file.toml"], "/no/such/file.toml"),
    ];
    for (args, named) in cases {
        let output = nilometer(&["serve"]).args(args).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(named), "{args:?}: {}", stderr(&output));
    }
    let output = nilometer(&["serve"]).env("NILOMETER_FLUSH_ROWZ", "1").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("NILOMETER_FLUSH_ROWZ"), "{}", stderr(&output));
    // What Kubernetes makes for a Service called nilometer is no mistake of anyone: the start gets further.
    let mut command = nilometer(&["serve", "--config", "/no/such/file.toml"]);
    for (name, value) in OF_KUBERNETES {
        command.env(name, value);
    }
    assert!(stderr(&command.output().unwrap()).contains("/no/such/file.toml"));
    let output = nilometer(&["serve"]).env("NILOMETER_FLUSH_ROWS", "-1").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("--flush-rows"), "{}", stderr(&output));
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"profile = \"dev\"\nflush_rowz = 1\n").unwrap();
    let output = nilometer(&["serve"]).env("NILOMETER_CONFIG", file.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("flush_rowz"), "{}", stderr(&output));
}

#[test]
fn i5_keys_of_a_config_file_open_their_tenants_and_nothing_opens_without_one() {
    let data = tempfile::tempdir().unwrap();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"profile = \"prod\"\napi_keys = \"acme:the-key-of-acme,beta:the-key-of-beta\"\n").unwrap();
    let server = Server::with(data.path(), &["--config", file.path().to_str().unwrap()]);
    assert_eq!(server.get("/v1/events").0, 401);
    let key = [("x-api-key", "the-key-of-acme")];
    assert_eq!(server.send("POST", "/v1/events?wait=applied", &key, r#"{"id": "e"}"#.into()).0, 202);
    assert_eq!(server.send("GET", "/v1/events/e", &key, String::new()).1["tenant"], "acme");
    assert_eq!(server.send("GET", "/v1/events/e", &[("x-api-key", "the-key-of-beta")], String::new()).0, 404);
    // They send and read events, and do nothing else.
    let fields = [key[0], ("content-type", "application/json")];
    for (method, path, body) in [
        ("PATCH", "/v1/settings", r#"{"week_start": "sunday"}"#),
        ("PUT", "/reference/users", r#"{"ts": "2026-01-01T00:00:00Z", "user_metadata": {}}"#),
        ("GET", "/v1/keys", ""),
        ("POST", "/v1/keys", r#"{"name": "k", "scopes": ["read"]}"#),
        ("GET", "/v1/members", ""),
        ("GET", "/v1/audit", ""),
        ("GET", "/v1/workspaces", ""),
        ("GET", "/metrics", ""),
    ] {
        let (status, refused) = server.send(method, path, &fields, body.into());
        assert_eq!(status, 403, "{method} {path}: {refused}");
        assert!(
            refused["detail"].as_str().unwrap().starts_with("this needs the permission"),
            "{method} {path}: {refused}"
        );
    }
    for line in server.stop() {
        let line: serde_json::Value = serde_json::from_str(&line).unwrap_or_else(|why| panic!("{line}: {why}"));
        assert!(line["timestamp"].is_string() && line["level"].is_string(), "{line}");
        assert!(!line.to_string().contains("the-key-of"), "a key in the log: {line}");
    }
}

#[test]
fn windows_of_another_length_than_the_folders_are_refused() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().to_str().unwrap();
    Server::with(data.path(), &["--window-length-sec", "60"]).stop();
    let refused = nilometer(&["serve", "--listen", "127.0.0.1:0", "--data", folder]).output().unwrap();
    assert_eq!(refused.status.code(), Some(1), "{}", stderr(&refused));
    assert!(stderr(&refused).contains("made with"), "{}", stderr(&refused));
    let verified = nilometer(&["verify", "--data", folder]).output().unwrap();
    assert_eq!(verified.status.code(), Some(0), "{}", stderr(&verified));
}

#[test]
fn metrics_in_prod_need_the_token_or_the_operator() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let at = data.to_str().unwrap();
    let made = run(&["admin", "create-key", "--operator", "--name", "op", "--data", at]);
    let made: serde_json::Value = serde_json::from_str(stdout(&made)).unwrap();
    let operator = format!("authorization: Bearer {}\r\n", made["key"].as_str().unwrap());
    let mut token = tempfile::NamedTempFile::new().unwrap();
    token.write_all(b"a-token-for-prometheus\n").unwrap();
    let with_token = ["--profile", "prod", "--metrics-token-file", token.path().to_str().unwrap()];
    let of_token = "authorization: Bearer a-token-for-prometheus\r\n";
    let key = "x-api-key: the-key-of-acme\r\n";
    for (args, statuses) in
        [(&with_token[..], [401, 200, 401, 200, 403]), (&with_token[..2], [401, 401, 401, 200, 403])]
    {
        let mut command = nilometer(&["serve", "--listen", "127.0.0.1:0", "--data", at]);
        command.args(args).env("NILOMETER_API_KEYS", "acme:the-key-of-acme");
        let server = Server::run(command);
        let fields = ["", of_token, "authorization: Bearer a-token-for-prometheuS\r\n", &operator, key];
        let found =
            fields.map(|fields| server.status(&format!("GET /metrics HTTP/1.1\r\nhost: localhost\r\n{fields}\r\n")));
        assert_eq!(found, statuses, "{args:?}");
        let window = format!("GET /metrics?window=5 HTTP/1.1\r\nhost: localhost\r\n{of_token}\r\n");
        assert_eq!(server.status(&window), 401, "with a window it is a read of a workspace");
        server.stop();
    }
    let mut short = tempfile::NamedTempFile::new().unwrap();
    short.write_all(b"too-short\n").unwrap();
    let refused = run(&[
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--data",
        at,
        "--metrics-token-file",
        short.path().to_str().unwrap(),
    ]);
    assert!(
        refused.status.code() == Some(2) && stderr(&refused).contains("metrics_token_file"),
        "{}",
        stderr(&refused)
    );
}
