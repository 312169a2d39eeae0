//! Events, changes, kills and questions, each to a server on PostgreSQL and to one on a folder: every route that
//! reads answers the same, and what an oracle says.

use serde_json::{Value, json};

use super::Base;
use crate::questions::asking::{Session, TENANTS, encoded};
use crate::questions::run_with_twin;
use crate::questions::truth::{CUSTOMERS, TYPES};

#[test]
fn i3_a_server_on_postgresql_answers_as_one_on_a_folder() {
    let Some(base) = Base::new() else { return };
    let mut round = 0;
    run_with_twin(&[("postgres_url", base.url())], |session| {
        change(session, round);
        post_odd_events(session, round);
        ask_every_route(session);
        ask_about_odd_events(session);
        round += 1;
    });
    base.assert_whole();
}

/// Changes of all that is not an event, each of which is answered the same.
fn change(session: &mut Session, round: usize) {
    let tenant = session.tenant();
    let customer = encoded(CUSTOMERS[round % CUSTOMERS.len()]);
    let of_tenant = [
        ("PATCH", "/v1/settings".to_owned(), json!({"max_lateness_sec": round})),
        ("PATCH", "/v1/settings".to_owned(), json!({"max_lateness_sec": null})),
        (
            "PATCH",
            format!("/v1/customers/{customer}"),
            json!({"name": format!("number {round}"), "attributes": {"n": round}}),
        ),
        ("POST", "/v1/projects".to_owned(), json!({"id": format!("project-{round}"), "name": "A project"})),
        ("POST", "/v1/projects".to_owned(), json!({"id": "project-0", "name": "Again"})),
        ("PATCH", "/v1/projects/project-0".to_owned(), json!({"name": format!("Renamed {round}")})),
        (
            "PUT",
            "/v1/reference/users".to_owned(),
            json!({"user_metadata": {"u1": {"plan": "pro"}, "u2": {"plan": round.to_string()}}, "ts": "2026-11-21T00:00:00Z"}),
        ),
        (
            "PATCH",
            "/v1/reference/users".to_owned(),
            json!({"user_metadata": {"u3": {"region": "eu"}}, "ts": "2026-11-22T00:00:00Z"}),
        ),
        ("PATCH", "/v1/settings".to_owned(), json!({"timezone": "Nowhere/At-All"})),
    ];
    for (method, path, body) in of_tenant {
        session.send_as(Some(tenant), method, &path, &body.to_string());
    }
    let quota = json!({"measure": "events", "period": "month", "limit": 1_000_000 + round});
    let of_customer =
        json!({"measure": "tokens", "period": "day", "limit": 7, "customer": CUSTOMERS[0], "hard": false});
    for body in [quota, of_customer] {
        session.send_as(None, "PUT", &format!("/v1/workspaces/{}/quotas", TENANTS[tenant]), &body.to_string());
    }
    let name = json!({"name": format!("The {round}th name")});
    session.send_as(None, "PATCH", &format!("/v1/workspaces/{}", TENANTS[tenant]), &name.to_string());
}

/// Texts of JSON that a store might give back otherwise.
const ODD: [&str; 22] = [
    "0",
    "-0",
    "-0.0",
    "1.0",
    "1.10",
    "1e2",
    "1E-7",
    "12345678901234567890123456789",
    "0.1234567890123456789012345678901234567890",
    "1e400",
    "1e131000",
    "-1e-400",
    r#""""#,
    r#""\u0000""#,
    r#""a\u0000b""#,
    r#""\ud800""#,
    r#""\ud83d\ude00 \u00e9 \/ \" \\""#,
    "[]",
    "{}",
    "null",
    r#"[1, [2, [3, [4, {"b": 1, "a": [true, false, null]}]]]]"#,
    r#"{"z": 1, "a": {"\u0000": "\u0000", "y": 1e400}, "": ""}"#,
];

/// Events of the operator's workspace, which no oracle knows.
fn post_odd_events(session: &mut Session, round: usize) {
    for (at, text) in ODD.iter().enumerate() {
        let time = format!("2026-11-{:02}T10:00:{:02}Z", 1 + round % 28, at);
        let event = format!(
            r#"{{"id": "odd-{round}-{at}", "time": "{time}", "type": "odd", "customer": "c{}", "user": "u{at}", "properties": {{"n": {text}, "twice": 1, "no": {at}}}}}"#,
            at % 3
        );
        session.send_as(None, "POST", "/v1/events?wait=applied", &event);
        // The second is a duplicate, the third another payload under the same id, the fourth has a name twice.
        session.send_as(None, "POST", "/v1/events?wait=applied", &event);
        session.send_as(None, "POST", "/v1/events?wait=applied", &event.replace("\"odd\"", "\"other\""));
        let twice = event.replace("\"odd-", "\"twice-").replace(r#""twice": 1"#, r#""n": 1"#);
        session.send_as(None, "POST", "/v1/events?wait=applied", &twice);
    }
    let long = format!(
        r#"{{"id": "long-{round}", "time": "2026-11-01", "properties": {{"text": "{}"}}}}"#,
        "é".repeat(30_000)
    );
    session.send_as(None, "POST", "/v1/events?wait=applied", &long);
    let deep = format!(
        r#"{{"id": "deep-{round}", "time": "2026-11-01", "properties": {{"a": {}1{}}}}}"#,
        "[".repeat(20),
        "]".repeat(20)
    );
    session.send_as(None, "POST", "/v1/events?wait=applied", &deep);
    for ends in ["2026-11-30", "1970-01-01", "0001-01-01", "9999-12-31", "2026-02-30", "2016-12-31T23:59:60Z"] {
        let event = json!({"id": format!("{round}-{ends}"), "time": ends, "type": ends, "customer": "", "tokens": u64::MAX >> 1});
        session.send_as(None, "POST", "/v1/events?wait=applied", &event.to_string());
    }
}

fn ask_about_odd_events(session: &mut Session) {
    for path in [
        "/v1/events?limit=7",
        "/v1/events?order=asc&limit=13&customer=c1",
        "/v1/windows?limit=9",
        "/v1/customers?limit=2",
    ] {
        session.pages(None, path);
    }
    let functions = ["count", "unique", "sum", "avg", "min", "max", "p50", "p99"];
    for function in functions {
        let query = json!({"aggregations": [{"op": function, "field": "properties.n"}], "group_by": ["customer"]});
        session.send_as(None, "POST", "/v1/query", &query.to_string());
    }
    for (op, value) in [
        ("eq", json!("")),
        ("eq", json!(0)),
        ("eq", json!(1.1)),
        ("neq", json!(100)),
        ("gt", json!(0.5)),
        ("lte", json!(1e300)),
        ("eq", json!(null)),
        ("exists", json!(true)),
        ("contains", json!("é")),
        ("in", json!([1, "a\u{0}b", true])),
    ] {
        let filter = json!({"field": "properties.n", "op": op, "value": value});
        let order = json!([{"column": "count", "direction": "desc"}]);
        let query = json!({"aggregations": [{"op": "count"}], "group_by": ["properties.no"], "filter": filter, "order_by": order});
        session.send_as(None, "POST", "/v1/query", &query.to_string());
    }
    let by_n = json!({"aggregations": [{"op": "count"}], "group_by": ["properties.n", "type"], "limit": 1_000});
    session.send_as(None, "POST", "/v1/query", &by_n.to_string());
}

/// Every route of the document that reads, as each workspace and as the operator.
fn ask_every_route(session: &mut Session) {
    let document = session.send_as(None, "GET", "/openapi.json", "").json();
    let askers: Vec<_> = std::iter::once(None).chain((0..TENANTS.len()).map(Some)).collect();
    let mut asked = 0;
    for (path, routes) in document["paths"].as_object().unwrap() {
        // Streams do not end, and the first page is not JSON.
        if routes["get"].is_null() || path.contains("/live/") || path == "/" {
            continue;
        }
        let names: Vec<_> = parameters(&routes["get"]).collect();
        for filled in filled(path) {
            for asker in askers.iter().copied() {
                asked += 1;
                if names.iter().any(|name| name == "cursor") {
                    for limit in [1_000, 17] {
                        session.pages(asker, &format!("{filled}?limit={limit}"));
                    }
                } else {
                    session.send_as(asker, "GET", &with_required(path, &filled), "");
                }
                for question in variants(path) {
                    session.send_as(asker, "GET", &format!("{filled}?{question}"), "");
                }
            }
        }
    }
    assert!(asked > 150, "{asked} questions");
}

/// The names of the parameters of a route in its query.
fn parameters(route: &Value) -> impl Iterator<Item = String> + '_ {
    let all = route["parameters"].as_array().map(Vec::as_slice).unwrap_or_default();
    let in_query = all.iter().filter(|parameter| parameter["in"] == "query");
    in_query.map(|parameter| parameter["name"].as_str().unwrap().to_owned())
}

/// A route with values in place of what stands in braces.
fn filled(path: &str) -> Vec<String> {
    let values: Vec<String> = match path {
        _ if !path.contains('{') => return vec![path.to_owned()],
        _ if path.contains("/workspaces/") => TENANTS.iter().map(|id| (*id).to_owned()).collect(),
        _ if path.contains("/customers/") || path.contains("/accounts/") => {
            CUSTOMERS.iter().chain(&["c1", "nobody"]).map(|name| encoded(name)).collect()
        }
        _ if path.contains("/events/") => {
            ["odd-0-0", "odd-0-9", "odd-0-14", "long-0", "nothing"].map(str::to_owned).to_vec()
        }
        _ => vec!["nothing".to_owned()],
    };
    let (before, rest) = path.split_once('{').unwrap();
    let (_, after) = rest.split_once('}').unwrap();
    values.iter().map(|value| format!("{before}{value}{after}")).collect()
}

/// The route with what it needs in any case.
fn with_required(path: &str, filled: &str) -> String {
    match path {
        "/metrics" => format!("{filled}?window=60"),
        _ => filled.to_owned(),
    }
}

/// What else a route is asked.
fn variants(path: &str) -> Vec<String> {
    let texts: &[&str] = match path.trim_start_matches("/v1") {
        "/events" => &[
            "order=asc&limit=50",
            "type=View&limit=50",
            "customer=acc_001",
            "customer=",
            "user=u1",
            "from=2026-11-01&to=2026-11-02",
        ],
        "/windows" => &[
            "state=open",
            "state=closed",
            "state=revised",
            "customer=acc_001",
            "customer=",
            "from=2026-11-01&to=2026-11-20&tz=Asia/Kolkata",
        ],
        "/analytics" => &[
            "metric=count&interval=day",
            "metric=tokens&interval=month&group_by=type",
            "metric=latency&interval=week&group_by=endpoint",
            "metric=unique_users&interval=month&from=2026-01-01",
            "metric=nothing",
        ],
        "/stats/dau" | "/stats/wau" | "/stats/mau" => {
            &["rolling=true", "from=2026-10-01", "from=2026-11-01&project=web&type=view", "tz=America/New_York"]
        }
        "/stats/top-events" => &["limit=2", "from=2026-11-01&to=2026-11-05"],
        "/stats/retention" => &["period=weekly", "period=daily&variant=on_or_after&periods=3"],
        "/accounts/sample" => &["limit=3"],
        "/accounts/{id}/summary" => &["window=last_24h", "window=last_7d", "from=2026-01-01&to=2026-11-20&top=3"],
        _ => &[],
    };
    let of_types = TYPES.iter().filter(|_| path == "/v1/events").map(|kind| format!("limit=5&type={}", encoded(kind)));
    texts.iter().map(|text| (*text).to_owned()).chain(of_types).collect()
}
