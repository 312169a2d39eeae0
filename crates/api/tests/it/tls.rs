//! HTTP over TLS: both versions by ALPN, WebSockets, peers that speak no TLS, certificates that change.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use api::{Tls, TlsError};
use domain::limits::Limits;
use domain::tenant::Keyring;
use futures::StreamExt;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{CertificateParams, KeyPair};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::harness::{Reach, TestApi};

const SHORT: Duration = Duration::from_millis(60);
const WAIT_MAX: Duration = Duration::from_secs(20);

/// A certificate and its key, both in PEM.
struct Pair {
    certificate: String,
    key: String,
    der: CertificateDer<'static>,
}

fn pair() -> Pair {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    Pair { certificate: certificate.pem(), key: key.serialize_pem(), der: certificate.der().clone() }
}

#[expect(clippy::disallowed_methods, reason = "a file of the test's own")]
fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
}

/// A folder with both files in it.
fn folder(pair: &Pair) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("c.pem"), &pair.certificate);
    write(&folder.path().join("k.pem"), &pair.key);
    folder
}

fn load(folder: &TempDir) -> Result<Tls, TlsError> {
    Tls::load(folder.path().join("c.pem"), folder.path().join("k.pem"))
}

async fn start(folder: &TempDir, limits: Limits) -> TestApi {
    let reach = Reach { tls: Some(load(folder).unwrap()), ..Reach::default() };
    TestApi::reached(limits, Keyring::new().with_anonymous_default(), reach).await
}

/// A connection of one who trusts this certificate alone.
async fn connect(api: &TestApi, trusted: &Pair, alpn: &[&str]) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.der.clone()).unwrap();
    let config = ClientConfig::builder_with_provider(default_provider().into());
    let config = config.with_safe_default_protocol_versions().unwrap();
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let socket = TcpSocket::new_v4().unwrap();
    // Who takes nothing is to be found out soon.
    socket.set_recv_buffer_size(4_096).unwrap();
    let stream = socket.connect(api.address).await.unwrap();
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").unwrap(), stream).await
}

/// Reads until the server closes the connection, however it does.
async fn closed(stream: &mut TcpStream) -> Vec<u8> {
    let (mut said, mut buffer) = (Vec::new(), [0; 4_096]);
    loop {
        match tokio::time::timeout(WAIT_MAX, stream.read(&mut buffer)).await {
            Ok(Ok(0) | Err(_)) => return said,
            Ok(Ok(bytes)) => said.extend_from_slice(&buffer[..bytes]),
            Err(_) => panic!("the connection is still open"),
        }
    }
}

/// Status and body of one answer.
async fn send(stream: TlsStream<TcpStream>, method: &str, path: &str, body: String) -> (u16, String) {
    let (mut client, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::builder().method(method).uri(path).header("host", "localhost");
    let answer = client.send_request(request.body(Full::<Bytes>::from(body)).unwrap()).await.unwrap();
    let (parts, body) = answer.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (parts.status.as_u16(), String::from_utf8(body.to_vec()).unwrap())
}

async fn status_over_http1(stream: TlsStream<TcpStream>) -> u16 {
    send(stream, "GET", "/v1/events", String::new()).await.0
}

#[tokio::test]
async fn both_versions_of_http_are_agreed_on() {
    let pair = pair();
    let folder = folder(&pair);
    let api = start(&folder, Limits::default()).await;
    for alpn in [&["http/1.1"][..], &[]] {
        let stream = connect(&api, &pair, alpn).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), alpn.first().map(|name| name.as_bytes()));
        assert_eq!(status_over_http1(stream).await, 200);
    }
    let stream = connect(&api, &pair, &["h2", "http/1.1"]).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut client, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    for (origin, status) in [("https://localhost", 200), ("http://localhost", 403), ("https://evil.example", 403)] {
        let request = Request::post("https://localhost/v1/events").header("origin", origin);
        let request = request.body(Full::<Bytes>::from(r#"{"type": "t"}"#)).unwrap();
        let answer = client.send_request(request).await.unwrap();
        assert_eq!(answer.status(), if status == 200 { 202 } else { status }, "{origin}: pages come by https");
    }
    let request = Request::get("https://evil.example/v1/events").body(Full::default()).unwrap();
    assert_eq!(client.send_request(request).await.unwrap().status(), 421, "the authority is the host");
    let mut stream = connect(&api, &pair, &["h2"]).await.unwrap();
    stream.write_all(b"GET /v1/events HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut answer = [0; 1];
    assert!(!matches!(stream.read(&mut answer).await, Ok(1..)), "HTTP/1.1 is not what was agreed on");
    assert!(connect(&api, &pair, &["imap"]).await.is_err(), "nothing that both speak");
}

#[tokio::test]
async fn i6_a_handshake_that_does_not_end_is_closed() {
    let pair = pair();
    let folder = folder(&pair);
    let api = start(&folder, Limits { header_timeout: SHORT * 8, ..Limits::default() }).await;
    for begin in [&b""[..], b"\x16", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"] {
        let mut stream = TcpStream::connect(api.address).await.unwrap();
        stream.write_all(begin).await.unwrap();
        closed(&mut stream).await;
    }
    let mut drip = TcpStream::connect(api.address).await.unwrap();
    drip.write_all(b"\x16\x03\x01\x20\x00\x01").await.unwrap();
    let mut fed = 0;
    while drip.write_all(b"\0").await.is_ok() {
        fed += 1;
        assert!(fed < 2_000, "the drip went on for ever");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Nor does one last that says nothing after it.
    let mut silent = connect(&api, &pair, &[]).await.unwrap();
    let said = tokio::time::timeout(WAIT_MAX, silent.read(&mut [0; 1])).await.unwrap();
    assert!(!matches!(said, Ok(1..)), "{said:?}");
}

#[tokio::test]
async fn i6_connections_in_a_handshake_make_room_for_others() {
    let pair = pair();
    let folder = folder(&pair);
    let api = start(&folder, Limits { connections_max: 2, ..Limits::default() }).await;
    let mut one = TcpStream::connect(api.address).await.unwrap();
    let _two = TcpStream::connect(api.address).await.unwrap();
    assert_eq!(status_over_http1(connect(&api, &pair, &[]).await.unwrap()).await, 200);
    closed(&mut one).await;
}

#[tokio::test]
async fn plain_http_is_closed_and_the_server_lives() {
    let pair = pair();
    let folder = folder(&pair);
    let api = start(&folder, Limits::default()).await;
    for noise in
        [&b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n"[..], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &[0; 40]]
    {
        let mut stream = TcpStream::connect(api.address).await.unwrap();
        stream.write_all(noise).await.unwrap();
        let said = closed(&mut stream).await;
        assert!(!said.windows(4).any(|word| word == b"HTTP"), "{said:?}");
    }
    assert_eq!(status_over_http1(connect(&api, &pair, &[]).await.unwrap()).await, 200);
}

#[tokio::test]
async fn i6_a_reader_over_tls_that_takes_nothing_is_dropped() {
    let pair = pair();
    let folder = folder(&pair);
    let limits = Limits { header_timeout: WAIT_MAX, idle_timeout: SHORT * 3, ..Limits::default() };
    let api = start(&folder, limits).await;
    let users: Vec<String> = (0..4_000).map(|n| format!(r#""u{n}":{{"seat":"a-place-with-a-name-{n}"}}"#)).collect();
    let table = format!(r#"{{"user_metadata":{{{}}},"ts":"2026-01-01T00:00:00Z"}}"#, users.join(","));
    let ask = async |method, path, body| send(connect(&api, &pair, &[]).await.unwrap(), method, path, body).await;
    assert_eq!(ask("PUT", "/v1/reference/users", table).await.0, 200);
    let acts: Vec<String> = (0..4_000).map(|n| format!(r#"{{"id":"{n}","user":"u{n}"}}"#)).collect();
    assert_eq!(ask("POST", "/v1/events?wait=applied", format!("[{}]", acts.join(","))).await.0, 202);
    while ask("GET", "/v1/live", String::new()).await.0 != 200 {}

    let mut asleep = connect(&api, &pair, &[]).await.unwrap();
    asleep.write_all(b"GET /v1/live/stream HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let streams = async || {
        let (_, text) = ask("GET", "/metrics", String::new()).await;
        text.lines().find_map(|line| line.strip_prefix("live_streams ")).unwrap().to_owned()
    };
    while streams().await != "1" {}
    let mut rounds = 0;
    while streams().await != "0" {
        api.clock.advance(Duration::from_secs(1));
        tokio::time::sleep(Duration::from_millis(5)).await;
        rounds += 1;
        assert!(rounds < 290, "the reader was not dropped");
    }
}

#[tokio::test]
async fn a_web_socket_runs_over_tls_until_the_server_stops() {
    let pair = pair();
    let folder = folder(&pair);
    let api = start(&folder, Limits { header_timeout: WAIT_MAX, idle_timeout: SHORT, ..Limits::default() }).await;
    let mut socket = loop {
        let stream = connect(&api, &pair, &["http/1.1"]).await.unwrap();
        // Until the live view is whole it answers 503.
        if let Ok((socket, _)) = tokio_tungstenite::client_async("ws://localhost/v1/live/ws", stream).await {
            break socket;
        }
    };
    for _ in 0..3 {
        tokio::time::sleep(SHORT * 2).await;
        api.clock.advance(Duration::from_secs(1));
        let live =
            async { while !socket.next().await.unwrap().unwrap().to_text().unwrap().contains(r#""type":"live""#) {} };
        tokio::time::timeout(WAIT_MAX, live).await.unwrap();
    }
    let stopped = api.stop();
    while let Some(Ok(message)) = socket.next().await {
        if message.is_close() {
            break;
        }
    }
    drop(socket);
    stopped.await.unwrap();
}

#[tokio::test]
async fn a_certificate_that_changes_is_taken_and_a_bad_one_is_not() {
    let (old, new) = (pair(), pair());
    let folder = folder(&old);
    let api = start(&folder, Limits::default()).await;
    let (certificate, key) = (folder.path().join("c.pem"), folder.path().join("k.pem"));
    let mut kept = connect(&api, &old, &[]).await.unwrap();
    // No look takes the new one without its key.
    write(&certificate, &new.certificate);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(connect(&api, &old, &[]).await.is_ok() && connect(&api, &new, &[]).await.is_err());
    write(&key, &new.key);
    let taken = async {
        while connect(&api, &new, &[]).await.is_err() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(WAIT_MAX, taken).await.unwrap();
    assert!(connect(&api, &old, &[]).await.is_err());
    kept.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut answer = [0; 15];
    kept.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 OK", "connections that are open stay");
}

#[test]
fn files_that_make_no_certificate_are_named() {
    let (one, other) = (pair(), pair());
    let folder = folder(&one);
    let (certificate, key) = (folder.path().join("c.pem"), folder.path().join("k.pem"));
    for text in ["", "no PEM", &one.key] {
        write(&certificate, text);
        assert!(matches!(load(&folder), Err(TlsError::Certificate { .. })), "{text}");
    }
    write(&certificate, &one.certificate);
    for text in ["", "no PEM", &one.certificate] {
        write(&key, text);
        assert!(matches!(load(&folder), Err(TlsError::Key { .. })), "{text}");
    }
    write(&key, &other.key);
    assert!(matches!(load(&folder), Err(TlsError::Pair(_))));
    write(&key, &" ".repeat((1 << 20) + 1));
    assert!(matches!(load(&folder), Err(TlsError::Key { .. })));
    let missing = Tls::load(folder.path().join("no.pem"), key);
    assert!(missing.unwrap_err().to_string().contains("no.pem"));
}
