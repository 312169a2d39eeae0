//! `GET /openapi.json` and `GET /docs`.

use serde_json::{Value, json};

use crate::harness::TestApi;

#[test]
fn the_document_changes_only_on_purpose() {
    insta::assert_json_snapshot!(api::document());
}

#[tokio::test]
async fn the_document_is_served_as_openapi_3_1_with_every_route() {
    let api = TestApi::start().await;
    let document = api.get("/openapi.json").await.json(200);
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1."), "{}", document["openapi"]);
    let mut wanted = serde_json::to_value(api::document()).unwrap();
    for path in ["/metrics", "/v1/live", "/v1/live/stream", "/v1/live/ws"] {
        let window = &mut wanted["paths"][path]["get"]["parameters"][0];
        assert_eq!((&window["name"], &window["schema"]["minimum"]), (&json!("window"), &json!(1)), "{path}");
        // How long it can be is a setting.
        window["schema"]["maximum"] = json!(1_800);
    }
    assert_eq!(document, wanted);
    for path in ["/v1/events", "/v1/ingest", "/events", "/v1/receipts/{id}", "/v1/windows", "/v1/customers/{id}/usage"]
    {
        assert!(document["paths"][path].is_object(), "{path}");
    }
    let resolved = |reference: &str| document.pointer(reference.trim_start_matches('#')).is_some();
    let mut references = Vec::new();
    collect_references(&document, &mut references);
    assert!(references.iter().all(|reference| resolved(reference)), "{references:?}");
}

#[tokio::test]
async fn the_pages_come_from_inside_the_program() {
    let api = TestApi::start().await;
    let moved = api.get("/docs").await;
    assert!((300..400).contains(&moved.status), "{}", moved.status);
    assert_eq!(moved.header("location"), "/docs/");
    let page = api.get("/docs/").await;
    assert_eq!(page.status, 200);
    assert!(page.text().contains("swagger-ui"), "{}", page.text());
    assert!(!page.text().contains("https://"), "the page loads something from elsewhere");
    assert_eq!(api.get("/docs/swagger-ui.css").await.status, 200);
}

#[tokio::test]
async fn the_pages_ask_no_public_service_whether_the_document_is_valid() {
    let api = TestApi::start().await;
    let settings = api.get("/docs/swagger-initializer.js").await;
    assert_eq!(settings.status, 200);
    assert!(settings.text().contains(r#""validatorUrl": "none""#), "{}", settings.text());
}

fn collect_references(value: &Value, into: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            if let Some(reference) = fields.get("$ref").and_then(Value::as_str) {
                into.push(reference.to_owned());
            }
            fields.values().for_each(|field| collect_references(field, into));
        }
        Value::Array(items) => items.iter().for_each(|item| collect_references(item, into)),
        _ => {}
    }
}
