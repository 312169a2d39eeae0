//! The two SQLite files of a folder fail apart, and what spans both, a tenant's zone, is brought to its end.

use serde_json::{Value, json};

use super::checker::verify;
use super::crash_points::die;
use super::files;
use super::http::Client;
use super::server::{Launch, WAIT_MAX};
use super::wait;

fn patch(client: &mut Client, body: &str) -> std::io::Result<u16> {
    let headers = [("content-type", "application/json")];
    client.send("PATCH", "/v1/settings", &headers, body.as_bytes()).map(|answer| answer.status)
}

fn get(client: &mut Client, path: &str) -> Value {
    client.get(path).unwrap().json()
}

#[test]
fn i8_a_poisoned_catalog_lets_the_ledger_go_on() {
    let data = tempfile::tempdir().unwrap();
    let launch = Launch::on(data.path()).restless();
    // The first two writes register the tenants and the key of access tokens.
    let server = launch.clone().failpoints("catalog::before_commit=2*off->1*return").start_ready();
    let mut client = server.client();
    assert_eq!(patch(&mut client, r#"{"week_start": "sunday"}"#).unwrap(), 503);
    assert_eq!(patch(&mut client, r#"{"week_start": "sunday"}"#).unwrap(), 503, "until it is opened again");
    for batch in 0..5 {
        let events: Vec<_> = (0..500).map(|n| json!({"id": format!("{batch}-{n}"), "user": format!("u{n}")})).collect();
        let answer = client.post("/v1/events?wait=applied", &Value::from(events).to_string()).unwrap();
        assert_eq!(answer.status, 202, "{}", answer.text());
    }
    let flushed = || data.path().join("segments").read_dir().is_ok_and(|mut files| files.next().is_some());
    assert!(wait::until(WAIT_MAX, flushed), "it flushes:\n{}", server.log());
    assert_eq!(get(&mut client, "/v1/settings")["week_start"], "monday");
    server.stop();
    verify(data.path());

    let server = launch.start_ready();
    assert_eq!(patch(&mut server.client(), r#"{"week_start": "sunday"}"#).unwrap(), 200);
}

#[test]
fn i7_a_recount_that_a_crash_has_ended_is_made_after_the_start() {
    for (point, hits) in [("catalog::after_commit", 1), ("zone::before_segment", 0), ("zone::before_commit", 0)] {
        let data = tempfile::tempdir().unwrap();
        let launch = Launch::on(data.path()).restless();
        let server = launch.start_ready();
        let event = |n: u32| json!({"id": n.to_string(), "user": n.to_string(), "time": "2026-01-02T23:30:00Z"});
        let events = Value::from((0..10).map(event).collect::<Vec<_>>());
        let answer = server.client().post("/v1/events?wait=applied", &events.to_string()).unwrap();
        assert_eq!(answer.status, 202, "{}", answer.text());
        server.stop();
        die(&launch, point, hits, |server| {
            let _ = patch(&mut server.client(), r#"{"timezone": "Asia/Kolkata"}"#);
        });

        // Held up in the middle, answers are of the zone before.
        let server = launch.clone().failpoints("zone::before_segment=pause").start_ready();
        let mut client = server.client();
        let pending = wait::until(WAIT_MAX, || get(&mut client, "/v1/settings")["timezone_pending"] == "Asia/Kolkata");
        assert!(pending, "{point}:\n{}", server.log());
        assert_eq!(get(&mut client, "/v1/settings")["timezone"], "UTC", "{point}");
        let days = "/stats/dau?from=2026-01-02&to=2026-01-03";
        let of = |zone: &str, users: [u64; 2]| {
            let day = |date: &str, users: u64| json!({"date": date, "users": users});
            json!({"tz": zone, "data": [day("2026-01-02", users[0]), day("2026-01-03", users[1])]})
        };
        assert_eq!(get(&mut client, days), of("UTC", [10, 0]), "{point}");
        server.kill();

        let server = launch.start_ready();
        let mut client = server.client();
        let applied = wait::until(WAIT_MAX, || get(&mut client, "/v1/settings").get("timezone_pending").is_none());
        assert!(applied, "{point}:\n{}", server.log());
        assert_eq!(get(&mut client, "/v1/settings")["timezone"], "Asia/Kolkata", "{point}");
        assert_eq!(get(&mut client, days), of("Asia/Kolkata", [0, 10]), "{point}");
        server.stop();
        verify(data.path());
    }
}

#[test]
fn f11_a_journal_or_segments_without_a_manifest_are_refused_and_stay() {
    for flushed in [true, false] {
        let data = tempfile::tempdir().unwrap();
        let launch = Launch::on(data.path()).restless();
        let server = launch.start_ready();
        let answer = server.client().post("/v1/events?wait=applied", r#"{"id": "1", "customer": "c"}"#).unwrap();
        assert_eq!(answer.status, 202, "{}", answer.text());
        if flushed {
            server.stop()
        } else {
            server.kill()
        }
        let names = ["manifest.sqlite", "catalog.sqlite"];
        let files_of = |name: &str| {
            files::with_suffix(data.path(), "")
                .into_iter()
                .filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(name))
                .collect::<Vec<_>>()
        };
        names.iter().flat_map(|name| files_of(name)).for_each(|path| files::remove(&path));
        let (journal, segments) = (data.path().join("journal"), data.path().join("segments"));
        if flushed {
            files::with_suffix(&journal, "").iter().for_each(|file| files::remove(file));
        }
        let held = || [&journal, &segments].map(|folder| files::with_suffix(folder, ""));
        let before = held();
        assert!(before.iter().any(|files| !files.is_empty()));
        let (code, log) = launch.refused();
        assert!(code != 0 && log.contains("manifest.sqlite is missing"), "{code}: {log}");
        assert_eq!(held(), before);
    }
}
