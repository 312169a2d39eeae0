//! Code of a query language in every text that a client can send: it is a text like any other, or a clear refusal,
//! and never runs.

use http::Method;
use serde_json::{Value, json};

use crate::harness::{Server, run, stderr};

/// Texts that would do something if any part of them reached a parser of SQL, a planner, a shell or a path.
const HOSTILE: [&str; 14] = [
    "'; DROP TABLE workspaces; --",
    "' OR '1'='1",
    "\"; DELETE FROM records; --",
    "' UNION SELECT id, email, password FROM users --",
    "1; PRAGMA journal_mode = DELETE",
    "COPY events TO '/tmp/events'",
    "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'",
    "SET datafusion.execution.batch_size = 1",
    "SELECT * FROM generate_series(1, 1000000000000)",
    "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT * FROM t",
    "events CROSS JOIN events",
    "%' ESCAPE '%",
    "$(touch x)`touch x`",
    "../../../../etc/passwd",
];
const QUERY: &str = r#"{"group_by": ["type"], "aggregations": [{"op": "count"}]}"#;

fn percent(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

fn ask(server: &Server, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let (status, answer) = server.send(method, path, &[("content-type", "application/json")], body);
    assert!(status < 500, "{method} {path}: {status} {answer}");
    (status, answer)
}

/// What an answer to a question says of the rows that were there before.
fn counted(server: &Server) -> (Value, Value) {
    (server.post("/v1/query", QUERY).1["rows"].clone(), server.get("/v1/workspaces").1["data"].clone())
}

/// Every parameter of every route that reads, as the document names them.
fn questions(document: &Value, text: &str) -> Vec<String> {
    let mut paths = Vec::new();
    for (path, routes) in document["paths"].as_object().unwrap() {
        // Streams do not end, and the first page is not JSON.
        if routes["get"].is_null() || path.contains("/live/") || path == "/" {
            continue;
        }
        let filled = path.split('/').map(|part| if part.starts_with('{') { percent(text) } else { part.to_owned() });
        let filled = filled.collect::<Vec<_>>().join("/");
        let parameters = routes["get"]["parameters"].as_array().map(Vec::as_slice).unwrap_or_default();
        let in_query = parameters.iter().filter(|parameter| parameter["in"] == "query");
        paths.extend(in_query.map(|one| format!("{filled}?{}={}", one["name"].as_str().unwrap(), percent(text))));
        if filled != "/metrics" {
            paths.push(filled);
        }
    }
    paths
}

/// Bodies of a structured query with `text` in each of its places.
fn queries(text: &str) -> [Value; 9] {
    let count = json!([{"op": "count"}]);
    let filter = |field: &str, op: &str, value: &str| json!({"field": field, "op": op, "value": value});
    [
        json!({"aggregations": count, "group_by": [text]}),
        json!({"aggregations": count, "group_by": [format!("properties.{text}")]}),
        json!({"aggregations": [{"op": text}]}),
        json!({"aggregations": [{"op": "sum", "field": text}]}),
        json!({"aggregations": [{"op": "count", "as": text}], "order_by": [{"column": text, "direction": "desc"}]}),
        json!({"aggregations": count, "order_by": [{"column": "count", "direction": text}]}),
        json!({"aggregations": count, "filter": filter("type", "eq", text)}),
        json!({"aggregations": count, "filter": filter(text, "eq", text)}),
        json!({"aggregations": count, "filter": filter("type", text, text), "interval": text, "tz": text}),
    ]
}

/// Bodies that make or change something, with `text` in each of its texts.
fn changes(text: &str) -> Vec<(Method, String, Value)> {
    let of = percent(text);
    let change = |method, path: &str, body| (method, path.to_owned(), body);
    vec![
        change(Method::POST, "/v1/workspaces", json!({"id": text, "name": text})),
        change(Method::POST, "/v1/projects", json!({"id": text, "name": text})),
        change(Method::POST, "/v1/keys", json!({"name": text, "scopes": [text], "project": text})),
        change(Method::POST, "/v1/invitations", json!({"email": text, "role": text})),
        change(Method::POST, "/v1/auth/login", json!({"email": text, "password": text})),
        change(Method::POST, "/v1/auth/register", json!({"token": text, "name": text, "password": text})),
        change(Method::PATCH, "/v1/settings", json!({"tz": text})),
        change(Method::PATCH, "/v1/settings", json!({text: text})),
        change(Method::PATCH, &format!("/v1/customers/{of}"), json!({"name": text, "attributes": {text: text}})),
        change(Method::PATCH, "/v1/reference/users", json!({text: {text: text}})),
        change(Method::DELETE, &format!("/v1/keys/{of}"), Value::Null),
        change(Method::DELETE, &format!("/v1/projects/{of}"), Value::Null),
    ]
}

#[test]
fn f39_code_in_any_text_is_a_text_or_refused() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    let document = server.get("/openapi.json").1;
    assert_eq!(server.post("/v1/events?wait=applied", r#"{"type": "witness"}"#).0, 202);
    let mut types = vec!["witness".to_owned()];
    for text in HOSTILE {
        let event = json!({
            "id": text, "type": text, "project": text, "customer": text, "user": text, "endpoint": text, "model": text,
            "properties": {text: text, "nested": {text: [text]}},
        });
        let (status, answer) = ask(&server, "POST", "/v1/events?wait=applied", &event);
        assert_eq!((status, &answer["accepted"]), (202, &json!(1)), "{answer}");
        let (status, stored) = ask(&server, "GET", &format!("/v1/events/{}", percent(text)), &Value::Null);
        assert_eq!((status, &stored["type"], &stored["properties"]), (200, &json!(text), &event["properties"]));
        types.push(text.to_owned());
        let expected = |rows: &Value| {
            let mut found: Vec<_> = rows.as_array().unwrap().iter().map(|row| row[0].as_str().unwrap()).collect();
            found.sort_unstable();
            let mut types: Vec<_> = types.iter().map(String::as_str).collect();
            types.sort_unstable();
            assert_eq!(found, types);
        };
        let before = counted(&server);
        expected(&before.0);

        // A filter by the text finds its one event; nothing makes it find more.
        let filtered = format!("/v1/events?type={}", percent(text));
        assert_eq!(server.get(&filtered).1["data"].as_array().unwrap().len(), 1);
        questions(&document, text).iter().for_each(|path| drop(ask(&server, "GET", path, &Value::Null)));
        for query in queries(text) {
            let (status, answer) = ask(&server, "POST", "/v1/query", &query);
            let named = answer["field"].as_str().or(answer["columns"][0].as_str());
            assert!((status == 200 || status == 400 || status == 422) && named.is_some(), "{query}: {answer}");
        }
        assert_eq!(counted(&server), before, "after questions with {text}");
        for (method, path, body) in changes(text) {
            ask(&server, method.as_str(), &path, &body);
        }
        assert_eq!(counted(&server), before, "after changes with {text}");
    }
    server.stop();
    let verified = run(&["verify", "--data", data.path().to_str().unwrap()]);
    assert_eq!(verified.status.code(), Some(0), "{}", stderr(&verified));
    let beside: Vec<_> = walk(data.path()).into_iter().filter(|name| name == "x" || name == "events").collect();
    assert!(beside.is_empty(), "{beside:?}");
}

/// The names of all files of a folder.
fn walk(folder: &std::path::Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        names.push(entry.file_name().into_string().unwrap());
        if entry.file_type().unwrap().is_dir() {
            names.extend(walk(&entry.path()));
        }
    }
    names
}
