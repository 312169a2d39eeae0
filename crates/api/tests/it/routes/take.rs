//! `POST /v1/events` and `POST /v1/ingest`.

use serde_json::json;

use crate::harness::TestApi;

#[tokio::test]
async fn the_answer_has_counts_verdicts_and_a_receipt() {
    let api = TestApi::start().await;
    for (path, id) in [("/v1/events", "x"), ("/v1/ingest", "y")] {
        let body =
            format!(r#"[{{"id": "{id}", "user": "u"}}, {{"id": "{id}", "user": "u"}}, {{"id": 1.5, "time": "?"}}]"#);
        let taken = api.send("POST", path, &[], body).await.json(202);
        assert_eq!((&taken["accepted"], &taken["duplicates"], &taken["rejected"]), (&json!(1), &json!(1), &json!(1)));
        assert_eq!(taken["results"][0], json!({"event_id": id, "status": "accepted"}));
        assert_eq!(taken["results"][1]["event_id"], id);
        assert_eq!(taken["results"][1]["status"], "duplicate");
        assert_eq!(taken["results"][2]["status"], "rejected");
        assert!(taken["receipt"].is_string());
        assert_eq!(taken.get("applied"), None, "nobody asked");
    }
}

#[tokio::test]
async fn i2_a_retry_is_a_duplicate_and_keeps_nothing() {
    let api = TestApi::start().await;
    let event = r#"{"id": "e1", "customer": "c", "type": "t"}"#;
    api.post("/v1/events", event).await.json(202);
    let again = api.post("/v1/events", event).await.json(202);
    assert_eq!((&again["accepted"], &again["duplicates"]), (&json!(0), &json!(1)));
    assert_eq!((&again["receipt"], &again["applied"]), (&json!(null), &json!(true)));
    let other = api.post("/v1/events", event.replace("\"t\"", "\"u\"")).await.json(202);
    assert_eq!(other["results"][0]["status"], "duplicate");
    assert_eq!(other["results"][0]["code"], "payload_mismatch");
    assert_eq!(api.get("/v1/events/e1").await.json(200)["type"], "t", "the first stands");
    assert_eq!(api.get("/v1/customers/c").await.json(200)["totals"]["totalCalls"], 1);
}

#[tokio::test]
async fn an_event_without_id_and_time_is_given_both() {
    let api = TestApi::start().await;
    let taken = api.post("/v1/events", r#"{"user": "u"}"#).await.json(202);
    let id = taken["results"][0]["event_id"].as_str().unwrap();
    let event = api.get(&format!("/v1/events/{id}")).await.json(200);
    assert_eq!(event["time"], "2026-11-21T10:00:10Z");
    assert_eq!(event["received_at"], event["time"]);
    assert_eq!(event["type"], "custom");
}
