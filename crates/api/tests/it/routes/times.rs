//! Times as people write them: in events, and as ends of ranges on every route that takes them.

use serde_json::{Value, json};

use crate::harness::{Reply, TestApi};

/// Every way to ask for a range, each with what it finds of an event at some instant.
const ROUTES: [(&str, &str); 7] = [
    ("/v1/events", "/data/0/event_id"),
    ("/v1/windows", "/data/0/windowStart"),
    ("/stats/top-events", "/data/0/count"),
    ("/stats/dau", "/data/0/users"),
    ("/stats/retention?period=daily", "/cohorts/0/cohort"),
    ("/analytics?interval=minute", "/data/0/time"),
    ("/accounts/c/summary", "/totals/t"),
];

async fn with(times: &[&str]) -> TestApi {
    let api = TestApi::start().await;
    let event = |(n, time): (usize, &&str)| json!({"id": n.to_string(), "user": "u", "customer": "c", "type": "t", "time": time});
    let events: Vec<Value> = times.iter().enumerate().map(event).collect();
    let reply = api.post("/v1/events", serde_json::to_vec(&events).unwrap()).await.json(202);
    assert_eq!(reply["rejected"], 0, "{reply}");
    api
}

async fn ask(api: &TestApi, path: &str, parameters: &str) -> Reply {
    let join = if path.contains('?') { '&' } else { '?' };
    api.get(&format!("{path}{join}{parameters}")).await
}

#[tokio::test]
async fn events_take_the_times_that_exports_hold() {
    let api = TestApi::start().await;
    for (n, (time, read)) in [
        (json!("2026-03-01 10:00:00 UTC"), "2026-03-01T10:00:00Z"),
        (json!("2026-03-01 10:00:00.123456 UTC"), "2026-03-01T10:00:00.123456Z"),
        (json!("2026-03-01 10:00:00 +0000 UTC"), "2026-03-01T10:00:00Z"),
        (json!("2026-03-01 10:00:00.25 +0200 CEST m=+0.000012345"), "2026-03-01T08:00:00.25Z"),
        (json!("2026-03-01 10:00:00 +0530 +0530"), "2026-03-01T04:30:00Z"),
        (json!("2026-03-01 10:00:00 +02:00"), "2026-03-01T08:00:00Z"),
        (json!("2026-03-01 10:00:00 +0200"), "2026-03-01T08:00:00Z"),
        (json!("2026-03-01T10:00:00 -02"), "2026-03-01T12:00:00Z"),
        (json!("2026-03-01 10:00:00"), "2026-03-01T10:00:00Z"),
        (json!("2026-03-01"), "2026-03-01T00:00:00Z"),
        (json!("2026-03-01T10:00:00.123456789Z"), "2026-03-01T10:00:00.123456Z"),
        (serde_json::from_str("1431857103.123456").unwrap(), "2015-05-17T10:05:03.123456Z"),
        (serde_json::from_str("1.431857103123456e9").unwrap(), "2015-05-17T10:05:03.123456Z"),
        (json!("1431857103.1234569"), "2015-05-17T10:05:03.123456Z"),
    ]
    .into_iter()
    .enumerate()
    {
        // A zone of the tenant changes nothing: times in events are UTC.
        if n == 8 {
            let zone = r#"{"timezone": "Asia/Tokyo"}"#;
            api.send("PATCH", "/v1/settings", &[("content-type", "application/json")], zone).await.json(200);
        }
        let event = json!({"id": n.to_string(), "time": time}).to_string();
        assert_eq!(api.post("/v1/events", event).await.json(202)["accepted"], 1, "{time}");
        assert_eq!(api.get(&format!("/v1/events/{n}")).await.json(200)["time"], read, "{time}");
    }
    for bad in [
        "2026-03-01 10:00:00 CEST",
        "2026-03-01 10:00:00 +0200 UTC",
        "2026-03-01 10:00:00 02:00",
        "2026-03-01 10:00:00 +25:00",
        "2026-03-01 10:00:00Z UTC",
        "2026-03-01 UTC",
        "2026-03-01 10:00:00 +02:00 m=x",
        "tomorrow",
    ] {
        let refused = api.post("/v1/events", json!({"id": "bad", "time": bad}).to_string()).await;
        let refused: Value = serde_json::from_str(refused.text()).unwrap();
        assert_eq!(refused["results"][0]["code"], "invalid_time", "{bad}: {refused}");
        assert!(refused["results"][0]["message"].as_str().unwrap().contains("YYYY-MM-DD"), "{bad}: {refused}");
    }
}

#[tokio::test]
async fn a_bound_without_an_offset_is_in_the_zone_asked_for_else_in_the_tenants_on_every_route() {
    // 09:30 in Berlin, 17:30 in Tokyo.
    let api = with(&["2026-11-20T08:30:00Z"]).await;
    let zone = r#"{"timezone": "Europe/Berlin"}"#;
    api.send("PATCH", "/v1/settings", &[("content-type", "application/json")], zone).await.json(200);
    for (path, place) in ROUTES {
        for (parameters, inside) in [
            ("from=2026-11-20T09:30:00&to=2026-11-20T09:31", true),
            ("from=2026-11-20T09:30:00&to=2026-11-20T09:30:00.000001", true),
            ("from=2026-11-20T08:30:00&to=2026-11-20T08:31:00", false),
            ("from=2026-11-20%2009:30&to=2026-11-20", true),
            ("from=2026-11-20T17:30:00&to=2026-11-20T17:31:00&tz=Asia/Tokyo", true),
            ("from=2026-11-20T09:30:00&to=2026-11-20T09:31:00&tz=Asia/Tokyo", false),
            ("from=2026-11-20T09:30:00%2B01:00&to=2026-11-20T09:31:00%20%2B01:00", true),
            ("from=2026-11-20T08:30:00Z&to=2026-11-20%2008:31:00%20UTC", true),
        ] {
            let reply = ask(&api, path, parameters).await;
            let found = match path {
                // Cohorts and rows of days are those that the range touches, and the account is there or not.
                "/stats/retention?period=daily" => continue,
                _ => reply.json(200).pointer(place).cloned().unwrap_or(Value::Null),
            };
            let found = !found.is_null() && found != 0;
            let found = if path.starts_with("/analytics") {
                reply.json(200)["data"].as_array().unwrap().iter().any(|row| row["value"] == 1)
            } else {
                found
            };
            assert_eq!(found, inside, "{path} {parameters}: {}", reply.text());
        }
    }
    let day = ask(&api, "/stats/retention?period=daily", "from=2026-11-20T00:00&to=2026-11-21T00:00").await.json(200);
    assert_eq!(day["cohorts"].as_array().unwrap().len(), 1, "{day}");
}

#[tokio::test]
async fn a_query_reads_bounds_and_filters_in_its_zone() {
    let api = with(&["2026-11-20T08:30:00Z", "2026-11-20T23:30:00Z"]).await;
    let count = async |parts: &str| {
        let body = format!(r#"{{"aggregations": [{{"op": "count"}}], {parts}}}"#);
        let reply = api.send("POST", "/v1/query", &[("content-type", "application/json")], body).await;
        reply.json(200)["rows"][0][0].clone()
    };
    for (parts, events) in [
        (r#""from": "2026-11-20T08:30:00", "to": "2026-11-20""#, 2),
        (r#""from": "2026-11-20T17:30", "to": "2026-11-20T17:31", "tz": "Asia/Tokyo""#, 1),
        (r#""from": "2026-11-20", "to": "2026-11-20", "tz": "Asia/Tokyo""#, 1),
        (r#""tz": "Asia/Tokyo", "filter": {"field": "time", "op": "gte", "value": "2026-11-20T17:30:01"}"#, 1),
        (r#""tz": "Asia/Tokyo", "filter": {"field": "time", "op": "lte", "value": "2026-11-20"}"#, 1),
        (r#""tz": "Asia/Tokyo", "filter": {"field": "time", "op": "gt", "value": "2026-11-20"}"#, 1),
        (r#""tz": "Asia/Tokyo", "filter": {"field": "time", "op": "in", "value": ["2026-11-20 17:30:00"]}"#, 1),
        (r#""tz": "Asia/Tokyo", "filter": {"field": "time", "op": "eq", "value": "2026-11-20T08:30:00Z"}"#, 1),
    ] {
        assert_eq!(count(parts).await, events, "{parts}");
    }
    let bad = r#"{"aggregations": [{"op": "count"}], "from": "20261120"}"#;
    let problem = api.send("POST", "/v1/query", &[("content-type", "application/json")], bad).await.problem(400);
    assert!(problem["detail"].as_str().unwrap().contains("YYYY-MM-DD"), "{problem}");
}

#[tokio::test]
async fn a_local_time_in_a_gap_is_its_end_and_in_a_fold_the_first() {
    let api =
        with(&["2026-03-29T00:59:59Z", "2026-03-29T01:00:00Z", "2025-10-26T00:30:00Z", "2025-10-26T01:30:00Z"]).await;
    for (parameters, ids) in [
        ("from=2026-03-29T02:30:00&to=2026-03-30", vec!["1"]),
        ("from=2026-03-29&to=2026-03-29T02:30:00", vec!["0"]),
        ("from=2025-10-26T02:30:00&to=2025-10-26", vec!["3", "2"]),
        ("from=2025-10-26&to=2025-10-26T02:30:00.000001", vec!["2"]),
    ] {
        let found = api.get(&format!("/v1/events?tz=Europe/Berlin&{parameters}")).await.json(200);
        let found: Vec<_> = found["data"].as_array().unwrap().iter().map(|event| event["event_id"].clone()).collect();
        assert_eq!(found, ids, "{parameters}");
    }
}

#[tokio::test]
async fn a_plus_that_arrives_as_a_space_is_told_with_what_to_write() {
    let api = with(&["2026-11-20T08:30:00Z"]).await;
    for (path, _) in ROUTES {
        for text in ["2026-11-20T08:00:00+02:00", "2026-11-20%2008:00:00+0200", "2026-11-20T08:00:00%20+02"] {
            let problem = ask(&api, path, &format!("from={text}")).await.problem(400);
            let detail = problem["detail"].as_str().unwrap();
            assert!(problem["field"] == "from" && detail.contains("%2B") && detail.contains("YYYY-MM-DD"), "{problem}");
        }
        for text in ["2026/11/20", "20261120", "2026-02-30", "20.11.2026"] {
            let problem = ask(&api, path, &format!("from={text}")).await.problem(400);
            assert!(problem["detail"].as_str().unwrap().contains("YYYY-MM-DD"), "{problem}");
        }
    }
}

#[tokio::test]
async fn days_before_the_earliest_time_make_no_cohort() {
    let api = TestApi::start().await;
    let set = async |min_time: Value| {
        let body = json!({"min_time": min_time}).to_string();
        api.send("PATCH", "/v1/settings", &[("content-type", "application/json")], body).await.json(200);
    };
    // As a folder holds it that took any time.
    set(json!("0001-01-01")).await;
    let event = |id: &str, time: &str| json!({"id": id, "user": "u", "time": time});
    let events = [event("typo", "0001-01-01T00:00:00Z"), event("real", "2026-11-19T10:00:00Z")];
    api.post("/v1/events", serde_json::to_vec(&events).unwrap()).await.json(202);
    let cohort = async |zone: &str| {
        let path = format!("/stats/retention?period=daily&from=2026-11-19&to=2026-11-20&periods=0&tz={zone}");
        let found = api.get(&path).await.json(200);
        (found["cohorts"][0]["size"].clone(), found["cohorts"][1]["cells"][0]["ratio"].clone())
    };
    assert_eq!(cohort("UTC").await, (json!(0), Value::Null));
    set(Value::Null).await;
    for zone in ["UTC", "Asia/Tokyo", "America/New_York"] {
        assert_eq!(cohort(zone).await, (json!(1), Value::Null), "an empty cohort has no ratio");
    }
    assert_eq!(api.get("/v1/events/typo").await.json(200)["time"], "0001-01-01T00:00:00Z", "nothing is taken away");
}
