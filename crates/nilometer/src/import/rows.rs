//! What a row of a file is, whatever its format, and what is said of files that end too early.

use std::io;

use anyhow::Context;
use domain::rejection::{RejectCode, Rejection};

use super::input_reader::{FilePosition, InputReader};

/// Bytes of a row that is too long which its refusal shows.
const EXCERPT_BYTES: usize = 256;

/// One row of a file.
pub(super) struct Row<'r, 'a> {
    /// The line it begins on, from 1; for a table without lines the row.
    pub(super) line: u64,
    /// The row as it stands in the file.
    pub(super) raw: &'r [u8],
    /// Where the next one begins.
    pub(super) after: FilePosition,
    /// What it says.
    pub(super) item: wire::Item<'a>,
}

/// Takes rows. An error ends the reading.
pub(super) trait RowSink {
    /// Takes a row.
    fn take(&mut self, row: Row<'_, '_>) -> anyhow::Result<()>;

    /// Counts a warning about `field` of the row on line `line`, which is taken next; line 0 stands for
    /// the file. `message` is asked for when it is to be shown.
    fn warn(&mut self, line: u64, code: &'static str, field: &str, message: &dyn Fn() -> String);
}

/// A file that holds no row.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct EmptyFile(pub(super) &'static str);

/// Reads more bytes into the window of `input`.
pub(super) fn fill(input: &mut InputReader) -> anyhow::Result<()> {
    let line = input.position().lines + 1;
    match input.fill() {
        Err(why) if why.kind() == io::ErrorKind::UnexpectedEof => {
            Err(cut_short(line, "the compressed content ends before its end"))
        }
        filled => filled.context("failed to read the file"),
    }
}

/// The error of a file that ends within the row that begins on line `line`. The row is not given to any
/// sink, so that nothing behind it is ever taken for done.
pub(super) fn cut_short(line: u64, why: &str) -> anyhow::Error {
    anyhow::anyhow!(
        "the file seems to be cut short in line {line}: {why}; the rows before it are taken, and count once when the \
         whole file is imported"
    )
}

pub(super) fn too_long(row_bytes_max: usize) -> Rejection {
    Rejection::whole(RejectCode::TooLong, format!("longer than {row_bytes_max} bytes (is a quote left open?)"))
}

pub(super) fn excerpt(raw: &[u8]) -> Vec<u8> {
    raw[..raw.len().min(EXCERPT_BYTES)].to_vec()
}
