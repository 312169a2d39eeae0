//! Live streams of the real binary: how many there may be, readers that take nothing, more news than
//! are told one by one, and HTTP/2.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};

use crate::faults::server::{Launch, Server, WAIT_MAX};
use crate::faults::wait;

/// Most streams of one tenant.
const STREAMS_MAX: usize = 200;

/// A stream of server-sent events, read as it comes.
struct Events {
    stream: TcpStream,
    text: String,
}

impl Events {
    /// Asks for a stream and reads the head of the answer.
    fn open(address: SocketAddr) -> Self {
        let mut events = Self { stream: ask(address), text: String::new() };
        while !events.text.contains("\r\n\r\n") {
            assert!(events.more(), "no answer: {}", events.text);
        }
        events
    }

    fn is_open(&self) -> bool {
        self.text.starts_with("HTTP/1.1 200 ")
    }

    fn more(&mut self) -> bool {
        let mut buffer = [0; 64 << 10];
        let read = self.stream.read(&mut buffer).unwrap_or(0);
        self.text.push_str(&String::from_utf8_lossy(&buffer[..read]));
        read > 0
    }

    /// The data of the next event of this kind; skips the others.
    fn next(&mut self, kind: &str) -> Value {
        let begin = format!("event: {kind}\ndata: ");
        loop {
            let found = self.text.find(&begin).map(|at| at + begin.len());
            if let Some((at, length)) = found.and_then(|at| Some((at, self.text[at..].find("\n\n")?))) {
                let data = serde_json::from_str(&self.text[at..at + length]).unwrap();
                self.text.drain(..at + length);
                return data;
            }
            assert!(self.more(), "the stream ended before {kind}: {}", self.text);
        }
    }
}

fn ask(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(WAIT_MAX)).unwrap();
    stream.write_all(b"GET /v1/live/stream HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    stream
}

/// Starts a server whose live view is whole.
fn start(launch: &Launch) -> Server {
    let server = launch.start_ready();
    let mut client = server.client();
    assert!(wait::until(WAIT_MAX, || client.get("/v1/live").unwrap().status == 200), "{}", server.log());
    server
}

fn wait_streams(server: &Server, count: f64) {
    let is_so = wait::until(WAIT_MAX, || server.metric(&mut server.client(), "live_streams") == count);
    assert!(is_so, "there are not {count} streams:\n{}", server.log());
}

fn post(server: &Server, events: &[Value]) {
    let answer = server.client().post("/v1/events?wait=applied", &json!(events).to_string()).unwrap();
    assert_eq!((answer.status, &answer.json()["applied"]), (202, &json!(true)), "{}", answer.text());
}

#[test]
fn i6_one_stream_more_than_may_be_open_is_refused_and_a_place_given_back_is_taken() {
    let data = tempfile::tempdir().unwrap();
    let server = start(&Launch::on(data.path()));
    let address = server.address();
    let mut open: Vec<Events> = (0..STREAMS_MAX).map(|_| Events::open(address)).collect();
    assert!(open.iter().all(Events::is_open));
    for path in ["/v1/live/stream", "/v1/live/stream?window=7"] {
        let refused = server.client().get(path).unwrap();
        assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")), "{}", refused.text());
        assert_eq!(refused.json()["type"], "urn:nilometer:problem:overloaded");
        assert!(refused.json()["detail"].as_str().unwrap().contains("live streams"), "{}", refused.text());
    }
    assert_eq!(server.client().get("/v1/live").unwrap().status, 200, "only streams are refused");
    open.pop();
    wait_streams(&server, 199.0);
    let mut again = Events::open(address);
    assert!(again.is_open(), "{}", again.text);
    again.next("live");
    drop(open);
    drop(again);
    wait_streams(&server, 0.0);
    server.stop();
}

#[test]
fn i6_a_reader_that_takes_nothing_is_dropped_and_neither_ingest_nor_other_readers_wait_for_it() {
    let data = tempfile::tempdir().unwrap();
    let server = start(&Launch::on(data.path()).set("idle_timeout_ms", 1_500));
    let address = server.address();
    // Each message has several megabytes, more than a connection holds for its reader.
    let long = "\u{1}".repeat(240);
    let attributes = |n: usize| json!({"seat": format!("{n} {long}")});
    let users: serde_json::Map<_, _> = (0..3_900).map(|n| (format!("u{n}"), attributes(n))).collect();
    let table = json!({"user_metadata": users, "ts": "2020-01-01T00:00:00Z"}).to_string();
    assert_eq!(server.client().send("PUT", "/v1/reference/users", &[], table.as_bytes()).unwrap().status, 200);
    let acts: Vec<Value> = (0..3_900).map(|n| json!({"id": format!("a{n}"), "user": format!("u{n}")})).collect();
    post(&server, &acts);

    let asleep = ask(address);
    let lives = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&lives);
    let mut awake = Events::open(address);
    std::thread::spawn(move || {
        while awake.more() {
            count.fetch_add(awake.text.matches("event: live\n").count(), Ordering::SeqCst);
            // A border may lie in the middle of the text that is kept.
            let keep = awake.text.rfind('\n').unwrap_or(awake.text.len());
            awake.text.drain(..keep);
        }
    });
    wait_streams(&server, 2.0);
    let mut posted = 0;
    let dropped = wait::until(WAIT_MAX, || {
        post(&server, &[json!({"id": format!("b{posted}")})]);
        posted += 1;
        server.metric(&mut server.client(), "live_streams") == 1.0
    });
    assert!(dropped, "no subscriber was dropped:\n{}", server.log());
    let before = lives.load(Ordering::SeqCst);
    let goes_on = wait::until(WAIT_MAX, || lives.load(Ordering::SeqCst) > before + 1);
    assert!(goes_on, "the other reader was dropped too:\n{}", server.log());
    drop(asleep);
    server.kill();
}

#[test]
fn more_revised_windows_than_are_told_one_by_one_are_told_as_lost() {
    let data = tempfile::tempdir().unwrap();
    let server = start(&Launch::on(data.path()));
    post(&server, &[json!({"id": "first"})]);
    let closed = "windows_closed_through_timestamp_seconds";
    assert!(wait::until(WAIT_MAX, || server.metric(&mut server.client(), closed) > 0.0), "{}", server.log());
    let mut events = Events::open(server.address());
    events.next("live");
    let late =
        |n: usize| json!({"id": format!("late{n}"), "customer": format!("c{n}"), "time": "2020-01-01T00:00:00Z"});
    post(&server, &(0..3_000).map(late).collect::<Vec<_>>());
    assert_eq!(events.next("lost"), json!({}));
    events.next("live");
    // What was not told is in the listing, and what comes later is told again.
    let listed = server.client().get("/v1/windows?customer=c2999").unwrap().json();
    assert_eq!(listed["data"][0]["state"], "revised", "{listed}");
    post(&server, &[json!({"id": "one more", "customer": "c7", "time": "2020-01-01T00:00:01Z"})]);
    let told = events.next("window");
    assert_eq!((&told["customerId"], &told["revision"]), (&json!("c7"), &json!(3)), "{told}");
    server.stop();
}

/// The next event of this kind of a response's body.
async fn next_of(body: &mut Incoming, text: &mut String, kind: &str) -> Value {
    let begin = format!("event: {kind}\ndata: ");
    loop {
        if let Some((_, rest)) = text.split_once(&begin)
            && let Some((data, rest)) = rest.split_once("\n\n")
        {
            let data = serde_json::from_str(data).unwrap();
            *text = rest.to_owned();
            return data;
        }
        let frame = tokio::time::timeout(WAIT_MAX, body.frame()).await.unwrap();
        let frame = frame.unwrap_or_else(|| panic!("the stream ended before {kind}: {text}")).unwrap();
        text.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
    }
}

#[test]
fn streams_over_one_connection_of_http_2_go_on_beside_other_requests_and_end_by_themselves() {
    let data = tempfile::tempdir().unwrap();
    // Neither the timeout of heads nor that of silence may end a stream.
    let server = start(&Launch::on(data.path()).set("idle_timeout_ms", 500).set("header_timeout_ms", 500));
    let address = server.address();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let (client, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        let connection = tokio::spawn(connection);
        let get = async |path: &str| {
            let request = Request::get(format!("http://{address}{path}")).body(Empty::<Bytes>::new()).unwrap();
            client.clone().send_request(request).await.unwrap()
        };
        let mut short = get("/v1/live/stream?window=1").await;
        assert_eq!((short.status().as_u16(), short.version()), (200, hyper::Version::HTTP_2));
        let mut long = get("/v1/live/stream?window=60").await;
        let (mut of_short, mut of_long) = (String::new(), String::new());
        for _ in 0..3 {
            assert_eq!(next_of(short.body_mut(), &mut of_short, "live").await["window_sec"], 1);
            assert_eq!(next_of(long.body_mut(), &mut of_long, "live").await["window_sec"], 60);
            assert_eq!(get("/v1/customers").await.status().as_u16(), 200);
        }
        drop(short);
        assert_eq!(next_of(long.body_mut(), &mut of_long, "live").await["window_sec"], 60);
        tokio::task::spawn_blocking({
            let metric = move || {
                let mut client = crate::faults::http::Client::new(address);
                let text = client.get("/metrics").unwrap().text().to_owned();
                text.contains("live_streams 1\n")
            };
            move || assert!(wait::until(WAIT_MAX, metric), "the stream that was dropped is still open")
        })
        .await
        .unwrap();
        drop((long, client));
        connection.abort();
    });
    drop(runtime);
    wait_streams(&server, 0.0);
    server.stop();
}
