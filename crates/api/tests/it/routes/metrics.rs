//! `GET /metrics`.

use crate::harness::TestApi;

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
