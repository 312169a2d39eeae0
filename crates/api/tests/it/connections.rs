//! Connections that send nothing, too slowly, too much or not HTTP: closed in time, and no other
//! connection waits for them (I6).

use std::time::Duration;

use domain::limits::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::TestApi;

const SHORT: Duration = Duration::from_millis(60);

async fn connect(api: &TestApi) -> TcpStream {
    TcpStream::connect(api.address).await.unwrap()
}

/// Everything the server says until it closes the connection.
async fn until_closed(stream: &mut TcpStream) -> String {
    let mut said = Vec::new();
    let mut buffer = [0; 4_096];
    loop {
        match tokio::time::timeout(Duration::from_secs(20), stream.read(&mut buffer)).await {
            Ok(Ok(0) | Err(_)) => return String::from_utf8(said).unwrap(),
            Ok(Ok(bytes)) => said.extend_from_slice(&buffer[..bytes]),
            Err(_) => panic!("the connection is still open"),
        }
    }
}

#[tokio::test]
async fn a_peer_that_sends_nothing_is_closed() {
    let api = TestApi::with(Limits { header_timeout: SHORT, ..Limits::default() }).await;
    assert_eq!(until_closed(&mut connect(&api).await).await, "");
}

#[tokio::test]
async fn a_head_that_drips_is_closed_though_bytes_keep_coming() {
    let api = TestApi::with(Limits { header_timeout: SHORT, ..Limits::default() }).await;
    for begin in ["GET /healthz HTTP/1.1\r\nx-drip: ", "P", "PRI * HTTP/2.0\r\n"] {
        let mut stream = connect(&api).await;
        stream.write_all(begin.as_bytes()).await.unwrap();
        let mut fed = 0;
        while stream.write_all(b"a").await.is_ok() {
            fed += 1;
            assert!(fed < 2_000, "the drip went on for ever");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test]
async fn a_kept_connection_may_be_silent_longer_than_a_head_may_take_but_not_for_ever() {
    let limits = Limits { header_timeout: SHORT, idle_timeout: SHORT * 5, ..Limits::default() };
    let api = TestApi::with(limits).await;
    let mut stream = connect(&api).await;
    for _ in 0..2 {
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        let mut answer = [0; 15];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200 OK");
        while !String::from_utf8_lossy(&answer).contains('}') {
            stream.read_exact(&mut answer[..1]).await.unwrap();
        }
        tokio::time::sleep(SHORT * 2).await;
    }
    assert_eq!(until_closed(&mut stream).await, "");
}

#[tokio::test]
async fn a_body_announced_over_the_limit_is_refused_before_it_is_sent() {
    let api = TestApi::start().await;
    let mut stream = connect(&api).await;
    let head =
        "POST /v1/events HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\ncontent-length: 1000000000\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let said = until_closed(&mut stream).await;
    assert!(said.starts_with("HTTP/1.1 413 "), "{said}");
    assert!(said.contains("urn:nilometer:problem:too-large"), "{said}");
}

#[tokio::test]
async fn a_body_over_the_limit_in_chunks_is_refused_and_its_sender_sees_the_answer() {
    let api = TestApi::with(Limits { body_bytes_max: 10_000, ..Limits::default() }).await;
    let mut stream = connect(&api).await;
    stream
        .write_all(b"POST /v1/events HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n")
        .await
        .unwrap();
    let chunk = format!("1000\r\n{}\r\n", " ".repeat(0x1000));
    for _ in 0..8 {
        stream.write_all(chunk.as_bytes()).await.unwrap();
    }
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
}

#[tokio::test]
async fn a_client_that_sends_everything_first_still_sees_why_it_was_refused() {
    let api = TestApi::start().await;
    for (path, status) in
        [("/v1/windows", "405"), ("/v1/nothing", "404"), ("/v1/events?wait=x", "400"), ("/v1/events", "401")]
    {
        let mut stream = connect(&api).await;
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\nx-api-key: wrong-key\r\ncontent-length: 4000000\r\n\r\n"
        );
        let head = if status == "400" { head.replace("x-api-key", "x-other") } else { head };
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&vec![b' '; 4_000_000]).await.unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&answer), format!("HTTP/1.1 {status}"), "{path}");
    }
}

#[tokio::test]
async fn a_body_shorter_than_announced_is_nothing_taken() {
    let api = TestApi::start().await;
    let mut stream = connect(&api).await;
    stream
        .write_all(b"POST /v1/events HTTP/1.1\r\nhost: localhost\r\ncontent-length: 50\r\n\r\n{\"id\": \"e1\"}")
        .await
        .unwrap();
    stream.shutdown().await.unwrap();
    until_closed(&mut stream).await;
    api.get("/v1/events/e1").await.problem(404);
}

#[tokio::test]
async fn what_is_not_http_is_answered_or_closed_and_the_server_lives() {
    let api = TestApi::start().await;
    for noise in [&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..], b"\0\0\0\0\r\n\r\n", b"GET\r\n\r\n"] {
        let mut stream = connect(&api).await;
        stream.write_all(noise).await.unwrap();
        let said = until_closed(&mut stream).await;
        assert!(said.starts_with("HTTP/1.1 400 ") && said.contains("application/problem+json"), "{said}");
    }
    assert_eq!(api.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn i6_connections_with_nothing_to_do_make_room_for_others() {
    let api = TestApi::with(Limits { connections_max: 2, ..Limits::default() }).await;
    let (mut one, _two) = (connect(&api).await, connect(&api).await);
    let mut third = connect(&api).await;
    third.write_all(b"GET /v1/events HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await.unwrap();
    assert!(until_closed(&mut third).await.starts_with("HTTP/1.1 200 "));
    assert_eq!(until_closed(&mut one).await, "", "the one that waited longest made room");
}

/// A connection with a request under way, whose body is not all there.
async fn busy(api: &TestApi) -> TcpStream {
    let mut stream = connect(api).await;
    let head = "POST /v1/events HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nexpect: 100-continue\r\ncontent-length: 12\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 25];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream
}

#[tokio::test]
async fn i6_probes_are_answered_when_every_connection_is_busy_and_no_busy_one_is_closed() {
    let api = TestApi::with(Limits { connections_max: 4, ..Limits::default() }).await;
    let mut taken = Vec::new();
    for _ in 0..3 {
        taken.push(busy(&api).await);
    }
    // The address has its share: what comes now is for probes, of which a flood leaves the newest.
    let mut idle = Vec::new();
    for _ in 0..200 {
        idle.push(connect(&api).await);
    }
    for path in ["/healthz", "/livez", "/readyz", "/metrics", "/healthz/"] {
        let reply = api.get(path).await;
        assert!(matches!(reply.status, 200 | 503) && reply.header("connection") == "close", "{path}: {reply:?}");
    }
    let refused = api.get("/v1/events").await;
    assert_eq!((refused.problem(503)["field"].as_str(), refused.header("retry-after")), (Some("connection"), "1"));
    for stream in &mut taken {
        stream.write_all(br#"{"type":"t"}"#).await.unwrap();
        let said = until_closed(stream).await;
        assert!(said.starts_with("HTTP/1.1 202 "), "{said}");
    }
    assert_eq!(api.get("/v1/events").await.status, 200);
    let metrics = api.get("/metrics").await;
    assert!(!metrics.text().contains("connections_closed_idle_total 0"), "{}", metrics.text());
}

#[tokio::test]
async fn a_stop_lets_the_request_under_way_finish_and_takes_no_other() {
    let api = TestApi::start().await;
    let address = api.address;
    let mut busy = connect(&api).await;
    let mut idle = connect(&api).await;
    idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut answer = [0; 15];
    idle.read_exact(&mut answer).await.unwrap();
    let (head, tail) =
        ("POST /v1/events HTTP/1.1\r\nhost: localhost\r\ncontent-length: 12\r\n\r\n", "{\"id\": \"e1\"}");
    busy.write_all(format!("{head}{}", &tail[..6]).as_bytes()).await.unwrap();
    // The answer on another connection shows that the server has had its turn at this one.
    api.get("/healthz").await;
    let stopped = api.stop();
    until_closed(&mut idle).await;
    busy.write_all(&tail.as_bytes()[6..]).await.unwrap();
    assert!(until_closed(&mut busy).await.starts_with("HTTP/1.1 202 "));
    stopped.await.unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn http_2_is_spoken_too_and_its_connections_end_when_idle() {
    use http_body_util::Full;
    use hyper::Request;
    use hyper::body::Bytes;
    use hyper_util::rt::{TokioExecutor, TokioIo};
    let api = TestApi::with(Limits { header_timeout: SHORT, idle_timeout: SHORT * 2, ..Limits::default() }).await;
    let io = TokioIo::new(connect(&api).await);
    let (mut client, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    let connection = tokio::spawn(connection);
    for _ in 0..3 {
        let request = Request::get("http://localhost/healthz").body(Full::<Bytes>::default()).unwrap();
        assert_eq!(client.send_request(request).await.unwrap().status(), 200);
    }
    let _ = tokio::time::timeout(Duration::from_secs(20), connection).await.unwrap();
    assert!(client.is_closed());
}
