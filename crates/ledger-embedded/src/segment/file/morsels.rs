//! A Parquet file in pieces of one row group, for readers that share the work, with texts as views:
//! short ones without an allocation, long ones where their page was decompressed.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder, RowSelection,
    RowSelector,
};
use parquet::errors::Result as ParquetResult;
use parquet::file::reader::Length;

use super::super::lacking::Lacking;
use super::{KeyRange, PageBounds, ParquetFile};

/// Rows handed out at once, at most.
const BATCH_ROWS: usize = 8_192;
/// Bytes handed out at once, about, as they stand in the file.
const BATCH_BYTES: u64 = 4 << 20;

/// Some pages of one row group.
#[derive(Debug)]
pub(crate) struct Morsel {
    group: usize,
    /// First row and number of rows of each page, in order.
    pages: Vec<(usize, usize)>,
    /// Whether every row of these pages is wanted, as far as the page index tells.
    pub(crate) whole: bool,
}

/// A file whose texts are read as views.
#[derive(Debug)]
pub(crate) struct ViewFile<'f> {
    file: &'f ParquetFile,
    metadata: ArrowReaderMetadata,
}

impl PageBounds {
    /// Whether every row is wanted.
    fn holds_only(&self, wanted: &KeyRange<'_>) -> bool {
        let tenant = wanted.tenant.as_bytes();
        self.tenant.0 == tenant
            && self.tenant.1 == tenant
            && wanted.range.from().micros() <= self.time.0
            && self.time.1 < wanted.range.to().micros()
    }
}

impl ParquetFile {
    /// The pages that may hold rows of one tenant and time, those that hold no others apart.
    pub(crate) fn morsels(&self, wanted: &KeyRange<'_>) -> Vec<Morsel> {
        let mut morsels: Vec<Morsel> = Vec::new();
        for page in self.pages.iter().filter(|page| page.may_hold(wanted)) {
            let (group, whole) = (page.group, page.holds_only(wanted));
            let same = |morsel: &&mut Morsel| morsel.group == group && morsel.whole == whole;
            let rows = (page.first_row, page.rows);
            match morsels.iter_mut().rev().take(2).find(same) {
                Some(morsel) => morsel.pages.push(rows),
                None => morsels.push(Morsel { group, pages: vec![rows], whole }),
            }
        }
        morsels
    }

    /// The file with its texts as views.
    pub(crate) fn views(&self) -> ParquetResult<ViewFile<'_>> {
        let fields = self.metadata.schema().fields().iter().map(|field| match field.data_type() {
            DataType::Utf8 => Arc::new(Field::new(field.name(), DataType::Utf8View, field.is_nullable())),
            _ => Arc::clone(field),
        });
        let options = ArrowReaderOptions::new().with_schema(Arc::new(Schema::new(fields.collect::<Vec<_>>())));
        let metadata = ArrowReaderMetadata::try_new(Arc::clone(self.metadata.metadata()), options)?;
        Ok(ViewFile { file: self, metadata })
    }
}

impl ViewFile<'_> {
    /// Batches of these columns.
    pub(crate) fn read(&self, morsel: &Morsel, columns: &[&str]) -> ParquetResult<ViewBatches> {
        let mask = ProjectionMask::columns(self.metadata.parquet_schema(), columns.iter().copied());
        let chunks = self.file.chunks.clone();
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(chunks, self.metadata.clone());
        let mut builder = builder.with_projection(mask).with_row_groups(vec![morsel.group]);
        let rows = usize::try_from(self.metadata.metadata().row_group(morsel.group).num_rows()).unwrap_or(0);
        if morsel.pages.iter().map(|(_, rows)| rows).sum::<usize>() != rows {
            builder = builder.with_row_selection(selection(&morsel.pages, rows));
        }
        let reader = builder.with_batch_size(self.batch_rows()).build()?;
        Ok(ViewBatches { reader, lacking: self.file.lacking.among(columns) })
    }

    /// Fewer where rows are large.
    fn batch_rows(&self) -> usize {
        let rows = u64::try_from(self.metadata.metadata().file_metadata().num_rows()).unwrap_or(0).max(1);
        let row_bytes = (self.file.chunks.len() / rows).max(1);
        usize::try_from(BATCH_BYTES / row_bytes).unwrap_or(BATCH_ROWS).clamp(64, BATCH_ROWS)
    }
}

/// Batches of a file whose texts are read as views.
pub(crate) struct ViewBatches {
    reader: ParquetRecordBatchReader,
    lacking: Lacking,
}

impl Iterator for ViewBatches {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.reader.next()?.and_then(|batch| self.lacking.add_to(batch)))
    }
}

fn selection(pages: &[(usize, usize)], rows: usize) -> RowSelection {
    let mut selectors = Vec::with_capacity(pages.len() * 2 + 1);
    let mut at = 0;
    for (first, count) in pages {
        selectors.push(RowSelector::skip(first - at));
        selectors.push(RowSelector::select(*count));
        at = first + count;
    }
    selectors.push(RowSelector::skip(rows.saturating_sub(at)));
    RowSelection::from(selectors)
}
