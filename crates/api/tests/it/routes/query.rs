//! `POST /v1/query`.

use serde_json::{Value, json};

use crate::harness::{KEY_A, Reply, TestApi};

async fn ask(api: &TestApi, body: impl Into<String>) -> Reply {
    api.send("POST", "/v1/query", &[("content-type", "application/json")], body.into()).await
}

async fn with_events() -> TestApi {
    let api = TestApi::start().await;
    let events: Vec<_> = (0..10)
        .map(|n| {
            json!({
                "id": format!("e{n}"), "time": format!("2026-11-{}T23:30:00Z", 10 + n / 5), "type": if n % 2 == 0 { "even" } else { "odd" },
                "properties": {"plan": if n < 7 { "pro" } else { "free" }, "cart": {"total": f64::from(n) + 0.5}, "tokens": n, "latencyMs": n},
            })
        })
        .collect();
    api.post("/v1/events", serde_json::to_vec(&events).unwrap()).await.json(202);
    api
}

#[tokio::test]
async fn a_query_is_answered_with_rows() {
    let api = with_events().await;
    let body = json!({
        "from": "2026-11-11", "to": "2026-11-12", "tz": "europe/berlin", "interval": "day", "group_by": ["properties.plan"],
        "aggregations": [{"op": "count"}, {"op": "sum", "field": "tokens"}, {"op": "sum", "field": "properties.cart.total", "as": "revenue"},
            {"op": "p50", "field": "latency_ms"}],
        "filter": {"or": [{"field": "type", "op": "eq", "value": "odd"}, {"field": "properties.cart.total", "op": "gt", "value": 5}]},
        "order_by": [{"column": "revenue", "direction": "desc"}],
    });
    let answer = ask(&api, body.to_string()).await.json(200);
    let counts = ["count", "sum_tokens", "revenue", "p50_latency_ms"]
        .map(|column| json!({"column": column, "values": 7, "texts_read": 0, "skipped": 0, "overflow": []}));
    assert_eq!(
        answer,
        json!({
            "columns": ["time", "properties.plan", "count", "sum_tokens", "revenue", "p50_latency_ms"],
            "rows": [
                ["2026-11-11T23:00:00Z", "free", 3, 24, 25.5, 8],
                ["2026-11-11T23:00:00Z", "pro", 2, 11, 12, 5.5],
                ["2026-11-10T23:00:00Z", "pro", 2, 4, 5, 2],
            ],
            "truncated": false,
            "aggregations": counts,
        })
    );
    let first = json!({"aggregations": [{"op": "count"}], "group_by": ["id"], "limit": 3});
    let answer = ask(&api, first.to_string()).await.json(200);
    assert_eq!(answer["rows"], json!([["e0", 1], ["e1", 1], ["e2", 1]]));
    assert_eq!(answer["truncated"], true);
}

#[tokio::test]
async fn i5_a_query_sees_the_credentials_tenant() {
    let api = with_events().await;
    let body = r#"{"aggregations": [{"op": "count"}]}"#;
    let headers = [("authorization", &*format!("Bearer {KEY_A}"))];
    let other = api.send("POST", "/v1/query", &headers, body).await.json(200);
    assert_eq!(other["rows"], json!([[0]]));
    assert_eq!(ask(&api, body).await.json(200)["rows"], json!([[10]]));
}

/// The answer to a query about the events of `api`.
async fn answer(api: &TestApi, path: &str, body: &Value) -> Reply {
    let reply = api.send("POST", path, &[("content-type", "application/json")], body.to_string()).await;
    assert_eq!(reply.status, 200, "{body}: {}", reply.text());
    reply
}

/// Whether the answer has this text in it, to the last digit.
fn assert_has(reply: &Reply, part: &str) {
    assert!(reply.text().contains(part), "{part} is not in {}", reply.text());
}

async fn with_values(values: &[&str]) -> TestApi {
    let api = TestApi::start().await;
    let events = values.iter().enumerate();
    let events = events.map(|(at, value)| {
        format!(r#"{{"id": "e{at}", "time": "2026-11-10T00:00:00Z", "properties": {{"v": {value}}}}}"#)
    });
    api.post("/v1/events", format!("[{}]", events.collect::<Vec<_>>().join(","))).await.json(202);
    api
}

#[tokio::test]
async fn every_digit_of_a_number_is_written() {
    let api = with_values(&["9007199254740993", "1", "-5"]).await;
    let ops = ["sum", "max", "min", "avg", "p50"].map(|op| json!({"op": op, "field": "properties.v"}));
    let body = json!({"aggregations": ops});
    let told = r#""rows":[[9007199254740989,9007199254740993,-5,3002399751580329.666666666667,1]]"#;
    assert_has(&answer(&api, "/v1/query", &body).await, told);
    let told = r#""rows":[["9007199254740989","9007199254740993","-5","3002399751580329.666666666667","1"]]"#;
    assert_has(&answer(&api, "/v1/query?numbers=text", &body).await, told);
    assert_has(&answer(&api, "/v1/query?numbers=number", &body).await, "[9007199254740989,");
    let refused = api.send("POST", "/v1/query?numbers=double", &[], body.to_string()).await;
    assert_eq!(refused.problem(400)["field"], "numbers");
}

#[tokio::test]
async fn what_a_filter_compares_with_keeps_its_digits() {
    let api = with_values(&["9007199254740993", "\"9007199254740993.0\"", "9007199254740992", "\"x\"", "1e400"]).await;
    for (op, value, events) in [
        ("eq", "9007199254740993", 2),
        ("gt", "9007199254740992.5", 3),
        ("in", "[9007199254740992, 1e400]", 2),
        ("eq", "\"9007199254740993\"", 1),
        ("ne", "9007199254740993", 3),
    ] {
        let body = format!(
            r#"{{"aggregations": [{{"op": "count"}}], "filter": {{"field": "properties.v", "op": "{op}", "value": {value}}}}}"#
        );
        assert_eq!(ask(&api, body).await.json(200)["rows"], json!([[events]]), "{op} {value}");
    }
}

#[tokio::test]
async fn too_many_digits_are_told_and_never_rounded() {
    let api = with_values(&["1e20", "1e-20", "true", "[1]", "null", "\"1\""]).await;
    let body = json!({
        "aggregations": [{"op": "sum", "field": "properties.v"}, {"op": "max", "field": "properties.v"}],
        "group_by": ["id"], "order_by": [{"column": "sum_properties.v", "direction": "desc"}],
    });
    let found = ask(&api, body.to_string()).await.json(200);
    let order: Vec<_> = found["rows"].as_array().unwrap().iter().map(|row| row[0].as_str().unwrap()).collect();
    assert_eq!(order, ["e0", "e5", "e1", "e2", "e3", "e4"]);
    let whole = json!({"aggregations": body["aggregations"]});
    let found = answer(&api, "/v1/query", &whole).await;
    assert_has(&found, r#""rows":[[null,100000000000000000000]]"#);
    let counts = |column: &str, overflow: Value| json!({"column": column, "values": 3, "texts_read": 1, "skipped": 2, "overflow": overflow});
    let expected = json!([counts("sum_properties.v", json!([0])), counts("max_properties.v", json!([]))]);
    assert_eq!(found.json(200)["aggregations"], expected);
}

/// Places in a request, and requests in which each is wrong.
fn refused_parts() -> Vec<(&'static str, Value)> {
    let with = |part: &str, value: Value| {
        let mut body = json!({"aggregations": [{"op": "count"}]});
        body[part] = value;
        body
    };
    let aggregation = |aggregation: Value| json!({"aggregations": [{"op": "count"}, aggregation]});
    vec![
        ("from", with("from", json!("yesterday"))),
        ("from", with("from", json!(5))),
        ("from", json!({"aggregations": [{"op": "count"}], "from": "2026-11-02", "to": "2026-11-01"})),
        ("to", with("to", json!("2026-02-30"))),
        ("tz", with("tz", json!("Mars/Olympus"))),
        ("tz", with("tz", json!("../../etc/passwd"))),
        ("interval", with("interval", json!("fortnight"))),
        ("limit", with("limit", json!(0))),
        ("limit", with("limit", json!(10_001))),
        ("limit", with("limit", json!(1.5))),
        ("limit", with("limit", json!("10"))),
        ("limits", with("limits", json!(10))),
        ("sql", with("sql", json!("DROP TABLE events"))),
        ("aggregations", json!({})),
        ("aggregations", json!({"aggregations": []})),
        ("aggregations", json!({"aggregations": vec![json!({"op": "count"}); 17]})),
        ("aggregations", json!({"aggregations": {"op": "count"}})),
        ("aggregations[1].op", aggregation(json!({}))),
        ("aggregations[1].op", aggregation(json!({"op": "median", "field": "tokens"}))),
        ("aggregations[1].field", aggregation(json!({"op": "sum"}))),
        ("aggregations[1].field", aggregation(json!({"op": "sum", "field": "type"}))),
        ("aggregations[1].field", aggregation(json!({"op": "avg", "field": "time"}))),
        ("aggregations[1].field", aggregation(json!({"op": "min", "field": "user"}))),
        ("aggregations[1].field", aggregation(json!({"op": "p99", "field": "properties.a..b"}))),
        (
            "aggregations[1].field",
            aggregation(json!({"op": "p99", "field": format!("properties{}", ".a".repeat(100))})),
        ),
        ("aggregations[1].field", aggregation(json!({"op": "sum", "field": "1; DROP TABLE events"}))),
        ("aggregations[1].as", aggregation(json!({"op": "count"}))),
        ("aggregations[1].as", aggregation(json!({"op": "count", "as": ""}))),
        ("aggregations[1].as", aggregation(json!({"op": "count", "as": "x".repeat(257)}))),
        ("aggregations[1].distinct", aggregation(json!({"op": "count", "distinct": true}))),
        ("group_by", with("group_by", json!(vec!["type"; 1_000]))),
        ("group_by[1]", with("group_by", json!(["type", "tenant"]))),
        ("group_by[1]", with("group_by", json!(["type", "type"]))),
        ("group_by[0]", with("group_by", json!([7]))),
        ("group_by[0]", json!({"aggregations": [{"op": "count"}], "interval": "day", "group_by": ["time"]})),
        ("order_by[0].column", with("order_by", json!([{"column": "revenue"}]))),
        ("order_by[0].column", with("order_by", json!([{}]))),
        ("order_by[0].direction", with("order_by", json!([{"column": "count", "direction": "up"}]))),
        ("order_by", with("order_by", json!([{"column": "count"}, {"column": "count"}]))),
    ]
}

/// Filters that are refused, each with the field that the refusal names.
fn refused_filters() -> Vec<(&'static str, Value)> {
    let filter = |filter: Value| json!({"aggregations": [{"op": "count"}], "filter": filter});
    let test = |field: &str, op: &str, value: Value| filter(json!({"field": field, "op": op, "value": value}));
    let mut deep = json!({"field": "type", "op": "exists"});
    (0..8).for_each(|_| deep = json!({"and": [deep]}));
    vec![
        ("filter", filter(json!("type = 'x'"))),
        ("filter", filter(json!({"and": [], "or": []}))),
        ("filter", filter(json!({"and": [{"field": "type", "op": "exists"}], "field": "type"}))),
        ("filter.and", filter(json!({"and": []}))),
        ("filter.field", filter(json!({}))),
        ("filter.op", filter(json!({"field": "type"}))),
        ("filter.not", filter(json!({"not": {"field": "type"}}))),
        (
            "filter.or[0].and[1].op",
            filter(
                json!({"or": [{"and": [{"field": "type", "op": "exists"}, {"field": "type", "op": "like", "value": "%"}]}]}),
            ),
        ),
        ("filter.or[63]", filter(json!({"or": vec![json!({"field": "type", "op": "exists"}); 70]}))),
        ("filter.and[0].and[0].and[0].and[0].and[0].and[0].and[0].and[0]", filter(deep)),
        ("filter.value", test("type", "eq", Value::Null)),
        ("filter.value", test("type", "eq", json!(1))),
        ("filter.value", test("tokens", "gt", json!("1"))),
        ("filter.value", test("latency_ms", "eq", json!(true))),
        ("filter.value", test("time", "lt", json!(5))),
        ("filter.value", test("time", "lt", json!("soon"))),
        ("filter.value", test("properties.a", "gt", json!(false))),
        ("filter.value", test("properties.a", "eq", json!({"b": 1}))),
        ("filter.value", test("properties.a", "in", json!("a"))),
        ("filter.value", test("properties.a", "in", json!([]))),
        ("filter.value", test("properties.a", "in", json!(["a", 1]))),
        ("filter.value", test("properties.a", "in", json!([[1]]))),
        ("filter.field", test("properties.\"a", "exists", json!(true))),
        ("filter.value", test("properties.a", "in", json!(vec![1; 1_001]))),
        ("filter.value", test("properties.a", "exists", json!("yes"))),
        ("filter.field", test("properties.", "exists", json!(true))),
    ]
}

#[tokio::test]
async fn i9_whatever_is_wrong_is_named_by_its_place() {
    let api = TestApi::start().await;
    for (place, body) in refused_parts().into_iter().chain(refused_filters()) {
        let refused = ask(&api, body.to_string()).await;
        assert_eq!(refused.status, 400, "{place}: {body}");
        let problem = refused.problem(400);
        assert_eq!(problem["field"], place, "{body}: {problem}");
        assert_eq!(problem["type"], "urn:nilometer:problem:invalid-parameter", "{body}: {problem}");
    }
}

#[tokio::test]
async fn i9_what_is_no_json_document_is_refused() {
    let api = TestApi::start().await;
    let twice = r#"{"aggregations": [{"op": "count"}], "limit": 1, "limit": 2}"#;
    assert_eq!(ask(&api, twice).await.problem(400)["field"], "limit");
    let long = r#"{"aggregations": [{"op": "count"}], "filter": {"field": "tokens", "op": "gt", "value": 0.12345678901234567890123456789}}"#;
    assert_eq!(ask(&api, long).await.problem(400)["field"], "filter.value");
    let deep = format!(r#"{{"filter": {}"#, r#"{"and": ["#.repeat(1_000));
    for body in ["", "hello", "[]", "7", "{", "{} {}", &deep] {
        ask(&api, body).await.problem(400);
    }
    for (body, field) in [
        (r#"{"limit": NaN}"#, "limit"),
        (r#"[null, null, null, null, [{"op": "count"}]]"#, "body"),
        (r#"{"aggregations": [["count"]]}"#, "aggregations[0]"),
        (r#"{"aggregations": [{"op": "count"}], "filter": [null, null, "type", "exists"]}"#, "filter"),
        (r#"{"aggregations": [{"op": "count"}], "order_by": [["count", "desc"]]}"#, "order_by[0]"),
    ] {
        assert_eq!(ask(&api, body).await.problem(400)["field"], field, "{body}");
    }
    let large = format!(r#"{{"tz": "{}"}}"#, "x".repeat(300 << 10));
    ask(&api, large).await.problem(413);
    let body = r#"{"aggregations": [{"op": "count"}]}"#;
    api.send("POST", "/v1/query", &[("content-type", "text/csv")], body).await.problem(415);
    api.send("POST", "/v1/query", &[("content-encoding", "gzip")], body).await.problem(415);
    api.send("POST", "/v1/query?limit=1", &[], body).await.problem(400);
    api.get("/v1/query").await.problem(405);
}
