//! `GET /healthz`, `GET /livez` and `GET /readyz`.

use serde_json::json;

use crate::harness::TestApi;

#[tokio::test]
async fn alive_is_ok() {
    let api = TestApi::start().await;
    for path in ["/healthz", "/livez"] {
        assert_eq!(api.get(path).await.text(), r#"{"ok":true}"#, "{path}");
    }
}

#[tokio::test]
async fn readiness_names_each_dependency() {
    let api = TestApi::start().await;
    let ready = api.get("/readyz").await.json(200);
    assert_eq!(ready["ready"], true);
    let names: Vec<_> = ready["checks"].as_array().unwrap().iter().map(|check| check["name"].clone()).collect();
    assert_eq!(names, [json!("journal"), json!("ledger"), json!("live")]);
}
