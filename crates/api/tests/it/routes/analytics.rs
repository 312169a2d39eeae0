//! `GET /analytics`, also under `/v1`.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::TestApi;

async fn world() -> TestApi {
    let api = TestApi::start().await;
    let event = |id: u32, time: &str, fields: Value| {
        let mut event = json!({"id": id.to_string(), "time": time, "type": "call"});
        event.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        event
    };
    let events = [
        event(
            1,
            "2026-11-21T08:10:00Z",
            json!({"user": "u", "customer": "c", "properties": {"tokens": 5, "latencyMs": 10}}),
        ),
        event(
            2,
            "2026-11-21T08:20:00Z",
            json!({"user": "u", "properties": {"inputTokens": 3, "outputTokens": 4, "latencyMs": 10.001}}),
        ),
        event(3, "2026-11-21T10:00:00Z", json!({"user": "v", "type": "login", "properties": {"model": "m"}})),
        event(4, "2026-10-25T00:30:00Z", json!({"user": "w"})),
    ];
    api.post("/v1/events", serde_json::to_vec(&events).unwrap()).await.json(202);
    api
}

async fn values(api: &TestApi, query: &str) -> Vec<(String, Value)> {
    let answer = api.get(&format!("/v1/analytics?{query}")).await.json(200);
    let rows = answer["data"].as_array().unwrap();
    rows.iter().map(|row| (row["time"].as_str().unwrap().to_owned(), row["value"].clone())).collect()
}

#[tokio::test]
async fn every_bucket_of_the_range_has_a_row() {
    let api = world().await;
    let answer = api.get("/analytics?from=2026-11-21T08:00:00Z&to=2026-11-21T10:30:00Z").await.json(200);
    let row = |time: &str, value: u64| json!({"time": time, "value": value});
    let data = [row("2026-11-21T08:00:00Z", 2), row("2026-11-21T09:00:00Z", 0), row("2026-11-21T10:00:00Z", 1)];
    assert_eq!(answer, json!({"metric": "count", "interval": "hour", "tz": "UTC", "data": data}));
    let cut = values(&api, "interval=day&from=2026-11-21T08:15:00Z&to=2026-11-21T09:00:00Z").await;
    assert_eq!(cut, [("2026-11-21T00:00:00Z".to_owned(), json!(1))], "only events inside the range count");
    let empty = values(&api, "interval=day&from=2026-11-21T08:15:00Z&to=2026-11-21T08:15:00Z").await;
    assert_eq!(empty, [], "a range without an instant has no bucket");
}

#[tokio::test]
async fn each_metric_is_what_it_says() {
    let api = world().await;
    for (metric, value) in [
        ("count", json!(2)),
        ("tokens", json!(12)),
        ("input_tokens", json!(3)),
        ("output_tokens", json!(4)),
        ("avg_latency_ms", json!(10.001)),
        ("unique_users", json!(1)),
    ] {
        let query = format!("metric={metric}&from=2026-11-21T08:00:00Z&to=2026-11-21T10:00:00Z");
        let nothing = if metric == "avg_latency_ms" { Value::Null } else { json!(0) };
        let found: Vec<_> = values(&api, &query).await.into_iter().map(|(_, value)| value).collect();
        assert_eq!(found, [value, nothing], "{metric}");
    }
}

#[tokio::test]
async fn groups_have_only_buckets_with_events_and_null_without_a_customer() {
    let api = world().await;
    let answer = api.get("/v1/analytics?interval=day&from=2026-11-01&to=2026-11-30&group_by=customer,type").await;
    let row = |customer: Value, kind: &str| json!({"time": "2026-11-21T00:00:00Z", "value": 1, "group": {"customer": customer, "type": kind}});
    let data = [row(Value::Null, "call"), row(Value::Null, "login"), row(json!("c"), "call")];
    assert_eq!(answer.json(200)["data"], json!(data));
    assert!(answer.text().contains(r#""group":{"customer":null,"type":"call"}"#), "in the order asked for");
}

#[tokio::test]
async fn filters_take_a_value_or_the_lack_of_one() {
    let api = world().await;
    for (filter, count) in
        [("customer=c", 1), ("customer=", 2), ("model=m", 1), ("type=call&customer=", 1), ("type=x", 0)]
    {
        let found = values(&api, &format!("interval=day&from=2026-11-21&to=2026-11-21&{filter}")).await;
        assert_eq!(found, [("2026-11-21T00:00:00Z".to_owned(), json!(count))], "{filter}");
    }
}

#[tokio::test]
async fn buckets_begin_in_the_zone_and_follow_its_clocks() {
    let api = world().await;
    let days = values(&api, "interval=day&tz=europe/berlin&from=2026-10-24&to=2026-10-26").await;
    let day = |time: &str, count: u64| (time.to_owned(), json!(count));
    let expected = [day("2026-10-23T22:00:00Z", 0), day("2026-10-24T22:00:00Z", 1), day("2026-10-25T23:00:00Z", 0)];
    assert_eq!(days, expected);
    let months = values(&api, "interval=month&tz=Asia/Kolkata&from=2026-10-01&to=2026-11-30").await;
    assert_eq!(months, [day("2026-09-30T18:30:00Z", 1), day("2026-10-31T18:30:00Z", 3)]);
}

#[tokio::test]
async fn without_a_range_it_is_the_last_buckets_up_to_the_present() {
    let api = world().await;
    for (interval, buckets, first) in [
        ("minute", 60, "2026-11-21T09:01:00Z"),
        ("hour", 24, "2026-11-20T11:00:00Z"),
        ("day", 30, "2026-10-23T00:00:00Z"),
        ("week", 12, "2026-08-31T00:00:00Z"),
        ("month", 12, "2025-12-01T00:00:00Z"),
    ] {
        let found = values(&api, &format!("interval={interval}")).await;
        assert_eq!((found.len(), found[0].0.as_str()), (buckets, first), "{interval}");
        assert!(found.iter().any(|(_, value)| *value != json!(0)), "{interval}");
    }
    api.post("/v1/events", r#"{"id": "now", "type": "now"}"#).await.json(202);
    assert_eq!(values(&api, "type=now").await.last().unwrap().1, 1, "the present is inside");
}

#[tokio::test]
async fn i3_a_kept_answer_never_hides_events_of_an_open_range() {
    let api = world().await;
    let open = "interval=day&from=2026-11-21&to=2026-11-21";
    let count = async |query: &str| values(&api, query).await[0].1.clone();
    assert_eq!(count(open).await, 3);
    let reply = api.get(&format!("/v1/analytics?{open}")).await;
    assert_eq!((reply.header("cache-control"), reply.header("age")), ("no-store", ""));
    api.post("/v1/events", r#"{"id": "more", "time": "2026-11-21T01:00:00Z"}"#).await.json(202);
    assert_eq!(count(open).await, 4);

    let closed = "interval=day&from=2026-11-20&to=2026-11-20";
    assert_eq!(count(closed).await, 0);
    api.post("/v1/events", r#"{"id": "late", "time": "2026-11-20T01:00:00Z"}"#).await.json(202);
    assert_eq!(count(closed).await, 0, "kept");
    api.clock.advance(Duration::from_secs(299));
    let reply = api.get(&format!("/v1/analytics?{closed}")).await;
    assert_eq!((reply.header("cache-control"), reply.header("age")), ("private, max-age=300", "299"));
    api.clock.advance(Duration::from_secs(1));
    assert_eq!(count(closed).await, 1);
}

#[tokio::test]
async fn a_range_is_open_as_long_as_an_event_on_time_may_come() {
    let api = world().await;
    for (to, kept) in [("2026-11-21T09:58:10Z", true), ("2026-11-21T09:58:10.000001Z", false)] {
        let reply = api.get(&format!("/v1/analytics?from=2026-11-21&to={to}")).await;
        assert_eq!(!reply.header("age").is_empty(), kept, "{to}");
    }
}

#[tokio::test]
async fn i3_more_groups_than_fit_are_the_greatest_and_the_others() {
    let api = TestApi::start().await;
    for day in 0..28 {
        // 400 customers, of which c399 has two events on each day; one event is nobody's.
        let event = |customer: Value, n: u32| json!({"id": format!("{day}-{customer}-{n}"), "time": format!("2026-10-{:02}T00:00:00Z", day + 1), "customer": customer});
        let mut events: Vec<Value> = (0..400).map(|n| event(json!(format!("c{n:03}")), 0)).collect();
        events.extend([event(json!("c399"), 1), event(Value::Null, 0)]);
        api.post("/v1/events", serde_json::to_vec(&events).unwrap()).await.json(202);
    }
    let range = "from=2026-10-01&to=2026-10-28&interval=day";
    let total = values(&api, range).await;
    assert_eq!(total.len(), 28);
    for (limit, named) in [("", 356), ("&limit=10000", 356), ("&limit=20", 20), ("&limit=1", 1)] {
        let answer = api.get(&format!("/v1/analytics?{range}&group_by=customer{limit}")).await.json(200);
        let rows = answer["data"].as_array().unwrap();
        assert_eq!(rows.len(), 28 * (named + 1), "{limit}");
        for (start, sum) in &total {
            let of_bucket: Vec<_> = rows.iter().filter(|row| row["time"] == start.as_str()).collect();
            let sums: u64 = of_bucket.iter().map(|row| row["value"].as_u64().unwrap()).sum();
            assert_eq!(json!(sums), *sum, "the rows of a bucket add up");
            let others = of_bucket.last().unwrap();
            assert_eq!((&others["others"], others.get("group")), (&json!(true), None));
            assert_eq!(of_bucket.iter().filter(|row| row.get("others").is_some()).count(), 1);
            assert!(
                of_bucket.iter().any(|row| row["group"]["customer"] == "c399" && row["value"] == 2),
                "the greatest"
            );
        }
        // Of the others, equal all, the first by name; no customer at all is the first name.
        let first = &rows[0]["group"];
        assert_eq!(first["customer"], if named == 1 { json!("c399") } else { Value::Null }, "{limit}");
    }
    for bad in ["0", "10001", "-1", "many"] {
        let refused = api.get(&format!("/v1/analytics?{range}&group_by=customer&limit={bad}")).await;
        assert_eq!(refused.problem(400)["field"], "limit", "{bad}");
    }
}
