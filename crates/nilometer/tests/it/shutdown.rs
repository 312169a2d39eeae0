//! How a server ends and what the next one finds.

use rustix::process::Signal;
use serde_json::json;

use crate::harness::{Server, run, stderr, stdout};

fn event(id: u32) -> String {
    format!(
        r#"{{"id": "e{id}", "customer": "c{}", "endpoint": "/e", "metadata": {{"tokens": {id}, "latencyMs": 1.5}}}}"#,
        id % 3
    )
}

#[test]
fn i1_a_signal_flushes_everything_and_exits_with_0() {
    let data = tempfile::tempdir().unwrap();
    for (signal, ids) in [(Signal::TERM, 0..10), (Signal::INT, 10..20)] {
        let server = Server::start(data.path());
        for id in ids {
            assert_eq!(server.post("/v1/events", event(id)).0, 202);
        }
        server.signal(signal);
        let (status, log) = server.wait();
        assert_eq!(status.code(), Some(0), "{}", log.join("\n"));
        assert!(log.last().unwrap().contains("stopped"), "{}", log.join("\n"));
    }
    let verified = run(&["verify", "--data", data.path().to_str().unwrap()]);
    assert_eq!(verified.status.code(), Some(0), "{}{}", stdout(&verified), stderr(&verified));
    assert!(stdout(&verified).starts_with("verified 20 events: "), "{}", stdout(&verified));
    assert!(stdout(&verified).ends_with(" 0 differences\n"), "{}", stdout(&verified));
    assert!(!data.path().join("manifest.sqlite-wal").exists(), "the folder is left tidy");
}

#[test]
fn a_cursor_outlives_a_restart() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    for id in 0..3 {
        assert_eq!(server.post("/v1/events?wait=applied", event(id)).0, 202);
    }
    let cursors = ["/v1/events", "/v1/windows", "/v1/customers"].map(|listing| {
        let (_, page) = server.get(&format!("{listing}?limit=2"));
        format!("{listing}?cursor={}", page["next_cursor"].as_str().unwrap())
    });
    server.kill();
    let server = Server::start(data.path());
    while server.get("/readyz").0 != 200 {}
    for next in &cursors {
        let (status, page) = server.get(next);
        assert_eq!((status, page["data"].as_array().map(Vec::len)), (200, Some(1)), "{next}: {page}");
    }
    let other = tempfile::tempdir().unwrap();
    let other = Server::start(other.path());
    for next in &cursors {
        let (status, problem) = other.get(next);
        assert_eq!((status, &problem["field"]), (400, &json!("cursor")), "of another folder: {next}");
    }
}

/// A terminal that closes is no reason to end.
#[test]
fn sighup_changes_nothing() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    for id in 0..3 {
        server.signal(Signal::HUP);
        assert_eq!(server.post("/v1/events?wait=applied", event(id)).1["accepted"], 1);
    }
    server.signal(Signal::TERM);
    let (status, log) = server.wait();
    assert_eq!(status.code(), Some(0), "{}", log.join("\n"));
    assert!(log.iter().any(|line| line.contains("SIGHUP changes nothing")), "{}", log.join("\n"));
}

#[test]
fn i1_i2_what_was_acknowledged_before_a_kill_is_there_once_after_it() {
    let data = tempfile::tempdir().unwrap();
    for round in 0..3 {
        let server = Server::start(data.path());
        if round > 0 {
            let (_, again) = server.post("/v1/events?wait=applied", event((round - 1) * 10));
            assert_eq!(again["results"][0]["status"], "duplicate");
        }
        for id in round * 10..round * 10 + 10 {
            assert_eq!(server.post("/v1/events", event(id)).1["accepted"], 1);
        }
        server.kill();
    }
    let folder = data.path().to_str().unwrap();
    let verified = run(&["verify", "--data", folder]);
    assert!(stdout(&verified).starts_with("verified 30 events: "), "{}{}", stdout(&verified), stderr(&verified));
    assert_eq!(verified.status.code(), Some(0));
    let server = Server::start(data.path());
    let calls: u64 = ["c0", "c1", "c2"]
        .map(|customer| server.get(&format!("/v1/customers/{customer}")).1["totals"]["totalCalls"].as_u64().unwrap())
        .iter()
        .sum();
    assert_eq!(calls, 30);
    assert_eq!(server.get("/v1/events/e29").1["tokens"], json!(29));
    server.stop();
}

#[test]
fn a_receipt_outlives_the_process() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    let (_, taken) = server.post("/v1/events", event(1));
    server.kill();
    let server = Server::start(data.path());
    let receipt = format!("/v1/receipts/{}", taken["receipt"].as_str().unwrap());
    while server.get("/readyz").0 != 200 {}
    assert_eq!(server.get(&receipt).1["status"], "applied");
}

#[test]
fn one_folder_has_one_process() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().to_str().unwrap();
    let server = Server::start(data.path());
    for command in [
        &["serve", "--listen", "127.0.0.1:0", "--data", folder][..],
        &["verify", "--data", folder],
        &["events", "list", "--data", folder],
    ] {
        let refused = run(command);
        assert_eq!(refused.status.code(), Some(4), "{command:?}");
        assert!(stderr(&refused).contains("in use by another process"), "{}", stderr(&refused));
        assert!(stderr(&refused).contains(folder), "{}", stderr(&refused));
    }
    server.stop();
    assert_eq!(run(&["verify", "--data", folder]).status.code(), Some(0));
}

#[test]
fn a_port_in_use_is_a_clear_error() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let data = tempfile::tempdir().unwrap();
    let refused = run(&["serve", "--listen", &address, "--data", data.path().to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("'listen'"), "{}", stderr(&refused));
}
