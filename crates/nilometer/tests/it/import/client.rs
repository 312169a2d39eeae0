//! Import over HTTP through whatever stands before a server: TLS, answers in chunks, silence.

use std::io::{BufReader, Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustix::process::Signal;
use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use super::{counts, write};
use crate::harness::{Server, nilometer, stderr};

fn into(url: &str, file: &Path, args: &[&str]) -> Output {
    nilometer(&["import", file.to_str().unwrap(), "--now", "--url", url]).args(args).output().unwrap()
}

/// A file of so many rows, larger than one buffer of a connection.
fn rows(folder: &Path, rows: usize) -> PathBuf {
    let path = folder.join("f.csv");
    let lines: String = (0..rows).map(|row| format!("e{row},a,{}\n", "x".repeat(100))).collect();
    write(&path, format!("id,type,note\n{lines}"));
    path
}

/// How many events a server holds.
fn stored(server: &Server) -> u64 {
    let (_, found) = server.get("/stats/top-events");
    found["data"].as_array().unwrap().iter().map(|kind| kind["count"].as_u64().unwrap()).sum()
}

/// A server that answers one request after the other on every connection, each as `answer` says, which
/// is given the number of lines of the body.
fn answering(answer: fn(usize) -> String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            std::thread::spawn(move || {
                let mut stream = stream.unwrap();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                while let Some(body) = next_body(&mut reader) {
                    let lines = body.iter().filter(|byte| **byte == b'\n').count();
                    stream.write_all(answer(lines).as_bytes()).unwrap();
                }
            });
        }
    });
    url
}

/// The body of the next request; `None` at the end of the connection.
fn next_body(reader: &mut impl Read) -> Option<Vec<u8>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        reader.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    reader.read_exact(&mut body).ok()?;
    Some(body)
}

#[test]
fn defect_7_an_answer_in_chunks_is_read() {
    let url = answering(|lines| {
        let verdicts = format!(r#"{{"accepted":{lines},"duplicates":0,"rejected":0,"receipt":null,"#);
        let rest = r#""applied":true,"results":[]}"#;
        let chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len());
        let head = "HTTP/1.1 202 Accepted\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
        format!("{head}{}{}0\r\n\r\n", chunk(&verdicts), chunk(rest))
    });
    let folder = tempfile::tempdir().unwrap();
    let output = into(&url, &rows(folder.path(), 12_000), &["--retry-sec", "1"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(counts(&output), [12_000, 12_000, 0, 0]);
}

/// Takes TLS off connections, and passes what is inside to `server`. Returns the address; the
/// certificate of its authority is written to `ca`.
fn tls_before(server: &Server, ca: &Path) -> String {
    let authority_key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::new([]).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    write(ca, authority.self_signed(&authority_key).unwrap().pem());
    let issuer = Issuer::new(authority, authority_key);
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    let config = ServerConfig::builder_with_provider(default_provider().into());
    let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = config.with_single_cert(vec![certificate.der().clone()], key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let address = server.url().trim_start_matches("http://").to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, address) = (acceptor.clone(), address.clone());
                tokio::spawn(async move {
                    // A client that does not trust the certificate ends here.
                    let Ok(mut outer) = acceptor.accept(stream).await else { return };
                    let mut inner = TcpStream::connect(address).await.unwrap();
                    let _ = copy_bidirectional(&mut outer, &mut inner).await;
                });
            }
        });
    });
    url
}

#[test]
fn defect_7_an_import_over_tls_counts_every_row_and_trusts_only_its_authority() {
    let data = tempfile::tempdir().unwrap();
    let files = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    let ca = files.path().join("ca.pem");
    let url = tls_before(&server, &ca);
    let csv = rows(files.path(), 12_000);

    let refused = into(&url, &csv, &[]);
    assert_eq!(refused.status.code(), Some(1), "{}", stderr(&refused));
    assert!(stderr(&refused).contains("certificate"), "{}", stderr(&refused));
    let other = files.path().join("other.pem");
    tls_before(&server, &other);
    let refused = into(&url, &csv, &["--ca", other.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(1), "{}", stderr(&refused));
    assert_eq!(stored(&server), 0);

    let output = into(&url, &csv, &["--ca", ca.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(counts(&output), [12_000, 12_000, 0, 0]);
    assert_eq!(stored(&server), 12_000);
}

#[test]
fn a_file_without_certificates_is_one_clear_error() {
    let files = tempfile::tempdir().unwrap();
    let csv = rows(files.path(), 1);
    let empty = files.path().join("empty.pem");
    write(&empty, "");
    for (ca, reason) in [(empty, "holds no certificate"), (files.path().join("absent.pem"), "failed to read")] {
        let output = into("https://127.0.0.1:1", &csv, &["--ca", ca.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        assert!(stderr(&output).contains(reason), "{}", stderr(&output));
    }
}

#[test]
fn i2_an_import_into_a_server_that_hangs_gives_up_and_counts_once_when_it_goes_on() {
    let data = tempfile::tempdir().unwrap();
    let files = tempfile::tempdir().unwrap();
    let csv = rows(files.path(), 500);
    let server = Server::start(data.path());
    server.signal(Signal::STOP);
    let output = into(&server.url(), &csv, &["--retry-sec", "1"]);
    server.signal(Signal::CONT);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("no acknowledgement within 1 s"), "{}", stderr(&output));
    assert_eq!(counts(&output), [0, 0, 0, 0]);

    // Whether the server took what was sent meanwhile or not, every row counts once.
    let output = into(&server.url(), &csv, &[]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let [rows, accepted, duplicates, rejected] = counts(&output);
    assert_eq!((rows, accepted + duplicates, rejected), (500, 500, 0));
    assert_eq!(stored(&server), 500);
}
