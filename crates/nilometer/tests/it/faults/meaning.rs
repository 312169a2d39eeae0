//! F17–F19, F27, F28: duplicates, other payloads, any order, poison and a queue that is full.

use std::path::Path;

use rand::seq::SliceRandom;
use serde_json::{Value, json};

use super::checker::{check, for_each_row, stored_ids, verify};
use super::client_log::ClientLog;
use super::http::Client;
use super::journal_file::JournalFile;
use super::seed::Seed;
use super::server::Launch;

#[test]
fn f17_i2_one_id_sent_20_000_times_over_8_connections_counts_once() {
    let data = tempfile::tempdir().unwrap();
    let server = Launch::on(data.path()).restless().start();
    let event = r#"{"id":"storm","customer":"c","time":1700000000,"tokens":7}"#;
    let send = |client: usize| {
        let address = server.address();
        // As many events at once as make 2,500 of each client.
        let events = [1, 10, 100, 500][client % 4];
        let body = format!("[{}]", vec![event; events].join(","));
        std::thread::spawn(move || {
            let mut client = Client::new(address);
            let answers = (0..2_500 / events).map(|_| client.post("/v1/events", &body).unwrap());
            answers.inspect(|answer| assert_eq!(answer.status, 202, "{}", answer.text())).count() * events
        })
    };
    let clients: Vec<_> = (0..8).map(send).collect();
    assert_eq!(clients.into_iter().map(|client| client.join().unwrap()).sum::<usize>(), 20_000);
    server.wait_drained();
    let mut client = server.client();
    let customer = client.get("/v1/customers/c").unwrap().json();
    assert_eq!((&customer["totals"]["totalCalls"], &customer["totals"]["totalTokens"]), (&json!(1), &json!(7)));
    assert_eq!(stored_ids(&mut client).get("storm"), Some(&1));
    assert_eq!(server.metric(&mut client, "events_duplicate_total"), 19_999.0);
    server.stop();
    verify(data.path());
}

#[test]
fn f18_i3_an_id_with_another_payload_changes_nothing_and_is_told() {
    let data = tempfile::tempdir().unwrap();
    let launch = Launch::on(data.path()).restless();
    let first = r#"{"id":"e","customer":"c","time":1700000000,"tokens":7}"#;
    let other = r#"{"id":"e","customer":"d","time":1700000031,"tokens":8}"#;
    let server = launch.start();
    let mut client = server.client();
    assert_eq!(client.post("/v1/events?wait=applied", first).unwrap().json()["accepted"], 1);
    // From memory, from a segment, and after a crash.
    for _ in 0..3 {
        let answer = client.post("/v1/events?wait=applied", other).unwrap().json();
        let verdict = &answer["results"][0];
        assert_eq!((&verdict["status"], &verdict["code"]), (&json!("duplicate"), &json!("payload_mismatch")));
        std::thread::sleep(std::time::Duration::from_millis(300));
    }
    server.kill();
    let server = launch.start_ready();
    let mut client = server.client();
    let answer = client.post("/v1/events", &format!("[{other},{first}]")).unwrap().json();
    assert_eq!(answer["results"][0]["code"], "payload_mismatch");
    assert_eq!(answer["results"][1]["status"], "duplicate");
    assert_eq!(client.get("/v1/customers/c").unwrap().json()["totals"]["totalTokens"], 7);
    assert_eq!(client.get("/v1/customers/d").unwrap().status, 404);
    assert_eq!(client.get("/v1/events/e").unwrap().json()["tokens"], 7);
    server.stop();
    verify(data.path());
}

#[test]
fn f19_i3_any_order_batching_and_repetition_gives_the_same_windows() {
    let seed = Seed::new();
    let mut random = seed.random(0);
    let log = ClientLog::new(seed);
    // Without those that leave their time to the server.
    let mut numbers: Vec<_> = log.fresh(4_000).into_iter().filter(|number| !number.is_multiple_of(11)).collect();
    let sorted = windows_after(&log, &[numbers.clone()], 100);
    let calls: u64 = sorted.iter().map(|window| window["aggregations"]["totalCalls"].as_u64().unwrap()).sum();
    assert_eq!(calls, numbers.len() as u64);
    for events in [1_000, 37] {
        numbers.shuffle(&mut random);
        let mut again = numbers.clone();
        again.shuffle(&mut random);
        let shuffled = windows_after(&log, &[numbers.clone(), again], events);
        assert_eq!(shuffled.len(), sorted.len(), "seed {seed}");
        for (shuffled, sorted) in shuffled.iter().zip(&sorted) {
            assert_eq!(shuffled.to_string(), sorted.to_string(), "seed {seed}");
        }
    }
}

/// The windows of a fresh server that was sent all `runs` of events in batches, flushing meanwhile.
fn windows_after(log: &ClientLog, runs: &[Vec<u64>], events: usize) -> Vec<Value> {
    let data = tempfile::tempdir().unwrap();
    let server = Launch::on(data.path()).restless().start();
    let mut client = server.client();
    for numbers in runs.iter().flat_map(|run| run.chunks(events)) {
        let answer = client.post("/v1/events", &log.body(numbers)).unwrap();
        assert_eq!(answer.status, 202, "{}", answer.text());
    }
    server.wait_drained();
    // All of them ended long ago; the closer says so a moment after the last event was applied.
    let windows = loop {
        let mut windows = Vec::new();
        for_each_row(&mut client, "/v1/windows?limit=1000", |window| windows.push(window.clone()));
        if windows.iter().all(|window| window["state"] != "open") {
            break windows;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    };
    server.stop();
    verify(data.path());
    windows
}

/// Puts a record into the journal that is whole and cannot be decoded.
fn poison(data: &Path) {
    // Version 2 of the payload's format; the rest is as of version 1.
    let payload = [&[2, 7, 0][..], b"default", &0_i64.to_le_bytes(), &0_u32.to_le_bytes()].concat();
    JournalFile::last_of(data).append(&payload);
}

#[test]
fn f27_a_poison_record_is_dead_lettered_once_and_the_queue_goes_on() {
    let data = tempfile::tempdir().unwrap();
    let log = ClientLog::new(Seed::new());
    let launch = Launch::on(data.path()).unflushed();
    let server = launch.start();
    log.send_singly(&mut server.client(), 5);
    server.kill();
    poison(data.path());

    let server = launch.start_ready();
    let mut client = server.client();
    assert_eq!(server.metric(&mut client, "ledger_dead_letters"), 1.0, "{}", server.log());
    assert_eq!(server.log().matches("became a dead letter").count(), 1, "{}", server.log());
    log.send_singly(&mut client, 5);
    // Nothing is flushed: the next one meets the record again.
    server.kill();
    let server = launch.start_ready();
    log.send_singly(&mut server.client(), 5);
    check(&server, data.path(), &log);
    let server = launch.start_ready();
    assert_eq!(server.metric(&mut server.client(), "ledger_dead_letters"), 1.0, "{}", server.log());
}

#[cfg(feature = "failpoints")]
#[test]
fn f28_i1_i6_a_backlog_at_its_limit_refuses_with_retry_after_and_drains_without_loss() {
    let seed = Seed::new();
    let data = tempfile::tempdir().unwrap();
    let log = ClientLog::new(seed);
    let narrow = ["body_bytes_max", "decoded_bytes_max", "backlog_bytes_max"];
    let launch = narrow.iter().fold(Launch::on(data.path()).restless(), |launch, name| launch.set(name, 1 << 20));
    let server = launch.clone().failpoints("worker::before_apply=1*sleep(13000)").start();
    let mut client = server.client();
    let mut refusals = 0;
    while refusals < 20 {
        let numbers = log.fresh(500);
        let answer = client.post("/v1/events", &log.body(&numbers)).unwrap();
        match answer.status {
            202 => log.note(&numbers, &answer.json()).unwrap(),
            503 => {
                assert_eq!(answer.header("retry-after"), Some("1"));
                assert_eq!(answer.json()["type"], "urn:nilometer:problem:overloaded");
                refusals += 1;
            }
            other => panic!("{other}: {}", answer.text()),
        }
    }
    // While the worker stands: told after ten seconds.
    while client.get("/readyz").unwrap().status != 503 {
        assert_ne!(server.metric(&mut client, "backlog_records"), 0.0, "never told: {}", server.log());
    }
    assert!(server.memory_mb_max() < 600, "I6: {} MB", server.memory_mb_max());
    server.wait_drained();
    server.wait_ready();
    log.send_unknown(&mut client);
    let verdict = check(&server, data.path(), &log);
    assert_eq!(verdict.acknowledged, verdict.stored, "seed {seed}: {verdict}");
}
