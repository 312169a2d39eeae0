//! Undoes the compression of a file while it is read. Unlike a request, a file of one's own has no
//! limit in size or ratio, since nothing of it is kept: memory is bounded by the window alone.

use std::io::{self, BufRead, BufReader, Read};

/// First bytes of gzip (RFC 1952) and of a zstd frame (RFC 8878).
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// Largest zstd window, as a power of two: 128 MiB, what `zstd --long` writes.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;
/// Bytes asked of the source at once.
const READ_BYTES: usize = 256 << 10;

/// The content of `input`: gzip and zstd are told by their first bytes and undone, anything else is
/// given as it is. Several gzip members or zstd frames are one content.
///
/// # Errors
/// When the first bytes cannot be read. A corrupt stream is an error of a later read.
pub fn inflate(input: impl Read + Send + 'static) -> io::Result<Box<dyn Read + Send>> {
    let mut input = BufReader::with_capacity(READ_BYTES, input);
    let mut magic = Vec::with_capacity(ZSTD_MAGIC.len());
    while magic.len() < ZSTD_MAGIC.len() {
        let bytes = input.fill_buf()?;
        if bytes.is_empty() {
            break;
        }
        let taken = bytes.len().min(ZSTD_MAGIC.len() - magic.len());
        magic.extend_from_slice(&bytes[..taken]);
        input.consume(taken);
    }
    let (gzip, zstd) = (magic.starts_with(&GZIP_MAGIC), magic.starts_with(&ZSTD_MAGIC));
    let whole = BufReader::with_capacity(READ_BYTES, io::Cursor::new(magic).chain(input));
    if gzip {
        #[expect(
            clippy::disallowed_methods,
            reason = "nothing is kept, and time is bounded by the length of the file"
        )]
        return Ok(Box::new(flate2::bufread::MultiGzDecoder::new(whole)));
    }
    if zstd {
        let mut decoder = zstd::Decoder::with_buffer(whole)?;
        decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
        return Ok(Box::new(decoder));
    }
    Ok(Box::new(whole))
}
