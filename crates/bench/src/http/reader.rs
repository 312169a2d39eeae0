//! Reads HTTP/1.1 responses from bytes as they arrive, however they are split. Does no IO. Takes
//! only responses with a Content-Length, which is all that the server sends to a write;
//! anything else is an error, never a guess.

use std::ops::Range;
use std::time::Duration;

use anyhow::{Context, bail, ensure};

/// Longest status line and headers, in bytes.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// Longest body, in bytes.
const BODY_BYTES_MAX: usize = 64 << 20;

/// A complete response; its body is read through [`ResponseReader::body`] until the next is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Response {
    /// The status code.
    pub(crate) status: u16,
    /// How long the server asks to wait before trying again.
    pub(crate) retry_after: Option<Duration>,
    /// Whether the server closes the connection after this response.
    pub(crate) close: bool,
    body: Range<usize>,
}

/// Holds the bytes received, from the current response on.
#[derive(Debug, Default)]
pub(crate) struct ResponseReader {
    buffer: Vec<u8>,
    /// Bytes of the current response, when it is complete.
    current: usize,
}

impl ResponseReader {
    /// Where received bytes are appended.
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// The next response, or `None` when more bytes are needed.
    pub(crate) fn next(&mut self) -> anyhow::Result<Option<Response>> {
        self.buffer.drain(..std::mem::take(&mut self.current));
        let Some(head_end) = find(&self.buffer, b"\r\n\r\n") else {
            ensure!(self.buffer.len() <= HEAD_BYTES_MAX, "response head is longer than {HEAD_BYTES_MAX} bytes");
            return Ok(None);
        };
        let head = std::str::from_utf8(&self.buffer[..head_end]).context("response head is no text")?;
        let mut response = parse_head(head)?;
        let start = head_end + 4;
        response.body = start..start + response.body.end;
        if self.buffer.len() < response.body.end {
            return Ok(None);
        }
        self.current = response.body.end;
        Ok(Some(response))
    }

    /// The body of the current response.
    pub(crate) fn body(&self, response: &Response) -> &[u8] {
        self.buffer.get(response.body.clone()).unwrap_or_default()
    }

    /// Forgets everything, when a connection is given up.
    pub(crate) fn clear(&mut self) {
        self.buffer.clear();
        self.current = 0;
    }
}

/// Where `needle` begins in `bytes`.
pub(crate) fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes.windows(needle.len()).position(|window| window == needle)
}

/// Where `needle` begins in `bytes` for the last time.
pub(crate) fn find_last(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes.windows(needle.len()).rposition(|window| window == needle)
}

/// Reads the head; the body's range still counts from the end of the head.
fn parse_head(head: &str) -> anyhow::Result<Response> {
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(parse_status).context("response begins with no status line")?;
    let (mut length, mut retry_after, mut close) = (None, None, false);
    for line in lines {
        let Some((name, value)) = line.split_once(':') else { continue };
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            length = Some(value.parse::<usize>().context("response has no readable content-length")?);
        } else if name.eq_ignore_ascii_case("retry-after") {
            retry_after = value.parse().ok().map(Duration::from_secs);
        } else if name.eq_ignore_ascii_case("connection") {
            close = value.eq_ignore_ascii_case("close");
        }
    }
    let length = match length {
        Some(length) if length > BODY_BYTES_MAX => bail!("response is longer than {BODY_BYTES_MAX} bytes"),
        Some(length) => length,
        None if status == 204 || status == 304 => 0,
        None => bail!("response has no content-length"),
    };
    Ok(Response { status, retry_after, close, body: 0..length })
}

fn parse_status(line: &str) -> Option<u16> {
    let code = line.strip_prefix("HTTP/1.")?.get(2..5)?;
    code.parse().ok().filter(|code| (100..1_000).contains(code))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed test may panic")]

    use super::*;
    use proptest::prelude::*;

    fn render(status: u16, body: &[u8], close: bool) -> Vec<u8> {
        let connection = if close { "Connection: close\r\n" } else { "" };
        let head = format!(
            "HTTP/1.1 {status} Text\r\ndate: now\r\n{connection}Retry-After: 3\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        [head.as_bytes(), body].concat()
    }

    fn read_all(reader: &mut ResponseReader, into: &mut Vec<(u16, Vec<u8>, bool)>) {
        while let Some(response) = reader.next().unwrap() {
            assert_eq!(response.retry_after, Some(Duration::from_secs(3)));
            into.push((response.status, reader.body(&response).to_vec(), response.close));
        }
    }

    proptest! {
        #[test]
        fn any_split_of_the_bytes_gives_the_same_responses(
            sent in proptest::collection::vec(
                (100_u16..600, proptest::collection::vec(any::<u8>(), 0..300), any::<bool>()), 1..5
            ),
            pieces in proptest::collection::vec(1_usize..90, 1..40)
        ) {
            let bytes: Vec<u8> = sent.iter().flat_map(|(status, body, close)| render(*status, body, *close)).collect();
            let mut reader = ResponseReader::default();
            let mut received = Vec::new();
            let mut rest = bytes.as_slice();
            for piece in pieces.iter().cycle() {
                let (now, later) = rest.split_at((*piece).min(rest.len()));
                reader.buffer().extend_from_slice(now);
                read_all(&mut reader, &mut received);
                rest = later;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(received, sent);
            prop_assert!(reader.buffer().is_empty());
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut reader = ResponseReader::default();
            reader.buffer().extend_from_slice(&bytes);
            while let Ok(Some(response)) = reader.next() {
                prop_assert!(reader.body(&response).len() < bytes.len());
            }
        }
    }

    #[test]
    fn a_response_whose_end_is_unknown_is_refused() {
        for (bytes, reason) in [
            ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", "no content-length"),
            ("HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n", "no readable content-length"),
            ("HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n", "longer than"),
            ("SSH-2.0\r\n\r\n", "no status line"),
        ] {
            let mut reader = ResponseReader::default();
            reader.buffer().extend_from_slice(bytes.as_bytes());
            let error = reader.next().unwrap_err().to_string();
            assert!(error.contains(reason), "{bytes}: {error}");
        }
        let mut endless = ResponseReader::default();
        endless.buffer().resize(HEAD_BYTES_MAX + 1, b'a');
        assert!(endless.next().is_err());
    }

    #[test]
    fn no_content_needs_no_length() {
        let mut reader = ResponseReader::default();
        reader.buffer().extend_from_slice(b"HTTP/1.1 204 No Content\r\n\r\n");
        assert_eq!(reader.next().unwrap().map(|response| response.status), Some(204));
    }
}
