//! A connection to PostgreSQL that is cut when a commit has been made and its answer is on the way.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

use crate::error::Error;

/// What a client sends to make its changes count: a query of its own, whose text ends with a zero.
const COMMIT: &[u8] = b"COMMIT\0";
/// Bytes that are handed on at once.
const BUFFER_BYTES: usize = 64 << 10;

/// An address that leads to a server and can cut its connections, as long as the process of the test runs.
#[derive(Debug)]
pub struct Cutter {
    url: String,
    cuts: Arc<AtomicU32>,
}

impl Cutter {
    /// Leads to the server of this address, `postgres://login:password@host:port/database`.
    pub fn new(url: &str) -> Result<Self, Error> {
        let refused = |why: io::Error| Error::Refused { what: "no way to a server".to_owned(), said: why.to_string() };
        let server = url.split_once('@').and_then(|(_, rest)| rest.split_once('/')).map(|(server, _)| server);
        let no_server = || io::Error::other("the address names no server");
        let server = server.ok_or_else(no_server).map_err(refused)?;
        let to: SocketAddr = server.parse().map_err(|why| refused(io::Error::other(why)))?;
        let listener = TcpListener::bind("127.0.0.1:0").map_err(refused)?;
        let url = url.replacen(server, &listener.local_addr().map_err(refused)?.to_string(), 1);
        let cuts = Arc::new(AtomicU32::new(0));
        let left = Arc::clone(&cuts);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                // A server that is away is one that cuts at once.
                if let Ok(server) = TcpStream::connect(to) {
                    hand_on(&client, &server, &left);
                }
            }
        });
        Ok(Self { url, cuts })
    }

    /// The address to connect to.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Cuts the connection at each of the next commits: the server has made it, and the answer goes nowhere.
    pub fn cut_commits(&self, next: u32) {
        self.cuts.store(next, Ordering::SeqCst);
    }

    /// How many commits are still to be cut.
    pub fn left(&self) -> u32 {
        self.cuts.load(Ordering::SeqCst)
    }
}

/// Hands bytes on in both directions, on a thread each.
fn hand_on(client: &TcpStream, server: &TcpStream, cuts: &Arc<AtomicU32>) {
    let is_cut = Arc::new(AtomicBool::new(false));
    let (Ok(from), Ok(to)) = (client.try_clone(), server.try_clone()) else { return };
    let (left, cutting) = (Arc::clone(cuts), Arc::clone(&is_cut));
    thread::spawn(move || {
        pass(from, to, |bytes| {
            if bytes.windows(COMMIT.len()).any(|part| part == COMMIT) {
                let taken = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
                cutting.store(taken.is_ok(), Ordering::SeqCst);
            }
            true
        })
    });
    let (Ok(from), Ok(to)) = (server.try_clone(), client.try_clone()) else { return };
    thread::spawn(move || pass(from, to, |_| !is_cut.load(Ordering::SeqCst)));
}

/// Hands bytes on as long as `is_passed` says so; then both ends are cut.
fn pass(mut from: TcpStream, mut to: TcpStream, is_passed: impl Fn(&[u8]) -> bool) {
    let mut buffer = vec![0; BUFFER_BYTES];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        let bytes = buffer.get(..read).unwrap_or_default();
        if !is_passed(bytes) || to.write_all(bytes).is_err() {
            break;
        }
    }
    for end in [&from, &to] {
        // It may be gone already.
        let _ = end.shutdown(Shutdown::Both);
    }
}
