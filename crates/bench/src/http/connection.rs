//! One kept-alive HTTP/1.1 connection to a server: prepared requests out, responses
//! in, one at a time. Reconnects when the connection is gone; never sends a request again by itself.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use super::reader::{Response, ResponseReader};
use crate::text::put_digits;

/// Longest wait for an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// Bytes asked of the socket at once.
const READ_BYTES: usize = 16 << 10;
/// Digits of a request's Content-Length, padded with zeros so that the head never changes size.
const LENGTH_DIGITS: usize = 10;
/// What stands before a key.
const BEARER: &str = "authorization: Bearer ";

/// A server.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    address: SocketAddr,
    host: String,
    /// What requests show themselves by, in turns; all of one length.
    keys: Vec<String>,
}

impl Target {
    /// The server at `url` (`http://host:port`), as the tenant of `key`.
    pub(crate) async fn resolve(url: &str, key: Option<String>) -> anyhow::Result<Self> {
        let host = url.strip_prefix("http://").context("the address must begin with http://")?;
        let host = host.split('/').next().unwrap_or_default();
        let with_port = if host.contains(':') { host.to_owned() } else { format!("{host}:80") };
        let mut found = lookup_host(&with_port).await.with_context(|| format!("failed to resolve {with_port}"))?;
        let address = found.next().with_context(|| format!("{with_port} has no address"))?;
        Ok(Self { address, host: host.to_owned(), keys: key.into_iter().collect() })
    }

    /// This server as the tenants of `keys`, which have to be of one length.
    pub(crate) fn with_keys(&self, keys: Vec<String>) -> anyhow::Result<Self> {
        let length = keys.first().map_or(0, String::len);
        ensure!(keys.iter().all(|key| key.len() == length), "the keys differ in length");
        Ok(Self { keys, ..self.clone() })
    }

    /// The key of request `number`, if requests have any.
    pub(crate) fn key_of(&self, number: usize) -> Option<&str> {
        let turn = number.checked_rem(self.keys.len())?;
        self.keys.get(turn).map(String::as_str)
    }

    /// The address as a URL.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.host)
    }

    /// A request to get `path`.
    pub(crate) fn get(&self, path: &str) -> Vec<u8> {
        self.get_in_turn(path, 0)
    }

    /// A request to get `path` with the key of request `number`.
    pub(crate) fn get_in_turn(&self, path: &str, number: usize) -> Vec<u8> {
        format!("{}\r\n", self.head("GET", path, self.key_of(number))).into_bytes()
    }

    /// A request without a credential to change something by JSON: with `PATCH`, or to set it with `PUT`.
    pub(crate) fn change_openly(&self, method: &str, path: &str, body: &str) -> Vec<u8> {
        let (head, length) = (self.head(method, path, None), body.len());
        format!("{head}content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}").into_bytes()
    }

    /// A request without a credential; `headers` are whole lines.
    pub(crate) fn post_openly(&self, path: &str, headers: &str, body: &str) -> Vec<u8> {
        let head = self.head("POST", path, None);
        let length = body.len();
        format!("{head}{headers}content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}").into_bytes()
    }

    fn head(&self, method: &str, path: &str, key: Option<&str>) -> String {
        let key = key.map(|key| format!("{BEARER}{key}\r\n")).unwrap_or_default();
        format!("{method} {path} HTTP/1.1\r\nhost: {}\r\n{key}", self.host)
    }
}

/// A POST request whose body is written anew for each sending, in the same memory.
#[derive(Debug)]
pub(crate) struct PostRequest {
    bytes: Vec<u8>,
    key: Option<Range<usize>>,
    length: Range<usize>,
    head_bytes: usize,
}

impl PostRequest {
    /// A request for `path` of `target` with a body of type `content_type`.
    pub(crate) fn new(target: &Target, path: &str, content_type: &str) -> Self {
        Self::with_method(target, "POST", path, content_type)
    }

    /// A request like that of [`Self::new`], with another method.
    pub(crate) fn with_method(target: &Target, method: &str, path: &str, content_type: &str) -> Self {
        let first = target.key_of(0);
        let mut bytes = target.head(method, path, first).into_bytes();
        let key = first.map(|key| {
            let end = bytes.len() - "\r\n".len();
            end - key.len()..end
        });
        bytes.extend_from_slice(format!("content-type: {content_type}\r\ncontent-length: ").as_bytes());
        let length = bytes.len()..bytes.len() + LENGTH_DIGITS;
        bytes.resize(length.end, b'0');
        bytes.extend_from_slice(b"\r\n\r\n");
        let head_bytes = bytes.len();
        Self { bytes, key, length, head_bytes }
    }

    /// Replaces the key by one of the same length.
    pub(crate) fn present(&mut self, key: &str) {
        let place = self.key.clone().and_then(|place| self.bytes.get_mut(place));
        if let Some(place) = place.filter(|place| place.len() == key.len()) {
            place.copy_from_slice(key.as_bytes());
        }
    }

    /// Replaces the body by what `write` appends.
    pub(crate) fn fill(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        self.bytes.truncate(self.head_bytes);
        write(&mut self.bytes);
        let body_bytes = u64::try_from(self.bytes.len() - self.head_bytes).unwrap_or(0);
        put_digits(&mut self.bytes[self.length.clone()], body_bytes);
    }

    /// The whole request.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// A connection that is opened when first used.
#[derive(Debug)]
pub(crate) struct Connection {
    target: Arc<Target>,
    stream: Option<TcpStream>,
    reader: ResponseReader,
}

impl Connection {
    /// A connection to `target`, not yet open.
    pub(crate) fn new(target: Arc<Target>) -> Self {
        Self { target, stream: None, reader: ResponseReader::default() }
    }

    /// Sends `request` and waits for its response.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> anyhow::Result<Response> {
        self.exchange_within(request, ANSWER_TIMEOUT).await
    }

    /// Sends `request` and waits for its response for at most `time`, and never longer than a minute.
    pub(crate) async fn exchange_within(&mut self, request: &[u8], time: Duration) -> anyhow::Result<Response> {
        let time = time.min(ANSWER_TIMEOUT);
        let response = match timeout(time, self.try_exchange(request)).await {
            Ok(response) => response,
            Err(_) => Err(anyhow::anyhow!("no answer within {} s", time.as_secs())),
        };
        match &response {
            Ok(response) if !response.close => {}
            _ => self.stream = None,
        }
        response
    }

    /// Gets `path`.
    pub(crate) async fn get(&mut self, path: &str) -> anyhow::Result<Response> {
        let request = self.target.get(path);
        self.exchange(&request).await.with_context(|| format!("failed to get {path}"))
    }

    /// Posts JSON to `path` of a server that asks for no key.
    pub(crate) async fn post(&mut self, path: &str, body: &str) -> anyhow::Result<Response> {
        let request = self.target.post_openly(path, "", body);
        self.exchange(&request).await.with_context(|| format!("failed to post to {path}"))
    }

    /// The body of the response received last.
    pub(crate) fn body(&self, response: &Response) -> &[u8] {
        self.reader.body(response)
    }

    async fn try_exchange(&mut self, request: &[u8]) -> anyhow::Result<Response> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => {
                self.reader.clear();
                open(self.target.address).await?
            }
        };
        stream.write_all(request).await.context("failed to send the request")?;
        let response = loop {
            if let Some(response) = self.reader.next()? {
                break response;
            }
            let buffer = self.reader.buffer();
            buffer.reserve(READ_BYTES);
            let received = stream.read_buf(buffer).await.context("failed to receive the response")?;
            ensure!(received > 0, "connection closed before the response ended");
        };
        self.stream = Some(stream);
        Ok(response)
    }
}

async fn open(address: SocketAddr) -> anyhow::Result<TcpStream> {
    let stream = TcpStream::connect(address).await.with_context(|| format!("failed to connect to {address}"))?;
    stream.set_nodelay(true).context("failed to configure the connection")?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed test may panic")]

    use super::*;

    #[tokio::test]
    async fn a_request_is_complete_and_its_length_follows_the_body() {
        let target = Target::resolve("http://127.0.0.1:8080/", Some("k1".to_owned())).await.unwrap();
        let mut request = PostRequest::new(&target, "/v1/events", "application/json");
        for body in ["{\"a\":1}", "[]", ""] {
            request.fill(|out| out.extend_from_slice(body.as_bytes()));
            let expected = format!(
                "POST /v1/events HTTP/1.1\r\nhost: 127.0.0.1:8080\r\nauthorization: Bearer k1\r\n\
                 content-type: application/json\r\ncontent-length: {:010}\r\n\r\n{body}",
                body.len()
            );
            assert_eq!(std::str::from_utf8(request.bytes()).unwrap(), expected);
        }
    }

    #[tokio::test]
    async fn keys_take_turns_in_the_same_request() {
        let target = Target::resolve("http://127.0.0.1:8080", None).await.unwrap();
        assert_eq!(target.key_of(7), None);
        assert!(target.with_keys(vec!["k1".to_owned(), "k".to_owned()]).is_err());
        let target = target.with_keys(vec!["k1".to_owned(), "k2".to_owned()]).unwrap();
        let mut request = PostRequest::new(&target, "/", "text/plain");
        for (number, key) in [(1, "k2"), (2, "k1"), (5, "k2")] {
            request.present(target.key_of(number).unwrap());
            request.fill(|out| out.push(b'x'));
            let expected = PostRequest::new(&target.with_keys(vec![key.to_owned()]).unwrap(), "/", "text/plain");
            assert_eq!(&request.bytes()[..request.head_bytes - 5], &expected.bytes()[..expected.head_bytes - 5]);
        }
    }

    #[tokio::test]
    async fn only_plain_http_is_taken() {
        assert!(Target::resolve("https://127.0.0.1:8080", None).await.is_err());
        assert!(Target::resolve("127.0.0.1:8080", None).await.is_err());
    }
}
