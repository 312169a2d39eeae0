//! How the real binary is reached: by whom on one's own machine, over TLS, below a path, and with secrets from files.

use std::path::Path;

use rcgen::{CertificateParams, KeyPair};

use crate::harness::{Server, nilometer, stderr, stdout};

#[expect(clippy::disallowed_methods, reason = "a file of the test's own")]
fn write(path: &Path, text: impl AsRef<[u8]>) {
    std::fs::write(path, text).unwrap();
}

#[test]
fn i5_in_dev_a_page_can_do_nothing_and_programs_everything() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    let port = server.url().rsplit(':').next().unwrap().to_owned();
    let json = "content-type: application/json\r\n";
    for (line, fields, expected) in [
        ("GET /v1/events", "host: evil.example\r\n".to_owned(), 421),
        ("GET /v1/events", format!("host: localhost:{port}\r\norigin: https://evil.example\r\n"), 403),
        ("GET /v1/live/ws", format!("host: 127.0.0.1:{port}\r\norigin: https://evil.example\r\n"), 403),
        ("POST /v1/events", format!("host: 127.0.0.1:{port}\r\norigin: null\r\ncontent-type: text/plain\r\n"), 403),
        ("GET /v1/events", format!("host: 127.0.0.1:{port}\r\nx-forwarded-for: 8.8.8.8\r\n"), 403),
        ("POST /v1/events", format!("host: [::1]:{port}\r\norigin: http://[::1]:{port}\r\n{json}"), 202),
        ("POST /v1/events", format!("host: LOCALHOST:{port}\r\n{json}"), 202),
    ] {
        let body = if line.starts_with("POST") { "content-length: 12\r\n\r\n{\"type\":\"t\"}" } else { "\r\n" };
        assert_eq!(server.status(&format!("{line} HTTP/1.1\r\n{fields}{body}")), expected, "{line} {fields}");
    }
    assert_eq!(server.status("GET /v1/events HTTP/1.0\r\n\r\n"), 200);
    server.stop();
}

#[test]
fn events_come_over_tls_and_the_log_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap().self_signed(&key).unwrap();
    write(Path::new(&path("c.pem")), certificate.pem());
    write(Path::new(&path("k.pem")), key.serialize_pem());
    write(Path::new(&path("events.ndjson")), "{\"id\": \"e1\"}\n{\"id\": \"e2\"}\n");
    let data = tempfile::tempdir().unwrap();
    let files = ["--tls-cert-file", &path("c.pem"), "--tls-key-file", &path("k.pem")];
    let server = Server::with(data.path(), &files);
    let url = server.url().replace("http://", "https://");
    let imported = nilometer(&["import", &path("events.ndjson"), "--now", "--url", &url, "--ca", &path("c.pem")]);
    let imported = { imported }.output().unwrap();
    assert!(imported.status.success() && stdout(&imported).contains('2'), "{}{}", stdout(&imported), stderr(&imported));
    let log = server.stop();
    assert!(log.iter().any(|line| line.contains(&format!("listening on {url}"))), "{}", log.join("\n"));

    write(Path::new(&path("k.pem")), KeyPair::generate().unwrap().serialize_pem());
    for (args, named) in [
        (&files[..], "tls_key_file"),
        (&["--tls-cert-file", "/no/such.pem", "--tls-key-file", &path("k.pem")], "tls_cert_file"),
        (&files[..2], "tls_key_file"),
    ] {
        let refused = nilometer(&["serve", "--listen", "127.0.0.1:0", "--data", data.path().to_str().unwrap()])
            .args(args)
            .output()
            .unwrap();
        assert_eq!(refused.status.code(), Some(2), "{args:?}: {}", stderr(&refused));
        assert!(stderr(&refused).contains(named), "{args:?}: {}", stderr(&refused));
    }
}

#[test]
fn secrets_come_from_files() {
    let folder = tempfile::tempdir().unwrap();
    let (keys, place) = (folder.path().join("keys"), folder.path().join("place"));
    let data = folder.path().join("data");
    write(&keys, "acme:the-key-of-acme\n");
    write(&place, format!("{}\n", data.display()));
    let command = || {
        let mut command =
            nilometer(&["serve", "--profile", "prod", "--listen", "127.0.0.1:0", "--base-path", "/meter"]);
        command.env("NILOMETER_API_KEYS_FILE", &keys).env("NILOMETER_DATA_FILE", &place);
        command
    };
    let refused = command().env("NILOMETER_API_KEYS", "acme:the-key-of-acme").output().unwrap();
    assert_eq!(refused.status.code(), Some(2), "{}", stderr(&refused));
    for name in ["NILOMETER_API_KEYS ", "NILOMETER_API_KEYS_FILE"] {
        assert!(stderr(&refused).contains(name), "{}", stderr(&refused));
    }
    let mut server = command();
    server.stdout(std::process::Stdio::null());
    let server = Server::run(server);
    assert_eq!(server.get("/readyz").0, 200);
    server.stop();
    // Commands that read the environment alone read the file, too.
    for args in [&["verify"][..], &["events", "list"], &["seed", "--events", "10"]] {
        let done = nilometer(args).env("NILOMETER_DATA_FILE", &place).current_dir(folder.path()).output().unwrap();
        assert!(done.status.success(), "{args:?}: {}", stderr(&done));
        let both = nilometer(args).env("NILOMETER_DATA_FILE", &place).env("NILOMETER_DATA", &data).output().unwrap();
        assert_eq!(both.status.code(), Some(2), "{args:?}: {}", stderr(&both));
    }
    assert!(!folder.path().join("nilometer-data").exists());
}

#[test]
fn the_log_names_the_client_that_a_trusted_proxy_names() {
    let said = |trusted: &str| {
        let data = tempfile::tempdir().unwrap();
        let args = ["--profile", "prod", "--log-level", "debug", "--trusted-proxies", trusted];
        let mut command = nilometer(&["serve", "--listen", "127.0.0.1:0", "--data", data.path().to_str().unwrap()]);
        command.args(args).env("NILOMETER_API_KEYS", "acme:the-key-of-acme").stdout(std::process::Stdio::null());
        let server = Server::run(command);
        let fields = [("x-forwarded-for", "9.9.9.9, 2001:db8::7, 10.1.1.1"), ("x-request-id", "told-by-the-test")];
        assert_eq!(server.send("GET", "/healthz", &fields, String::new()).0, 200);
        let log = server.stop();
        let line = log.iter().find(|line| line.contains("told-by-the-test")).unwrap();
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        line["fields"]["client"].as_str().or(line["client"].as_str()).unwrap().to_owned()
    };
    assert_eq!(said("127.0.0.0/8,10.0.0.0/8"), "2001:db8::7");
    assert_eq!(said("127.0.0.1"), "10.1.1.1");
    assert_eq!(said("10.0.0.0/8"), "127.0.0.1");
    assert_eq!(said(""), "127.0.0.1");
}
