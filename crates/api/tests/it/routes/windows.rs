//! `GET /v1/windows`.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::TestApi;

fn event(id: &str, customer: &str, time: &str) -> String {
    format!(r#"{{"id": "{id}", "customer": "{customer}", "time": "{time}", "endpoint": "/e", "tokens": 10}}"#)
}

#[tokio::test]
async fn sums_means_and_breakdowns_are_exact() {
    let api = TestApi::start().await;
    let call = |id: u32, endpoint: &str, model: &str, input: u32, output: u32, ms: f64| {
        json!({"id": format!("e{id}"), "customer": "c", "time": "2026-11-21T10:00:29.999999Z", "endpoint": endpoint,
            "metadata": {"model": model, "inputTokens": input, "outputTokens": output, "latencyMs": ms}})
    };
    let events = [call(1, "/a", "m", 1, 2, 100.0), call(2, "/a", "n", 3, 4, 100.0), call(3, "/b", "m", 5, 6, 100.001)];
    api.post("/v1/events", serde_json::to_vec(&events).unwrap()).await.json(202);
    let windows = api.get("/v1/windows").await.json(200);
    assert_eq!(
        windows["data"][0]["aggregations"],
        json!({
            "totalCalls": 3, "totalTokens": 21, "totalInputTokens": 9, "totalOutputTokens": 12, "avgLatencyMs": 100,
            "tokens_by_class": {"input": 9, "cache_read": 0, "cache_write": 0, "output": 12, "reasoning": 0},
            "byEndpoint": {"/a": {"calls": 2, "tokens": 10}, "/b": {"calls": 1, "tokens": 11}},
            "byModel": {"m": {"calls": 2, "tokens": 14}, "n": {"calls": 1, "tokens": 7}},
        })
    );
}

#[tokio::test]
async fn a_mean_may_have_a_fraction_or_be_missing() {
    let api = TestApi::start().await;
    let event = |id: &str, customer: &str, latency: Value| json!({"id": id, "customer": customer, "metadata": {"latencyMs": latency}});
    let events = [event("1", "c", json!(1)), event("2", "c", json!(1.001)), event("3", "d", json!(null))];
    api.post("/v1/events", serde_json::to_vec(&events).unwrap()).await.json(202);
    let mean = async |customer: &str| {
        let windows = api.get(&format!("/v1/windows?customer={customer}")).await.json(200);
        windows["data"][0]["aggregations"]["avgLatencyMs"].clone()
    };
    assert_eq!(mean("c").await, json!(1.001));
    assert_eq!(mean("d").await, Value::Null);
}

#[tokio::test]
async fn i10_a_window_opens_closes_and_is_revised_by_a_late_event() {
    let api = TestApi::start().await;
    api.post("/v1/events", event("e1", "c", "2026-11-21T10:00:05Z")).await.json(202);
    let window = async || api.get("/v1/windows?customer=c").await.json(200)["data"][0].clone();
    let open = window().await;
    assert_eq!((&open["state"], &open["revision"]), (&json!("open"), &json!(1)));
    while window().await["state"] == "open" {
        api.clock.advance(Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let closed = window().await;
    assert_eq!((&closed["state"], &closed["revision"]), (&json!("closed"), &json!(1)));
    assert_eq!(closed["aggregations"], open["aggregations"]);
    api.post("/v1/events", event("e2", "c", "2026-11-21T10:00:06Z")).await.json(202);
    let revised = window().await;
    assert_eq!((&revised["state"], &revised["revision"]), (&json!("revised"), &json!(2)));
    assert_eq!(revised["aggregations"]["totalCalls"], 2);
    for (state, windows) in [("open", 0), ("closed", 0), ("revised", 1)] {
        let listed = api.get(&format!("/v1/windows?state={state}")).await.json(200);
        assert_eq!(listed["data"].as_array().unwrap().len(), windows, "{state}");
    }
}

#[tokio::test]
async fn windows_are_listed_by_customer_then_start_and_paged() {
    let api = TestApi::start().await;
    let mut events = Vec::new();
    for customer in ["b", "a", "c/d"] {
        for minute in [2, 1] {
            events.push(event(&format!("{customer}{minute}"), customer, &format!("2026-11-21T09:0{minute}:00Z")));
        }
    }
    events.push(r#"{"id": "none", "time": "2026-11-21T09:01:00Z"}"#.to_owned());
    api.post("/v1/events", format!("[{}]", events.join(","))).await.json(202);
    let mut paged = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = api.get(&format!("/v1/windows?limit=2{cursor}")).await.json(200);
        paged.extend(page["data"].as_array().unwrap().iter().map(|window| {
            (window["customerId"].as_str().map(ToOwned::to_owned), window["windowStart"].as_str().unwrap().to_owned())
        }));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let mut sorted = paged.clone();
    sorted.sort();
    assert_eq!(paged, sorted);
    assert_eq!(paged.len(), 7);
    assert_eq!(paged[0].0, None, "events without a customer have a window too");
    let one = api.get("/v1/windows?customer=c%2Fd&from=2026-11-21T09:01:00Z&to=2026-11-21T09:02:00Z").await.json(200);
    assert_eq!(one["data"].as_array().unwrap().len(), 1);
}
