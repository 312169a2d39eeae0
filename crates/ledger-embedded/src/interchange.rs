//! Parquet files of others: tables of events to import, and exports of events. Nothing here knows the
//! segment format, and no file read or written here ever counts as one.

use std::io::Write;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, TimeUnit, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use domain::table::Cell;
use domain::time::Timestamp;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::arrow::{ArrowWriter, ProjectionMask};
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use ports::reports::StoredEvent;
use ports::{ErrorKind, PortError};
use vfs::ReadFile;

use crate::segment::Chunks;

/// Rows decoded at once.
const BATCH_ROWS: usize = 4_096;
/// Rows of one row group of an export.
const GROUP_ROWS: usize = 131_072;

/// A Parquet file that is read row by row.
#[derive(Debug)]
pub struct ParquetTable {
    reader: ParquetRecordBatchReader,
    names: Vec<String>,
    /// The columns that are not read, with their types.
    left_out: Vec<(usize, String)>,
    rows: u64,
}

impl ParquetTable {
    /// Opens a file, to be read from row `first` on, counted from 0. Columns of a type that is neither text,
    /// number, truth value nor time are left out.
    ///
    /// # Errors
    /// `Unacceptable` when it is no Parquet file that can be read.
    pub fn open(file: Arc<dyn ReadFile>, first: u64) -> Result<Self, PortError> {
        let builder = ParquetRecordBatchReaderBuilder::try_new(Chunks(file)).map_err(unreadable)?;
        let rows = u64::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0);
        let schema = Arc::clone(builder.schema());
        let (read, left_out): (Vec<_>, Vec<_>) =
            schema.fields().iter().enumerate().partition(|(_, field)| is_read(field.data_type()));
        let mask = ProjectionMask::roots(builder.parquet_schema(), read.into_iter().map(|(index, _)| index));
        let first = usize::try_from(first).unwrap_or(usize::MAX);
        let builder = builder.with_projection(mask).with_batch_size(BATCH_ROWS).with_offset(first);
        let reader = builder.build().map_err(unreadable)?;
        let names = schema.fields().iter().map(|field| field.name().clone()).collect();
        let left_out = left_out.into_iter().map(|(index, field)| (index, type_name(field.data_type()))).collect();
        Ok(Self { reader, names, left_out, rows })
    }

    /// The names of the columns, those among them that are left out.
    pub fn columns(&self) -> &[String] {
        &self.names
    }

    /// The columns that are left out, by their index, with the name of their type: all of their cells are
    /// absent.
    pub fn left_out(&self) -> &[(usize, String)] {
        &self.left_out
    }

    /// How many rows the file has.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The next rows; `None` at the end.
    ///
    /// # Errors
    /// `Unacceptable` when the file is corrupt or compressed in a way that is not read.
    pub fn next_rows(&mut self) -> Result<Option<TableRows>, PortError> {
        let Some(batch) = self.reader.next() else { return Ok(None) };
        let batch = batch.map_err(|why| unreadable(why.into()))?;
        let columns: Result<Vec<_>, ParquetError> = batch.columns().iter().map(Values::of).collect();
        let mut columns = columns.map_err(unreadable)?;
        // In ascending order, so that each comes to stand where it stands in the file.
        for (index, _) in &self.left_out {
            columns.insert(*index, Values::Nothing);
        }
        Ok(Some(TableRows { rows: batch.num_rows(), columns }))
    }
}

/// The name of a type, without what it is made of.
fn type_name(kind: &DataType) -> String {
    let name = kind.to_string();
    name.split(['(', '<']).next().unwrap_or_default().trim().to_owned()
}

fn unreadable(why: ParquetError) -> PortError {
    PortError::new(ErrorKind::Unacceptable, "read the Parquet file").because(why)
}

/// Some rows of a table.
#[derive(Debug)]
pub struct TableRows {
    rows: usize,
    columns: Vec<Values>,
}

impl TableRows {
    /// How many.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The cells of row `row`, which must be one of these.
    pub fn row(&self, row: usize) -> impl ExactSizeIterator<Item = Cell<'_>> {
        self.columns.iter().map(move |column| column.cell(row))
    }
}

/// The values of one column.
#[derive(Debug)]
enum Values {
    Texts(StringArray),
    Numbers(StringArray),
    Truths(BooleanArray),
    Times(TimestampMicrosecondArray),
    Nothing,
}

fn is_time(kind: &DataType) -> bool {
    matches!(kind, DataType::Timestamp(_, _) | DataType::Date32 | DataType::Date64)
}

fn is_text(kind: &DataType) -> bool {
    matches!(kind, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

fn is_number(kind: &DataType) -> bool {
    kind.is_numeric()
}

fn is_read(kind: &DataType) -> bool {
    match kind {
        DataType::Dictionary(_, value) => is_text(value),
        DataType::Boolean | DataType::Null => true,
        kind => is_text(kind) || is_number(kind) || is_time(kind),
    }
}

impl Values {
    fn of(column: &ArrayRef) -> Result<Self, ParquetError> {
        let texts = || Ok::<_, ParquetError>(cast(column, &DataType::Utf8)?.as_string::<i32>().clone());
        Ok(match column.data_type() {
            DataType::Null => Self::Nothing,
            DataType::Boolean => Self::Truths(column.as_boolean().clone()),
            kind if is_time(kind) => {
                // The zone is kept: casting it away would move the instant.
                let zone = if let DataType::Timestamp(_, zone) = kind { zone.clone() } else { None };
                let times = cast(column, &DataType::Timestamp(TimeUnit::Microsecond, zone))?;
                Self::Times(times.as_primitive::<TimestampMicrosecondType>().clone())
            }
            kind if is_number(kind) => Self::Numbers(texts()?),
            _ => Self::Texts(texts()?),
        })
    }

    fn cell(&self, row: usize) -> Cell<'_> {
        match self {
            Self::Texts(texts) if texts.is_valid(row) => Cell::Text(texts.value(row)),
            Self::Numbers(numbers) if numbers.is_valid(row) => number(numbers.value(row)),
            Self::Truths(truths) if truths.is_valid(row) => Cell::Bool(truths.value(row)),
            Self::Times(times) if times.is_valid(row) => Cell::Time(Timestamp::from_micros(times.value(row))),
            _ => Cell::Absent,
        }
    }
}

/// A number as JSON has it; what JSON has no number for is a text.
fn number(text: &str) -> Cell<'_> {
    if text.ends_with(|c: char| c.is_ascii_digit()) && !text.ends_with("inf") {
        // Whole floats are printed with a fraction that says nothing, and ids may not have one.
        return Cell::Number(text.strip_suffix(".0").unwrap_or(text).into());
    }
    Cell::Text(text)
}

/// Writes events as a Parquet file: the columns of a CSV export, with types.
pub struct ParquetEvents<W: Write + Send> {
    writer: ArrowWriter<W>,
    schema: Arc<Schema>,
}

impl<W: Write + Send> std::fmt::Debug for ParquetEvents<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ParquetEvents").finish_non_exhaustive()
    }
}

impl<W: Write + Send> ParquetEvents<W> {
    /// Begins a file in `out`.
    ///
    /// # Errors
    /// `Unavailable` when nothing can be written there.
    pub fn new(out: W) -> Result<Self, PortError> {
        let schema = schema();
        let properties = WriterProperties::builder()
            .set_compression(Compression::LZ4_RAW)
            .set_max_row_group_row_count(Some(GROUP_ROWS))
            .build();
        let writer = ArrowWriter::try_new(out, Arc::clone(&schema), Some(properties)).map_err(unwritten)?;
        Ok(Self { writer, schema })
    }

    /// Adds events.
    ///
    /// # Errors
    /// As [`ParquetEvents::new`].
    pub fn push(&mut self, events: &[StoredEvent]) -> Result<(), PortError> {
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns(events));
        self.writer.write(&batch.map_err(|why| unwritten(why.into()))?).map_err(unwritten)
    }

    /// Ends the file.
    ///
    /// # Errors
    /// As [`ParquetEvents::new`].
    pub fn finish(self) -> Result<W, PortError> {
        self.writer.into_inner().map_err(unwritten)
    }
}

fn unwritten(why: ParquetError) -> PortError {
    PortError::new(ErrorKind::Unavailable, "write the Parquet file").because(why)
}

fn schema() -> Arc<Schema> {
    let field = |name: &str, kind: DataType, nullable| Field::new(name, kind, nullable);
    let instant = || DataType::Timestamp(TimeUnit::Microsecond, Some(Arc::from("UTC")));
    Arc::new(Schema::new(vec![
        field("event_id", DataType::Utf8, false),
        field("time", instant(), false),
        field("type", DataType::Utf8, false),
        field("project", DataType::Utf8, true),
        field("customer", DataType::Utf8, true),
        field("user", DataType::Utf8, true),
        field("endpoint", DataType::Utf8, true),
        field("tokens", DataType::Int64, true),
        field("input_tokens", DataType::Int64, true),
        field("output_tokens", DataType::Int64, true),
        field("latency_ms", DataType::Float64, true),
        field("model", DataType::Utf8, true),
        field("properties", DataType::Utf8, true),
        field("received_at", instant(), false),
        field("cache_read_tokens", DataType::Int64, true),
        field("cache_write_tokens", DataType::Int64, true),
        field("reasoning_tokens", DataType::Int64, true),
        field("id_scheme", DataType::Utf8, true),
    ]))
}

fn columns(events: &[StoredEvent]) -> Vec<ArrayRef> {
    let text =
        |of: fn(&StoredEvent) -> Option<&str>| Arc::new(events.iter().map(of).collect::<StringArray>()) as ArrayRef;
    let count = |of: fn(&StoredEvent) -> Option<u64>| {
        let signed = |event| of(event).map(|count| i64::try_from(count).unwrap_or(i64::MAX));
        Arc::new(events.iter().map(signed).collect::<Int64Array>()) as ArrayRef
    };
    let time = |of: fn(&StoredEvent) -> Timestamp| {
        let micros = events.iter().map(|event| of(event).micros());
        Arc::new(TimestampMicrosecondArray::from_iter_values(micros).with_timezone("UTC")) as ArrayRef
    };
    #[expect(clippy::cast_precision_loss, reason = "latencies are at most 1e12 us")]
    let latency = events.iter().map(|event| event.latency_us.map(|micros| micros as f64 / 1e3));
    vec![
        text(|event| Some(&event.id)),
        time(|event| event.time),
        text(|event| Some(&event.kind)),
        text(|event| event.project.as_deref()),
        text(|event| event.customer.as_deref()),
        text(|event| event.user.as_deref()),
        text(|event| event.endpoint.as_deref()),
        count(|event| event.tokens),
        count(|event| event.input_tokens),
        count(|event| event.output_tokens),
        Arc::new(latency.collect::<Float64Array>()),
        text(|event| event.model.as_deref()),
        text(|event| event.properties.as_deref()),
        time(|event| event.received_at),
        count(|event| event.cache_read_tokens),
        count(|event| event.cache_write_tokens),
        count(|event| event.reasoning_tokens),
        text(|event| event.id_scheme.name()),
    ]
}

#[cfg(test)]
mod tests;
