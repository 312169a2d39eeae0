//! Cuts CSV into rows, piece by piece: quotes may span lines, lines end in LF, CR or CRLF, empty lines
//! are skipped. Keeps one row and nothing else; a row over its limit is skipped without being kept.
//! The state machine is the one of the crate `csv` (`csv_core`), so that both read alike.

use std::str;

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};
use domain::limits::IMPORT_COLUMNS_MAX;
use domain::rejection::{RejectCode, Rejection};
use domain::table::Cell;

/// Separators that are counted in a header.
const DELIMITERS: [u8; 3] = [b',', b';', b'\t'];
/// A separator that is tried when no other one makes columns of a header.
const LAST_DELIMITER: u8 = b'|';
/// What Excel writes before the header to say which separator the table has.
const SEPARATOR_LINE: &[u8] = b"sep=";
/// A byte order mark.
const BOM: &[u8] = b"\xEF\xBB\xBF";
/// What a spreadsheet would take for a formula when a cell begins with it.
const FORMULA_STARTS: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

/// The separators that a table whose header is `line` may have, the likeliest first: the one that
/// stands in it most often, outside of quotes; a comma when there is none.
pub fn likely_delimiters(line: &[u8]) -> Vec<u8> {
    let mut counts = [0_usize; DELIMITERS.len()];
    let mut quoted = false;
    for byte in line {
        quoted ^= *byte == b'"';
        let found = DELIMITERS.iter().position(|delimiter| delimiter == byte && !quoted);
        if let Some(count) = found.and_then(|index| counts.get_mut(index)) {
            *count += 1;
        }
    }
    let mut likely: Vec<_> = counts.into_iter().zip(DELIMITERS).collect();
    likely.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
    likely.into_iter().map(|(_, delimiter)| delimiter).chain([LAST_DELIMITER]).collect()
}

/// The separator that the first line of a table names, as Excel writes it (`sep=;`), with the length of
/// that line; `None` when the table begins with its header.
pub fn separator_line(head: &[u8]) -> Option<(u8, usize)> {
    let text = head.strip_prefix(BOM).unwrap_or(head);
    let bare = text.split(|byte| matches!(byte, b'\n' | b'\r')).next()?;
    let before = head.len() - text.len() + bare.len();
    let end = match head.get(before..)? {
        [b'\r', b'\n', ..] => 2,
        [_, ..] => 1,
        [] => return None,
    };
    let line = bare.strip_prefix(b"\"").and_then(|line| line.strip_suffix(b"\"")).unwrap_or(bare);
    match line.split_at_checked(SEPARATOR_LINE.len())? {
        (name, [delimiter]) if name.eq_ignore_ascii_case(SEPARATOR_LINE) && is_separator(*delimiter) => {
            Some((*delimiter, before + end))
        }
        _ => None,
    }
}

fn is_separator(byte: u8) -> bool {
    byte.is_ascii() && !byte.is_ascii_alphanumeric() && byte != b'"'
}

/// Whether a quote within quotes of the row `raw` stands behind a backslash and is followed by what may
/// follow no quote: the row is written by another rule than that of CSV, which doubles quotes.
pub fn has_escaped_quote(raw: &[u8], delimiter: u8) -> bool {
    if !raw.contains(&b'\\') {
        return false;
    }
    let ends = |byte: Option<&u8>| byte.is_none_or(|byte| *byte == delimiter || matches!(byte, b'\n' | b'\r'));
    let (mut at, mut quoted, mut begins, mut escaped) = (0, false, true, false);
    while let Some(byte) = raw.get(at) {
        let next = raw.get(at + 1);
        match byte {
            b'"' if quoted && next == Some(&b'"') => {
                escaped |= at > 0 && raw[at - 1] == b'\\';
                at += 1;
            }
            b'"' if quoted && ends(next) => quoted = false,
            b'"' if quoted => return escaped || raw[at - 1] == b'\\',
            b'"' if begins => quoted = true,
            _ => {}
        }
        begins = !quoted && ends(Some(byte));
        at += 1;
    }
    false
}

/// Reads rows.
#[derive(Debug)]
pub struct CsvReader {
    core: Reader,
    row_bytes_max: usize,
    fields: Vec<u8>,
    ends: Vec<usize>,
    /// Whether the row that is being read is too long to be kept.
    skipping: bool,
    /// Whether the input ended within quotes.
    open_quote: bool,
}

/// What stands at the front of the input.
#[derive(Debug)]
pub enum Cut<'r> {
    /// A row of so many bytes, with the end of its line.
    Row(usize, CsvRow<'r>),
    /// The end of a row that was longer than its limit, so many bytes of it.
    Overlong(usize),
    /// Less than one row. So many bytes are done with; the others are to be given again, with more.
    More(usize),
    /// Nothing, and nothing follows.
    End,
}

impl CsvReader {
    /// A reader that stands at the beginning of a row. Rows longer than `row_bytes_max` are skipped.
    pub fn new(delimiter: u8, row_bytes_max: usize) -> Self {
        Self {
            core: ReaderBuilder::new().delimiter(delimiter).build(),
            row_bytes_max,
            fields: vec![0; 4 << 10],
            ends: vec![0; 64],
            skipping: false,
            open_quote: false,
        }
    }

    /// Whether the row that was cut off last ends with the input, within quotes.
    pub fn ends_in_quotes(&self) -> bool {
        self.open_quote
    }

    /// Cuts the first row off `input`; `last` says that nothing comes behind it.
    pub fn cut(&mut self, input: &[u8], last: bool) -> Cut<'_> {
        if !self.skipping {
            // A row is read from its beginning every time, because its bytes are given from there.
            self.core.reset();
        }
        let (mut read, mut written, mut ended) = (0, 0, 0);
        let mut closing = false;
        loop {
            let rest = &input[read..];
            if rest.is_empty() && !last {
                return self.need_more(input.len());
            }
            // At the end of everything the machine is given the end of a line. Within quotes that ends no
            // row; then the machine is told of the end by being given nothing.
            let piece = if rest.is_empty() && !closing { &b"\n"[..] } else { rest };
            let (result, nin, nout, nend) =
                self.core.read_record(piece, &mut self.fields[written..], &mut self.ends[ended..]);
            if rest.is_empty() {
                closing |= nin > 0
            } else {
                read += nin
            }
            written += nout;
            ended += nend;
            self.open_quote = piece.is_empty();
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull if self.skipping => written = 0,
                ReadRecordResult::OutputEndsFull if self.skipping => ended = 0,
                ReadRecordResult::OutputFull => self.fields.resize(self.fields.len() * 2, 0),
                // One more than allowed, so that reaching the limit and passing it differ.
                ReadRecordResult::OutputEndsFull if ended > IMPORT_COLUMNS_MAX => self.skipping = true,
                ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
                ReadRecordResult::Record if std::mem::take(&mut self.skipping) => return Cut::Overlong(read),
                ReadRecordResult::Record if read > self.row_bytes_max => return Cut::Overlong(read),
                ReadRecordResult::Record => {
                    let read = read + following_feed(input, read);
                    let quoted = piece.is_empty();
                    let (fields, ends) = (&self.fields[..written - usize::from(quoted)], &mut self.ends[..ended]);
                    if let Some(end) = ends.last_mut().filter(|_| quoted) {
                        *end = fields.len();
                    }
                    return Cut::Row(read, CsvRow { fields, ends, quoted });
                }
                ReadRecordResult::End if std::mem::take(&mut self.skipping) => return Cut::Overlong(read),
                ReadRecordResult::End => return Cut::End,
            }
        }
    }

    /// Less than a row is there. What is too long already is let go.
    fn need_more(&mut self, bytes: usize) -> Cut<'static> {
        self.skipping |= bytes > self.row_bytes_max;
        Cut::More(if self.skipping { bytes } else { 0 })
    }
}

/// A row ends with its CR; the LF behind it belongs to the same end of line.
fn following_feed(input: &[u8], read: usize) -> usize {
    usize::from(input[..read].last() == Some(&b'\r') && input.get(read) == Some(&b'\n'))
}

/// The fields of one row.
#[derive(Debug, Clone, Copy)]
pub struct CsvRow<'r> {
    fields: &'r [u8],
    ends: &'r [usize],
    /// Whether the input ends within quotes.
    quoted: bool,
}

impl<'r> CsvRow<'r> {
    /// How many ends of lines the last field holds if its quote is never closed: it has swallowed all
    /// that is behind it.
    pub fn swallowed_lines(&self) -> Option<u64> {
        let start = self.ends.iter().rev().nth(1).copied().unwrap_or(0);
        let field = self.fields.get(start..).unwrap_or_default();
        self.quoted.then(|| field.iter().filter(|byte| **byte == b'\n').count() as u64)
    }

    /// How many fields there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The fields as texts.
    ///
    /// # Errors
    /// The [`Rejection`] of a row that is no UTF-8.
    pub fn texts(self) -> Result<impl ExactSizeIterator<Item = &'r str>, Rejection> {
        let all = str::from_utf8(self.fields).map_err(|error| {
            let before = self.ends.iter().filter(|end| **end <= error.valid_up_to()).count();
            Rejection::whole(RejectCode::InvalidRow, format!("column {} is not UTF-8", before + 1))
        })?;
        let mut start = 0;
        // Ends lie between characters, or a field would begin inside of one.
        Ok(self.ends.iter().map(move |end| all.get(std::mem::replace(&mut start, *end)..*end).unwrap_or_default()))
    }

    /// The fields as cells. An empty field is absent; the `'` that exports put before what a
    /// spreadsheet would take for a formula is taken off again.
    ///
    /// # Errors
    /// As [`CsvRow::texts`].
    pub fn cells(self) -> Result<impl ExactSizeIterator<Item = Cell<'r>>, Rejection> {
        let cell = |text: &'r str| if text.is_empty() { Cell::Absent } else { Cell::Text(without_guard(text)) };
        Ok(self.texts()?.map(cell))
    }
}

/// Undoes what an export does to texts that look like formulas, and to those that look guarded.
fn without_guard(text: &str) -> &str {
    match text.strip_prefix('\'') {
        Some(rest) if rest.trim_start_matches('\'').starts_with(FORMULA_STARTS) => rest,
        _ => text,
    }
}

#[cfg(test)]
mod tests;
