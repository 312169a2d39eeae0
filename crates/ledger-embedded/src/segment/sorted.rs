//! What a file of sorted rows offers to those that read several as one.

use arrow::record_batch::RecordBatch;
use parquet::errors::Result;

/// Typed access to the sort columns of a batch.
pub(crate) trait SortedRows: Sized {
    /// What rows are ordered by.
    type Key<'k>: Ord
    where
        Self: 'k;

    /// Looks up the columns.
    fn of(batch: &RecordBatch) -> Result<Self>;

    /// The key of a row.
    fn key(&self, row: usize) -> Self::Key<'_>;
}
