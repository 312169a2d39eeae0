//! I5: a server that takes requests without a key answers only under names of its own machine, and only its own
//! pages and those of listed origins.

use std::net::SocketAddr;

use api::{Origin, WebOptions};
use domain::limits::Limits;
use domain::tenant::Keyring;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::harness::{KEY_A, Reach, TestApi, keys_alone};

const JSON: (&str, &str) = ("content-type", "application/json");
const PLAIN: (&str, &str) = ("content-type", "text/plain");
const FOREIGN: (&str, &str) = ("origin", "https://evil.example");

fn origin(text: &str) -> Origin {
    Origin::parse(text).unwrap()
}

fn listing(origins: &[&str]) -> Reach {
    let cors_origins = origins.iter().map(|text| origin(text)).collect();
    Reach { web: WebOptions { cors_origins, ..WebOptions::default() }, ..Reach::default() }
}

async fn dev_listing(origins: &[&str]) -> TestApi {
    TestApi::reached(Limits::default(), Keyring::new().with_anonymous_default(), listing(origins)).await
}

/// Opens a WebSocket with these fields; the status of the answer.
async fn socket(address: SocketAddr, fields: &[(&'static str, &str)]) -> u16 {
    let mut request = format!("ws://{address}/v1/live/ws").into_client_request().unwrap();
    for (name, value) in fields {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    match tokio_tungstenite::connect_async(request).await {
        Ok((_, answer)) => answer.status().as_u16(),
        Err(tungstenite::Error::Http(answer)) => answer.status().as_u16(),
        Err(why) => panic!("{why}"),
    }
}

#[tokio::test]
async fn i5_a_name_that_points_here_reads_nothing() {
    let api = TestApi::start().await;
    for path in
        ["/", "/v1/events", "/healthz", "/metrics", "/docs/", "/openapi.json", "/no/such/route", "/v1/live/stream"]
    {
        let refused = api.send("GET", path, &[("host", "evil.example")], "").await.problem(421);
        assert_eq!(
            (refused["type"].as_str(), refused["field"].as_str()),
            (Some("urn:nilometer:problem:misdirected"), Some("Host")),
            "{path}"
        );
    }
    // A key changes nothing: pages could ask for the rest.
    api.send("GET", "/v1/events", &[("host", "evil.example"), ("x-api-key", KEY_A)], "").await.problem(421);
    assert_eq!(socket(api.address, &[("host", "evil.example")]).await, 421);
}

#[tokio::test]
async fn i5_a_foreign_page_writes_nothing() {
    let api = TestApi::start().await;
    let event = r#"{"id": "e1", "customer": "c"}"#;
    for fields in [
        &[PLAIN, FOREIGN][..],
        &[JSON, FOREIGN],
        &[PLAIN, ("origin", "null")],
        &[PLAIN, ("sec-fetch-site", "cross-site")],
        &[PLAIN, ("sec-fetch-site", "same-site"), ("origin", "http://localhost:3000")],
        &[PLAIN, FOREIGN, ("x-api-key", KEY_A)],
    ] {
        let refused = api.send("POST", "/v1/events?wait=applied", fields, event).await.problem(403);
        assert_eq!(refused["type"], "urn:nilometer:problem:forbidden", "{fields:?}");
    }
    api.get("/v1/events/e1").await.problem(404);
    api.send("GET", "/v1/events/e1", &[("x-api-key", KEY_A)], "").await.problem(404);
    for (name, value) in [("x-forwarded-for", "127.0.0.1"), ("forwarded", "for=127.0.0.1"), ("via", "1.1 proxy")] {
        let refused = api.send("GET", "/v1/events", &[(name, value)], "").await.problem(403);
        assert_eq!(refused["field"], name);
    }
}

#[tokio::test]
async fn i5_a_foreign_page_streams_nothing() {
    let api = TestApi::live(Limits::default()).await;
    assert_eq!(socket(api.address, &[FOREIGN]).await, 403);
    assert_eq!(socket(api.address, &[("origin", "null")]).await, 403);
    assert_eq!(socket(api.address, &[("sec-fetch-site", "cross-site")]).await, 403);
    for fields in [[FOREIGN], [("sec-fetch-site", "cross-site")]] {
        api.send("GET", "/v1/live/stream", &fields, "").await.problem(403);
    }
    let own = format!("http://{}", api.address);
    assert_eq!(socket(api.address, &[("origin", &own)]).await, 101, "its own page");
    assert_eq!(socket(api.address, &[]).await, 101, "a program");
}

#[tokio::test]
async fn programs_and_own_pages_are_answered_as_ever() {
    let api = TestApi::start().await;
    let port = api.address.port();
    for host in ["localhost", "127.0.0.1", "[::1]", "LOCALHOST"] {
        let host = format!("{host}:{port}");
        let page = format!("http://{host}");
        for fields in
            [&[("host", &host[..])][..], &[("host", &host), ("origin", &page), ("sec-fetch-site", "same-origin")]]
        {
            let body = r#"{"type": "t"}"#;
            assert_eq!(
                api.send("POST", "/v1/events", &[fields, &[JSON]].concat(), body).await.status,
                202,
                "{fields:?}"
            );
            for path in ["/", "/docs/", "/docs/swagger-ui.css", "/openapi.json", "/v1/events"] {
                assert_eq!(api.send("GET", path, fields, "").await.status, 200, "{path} {fields:?}");
            }
        }
    }
    let link = [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
    assert_eq!(api.send("GET", "/docs/", &link, "").await.status, 200);
    let mut old = TcpStream::connect(api.address).await.unwrap();
    old.write_all(b"GET /healthz HTTP/1.0\r\n\r\n").await.unwrap();
    let mut answer = [0; 15];
    old.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.0 200 OK");
}

#[tokio::test]
async fn with_keys_alone_the_host_is_free_and_no_page_is_asked_for() {
    let api = TestApi::reached(Limits::default(), keys_alone(), listing(&[])).await;
    let key = ("x-api-key", KEY_A);
    for fields in [
        &[key, ("host", "meter.example")][..],
        &[key, ("host", "meter.example"), FOREIGN],
        &[key, ("via", "1.1 proxy"), ("x-forwarded-for", "8.8.8.8"), ("x-forwarded-prefix", "no path")],
    ] {
        assert_eq!(api.send("GET", "/v1/events", fields, "").await.status, 200, "{fields:?}");
        assert_eq!(api.send("POST", "/v1/events", fields, r#"{"type": "t"}"#).await.status, 202, "{fields:?}");
    }
}

#[tokio::test]
async fn pages_of_listed_origins_may_come_with_a_key() {
    let listed = ("origin", "https://app.example");
    let asks = [listed, ("access-control-request-method", "PATCH"), ("access-control-request-headers", "x-api-key")];
    let prod = TestApi::reached(Limits::default(), keys_alone(), listing(&[listed.1])).await;
    for api in [prod, dev_listing(&[listed.1]).await] {
        for path in ["/v1/events", "/v1/settings", "/no/such/route"] {
            let told = api.send("OPTIONS", path, &asks, "").await;
            assert_eq!((told.status, told.header("access-control-allow-origin")), (204, listed.1), "{path}");
            assert_eq!(told.header("access-control-allow-methods"), "GET, POST, PUT, PATCH, DELETE");
            for name in ["Authorization", "X-API-Key", "Idempotency-Key", "If-None-Match", "Nilometer-Workspace"] {
                assert!(told.header("access-control-allow-headers").contains(name), "{name}");
            }
            assert_eq!(told.header("access-control-allow-credentials"), "");
            assert!(!told.header("x-request-id").is_empty());
        }
        // A refusal can be read, too.
        let answer = api.send("GET", "/v1/events", &[listed, ("x-api-key", "nobody-has-this-key")], "").await;
        assert_eq!((answer.status, answer.header("access-control-allow-origin")), (401, listed.1));
        assert!(answer.header("access-control-expose-headers").contains("X-Request-Id"));
        assert!(answer.headers.get_all("vary").iter().any(|vary| vary == "origin"));
        assert_eq!(answer.header("access-control-allow-credentials"), "");
        let other = api.send("OPTIONS", "/v1/events", &[FOREIGN, asks[1]], "").await;
        assert!(matches!(other.status, 403 | 405), "{}", other.status);
        assert_eq!(other.header("access-control-allow-origin"), "");
        let program = api.get("/healthz").await;
        assert_eq!((program.header("access-control-allow-origin"), program.header("vary")), ("", "origin"));
    }
    let dev = dev_listing(&[listed.1]).await;
    let page = [listed, ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "cors"), PLAIN];
    assert_eq!(dev.send("POST", "/v1/events", &page, r#"{"type": "t"}"#).await.status, 202);
    let off = TestApi::reached(Limits::default(), keys_alone(), listing(&[])).await;
    let told = off.send("OPTIONS", "/v1/events", &asks, "").await;
    assert_eq!((told.status, told.header("access-control-allow-origin"), told.header("vary")), (405, "", ""));
}
