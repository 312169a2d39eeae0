//! Writing a Parquet file of a segment, batch by batch. A disk that is full is told apart from all else that fails.

use std::io::Write;

use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use ports::manifest::{FileKind, FileMeta};
use ports::{ErrorKind, PortError};

use super::{SegmentDir, SegmentFile, encode_error, io_error};

/// Writes record batches into a segment file.
pub(crate) struct RowWriter {
    writer: ArrowWriter<SegmentFile>,
    id: String,
    rows: u64,
}

impl RowWriter {
    pub(crate) fn create(
        dir: &SegmentDir,
        id: &str,
        kind: FileKind,
        schema: SchemaRef,
        properties: WriterProperties,
    ) -> Result<Self, PortError> {
        let file = dir.create(id, kind)?;
        let writer = ArrowWriter::try_new(file, schema, Some(properties)).map_err(|why| encode_error(id, why))?;
        Ok(Self { writer, id: id.to_owned(), rows: 0 })
    }

    pub(crate) fn write(&mut self, batch: &Result<RecordBatch, ArrowError>) -> Result<(), PortError> {
        match batch {
            Ok(batch) => {
                self.rows += batch.num_rows() as u64;
                self.writer.write(batch).map_err(|why| encode_error(&self.id, why))
            }
            Err(why) => Err(PortError::new(ErrorKind::Unavailable, format!("build rows of {}: {why}", self.id))),
        }
    }

    pub(crate) fn finish(self) -> Result<FileMeta, PortError> {
        let mut file = self.writer.into_inner().map_err(|why| encode_error(&self.id, why))?;
        file.flush().map_err(|why| io_error(format!("write {}", self.id), why))?;
        file.finish(self.rows)
    }
}
