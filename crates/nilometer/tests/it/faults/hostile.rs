//! F31–F35: clients that mean harm. Each gets a clear answer or a closed connection, costs little
//! memory, leaves nothing behind, and keeps no other client from being served.

use std::time::Duration;

use flate2::{Compress, Compression, FlushCompress};
use serde_json::Value;

use super::checker::stored_ids;
use super::http::{Answer, Client, Connection};
use super::server::{Launch, Server, WAIT_MAX};
use super::wait::{self, Deadline};

/// I6: the most memory a server may ever have, in megabytes.
const MEMORY_MB_MAX: u64 = 600;
/// The largest body that a server takes as sent.
const BODY_BYTES_MAX: usize = 8 << 20;

const JSON: (&str, &str) = ("content-type", "application/json");

/// After whatever was tried: it lives, its memory is bounded, it takes an event and has no other.
fn assert_unharmed(server: &Server, stored: usize) {
    assert!(!server.has_ended(), "{}", server.log());
    assert!(server.memory_mb_max() < MEMORY_MB_MAX, "I6: {} MB", server.memory_mb_max());
    assert!(!server.log().contains("panicked"), "I9:\n{}", server.log());
    let mut client = server.client();
    let answer = client.post("/v1/events?wait=applied", r#"{"id":"good"}"#).unwrap();
    assert_eq!(answer.status, 202, "{}", answer.text());
    assert_eq!(stored_ids(&mut client).len(), stored + 1, "I4");
}

fn head(extra: &str) -> Vec<u8> {
    format!("POST /v1/events HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n{extra}\r\n\r\n")
        .into_bytes()
}

/// Sends raw bytes and reads what comes back, if anything does.
fn raw(server: &Server, bytes: &[u8]) -> Option<Answer> {
    let mut connection = Connection::open(server.address(), WAIT_MAX).unwrap();
    let _ = connection.write(bytes);
    let _ = connection.finish_writing();
    connection.answer().ok()
}

#[test]
fn f31_i6_huge_batches_and_bodies_are_refused() {
    let data = tempfile::tempdir().unwrap();
    let server = Launch::on(data.path()).start();
    let mut client = server.client();
    let batch = |events: usize| format!("[{}]", vec!["{}"; events].join(","));
    assert_eq!(client.post("/v1/events", &batch(10_001)).unwrap().status, 413);
    assert_eq!(client.post("/v1/events", &batch(2_000_000)).unwrap().status, 413);
    let ndjson = "{}\n".repeat(10_001);
    let kind = [("content-type", "application/x-ndjson")];
    assert_eq!(client.send("POST", "/v1/events", &kind, ndjson.as_bytes()).unwrap().status, 413);
    // It may close the connection on us while we still send.
    if let Ok(answer) = client.post("/v1/events", &" ".repeat(4 * BODY_BYTES_MAX)) {
        assert_eq!(answer.status, 413);
    }
    assert_unharmed(&server, 0);
}

#[test]
fn f31_i6_a_gigabyte_in_chunks_is_cut_off() {
    let data = tempfile::tempdir().unwrap();
    let server = Launch::on(data.path()).start();
    let mut connection = Connection::open(server.address(), WAIT_MAX).unwrap();
    connection.write(&head("transfer-encoding: chunked")).unwrap();
    let chunk = [b"100000\r\n", &vec![b' '; 1 << 20][..], b"\r\n"].concat();
    let sent = (0..1_024).take_while(|_| connection.write(&chunk).is_ok()).count();
    assert!(sent < 1_024, "all of it was taken");
    if let Ok(answer) = connection.answer() {
        assert_eq!(answer.status, 413, "{}", answer.text());
    }
    assert_unharmed(&server, 0);
}

#[test]
fn f31_i4_lengths_that_lie_take_no_event() {
    let data = tempfile::tempdir().unwrap();
    let server = Launch::on(data.path()).start();
    let event = br#"{"id":"lie"}"#;
    for lie in [
        "content-length: 5",
        "content-length: 100",
        "content-length: 999999999999999",
        "content-length: 99999999999999999999999999",
        "content-length: -1",
        "content-length: 12, 13",
        "content-length: 12\r\ncontent-length: 13",
        "content-length: 0x0c",
        "transfer-encoding: chunked",
        "transfer-encoding: identity",
    ] {
        let answer = raw(&server, &[&head(lie), &event[..]].concat());
        let refused = answer.as_ref().is_none_or(|answer| (400..500).contains(&answer.status));
        assert!(refused, "{lie}: {answer:?}");
    }
    assert_unharmed(&server, 0);
}

/// One gzip member of about `megabytes` zeros, made of one compressed megabyte again and again.
fn gzip_zeros(megabytes: usize) -> Vec<u8> {
    let mut compress = Compress::new(Compression::best(), false);
    let mut block = Vec::with_capacity(1 << 16);
    compress.compress_vec(&vec![0; 1 << 20], &mut block, FlushCompress::Full).unwrap();
    let header = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
    [&header[..], &block.repeat(megabytes), &[3, 0], &[0; 8]].concat()
}

/// One zstd frame of `blocks` blocks of 128 KiB, each one byte repeated.
fn zstd_zeros(blocks: usize) -> Vec<u8> {
    let header = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x50];
    let run = |last: u32| {
        let block = last | 1 << 1 | (128 << 10) << 3;
        [&block.to_le_bytes()[..3], b" "].concat()
    };
    [&header[..], &run(0).repeat(blocks - 1), &run(1)].concat()
}

#[test]
fn f32_i6_bombs_and_strange_encodings_are_refused() {
    let data = tempfile::tempdir().unwrap();
    let server = Launch::on(data.path()).start();
    let skippable = |bytes: usize| {
        let length = u32::try_from(bytes).unwrap().to_le_bytes();
        [&0x184d_2a50_u32.to_le_bytes()[..], &length, &vec![0; bytes]].concat()
    };
    // What unpacks to nothing is no JSON; the rest is too much, or in no form that is known.
    let cases: [(&str, &str, Vec<u8>, &[u16]); 11] = [
        ("a gzip bomb of 7 GB", "gzip", gzip_zeros(7_000), &[413]),
        ("gzip members of zeros", "gzip", gzip_zeros(1).repeat(2_000), &[400, 413]),
        ("a zstd bomb of 10 GB", "zstd", zstd_zeros(80_000), &[413]),
        ("zstd frames of spaces", "zstd", zstd_zeros(8).repeat(10_000), &[413]),
        ("a skippable zstd frame", "zstd", skippable(7 << 20), &[400, 413]),
        ("many skippable zstd frames", "zstd", skippable(0).repeat(900_000), &[400, 413]),
        ("gzip in gzip", "gzip, gzip", gzip_zeros(1), &[415]),
        ("another encoding", "br", b"x".to_vec(), &[415]),
        ("no gzip", "gzip", b"{}".to_vec(), &[400]),
        ("no zstd", "zstd", b"{}".to_vec(), &[400]),
        ("half a gzip member", "gzip", gzip_zeros(1)[..100].to_vec(), &[400]),
    ];
    let mut client = server.client();
    for (case, encoding, body, wanted) in cases {
        assert!(body.len() < BODY_BYTES_MAX, "{case} has {} bytes", body.len());
        let answer = client.send("POST", "/v1/events", &[JSON, ("content-encoding", encoding)], &body).unwrap();
        assert!(wanted.contains(&answer.status), "{case}: {} {}", answer.status, answer.text());
    }
    assert_unharmed(&server, 0);
}

#[test]
fn f32_i6_many_bombs_at_once_fill_no_memory() {
    let data = tempfile::tempdir().unwrap();
    let server = Launch::on(data.path()).start();
    let bomb = gzip_zeros(30);
    let send = |_| {
        let (address, bomb) = (server.address(), bomb.clone());
        std::thread::spawn(move || {
            let mut client = Client::new(address);
            let headers = [JSON, ("content-encoding", "gzip")];
            (0..4).map(|_| client.send("POST", "/v1/events", &headers, &bomb).unwrap().status).collect::<Vec<_>>()
        })
    };
    let clients: Vec<_> = (0..16).map(send).collect();
    for status in clients.into_iter().flat_map(|client| client.join().unwrap()) {
        assert!(matches!(status, 400 | 413 | 503), "{status}");
    }
    assert_unharmed(&server, 0);
}

#[test]
fn f33_i4_i9_nasty_json_is_refused_and_leaves_nothing() {
    let data = tempfile::tempdir().unwrap();
    let server = Launch::on(data.path()).start();
    let mut client = server.client();
    let nested = |depth: usize| format!(r#"{{"id":"n","properties":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
    let with = |fields: &str| format!(r#"{{"id":"n",{fields}}}"#).into_bytes();
    let long = "x".repeat(300);
    let cases: Vec<Vec<u8>> = vec![
        b"".to_vec(),
        b"not json".to_vec(),
        b"\0".to_vec(),
        b"\xef\xbb\xbf".to_vec(),
        b"null".to_vec(),
        b"7".to_vec(),
        br#""text""#.to_vec(),
        b"[[]]".to_vec(),
        b"[null, 1, \"a\"]".to_vec(),
        br#"{"events": 1}"#.to_vec(),
        b"{\"id\": \"\xff\xfe\"}".to_vec(),
        b"{\"id\": \"\xed\xa0\x80\"}".to_vec(),
        br#"{"id": "\ud800"}"#.to_vec(),
        br#"{"id": "\udc00\ud800"}"#.to_vec(),
        br#"{"id": "a\u0000b"}"#.to_vec(),
        b"{\"id\": \"a\0b\"}".to_vec(),
        br#"{"id": ""}"#.to_vec(),
        br#"{"id": {}}"#.to_vec(),
        br#"{"id": [1]}"#.to_vec(),
        format!(r#"{{"id": "{long}"}}"#).into_bytes(),
        nested(129).into_bytes(),
        nested(1_000_000).into_bytes(),
        "[".repeat(4 << 20).into_bytes(),
        with(r#""tokens": 1e400"#),
        with(r#""tokens": -1"#),
        with(r#""tokens": 1.5"#),
        with(r#""tokens": 9223372036854775807"#),
        with(r#""tokens": 18446744073709551616"#),
        with(r#""tokens": -9223372036854775808"#),
        with(r#""tokens": "many""#),
        with(r#""tokens": NaN"#),
        with(r#""latencyMs": -1"#),
        with(r#""latencyMs": 1e400"#),
        with(r#""time": "yesterday""#),
        with(r#""time": "9999-12-31T23:59:59Z""#),
        with(r#""time": "2024-02-30T00:00:00Z""#),
        with(r#""time": 1e400"#),
        with(r#""time": 9223372036854775807"#),
        with(r#""time": {}"#),
        with(r#""tenant": "someone-else""#),
        with(&format!(r#""customer": "{long}""#)),
        with(&format!(r#""properties": {{"x": "{}"}}"#, "x".repeat(70_000))),
    ];
    for case in &cases {
        let shown = String::from_utf8_lossy(&case[..case.len().min(80)]);
        let answer = client.send("POST", "/v1/events", &[JSON], case).unwrap();
        assert!(matches!(answer.status, 400 | 413 | 422), "{shown}: {} {}", answer.status, answer.text());
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{shown}");
        assert!(answer.json()["detail"].is_string(), "{shown}: {}", answer.text());
    }
    // Wherever a body is cut, none of it is taken.
    let whole = br#"[{"id":"n","time":"2024-01-01T00:00:00Z","properties":{"tokens":1,"x":"\u00e9"}}]"#;
    for end in 0..whole.len() {
        assert_eq!(client.send("POST", "/v1/events", &[JSON], &whole[..end]).unwrap().status, 400, "cut at {end}");
    }
    assert_unharmed(&server, 0);
}

#[test]
fn f33_i9_edges_that_are_allowed_are_taken_as_they_are() {
    let data = tempfile::tempdir().unwrap();
    let server = Launch::on(data.path()).start();
    let mut client = server.client();
    let cases = [
        (r#"{"id":"zero","tokens":-0}"#, "tokens", "0"),
        (r#"{"id":"most","tokens":1000000000000}"#, "tokens", "1000000000000"),
        (r#"{"id":"old","time":"1980-01-02T00:00:00Z"}"#, "time", r#""1980-01-02T00:00:00Z""#),
        (r#"{"id":"pair","user":"\ud83d\ude00"}"#, "user", r#""😀""#),
        (r#"{"id":"raw","properties":{"a":1e300,"a":-0}}"#, "properties", r#"{"a":1e300,"a":-0}"#),
    ];
    for (event, field, wanted) in cases {
        let answer = client.post("/v1/events?wait=applied", event).unwrap();
        assert_eq!(answer.status, 202, "{event}: {}", answer.text());
        let id = answer.json()["results"][0]["event_id"].as_str().unwrap().to_owned();
        let stored = client.get(&format!("/v1/events/{id}")).unwrap();
        assert!(stored.text().contains(&format!(r#""{field}":{wanted}"#)), "{event}: {}", stored.text());
    }
    assert_unharmed(&server, cases.len());
}

#[test]
fn f34_i6_connections_that_send_nothing_or_next_to_nothing_are_closed() {
    let data = tempfile::tempdir().unwrap();
    let timeouts = ["header_timeout_ms", "body_timeout_ms", "idle_timeout_ms"];
    let launch = timeouts.iter().fold(Launch::on(data.path()), |launch, name| launch.set(name, 700));
    let server = launch.set("connections_max", 150).start();
    let address = server.address();
    let half = [&head("content-length: 1000")[..], b"["].concat();
    let chunked = [&head("transfer-encoding: chunked")[..], b"5\r\n[    \r\n"].concat();
    let whole = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";
    // What is sent at once, and what is then sent again and again.
    let cases: [(&[u8], &[u8]); 7] = [
        (b"", b""),
        (b"P", b""),
        (b"GET /v1/events HTTP/1.1\r\nx: ", b"y"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b""),
        (&half, b" "),
        (&chunked, b"1\r\n \r\n"),
        (whole, b""),
    ];
    let attack = |(at_once, then): (&[u8], &[u8])| {
        let (at_once, then) = (at_once.to_vec(), then.to_vec());
        std::thread::spawn(move || drip(address, &at_once, &then))
    };
    let attacks: Vec<_> = (0..10).flat_map(|_| cases.map(attack)).collect();
    // Somebody else is served meanwhile.
    let mut client = server.client();
    let mut served = 0;
    while !attacks.iter().all(std::thread::JoinHandle::is_finished) {
        let answer = client.post("/v1/events", &format!(r#"{{"id":"served-{served}"}}"#)).unwrap();
        assert_eq!(answer.status, 202, "{}", answer.text());
        served += 1;
        std::thread::sleep(Duration::from_millis(20));
    }
    for (number, attack) in attacks.into_iter().enumerate() {
        assert!(attack.join().unwrap(), "attack {number} was never cut off");
    }
    assert!(served > 0);
    server.wait_drained();
    assert_unharmed(&server, served);
}

/// Whether the server closes a connection on which one goes on sending next to nothing.
fn drip(address: std::net::SocketAddr, at_once: &[u8], then: &[u8]) -> bool {
    let mut connection = Connection::open(address, Duration::from_millis(50)).unwrap();
    connection.write(at_once).unwrap();
    let end = Deadline::after(WAIT_MAX);
    while !end.is_over() {
        if connection.is_closed_by_server() || !then.is_empty() && connection.write(then).is_err() {
            return true;
        }
    }
    false
}

#[test]
fn f34_i6_idle_connections_keep_no_one_out_and_it_is_logged_once() {
    let data = tempfile::tempdir().unwrap();
    let server = Launch::on(data.path()).set("connections_max", 20).start();
    let mut idle: Vec<_> = (0..100).map(|_| Connection::open(server.address(), WAIT_MAX).unwrap()).collect();
    for path in ["/healthz", "/metrics", "/v1/events", "/v1/windows"] {
        assert_eq!(server.client().get(path).unwrap().status, 200, "{path}: {}", server.log());
    }
    assert!(idle.iter_mut().take(50).all(Connection::is_closed_by_server), "the oldest made room");
    let told = server.log().lines().filter(|line| line.contains("too many connections")).count();
    assert_eq!(told, 1, "{}", server.log());
    drop(idle);
    let is_over = wait::until(WAIT_MAX, || server.log().contains("there is room for connections again"));
    assert!(is_over, "{}", server.log());
    assert_unharmed(&server, 0);
}

#[test]
fn f34_i6_heads_that_are_never_finished_take_bounded_memory() {
    let data = tempfile::tempdir().unwrap();
    let server = Launch::on(data.path()).set("header_timeout_ms", 60_000).start();
    let mut client = server.client();
    assert_eq!(client.get("/healthz").unwrap().status, 200);
    let before = server.memory_mb_max();
    let unfinished = [&b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nx: "[..], &vec![b'y'; 60 << 10]].concat();
    // Heads that are whole stay as long as their bodies do not come.
    let head = b"POST /v1/events HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\nx: ";
    let without_body = [&head[..], &vec![b'y'; 60 << 10], b"\r\n\r\n"].concat();
    let mut open = Vec::new();
    for number in 0..4_500 {
        let mut connection = Connection::open(server.address(), WAIT_MAX).unwrap();
        // It may be closed while we still send.
        let _ = connection.write(if number % 2 == 0 { &unfinished } else { &without_body });
        open.push(connection);
    }
    assert_eq!(client.get("/healthz").unwrap().status, 200, "others are served");
    let after = server.memory_mb_max();
    // All of them would take 270 MB: the budget, what is free of it, the parser's buffers, and room for the allocator.
    assert!(after - before < 190, "I6: {before} MB, then {after} MB");
    drop(open);
    assert_unharmed(&server, 0);
}

#[test]
fn f35_i6_distinct_names_are_capped_and_customers_are_not() {
    let data = tempfile::tempdir().unwrap();
    let names = ["endpoints_max", "types_max", "models_max", "projects_max"];
    let launch = names.iter().fold(Launch::on(data.path()).restless(), |launch, name| launch.set(name, 100));
    let launch = launch.set("flush_rows", 20_000);
    let server = launch.start();
    let mut client = server.client();
    assert_eq!(client.post("/v1/events", r#"{"id":"first"}"#).unwrap().status, 202);
    let mut stored = 1;
    for field in ["endpoint", "type", "model", "project"] {
        // The types of events without one are names as well: with an endpoint, and without.
        let room = if field == "type" { 98 } else { 100 };
        for part in 0..10 {
            let event = |number: usize| format!(r#"{{"id":"{field}-{number}","{field}":"/{field}/{number}"}}"#);
            let events: Vec<_> = (part * 1_000..(part + 1) * 1_000).map(event).collect();
            let answer = client.post("/v1/events", &format!("[{}]", events.join(","))).unwrap();
            let verdicts = answer.json();
            let verdicts = verdicts["results"].as_array().unwrap();
            let capped = |verdict: &&Value| verdict["status"] == "rejected" && verdict["code"] == "cardinality_limit";
            let taken = if part == 0 { room } else { 0 };
            assert_eq!(verdicts.iter().filter(capped).count(), 1_000 - taken, "{field}: {}", answer.text());
            stored += taken;
        }
    }
    for part in 0..50 {
        let event =
            |number: usize| format!(r#"{{"id":"c-{number}","customer":"customer-{number}","user":"u-{number}"}}"#);
        let events: Vec<_> = (part * 1_000..(part + 1) * 1_000).map(event).collect();
        let answer = client.post("/v1/events", &format!("[{}]", events.join(","))).unwrap();
        assert_eq!(answer.json()["accepted"], 1_000, "{}", answer.text());
        stored += 1_000;
    }
    server.wait_drained();
    // The limit outlives a crash; names in use stay in use.
    server.kill();
    let server = launch.start_ready();
    let mut client = server.client();
    let event = |id: &str, endpoint: &str| format!(r#"{{"id":"{id}","endpoint":"{endpoint}"}}"#);
    assert_eq!(client.post("/v1/events", &event("new", "/endpoint/new")).unwrap().status, 422);
    assert_eq!(client.post("/v1/events?wait=applied", &event("known", "/endpoint/7")).unwrap().status, 202);
    assert_unharmed(&server, stored + 1);
}
