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

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::path::Path;
    use std::sync::Arc;

    use domain::time::{TimeRange, Timestamp};
    use vfs::testing::SimVfs;

    use super::*;
    use crate::memtable::Partial;
    use crate::segment::grain::Grain;
    use crate::segment::sorted::SortedRows;
    use crate::segment::sums::{self, SumBuilder, SumKey, SumRows};
    use crate::segment::{KeyRange, ParquetFile};

    fn rows(customer: &str, starts: std::ops::Range<i64>) -> RecordBatch {
        let mut rows = SumBuilder::default();
        for start in starts.map(Timestamp::from_micros) {
            let key = SumKey { tenant: "t", grain: Grain::Window, customer, start };
            rows.push_partial(&key, &Partial::empty(start));
        }
        rows.finish().unwrap()
    }

    fn writer(dir: &SegmentDir, id: &str) -> GroupWriter {
        GroupWriter::create(dir, id, FileKind::Windows, sums::schema(), sums::properties()).unwrap()
    }

    fn open(dir: &SegmentDir, meta: &FileMeta) -> ParquetFile {
        let file = dir.vfs.open_read(&dir.path.join(&meta.name)).unwrap();
        ParquetFile::open(file, &sums::KEYS, &sums::schema()).unwrap()
    }

    fn all(file: &ParquetFile) -> Vec<(String, i64)> {
        let mut found = Vec::new();
        for batch in file.scan(&sums::COLUMNS).unwrap().map(Result::unwrap) {
            let rows = SumRows::of(&batch).unwrap();
            let keys = (0..batch.num_rows()).map(|row| rows.key(row));
            found.extend(keys.map(|key| (key.customer.to_owned(), key.start.micros())));
        }
        found
    }

    #[test]
    fn groups_are_copied_beside_others_and_are_found_by_their_pages() {
        let dir = SegmentDir { vfs: Arc::new(SimVfs::new()), path: Path::new("/d").to_owned() };
        dir.vfs.create_dir_all(&dir.path).unwrap();
        let mut first = writer(&dir, "1-1-0");
        for customer in ["a", "b", "c"] {
            first.write(&rows(customer, 0..700)).unwrap();
            first.write(&rows(customer, 700..1_500)).unwrap();
            first.end_group().unwrap();
        }
        let first = open(&dir, &first.finish().unwrap());
        assert_eq!(first.groups(), 3);
        let mut second = writer(&dir, "1-1-0-r1");
        second.copy(first.encoded_group(0, &sums::schema()).unwrap()).unwrap();
        second.write(&rows("b", 3..4)).unwrap();
        second.write(&rows("b", 0..0)).unwrap();
        second.copy(first.encoded_group(2, &sums::schema()).unwrap()).unwrap();
        second.end_group().unwrap();
        let meta = second.finish().unwrap();
        assert_eq!(meta.rows, 3_001);
        let second = open(&dir, &meta);
        assert_eq!(second.groups(), 3, "no group is empty");
        let of = |customer: &str, starts: std::ops::Range<i64>| {
            starts.map(move |start| (customer.to_owned(), start)).collect()
        };
        let expected: [Vec<_>; 3] = [of("a", 0..1_500), of("b", 3..4), of("c", 0..1_500)];
        assert_eq!(all(&second), expected.concat());
        let wanted = KeyRange {
            tenant: "t",
            grain: None,
            customer: Some("c"),
            from_customer: None,
            range: TimeRange::new(Timestamp::from_micros(1_499), Timestamp::from_micros(1_500)).unwrap(),
        };
        assert_eq!([0, 1, 2].map(|group| second.may_hold(group, &wanted)), [false, false, true]);
        let selected: usize = second.select(&wanted, &["start"]).unwrap().map(|batch| batch.unwrap().num_rows()).sum();
        assert!((1..1_500).contains(&selected), "one page of several: {selected} rows");
        assert!(first.encoded_group(0, &crate::segment::events::schema()).is_none(), "another schema");
    }
}
