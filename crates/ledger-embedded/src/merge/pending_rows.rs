//! Runs of raw events on their way into one batch. Batches that are read are held until then, so they are few.

use std::sync::Arc;

use arrow::compute::interleave_record_batch;
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

use super::Run;
use crate::segment::events::EventKeys;

/// Rows written at once.
const BATCH_ROWS: usize = 8_192;
/// Bytes of pending rows before they are written.
const BATCH_BYTES: usize = 16 << 20;
/// Input batches held at once before the pending rows are written.
const BATCHES_HELD: usize = 64;

/// Rows of several batches, on their way into one.
#[derive(Default)]
pub(crate) struct PendingRows {
    batches: Vec<RecordBatch>,
    rows: Vec<(usize, usize)>,
    bytes: usize,
}

impl PendingRows {
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.rows.len() >= BATCH_ROWS || self.batches.len() >= BATCHES_HELD || self.bytes >= BATCH_BYTES
    }

    pub(crate) fn push(&mut self, run: Run<EventKeys>) {
        let same = |batch: &RecordBatch| Arc::ptr_eq(batch.column(0), run.batch.column(0));
        let at = self.batches.iter().rposition(same).unwrap_or_else(|| {
            self.bytes += run.batch.get_array_memory_size();
            self.batches.push(run.batch.clone());
            self.batches.len() - 1
        });
        self.rows.extend(run.rows.map(|row| (at, row)));
    }

    pub(crate) fn take(&mut self) -> Result<RecordBatch, ArrowError> {
        let batches = std::mem::take(&mut self.batches);
        let merged = interleave_record_batch(&batches.iter().collect::<Vec<_>>(), &self.rows);
        self.rows.clear();
        self.bytes = 0;
        merged
    }
}
