//! Writing a segment file of which most row groups are those of another: these are copied as they stand, without being
//! decoded.

use std::io::Write;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::{ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves};
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use ports::PortError;
use ports::manifest::{FileKind, FileMeta};

use super::SegmentDir;
use super::file::{EncodedGroup, SegmentFile, encode_error, io_error};

/// Writes a segment file, one row group after another.
pub(crate) struct GroupWriter {
    writer: SerializedFileWriter<SegmentFile>,
    columns: ArrowRowGroupWriterFactory,
    schema: SchemaRef,
    /// The row group that is being written; empty between two.
    open: Vec<ArrowColumnWriter>,
    id: String,
    groups: usize,
    rows: u64,
}

impl GroupWriter {
    pub(crate) fn create(
        dir: &SegmentDir,
        id: &str,
        kind: FileKind,
        schema: SchemaRef,
        properties: WriterProperties,
    ) -> Result<Self, PortError> {
        let file = dir.create(id, kind)?;
        let writer = ArrowWriter::try_new(file, SchemaRef::clone(&schema), Some(properties));
        let (writer, columns) =
            writer.and_then(ArrowWriter::into_serialized_writer).map_err(|why| encode_error(id, why))?;
        Ok(Self { writer, columns, schema, open: Vec::new(), id: id.to_owned(), groups: 0, rows: 0 })
    }

    /// Ends the row group that is being written, and copies one.
    pub(crate) fn copy(&mut self, from: EncodedGroup<'_>) -> Result<(), PortError> {
        self.end_group()?;
        self.encode(|writer| {
            let EncodedGroup { file, columns, rows } = from;
            let mut group = writer.writer.next_row_group()?;
            for column in columns {
                group.append_column(file, column)?;
            }
            group.close()?;
            writer.rows += rows;
            writer.groups += 1;
            Ok(())
        })
    }

    /// Writes rows into the row group that is being written, or a new one.
    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<(), PortError> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        self.encode(|writer| {
            if writer.open.is_empty() {
                writer.open = writer.columns.create_column_writers(writer.groups)?;
            }
            let mut columns = writer.open.iter_mut();
            for (field, array) in writer.schema.fields().iter().zip(batch.columns()) {
                for leaf in compute_leaves(field, array)? {
                    let column = columns.next().ok_or_else(|| ParquetError::General("too many columns".into()))?;
                    column.write(&leaf)?;
                }
            }
            writer.rows += batch.num_rows() as u64;
            Ok(())
        })
    }

    /// Ends the row group that is being written, if any.
    pub(crate) fn end_group(&mut self) -> Result<(), PortError> {
        self.encode(|writer| {
            let columns = std::mem::take(&mut writer.open);
            if columns.is_empty() {
                return Ok(());
            }
            let mut group = writer.writer.next_row_group()?;
            for column in columns {
                column.close()?.append_to_row_group(&mut group)?;
            }
            group.close()?;
            writer.groups += 1;
            Ok(())
        })
    }

    pub(crate) fn finish(mut self) -> Result<FileMeta, PortError> {
        self.end_group()?;
        let mut file = self.writer.into_inner().map_err(|why| encode_error(&self.id, why))?;
        file.flush().map_err(|why| io_error(format!("write {}", self.id), why))?;
        file.finish(self.rows)
    }

    fn encode(&mut self, work: impl FnOnce(&mut Self) -> ParquetResult<()>) -> Result<(), PortError> {
        work(self).map_err(|why| encode_error(&self.id, why))
    }
}
