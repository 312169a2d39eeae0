//! Reading several sorted files as one: the merge that compaction and verification share. Memory is
//! one batch per file. Rows come in runs, because neighbouring rows mostly come from one file.

mod pending_rows;
mod residuals;
mod stream;

use std::ops::Range;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use parquet::errors::Result;

use crate::segment::Batches;
use crate::segment::sorted::SortedRows;

pub(crate) use pending_rows::PendingRows;
pub(crate) use residuals::ResidualStream;
pub(crate) use stream::{Sum, SumPart, SumStream};

/// One file being read.
struct Head<R> {
    batches: Batches,
    batch: RecordBatch,
    rows: Arc<R>,
    at: usize,
}

impl<R: SortedRows> Head<R> {
    fn open(mut batches: Batches) -> Result<Option<Self>> {
        for batch in batches.by_ref() {
            let batch = batch?;
            if batch.num_rows() > 0 {
                let rows = Arc::new(R::of(&batch)?);
                return Ok(Some(Self { batches, batch, rows, at: 0 }));
            }
        }
        Ok(None)
    }

    fn key(&self) -> R::Key<'_> {
        self.rows.key(self.at)
    }
}

/// Consecutive rows of one batch.
pub(crate) struct Run<R> {
    pub(crate) batch: RecordBatch,
    pub(crate) columns: Arc<R>,
    pub(crate) rows: Range<usize>,
}

/// Several sorted files as one.
pub(crate) struct Merge<R> {
    heads: Vec<Head<R>>,
}

impl<R: SortedRows> Merge<R> {
    /// Begins to read the files.
    pub(crate) fn open(files: impl IntoIterator<Item = Batches>) -> Result<Self> {
        let heads = files.into_iter().filter_map(|batches| Head::open(batches).transpose()).collect::<Result<_>>()?;
        Ok(Self { heads })
    }

    /// The next rows in order, all of one batch.
    pub(crate) fn next_run(&mut self) -> Result<Option<Run<R>>> {
        let Some((least, end)) = self.least() else { return Ok(None) };
        let head = &mut self.heads[least];
        let run = Run { batch: head.batch.clone(), columns: Arc::clone(&head.rows), rows: head.at..end };
        head.at = end;
        if end == head.batch.num_rows() {
            let head = self.heads.swap_remove(least);
            self.heads.extend(Head::open(head.batches)?);
        }
        Ok(Some(run))
    }

    /// The file with the least row, and the first of its rows that is not below all other files.
    fn least(&self) -> Option<(usize, usize)> {
        let least = (0..self.heads.len()).min_by_key(|at| self.heads[*at].key())?;
        let others = self.heads.iter().enumerate().filter(|(at, _)| *at != least);
        let head = &self.heads[least];
        let rows = head.batch.num_rows();
        let end = match others.map(|(_, head)| head.key()).min() {
            None => rows,
            Some(bound) if head.rows.key(rows - 1) <= bound => rows,
            Some(bound) => {
                let (mut low, mut high) = (head.at, rows - 1);
                while low < high {
                    let middle = low.midpoint(high);
                    if head.rows.key(middle) <= bound { low = middle + 1 } else { high = middle }
                }
                low
            }
        };
        Some((least, end.max(head.at + 1)))
    }
}
