//! Undoes a body's content encoding. Refuses to write more than the limits allow, whatever the
//! compressed stream claims: memory is bounded by the output budget and the largest window, time
//! by the budget, the length of the input and the number of its members.

use std::io::{self, Read};

use bytes::Bytes;
use domain::limits::Limits;

use crate::error::BodyError;

/// Most bytes of output per byte of input, once the output is over [`RATIO_FREE_BYTES`]. Repetitive
/// JSON events reach about 60; deflate cannot pass 1,032, and zstd has no bound of its own.
const RATIO_MAX: usize = 200;
/// Output up to this size is taken at any ratio.
const RATIO_FREE_BYTES: usize = 1 << 20;
/// Most gzip members or zstd frames in one body. Each costs a fresh decoder, even when empty.
const MEMBERS_MAX: usize = 1_024;
/// Largest zstd window, as a power of two: 8 MiB, the bound that RFC 9659 sets for HTTP.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;
/// Bytes reserved for the output per byte of input, before it is known.
const RATIO_GUESS: usize = 4;

/// Undoes `content_encoding`: none, `identity`, `gzip` or `zstd`. Concatenated gzip members and
/// zstd frames are read as one body.
///
/// # Errors
/// [`BodyError::UnsupportedEncoding`] for any other encoding and for several at once,
/// [`BodyError::TooLarge`] when the body or its decoded form is over its limit,
/// [`BodyError::Malformed`] when the stream is corrupt or ends early.
pub fn decode(content_encoding: Option<&str>, body: Bytes, limits: &Limits) -> Result<Bytes, BodyError> {
    if body.len() > limits.body_bytes_max {
        return Err(BodyError::too_large(format!("the body is larger than {} bytes", limits.body_bytes_max)));
    }
    let named = content_encoding.unwrap_or_default().trim();
    match named.to_ascii_lowercase().as_str() {
        "" | "identity" => within(body, limits.decoded_bytes_max),
        "gzip" | "x-gzip" => Inflater::new(&body, limits).run("gzip", gzip_member),
        "zstd" => Inflater::new(&body, limits).run("zstd", zstd_frame),
        _ => Err(BodyError::UnsupportedEncoding {
            message: format!("content encoding {named:?} is not supported; use gzip, zstd or none"),
        }),
    }
}

fn within(body: Bytes, bytes_max: usize) -> Result<Bytes, BodyError> {
    if body.len() > bytes_max { Err(over(bytes_max)) } else { Ok(body) }
}

fn over(bytes_max: usize) -> BodyError {
    BodyError::too_large(format!("the decoded body is larger than {bytes_max} bytes"))
}

/// Decodes one member from the front of `input`, appends at most `room` bytes to `out`, and leaves
/// `input` after the member when it fitted.
type Member = fn(input: &mut &[u8], room: u64, out: &mut Vec<u8>) -> io::Result<()>;

struct Inflater<'b> {
    input: &'b [u8],
    bytes_max: usize,
    out: Vec<u8>,
}

impl<'b> Inflater<'b> {
    fn new(input: &'b [u8], limits: &Limits) -> Self {
        let by_ratio = input.len().saturating_mul(RATIO_MAX).max(RATIO_FREE_BYTES);
        let bytes_max = limits.decoded_bytes_max.min(by_ratio);
        let out = Vec::with_capacity(input.len().saturating_mul(RATIO_GUESS).min(bytes_max));
        Self { input, bytes_max, out }
    }

    fn run(mut self, encoding: &str, member: Member) -> Result<Bytes, BodyError> {
        let malformed = |why: &str| BodyError::malformed(format!("the body is not valid {encoding}: {why}"));
        if self.input.is_empty() {
            return Err(malformed("it is empty"));
        }
        for _ in 0..MEMBERS_MAX {
            // One byte more than allowed, so that reaching the limit and passing it differ.
            let room = (self.bytes_max - self.out.len()) as u64 + 1;
            let read = member(&mut self.input, room, &mut self.out);
            if self.out.len() > self.bytes_max {
                return Err(over(self.bytes_max));
            }
            read.map_err(|error| malformed(&error.to_string()))?;
            if self.input.is_empty() {
                return Ok(Bytes::from(self.out));
            }
        }
        Err(BodyError::too_large(format!("the body has more than {MEMBERS_MAX} {encoding} members")))
    }
}

fn gzip_member(input: &mut &[u8], room: u64, out: &mut Vec<u8>) -> io::Result<()> {
    read_up_to(room, flate2::bufread::GzDecoder::new(input), out)
}

fn zstd_frame(input: &mut &[u8], room: u64, out: &mut Vec<u8>) -> io::Result<()> {
    let mut decoder = zstd::Decoder::with_buffer(input)?.single_frame();
    decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
    read_up_to(room, decoder, out)
}

#[expect(clippy::disallowed_methods, reason = "`take` is the limit")]
fn read_up_to(room: u64, decoder: impl Read, out: &mut Vec<u8>) -> io::Result<()> {
    decoder.take(room).read_to_end(out).map(|_| ())
}
