//! Reads the rows of a Parquet file as events. There is no text to show for a row: its refusal names
//! the number of the row, from 1.

use std::path::Path;

use anyhow::Context;
use domain::limits::Limits;
use ledger_embedded::interchange::ParquetTable;
use vfs::{DiskVfs, Vfs};
use wire::Columns;

use super::input_reader::FilePosition;
use super::rows::{Row, RowSink};

/// Reads the rows of the file at `path` from the one at `from` on.
pub(super) fn read_parquet(
    path: &Path,
    from: FilePosition,
    mapping: &[(String, String)],
    limits: &Limits,
    rows: &mut impl RowSink,
) -> anyhow::Result<()> {
    let file = DiskVfs.open_read(path).context("failed to open the file")?;
    let mut table = ParquetTable::open(file, from.offset)?;
    let columns = Columns::of(table.columns().iter().map(String::as_str), mapping)?;
    let mut position = from;
    let mut scratch = String::new();
    while let Some(batch) = table.next_rows()? {
        for row in 0..batch.len() {
            position = FilePosition { offset: position.offset + 1, lines: position.lines + 1 };
            let item = columns.read(batch.row(row), &mut scratch, limits);
            rows.take(Row { line: position.lines, raw: b"", after: position, item })?;
        }
    }
    Ok(())
}
