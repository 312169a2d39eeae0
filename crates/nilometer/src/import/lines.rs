//! Tells the lines of a text apart, one JSON object on each, and reads each. A line that cannot be read is
//! refused by itself; the ones behind it are read all the same. Memory is bounded by the longest line.

use anyhow::{Context, bail};
use domain::limits::Limits;
use domain::rejection::{RejectCode, Rejection};
use serde::de::IgnoredAny;

use super::input_reader::{FilePosition, InputReader};
use super::rows::{Row, RowSink, cut_short, excerpt, fill, too_long};

/// What is said of an object that is written over several lines.
const OVER_LINES: &str = "an object goes over several lines (is the file pretty-printed?): one object per line is read \
                          (try: jq -c .)";

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
    input.skip_to(from).context("failed to read the file")?;
    let mut overlong: Option<(u64, Vec<u8>)> = None;
    let mut unfinished = UnfinishedObjects { is_first: from == FilePosition::default(), tried: 0, row_bytes_max };
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
            overlong.get_or_insert_with(|| (line, excerpt(bytes)));
            input.consume(length);
            fill(input)?;
        } else if !whole {
            fill(input)?;
        } else {
            let raw = &bytes[..length];
            let end = usize::from(raw.ends_with(b"\n"));
            let mut after =
                FilePosition { offset: position.offset + length as u64, lines: position.lines + end as u64 };
            if let Some((line, excerpt)) = overlong.take() {
                rows.take(Row { line, raw: &excerpt, after, item: Err((None, too_long(row_bytes_max))) })?;
            } else if length > row_bytes_max {
                rows.take(Row { line, raw, after, item: Err((None, too_long(row_bytes_max))) })?;
            } else if let Some(item) = wire::line(line, &raw[..length - end], limits) {
                let found = if item.is_err() { unfinished.look(line, bytes, length, last) } else { Unfinished::No };
                match found {
                    Unfinished::No => rows.take(Row { line, raw, after, item })?,
                    Unfinished::Unknown => {
                        drop(item);
                        fill(input)?;
                        continue;
                    }
                    Unfinished::Cut => return Err(cut_short(line, "its last line is no whole JSON object")),
                    Unfinished::OverLines(length) => {
                        if unfinished.is_first {
                            bail!("line {line}: {OVER_LINES}");
                        }
                        let raw = &bytes[..length];
                        let lines = raw.iter().filter(|byte| **byte == b'\n').count() as u64;
                        after = FilePosition { offset: position.offset + length as u64, lines: position.lines + lines };
                        let item = Err((None, Rejection::whole(RejectCode::InvalidJson, OVER_LINES)));
                        rows.take(Row { line, raw, after, item })?;
                    }
                }
                unfinished.is_first = false;
            }
            input.move_to(after);
        }
    }
}

/// Looks at lines that begin an object and do not end it.
struct UnfinishedObjects {
    /// Whether no line has been read.
    is_first: bool,
    /// The lines up to this one are known to be no beginning of an object over several lines. Keeps the
    /// time to look at all lines in proportion to their bytes.
    tried: u64,
    row_bytes_max: usize,
}

/// What a line is that cannot be read.
enum Unfinished {
    /// No beginning of an object, or one that no other line ends.
    No,
    /// More bytes tell.
    Unknown,
    /// The last line, without its end.
    Cut,
    /// The first line of an object that ends within so many bytes, those of whole lines.
    OverLines(usize),
}

impl UnfinishedObjects {
    /// What line number `line` is, whose bytes are the first `length` of `bytes`; `last` says that
    /// nothing follows them.
    fn look(&mut self, line: u64, bytes: &[u8], length: usize, last: bool) -> Unfinished {
        let is_ended = bytes[..length].ends_with(b"\n");
        if line <= self.tried || !bytes.trim_ascii_start().starts_with(b"{") || !is_unfinished(&bytes[..length]) {
            return Unfinished::No;
        }
        if !is_ended {
            return Unfinished::Cut;
        }
        let mut values = serde_json::Deserializer::from_slice(bytes).into_iter::<IgnoredAny>();
        let found = values.next();
        let end = values.byte_offset();
        match found {
            Some(Ok(_)) => {
                let rest = bytes.get(end..).unwrap_or_default();
                Unfinished::OverLines(memchr::memchr(b'\n', rest).map_or(bytes.len(), |feed| end + feed + 1))
            }
            Some(Err(why)) if why.is_eof() && !last && bytes.len() <= self.row_bytes_max => Unfinished::Unknown,
            // Longer than any row, and no fault in it.
            Some(Err(why)) if why.is_eof() && !last && self.is_first => Unfinished::OverLines(bytes.len()),
            Some(Err(why)) => {
                self.tried = line + (why.line() as u64).saturating_sub(2);
                Unfinished::No
            }
            None => Unfinished::No,
        }
    }
}

/// Whether `text` ends before the JSON value that begins it does.
fn is_unfinished(text: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(text).is_err_and(|why| why.is_eof())
}
