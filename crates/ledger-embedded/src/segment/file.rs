//! Segment files: writing one with its hash, reading a Parquet one by pages. Reads go through the
//! page index, so that one customer's rows cost a few pages, whatever the file's size.

mod groups;
mod pages;
mod morsels;

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use domain::time::TimeRange;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder, RowSelection,
    RowSelector,
};
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::metadata::PageIndexPolicy;
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::reader::{ChunkReader, Length};
use ports::manifest::{FileKind, FileMeta};
use ports::{ErrorKind, PortError};
use vfs::{Publisher, ReadFile, Vfs};

use super::grain::Grain;
use super::lacking::Lacking;
use super::layout::KeyColumns;
pub(crate) use groups::EncodedGroup;
pub(crate) use pages::Pages;

pub(crate) use morsels::{Morsel, ViewBatches};

/// Rows handed out at once, at most.
const BATCH_ROWS: usize = 4_096;
/// Bytes handed out at once, about, as they stand in the file.
const BATCH_BYTES: u64 = 2 << 20;
/// Columns of few values.
const CODED: [&str; 4] = ["type", "project", "endpoint", "model"];
/// Bytes hashed at once.
const HASH_BYTES: usize = 1 << 20;

/// A segment file being written; it counts only when the manifest says so.
#[derive(Debug)]
pub(crate) struct SegmentFile {
    publisher: Publisher,
    hasher: blake3::Hasher,
    name: String,
    kind: FileKind,
}

impl SegmentFile {
    pub(super) fn create(vfs: Arc<dyn Vfs>, dir: &Path, name: String, kind: FileKind) -> io::Result<Self> {
        let publisher = Publisher::create(vfs, dir, &name)?;
        Ok(Self { publisher, hasher: blake3::Hasher::new(), name, kind })
    }

    /// Makes the file durable and says what the manifest must know.
    pub(crate) fn finish(self, rows: u64) -> Result<FileMeta, PortError> {
        let bytes = self.publisher.finish().map_err(|why| io_error(format!("publish {}", self.name), why))?;
        Ok(FileMeta { kind: self.kind, name: self.name, bytes, blake3: *self.hasher.finalize().as_bytes(), rows })
    }
}

impl Write for SegmentFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.publisher.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.publisher.flush()
    }
}

/// BLAKE3 of a whole file.
pub(super) fn hash_of(file: &dyn ReadFile) -> io::Result<[u8; 32]> {
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; HASH_BYTES];
    let mut at = 0;
    while at < file.len() {
        let len = usize::try_from(file.len() - at).unwrap_or(HASH_BYTES).min(HASH_BYTES);
        file.read_exact_at(at, &mut buffer[..len])?;
        hasher.update(&buffer[..len]);
        at += len as u64;
    }
    Ok(*hasher.finalize().as_bytes())
}

/// Which rows are wanted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KeyRange<'q> {
    pub(crate) tenant: &'q str,
    pub(crate) grain: Option<Grain>,
    pub(crate) customer: Option<&'q str>,
    /// Customers from this one on.
    pub(crate) from_customer: Option<&'q str>,
    pub(crate) range: TimeRange,
}

/// What one page holds at most: bounds of the sort columns.
#[derive(Debug)]
struct PageBounds {
    group: usize,
    first_row: usize,
    rows: usize,
    tenant: (Vec<u8>, Vec<u8>),
    grain: (i64, i64),
    customer: (Vec<u8>, Vec<u8>),
    time: (i64, i64),
}

impl PageBounds {
    fn may_hold(&self, wanted: &KeyRange<'_>) -> bool {
        let within = |bounds: &(Vec<u8>, Vec<u8>), text: &str| {
            bounds.0.as_slice() <= text.as_bytes() && text.as_bytes() <= bounds.1.as_slice()
        };
        let (first, last) = self.time;
        within(&self.tenant, wanted.tenant)
            && wanted.grain.is_none_or(|grain| (self.grain.0..=self.grain.1).contains(&i64::from(grain.code())))
            && wanted.customer.is_none_or(|customer| within(&self.customer, customer))
            && wanted.from_customer.is_none_or(|from| from.as_bytes() <= self.customer.1.as_slice())
            && wanted.range.from().micros() <= last
            && first < wanted.range.to().micros()
    }
}

/// An open Parquet file with its page index in memory.
#[derive(Debug)]
pub(crate) struct ParquetFile {
    chunks: Chunks,
    metadata: ArrowReaderMetadata,
    /// Metadata that reads columns of few values as dictionaries.
    coded: ArrowReaderMetadata,
    pages: Vec<PageBounds>,
    /// The columns that it does not have, since an earlier version wrote it.
    lacking: Lacking,
}

impl ParquetFile {
    /// Opens a file of which `newest` has the columns that the newest version would have.
    pub(super) fn open(file: Arc<dyn ReadFile>, keys: &KeyColumns, newest: &Schema) -> ParquetResult<Self> {
        let chunks = Chunks(file);
        let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Required);
        let metadata = ArrowReaderMetadata::load(&chunks, options)?;
        let pages = page_bounds(&metadata, keys)?;
        let coded = coded(&metadata)?;
        let lacking = Lacking::of(metadata.schema(), newest.fields());
        Ok(Self { chunks, metadata, coded, pages, lacking })
    }

    /// Whether it has this column.
    pub(crate) fn has_column(&self, name: &str) -> bool {
        self.metadata.schema().field_with_name(name).is_ok()
    }

    /// Batches that hold all rows in `wanted`, in order, and others of the same pages.
    pub(crate) fn select(&self, wanted: &KeyRange<'_>, columns: &[&str]) -> ParquetResult<Batches> {
        let pages = self.candidates(wanted).iter().filter(|page| page.may_hold(wanted));
        self.read(pages.map(PageBounds::span).collect(), columns, self.builder(columns))
    }

    /// Batches of exactly these rows, which are in order.
    pub(crate) fn fetch(&self, rows: &[RowId], columns: &[&str]) -> ParquetResult<Batches> {
        let spans = rows.iter().map(|row| Span { group: row.group, first: row.row, rows: 1 });
        self.read(spans.collect(), columns, self.builder(columns))
    }

    fn read(
        &self,
        spans: VecDeque<Span>,
        columns: &[&str],
        builder: ParquetRecordBatchReaderBuilder<Chunks>,
    ) -> ParquetResult<Batches> {
        let lacking = self.lacking.among(columns);
        let mut groups: Vec<usize> = Vec::new();
        let mut selectors = Vec::new();
        let mut at_row = 0;
        for span in &spans {
            if groups.last() != Some(&span.group) {
                self.skip_rest(groups.last(), at_row, &mut selectors);
                groups.push(span.group);
                at_row = 0;
            }
            selectors.push(RowSelector::skip(span.first - at_row));
            selectors.push(RowSelector::select(span.rows));
            at_row = span.first + span.rows;
        }
        self.skip_rest(groups.last(), at_row, &mut selectors);
        if groups.is_empty() {
            return Ok(Batches { reader: None, spans, lacking });
        }
        let builder = builder.with_row_groups(groups);
        let reader = builder.with_row_selection(RowSelection::from(selectors)).build()?;
        Ok(Batches { reader: Some(reader), spans, lacking })
    }

    /// Batches of all rows, in order.
    pub(crate) fn scan(&self, columns: &[&str]) -> ParquetResult<Batches> {
        Ok(Batches::whole(self.builder(columns).build()?, self.lacking.among(columns)))
    }

    fn builder(&self, columns: &[&str]) -> ParquetRecordBatchReaderBuilder<Chunks> {
        let mask = ProjectionMask::columns(self.metadata.parquet_schema(), columns.iter().copied());
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(self.chunks.clone(), self.metadata.clone());
        builder.with_projection(mask).with_batch_size(self.batch_rows())
    }

    /// Fewer where rows are large, so that a merge of many files stays small in memory.
    fn batch_rows(&self) -> usize {
        let rows = u64::try_from(self.metadata.metadata().file_metadata().num_rows()).unwrap_or(0).max(1);
        let row_bytes = (self.chunks.len() / rows).max(1);
        usize::try_from(BATCH_BYTES / row_bytes).unwrap_or(BATCH_ROWS).clamp(64, BATCH_ROWS)
    }

    fn skip_rest(&self, group: Option<&usize>, at_row: usize, selectors: &mut Vec<RowSelector>) {
        if let Some(group) = group {
            let rows = usize::try_from(self.metadata.metadata().row_group(*group).num_rows()).unwrap_or(at_row);
            selectors.push(RowSelector::skip(rows.saturating_sub(at_row)));
        }
    }
}

/// Where a row stands in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RowId {
    group: usize,
    row: usize,
}

/// Consecutive rows of a row group.
#[derive(Debug, Clone, Copy)]
struct Span {
    group: usize,
    first: usize,
    rows: usize,
}

/// Record batches in order; none when no page was wanted.
pub(crate) struct Batches {
    reader: Option<ParquetRecordBatchReader>,
    spans: VecDeque<Span>,
    lacking: Lacking,
}

impl Batches {
    /// Batches of rows that nobody asks to locate.
    fn whole(reader: ParquetRecordBatchReader, lacking: Lacking) -> Self {
        Self { reader: Some(reader), spans: VecDeque::new(), lacking }
    }

    /// Where the next `count` rows of a selection stand; asked once for each batch, in order.
    pub(crate) fn locate(&mut self, count: usize) -> Vec<RowId> {
        let mut ids = Vec::with_capacity(count);
        while let Some(span) = self.spans.front_mut().filter(|_| ids.len() < count) {
            let taken = span.rows.min(count - ids.len());
            ids.extend((span.first..span.first + taken).map(|row| RowId { group: span.group, row }));
            span.first += taken;
            span.rows -= taken;
            if span.rows == 0 {
                self.spans.pop_front();
            }
        }
        ids
    }
}

impl Iterator for Batches {
    type Item = ParquetResult<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.reader.as_mut()?.next()?;
        Some(batch.and_then(|batch| self.lacking.add_to(batch)).map_err(ParquetError::from))
    }
}

/// The metadata with columns of few values read as dictionaries.
fn coded(metadata: &ArrowReaderMetadata) -> ParquetResult<ArrowReaderMetadata> {
    let fields = metadata.schema().fields().iter().map(|field| {
        if !CODED.contains(&field.name().as_str()) {
            return Arc::clone(field);
        }
        let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
        Arc::new(Field::new(field.name(), dictionary, field.is_nullable()))
    });
    let schema = Schema::new_with_metadata(fields.collect::<Vec<_>>(), metadata.schema().metadata().clone());
    let options = ArrowReaderOptions::new().with_schema(Arc::new(schema));
    ArrowReaderMetadata::try_new(Arc::clone(metadata.metadata()), options)
}

fn page_bounds(metadata: &ArrowReaderMetadata, keys: &KeyColumns) -> ParquetResult<Vec<PageBounds>> {
    let missing = |what: &str| ParquetError::General(format!("no {what}"));
    let file = metadata.metadata();
    let column = |name: &str| {
        let columns = metadata.parquet_schema().columns();
        columns.iter().position(|column| column.name() == name).ok_or_else(|| missing(name))
    };
    let (tenant, customer, time) = (column(keys.tenant)?, column(keys.customer)?, column(keys.time)?);
    let grain = keys.grain.map(column).transpose()?;
    let mut pages = Vec::new();
    if file.num_row_groups() == 0 {
        return Ok(pages);
    }
    let bounds = file.column_index().ok_or_else(|| missing("column index"))?;
    let offsets = file.offset_index().ok_or_else(|| missing("offset index"))?;
    for group in 0..file.num_row_groups() {
        let total = usize::try_from(file.row_group(group).num_rows()).map_err(|_| missing("row count"))?;
        let locations = offsets[group][time].page_locations();
        for (page, location) in locations.iter().enumerate() {
            let first_row = usize::try_from(location.first_row_index).map_err(|_| missing("row index"))?;
            let next = locations.get(page + 1).and_then(|next| usize::try_from(next.first_row_index).ok());
            // The sort columns are cut into pages at the same rows: the writer limits pages by rows alone.
            for other in [tenant, customer].into_iter().chain(grain) {
                let same = offsets[group][other].page_locations().get(page).map(|at| at.first_row_index);
                if same != Some(location.first_row_index) {
                    return Err(missing("common page boundary"));
                }
            }
            pages.push(PageBounds {
                group,
                first_row,
                rows: next.unwrap_or(total) - first_row,
                tenant: text_bounds(&bounds[group][tenant], page).ok_or_else(|| missing("tenant bounds"))?,
                grain: match grain {
                    Some(grain) => number_bounds(&bounds[group][grain], page).ok_or_else(|| missing("grain bounds"))?,
                    None => (0, 0),
                },
                customer: text_bounds(&bounds[group][customer], page).ok_or_else(|| missing("customer bounds"))?,
                time: number_bounds(&bounds[group][time], page).ok_or_else(|| missing("time bounds"))?,
            });
        }
    }
    Ok(pages)
}

fn text_bounds(index: &ColumnIndexMetaData, page: usize) -> Option<(Vec<u8>, Vec<u8>)> {
    let ColumnIndexMetaData::BYTE_ARRAY(index) = index else { return None };
    Some((index.min_value(page)?.to_vec(), index.max_value(page)?.to_vec()))
}

fn number_bounds(index: &ColumnIndexMetaData, page: usize) -> Option<(i64, i64)> {
    match index {
        ColumnIndexMetaData::INT64(index) => Some((*index.min_value(page)?, *index.max_value(page)?)),
        ColumnIndexMetaData::INT32(index) => {
            Some((i64::from(*index.min_value(page)?), i64::from(*index.max_value(page)?)))
        }
        _ => None,
    }
}

/// A file as the Parquet reader wants it.
#[derive(Debug, Clone)]
pub(crate) struct Chunks(pub(crate) Arc<dyn ReadFile>);

impl Length for Chunks {
    fn len(&self) -> u64 {
        self.0.len()
    }
}

impl ChunkReader for Chunks {
    type T = ChunkRead;

    fn get_read(&self, start: u64) -> ParquetResult<ChunkRead> {
        Ok(ChunkRead { file: Arc::clone(&self.0), at: start })
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        if start.checked_add(length as u64).is_none_or(|end| end > self.0.len()) {
            return Err(ParquetError::EOF(format!("{length} bytes at {start} lie outside the file")));
        }
        let mut bytes = vec![0; length];
        self.0.read_exact_at(start, &mut bytes)?;
        Ok(Bytes::from(bytes))
    }
}

/// A sequential reader over a part of a file.
#[derive(Debug)]
pub(crate) struct ChunkRead {
    file: Arc<dyn ReadFile>,
    at: u64,
}

impl Read for ChunkRead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.file.len().saturating_sub(self.at)).unwrap_or(usize::MAX);
        let len = buffer.len().min(left);
        self.file.read_exact_at(self.at, &mut buffer[..len])?;
        self.at += len as u64;
        Ok(len)
    }
}

/// A failed write: what the caller can do depends on the cause.
pub(crate) fn io_error(context: String, why: io::Error) -> PortError {
    let kind = match why.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => ErrorKind::Full,
        _ => ErrorKind::Unavailable,
    };
    PortError::new(kind, context).because(why)
}

/// The Parquet writer wraps the disk's error; a full disk must be told apart.
pub(crate) fn encode_error(id: &str, why: ParquetError) -> PortError {
    let context = format!("write segment {id}");
    match why {
        ParquetError::External(cause) => match cause.downcast::<io::Error>() {
            Ok(cause) => io_error(context, *cause),
            Err(cause) => PortError::new(ErrorKind::Unavailable, context).because(cause),
        },
        why => PortError::new(ErrorKind::Unavailable, context).because(why),
    }
}

/// Stored bytes that cannot be read as what they are.
pub(crate) fn corrupt(name: &str, why: impl std::error::Error + Send + Sync + 'static) -> PortError {
    PortError::new(ErrorKind::Corrupt, format!("read {name}")).because(why)
}
