//! The file of partial aggregates: per tenant and customer one row for everything, one per hour and
//! one per window, sorted by tenant, grain, customer and start. Rows are additive: the same key may
//! stand in several segments, readers merge, compaction folds. Format: `docs/formats/segment.md`.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BinaryBuilder, Int64Array, Int64Builder, StringArray, StringBuilder,
    TimestampMicrosecondArray, TimestampMicrosecondBuilder, UInt8Array, UInt8Builder,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use domain::aggregate::{Aggregate, Slice, Totals};
use domain::time::Timestamp;
use parquet::basic::Encoding;
use parquet::errors::{ParquetError, Result};
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;

use super::blob;
use super::columns::{Columns, signed, unsigned};
use super::grain::Grain;
use super::layout::{KeyColumns, key_properties};
use super::sorted::SortedRows;
use crate::memtable::{Partial, SumNumbers};

/// Rows of one page: what a lookup of one customer's hour decodes.
const PAGE_ROWS: usize = 512;
/// Rows of one row group: a lookup steps over its pages one by one, so there are few.
const GROUP_ROWS: usize = 16_384;

/// The sort columns.
pub(crate) const KEYS: KeyColumns =
    KeyColumns { tenant: "tenant", grain: Some("grain"), customer: "customer", time: "start" };

/// The columns that are sums; files of version 2 end with `late`.
const NUMBERS: [&str; 10] = [
    "calls",
    "tokens",
    "input_tokens",
    "output_tokens",
    "latency_us",
    "latency_calls",
    "late",
    "cache_read_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
];

/// All columns, in order.
pub(crate) const COLUMNS: [&str; 18] = [
    "tenant",
    "grain",
    "customer",
    "start",
    "calls",
    "tokens",
    "input_tokens",
    "output_tokens",
    "latency_us",
    "latency_calls",
    "late",
    "cache_read_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "first_received",
    "last_received",
    "by_endpoint",
    "by_model",
];

/// Schema of the file.
pub(crate) fn schema() -> SchemaRef {
    let instant = || DataType::Timestamp(TimeUnit::Microsecond, Some(Arc::from("UTC")));
    let fields = COLUMNS.map(|name| match name {
        "tenant" | "customer" => Field::new(name, DataType::Utf8, false),
        "grain" => Field::new(name, DataType::UInt8, false),
        "start" | "first_received" | "last_received" => Field::new(name, instant(), false),
        "by_endpoint" | "by_model" => Field::new(name, DataType::Binary, false),
        _ => Field::new(name, DataType::Int64, false),
    });
    Arc::new(Schema::new(fields.to_vec()))
}

/// How the file is written.
pub(crate) fn properties() -> WriterProperties {
    let sorted = ["tenant", "grain", "customer", "start"];
    let mut properties = key_properties(PAGE_ROWS, GROUP_ROWS, &["tenant", "customer"], &sorted);
    for name in ["grain", "start", "first_received", "last_received"].into_iter().chain(NUMBERS) {
        let path = ColumnPath::from(name);
        properties = properties.set_column_dictionary_enabled(path.clone(), false);
        properties = properties.set_column_encoding(path, Encoding::DELTA_BINARY_PACKED);
    }
    for name in ["by_endpoint", "by_model"] {
        properties = properties.set_column_dictionary_enabled(ColumnPath::from(name), false);
    }
    properties.build()
}

/// The sort key of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SumKey<'b> {
    pub(crate) tenant: &'b str,
    pub(crate) grain: Grain,
    pub(crate) customer: &'b str,
    pub(crate) start: Timestamp,
}

/// Gathers rows into record batches.
#[derive(Debug, Default)]
pub(crate) struct SumBuilder {
    rows: usize,
    tenant: StringBuilder,
    grain: UInt8Builder,
    customer: StringBuilder,
    start: TimestampMicrosecondBuilder,
    numbers: [Int64Builder; NUMBERS.len()],
    first_received: TimestampMicrosecondBuilder,
    last_received: TimestampMicrosecondBuilder,
    by_endpoint: BinaryBuilder,
    by_model: BinaryBuilder,
    scratch: Vec<u8>,
}

impl SumBuilder {
    /// Rows gathered.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Adds a row; its start is that of `key`.
    pub(crate) fn push<'n>(
        &mut self,
        key: &SumKey<'_>,
        numbers: &SumNumbers,
        by_endpoint: impl Iterator<Item = (&'n str, &'n Slice)>,
        by_model: impl Iterator<Item = (&'n str, &'n Slice)>,
    ) {
        self.push_numbers(key, numbers);
        self.scratch.clear();
        by_endpoint.for_each(|(name, slice)| blob::push(&mut self.scratch, name, slice));
        self.by_endpoint.append_value(&self.scratch);
        self.scratch.clear();
        by_model.for_each(|(name, slice)| blob::push(&mut self.scratch, name, slice));
        self.by_model.append_value(&self.scratch);
    }

    /// Adds a row; its start is that of `key`.
    pub(crate) fn push_partial(&mut self, key: &SumKey<'_>, partial: &Partial) {
        let Aggregate { by_endpoint, by_model, .. } = &partial.aggregate;
        self.push(key, &partial.numbers(), named(by_endpoint), named(by_model));
    }

    /// Adds a row as it stands in a file.
    pub(crate) fn copy(&mut self, rows: &SumRows, row: usize) {
        self.push_numbers(&rows.key(row), &rows.numbers(row));
        self.by_endpoint.append_value(rows.by_endpoint.value(row));
        self.by_model.append_value(rows.by_model.value(row));
    }

    fn push_numbers(&mut self, key: &SumKey<'_>, numbers: &SumNumbers) {
        self.rows += 1;
        self.tenant.append_value(key.tenant);
        self.grain.append_value(key.grain.code());
        self.customer.append_value(key.customer);
        self.start.append_value(key.start.micros());
        let sums = &numbers.totals;
        let values = [
            sums.calls,
            sums.tokens,
            sums.input_tokens,
            sums.output_tokens,
            sums.latency_us,
            sums.latency_calls,
            sums.late,
            sums.cache_read_tokens,
            sums.cache_write_tokens,
            sums.reasoning_tokens,
        ];
        self.numbers.iter_mut().zip(values).for_each(|(builder, value)| builder.append_value(signed(value)));
        self.first_received.append_value(numbers.first_received.micros());
        self.last_received.append_value(numbers.last_received.micros());
    }

    /// The rows gathered, and an empty builder again.
    pub(crate) fn finish(&mut self) -> std::result::Result<RecordBatch, ArrowError> {
        self.rows = 0;
        let utc =
            |builder: &mut TimestampMicrosecondBuilder| Arc::new(builder.finish().with_timezone("UTC")) as ArrayRef;
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(self.tenant.finish()),
            Arc::new(self.grain.finish()),
            Arc::new(self.customer.finish()),
            utc(&mut self.start),
        ];
        columns.extend(self.numbers.iter_mut().map(|builder| Arc::new(builder.finish()) as ArrayRef));
        columns.push(utc(&mut self.first_received));
        columns.push(utc(&mut self.last_received));
        columns.push(Arc::new(self.by_endpoint.finish()));
        columns.push(Arc::new(self.by_model.finish()));
        RecordBatch::try_new(schema(), columns)
    }
}

fn named(slices: &BTreeMap<String, Slice>) -> impl Iterator<Item = (&str, &Slice)> {
    slices.iter().map(|(name, slice)| (name.as_str(), slice))
}

/// The rows of a batch with all columns.
#[derive(Debug)]
pub(crate) struct SumRows {
    tenant: StringArray,
    grain: UInt8Array,
    customer: StringArray,
    start: TimestampMicrosecondArray,
    numbers: Vec<Int64Array>,
    first_received: TimestampMicrosecondArray,
    last_received: TimestampMicrosecondArray,
    by_endpoint: BinaryArray,
    by_model: BinaryArray,
}

impl SortedRows for SumRows {
    type Key<'k> = SumKey<'k>;

    fn of(batch: &RecordBatch) -> Result<Self> {
        let columns = Columns(batch);
        let grain = columns.codes("grain")?.clone();
        if grain.values().iter().any(|code| Grain::of_code(*code).is_none()) {
            return Err(ParquetError::General("a row has an unknown grain".into()));
        }
        Ok(Self {
            tenant: columns.texts("tenant")?.clone(),
            grain,
            customer: columns.texts("customer")?.clone(),
            start: columns.times("start")?.clone(),
            numbers: NUMBERS.iter().map(|name| columns.sums(name).cloned()).collect::<Result<_>>()?,
            first_received: columns.times("first_received")?.clone(),
            last_received: columns.times("last_received")?.clone(),
            by_endpoint: columns.blobs("by_endpoint")?.clone(),
            by_model: columns.blobs("by_model")?.clone(),
        })
    }

    fn key(&self, row: usize) -> SumKey<'_> {
        SumKey {
            tenant: self.tenant.value(row),
            grain: Grain::of_code(self.grain.value(row)).unwrap_or(Grain::Total),
            customer: self.customer.value(row),
            start: Timestamp::from_micros(self.start.value(row)),
        }
    }
}

impl SumRows {
    /// The sums at `row`, without breakdowns.
    fn numbers(&self, row: usize) -> SumNumbers {
        let number = |at: usize| unsigned(self.numbers[at].value(row));
        let totals = Totals {
            calls: number(0),
            tokens: number(1),
            input_tokens: number(2),
            output_tokens: number(3),
            latency_us: number(4),
            latency_calls: number(5),
            late: number(6),
            cache_read_tokens: number(7),
            cache_write_tokens: number(8),
            reasoning_tokens: number(9),
        };
        let instant = |array: &TimestampMicrosecondArray| Timestamp::from_micros(array.value(row));
        SumNumbers {
            totals,
            first_received: instant(&self.first_received),
            last_received: instant(&self.last_received),
        }
    }

    /// The sums at `row`.
    pub(crate) fn partial(&self, row: usize) -> Result<Partial> {
        let SumNumbers { totals, first_received, last_received } = self.numbers(row);
        let mut aggregate = Aggregate { totals, ..Aggregate::default() };
        let broken = || ParquetError::General("a breakdown cannot be read".into());
        blob::merge_into(&mut aggregate.by_endpoint, self.by_endpoint.value(row)).ok_or_else(broken)?;
        blob::merge_into(&mut aggregate.by_model, self.by_model.value(row)).ok_or_else(broken)?;
        Ok(Partial { start: self.key(row).start, first_received, last_received, aggregate })
    }
}
