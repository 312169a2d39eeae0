//! The commands that work on a stopped server's folder.

use serde_json::Value;

use crate::harness::{Server, run, stderr, stdout};

#[test]
fn events_are_printed_as_the_api_shows_them() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().to_str().unwrap();
    let server = Server::start(data.path());
    let events: Vec<_> = (0..2_500)
        .map(|n| format!(r#"{{"id": "e{n}", "customer": "c{}", "time": {}}}"#, n % 2, 1_700_000_000 + n))
        .collect();
    server.post("/v1/events?wait=applied", format!("[{}]", events.join(",")));
    let (_, shown) = server.get("/v1/events/e7");
    server.kill();

    let lines = |args: &[&str]| -> Vec<Value> {
        let output = run(args);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        stdout(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let exported = lines(&["export", "--data", folder]);
    assert_eq!(exported.len(), 2_500);
    assert_eq!(exported[7], shown);
    assert!(exported.is_sorted_by_key(|event| event["time"].as_str().unwrap().to_owned()));
    let listed = lines(&["events", "list", "--data", folder, "--limit", "3", "--customer", "c1"]);
    assert_eq!(listed.iter().map(|event| event["event_id"].clone()).collect::<Vec<_>>(), ["e2499", "e2497", "e2495"]);
    let first = lines(&["events", "list", "--data", folder, "--limit", "1", "--first", "oldest"]);
    assert_eq!(first[0]["event_id"], "e0");
    assert!(lines(&["export", "--data", folder, "--tenant", "other"]).is_empty(), "I5");
    let range = ["export", "--data", folder, "--from", "1700000001", "--to", "1700000003"];
    assert_eq!(lines(&range).len(), 2);
}

#[test]
fn a_date_is_a_day_of_the_tenants_zone_as_it_is_in_the_api() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().to_str().unwrap();
    let server = Server::start(data.path());
    let json = [("content-type", "application/json")];
    assert_eq!(server.send("PATCH", "/v1/settings", &json, r#"{"timezone": "Asia/Kolkata"}"#.into()).0, 200);
    let at = |id: &str, time: &str| format!(r#"{{"id": "{id}", "time": "{time}"}}"#);
    let events =
        [("before", "01T18:29:59Z"), ("first", "01T18:30:00Z"), ("last", "02T18:29:59Z"), ("after", "02T18:30:00Z")];
    let events = events.map(|(id, time)| at(id, &format!("2026-01-{time}"))).join(",");
    server.post("/v1/events?wait=applied", format!("[{events}]"));
    let (_, shown) = server.get("/v1/events?from=2026-01-02&to=2026-01-02&order=asc");
    server.stop();
    let ids = |events: &[Value]| events.iter().map(|event| event["event_id"].clone()).collect::<Vec<_>>();
    let shown = ids(shown["data"].as_array().unwrap());
    assert_eq!(shown, ["first", "last"]);
    for command in [&["export"][..], &["events", "list", "--first", "oldest"]] {
        let day = ["--data", folder, "--from", "2026-01-02", "--to", "2026-01-02"];
        let output = run(&[command, &day].concat());
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let lines: Vec<Value> = stdout(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(ids(&lines), shown, "{command:?}");
    }
}

#[test]
fn what_is_no_data_folder_is_left_alone() {
    let empty = tempfile::tempdir().unwrap();
    let folder = empty.path().to_str().unwrap();
    for command in [&["verify", "--data", folder][..], &["export", "--data", folder]] {
        let refused = run(command);
        assert_eq!(refused.status.code(), Some(1));
        assert!(stderr(&refused).contains("no data folder"), "{}", stderr(&refused));
    }
    assert_eq!(empty.path().read_dir().unwrap().count(), 0);
    for bad in [["--from", "soon"], ["--tenant", "a/b"]] {
        let refused = run(&["events", "list", "--data", folder, bad[0], bad[1]]);
        assert_ne!(refused.status.code(), Some(0));
        assert!(!refused.stderr.is_empty());
    }
}

#[test]
fn completions_know_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let output = run(&["completions", shell]);
        assert_eq!(output.status.code(), Some(0));
        for word in ["serve", "verify", "flush-rows"] {
            assert!(stdout(&output).contains(word), "{shell} lacks {word}");
        }
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "damages files as a disk would")]
fn a_changed_byte_in_a_segment_is_found() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    server.post("/v1/events?wait=applied", r#"[{"id": "a", "tokens": 1}, {"id": "b", "tokens": 2}]"#);
    server.stop();
    let segments = data.path().join("segments");
    for file in segments.read_dir().unwrap().map(|entry| entry.unwrap().path()) {
        let whole = std::fs::read(&file).unwrap();
        let mut changed = whole.clone();
        let middle = changed.len() / 2;
        changed[middle] ^= 1;
        std::fs::write(&file, changed).unwrap();
        let found = run(&["verify", "--data", data.path().to_str().unwrap()]);
        assert_eq!(found.status.code(), Some(1), "{}: {}{}", file.display(), stdout(&found), stderr(&found));
        std::fs::write(&file, whole).unwrap();
    }
    assert_eq!(run(&["verify", "--data", data.path().to_str().unwrap()]).status.code(), Some(0));
}
