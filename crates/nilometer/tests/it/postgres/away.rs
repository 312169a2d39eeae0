//! A database that does not answer: a start says so, a running server takes events all the same, and catches up.

use std::sync::Arc;

use rand::RngExt;
use serde_json::Value;

use super::Base;
use crate::faults::checker::check_running;
use crate::faults::client_log::ClientLog;
use crate::faults::http::Client;
use crate::faults::load::Load;
use crate::faults::seed::Seed;
use crate::faults::server::{Launch, Server, WAIT_MAX};
use crate::faults::wait;

#[test]
fn a_start_without_its_database_ends_with_a_code_of_its_own() {
    let data = tempfile::tempdir().unwrap();
    let url = "postgres://postgres:a-secret-of-mine@127.0.0.1:1/nowhere";
    let (code, told) = Launch::on(data.path()).set("postgres_url", url).refused();
    assert_eq!(code, 7, "{told}");
    assert!(told.contains("nilometer_app@127.0.0.1:1/nowhere does not answer"), "{told}");
    assert!(!told.contains("a-secret-of-mine"), "{told}");
}

/// The line of a check in `/readyz`, if there is one, and the status of the answer.
fn readiness(client: &mut Client, name: &str) -> (u16, Option<Value>) {
    let Ok(answer) = client.get("/readyz") else { return (0, None) };
    let checks = answer.json()["checks"].as_array().unwrap().clone();
    (answer.status, checks.into_iter().find(|check| check["name"] == name))
}

fn wait_until_told(server: &Server, what: &str, told: impl Fn(u16, Option<&Value>) -> bool) {
    let mut client = server.client();
    let mut last = None;
    let is_told = wait::until(WAIT_MAX, || {
        let (status, check) = readiness(&mut client, what);
        let is_told = told(status, check.as_ref());
        last = Some((status, check));
        is_told
    });
    assert!(is_told, "{what}: {last:?}\n{}", server.log());
}

#[test]
fn i1_i2_i7_a_database_that_is_killed_under_load_loses_nothing_and_events_are_taken_meanwhile() {
    let Some(mut base) = Base::new() else { return };
    let (seed, data) = (Seed::new(), tempfile::tempdir().unwrap());
    let log = Arc::new(ClientLog::new(seed));
    let server = base.launch(data.path()).start_ready();
    let load = Load::start(&log, 50);
    load.aim(Some(server.address()));
    let mut random = seed.random(0);
    for kill in 0..3 {
        std::thread::sleep(std::time::Duration::from_millis(random.random_range(200..1_500)));
        base.postgres.kill().unwrap();
        wait_until_told(&server, "database", |status, check| {
            status == 200 && check.is_some_and(|it| it["ok"] == false)
        });
        let mut client = server.client();
        let taken = log.fresh(5);
        let answer = client.post("/v1/events", &log.body(&taken)).unwrap();
        assert_eq!(answer.status, 202, "kill {kill}: {}", answer.text());
        log.note(&taken, &answer.json()).unwrap();
        let asked = client.get("/v1/events?limit=1").unwrap();
        assert_eq!(asked.status, 503, "kill {kill}: {}", asked.text());
        base.postgres.start().unwrap();
        wait_until_told(&server, "database", |status, check| status == 200 && check.is_none());
    }
    let complaints = load.end();
    assert!(complaints.is_empty(), "seed {seed}: {complaints:#?}\n{}", server.log());
    log.send_unknown(&mut server.client());
    check_running(&server, &log);
    server.stop();
    base.assert_whole();
}

#[test]
fn i7_while_the_database_is_away_events_are_taken_up_to_the_limit_of_the_backlog() {
    let Some(mut base) = Base::new() else { return };
    let data = tempfile::tempdir().unwrap();
    let launch = base.launch(data.path()).set("backlog_bytes_max", 1 << 20).set("decoded_bytes_max", 1 << 20);
    let server = launch.set("body_bytes_max", 1 << 18).start_ready();
    base.postgres.stop().unwrap();
    let mut client = server.client();
    let note = "n".repeat(1_000);
    let mut taken = 0;
    let refused = loop {
        let batch: Vec<_> =
            (0..100).map(|at| format!(r#"{{"id": "{taken}-{at}", "properties": {{"n": "{note}"}}}}"#)).collect();
        let answer = client.post("/v1/events", &format!("[{}]", batch.join(","))).unwrap();
        if answer.status != 202 {
            break answer;
        }
        taken += 1;
        assert!(taken < 1_000, "nothing is refused");
    };
    assert!(refused.status == 503 && refused.header("retry-after").is_some() && taken > 0, "{}", refused.text());
    wait_until_told(&server, "journal", |status, check| status == 503 && check.is_some_and(|it| it["ok"] == false));
    base.postgres.start().unwrap();
    server.wait_drained();
    wait_until_told(&server, "journal", |status, check| status == 200 && check.is_some_and(|it| it["ok"] == true));
    assert_eq!(base.number("SELECT count(*) FROM usage_events"), taken * 100);
    // An end without the database loses nothing either.
    base.postgres.stop().unwrap();
    assert_eq!(client.post("/v1/events", r#"{"id": "last"}"#).unwrap().status, 202);
    server.signal(rustix::process::Signal::TERM);
    assert!(server.wait().code().is_some(), "{}", server.log());
    base.postgres.start().unwrap();
    let server = base.launch(data.path()).start_ready();
    assert_eq!(server.client().get("/v1/events/last").unwrap().status, 200);
    server.stop();
    base.assert_whole();
}
