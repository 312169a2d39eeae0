//! Judges the head of an HTTP/1 request before the parser behind it does, which would refuse some with an
//! empty answer and read others in a way that another server may not (RFC 9112). Holds no bytes and
//! does no IO.

use std::mem::MaybeUninit;

use domain::limits::{HEAD_BYTES_MAX, HEAD_FIELDS_MAX};
use http::Uri;
use httparse::{Error, Header, Request, Status};

/// Largest length of a body that the parser takes.
const BODY_BYTES_MAX: u64 = u64::MAX - 2;
/// A target longer than this makes a head too long by itself, in bytes.
const TARGET_BYTES_MAX: usize = HEAD_BYTES_MAX / 2;

/// What is wrong with a request before any route sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum HeadFault {
    /// It is no HTTP, or two servers could read it in two ways.
    Malformed,
    /// Its body is longer than any may be.
    BodyTooLarge,
    /// Its target is too long.
    TargetTooLong,
    /// It is too long, or has too many fields.
    TooLarge,
    /// Its body comes in a coding that is not known.
    UnknownCoding,
    /// It is of another version of HTTP.
    UnknownVersion,
    /// There is no room for it.
    NoRoom,
}

/// A request that is refused before any route sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HeadRefusal {
    pub(crate) fault: HeadFault,
    /// The header or other part that is refused.
    pub(crate) field: &'static str,
    /// A sentence for the client.
    pub(crate) detail: &'static str,
}

impl HeadRefusal {
    pub(super) const fn new(fault: HeadFault, field: &'static str, detail: &'static str) -> Self {
        Self { fault, field, detail }
    }
}

/// How the body after a head is delimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyLength {
    Bytes(u64),
    Chunked,
}

/// A head that may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    /// Its length with the empty line at its end.
    pub(super) bytes: usize,
    pub(super) body: BodyLength,
    /// Whether what follows the answer may be no HTTP/1.
    pub(super) wants_upgrade: bool,
}

/// The head at the front of `bytes`; `None` when more of it must come.
pub(super) fn judge(bytes: &[u8]) -> Result<Option<Head>, HeadRefusal> {
    let mut fields: [MaybeUninit<Header<'_>>; HEAD_FIELDS_MAX] = [const { MaybeUninit::uninit() }; HEAD_FIELDS_MAX];
    let mut request = Request::new(&mut []);
    let length = match request.parse_with_uninit_headers(bytes, &mut fields) {
        Ok(Status::Complete(length)) if length <= HEAD_BYTES_MAX => length,
        Ok(Status::Partial) if bytes.len() < HEAD_BYTES_MAX => return Ok(None),
        Ok(_) => return Err(too_large(bytes)),
        Err(why) => return Err(syntax(bytes, why)),
    };
    let is_11 = request.version == Some(1);
    let target = request.path.unwrap_or_default();
    check_target(request.method.unwrap_or_default(), target)?;
    let mut about = Fields::default();
    for field in request.headers.iter() {
        about.note(field)?;
    }
    about.check_host(is_11)?;
    let body = about.body_length(is_11)?;
    let wants_upgrade = is_11 && about.upgrade || request.method == Some("CONNECT");
    Ok(Some(Head { bytes: length, body, wants_upgrade }))
}

/// The refusal of a head that is longer than any may be.
fn too_large(bytes: &[u8]) -> HeadRefusal {
    if first_line(bytes).len() > TARGET_BYTES_MAX {
        HeadRefusal::new(HeadFault::TargetTooLong, "path", "the target of the request is too long")
    } else {
        HeadRefusal::new(HeadFault::TooLarge, "head", "the head of the request is longer than 65536 bytes")
    }
}

fn syntax(bytes: &[u8], why: Error) -> HeadRefusal {
    let malformed = |field, detail| HeadRefusal::new(HeadFault::Malformed, field, detail);
    match why {
        Error::TooManyHeaders => {
            HeadRefusal::new(HeadFault::TooLarge, "head", "the head of the request has more than 100 fields")
        }
        Error::Version if names_a_version(first_line(bytes)) => {
            let detail = "HTTP/1.0, HTTP/1.1 and HTTP/2 from the first byte of a connection are spoken here";
            HeadRefusal::new(HeadFault::UnknownVersion, "version", detail)
        }
        Error::Version => malformed("version", "the first line of the request does not end in a version of HTTP"),
        Error::HeaderName => malformed("head", "a field of the head has a name that no field may have"),
        Error::HeaderValue => malformed("head", "a field of the head has a value that no field may have"),
        Error::Token | Error::NewLine | Error::Status => malformed("head", "this is no request of HTTP"),
    }
}

fn first_line(bytes: &[u8]) -> &[u8] {
    let bytes = bytes.trim_ascii_start();
    bytes.split(|byte| *byte == b'\n').next().unwrap_or_default().trim_ascii_end()
}

/// Whether the line ends in `HTTP/` and a number.
fn names_a_version(line: &[u8]) -> bool {
    let word = line.rsplit(|byte| *byte == b' ').next().unwrap_or_default();
    let number = word.strip_prefix(b"HTTP/").unwrap_or_default();
    number.first().is_some_and(u8::is_ascii_digit) && number.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.')
}

/// `*` is a target of `OPTIONS` alone.
fn check_target(method: &str, target: &str) -> Result<(), HeadRefusal> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.~?&=%:,+@!$()*;".contains(&byte);
    let is_fine = match target.as_bytes() {
        b"*" => method == "OPTIONS",
        [b'/', rest @ ..] if rest.iter().all(|byte| plain(*byte)) => true,
        _ => Uri::try_from(target).is_ok(),
    };
    let refusal = HeadRefusal::new(HeadFault::Malformed, "path", "the target of the request is no path and no URI");
    if is_fine { Ok(()) } else { Err(refusal) }
}

/// What the fields of a head say about its body and where it is sent to.
#[derive(Debug, Default)]
struct Fields {
    hosts: usize,
    length: Option<u64>,
    has_coding: bool,
    /// How often `chunked` is named.
    chunked: usize,
    /// Whether it is named last.
    ends_chunked: bool,
    /// Whether a coding beside it is named.
    other_coding: bool,
    upgrade: bool,
}

impl Fields {
    fn note(&mut self, field: &Header<'_>) -> Result<(), HeadRefusal> {
        let is = |name: &str| field.name.eq_ignore_ascii_case(name);
        // By length first: most fields are none of these.
        match field.name.len() {
            4 if is("host") => {
                self.hosts += 1;
                if !is_host(field.value) {
                    return Err(host("the Host field is no name of a host"));
                }
            }
            // Of all others nothing is switched to, and the parser reads on.
            7 if is("upgrade") => self.upgrade = lists(field.value, b"websocket"),
            14 if is("content-length") => {
                let length = content_length(field.value)?;
                if self.length.is_some_and(|before| before != length) {
                    return Err(length_refused("two Content-Length fields differ"));
                }
                self.length = Some(length);
            }
            17 if is("transfer-encoding") => self.note_codings(field.value),
            _ => {}
        }
        Ok(())
    }

    fn note_codings(&mut self, value: &[u8]) {
        self.has_coding = true;
        let codings = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        for coding in codings.filter(|coding| !coding.is_empty()) {
            self.ends_chunked = coding.eq_ignore_ascii_case(b"chunked");
            if self.ends_chunked {
                self.chunked += 1;
            } else {
                self.other_coding = true;
            }
        }
    }

    fn check_host(&self, is_11: bool) -> Result<(), HeadRefusal> {
        match self.hosts {
            0 if is_11 => Err(host("the request has no Host field")),
            0 | 1 => Ok(()),
            _ => Err(host("the request has more than one Host field")),
        }
    }

    fn body_length(&self, is_11: bool) -> Result<BodyLength, HeadRefusal> {
        let refused = |fault, detail| Err(HeadRefusal::new(fault, "Transfer-Encoding", detail));
        if !self.has_coding {
            return Ok(BodyLength::Bytes(self.length.unwrap_or(0)));
        }
        if self.length.is_some() {
            return refused(HeadFault::Malformed, "the request has both Transfer-Encoding and Content-Length");
        }
        if !is_11 {
            return refused(HeadFault::Malformed, "HTTP/1.0 has no Transfer-Encoding");
        }
        if !self.ends_chunked || self.chunked > 1 {
            return refused(HeadFault::Malformed, "Transfer-Encoding must be 'chunked', once");
        }
        if self.other_coding {
            return refused(HeadFault::UnknownCoding, "no transfer coding but 'chunked' is known");
        }
        Ok(BodyLength::Chunked)
    }
}

/// Whether `word` is in a list of words with commas between them.
fn lists(value: &[u8], word: &[u8]) -> bool {
    value.split(|byte| *byte == b',').any(|one| one.trim_ascii().eq_ignore_ascii_case(word))
}

fn content_length(value: &[u8]) -> Result<u64, HeadRefusal> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(length_refused("Content-Length must be a whole number"));
    }
    let number = std::str::from_utf8(value).ok().and_then(|digits| digits.parse().ok());
    number.filter(|length| *length <= BODY_BYTES_MAX).ok_or_else(|| {
        HeadRefusal::new(HeadFault::BodyTooLarge, "Content-Length", "the body is larger than any may be")
    })
}

/// Whether this may be a host with a port, or nothing (RFC 3986, section 3.2.2).
fn is_host(value: &[u8]) -> bool {
    value.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:[]".contains(byte))
}

const fn host(detail: &'static str) -> HeadRefusal {
    HeadRefusal::new(HeadFault::Malformed, "Host", detail)
}

const fn length_refused(detail: &'static str) -> HeadRefusal {
    HeadRefusal::new(HeadFault::Malformed, "Content-Length", detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(head: &str) -> Option<(HeadFault, &'static str)> {
        judge(head.as_bytes()).err().map(|refusal| (refusal.fault, refusal.field))
    }

    fn with(fields: &str) -> Option<(HeadFault, &'static str)> {
        fault(&format!("POST /v1/events HTTP/1.1\r\n{fields}\r\n\r\n"))
    }

    #[test]
    fn no_host_or_two_are_refused() {
        let refused = Some((HeadFault::Malformed, "Host"));
        assert_eq!(with("accept: */*"), refused);
        assert_eq!(with("host: a\r\nHost: a"), refused);
        assert_eq!(with("host: a b"), refused);
        assert_eq!(with("host: user@a"), refused);
        for fine in ["host: a", "HOST:", "host: [::1]:8080", "host: a.example:80"] {
            assert_eq!(with(fine), None, "{fine}");
        }
        assert_eq!(fault("GET / HTTP/1.0\r\n\r\n"), None);
        assert_eq!(fault("GET / HTTP/1.0\r\nhost: a\r\nhost: b\r\n\r\n"), refused);
    }

    #[test]
    fn a_length_that_two_servers_could_read_in_two_ways_is_refused() {
        let of = |fields: &str| with(&format!("host: a\r\n{fields}"));
        let refused = Some((HeadFault::Malformed, "Content-Length"));
        for length in ["", "-1", "+1", "0x0c", "1 2", "12, 13", "12, 12", "1_0", "12\r\ncontent-length: 13"] {
            assert_eq!(of(&format!("content-length: {length}")), refused, "{length}");
        }
        for huge in ["18446744073709551616", "99999999999999999999999999", "18446744073709551615"] {
            let refused = Some((HeadFault::BodyTooLarge, "Content-Length"));
            assert_eq!(of(&format!("content-length: {huge}")), refused, "{huge}");
        }
        for fine in ["content-length: 12", "content-length: 12\r\ncontent-length: 12", "content-length: 999999999999"] {
            assert_eq!(of(fine), None, "{fine}");
        }
    }

    #[test]
    fn no_transfer_coding_but_chunked_once_is_taken() {
        let of = |fields: &str| with(&format!("host: a\r\n{fields}"));
        let malformed = Some((HeadFault::Malformed, "Transfer-Encoding"));
        let unknown = Some((HeadFault::UnknownCoding, "Transfer-Encoding"));
        for (codings, refused) in [
            ("chunked, chunked", malformed),
            ("chunked\r\ntransfer-encoding: chunked", malformed),
            ("gzip, chunked", unknown),
            ("gzip\r\ntransfer-encoding: chunked", unknown),
            ("chunked, gzip", malformed),
            ("identity", malformed),
            ("xchunked", malformed),
            ("chunked;q=1", malformed),
            ("", malformed),
            ("chunked\r\ncontent-length: 5", malformed),
            ("Chunked", None),
            ("chunked,", None),
        ] {
            assert_eq!(of(&format!("transfer-encoding: {codings}")), refused, "{codings}");
        }
        assert_eq!(of("content-length: 5\r\ntransfer-encoding: chunked"), malformed);
        assert_eq!(fault("POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n"), malformed);
    }

    #[test]
    fn each_way_to_be_no_request_has_its_own_answer() {
        let long = "x".repeat(HEAD_BYTES_MAX);
        let fields = "x: y\r\n".repeat(HEAD_FIELDS_MAX + 1);
        let cases = [
            ("GET / HTTP/1.2\r\n\r\n".to_owned(), HeadFault::UnknownVersion),
            ("GET / HTTP/3.0\r\n\r\n".to_owned(), HeadFault::UnknownVersion),
            ("GET /\r\n\r\n".to_owned(), HeadFault::Malformed),
            ("GET / FTP/1.1\r\n\r\n".to_owned(), HeadFault::Malformed),
            ("GET\r\n\r\n".to_owned(), HeadFault::Malformed),
            ("GET * HTTP/1.1\r\nhost: a\r\n\r\n".to_owned(), HeadFault::Malformed),
            ("GET a/b HTTP/1.1\r\nhost: a\r\n\r\n".to_owned(), HeadFault::Malformed),
            ("GET /<> HTTP/1.1\r\nhost: a\r\n\r\n".to_owned(), HeadFault::Malformed),
            ("G(T / HTTP/1.1\r\nhost: a\r\n\r\n".to_owned(), HeadFault::Malformed),
            ("GET / HTTP/1.1\r\nhost : a\r\n\r\n".to_owned(), HeadFault::Malformed),
            ("GET / HTTP/1.1\r\nhost: a\r\n b\r\n\r\n".to_owned(), HeadFault::Malformed),
            ("\u{16}\u{3}\u{1}".to_owned(), HeadFault::Malformed),
            (format!("GET /{long}"), HeadFault::TargetTooLong),
            (format!("GET /{long} HTTP/1.1\r\nhost: a\r\n\r\n"), HeadFault::TargetTooLong),
            (format!("GET / HTTP/1.1\r\nhost: a\r\nx: {long}"), HeadFault::TooLarge),
            (format!("GET / HTTP/1.1\r\nhost: a\r\nx: {long}\r\n\r\n"), HeadFault::TooLarge),
            (format!("GET / HTTP/1.1\r\nhost: a\r\n{fields}\r\n"), HeadFault::TooLarge),
        ];
        for (head, expected) in cases {
            let shown = &head[..head.len().min(60)];
            assert_eq!(fault(&head).map(|(fault, _)| fault), Some(expected), "{shown:?}");
        }
        for fine in ["OPTIONS *", "GET http://a/b", "GET /caf%C3%A9?a='b'", "BREW /"] {
            assert_eq!(fault(&format!("{fine} HTTP/1.1\r\nhost: a\r\n\r\n")), None, "{fine}");
        }
    }
}
