//! NATS, Redis and RabbitMQ answer in their own protocols, and keep over a kill what they promise to keep.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use testservers::{Nats, Rabbit, Redis, vhost};

use crate::harness::{below, eventually, port};

/// A connection, spoken to by hand.
struct Wire(TcpStream);

impl Wire {
    fn open(url: &str) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port(url))).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        Self(stream)
    }

    fn say(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).unwrap();
    }

    /// One line, without its end.
    fn line(&mut self) -> String {
        let mut line = String::new();
        while !line.ends_with("\r\n") {
            line.push(char::from(self.bytes::<1>()[0]));
        }
        line.trim_end().to_owned()
    }

    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.read_exact(&mut bytes).unwrap();
        bytes
    }
}

/// The password in an address.
fn password(url: &str) -> &str {
    url.split_once('@').unwrap().0.rsplit_once(':').unwrap().1
}

fn redis(url: &str, command: &str) -> String {
    let mut wire = Wire::open(url);
    wire.say(format!("AUTH {}\r\n", password(url)));
    assert_eq!(wire.line(), "+OK");
    wire.say(format!("{command}\r\n"));
    let answer = wire.line();
    if answer.starts_with('$') && answer != "$-1" { wire.line() } else { answer }
}

#[test]
fn redis_asks_for_its_password_and_keeps_over_a_kill_what_its_settings_say() {
    for (settings, kept) in [(&[][..], "$-1"), (&[("appendonly", "yes"), ("appendfsync", "always")][..], "v")] {
        let Some(mut server) = Redis::launch(settings).unwrap() else { return };
        let url = server.url();
        let mut stranger = Wire::open(&url);
        stranger.say("GET k\r\n");
        assert!(stranger.line().starts_with("-NOAUTH"));
        assert_eq!(redis(&url, "SET k v"), "+OK");
        assert_eq!(redis(&url, "GET k"), "v");
        server.kill().unwrap();
        assert!(TcpStream::connect(("127.0.0.1", port(&url))).is_err());
        server.start().unwrap();
        assert_eq!(redis(&url, "GET k"), kept, "{settings:?}: {}", server.log());
        server.stop().unwrap();
        assert_eq!(server.process(), None);
    }
}

/// Asks JetStream; its answer, which is JSON.
fn jetstream(url: &str, subject: &str, body: &str) -> String {
    let mut wire = Wire::open(url);
    assert!(wire.line().starts_with("INFO "));
    wire.say(format!("CONNECT {{\"verbose\":false,\"user\":\"test\",\"pass\":\"{}\"}}\r\n", password(url)));
    wire.say(format!("SUB answer 1\r\nPUB {subject} answer {}\r\n{body}\r\n", body.len()));
    loop {
        let line = wire.line();
        match line.split(' ').next() {
            Some("MSG") => return wire.line(),
            Some("PING") => wire.say("PONG\r\n"),
            _ => assert!(!line.starts_with("-ERR"), "{line}"),
        }
    }
}

#[test]
fn nats_keeps_streams_over_a_kill_and_takes_settings() {
    let Some(mut server) = Nats::launch("max_payload: 2048").unwrap() else { return };
    let url = server.url();
    let mut wire = Wire::open(&url);
    let info = wire.line();
    assert!(info.contains(r#""max_payload":2048"#) && info.contains(r#""jetstream":true"#), "{info}");
    wire.say("CONNECT {\"user\":\"test\",\"pass\":\"wrong\"}\r\n");
    assert!(wire.line().contains("Authorization Violation"));

    let config = r#"{"name":"S","subjects":["s"],"storage":"file","retention":"limits"}"#;
    let made = jetstream(&url, "$JS.API.STREAM.CREATE.S", config);
    assert!(made.contains(r#""name":"S""#) && !made.contains("error"), "{made}");
    let stored = jetstream(&url, "s", "event");
    assert!(stored.contains(r#""stream":"S""#) && stored.contains(r#""seq":1"#), "{stored}");
    server.kill().unwrap();
    server.start().unwrap();
    let info = jetstream(&url, "$JS.API.STREAM.INFO.S", "");
    assert!(info.contains(r#""messages":1"#), "{info}\n{}", server.log());
    server.stop().unwrap();
    assert_eq!(server.process(), None);
}

/// A frame of AMQP 0-9-1 on channel 0 that holds a method of class 10, connection.
fn method(number: u8, arguments: &[u8]) -> Vec<u8> {
    let length = u32::try_from(arguments.len() + 4).unwrap().to_be_bytes();
    [&[1, 0, 0][..], &length, &[0, 10, 0, number], arguments, &[0xce]].concat()
}

fn short(text: &str) -> Vec<u8> {
    [&[u8::try_from(text.len()).unwrap()][..], text.as_bytes()].concat()
}

fn long(text: &[u8]) -> Vec<u8> {
    [&u32::try_from(text.len()).unwrap().to_be_bytes()[..], text].concat()
}

impl Wire {
    /// The method of the next frame, and its arguments.
    fn method(&mut self) -> (u8, Vec<u8>) {
        let [kind, _, _, length @ ..] = self.bytes::<7>();
        let mut payload = vec![0; usize::try_from(u32::from_be_bytes(length)).unwrap() + 1];
        self.0.read_exact(&mut payload).unwrap();
        assert_eq!((kind, payload.pop()), (1, Some(0xce)), "a frame with a method");
        assert_eq!(payload[..2], [0, 10], "of a connection");
        (payload[3], payload.split_off(4))
    }
}

/// Opens a virtual host as the user of the address: nothing when it is opened, else what the server says.
fn refusal(url: &str, vhost: &str) -> Option<String> {
    let mut wire = Wire::open(url);
    wire.say(b"AMQP\x00\x00\x09\x01");
    assert_eq!(wire.method().0, 10, "start");
    let login = format!("\0test\0{}", password(url));
    wire.say(method(11, &[vec![0; 4], short("PLAIN"), long(login.as_bytes()), short("en_US")].concat()));
    let (tune, limits) = wire.method();
    assert_eq!(tune, 30, "tune: {}", String::from_utf8_lossy(&limits));
    wire.say(method(31, &limits));
    wire.say(method(40, &[short(vhost), short(""), vec![0]].concat()));
    let (answer, arguments) = wire.method();
    (answer != 41).then(|| String::from_utf8_lossy(&arguments).into_owned())
}

/// The virtual host that an address names.
fn vhost_of(url: &str) -> &str {
    url.rsplit_once('/').unwrap().1
}

#[test]
fn rabbit_gives_each_test_a_virtual_host_and_keeps_it_over_a_kill() {
    let Some(mut server) = Rabbit::launch("").unwrap() else { return };
    let [first, second] = [server.vhost().unwrap(), server.vhost().unwrap()];
    assert_ne!(first.name(), second.name());
    for vhost in [&first, &second] {
        assert_eq!(refusal(vhost.url(), vhost_of(vhost.url())), None);
    }
    let refused = refusal(first.url(), "missing").unwrap();
    assert!(refused.contains("vhost missing not found"), "{refused}");
    server.kill().unwrap();
    assert!(TcpStream::connect(("127.0.0.1", port(first.url()))).is_err());
    server.start().unwrap();
    assert_eq!(refusal(first.url(), first.name()), None, "{}", server.log());
    let processes = below(server.process().unwrap());
    server.stop().unwrap();
    assert_eq!(server.process(), None);
    eventually("its port mapper has ended too", || processes.iter().all(|process| !process.is_running()));
}

#[test]
fn virtual_hosts_of_a_shared_rabbit_are_of_one_server() {
    let Some(first) = vhost().unwrap() else { return };
    let second = vhost().unwrap().unwrap();
    assert_eq!(port(first.url()), port(second.url()));
    for vhost in [&first, &second] {
        assert_eq!(refusal(vhost.url(), vhost.name()), None);
    }
}
