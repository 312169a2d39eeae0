//! Ten thousand real web requests, imported: every figure that another engine computed for them, from
//! the HTTP API; in the order of the file, twice, shuffled, and in two halves with a kill in between.
//! One function per group of figures, so that a failure says which one is wrong.

use std::path::Path;

use serde_json::{Value, json};

use super::{import, imported, read, shuffled, web_requests, write};
use crate::harness::{Server, run, stderr};
use crate::web_requests::{compare, file, verify};

/// All days of the file.
const DAYS: &str = "from=2015-05-17&to=2015-05-20&tz=UTC";

fn expected() -> Value {
    serde_json::from_str(&file("web-requests.expected.json")).unwrap()
}

fn get(server: &Server, path: &str) -> Value {
    let (status, body) = server.get(path);
    assert_eq!(status, 200, "{path}: {body}");
    body
}

/// Daily active users.
fn compare_dau(server: &Server, expected: &Value) {
    for path in ["/stats/dau", "/v1/stats/dau"] {
        let found = get(server, &format!("{path}?{DAYS}"));
        let wanted: Vec<_> = expected["dau"].as_object().unwrap().iter().collect();
        let wanted: Vec<_> = wanted.into_iter().map(|(date, users)| json!({"date": date, "users": users})).collect();
        assert_eq!(found, json!({"tz": "UTC", "data": wanted}), "{path}");
    }
    let users = get(server, &format!("/v1/analytics?metric=unique_users&interval=month&{DAYS}"));
    assert_eq!(users["data"][0]["value"], expected["users"]);
}

/// The most frequent types.
fn compare_top_events(server: &Server, expected: &Value) {
    for range in ["", "?from=2015-05-17&to=2015-05-20", "?limit=10&tz=UTC&from=2015-05-17"] {
        let found = get(server, &format!("/stats/top-events{range}"));
        assert_eq!(found, json!({"data": expected["top_events"]}), "{range}");
    }
    let found = get(server, "/v1/stats/top-events?limit=2");
    assert_eq!(found["data"].as_array().unwrap()[..], expected["top_events"].as_array().unwrap()[..2]);
}

/// Daily cohorts and who of them came back.
fn compare_retention(server: &Server, expected: &Value) {
    let found = get(server, &format!("/stats/retention?period=daily&variant=on&periods=3&{DAYS}"));
    assert_eq!(found["period"], "daily");
    let cohorts = found["cohorts"].as_array().unwrap();
    assert_eq!(cohorts.len(), 4);
    let mut cells = Vec::new();
    for cohort in cohorts {
        assert_eq!(cohort["size"], cohort["cells"][0]["users"], "{cohort}");
        for cell in cohort["cells"].as_array().unwrap() {
            assert_eq!(cell["complete"], true, "{cohort}");
            let (users, size) = (cell["users"].as_f64().unwrap(), cohort["size"].as_f64().unwrap());
            assert!((cell["ratio"].as_f64().unwrap() - users / size).abs() < 1e-6, "{cell}");
            if users > 0.0 {
                cells.push(json!({"cohort": cohort["cohort"], "day": cell["n"], "users": cell["users"]}));
            }
        }
    }
    assert_eq!(json!(cells), expected["daily_retention"]);
}

/// The most frequent endpoints.
fn compare_top_endpoints(server: &Server, expected: &Value) {
    let path = format!("/v1/analytics?metric=count&interval=month&group_by=endpoint&{DAYS}");
    let found = get(server, &path);
    let mut counts: Vec<_> = found["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["value"].as_u64().unwrap(), row["group"]["endpoint"].as_str().unwrap().to_owned()))
        .collect();
    counts.sort_by(|(a, first), (b, second)| b.cmp(a).then(first.cmp(second)));
    let wanted = expected["top_endpoints"].as_array().unwrap();
    for ((count, endpoint), wanted) in counts.iter().zip(wanted) {
        assert_eq!(*wanted, json!({"endpoint": endpoint, "count": count}));
    }
    assert!(counts.len() >= wanted.len());
}

/// Events per hour and type.
fn compare_hourly(server: &Server, expected: &Value) {
    let path = format!("/v1/analytics?metric=count&interval=hour&group_by=type&{DAYS}");
    let found = get(server, &path);
    let rows: Vec<_> = found["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            let hour = row["time"].as_str().unwrap().replace('T', " ").replace('Z', "");
            json!([hour, row["group"]["type"], row["value"]])
        })
        .collect();
    // The document holds the first rows only; the whole must add up.
    let wanted = expected["hourly_by_type"].as_array().unwrap();
    assert_eq!(rows[..wanted.len()], wanted[..]);
    let events: u64 = rows.iter().map(|row| row[2].as_u64().unwrap()).sum();
    assert_eq!(json!(events), expected["events"]);
}

/// One account: its totals by type and its users.
fn compare_account(server: &Server, expected: &Value) {
    let range = "from=2015-05-17&to=2015-05-20&top=100";
    for path in ["/accounts/site-blog/summary", "/v1/accounts/site-blog/summary"] {
        let found = get(server, &format!("{path}?{range}"));
        assert_eq!(found["account_id"], "site-blog");
        assert_eq!(found["window"], "custom");
        assert_eq!(found["totals"], expected["totals_of_site_blog"]);
        let wanted = expected["top_users_of_site_blog"].as_array().unwrap();
        assert_eq!(found["top_users"].as_array().unwrap()[..wanted.len()], wanted[..]);
    }
}

/// Properties, over all events.
fn compare_properties(server: &Server, expected: &Value) {
    let query = json!({
        "from": "2015-05-17", "to": "2015-05-20", "tz": "UTC",
        "aggregations": [{"op": "sum", "field": "properties.bytes", "as": "bytes"}, {"op": "count"}],
    });
    let (status, found) = server.post("/v1/query", query.to_string());
    assert_eq!(status, 200, "{found}");
    assert_eq!(found["columns"], json!(["bytes", "count"]));
    let row = &found["rows"][0];
    assert_eq!(row[0].as_f64(), expected["bytes_total"].as_f64());
    assert_eq!(row[1], expected["events"]);
}

/// Asks a server on the folder, then verifies the folder.
fn ask(data: &Path, compare: impl FnOnce(&Server, &Value)) {
    let server = Server::start(data);
    compare(&server, &expected());
    server.stop();
    verify(data);
}

#[test]
fn i3_an_imported_file_gives_the_expected_answers() {
    import_and_ask(compare);
}

/// Imports the file and asks a server on it.
fn import_and_ask(compare: impl FnOnce(&Server, &Value)) {
    let data = tempfile::tempdir().unwrap();
    assert_eq!(imported(data.path(), &web_requests(), &[]), [10_000, 10_000, 0, 0]);
    ask(data.path(), compare);
}

#[test]
fn i3_an_imported_file_gives_the_expected_daily_users() {
    import_and_ask(compare_dau);
}

#[test]
fn i3_an_imported_file_gives_the_expected_top_events() {
    import_and_ask(compare_top_events);
}

#[test]
fn i3_an_imported_file_gives_the_expected_retention() {
    import_and_ask(compare_retention);
}

#[test]
fn i3_an_imported_file_gives_the_expected_top_endpoints() {
    import_and_ask(compare_top_endpoints);
}

#[test]
fn i3_an_imported_file_gives_the_expected_hourly_series() {
    import_and_ask(compare_hourly);
}

#[test]
fn i3_an_imported_file_gives_the_expected_account_summary() {
    import_and_ask(compare_account);
}

#[test]
fn i3_an_imported_file_gives_the_expected_structured_query() {
    import_and_ask(compare_properties);
}

#[test]
fn i2_a_file_imported_twice_and_shuffled_counts_once() {
    let (data, files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    assert_eq!(imported(data.path(), &web_requests(), &[]), [10_000, 10_000, 0, 0]);
    assert_eq!(imported(data.path(), &web_requests(), &[]), [10_000, 0, 10_000, 0]);
    let other = files.path().join("shuffled.csv");
    write(&other, shuffled(&read(&web_requests()), 7));
    assert_eq!(imported(data.path(), &other, &[]), [10_000, 0, 10_000, 0]);
    ask(data.path(), compare);
}

#[test]
fn i1_i2_a_shuffled_file_imported_in_two_halves_with_a_kill_between_and_within_counts_once() {
    let (data, files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let text = shuffled(&read(&web_requests()), 3);
    let lines: Vec<_> = text.lines().collect();
    let half = |name: &str, rows: &[&str]| {
        let path = files.path().join(name);
        write(&path, format!("{}\n{}\n", lines[0], rows.join("\n")));
        path
    };
    let (first, second) = (half("first.csv", &lines[1..5_001]), half("second.csv", &lines[5_001..]));
    // The first half dies when it is durable and before it is flushed.
    let killed = import(data.path(), &first, &[]).env("FAILPOINTS", "flush::before_commit=panic").output().unwrap();
    assert!(!killed.status.success(), "{}", stderr(&killed));
    // The second one dies while its records become durable.
    let killed = import(data.path(), &second, &[]).env("FAILPOINTS", "journal::after_sync=panic").output().unwrap();
    assert!(!killed.status.success(), "{}", stderr(&killed));
    for half in [&first, &second] {
        let output = run(&["import", half.to_str().unwrap(), "--data", data.path().to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    }
    ask(data.path(), compare);
}
