//! What goes on for long ends with the credential that it began with: streams, and requests whose bodies are slow.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::cast::Cast;

async fn connect(cast: &Cast, head: &str) -> TcpStream {
    let mut stream = TcpStream::connect(cast.api.address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

/// Everything until the server closes the connection, while the clock goes on.
async fn rest(cast: &Cast, mut stream: TcpStream) -> String {
    let mut text = Vec::new();
    let mut buffer = [0; 4_096];
    for _ in 0..2_000 {
        match tokio::time::timeout(Duration::from_millis(10), stream.read(&mut buffer)).await {
            Ok(Ok(0)) | Ok(Err(_)) => return String::from_utf8_lossy(&text).into_owned(),
            Ok(Ok(count)) => text.extend_from_slice(&buffer[..count]),
            Err(_) => cast.api.clock.advance(Duration::from_secs(1)),
        }
    }
    panic!("it goes on: {}", String::from_utf8_lossy(&text));
}

/// Found in November 2026: a stream went on for as long as its reader liked, whatever became of its key.
#[tokio::test]
async fn f37_a_stream_ends_with_its_credential() {
    let cast = Cast::new().await;
    while cast.ask("viewer", "GET", "/v1/live", Value::Null).await.status == 503 {}
    let open = |caller: &str| {
        let bearer = cast.bearer(caller);
        format!(
            "GET /v1/live/stream HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nauthorization: {bearer}\r\n\r\n"
        )
    };
    let (by_key, by_person) = (connect(&cast, &open("key read")).await, connect(&cast, &open("viewer")).await);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let key = cast.credentials["key read"].split('_').nth(2).unwrap().to_owned();
    cast.ask("owner", "DELETE", &format!("/v1/keys/{key}"), Value::Null).await.json(200);
    assert_eq!(cast.ask("viewer", "POST", "/v1/members/leave", Value::Null).await.status, 204);
    for stream in [by_key, by_person] {
        let text = rest(&cast, stream).await;
        assert!(text.contains("200 OK") && text.contains("credential has ended"), "{text}");
    }
}

/// Found in November 2026: a key that was revoked while a body was sent still made another one.
#[tokio::test]
async fn f37_a_slow_body_keeps_no_credential_alive() {
    let cast = Cast::new().await;
    let made = cast.ask("owner", "POST", "/v1/keys", json!({"name": "n", "scopes": ["admin", "ingest"]})).await;
    let made = made.json(201);
    let (key, id) = (made["key"].as_str().unwrap(), made["id"].as_str().unwrap());
    let mut waiting = Vec::new();
    for (path, body) in [
        ("/v1/keys", json!({"name": "another", "scopes": ["ingest"]}).to_string()),
        ("/v1/events", json!({"id": "late"}).to_string()),
    ] {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nauthorization: Bearer {key}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{}",
            body.len(),
            &body[..5]
        );
        waiting.push((connect(&cast, &head).await, body));
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    cast.ask("owner", "DELETE", &format!("/v1/keys/{id}"), Value::Null).await.json(200);
    for (mut stream, body) in waiting {
        stream.write_all(&body.as_bytes()[5..]).await.unwrap();
        let text = rest(&cast, stream).await;
        assert!(text.starts_with("HTTP/1.1 401"), "{text}");
    }
}
