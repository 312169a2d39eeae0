//! The residuals of several segments as one stream: every cell once, in order, with its whole sum.

use std::ops::Range;
use std::sync::Arc;

use parquet::errors::Result;

use super::Merge;
use crate::memtable::SumNumbers;
use crate::segment::Segment;
use crate::segment::residuals::{COLUMNS, Cell, ResidualRows};
use crate::segment::sorted::SortedRows;

/// The residuals of several segments, one cell after another.
pub(crate) struct ResidualStream {
    merge: Merge<ResidualRows>,
    rows: Option<(Arc<ResidualRows>, Range<usize>)>,
    pending: Option<(Cell, SumNumbers)>,
}

impl ResidualStream {
    /// Begins to read the segments.
    pub(crate) fn open(segments: &[Arc<Segment>]) -> Result<Self> {
        let files = segments.iter().filter_map(|segment| segment.residuals()).map(|file| file.scan(&COLUMNS));
        let merge = Merge::open(files.collect::<Result<Vec<_>>>()?)?;
        Ok(Self { merge, rows: None, pending: None })
    }

    /// The next cell.
    pub(crate) fn next_cell(&mut self) -> Result<Option<(Cell, SumNumbers)>> {
        loop {
            let Some((rows, range)) = &mut self.rows else {
                match self.merge.next_run()? {
                    Some(run) => self.rows = Some((run.columns, run.rows)),
                    None => return Ok(self.pending.take()),
                }
                continue;
            };
            let Some(row) = range.next() else {
                self.rows = None;
                continue;
            };
            let (key, numbers) = (rows.key(row), rows.numbers(row));
            match &mut self.pending {
                Some((cell, sum)) if cell.key() == key => sum.merge(&numbers),
                pending => {
                    if let Some(whole) = pending.replace((Cell::from(key), numbers)) {
                        return Ok(Some(whole));
                    }
                }
            }
        }
    }
}
