//! `GET /v1/receipts/{id}`.

use serde_json::json;

use crate::harness::TestApi;

#[tokio::test]
async fn a_receipt_tells_what_became_of_its_batch() {
    let api = TestApi::start().await;
    let taken = api.post("/v1/events", r#"[{"id": "a"}, {"id": "b"}]"#).await.json(202);
    let receipt = taken["receipt"].as_str().unwrap();
    let state = api.get(&format!("/v1/receipts/{receipt}")).await.json(200);
    assert_eq!(state, json!({"receipt": receipt, "status": "applied", "accepted": 2, "duplicates": 0}));
}

#[tokio::test]
async fn what_is_no_receipt_is_not_found() {
    let api = TestApi::start().await;
    let taken = api.post("/v1/events", r#"{"user": "u"}"#).await.json(202);
    let receipt = taken["receipt"].as_str().unwrap();
    let mut forged = receipt.to_owned();
    let last = if forged.pop() == Some('0') { '1' } else { '0' };
    forged.push(last);
    for id in [forged.as_str(), "1", "nonsense", "%F0%9F%92%A7", &"9".repeat(300)] {
        api.get(&format!("/v1/receipts/{id}")).await.problem(404);
    }
}
