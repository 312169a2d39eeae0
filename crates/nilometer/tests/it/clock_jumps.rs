//! F16 on the real binary: a library shifts the clock that the server sees while it runs, and leaves boot time
//! alone. Where the library is not there, the tests say that they are skipped; `scripts/setup.sh test` installs it.

use std::path::PathBuf;
use std::time::Duration;

use clock::SystemClock;
use domain::time::Timestamp;
use ports::clock::Clock;
use serde_json::{Value, json};

use crate::faults::wait;
use crate::harness::{Server, nilometer, run, stderr, stdout};

/// More than any machine needs.
const WAIT_MAX: Duration = Duration::from_secs(60);
const HOUR: &str = "+3600s";
const YEAR_2100: &str = "+74y";
const RIGHT: &str = "+0";

/// The library, if it is there.
fn library() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").ok()?.flatten().map(|entry| entry.path().join("faketime"));
    let found = folders.map(|folder| folder.join("libfaketimeMT.so.1")).find(|library| library.is_file());
    if found.is_none() {
        crate::faults::say("skipped: the library libfaketime is missing");
    }
    found
}

/// A machine whose clock can be set for one server.
struct Machine {
    library: PathBuf,
    folder: tempfile::TempDir,
}

impl Machine {
    fn new() -> Option<Self> {
        let machine = Self { library: library()?, folder: tempfile::tempdir().unwrap() };
        machine.set(RIGHT);
        Some(machine)
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Sets the clock of what runs on it.
    #[expect(clippy::disallowed_methods, reason = "a file of the test's own")]
    fn set(&self, offset: &str) {
        let (new, file) = (self.folder.path().join("offset.new"), self.folder.path().join("offset"));
        std::fs::write(&new, offset).unwrap();
        std::fs::rename(new, file).unwrap();
    }

    /// Starts a server whose windows last a second.
    fn start(&self, args: &[&str]) -> Server {
        let data = self.data();
        let mut command = nilometer(&["serve", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()]);
        command.args(["--window-length-sec", "1", "--window-grace-sec", "0"]).args(args);
        command
            .env("LD_PRELOAD", &self.library)
            .env("FAKETIME_TIMESTAMP_FILE", self.folder.path().join("offset"))
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("NO_FAKE_STAT", "1");
        Server::run(command)
    }

    fn accept_clock(&self) -> (Option<i32>, String) {
        let output = run(&["admin", "accept-clock", "--data", self.data().to_str().unwrap()]);
        (output.status.code(), format!("{}{}", stdout(&output), stderr(&output)))
    }

    /// The folder is what its events make it.
    fn verify(&self) {
        let verified = run(&["verify", "--data", self.data().to_str().unwrap()]);
        assert_eq!(verified.status.code(), Some(0), "{}{}", stdout(&verified), stderr(&verified));
    }
}

fn seconds(at: Timestamp) -> i64 {
    at.micros() / 1_000_000
}

/// Seconds by which `text` differs from the real time.
fn off(text: &Value) -> i64 {
    (seconds(Timestamp::parse(text.as_str().unwrap()).unwrap()) - seconds(SystemClock.now())).abs()
}

fn check<'r>(ready: &'r Value, name: &str) -> &'r Value {
    let checks = ready["checks"].as_array().unwrap();
    checks.iter().find(|check| check["name"] == name).unwrap_or(&Value::Null)
}

/// The server takes nothing, and says why.
fn is_in_doubt(server: &Server) {
    let (status, problem) = server.post("/v1/events", json!({"id": "refused"}).to_string());
    assert_eq!((status, &problem["type"]), (503, &json!("urn:nilometer:problem:clock-unsure")), "{problem}");
    let (status, ready) = server.get("/readyz");
    assert_eq!((status, &check(&ready, "clock")["ok"]), (503, &json!(false)), "{ready}");
    assert_eq!(server.get("/v1/events").0, 200, "reads work");
}

/// The server takes what comes, by the time that it is. `n` tells one call from others.
fn is_right(server: &Server, n: u32) {
    let ready = wait::until(WAIT_MAX, || server.get("/readyz").0 == 200);
    assert!(ready, "{}", server.get("/readyz").1);
    let (now, id) = (SystemClock.now(), |what: &str| format!("{what} {n}"));
    let body = json!([
        {"id": id("stamped"), "customer": "c"},
        {"id": id("in time"), "customer": id("c"), "time": now.to_string()},
        {"id": id("ahead"), "time": now.plus_micros(50 * 60 * 1_000_000).to_string()},
    ]);
    let (status, taken) = server.post("/v1/events?wait=applied", body.to_string());
    let results = &taken["results"];
    assert_eq!((status, &results[2]["code"]), (202, &json!("time_in_future")), "{taken}");
    assert_eq!(taken["accepted"], 2, "{taken}");
    let (_, event) = server.get(&format!("/v1/events/stamped%20{n}"));
    assert!(off(&event["time"]) <= 30 && off(&event["received_at"]) <= 30, "{event}");
    let path = format!("/v1/windows?customer=c%20{n}");
    let closed = wait::until(WAIT_MAX, || server.get(&path).1["data"][0]["state"] != "open");
    assert!(closed, "its window never closes: {}", server.get(&path).1);
    // The server may have been slow to take it, but not by the jump.
    let (_, windows) = server.get(&path);
    assert!(windows["data"][0]["revision"].as_u64().unwrap() <= 2, "{windows}");
}

#[test]
fn f16_an_hour_ahead_for_three_seconds_and_2100_for_four_change_nothing() {
    let Some(machine) = Machine::new() else { return };
    let server = machine.start(&[]);
    is_right(&server, 0);
    for (n, (offset, tenths)) in (1..).zip([(HOUR, 30), (YEAR_2100, 40), ("-1h", 10)]) {
        machine.set(offset);
        for _ in 0..tenths {
            is_in_doubt(&server);
            std::thread::sleep(Duration::from_millis(100));
        }
        machine.set(RIGHT);
        is_right(&server, n);
    }
    let log = server.stop();
    for (part, times) in [("clock has jumped", 3), ("clock is back", 3)] {
        assert_eq!(log.iter().filter(|line| line.contains(part)).count(), times, "{}", log.join("\n"));
    }
    machine.verify();
}

#[test]
fn f16_a_restart_in_the_year_2100_heals_by_a_word_of_the_operator() {
    let Some(machine) = Machine::new() else { return };
    let server = machine.start(&[]);
    is_right(&server, 0);
    machine.set(YEAR_2100);
    is_in_doubt(&server);
    server.kill();

    let server = machine.start(&[]);
    assert!(wait::until(WAIT_MAX, || server.get("/readyz").0 == 200), "a clock that is ahead at a start is believed");
    assert_eq!(server.post("/v1/events?wait=applied", json!({"id": "in 2100"}).to_string()).1["accepted"], 1);
    let (code, told) = machine.accept_clock();
    assert_eq!((code, told.contains("believed the clock already")), (Some(0), true), "{told}");
    machine.set(RIGHT);
    is_in_doubt(&server);
    server.kill();

    let server = machine.start(&[]);
    is_in_doubt(&server);
    let (code, told) = machine.accept_clock();
    assert_eq!((code, told.contains("it believes the clock now: 20")), (Some(0), true), "{told}");
    is_right(&server, 1);
    assert_eq!(server.get("/v1/events/in%202100").0, 200, "I1");
    server.stop();
    let server = machine.start(&[]);
    is_right(&server, 2);
    server.stop();
    machine.verify();
}

#[test]
fn accept_clock_needs_a_server_that_runs() {
    let folder = tempfile::tempdir().unwrap();
    let nowhere = folder.path().join("nowhere");
    for data in [folder.path(), nowhere.as_path()] {
        let refused = run(&["admin", "accept-clock", "--data", data.to_str().unwrap()]);
        assert_eq!(refused.status.code(), Some(5), "{}", stderr(&refused));
    }
    assert!(!folder.path().join("LOCK").exists(), "a folder that is none is left as it is");
    Server::start(folder.path()).stop();
    let refused = run(&["admin", "accept-clock", "--data", folder.path().to_str().unwrap()]);
    assert_eq!((refused.status.code(), stderr(&refused).contains("no server runs")), (Some(1), true));
    let server = Server::start(folder.path());
    let told = run(&["admin", "accept-clock", "--data", folder.path().to_str().unwrap()]);
    assert_eq!(told.status.code(), Some(0), "{}", stderr(&told));
    server.stop();
    assert!(
        !folder.path().join("accept-clock.request").exists() && !folder.path().join("accept-clock.answer").exists()
    );
}

/// Takes five events of each of these days ago, by a server of its own, which leaves a segment.
fn fill(start: impl Fn() -> Server, days_ago: &[i64]) {
    for days in days_ago {
        let server = start();
        let time = SystemClock.now().plus_micros(-days * 86_400_000_000).to_string();
        let events: Vec<_> = (0..5).map(|n| json!({"id": format!("{days} {n}"), "time": time})).collect();
        assert_eq!(server.post("/v1/events?wait=applied", json!(events).to_string()).1["accepted"], 5);
        server.stop();
    }
}

fn events(server: &Server) -> usize {
    server.get("/v1/events?limit=100").1["data"].as_array().unwrap().len()
}

/// What readiness says about retention, once it does.
fn announced(server: &Server) -> String {
    let message = || check(&server.get("/readyz").1, "retention")["message"].as_str().map(str::to_owned);
    assert!(wait::until(WAIT_MAX, || message().is_some()), "nothing is said of it");
    message().unwrap()
}

#[test]
fn a_retention_that_is_new_or_shorter_says_what_will_go_and_waits() {
    let folder = tempfile::tempdir().unwrap();
    fill(|| Server::start(folder.path()), &[400, 399, 20, 1]);
    // A typo, on an old folder.
    let server = Server::with(folder.path(), &["--retention-days", "3"]);
    let message = announced(&server);
    assert!(message.contains("at most 15 in 3 segments"), "{message}");
    assert_eq!((server.get("/readyz").0, events(&server)), (200, 20), "nothing is gone, and nothing is wrong");
    let log = server.stop().join("\n");
    assert!(log.contains("raw events will be dropped") && !log.contains("has dropped raw events"), "{log}");

    let server = Server::with(folder.path(), &["--retention-days", "500"]);
    assert_eq!(check(&server.get("/readyz").1, "retention"), &Value::Null, "nothing is that old");
    server.stop();

    let server = Server::with(folder.path(), &["--retention-days", "30", "--retention-now"]);
    assert!(wait::until(WAIT_MAX, || events(&server) == 10), "what the operator says is done");
    let log = server.stop().join("\n");
    assert!(log.contains("retention has dropped raw events") && log.contains("events=10"), "{log}");

    let server = Server::with(folder.path(), &["--retention-days", "3", "--retention-delay-sec", "1"]);
    assert!(wait::until(WAIT_MAX, || events(&server) == 5), "it goes when the wait is over");
    server.stop();
    let verified = run(&["verify", "--data", folder.path().to_str().unwrap()]);
    assert_eq!(verified.status.code(), Some(0), "{}", stdout(&verified));
}

#[test]
fn f16_a_start_in_2100_drops_nothing_that_retention_keeps() {
    let Some(machine) = Machine::new() else { return };
    fill(|| machine.start(&[]), &[20, 1]);
    let server = machine.start(&["--retention-days", "30", "--retention-now"]);
    assert_eq!(events(&server), 10);
    server.kill();
    machine.set(YEAR_2100);
    let server = machine.start(&["--retention-days", "30"]);
    let message = announced(&server);
    assert!(message.contains("at most 10 in 2 segments"), "{message}");
    assert_eq!(events(&server), 10);
    machine.set(RIGHT);
    is_in_doubt(&server);
    assert_eq!(machine.accept_clock().0, Some(0));
    let settled = || check(&server.get("/readyz").1, "retention") == &Value::Null;
    assert!(wait::until(WAIT_MAX, settled), "nothing waits any more: {}", server.get("/readyz").1);
    assert_eq!(events(&server), 10);
    server.stop();
    machine.verify();
}
