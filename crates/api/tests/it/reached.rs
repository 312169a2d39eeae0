//! Behind a proxy and below a path.

use api::{BasePath, PublicUrl, WebOptions};
use domain::access::address::AddressRange;
use domain::limits::Limits;
use serde_json::{Value, json};

use crate::harness::{KEY_A, Reach, Reply, TestApi, keys_alone};

const KEY: (&str, &str) = ("x-api-key", KEY_A);

async fn reached(base_path: &str, public_url: Option<&str>, trusted: &[&str]) -> TestApi {
    let base_path = BasePath::parse(base_path).unwrap();
    let public_url = public_url.map(|url| PublicUrl::parse(url, &base_path).unwrap());
    let trusted_proxies = trusted.iter().map(|range| AddressRange::parse(range).unwrap()).collect();
    let web = WebOptions { base_path, public_url, trusted_proxies, ..WebOptions::default() };
    TestApi::reached(Limits::default(), keys_alone(), Reach { web, ..Reach::default() }).await
}

fn first_event(home: &Reply) -> String {
    home.json(200)["first_event"].as_str().unwrap().rsplit(' ').next().unwrap().to_owned()
}

#[tokio::test]
async fn routes_lie_below_the_base_path_and_probes_at_the_root_too() {
    let api = reached("/meter", None, &[]).await;
    for path in ["/healthz", "/livez/", "/readyz", "/metrics"] {
        for path in [path.to_owned(), format!("/meter{path}")] {
            assert!(matches!(api.get(&path).await.status, 200 | 503), "{path}");
        }
    }
    let posted = api.send("POST", "/meter/v1/events?wait=applied", &[KEY], r#"{"id": "e1"}"#).await;
    assert_eq!(posted.status, 202);
    assert_eq!(api.send("GET", "/meter/v1/events/e1/", &[KEY], "").await.json(200)["event_id"], "e1");
    for path in
        ["/", "/v1/events", "/meters/v1/events", "/v1/events/e1", "/docs/", "/openapi.json", "/x/meter/v1/events"]
    {
        let problem = api.send("GET", path, &[KEY], "").await.problem(404);
        assert_eq!(problem["type"], "urn:nilometer:problem:not-found", "{path}");
    }
    for path in ["/meter", "/meter/"] {
        let home = api.get(path).await;
        assert_eq!(
            (home.json(200)["docs"].as_str(), &first_event(&home)[..]),
            (Some("/meter/docs/"), "http://localhost/meter/v1/events")
        );
    }
    assert_eq!(api.get("/meter/docs").await.header("location"), "/meter/docs/");
    assert_eq!(api.get("/meter/docs/").await.status, 200);
    assert!(api.get("/meter/docs/swagger-initializer.js").await.text().contains(r#""../openapi.json""#));
    let servers = |document: Value| document["servers"].clone();
    assert_eq!(servers(api.get("/meter/openapi.json").await.json(200)), json!([{"url": "/meter"}]));
    let public = reached("/meter", Some("https://m.example"), &[]).await;
    assert_eq!(servers(public.get("/meter/openapi.json").await.json(200)), json!([{"url": "https://m.example/meter"}]));
    assert_eq!(first_event(&public.get("/meter").await), "https://m.example/meter/v1/events");
}

#[tokio::test]
async fn a_trusted_proxy_says_where_the_server_is_found_and_nobody_else() {
    let told = [
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "m.example"),
        ("x-forwarded-prefix", "/usage"),
        ("x-forwarded-for", "8.8.8.8"),
    ];
    let api = reached("", None, &["127.0.0.0/8", "::1"]).await;
    let home = api.send("GET", "/", &told, "").await;
    assert_eq!(
        (home.json(200)["docs"].as_str(), &first_event(&home)[..]),
        (Some("/usage/docs/"), "https://m.example/usage/v1/events")
    );
    assert_eq!(api.send("GET", "/docs", &told, "").await.header("location"), "/usage/docs/");
    for prefix in ["usage", "/usage/", "//evil.example", "/a b", "/a?b", "/\"><script>"] {
        let refused = api.send("GET", "/", &[("x-forwarded-prefix", prefix)], "").await.problem(400);
        assert_eq!(refused["field"], "X-Forwarded-Prefix", "{prefix}");
    }
    let stranger = reached("", None, &["10.0.0.0/8"]).await;
    let home = stranger.send("GET", "/", &[&told[..2], &[("x-forwarded-prefix", "no path")]].concat(), "").await;
    assert_eq!(
        (home.json(200)["docs"].as_str(), &first_event(&home)[..]),
        (Some("/docs/"), "http://localhost/v1/events")
    );
}
