//! `POST /events`.

use serde_json::json;

use crate::harness::TestApi;

#[tokio::test]
async fn verdicts_are_success_or_error_with_a_reason() {
    let api = TestApi::start().await;
    let body = r#"[{"event_id": "a", "user": "u"}, {"event_id": "a", "user": "u"}, {"event_id": ""}]"#;
    let taken = api.post("/events", body).await.json(202);
    assert_eq!(taken["statusCode"], 202);
    assert_eq!((&taken["queued"], &taken["accepted"]), (&json!(1), &json!(1)));
    assert_eq!((&taken["duplicates"], &taken["rejected"]), (&json!(1), &json!(1)));
    assert_eq!(taken["applied"], true);
    let results = taken["results"].as_array().unwrap();
    assert_eq!(results[0], json!({"event_id": "a", "status": "success"}));
    assert_eq!((&results[1]["status"], &results[1]["code"]), (&json!("error"), &json!("duplicate")));
    assert_eq!((&results[2]["status"], &results[2]["field"]), (&json!("error"), &json!("id")));
    assert!(results.iter().skip(1).all(|result| result["message"].is_string()));
}

#[tokio::test]
async fn a_batch_of_duplicates_is_no_422() {
    let api = TestApi::start().await;
    api.post("/events", r#"{"event_id": "a"}"#).await.json(202);
    let again = api.post("/events", r#"[{"event_id": "a"}, {"event_id": ""}]"#).await.json(202);
    assert_eq!((&again["queued"], &again["jobId"]), (&json!(0), &json!(null)));
}
