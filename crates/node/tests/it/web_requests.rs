//! Ten thousand real web requests, posted as events, give the answers that another engine computed:
//! in the order of the file, and shuffled, everything twice.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use serde_json::{Map, Value, json};

use crate::harness::{Server, run, stdout};

/// Events in one request.
const BATCH_EVENTS: usize = 500;

pub(crate) fn file(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testdata/web-requests").join(name);
    #[expect(clippy::disallowed_methods, reason = "our own test data")]
    let text = std::fs::read_to_string(&path);
    text.unwrap_or_else(|why| panic!("{}: {why}", path.display()))
}

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

/// All rows of a listing.
pub(crate) fn rows(server: &Server, path: &str) -> Vec<Value> {
    let mut rows = Vec::new();
    let mut cursor = String::new();
    loop {
        let (status, page) = server.get(&format!("{path}?limit=1000{cursor}"));
        assert_eq!(status, 200, "{page}");
        rows.extend_from_slice(page["data"].as_array().unwrap());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return rows,
        }
    }
}

/// Everything that can be asked now, compared with what it must be.
pub(crate) fn compare(server: &Server, expected: &Value) {
    let events = rows(server, "/v1/events");
    assert_eq!(json!(events.len()), expected["events"]);
    let time = |event: &Value| event["time"].as_str().unwrap().to_owned();
    assert_eq!(json!(time(events.last().unwrap())), expected["first_event"]);
    assert_eq!(json!(time(&events[0])), expected["last_event"]);
    let bytes: u64 = events.iter().filter_map(|event| event["properties"]["bytes"].as_u64()).sum();
    assert_eq!(json!(bytes), expected["bytes_total"]);

    assert_eq!(json!(rows(server, "/v1/customers").len()), expected["customers"]);
    let windows = rows(server, "/v1/windows");
    assert_eq!(json!(windows.len()), expected["windows_30s"]);
    let mut busiest: Vec<_> = windows
        .iter()
        .map(|window| {
            let start = window["windowStart"].as_str().unwrap().replace('T', " ").replace('Z', "");
            (window["aggregations"]["totalCalls"].as_u64().unwrap(), start, window["customerId"].as_str().unwrap())
        })
        .collect();
    busiest.sort_by_key(|(calls, start, customer)| (std::cmp::Reverse(*calls), start.clone(), *customer));
    let wanted = expected["busiest_window"].as_array().unwrap();
    for ((calls, start, customer), wanted) in busiest.iter().zip(wanted) {
        assert_eq!(*wanted, json!({"customer": customer, "window_start": start, "calls": calls}));
    }
    let by_endpoint = endpoints(&rows(server, "/v1/customers"));
    for wanted in expected["top_endpoints"].as_array().unwrap() {
        assert_eq!(
            by_endpoint.get(wanted["endpoint"].as_str().unwrap()).copied(),
            wanted["count"].as_u64(),
            "{wanted}"
        );
    }
    let calls = server.get("/v1/customers/site-blog").1["totals"]["totalCalls"].as_u64();
    let of_blog = expected["totals_of_site_blog"].as_object().unwrap();
    assert_eq!(calls, Some(of_blog.values().filter_map(Value::as_u64).sum()));
}

/// Calls by endpoint over all customers.
fn endpoints(customers: &[Value]) -> BTreeMap<String, u64> {
    let mut calls = BTreeMap::new();
    for (endpoint, slice) in customers.iter().flat_map(|customer| customer["totals"]["byEndpoint"].as_object().unwrap())
    {
        *calls.entry(endpoint.clone()).or_default() += slice["calls"].as_u64().unwrap();
    }
    calls
}

pub(crate) fn verify(data: &Path) {
    let verified = run(&["verify", "--data", data.to_str().unwrap()]);
    assert_eq!(verified.status.code(), Some(0), "{}", stdout(&verified));
}

#[test]
fn i3_web_requests_in_the_order_of_the_file_give_the_expected_answers() {
    let expected = serde_json::from_str(&file("web-requests.expected.json")).unwrap();
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    post(&server, &events());
    compare(&server, &expected);
    server.stop();
    verify(data.path());
}

#[test]
fn i2_i3_web_requests_shuffled_and_posted_twice_give_the_same_answers() {
    let expected = serde_json::from_str(&file("web-requests.expected.json")).unwrap();
    let data = tempfile::tempdir().unwrap();
    // Small flushes, so that most answers come from many files.
    let server = Server::with(data.path(), &["--flush-rows", "700"]);
    let mut random = StdRng::seed_from_u64(1);
    let mut events = events();
    for _ in 0..2 {
        events.shuffle(&mut random);
        post(&server, &events);
        compare(&server, &expected);
    }
    server.kill();
    let server = Server::start(data.path());
    while server.get("/readyz").0 != 200 {}
    compare(&server, &expected);
    server.stop();
    verify(data.path());
}
