//! Tells the rows of CSV apart and reads each. A row that cannot be read is refused by itself; the ones
//! behind it are read all the same. Memory is bounded by the longest row.

use std::str;

use anyhow::{Context, bail, ensure};
use domain::limits::Limits;
use domain::rejection::{RejectCode, Rejection};
use wire::{Columns, ColumnsError, CsvReader, CsvRow, Cut};

use super::input_reader::{FilePosition, InputReader};
use super::nulls::Nulls;
use super::options::TableOptions;
use super::rows::{EmptyFile, Row, RowSink, cut_short, excerpt, fill, too_long};

/// The code of the warning about a file that ends within a line.
const NO_LAST_LINE_BREAK: &str = "no_last_line_break";

/// Reads CSV whose first row names the columns; the rows from `from` on.
pub(super) fn read_csv(
    input: &mut InputReader,
    from: FilePosition,
    options: &TableOptions,
    limits: &Limits,
    rows: &mut impl RowSink,
) -> anyhow::Result<()> {
    let row_bytes_max = limits.import_row_bytes_max();
    let (columns, delimiter) = read_header(input, options, row_bytes_max)?;
    options.ensure_time(&columns)?;
    input.skip_to(from).context("failed to read the file")?;
    let mut reader = CsvReader::new(delimiter, row_bytes_max);
    let mut nulls = Nulls::new(&options.nulls, &columns);
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
                if row.swallowed_lines().is_some() || !(raw.ends_with(b"\n") || raw.ends_with(b"\r")) {
                    check_end(&row, raw, line, after.lines, columns.len())?;
                    warn_of_end(line, rows);
                }
                let item = match row.cells() {
                    _ if wire::has_escaped_quote(raw, delimiter) => Err((None, escaped_quote())),
                    _ if row.len() != columns.len() => Err((None, misfit(row.len(), columns.len(), raw))),
                    Ok(cells) => columns.read(nulls.read(cells), &mut scratch, limits),
                    Err(rejection) => Err((None, rejection)),
                };
                nulls.warn(&columns, line, rows);
                rows.take(Row { line, raw: raw.get(blank..).unwrap_or_default(), after, item })?;
                input.move_to(after);
            }
            Cut::Overlong(length) => {
                let raw = &bytes[..length];
                let (line, excerpt) = overlong.take().unwrap_or_else(|| (line, excerpt(raw)));
                let after = after(position, raw);
                if reader.ends_in_quotes() {
                    return Err(cut_short(line, "a quote opened in this row is never closed"));
                }
                rows.take(Row { line, raw: &excerpt, after, item: Err((None, too_long(row_bytes_max))) })?;
                input.move_to(after);
            }
            Cut::More(done) => {
                if done > 0 {
                    overlong.get_or_insert_with(|| (line, excerpt(bytes)));
                }
                input.consume(done);
                fill(input)?;
            }
            Cut::End => return Ok(()),
        }
    }
}

/// Checks that the last row, which no end of line follows, is a whole one.
fn check_end(row: &CsvRow<'_>, raw: &[u8], line: u64, lines: u64, columns: usize) -> anyhow::Result<()> {
    if let Some(swallowed) = row.swallowed_lines() {
        let opened = lines + 1 - swallowed;
        return Err(cut_short(line, &format!("a quote opened in line {opened} is never closed{}", hint(raw))));
    }
    if row.len() < columns {
        let found = row.len();
        return Err(cut_short(line, &format!("its last row has {found} columns of {columns} and no end of line")));
    }
    if str::from_utf8(raw).is_err_and(|why| why.error_len().is_none()) {
        return Err(cut_short(line, "it ends within a character"));
    }
    Ok(())
}

/// What a row may suffer from that holds `\"`.
fn hint(raw: &[u8]) -> &'static str {
    let is_escaped = raw.windows(2).any(|pair| pair == b"\\\"");
    if is_escaped { " (are quotes escaped by a backslash? CSV writes them twice)" } else { "" }
}

fn warn_of_end(line: u64, rows: &mut impl RowSink) {
    rows.warn(line, NO_LAST_LINE_BREAK, "", &|| {
        "no end of line follows the last row: if the file was cut short, its last cell may be too".to_owned()
    });
}

fn misfit(found: usize, columns: usize, raw: &[u8]) -> Rejection {
    let message = format!("has {found} columns, the header {columns}{}", hint(raw));
    Rejection::whole(RejectCode::InvalidRow, message)
}

fn escaped_quote() -> Rejection {
    let message = "a quote is escaped by a backslash (\\\"); CSV writes a quote within quotes twice (\"\")";
    Rejection::whole(RejectCode::InvalidRow, message)
}

fn after(position: FilePosition, raw: &[u8]) -> FilePosition {
    let lines = raw.iter().filter(|byte| **byte == b'\n').count() as u64;
    FilePosition { offset: position.offset + raw.len() as u64, lines: position.lines + lines }
}

/// Reads the header; the columns, and the separator that they are told by: the one of the command line or
/// of a line before the header, else the first one that makes columns of the header that can be read.
fn read_header(input: &mut InputReader, options: &TableOptions, row_bytes_max: usize) -> anyhow::Result<(Columns, u8)> {
    let mut delimiter = options.delimiter;
    if let Some((separator, length)) = wire::separator_line(input.bytes()) {
        delimiter = delimiter.or(Some(separator));
        input.consume(length);
    }
    let head = input.bytes();
    let line = head.split(|byte| matches!(byte, b'\n' | b'\r')).find(|line| !line.is_empty()).unwrap_or_default();
    let delimiters = delimiter.map_or_else(|| wire::likely_delimiters(line), |delimiter| vec![delimiter]);
    let mut refusal = None;
    for (number, delimiter) in delimiters.iter().enumerate() {
        let mut reader = CsvReader::new(*delimiter, row_bytes_max);
        let (length, columns) = cut_header(input, &mut reader, options)?;
        match columns {
            // Alone it is whatever another separator may not have told apart.
            Ok(columns) if number == 0 || columns.len() > 1 => {
                input.consume(length);
                return Ok((columns, *delimiter));
            }
            Ok(_) => {}
            Err((why, columns)) => {
                refusal.get_or_insert((why, columns));
            }
        }
    }
    let (why, columns) = refusal.context("the header cannot be read")?;
    let hint =
        if columns == 1 && delimiter.is_none() { " (is the separator another one? see --delimiter)" } else { "" };
    bail!("{why}{hint}")
}

/// The columns of a header, or why they are none, with how many there are.
type CutHeader = Result<Columns, (ColumnsError, usize)>;

/// The header as `reader` tells its columns apart, and its length; or why it is none, with how many
/// columns there are.
fn cut_header(
    input: &mut InputReader,
    reader: &mut CsvReader,
    options: &TableOptions,
) -> anyhow::Result<(usize, CutHeader)> {
    loop {
        match reader.cut(input.bytes(), input.is_last()) {
            Cut::Row(length, row) => {
                ensure!(row.swallowed_lines().is_none(), "a quote in the header is never closed");
                let names = row.texts().map_err(|why| anyhow::anyhow!("the header {why}"))?;
                return Ok((length, options.columns(names).map_err(|why| (why, row.len()))));
            }
            Cut::Overlong(_) => bail!("the header is too long to be one"),
            Cut::More(done) => {
                ensure!(done == 0, "the header is too long to be one");
                fill(input)?;
            }
            Cut::End => return Err(EmptyFile("the file has no header").into()),
        }
    }
}
