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
        // The day, its times without an offset, and the same with one.
        for (from, to) in [
            ("2026-01-02", "2026-01-02"),
            ("2026-01-02T00:00", "2026-01-03 00:00:00"),
            ("2026-01-02T00:00:00 +0530", "2026-01-02 18:30:00 UTC"),
        ] {
            let output = run(&[command, &["--data", folder, "--from", from, "--to", to]].concat());
            assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
            let lines: Vec<Value> = stdout(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            assert_eq!(ids(&lines), shown, "{command:?} {from}");
        }
    }
}

#[test]
fn what_is_no_data_folder_is_left_alone() {
    let empty = tempfile::tempdir().unwrap();
    let folder = empty.path().to_str().unwrap();
    for command in [&["verify", "--data", folder][..], &["export", "--data", folder]] {
        let refused = run(command);
        assert_eq!(refused.status.code(), Some(5));
        assert!(stderr(&refused).contains("no data folder"), "{}", stderr(&refused));
    }
    assert_eq!(empty.path().read_dir().unwrap().count(), 0);
    for bad in [["--from", "soon"], ["--tenant", "a/b"]] {
        let refused = run(&["events", "list", "--data", folder, bad[0], bad[1]]);
        assert_ne!(refused.status.code(), Some(0));
        assert!(!refused.stderr.is_empty());
    }
    let refused = run(&["export", "--data", folder, "--to", "20260102"]);
    assert!(stderr(&refused).contains("--to is not a date (YYYY-MM-DD)"), "{}", stderr(&refused));
}

#[test]
fn i3_what_a_journal_holds_is_replayed_whatever_the_earliest_time_and_cohorts_heal() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().to_str().unwrap();
    let server = Server::with(data.path(), &["--min-time", "0001-01-01"]);
    let event = |id: &str, time: &str| format!(r#"{{"id": "{id}", "user": "u", "time": "{time}"}}"#);
    let events = [event("typo", "0001-01-01T00:00:00Z"), event("real", "2026-01-02T10:00:00Z")].join(",");
    server.post("/v1/events?wait=applied", format!("[{events}]"));
    let size = |server: &Server| {
        let path = "/stats/retention?period=daily&from=2026-01-02&to=2026-01-02";
        loop {
            let (status, found) = server.get(path);
            if status != 503 {
                return found["cohorts"][0]["size"].clone();
            }
        }
    };
    assert_eq!(size(&server), 0, "the user came in the year 1");
    server.kill();
    // From the journal, and then from segments.
    for _ in 0..2 {
        let server = Server::start(data.path());
        assert_eq!(size(&server), 1);
        assert_eq!(server.get("/v1/events/typo").1["time"], "0001-01-01T00:00:00Z");
        let again = server.post("/v1/events?wait=applied", event("other", "0001-01-01T00:00:00Z")).1;
        assert_eq!(again["results"][0]["code"], "time_too_old", "{again}");
        server.stop();
    }
    assert_eq!(run(&["verify", "--data", folder]).status.code(), Some(0));
    let file = data.path().join("old.csv");
    #[expect(clippy::disallowed_methods, reason = "a file to import")]
    std::fs::write(&file, "id,time\nnew,1970-01-01\nnow,2026-03-01 10:00:00 UTC\n").unwrap();
    let imported = run(&["import", file.to_str().unwrap(), "--data", folder]);
    assert!(stdout(&imported).contains("1 accepted, 0 duplicates, 1 rejected"), "{}", stdout(&imported));
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

#[test]
#[expect(clippy::disallowed_methods, reason = "changes a row behind the program's back")]
fn an_entry_of_the_audit_log_that_was_changed_is_found() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().to_str().unwrap();
    let server = Server::start(data.path());
    let json = [("content-type", "application/json")];
    for seconds in [120, 121] {
        let change = format!(r#"{{"max_lateness_sec": {seconds}}}"#);
        assert_eq!(server.send("PATCH", "/v1/settings", &json, change).0, 200);
    }
    server.stop();
    let whole = run(&["verify", "--data", folder]);
    assert_eq!(whole.status.code(), Some(0));
    assert!(stdout(&whole).ends_with(" 5 audit entries, 0 differences\n"), "{}", stdout(&whole));
    let file = data.path().join("catalog.sqlite");
    let mut bytes = std::fs::read(&file).unwrap();
    let is = br#"{"max_lateness_sec":null}"#;
    let places: Vec<_> = (0..bytes.len() - is.len()).filter(|at| bytes[*at..].starts_with(is)).collect();
    assert!(!places.is_empty(), "what was there before the first change");
    for place in places {
        bytes[place..place + is.len()].copy_from_slice(br#"{"max_lateness_sec":1234}"#);
    }
    std::fs::write(&file, bytes).unwrap();
    let found = run(&["verify", "--data", folder]);
    assert_eq!(found.status.code(), Some(3), "{}{}", stdout(&found), stderr(&found));
    let told = "audit log of workspace default: expected entry 2 as it was written, found another\n";
    assert!(stdout(&found).starts_with(told), "{}", stdout(&found));
    assert!(stdout(&found).ends_with(" 5 audit entries, 1 differences\n"), "{}", stdout(&found));
}
