//! Heads of requests that no route sees: each is refused with a problem like all others, after the answers to
//! what came before it on the connection, however its bytes arrive (I9).

use domain::limits::{HEAD_BYTES_MAX, HEAD_FIELDS_MAX, HEADS_BYTES_MAX};
use http_body_util::Full;
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::TestApi;

const GOOD: &str = "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";

/// One answer of a connection.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

/// Sends bytes in pieces and reads all answers until the server closes the connection.
async fn talk(api: &TestApi, bytes: &[u8], piece: usize) -> Vec<Answer> {
    let mut stream = TcpStream::connect(api.address).await.unwrap();
    for piece in bytes.chunks(piece) {
        // It may have been refused already.
        let _ = stream.write_all(piece).await;
        if piece.len() < bytes.len() {
            tokio::task::yield_now().await;
        }
    }
    until_closed(&mut stream).await
}

/// All answers until the server closes the connection.
async fn until_closed(stream: &mut TcpStream) -> Vec<Answer> {
    let (mut said, mut buffer) = (Vec::new(), [0; 4_096]);
    loop {
        let read = tokio::time::timeout(std::time::Duration::from_secs(20), stream.read(&mut buffer));
        match read.await.unwrap().unwrap() {
            0 => return answers(&said),
            count => said.extend_from_slice(&buffer[..count]),
        }
    }
}

fn answers(said: &[u8]) -> Vec<Answer> {
    let (mut said, mut answers) = (std::str::from_utf8(said).unwrap(), Vec::new());
    while let Some((head, rest)) = said.split_once("\r\n\r\n") {
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse().unwrap();
        let length = if rest.len() < length { 0 } else { length };
        let (body, rest) = rest.split_at(length);
        answers.push(Answer { status, head: head.to_owned(), body: body.to_owned() });
        said = rest;
    }
    assert_eq!(said, "", "something beside answers");
    answers
}

/// Checks that an answer is a problem with everything that all problems have.
fn problem(answer: &Answer) -> Value {
    let problem: Value = serde_json::from_str(&answer.body).unwrap_or_else(|why| panic!("{why}: {answer:?}"));
    assert!(answer.head.contains("content-type: application/problem+json"), "{answer:?}");
    assert!(answer.head.contains("connection: close"), "{answer:?}");
    assert_eq!(problem["status"], answer.status);
    for member in ["type", "title", "detail", "field", "request_id"] {
        assert!(problem[member].as_str().is_some_and(|text| !text.is_empty()), "{member}: {problem}");
    }
    assert!(answer.head.contains(problem["request_id"].as_str().unwrap()), "{answer:?}");
    problem
}

/// Each way to be refused: what is sent, the status, and the part that is named.
fn refused() -> Vec<(String, u16, &'static str)> {
    let post = |fields: &str| format!("POST /v1/events HTTP/1.1\r\n{fields}\r\n\r\n{{\"id\":\"e\"}}");
    let long = "x".repeat(HEAD_BYTES_MAX);
    vec![
        (post("content-length: 10"), 400, "Host"),
        (post("host: a\r\nhost: b\r\ncontent-length: 10"), 400, "Host"),
        (post("host: a\r\nhost: a\r\ncontent-length: 10"), 400, "Host"),
        (post("host: a\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked"), 400, "Transfer-Encoding"),
        (post("host: a\r\ntransfer-encoding: chunked, chunked"), 400, "Transfer-Encoding"),
        (post("host: a\r\ntransfer-encoding: gzip, chunked"), 501, "Transfer-Encoding"),
        (post("host: a\r\ntransfer-encoding: chunked\r\ncontent-length: 10"), 400, "Transfer-Encoding"),
        (post("host: a\r\ncontent-length: 18446744073709551616"), 413, "Content-Length"),
        (post("host: a\r\ncontent-length: 10\r\ncontent-length: 11"), 400, "Content-Length"),
        (post("host: a\r\ncontent-length: ten"), 400, "Content-Length"),
        (post("host: a\r\nbad name: b\r\ncontent-length: 10"), 400, "head"),
        ("GET / HTTP/1.7\r\nhost: a\r\n\r\n".to_owned(), 505, "version"),
        ("GET /\r\n\r\n".to_owned(), 400, "head"),
        ("GET / FTP/1.1\r\n\r\n".to_owned(), 400, "version"),
        ("\u{16}\u{3}\u{1}\u{0}\r\n\r\n".to_owned(), 400, "head"),
        (format!("GET /{long} HTTP/1.1\r\nhost: a\r\n\r\n"), 414, "path"),
        (format!("GET / HTTP/1.1\r\nhost: a\r\nx: {long}\r\n\r\n"), 431, "head"),
        (format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", "x: y\r\n".repeat(HEAD_FIELDS_MAX)), 431, "head"),
    ]
}

#[tokio::test]
async fn i9_every_refused_head_is_a_problem_that_names_its_part() {
    let api = TestApi::start().await;
    for (sent, status, field) in refused() {
        let shown = &sent[..sent.len().min(90)];
        let answers = talk(&api, sent.as_bytes(), sent.len()).await;
        let [answer] = &answers[..] else { panic!("{shown}: {answers:?}") };
        assert_eq!((answer.status, problem(answer)["field"].as_str()), (status, Some(field)), "{shown}: {answer:?}");
    }
    api.get("/v1/events/e").await.problem(404);
    let metrics = api.get("/metrics").await;
    for reason in ["malformed", "too_large", "unknown_coding", "unknown_version"] {
        let line = format!("request_heads_refused_total{{reason=\"{reason}\"}}");
        assert!(metrics.text().contains(&line), "{line}");
    }
}

#[tokio::test]
async fn i9_what_came_before_a_refused_head_is_answered_first_however_it_arrives() {
    let api = TestApi::start().await;
    let bodies = "POST /v1/events HTTP/1.1\r\nhost: localhost\r\ncontent-length: 11\r\n\r\n{\"id\":\"e1\"}\
                  POST /v1/events HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n\
                  5;x=y\r\n{\"id\"\r\n6\r\n:\"e2\"}\r\n0\r\nx: y\r\n\r\n";
    let h2c = "GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n";
    for (refused, status, _) in refused().into_iter().filter(|(refused, ..)| refused.len() < 1_000) {
        let sent = [GOOD, bodies, h2c, &refused].concat();
        for piece in [sent.len(), 1, 7, 64] {
            let answers = talk(&api, sent.as_bytes(), piece).await;
            let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
            assert_eq!(statuses, [200, 202, 202, 200, status], "in pieces of {piece}: {refused}");
            problem(&answers[4]);
        }
    }
}

#[tokio::test]
async fn what_may_pass_passes_as_it_was_and_the_connection_stays() {
    let api = TestApi::start().await;
    let last = "GET /livez HTTP/1.0\r\n\r\n";
    let many = GOOD.repeat(300) + last;
    for piece in [many.len(), 1_000] {
        let answers = talk(&api, many.as_bytes(), piece).await;
        assert!(answers.len() == 301 && answers.iter().all(|answer| answer.status == 200), "{}", answers.len());
    }
    let long = format!("GET /healthz HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "y".repeat(HEAD_BYTES_MAX - 100));
    for piece in [long.len() * 2, 5_000] {
        let answers = talk(&api, (long.clone() + &long + last).as_bytes(), piece).await;
        assert!(answers.len() == 3 && answers.iter().all(|answer| answer.status == 200), "{answers:?}");
    }
}

#[tokio::test]
async fn an_answer_to_head_has_no_body_when_it_is_a_refusal_either() {
    let api = TestApi::start().await;
    let answers = talk(&api, b"HEAD /healthz HTTP/1.1\r\n\r\n", 100).await;
    assert!(answers.len() == 1 && answers[0].status == 400 && answers[0].body.is_empty(), "{answers:?}");
    let mut stream = TcpStream::connect(api.address).await.unwrap();
    stream.write_all(b"HEAD /healthz HTTP/1.1\r\nhost: localhost\r\n").await.unwrap();
    stream.shutdown().await.unwrap();
    let answers = until_closed(&mut stream).await;
    assert!(answers.len() == 1 && answers[0].status == 400 && answers[0].body.is_empty(), "{answers:?}");
}

#[tokio::test]
async fn a_head_that_ends_in_the_middle_is_told_so() {
    let api = TestApi::start().await;
    let mut stream = TcpStream::connect(api.address).await.unwrap();
    stream.write_all(&GOOD.as_bytes()[..30]).await.unwrap();
    stream.shutdown().await.unwrap();
    assert_eq!(problem(&until_closed(&mut stream).await[0])["field"], "head");
}

#[tokio::test]
async fn chunks_that_break_off_take_no_event() {
    let api = TestApi::start().await;
    let head = "POST /v1/events HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n";
    for broken in ["b\r\n{\"id\":\"e1\"}x", "b\r\n{\"id\":\"e1\"}\r\nzz\r\n", "b\n{\"id\":\"e1\"}\n0\n\n"] {
        let answers = talk(&api, [head, broken].concat().as_bytes(), 1_000).await;
        assert!(answers.iter().all(|answer| answer.status == 400), "{broken:?}: {answers:?}");
    }
    api.get("/v1/events/e1").await.problem(404);
}

#[tokio::test]
async fn i6_unfinished_heads_make_room_for_others_the_oldest_first() {
    let api = TestApi::start().await;
    let unfinished = format!("GET /healthz HTTP/1.1\r\nhost: localhost\r\nx: {}", "y".repeat(HEAD_BYTES_MAX - 4_096));
    let count = HEADS_BYTES_MAX / unfinished.len() + 40;
    let mut streams = Vec::new();
    for _ in 0..count {
        let mut stream = TcpStream::connect(api.address).await.unwrap();
        stream.write_all(unfinished.as_bytes()).await.unwrap();
        streams.push(stream);
    }
    let oldest = until_closed(&mut streams.remove(0)).await;
    assert_eq!((oldest[0].status, problem(&oldest[0])["field"].as_str()), (503, Some("head")));
    let mut newest = streams.pop().unwrap();
    newest.write_all(b"\r\nconnection: close\r\n\r\n").await.unwrap();
    assert_eq!(until_closed(&mut newest).await[0].status, 200, "whoever goes on is served");
    assert_eq!(
        talk(&api, [GOOD.trim_end(), "\r\nconnection: close\r\n\r\n"].concat().as_bytes(), 999).await[0].status,
        200
    );
}

#[tokio::test]
async fn i9_over_http_2_a_refused_head_is_a_problem_too() {
    let api = TestApi::start().await;
    let stream = TokioIo::new(TcpStream::connect(api.address).await.unwrap());
    let (mut client, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    tokio::spawn(connection);
    let long = "x".repeat(17 << 10);
    for (fields, status) in [(("host", "other"), 400), (("x", &long[..]), 431), (("x", "y"), 200)] {
        let path = if status == 200 { "healthz/" } else { "nothing" };
        let request = Request::get(format!("http://localhost/{path}")).header(fields.0, fields.1);
        let answer = client.send_request(request.body(Full::<Bytes>::default()).unwrap()).await.unwrap();
        assert_eq!(answer.status(), status, "{}", fields.0);
        let kind = answer.headers()["content-type"].to_str().unwrap();
        assert_eq!(kind, if status == 200 { "application/json" } else { "application/problem+json" });
    }
}
