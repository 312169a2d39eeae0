//! `GET /metrics`.

use crate::harness::{KEY_A, TestApi};

#[tokio::test]
async fn the_documented_names_are_there_and_requests_are_counted_by_route() {
    let api = TestApi::start().await;
    api.post("/v1/events", r#"[{"id": "a", "type": "t"}, {"id": "a", "type": "t"}, {"id": ""}]"#).await.json(202);
    api.get("/v1/events/a").await.json(200);
    api.get("/v1/events/b").await.problem(404);
    api.get("/no/such/route").await.problem(404);
    let reply = loop {
        // What the worker counts comes a moment after the answer.
        let reply = api.get("/metrics").await;
        if reply.text().contains("events_ingested_total") {
            break reply;
        }
    };
    assert!(reply.header("content-type").starts_with("application/openmetrics-text"));
    let text = reply.text();
    for name in [
        "events_received_total",
        "events_ingested_total",
        "events_duplicate_total",
        "events_failed_total",
        "ingestion_duration_seconds_bucket",
        "api_requests_total",
        "api_request_duration_seconds_bucket",
    ] {
        assert!(text.lines().any(|line| line.starts_with(name)), "{name} is missing in:\n{text}");
    }
    let count = |endpoint: &str, status: &str| {
        let has = |line: &&str| {
            line.starts_with("api_requests_total{")
                && line.contains(&format!("endpoint=\"{endpoint}\""))
                && line.contains(&format!("status_code=\"{status}\""))
        };
        text.lines().find(has).and_then(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
    };
    assert_eq!(count("/v1/events/{id}", "200"), Some(1));
    assert_eq!(count("/v1/events/{id}", "404"), Some(1));
    assert_eq!(count("/v1/events", "202"), Some(1));
    assert_eq!(count("unmatched", "404"), Some(1), "a path that a client made up is no label");
}

#[tokio::test]
async fn i5_the_figures_that_need_no_key_show_no_text_of_a_tenant() {
    let api = TestApi::start().await;
    let body = r#"[{"id": "secret-id", "type": "secret-type", "customer": "secret-customer", "user": "secret-user",
        "project": "secret-project", "endpoint": "/secret-endpoint", "properties": {"model": "secret-model"}},
        {"id": "", "type": "secret-refused"}, {"id": "2", "endpoint": "/secret-endpoint"}]"#;
    let key = [("x-api-key", KEY_A), ("content-type", "application/json")];
    api.send("POST", "/v1/events?wait=applied", &key, body).await.json(202);
    api.send("GET", "/v1/customers/secret-customer", &key, "").await.json(200);
    let text = loop {
        let reply = api.get("/metrics").await;
        if reply.text().contains("events_ingested_total{event_type=\"api_call\"} 1") {
            break reply.text().to_owned();
        }
    };
    assert!(text.contains("events_ingested_total{event_type=\"other\"} 1"), "{text}");
    assert!(!text.contains("secret"), "{text}");
}

#[tokio::test]
async fn i9_a_parameter_that_the_metrics_do_not_know_is_refused() {
    let api = TestApi::start().await;
    for (path, field) in [
        ("/metrics?typo=1", "typo"),
        ("/metrics?windows=300", "windows"),
        ("/metrics?window=60&by=plan", "by"),
        ("/metrics?window=1&window=2", "window"),
    ] {
        assert_eq!(api.get(path).await.problem(400)["field"], field, "{path}");
    }
    assert!(api.get("/metrics?").await.text().contains("live_bytes"));
}
