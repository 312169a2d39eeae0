//! The file of partial aggregates: per tenant and customer one row for everything, one per hour and
//! one per window, sorted by tenant, grain, customer and start. Rows are additive: the same key may
//! stand in several segments, readers merge, compaction folds. Format: `docs/formats/segment.md`.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BinaryBuilder, StringArray, StringBuilder, TimestampMicrosecondArray,
    TimestampMicrosecondBuilder, UInt8Array, UInt8Builder,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use domain::aggregate::{Aggregate, Slice};
use domain::time::Timestamp;
use parquet::errors::{ParquetError, Result};
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;

use super::blob;
use super::columns::Columns;
use super::grain::Grain;
use super::layout::{KeyColumns, delta_packed, instant, key_properties, utc};
use super::numbers::{self, NumberBuilders, NumberColumns};
use super::sorted::SortedRows;
use crate::memtable::{Partial, SumNumbers};

/// Rows of one page: what a lookup of one customer's hour decodes.
const PAGE_ROWS: usize = 512;
/// Rows of one row group: a lookup steps over its pages one by one, so there are few.
const GROUP_ROWS: usize = 16_384;

/// The sort columns.
pub(crate) const KEYS: KeyColumns =
    KeyColumns { tenant: "tenant", grain: Some("grain"), customer: "customer", time: "start" };

/// All columns, in order.
pub(crate) const COLUMNS: [&str; 6 + numbers::COUNT] =
    numbers::between(&["tenant", "grain", "customer", "start"], &["by_endpoint", "by_model"]);

/// Schema of the file.
pub(crate) fn schema() -> SchemaRef {
    let fields = COLUMNS.map(|name| match name {
        "tenant" | "customer" => Field::new(name, DataType::Utf8, false),
        "grain" => Field::new(name, DataType::UInt8, false),
        "start" => Field::new(name, instant(), false),
        "by_endpoint" | "by_model" => Field::new(name, DataType::Binary, false),
        name => numbers::field(name),
    });
    Arc::new(Schema::new(fields.to_vec()))
}

/// How the file is written.
pub(crate) fn properties() -> WriterProperties {
    let sorted = ["tenant", "grain", "customer", "start"];
    let properties = key_properties(PAGE_ROWS, GROUP_ROWS, &["tenant", "customer"], &sorted);
    let mut properties = delta_packed(properties, ["grain", "start"].into_iter().chain(numbers::NAMES));
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
    numbers: NumberBuilders,
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
        self.numbers.push(numbers);
    }

    /// The rows gathered, and an empty builder again.
    pub(crate) fn finish(&mut self) -> std::result::Result<RecordBatch, ArrowError> {
        self.rows = 0;
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(self.tenant.finish()),
            Arc::new(self.grain.finish()),
            Arc::new(self.customer.finish()),
            utc(&mut self.start),
        ];
        columns.extend(self.numbers.finish());
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
    numbers: NumberColumns,
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
            numbers: NumberColumns::of(columns)?,
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
        self.numbers.at(row)
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
