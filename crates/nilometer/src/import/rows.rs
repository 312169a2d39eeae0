//! Tells the rows of a text apart, CSV or one JSON object per line, and reads each. A row that cannot
//! be read is refused by itself; the ones behind it are read all the same. Memory is bounded by the
//! longest row.

use anyhow::{Context, bail, ensure};
use domain::limits::Limits;
use domain::rejection::{RejectCode, Rejection};
use wire::{Columns, CsvReader, Cut};

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
    fn take(&mut self, row: Row<'_, '_>) -> anyhow::Result<()>;
}

/// Reads one JSON object per line, from `from` on.
pub(super) fn read_lines(
    input: &mut InputReader,
    from: FilePosition,
    limits: &Limits,
    rows: &mut impl RowSink,
) -> anyhow::Result<()> {
    let row_bytes_max = limits.import_row_bytes_max();
    if input.bytes().starts_with(b"\xEF\xBB\xBF") {
        input.consume(3);
    }
    input.skip_to(from)?;
    let mut overlong: Option<(u64, Vec<u8>)> = None;
    loop {
        let (bytes, last) = (input.bytes(), input.is_last());
        let (length, whole) = match memchr::memchr(b'\n', bytes) {
            Some(end) => (end + 1, true),
            None if last && bytes.is_empty() && overlong.is_none() => return Ok(()),
            None => (bytes.len(), last),
        };
        let position = input.position();
        let line = position.lines + 1;
        if !whole && (overlong.is_some() || length > row_bytes_max) {
            let excerpt = bytes[..length.min(EXCERPT_BYTES)].to_vec();
            overlong.get_or_insert((line, excerpt));
            input.consume(length);
            input.fill().context("failed to read the file")?;
        } else if !whole {
            input.fill().context("failed to read the file")?;
        } else {
            let raw = &bytes[..length];
            let end = usize::from(raw.ends_with(b"\n"));
            let after = FilePosition { offset: position.offset + length as u64, lines: position.lines + end as u64 };
            if let Some((line, excerpt)) = overlong.take() {
                rows.take(Row { line, raw: &excerpt, after, item: Err((None, too_long(row_bytes_max))) })?;
            } else if length > row_bytes_max {
                rows.take(Row { line, raw, after, item: Err((None, too_long(row_bytes_max))) })?;
            } else if let Some(item) = wire::line(line, &raw[..length - end], limits) {
                rows.take(Row { line, raw, after, item })?;
            }
            input.move_to(after);
        }
    }
}

fn too_long(row_bytes_max: usize) -> Rejection {
    Rejection::whole(RejectCode::TooLong, format!("longer than {row_bytes_max} bytes (is a quote left open?)"))
}

fn never_closed(line: u64) -> Rejection {
    Rejection::whole(RejectCode::InvalidRow, format!("a quote opened in line {line} is never closed"))
}

/// What the command line says about CSV.
#[derive(Debug, Clone, Default)]
pub(crate) struct CsvOptions {
    pub(crate) delimiter: Option<u8>,
    pub(crate) mapping: Vec<(String, String)>,
}

/// Reads CSV whose first row names the columns; the rows from `from` on.
pub(super) fn read_csv(
    input: &mut InputReader,
    from: FilePosition,
    options: &CsvOptions,
    limits: &Limits,
    rows: &mut impl RowSink,
) -> anyhow::Result<()> {
    let row_bytes_max = limits.import_row_bytes_max();
    let head = input.bytes();
    let line = head.split(|byte| matches!(byte, b'\n' | b'\r')).find(|line| !line.is_empty()).unwrap_or_default();
    let delimiter = options.delimiter.unwrap_or_else(|| wire::detect_delimiter(line));
    let mut reader = CsvReader::new(delimiter, row_bytes_max);
    let columns = read_header(input, &mut reader, options)?;
    input.skip_to(from)?;
    let mut scratch = String::new();
    let mut overlong: Option<(u64, Vec<u8>)> = None;
    loop {
        let (bytes, position) = (input.bytes(), input.position());
        // Empty lines before a row belong to no row.
        let blank = bytes.iter().take_while(|byte| matches!(byte, b'\n' | b'\r')).count();
        let skipped = bytes[..blank].iter().filter(|byte| **byte == b'\n').count() as u64;
        let line = position.lines + skipped + 1;
        match reader.cut(bytes, input.is_last()) {
            Cut::Row(length, row) => {
                let raw = &bytes[..length];
                let after = after(position, raw);
                let item = match (row.swallowed_lines(), row.cells()) {
                    (Some(swallowed), _) => Err((None, never_closed(after.lines + 1 - swallowed))),
                    (None, Ok(cells)) => columns.read(cells, &mut scratch, limits),
                    (None, Err(rejection)) => Err((None, rejection)),
                };
                rows.take(Row { line, raw: raw.get(blank..).unwrap_or_default(), after, item })?;
                input.move_to(after);
            }
            Cut::Overlong(length) => {
                let raw = &bytes[..length];
                let (line, excerpt) = overlong.take().unwrap_or_else(|| (line, excerpt(raw)));
                let after = after(position, raw);
                rows.take(Row { line, raw: &excerpt, after, item: Err((None, too_long(row_bytes_max))) })?;
                input.move_to(after);
            }
            Cut::More(done) => {
                if done > 0 {
                    overlong.get_or_insert_with(|| (line, excerpt(bytes)));
                }
                input.consume(done);
                input.fill().context("failed to read the file")?;
            }
            Cut::End => return Ok(()),
        }
    }
}

fn excerpt(raw: &[u8]) -> Vec<u8> {
    raw[..raw.len().min(EXCERPT_BYTES)].to_vec()
}

fn after(position: FilePosition, raw: &[u8]) -> FilePosition {
    let lines = raw.iter().filter(|byte| **byte == b'\n').count() as u64;
    FilePosition { offset: position.offset + raw.len() as u64, lines: position.lines + lines }
}

fn read_header(input: &mut InputReader, reader: &mut CsvReader, options: &CsvOptions) -> anyhow::Result<Columns> {
    loop {
        match reader.cut(input.bytes(), input.is_last()) {
            Cut::Row(length, row) => {
                ensure!(row.swallowed_lines().is_none(), "a quote in the header is never closed");
                let names = row.texts().map_err(|why| anyhow::anyhow!("the header {why}"))?;
                let columns = Columns::of(names, &options.mapping)?;
                input.consume(length);
                return Ok(columns);
            }
            Cut::Overlong(_) => bail!("the header is too long to be one"),
            Cut::More(done) => {
                ensure!(done == 0, "the header is too long to be one");
                input.fill().context("failed to read the file")?;
            }
            Cut::End => bail!("the file has no header"),
        }
    }
}
