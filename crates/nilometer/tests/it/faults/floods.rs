//! F34 over HTTP/2, which is spoken over TLS alone: requests that are taken back at once, and heads that never end.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::server::{Launch, Server, WAIT_MAX};
use super::wait::Deadline;

/// I6: the most memory a server may ever have, in megabytes.
const MEMORY_MB_MAX: u64 = 600;
/// How long a flood looks for an answer after each round.
const LOOK: Duration = Duration::from_millis(1);
/// No flood is over after less, in bytes.
const FLOOD_BYTES_MIN: usize = 4 << 20;

type Tls = StreamOwned<ClientConnection, TcpStream>;

/// A server that speaks TLS, and how to reach it.
#[derive(Clone)]
struct Target {
    address: SocketAddr,
    trusted: CertificateDer<'static>,
}

impl Target {
    fn start(folder: &Path) -> (Server, Self) {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
        let files = [("c.pem", certificate.pem()), ("k.pem", key.serialize_pem())];
        let [certificate_file, key_file] = files.map(|(name, text)| {
            let path = folder.join(name);
            write(&path, &text);
            path.display().to_string()
        });
        let launch = Launch::on(&folder.join("data")).set("tls_cert_file", certificate_file);
        let server = launch.set("tls_key_file", key_file).start();
        let target = Self { address: server.address(), trusted: certificate.der().clone() };
        (server, target)
    }

    fn connect(&self, alpn: &[u8], silence_max: Duration) -> io::Result<Tls> {
        let mut roots = RootCertStore::empty();
        roots.add(self.trusted.clone()).unwrap();
        let config = ClientConfig::builder_with_provider(default_provider().into());
        let config = config.with_safe_default_protocol_versions().unwrap();
        let mut config = config.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![alpn.to_vec()];
        let stream = TcpStream::connect(self.address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(silence_max))?;
        stream.set_write_timeout(Some(silence_max))?;
        let client = ClientConnection::new(Arc::new(config), ServerName::try_from("localhost").unwrap());
        Ok(StreamOwned::new(client.unwrap(), stream))
    }

    /// Asks over HTTP/1.1: the status, and everything that came.
    fn ask(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let mut stream = self.connect(b"http/1.1", Duration::from_secs(20)).unwrap();
        let length = body.len();
        let head =
            format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {length}\r\n");
        stream.write_all(format!("{head}content-type: application/json\r\n\r\n{body}").as_bytes()).unwrap();
        let mut answer = Vec::new();
        let mut part = [0; 4_096];
        while let Ok(count @ 1..) = stream.read(&mut part) {
            answer.extend_from_slice(&part[..count]);
        }
        let answer = String::from_utf8(answer).unwrap();
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
        (status.unwrap_or_else(|| panic!("no status in {answer:?}")), answer)
    }

    /// Whether the server closes the connection before all of these bytes were sent, or when nothing more comes.
    fn cuts_off(&self, rounds: impl Iterator<Item = Vec<u8>>) -> bool {
        let mut stream = self.connect(b"h2", Duration::from_secs(20)).unwrap();
        stream.write_all(&http2_preface()).unwrap();
        stream.sock.set_read_timeout(Some(LOOK)).unwrap();
        let mut sent = 0;
        for round in rounds {
            if is_closed(stream.write_all(&round)) || is_closed(read_some(&mut stream)) {
                return true;
            }
            sent += round.len();
        }
        assert!(sent > FLOOD_BYTES_MIN, "a flood is more than {sent} bytes");
        let end = Deadline::after(WAIT_MAX);
        while !end.is_over() {
            if is_closed(read_some(&mut stream)) {
                return true;
            }
        }
        false
    }
}

#[expect(clippy::disallowed_methods, reason = "a file of the test's own")]
fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
}

/// Reads what is there; the end of the connection is an error.
fn read_some(stream: &mut Tls) -> io::Result<()> {
    match stream.read(&mut [0; 16 << 10]) {
        Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
        done => done.map(drop),
    }
}

/// Whether this shows that the server has closed the connection. A server that takes nothing has not.
fn is_closed(done: io::Result<()>) -> bool {
    done.is_err_and(|why| !matches!(why.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut))
}

/// A frame of HTTP/2 (RFC 9113, section 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes()[..], payload].concat()
}

/// How a connection begins: the preface, and settings that are none.
fn http2_preface() -> Vec<u8> {
    [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(4, 0, 0, &[])].concat()
}

/// The fields of `GET https://localhost/`, by the static table (RFC 7541, appendix A).
fn request() -> Vec<u8> {
    [&[0x82, 0x87, 0x84, 0x41, 9][..], b"localhost"].concat()
}

/// Requests of which each is taken back (`RST_STREAM`, `CANCEL`).
fn rapid_reset(target: &Target) -> bool {
    let pair = |stream: u32| [frame(1, 5, stream, &request()), frame(3, 0, stream, &8_u32.to_be_bytes())].concat();
    target.cuts_off((0..1_000).map(|round| (0..500).flat_map(|at| pair((round * 500 + at) * 2 + 1)).collect()))
}

/// A head of which more and more comes (`CONTINUATION`), never the last of it.
fn endless_head(target: &Target, more: Vec<u8>) -> bool {
    let first = frame(1, 1, 1, &request());
    target.cuts_off(std::iter::once(first).chain((0..4_000).map(move |_| more.clone())))
}

/// Parts of a head with fields that stand in no table.
fn long_parts() -> Vec<u8> {
    let field = [&[0, 1, b'x', 100][..], &[b'y'; 100]].concat();
    frame(9, 0, 1, &field.repeat(150))
}

/// Parts of a head with nothing in them.
fn empty_parts() -> Vec<u8> {
    frame(9, 0, 1, &[]).repeat(1_000)
}

/// Floods a server until it is cut off; whether it was.
type Attack = fn(&Target) -> bool;

/// Neither a processor nor memory is theirs for long, and others are served meanwhile.
#[test]
fn f34_floods_of_http_2_frames_are_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let (server, target) = Target::start(folder.path());
    let flood = |what: &'static str, attack: Attack| {
        let target = target.clone();
        (what, thread::spawn(move || attack(&target)))
    };
    let kinds: [(&str, Attack); 3] = [
        ("rapid reset", rapid_reset),
        ("a long head", |target| endless_head(target, long_parts())),
        ("empty parts of a head", |target| endless_head(target, empty_parts())),
    ];
    let attacks: Vec<(&str, JoinHandle<bool>)> = (0..3).flat_map(|_| kinds.map(|(what, it)| flood(what, it))).collect();
    let mut served = 0;
    while served == 0 || !attacks.iter().all(|(_, attack)| attack.is_finished()) {
        let (status, answer) = target.ask("POST", "/v1/events", &format!(r#"{{"id":"served-{served}"}}"#));
        assert_eq!(status, 202, "{answer}");
        served += 1;
    }
    for (what, attack) in attacks {
        assert!(attack.join().unwrap(), "{what} was never cut off");
    }
    assert!(!server.has_ended(), "{}", server.log());
    assert!(server.memory_mb_max() < MEMORY_MB_MAX, "I6: {} MB", server.memory_mb_max());
    assert!(!server.log().contains("panicked"), "I9:\n{}", server.log());
    let (status, answer) = target.ask("POST", "/v1/events?wait=applied", r#"{"id":"good"}"#);
    assert_eq!(status, 202, "{answer}");
    let (_, listed) = target.ask("GET", "/v1/events?limit=1000", "");
    assert_eq!(listed.matches(r#""event_id":"#).count(), (served + 1).min(1_000), "I4");
}
