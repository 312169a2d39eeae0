//! Reads the rows of a Parquet file as events. There is no text to show for a row: its refusal names
//! the number of the row, from 1.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use anyhow::{Context, bail, ensure};
use domain::limits::Limits;
use ledger_embedded::interchange::ParquetTable;
use vfs::{DiskVfs, Vfs};
use wire::{ColumnUse, Columns};

use super::input_reader::FilePosition;
use super::nulls::Nulls;
use super::options::TableOptions;
use super::rows::{Row, RowSink};

/// What a Parquet file begins and ends with.
pub(super) const MAGIC: [u8; 4] = *b"PAR1";
/// The code of the warning about a column that is left out.
const NOT_READ: &str = "column_not_read";

/// Reads the rows of the file at `path` from the one at `from` on.
pub(super) fn read_parquet(
    path: &Path,
    from: FilePosition,
    options: &TableOptions,
    limits: &Limits,
    rows: &mut impl RowSink,
) -> anyhow::Result<()> {
    ensure!(
        ends_whole(path).context("failed to open the file")?,
        "the Parquet file seems to be cut short: its end, which says where its rows are, is missing; none is taken"
    );
    let file = DiskVfs.open_read(path).context("failed to open the file")?;
    let mut table = ParquetTable::open(file, from.offset)?;
    let columns = options.columns(table.columns().iter().map(String::as_str))?;
    warn_of_left_out(&table, &columns, rows)?;
    options.ensure_time(&columns)?;
    let mut nulls = Nulls::new(&options.nulls, &columns);
    let mut position = from;
    let mut scratch = String::new();
    while let Some(batch) = table.next_rows()? {
        for row in 0..batch.len() {
            position = FilePosition { offset: position.offset + 1, lines: position.lines + 1 };
            let item = columns.read(nulls.read(batch.row(row)), &mut scratch, limits);
            nulls.warn(&columns, position.lines, rows);
            rows.take(Row { line: position.lines, raw: b"", after: position, item })?;
        }
    }
    Ok(())
}

fn ends_whole(path: &Path) -> io::Result<bool> {
    let mut file = File::open(path)?;
    let mut end = [0; MAGIC.len()];
    // The mark at the front is not the one at the end.
    if file.seek(SeekFrom::End(0))? < 2 * MAGIC.len() as u64 {
        return Ok(false);
    }
    file.seek(SeekFrom::End(-4))?;
    file.read_exact(&mut end)?;
    Ok(end == MAGIC)
}

/// Warns about columns whose values are not read. Without one that is a field, events would be others.
fn warn_of_left_out(table: &ParquetTable, columns: &Columns, rows: &mut impl RowSink) -> anyhow::Result<()> {
    for (index, kind) in table.left_out() {
        let name = columns.name(*index);
        match columns.use_of(*index) {
            ColumnUse::Field => {
                bail!("column {name:?} is of type {kind}: only texts, numbers, truth values and times are read")
            }
            ColumnUse::Nothing => {}
            ColumnUse::Property | ColumnUse::Properties => rows.warn(0, NOT_READ, name, &|| {
                format!(
                    "the column is of type {kind} and left out: only texts, numbers, truth values and times are read"
                )
            }),
        }
    }
    Ok(())
}
