//! What is exported, in any format, is what is imported again.

use std::path::Path;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use super::{counts, export, import, imported, read, web_requests, write};
use crate::harness::{Server, nilometer, run, stderr, stdout};

/// All events of a folder as JSON, without what the server stamps.
fn events(data: &Path) -> Vec<Value> {
    let exported = run(&["export", "--data", data.to_str().unwrap()]);
    assert_eq!(exported.status.code(), Some(0), "{}", stderr(&exported));
    let mut events: Vec<Value> = stdout(&exported).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for event in &mut events {
        event.as_object_mut().unwrap().remove("received_at");
    }
    events.sort_by_key(|event| event["event_id"].as_str().unwrap().to_owned());
    events
}

/// Exports a folder in every format and imports each into a folder of its own, and into the first.
fn check_round_trip(data: &Path) {
    let folder = tempfile::tempdir().unwrap();
    let original = events(data);
    for ending in ["csv", "ndjson", "parquet"] {
        let file = folder.path().join(format!("export.{ending}"));
        export(data, &file);
        let (copy, count) = (folder.path().join(ending), original.len() as u64);
        assert_eq!(imported(&copy, &file, &[]), [count, count, 0, 0], "{ending}");
        assert_eq!(events(&copy), original, "{ending}");
        assert_eq!(imported(data, &file, &[]), [count, 0, count, 0], "{ending}");
    }
}

#[test]
fn i3_every_format_of_an_export_is_imported_as_the_same_events() {
    let data = tempfile::tempdir().unwrap();
    imported(data.path(), &web_requests(), &[]);
    check_round_trip(data.path());
}

/// Texts that formats stumble over; control characters are refused in names.
fn name() -> impl Strategy<Value = String> {
    prop_oneof!["[a-c]{1,4}", "['=+@-]{1,3}[a-z,;\"' ]{0,4}", "[\\PC&&[^\u{0}-\u{1f}]]{1,12}"]
}

fn event(number: usize) -> impl Strategy<Value = Value> {
    let optional = || proptest::option::of(name());
    let properties = proptest::option::of(proptest::collection::vec((name(), "\\PC{0,8}|\n\r\t"), 0..3));
    let usage = (proptest::option::of(0_u32..9_999), proptest::option::of(0_u32..999_999));
    (name(), 316_000_000_000_000_i64..1_700_000_000_000_000, optional(), optional(), optional(), properties, usage)
        .prop_map(move |(kind, micros, customer, user, endpoint, properties, (tokens, latency_us))| {
            let time = domain::time::Timestamp::from_micros(micros).to_string();
            let properties = properties.map(|members| {
                members
                    .into_iter()
                    .map(|(name, text)| (format!("p{name}"), json!(text)))
                    .collect::<serde_json::Map<_, _>>()
            });
            let latency = latency_us.map(|micros| f64::from(micros) / 1e3);
            json!({
                "id": format!("e{number}"), "time": time, "type": kind, "customer": customer, "user": user,
                "endpoint": endpoint, "properties": properties, "tokens": tokens, "latencyMs": latency,
            })
        })
}

#[test]
fn i3_random_events_survive_every_format() {
    let mut runner = TestRunner::new(Config { cases: 3, failure_persistence: None, ..Config::default() });
    let events = (0..120).map(event).collect::<Vec<_>>();
    runner
        .run(&events, |events| {
            let data = tempfile::tempdir().unwrap();
            let file = data.path().join("events.ndjson");
            write(&file, events.iter().map(|event| format!("{event}\n")).collect::<String>());
            let count = events.len() as u64;
            prop_assert_eq!(imported(data.path(), &file, &[]), [count, count, 0, 0]);
            check_round_trip(data.path());
            Ok(())
        })
        .unwrap();
}

/// A CloudEvent of day `day`.
fn cloud_event(day: usize, source: &str, id: &str) -> Value {
    json!({
        "specversion": "1.0", "source": source, "id": id, "type": "call", "time": format!("2026-01-0{day}T00:00:00Z"),
        "subject": "acme", "data": {"user": "u", "tokens": 5},
    })
}

#[test]
fn i2_cloud_events_are_known_again_after_an_export_and_an_import() {
    let (data, long) = (tempfile::tempdir().unwrap(), "x".repeat(300));
    let sent = [cloud_event(1, "/a", "1"), cloud_event(2, "a#b%23", "c%d#"), cloud_event(3, &long, "1")];
    let native = json!({"id": "ce:/a#1", "type": "call", "time": "2026-01-04T00:00:00Z", "customer": "acme"});
    let file = data.path().join("events.ndjson");
    write(&file, sent.iter().chain([&native]).map(|event| format!("{event}\n")).collect::<String>());
    assert_eq!(imported(data.path(), &file, &[]), [4, 4, 0, 0]);
    check_round_trip(data.path());

    let folder = tempfile::tempdir().unwrap();
    for ending in ["csv", "ndjson", "parquet"] {
        let exported = folder.path().join(format!("export.{ending}"));
        export(data.path(), &exported);
        let copy = tempfile::tempdir().unwrap();
        assert_eq!(imported(copy.path(), &exported, &[]), [4, 4, 0, 0], "{ending}");
        let server = Server::start(copy.path());
        let (status, answer) = server.post("/v1/events?wait=applied", json!(sent).to_string());
        assert_eq!((status, &answer["duplicates"]), (202, &json!(3)), "{ending}: {answer}");
        server.stop();
    }
}

#[test]
fn i2_cloud_events_of_an_export_are_sent_to_a_server_as_such() {
    let [data, copy, folder] = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let sent = [cloud_event(1, "/a", "1"), cloud_event(2, "a#b%23", "c%d#")];
    let hashed = cloud_event(3, &"x".repeat(300), "1");
    let (file, exported) = (folder.path().join("events.ndjson"), folder.path().join("export.csv"));
    write(&file, sent.iter().chain([&hashed]).map(|event| format!("{event}\n")).collect::<String>());
    assert_eq!(imported(data.path(), &file, &[]), [3, 3, 0, 0]);
    export(data.path(), &exported);
    let server = Server::start(copy.path());
    let url = server.url();
    let output = nilometer(&["import", exported.to_str().unwrap(), "--url", url.as_str()]).output().unwrap();
    assert_eq!(counts(&output), [3, 2, 0, 1], "{}", stderr(&output));
    assert!(stderr(&output).contains("hash of a CloudEvent's source and id"), "{}", stderr(&output));
    let (status, answer) = server.post("/v1/events?wait=applied", json!(sent).to_string());
    assert_eq!((status, &answer["duplicates"]), (202, &json!(2)), "{answer}");
    server.stop();
}

#[test]
fn what_a_spreadsheet_would_run_is_guarded() {
    let data = tempfile::tempdir().unwrap();
    let file = data.path().join("f.ndjson");
    write(&file, "{\"id\":\"=1+1\",\"customer\":\"-x\",\"user\":\"'=y\",\"type\":\"'plain\",\"time\":1000000000}\n");
    imported(data.path(), &file, &[]);
    let exported = run(&["export", "--data", data.path().to_str().unwrap(), "--format", "csv"]);
    let text = stdout(&exported);
    assert!(text.contains("'=1+1,2001-09-09T01:46:40Z,'plain,,'-x,''=y,"), "{text}");
}

#[test]
fn i5_an_export_holds_one_tenants_events_and_only_those_asked_for() {
    let data = tempfile::tempdir().unwrap();
    let file = data.path().join("f.csv");
    write(&file, "id,customer,time\n1,a,2026-01-01\n2,b,2026-01-02\n3,a,2026-01-03\n");
    imported(data.path(), &file, &["--tenant", "acme"]);
    let lines = |args: &[&str]| {
        let exported = nilometer(&["export", "--data", data.path().to_str().unwrap()]).args(args).output().unwrap();
        assert_eq!(exported.status.code(), Some(0), "{}", stderr(&exported));
        stdout(&exported).lines().count()
    };
    assert_eq!(lines(&[]), 0);
    assert_eq!(lines(&["--tenant", "acme"]), 3);
    assert_eq!(lines(&["--tenant", "acme", "--customer", "a", "--from", "2026-01-02"]), 1);
    let mine = nilometer(&["export", "--data", data.path().to_str().unwrap(), "--tenant", "acme"]).output().unwrap();
    write(&data.path().join("mine.ndjson"), &mine.stdout);
    let refused = import(data.path(), &data.path().join("mine.ndjson"), &["--tenant", "other"]).output().unwrap();
    assert_eq!((refused.status.code(), counts(&refused)), (Some(3), [3, 0, 0, 3]));
    assert!(!read(&data.path().join("mine.ndjson")).is_empty());
}
