//! `GET /`.

use crate::harness::TestApi;

#[tokio::test]
async fn browsers_get_a_page_and_programs_json() {
    let api = TestApi::start().await;
    for accept in ["*/*", "application/json", ""] {
        let home = api.send("GET", "/", &[("accept", accept)], "").await.json(200);
        assert_eq!((home["name"].as_str(), home["docs"].as_str()), (Some("Nilometer"), Some("/docs/")));
        assert!(home["first_event"].as_str().unwrap().contains("/v1/events"), "{home}");
    }
    let page = api.send("GET", "/", &[("accept", "text/html,application/xhtml+xml,*/*;q=0.8")], "").await;
    assert_eq!(page.status, 200);
    assert!(page.header("content-type").starts_with("text/html"));
    for part in [home_version(), r#"href="/docs/""#, "curl ", "/v1/events"] {
        assert!(page.text().contains(part), "{part} in {}", page.text());
    }
}

fn home_version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}
