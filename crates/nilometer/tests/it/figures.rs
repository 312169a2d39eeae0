//! Every figure that another engine computed for the ten thousand web requests, asked of a running
//! server by every route that gives it. A figure in the document that nothing compares is a failure.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::harness::Server;

/// All days of the file.
const DAYS: &str = "from=2015-05-17&to=2015-05-20&tz=UTC";
/// Compares some figures of a server with the document.
type Compare = fn(&Server, &Value);

/// The figures by their names in the document, and what compares them.
const FIGURES: [(&[&str], Compare); 9] = [
    (&["events", "first_event", "last_event", "bytes_total"], compare_events),
    (&["users", "dau"], compare_users),
    (&["customers"], compare_customers),
    (&["top_events"], compare_top_events),
    (&["top_endpoints"], compare_top_endpoints),
    (&["daily_retention"], compare_retention),
    (&["windows_30s", "busiest_window"], compare_windows),
    (&["hourly_by_type"], compare_hourly),
    (&["totals_of_site_blog", "top_users_of_site_blog"], compare_account),
];

/// One of the files of web requests.
pub(crate) fn path_of(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testdata/web-requests").join(name)
}

/// What stands in it.
pub(crate) fn file(name: &str) -> String {
    let path = path_of(name);
    #[expect(clippy::disallowed_methods, reason = "our own test data")]
    let text = std::fs::read_to_string(&path);
    text.unwrap_or_else(|why| panic!("{}: {why}", path.display()))
}

/// Compares every figure.
pub(crate) fn check_every_figure(server: &Server) {
    let expected: Value = serde_json::from_str(&file("web-requests.expected.json")).unwrap();
    let names: BTreeSet<_> = expected.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(FIGURES.iter().flat_map(|(names, _)| *names).copied().collect::<BTreeSet<_>>(), names);
    for (_, compare) in FIGURES {
        compare(server, &expected);
    }
}

fn get(server: &Server, path: &str) -> Value {
    let (status, body) = server.get(path);
    assert_eq!(status, 200, "{path}: {body}");
    body
}

/// All rows of a listing.
fn listed(server: &Server, path: &str) -> Vec<Value> {
    let mut rows = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = get(server, &format!("{path}?limit=1000{cursor}"));
        rows.extend_from_slice(page["data"].as_array().unwrap());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return rows,
        }
    }
}

/// The rows of a structured query over all days.
fn asked(server: &Server, mut query: Value) -> Vec<Value> {
    for (name, value) in [("from", "2015-05-17"), ("to", "2015-05-20"), ("tz", "UTC")] {
        query[name] = json!(value);
    }
    let (status, found) = server.post("/v1/query", query.to_string());
    assert_eq!(status, 200, "{query}: {found}");
    found["rows"].as_array().unwrap().clone()
}

/// An instant as the document has it.
fn instant(time: &Value) -> String {
    time.as_str().unwrap().replace('T', " ").replace('Z', "")
}

fn compare_events(server: &Server, expected: &Value) {
    let events = listed(server, "/v1/events");
    assert_eq!(json!(events.len()), expected["events"]);
    assert_eq!(events.last().unwrap()["time"], expected["first_event"]);
    assert_eq!(events[0]["time"], expected["last_event"]);
    let bytes: u64 = events.iter().filter_map(|event| event["properties"]["bytes"].as_u64()).sum();
    assert_eq!(json!(bytes), expected["bytes_total"]);
    let sums = json!([{"op": "sum", "field": "properties.bytes"}, {"op": "count"}]);
    let rows = asked(server, json!({"aggregations": sums}));
    assert_eq!(rows[0][0].as_f64(), expected["bytes_total"].as_f64());
    assert_eq!(rows[0][1], expected["events"]);
}

fn compare_users(server: &Server, expected: &Value) {
    let days: Vec<_> = expected["dau"].as_object().unwrap().iter().collect();
    let wanted: Vec<_> = days.iter().map(|(date, users)| json!({"date": date, "users": users})).collect();
    for path in ["/stats/dau", "/v1/stats/dau"] {
        assert_eq!(get(server, &format!("{path}?{DAYS}")), json!({"tz": "UTC", "data": wanted}), "{path}");
    }
    let unique = json!([{"op": "unique", "field": "user"}]);
    let rows = asked(server, json!({"interval": "day", "aggregations": unique}));
    let wanted: Vec<_> = days.iter().map(|(date, users)| json!([format!("{date}T00:00:00Z"), users])).collect();
    assert_eq!(rows, wanted);
    let month = get(server, &format!("/v1/analytics?metric=unique_users&interval=month&{DAYS}"));
    assert_eq!(month["data"][0]["value"], expected["users"]);
    assert_eq!(asked(server, json!({"aggregations": unique}))[0][0], expected["users"]);
}

fn compare_customers(server: &Server, expected: &Value) {
    assert_eq!(json!(listed(server, "/v1/customers").len()), expected["customers"]);
    let unique = json!([{"op": "unique", "field": "customer"}]);
    assert_eq!(asked(server, json!({"aggregations": unique}))[0][0], expected["customers"]);
}

fn compare_top_events(server: &Server, expected: &Value) {
    let wanted = expected["top_events"].as_array().unwrap();
    for range in ["", "?from=2015-05-17&to=2015-05-20", "?limit=10&tz=UTC&from=2015-05-17"] {
        assert_eq!(get(server, &format!("/stats/top-events{range}"))["data"], json!(wanted), "{range}");
    }
    assert_eq!(get(server, "/v1/stats/top-events?limit=2")["data"], json!(wanted[..2]));
    let rows: Vec<_> = wanted.iter().map(|row| json!([row["type"], row["count"]])).collect();
    assert_eq!(most_frequent(server, "type", 10), rows);
}

fn compare_top_endpoints(server: &Server, expected: &Value) {
    let wanted = expected["top_endpoints"].as_array().unwrap();
    let rows: Vec<_> = wanted.iter().map(|row| json!([row["endpoint"], row["count"]])).collect();
    assert_eq!(most_frequent(server, "endpoint", wanted.len()), rows);

    let series = get(server, &format!("/v1/analytics?metric=count&interval=month&group_by=endpoint&{DAYS}"));
    let of_series = series["data"].as_array().unwrap().iter();
    let of_series = of_series.map(|row| (row["group"]["endpoint"].as_str().unwrap(), row["value"].as_u64().unwrap()));
    let customers = listed(server, "/v1/customers");
    let of_customers = customers.iter().flat_map(|customer| customer["totals"]["byEndpoint"].as_object().unwrap());
    let of_customers = of_customers.map(|(endpoint, slice)| (endpoint.as_str(), slice["calls"].as_u64().unwrap()));
    let found: [Vec<_>; 2] = [of_series.collect(), of_customers.collect()];
    for counts in found {
        let mut by_endpoint = BTreeMap::new();
        for (endpoint, count) in counts {
            *by_endpoint.entry(endpoint).or_insert(0) += count;
        }
        let mut most: Vec<_> = by_endpoint.into_iter().collect();
        most.sort_by_key(|(endpoint, count)| (Reverse(*count), *endpoint));
        let most: Vec<_> = most.into_iter().map(|(endpoint, count)| json!([endpoint, count])).collect();
        assert_eq!(most[..rows.len()], rows);
    }
}

/// The `limit` most frequent values of `field`, each with its count, by a structured query.
fn most_frequent(server: &Server, field: &str, limit: usize) -> Vec<Value> {
    let order = json!([{"column": "count", "direction": "desc"}]);
    let query = json!({"group_by": [field], "aggregations": [{"op": "count"}], "order_by": order, "limit": limit});
    asked(server, query)
}

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

fn compare_windows(server: &Server, expected: &Value) {
    let windows = listed(server, "/v1/windows");
    assert_eq!(json!(windows.len()), expected["windows_30s"]);
    let mut busiest: Vec<_> = windows
        .iter()
        .map(|window| {
            let calls = window["aggregations"]["totalCalls"].as_u64().unwrap();
            (Reverse(calls), instant(&window["windowStart"]), window["customerId"].as_str().unwrap())
        })
        .collect();
    busiest.sort();
    let wanted = expected["busiest_window"].as_array().unwrap();
    for ((Reverse(calls), start, customer), wanted) in busiest.iter().zip(wanted) {
        assert_eq!(*wanted, json!({"customer": customer, "window_start": start, "calls": calls}));
    }
}

fn compare_hourly(server: &Server, expected: &Value) {
    let series = get(server, &format!("/v1/analytics?metric=count&interval=hour&group_by=type&{DAYS}"));
    let of_series = series["data"].as_array().unwrap().iter();
    let of_series = of_series.map(|row| json!([instant(&row["time"]), row["group"]["type"], row["value"]]));
    let query = json!({"interval": "hour", "group_by": ["type"], "aggregations": [{"op": "count"}]});
    let of_query = asked(server, query).into_iter().map(|row| json!([instant(&row[0]), row[1], row[2]]));
    let found: [Vec<_>; 2] = [of_series.collect(), of_query.collect()];
    for rows in found {
        // The document holds the first rows only; the whole must add up.
        let wanted = expected["hourly_by_type"].as_array().unwrap();
        assert_eq!(rows[..wanted.len()], wanted[..]);
        let events: u64 = rows.iter().map(|row| row[2].as_u64().unwrap()).sum();
        assert_eq!(json!(events), expected["events"]);
    }
}

fn compare_account(server: &Server, expected: &Value) {
    let totals = &expected["totals_of_site_blog"];
    for path in ["/accounts/site-blog/summary", "/v1/accounts/site-blog/summary"] {
        let found = get(server, &format!("{path}?from=2015-05-17&to=2015-05-20&top=100"));
        assert_eq!((&found["account_id"], &found["window"]), (&json!("site-blog"), &json!("custom")));
        assert_eq!(found["totals"], *totals);
        let wanted = expected["top_users_of_site_blog"].as_array().unwrap();
        assert_eq!(found["top_users"].as_array().unwrap()[..wanted.len()], wanted[..]);
    }
    let all: u64 = totals.as_object().unwrap().values().filter_map(Value::as_u64).sum();
    assert_eq!(get(server, "/v1/customers/site-blog")["totals"]["totalCalls"], all);
    let of_blog = json!({"field": "customer", "op": "eq", "value": "site-blog"});
    let query = json!({"filter": of_blog, "group_by": ["type"], "aggregations": [{"op": "count"}]});
    let wanted: Vec<_> = totals.as_object().unwrap().iter().map(|(kind, count)| json!([kind, count])).collect();
    assert_eq!(asked(server, query), wanted);
}
