//! `GET /v1/live/stream` and `GET /v1/live/ws`.

use std::time::Duration;

use domain::limits::Limits;
use futures::StreamExt;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::Message;

use crate::harness::TestApi;

const SHORT: Duration = Duration::from_millis(100);
const WAIT_MAX: Duration = Duration::from_secs(20);

/// A stream of server-sent events, read as they come.
struct Events {
    stream: TcpStream,
    text: String,
}

impl Events {
    async fn open(api: &TestApi, path: &str) -> Self {
        let mut stream = TcpStream::connect(api.address).await.unwrap();
        let head = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut events = Self { stream, text: String::new() };
        while !events.text.contains("\r\n\r\n") {
            assert!(events.more().await);
        }
        assert!(events.text.starts_with("HTTP/1.1 200 "), "{}", events.text);
        assert!(events.text.contains("content-type: text/event-stream"), "{}", events.text);
        events
    }

    async fn more(&mut self) -> bool {
        let mut buffer = [0; 65_536];
        let read = tokio::time::timeout(WAIT_MAX, self.stream.read(&mut buffer)).await.unwrap().unwrap_or(0);
        self.text.push_str(&String::from_utf8_lossy(&buffer[..read]));
        read > 0
    }

    /// The data of the next event of this kind; skips the others.
    async fn next(&mut self, kind: &str) -> Value {
        let begin = format!("event: {kind}\ndata: ");
        loop {
            let found = self.text.find(&begin);
            if let Some((at, length)) = found.and_then(|at| Some((at, self.text[at..].find("\n\n")?))) {
                let data = self.text[at + begin.len()..at + length].to_owned();
                self.text.drain(..at + length);
                return serde_json::from_str(&data).unwrap();
            }
            assert!(self.more().await, "ended before {kind}: {}", self.text);
        }
    }
}

/// Lets time pass second by second until `ready`.
async fn pass(api: &TestApi, seconds: u32) {
    for _ in 0..seconds {
        api.clock.advance(Duration::from_secs(1));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The next window event; time goes on until it comes.
async fn next_window(api: &TestApi, events: &mut Events) -> Value {
    tokio::select! {
        window = events.next("window") => window,
        () = async { loop { pass(api, 1).await } } => unreachable!(),
    }
}

#[tokio::test]
async fn i6_a_stream_is_not_idle_when_connections_with_nothing_to_do_make_room() {
    let api = TestApi::live(Limits { connections_max: 3, ..Limits::default() }).await;
    let mut events = Events::open(&api, "/v1/live/stream").await;
    let mut others = Vec::new();
    for _ in 0..9 {
        others.push(TcpStream::connect(api.address).await.unwrap());
        api.get("/v1/events").await.json(200);
    }
    assert!(!api.get("/metrics").await.text().contains("connections_closed_idle_total 0"));
    for _ in 0..3 {
        tokio::select! {
            live = events.next("live") => assert_eq!(live["window_sec"], 300),
            () = async { loop { pass(&api, 1).await } } => unreachable!(),
        }
    }
}

#[tokio::test]
async fn a_stream_brings_the_live_view_and_each_closed_or_revised_window_once() {
    let api = TestApi::live(Limits::default()).await;
    let mut events = Events::open(&api, "/v1/live/stream?window=60").await;
    assert_eq!(events.next("live").await["window_sec"], 60);
    for id in ["a", "b"] {
        let body = json!({"id": id, "customer": id, "user": id, "time": "2026-11-21T10:00:05Z"});
        api.post("/v1/events", body.to_string()).await.json(202);
    }
    pass(&api, 1).await;
    while events.next("live").await["unique_users"] != 2 {
        pass(&api, 1).await;
    }
    let (one, two) = (next_window(&api, &mut events).await, next_window(&api, &mut events).await);
    let rows = api.get("/v1/windows").await.json(200)["data"].clone();
    assert_eq!(json!([one, two]), rows);
    assert_eq!((&one["state"], &one["revision"]), (&json!("closed"), &json!(1)));
    for revision in [2, 3] {
        let late = json!({"id": format!("late-{revision}"), "customer": "b", "time": "2026-11-21T10:00:06Z"});
        api.post("/v1/events", late.to_string()).await.json(202);
        let revised = next_window(&api, &mut events).await;
        assert_eq!(revised["customerId"], "b");
        assert_eq!((&revised["state"], &revised["revision"]), (&json!("revised"), &json!(revision)));
    }
    // Another window is the very next thing told: nothing was told twice.
    api.post("/v1/events", json!({"id": "new", "customer": "c"}).to_string()).await.json(202);
    assert_eq!(next_window(&api, &mut events).await["customerId"], "c");
}

#[tokio::test]
async fn a_web_socket_brings_the_same() {
    let api = TestApi::live(Limits::default()).await;
    let url = format!("ws://{}/v1/live/ws?window=30", api.address);
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    api.post("/v1/events", r#"{"id": "1", "customer": "c", "user": "u"}"#).await.json(202);
    let (mut lives, mut windows) = (0, Vec::new());
    while windows.is_empty() || lives < 3 {
        tokio::select! {
            message = socket.next() => {
                let Message::Text(text) = message.unwrap().unwrap() else { continue };
                let message: Value = serde_json::from_str(&text).unwrap();
                match message["type"].as_str().unwrap() {
                    "live" => {
                        assert_eq!(message["data"]["window_sec"], 30);
                        lives += 1;
                    }
                    "window" => windows.push(message["data"].clone()),
                    other => unreachable!("{other}"),
                }
            }
            () = pass(&api, 1) => {}
        }
    }
    assert_eq!(json!(windows), api.get("/v1/windows").await.json(200)["data"]);
    let stopped = api.stop();
    let closed = loop {
        if let Message::Close(frame) = socket.next().await.unwrap().unwrap() {
            break frame.unwrap();
        }
    };
    assert_eq!(closed.reason.as_str(), "the server stops");
    drop(socket);
    stopped.await.unwrap();
}

#[tokio::test]
async fn i9_a_request_that_is_no_web_socket_is_refused() {
    let api = TestApi::live(Limits::default()).await;
    api.get("/v1/live/ws").await.problem(400);
    api.send("POST", "/v1/live/ws", &[], "").await.problem(405);
}

#[tokio::test]
async fn i9_a_reader_that_breaks_the_web_socket_protocol_is_told_so_before_the_end() {
    let api = TestApi::live(Limits::default()).await;
    let mask = [0, 0, 0, 0];
    let large = [&[0x81, 0x80 | 126, 0x20, 0x00][..], &mask, &[b'x'; 0x2000]].concat();
    for (frame, code) in [
        (vec![0x83, 0x80, 0, 0, 0, 0], 1002),
        (vec![0x81, 0x02, b'h', b'i'], 1002),
        (vec![0xF1, 0x80, 0, 0, 0, 0], 1002),
        (vec![0x82, 0x81, 0, 0, 0, 0, 7], 1003),
        (vec![0x81, 0x81, 0, 0, 0, 0, 0xFF], 1007),
        (large, 1009),
    ] {
        let url = format!("ws://{}/v1/live/ws", api.address);
        let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
        socket.get_mut().write_all(&frame).await.unwrap();
        let closed = loop {
            let next = tokio::time::timeout(WAIT_MAX, socket.next()).await.unwrap();
            let message = next.unwrap_or_else(|| unreachable!("{code}: it ended without a word"));
            if let Message::Close(closed) = message.unwrap() {
                break closed.unwrap();
            }
        };
        assert_eq!(u16::from(closed.code), code, "{closed:?}");
        assert!(!closed.reason.is_empty());
    }
    // A text is no fault.
    let (mut socket, _) = tokio_tungstenite::connect_async(format!("ws://{}/v1/live/ws", api.address)).await.unwrap();
    socket.get_mut().write_all(&[0x81, 0x82, 0, 0, 0, 0, b'h', b'i']).await.unwrap();
    pass(&api, 2).await;
    while !matches!(socket.next().await.unwrap().unwrap(), Message::Text(_)) {}
}

#[tokio::test]
async fn a_stream_outlives_the_timeout_of_idle_connections() {
    let api = TestApi::live(Limits { header_timeout: SHORT, idle_timeout: SHORT, ..Limits::default() }).await;
    let mut events = Events::open(&api, "/v1/live/stream").await;
    let (mut socket, _) = tokio_tungstenite::connect_async(format!("ws://{}/v1/live/ws", api.address)).await.unwrap();
    events.next("live").await;
    tokio::time::sleep(SHORT * 6).await;
    pass(&api, 2).await;
    events.next("live").await;
    while !matches!(socket.next().await.unwrap().unwrap(), Message::Text(_)) {}
    pass(&api, 2).await;
    while !matches!(socket.next().await.unwrap().unwrap(), Message::Text(_)) {}
}

#[tokio::test]
async fn a_stop_ends_streams_and_says_so() {
    let api = TestApi::live(Limits::default()).await;
    let mut events = Events::open(&api, "/v1/live/stream").await;
    events.next("live").await;
    let stopped = api.stop();
    assert_eq!(events.next("error").await["reason"], "the server stops");
    while events.more().await {}
    stopped.await.unwrap();
}

#[tokio::test]
async fn i6_a_reader_that_takes_nothing_is_dropped_and_others_go_on() {
    let api = TestApi::live(Limits { idle_timeout: SHORT * 3, ..Limits::default() }).await;
    let users: Vec<String> = (0..4_000).map(|n| format!(r#""u{n}":{{"seat":"a-place-with-a-name-{n}"}}"#)).collect();
    let table = format!(r#"{{"user_metadata":{{{}}},"ts":"2026-01-01T00:00:00Z"}}"#, users.join(","));
    api.send("PUT", "/v1/reference/users", &[], table).await.json(200);
    let acts: Vec<String> = (0..4_000).map(|n| format!(r#"{{"id":"{n}","user":"u{n}"}}"#)).collect();
    api.post("/v1/events", format!("[{}]", acts.join(","))).await.json(202);

    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let mut asleep = socket.connect(api.address).await.unwrap();
    asleep.write_all(b"GET /v1/live/stream HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut awake = Events::open(&api, "/v1/live/stream").await;
    let streams = |text: &str| -> u64 {
        text.lines().find_map(|line| line.strip_prefix("live_streams ")).unwrap().parse().unwrap()
    };
    while streams(api.get("/metrics").await.text()) != 2 {}
    let mut rounds = 0;
    while streams(api.get("/metrics").await.text()) != 1 {
        pass(&api, 1).await;
        assert_eq!(awake.next("live").await["unique_users"], 4_000);
        awake.text.clear();
        rounds += 1;
        assert!(rounds < 290, "no reader was dropped");
    }
    let mut rest = Vec::new();
    let mut buffer = vec![0; 1 << 16];
    while let Ok(Ok(read @ 1..)) = tokio::time::timeout(WAIT_MAX, asleep.read(&mut buffer)).await {
        rest.extend_from_slice(&buffer[..read]);
    }
    assert!(!rest.is_empty());
}
