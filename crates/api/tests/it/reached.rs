//! Behind a proxy and below a path.

use std::time::Duration;

use api::{BasePath, PublicUrl, WebOptions};
use domain::access::address::AddressRange;
use domain::limits::Limits;
use domain::tenant::Keyring;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

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

/// What is special about the routes that stream holds below a path as it does at the root: the workspace in the query, and
/// that no foreign page opens one.
#[tokio::test]
async fn streams_below_a_path_are_streams() {
    let api = reached("/meter", None, &[]).await;
    for path in ["/meter/v1/live/stream", "/meter/v1/live/stream/", "/meter/v1/live/ws"] {
        let named = api.send("GET", &format!("{path}?window=0&workspace=b"), &[KEY], "").await.problem(403);
        assert!(named["detail"].as_str().unwrap().contains("another workspace"), "{path}: {named}");
    }
    let named = api.send("GET", "/meter/v1/live?window=0&workspace=b", &[KEY], "").await.problem(400);
    assert_eq!(named["field"], "workspace", "another route takes none: {named}");

    while api.send("GET", "/meter/v1/live", &[KEY], "").await.status == 503 {}
    let mut stream = TcpStream::connect(api.address).await.unwrap();
    let head =
        format!("GET /meter/v1/live/stream?workspace=a HTTP/1.1\r\nhost: localhost\r\nx-api-key: {KEY_A}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut said = Vec::new();
    while !String::from_utf8_lossy(&said).contains("event: live") {
        let mut buffer = [0; 4_096];
        let Ok(count) = tokio::time::timeout(Duration::from_millis(10), stream.read(&mut buffer)).await else {
            api.clock.advance(Duration::from_secs(1));
            continue;
        };
        let count = count.unwrap();
        assert!(count > 0, "{}", String::from_utf8_lossy(&said));
        said.extend_from_slice(&buffer[..count]);
    }
    let said = String::from_utf8_lossy(&said).to_ascii_lowercase();
    assert!(said.starts_with("http/1.1 200") && said.contains("content-type: text/event-stream"), "{said}");

    let web = WebOptions { base_path: BasePath::parse("/meter").unwrap(), ..WebOptions::default() };
    let keyring = Keyring::new().with_anonymous_default();
    let dev = TestApi::reached(Limits::default(), keyring, Reach { web, ..Reach::default() }).await;
    let link = [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
    dev.send("GET", "/meter/v1/live?window=0", &link, "").await.problem(400);
    for path in ["/meter/v1/live/stream?window=0", "/meter/v1/live/ws?window=0"] {
        assert_eq!(dev.send("GET", path, &link, "").await.problem(403)["field"], "Sec-Fetch-Site", "{path}");
    }
}

#[tokio::test]
async fn a_key_is_held_to_the_client_that_a_trusted_proxy_names() {
    let of = async |trusted: &[&str]| {
        let trusted_proxies = trusted.iter().map(|range| AddressRange::parse(range).unwrap()).collect();
        let web = WebOptions { trusted_proxies, ..WebOptions::default() };
        let reach = Reach { web, keys: vec![("a", KEY_A)], ..Reach::default() };
        let api = TestApi::reached(Limits::default(), Keyring::new(), reach).await;
        let new =
            json!({"name": "near", "scopes": ["read"], "addresses": ["192.0.2.0/24", "2001:db8::/32"]}).to_string();
        let made = api.send("POST", "/v1/keys", &[KEY, ("content-type", "application/json")], new).await.json(201);
        (api, made["key"].as_str().unwrap().to_owned())
    };
    let ask = async |api: &TestApi, key: &str, forwarded: &[(&str, &str)]| {
        api.send("GET", "/v1/events", &[&[("x-api-key", key)], forwarded].concat(), "").await
    };
    let (api, key) = of(&["127.0.0.0/8", "10.0.0.0/8"]).await;
    for (forwarded, status) in [
        ("192.0.2.7", 200),
        ("2001:db8::9", 200),
        ("198.51.100.1, 192.0.2.7", 200),
        ("198.51.100.1, 192.0.2.7, 10.1.1.1", 200),
        ("198.51.100.1", 403),
        ("192.0.2.7, 198.51.100.1", 403),
        ("192.0.2.7, 198.51.100.1, 10.1.1.1", 403),
        ("127.0.0.1", 403),
    ] {
        let reply = ask(&api, &key, &[("x-forwarded-for", forwarded)]).await;
        assert_eq!(reply.status, status, "{forwarded}: {}", reply.text());
    }
    let refused = ask(&api, &key, &[]).await.problem(403);
    assert!(refused["detail"].as_str().unwrap().contains("address"), "{refused}");
    let (api, key) = of(&["10.0.0.0/8"]).await;
    for forwarded in [&[][..], &[("x-forwarded-for", "192.0.2.7")]] {
        assert_eq!(ask(&api, &key, forwarded).await.status, 403, "nobody else says who the client is");
    }
}
