//! Ten thousand real web requests, posted as events, give the answers that another engine computed:
//! in the order of the file, and shuffled, everything twice.

use std::path::Path;

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use serde_json::{Map, Value, json};

use crate::figures::{check_every_figure, file};
use crate::harness::{Server, run, stdout};

/// Events in one request.
const BATCH_EVENTS: usize = 500;

/// The fields of one line of RFC 4180 CSV without line breaks in fields.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => {
                fields.last_mut().unwrap().push('"');
                characters.next();
            }
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            other => fields.last_mut().unwrap().push(other),
        }
    }
    fields
}

/// The rows of the file as events; each column under its own name, which is a name of the field too.
fn events() -> Vec<Value> {
    let text = file("web-requests.csv");
    let mut lines = text.lines();
    let columns = fields(lines.next().unwrap());
    let event = |line: &str| {
        let mut event = Map::new();
        for (column, text) in columns.iter().zip(fields(line)) {
            let value = if column == "properties" { serde_json::from_str(&text).unwrap() } else { json!(text) };
            event.insert(column.clone(), value);
        }
        Value::Object(event)
    };
    lines.map(event).collect()
}

/// Posts events and stops when the last ones are visible.
fn post(server: &Server, events: &[Value]) {
    for batch in events.chunks(BATCH_EVENTS) {
        let (status, answer) = server.post("/v1/events?wait=applied", json!(batch).to_string());
        assert_eq!(status, 202, "{answer}");
        assert_eq!((&answer["rejected"], &answer["applied"]), (&json!(0), &json!(true)), "{answer}");
    }
}

/// The folder's aggregates are those of its raw events.
pub(crate) fn verify(data: &Path) {
    let verified = run(&["verify", "--data", data.to_str().unwrap()]);
    assert_eq!(verified.status.code(), Some(0), "{}", stdout(&verified));
}

#[test]
fn i3_web_requests_in_the_order_of_the_file_give_the_expected_answers() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    post(&server, &events());
    check_every_figure(&server);
    server.stop();
    verify(data.path());
}

#[test]
fn i2_i3_web_requests_shuffled_and_posted_twice_give_the_same_answers() {
    let data = tempfile::tempdir().unwrap();
    // Small flushes, so that most answers come from many files.
    let server = Server::with(data.path(), &["--flush-rows", "700"]);
    let mut random = StdRng::seed_from_u64(1);
    let mut events = events();
    for _ in 0..2 {
        events.shuffle(&mut random);
        post(&server, &events);
        check_every_figure(&server);
    }
    server.kill();
    let server = Server::start(data.path());
    while server.get("/readyz").0 != 200 {}
    check_every_figure(&server);
    server.stop();
    verify(data.path());
}
