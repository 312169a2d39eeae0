//! Requests with an `Idempotency-Key` that come again after a crash: answered as the first time, counted once.

use std::path::Path;

use serde_json::{Value, json};

use super::checker::verify;
use super::http::{Answer, Client};
use super::server::{Launch, Server, WAIT_MAX};
use super::wait;

/// Events without an id, of which nothing but the key tells one sending from another.
const BODY: &str = r#"[{"customer":"c","time":1700000000,"tokens":7},{"customer":"c","time":1700000000,"tokens":7}]"#;

fn post(client: &mut Client, key: &str, body: &str) -> std::io::Result<Answer> {
    let headers = [("content-type", "application/json"), ("idempotency-key", key)];
    client.send("POST", "/v1/events", &headers, body.as_bytes())
}

/// Sends until it is taken, as a client does that is told to come again.
fn taken(client: &mut Client, key: &str) -> Value {
    let mut taken = Value::Null;
    let answered = wait::until(WAIT_MAX, || {
        let answer = post(client, key, BODY).unwrap();
        assert!(matches!(answer.status, 202 | 409 | 503), "{}", answer.text());
        assert!(answer.status == 202 || answer.header("retry-after").is_some(), "{}", answer.text());
        taken = answer.json();
        answer.status == 202
    });
    assert!(answered, "never taken: {taken}");
    taken
}

fn calls(client: &mut Client) -> Value {
    client.get("/v1/customers/c").unwrap().json()["totals"]["totalCalls"].clone()
}

/// Every key is answered as before, and refuses another body; nothing is counted twice.
fn check(server: &Server, answers: &[(String, Value)]) {
    server.wait_drained();
    let mut client = server.client();
    for (key, answer) in answers {
        assert_eq!(&taken(&mut client, key), answer, "{key}");
        let other = post(&mut client, key, &BODY.replace('7', "8")).unwrap();
        assert_eq!((other.status, &other.json()["field"]), (422, &json!("Idempotency-Key")), "{}", other.text());
    }
    assert_eq!(calls(&mut client), 2 * answers.len());
    assert_eq!(server.metric(&mut client, "backlog_records"), 0.0);
}

fn answered(server: &Server, key: &str) -> (String, Value) {
    (key.to_owned(), taken(&mut server.client(), key))
}

fn end(server: &Server, data: &Path) {
    server.stop();
    verify(data);
}

#[test]
fn i1_i2_a_key_outlives_kills_flushes_and_merges() {
    let data = tempfile::tempdir().unwrap();
    let launch = Launch::on(data.path()).restless();
    let mut answers = Vec::new();
    for round in 0..6 {
        let server = launch.start();
        answers.push(answered(&server, &format!("before-kill-{round}")));
        server.kill();
        let server = launch.start();
        // At once, perhaps before the replay has ended.
        assert_eq!(taken(&mut server.client(), &answers[round].0), answers[round].1);
        check(&server, &answers);
        std::thread::sleep(std::time::Duration::from_millis(200));
        check(&server, &answers);
        server.stop();
    }
    let server = launch.start_ready();
    check(&server, &answers);
    end(&server, data.path());
}

#[cfg(feature = "failpoints")]
#[test]
fn f3_i2_a_request_that_was_journaled_and_never_answered_is_counted_once_when_it_comes_again() {
    use super::crash_points::die;
    let data = tempfile::tempdir().unwrap();
    let launch = Launch::on(data.path()).restless();
    let mut answers = Vec::new();
    for point in [
        "journal::before_sync",
        "journal::after_sync",
        "http::before_respond",
        "worker::before_apply",
        "worker::after_apply",
        "worker::before_ack",
        "flush::before_commit",
        "manifest::after_commit",
        "flush::after_commit",
    ] {
        die(&launch, point, 0, |server| {
            if let Some(address) = server.try_address(WAIT_MAX) {
                // The answer may never come.
                let _ = post(&mut Client::new(address), point, BODY);
            }
        });
        let server = launch.start();
        answers.push(answered(&server, point));
        assert_eq!(answers.last().map(|(_, answer)| answer["accepted"].clone()), Some(json!(2)), "{point}");
        check(&server, &answers);
        server.kill();
    }
    let server = launch.start_ready();
    check(&server, &answers);
    end(&server, data.path());
}
