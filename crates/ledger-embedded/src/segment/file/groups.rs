//! A Parquet file by its row groups: which of them may hold something, their rows, and their bytes as they stand.

use arrow::datatypes::Schema;
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::Result as ParquetResult;
use parquet::file::page_index::column_index::ColumnIndexMetaData;

use super::{Batches, Chunks, KeyRange, ParquetFile};

/// A row group as it stands in its file.
pub(crate) struct EncodedGroup<'f> {
    pub(crate) file: &'f Chunks,
    pub(crate) columns: Vec<ColumnCloseResult>,
    pub(crate) rows: u64,
}

impl ParquetFile {
    /// How many row groups there are.
    pub(crate) fn groups(&self) -> usize {
        self.metadata.metadata().num_row_groups()
    }

    /// Whether any row of a group can lie in `wanted`.
    pub(crate) fn may_hold(&self, group: usize, wanted: &KeyRange<'_>) -> bool {
        self.pages.iter().any(|page| page.group == group && page.may_hold(wanted))
    }

    /// Batches of all rows of a group, in order.
    pub(crate) fn scan_group(&self, group: usize, columns: &[&str]) -> ParquetResult<Batches> {
        let builder = self.builder(columns).with_row_groups(vec![group]);
        Ok(Batches::whole(builder.build()?, self.lacking.among(columns)))
    }

    /// A group as it stands, for a file of this schema; none when this file was written by an earlier version, whose
    /// schema was another one.
    pub(crate) fn encoded_group(&self, group: usize, schema: &Schema) -> Option<EncodedGroup<'_>> {
        let file = self.metadata.metadata();
        if self.metadata.schema().fields() != schema.fields() {
            return None;
        }
        let (bounds, offsets, group_meta) =
            (file.column_index()?.get(group)?, file.offset_index()?.get(group)?, file.row_group(group));
        let rows = u64::try_from(group_meta.num_rows()).ok()?;
        let columns = group_meta.columns().iter().enumerate().map(|(at, column)| {
            let bounds = bounds.get(at).filter(|bounds| !matches!(bounds, ColumnIndexMetaData::NONE));
            Some(ColumnCloseResult {
                bytes_written: u64::try_from(column.compressed_size()).ok()?,
                rows_written: rows,
                metadata: column.clone(),
                bloom_filter: None,
                column_index: bounds.cloned(),
                offset_index: offsets.get(at).cloned(),
            })
        });
        Some(EncodedGroup { file: &self.chunks, columns: columns.collect::<Option<_>>()?, rows })
    }
}
