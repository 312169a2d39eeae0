//! The smallest HTTP/1.1 client that can also misbehave: blocking, one connection, every wait bounded.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// Longest silence that a client bears.
const SILENCE_MAX: Duration = Duration::from_secs(20);
/// Largest answer, in bytes.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// What a server answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    /// The body as text.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|why| panic!("{why}: {}", self.text()))
    }

    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut fields = self.head.lines().filter_map(|line| line.split_once(": "));
        fields.find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// One client; connects again whenever its connection is gone.
#[derive(Debug)]
pub(crate) struct Client {
    address: SocketAddr,
    silence_max: Duration,
    connection: Option<Connection>,
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address, silence_max: SILENCE_MAX, connection: None }
    }

    /// One that gives up sooner.
    pub(crate) fn impatient(address: SocketAddr, silence_max: Duration) -> Self {
        Self { address, silence_max, connection: None }
    }

    pub(crate) fn get(&mut self, path: &str) -> io::Result<Answer> {
        self.send("GET", path, &[], b"")
    }

    pub(crate) fn post(&mut self, path: &str, body: &str) -> io::Result<Answer> {
        self.send("POST", path, &[("content-type", "application/json")], body.as_bytes())
    }

    /// Sends a request and reads its answer. After an error nothing is known about the request.
    pub(crate) fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Answer> {
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n");
        if !body.is_empty() {
            head.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        headers.iter().for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
        head.push_str("\r\n");
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::open(self.address, self.silence_max)?,
        };
        // One write, so that a small request is one packet.
        let sent = connection.write(&[head.as_bytes(), body].concat());
        // A server that refuses early answers while we still write.
        let answer = connection.answer().map_err(|why| sent.err().unwrap_or(why))?;
        if answer.header("connection") != Some("close") {
            self.connection = Some(connection);
        }
        Ok(answer)
    }
}

/// One connection, to which any bytes can be written.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Connection {
    /// Connects; no read or write will wait longer than `silence_max`.
    pub(crate) fn open(address: SocketAddr, silence_max: Duration) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, silence_max)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(silence_max))?;
        stream.set_write_timeout(Some(silence_max))?;
        Ok(Self { stream, read: Vec::new() })
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Ends what we send; the server sees the end of its input.
    pub(crate) fn finish_writing(&self) -> io::Result<()> {
        self.stream.shutdown(std::net::Shutdown::Write)
    }

    /// Reads a body that comes in pieces, each with its length; one of no bytes is the last.
    fn chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let end = loop {
                match self.read.windows(2).position(|window| window == b"\r\n") {
                    Some(end) => break end,
                    None => self.read_more()?,
                }
            };
            let length = std::str::from_utf8(&self.read[..end]).map_err(io::Error::other)?;
            let length = usize::from_str_radix(length, 16).map_err(io::Error::other)?;
            assert!(body.len() + length <= ANSWER_BYTES_MAX, "an answer of {length} bytes and more");
            while self.read.len() < end + 2 + length + 2 {
                self.read_more()?;
            }
            body.extend_from_slice(&self.read[end + 2..end + 2 + length]);
            self.read.drain(..end + 2 + length + 2);
            if length == 0 {
                return Ok(body);
            }
        }
    }

    /// Reads one answer.
    pub(crate) fn answer(&mut self) -> io::Result<Answer> {
        let end = loop {
            match self.read.windows(4).position(|window| window == b"\r\n\r\n") {
                Some(end) => break end + 4,
                None => self.read_more()?,
            }
        };
        let head: Vec<u8> = self.read.drain(..end).collect();
        let head = String::from_utf8(head).map_err(io::Error::other)?;
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| io::Error::other(format!("no status in {head}")))?;
        let mut answer = Answer { status, head, body: Vec::new() };
        if answer.header("transfer-encoding") == Some("chunked") {
            answer.body = self.chunks()?;
            return Ok(answer);
        }
        let length = answer.header("content-length").and_then(|length| length.parse().ok());
        let length: usize = length.ok_or_else(|| io::Error::other(format!("no length in {}", answer.head)))?;
        assert!(length <= ANSWER_BYTES_MAX, "an answer of {length} bytes");
        while self.read.len() < length {
            self.read_more()?;
        }
        answer.body = self.read.drain(..length).collect();
        Ok(answer)
    }

    /// Whether the server closes the connection before it is silent for too long; answers are skipped.
    pub(crate) fn is_closed_by_server(&mut self) -> bool {
        loop {
            match self.read_more() {
                Ok(()) => {}
                Err(why) => {
                    return !matches!(why.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut);
                }
            }
        }
    }

    fn read_more(&mut self) -> io::Result<()> {
        let mut chunk = [0; 16 << 10];
        let count = self.stream.read(&mut chunk)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.read.extend_from_slice(&chunk[..count]);
        Ok(())
    }
}
