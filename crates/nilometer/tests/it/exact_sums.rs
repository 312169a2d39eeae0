//! Numbers of properties as people send them, added up by the real binary from unflushed events, from files
//! and from both: every digit is right, or it is said that it is not told.

use serde_json::{Value, json};

use crate::faults::server::{Launch, Server};

/// Sends events with these properties, each in a request of its own.
fn send(server: &Server, name: &str, properties: &[Value]) {
    for (at, properties) in properties.iter().enumerate() {
        let event = json!({"id": format!("{name}-{at}"), "time": "2026-11-10T00:00:00Z", "type": name, "properties": properties});
        let answer = server.client().post("/v1/events?wait=applied", &event.to_string()).unwrap();
        assert_eq!((answer.status, &answer.json()["accepted"]), (202, &json!(1)), "{}", answer.text());
    }
}

/// The text of the answer about the events of one name.
fn ask(server: &Server, name: &str, aggregations: &Value, query: &str) -> String {
    let body = json!({
        "aggregations": aggregations, "filter": {"field": "type", "op": "eq", "value": name},
    });
    let answer = server.client().post(&format!("/v1/query{query}"), &body.to_string()).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.text().to_owned()
}

fn of(ops: &[&str], field: &str) -> Value {
    ops.iter().map(|op| json!({"op": op, "field": field})).collect()
}

/// Events by name, what is asked about them, and what the answer has in it.
fn cases() -> Vec<(&'static str, Vec<Value>, Value, Vec<&'static str>)> {
    let values = |texts: &[&str]| {
        texts.iter().map(|text| serde_json::from_str(&format!(r#"{{"v": {text}}}"#)).unwrap()).collect()
    };
    let all = of(&["sum", "max"], "properties.v");
    vec![
        (
            "large",
            values(&["9007199254740993", "1", "-5"]),
            all.clone(),
            vec![r#""rows":[[9007199254740989,9007199254740993]]"#],
        ),
        (
            "texts",
            values(&["\"1500\"", "1500", "\"1500 \"", "{\"a\": 1}", "null"]),
            of(&["sum", "count"], "properties.v"),
            vec![
                r#""rows":[[3000,4]]"#,
                r#""column":"sum_properties.v","values":2,"texts_read":1,"skipped":2,"overflow":[]"#,
                r#""column":"count_properties.v","values":4,"texts_read":0,"skipped":0,"overflow":[]"#,
            ],
        ),
        (
            "tenths",
            values(&["0.1", "0.2", "0.3", "-0.6"]),
            of(&["sum", "avg"], "properties.v"),
            vec![r#""rows":[[0,0]]"#],
        ),
        (
            "thirds",
            values(&["1", "0", "0"]),
            of(&["avg"], "properties.v"),
            vec![r#""rows":[[0.3333333333333333333333333333]]"#],
        ),
        (
            "wide",
            values(&["1e15", "\"1e-20\""]),
            of(&["sum", "min"], "properties.v"),
            vec![r#""rows":[[null,1e-20]]"#, r#""values":2,"texts_read":1,"skipped":0,"overflow":[0]"#],
        ),
        (
            "spans",
            vec![
                json!({"gen_ai.request.model": "m", "gen_ai.usage.cost": "0.10", "a": {"b.c": 1}}),
                json!({"gen_ai.usage.cost": 0.2, "a.b": {"c": 2}}),
            ],
            json!([
                {"op": "sum", "field": "properties.gen_ai.usage.cost", "as": "cost"},
                {"op": "sum", "field": "properties.\"gen_ai.usage.cost\"", "as": "quoted"},
                {"op": "unique", "field": "properties.gen_ai.request.model", "as": "models"},
                {"op": "sum", "field": "properties.a.b.c", "as": "either"},
                {"op": "sum", "field": "properties.a.\"b.c\"", "as": "one"},
            ]),
            vec![r#""rows":[[0.3,0.3,1,3,1]]"#],
        ),
    ]
}

#[test]
fn i3_sums_of_what_people_send_are_right_to_the_last_digit() {
    let folder = tempfile::tempdir().unwrap();
    // Every second event is flushed, and files are merged.
    let launch = Launch::on(folder.path()).restless().set("flush_rows", 2);
    let server = launch.start_ready();
    for (name, properties, ..) in cases() {
        send(&server, name, &properties);
    }
    let check = |server: &Server| {
        for (name, _, aggregations, parts) in cases() {
            let answer = ask(server, name, &aggregations, "");
            parts.iter().for_each(|part| assert!(answer.contains(part), "{name}: {part} is not in {answer}"));
        }
        let texts = ask(server, "large", &of(&["sum"], "properties.v"), "?numbers=text");
        assert!(texts.contains(r#""rows":[["9007199254740989"]]"#), "{texts}");
    };
    check(&server);
    server.stop();
    let server = launch.start_ready();
    check(&server);
    server.stop();
}
