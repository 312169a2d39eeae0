//! The file of residuals: what events that were erased add to sums, without what was erased of them. One row for each
//! cell of time, project, type, endpoint and model of a customer, or of nobody ([`ERASED`]) where the customer itself
//! was erased. Rows are additive: the same key may stand in several segments. Format: `docs/formats/segment.md`.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Int64Array, Int64Builder, StringArray, StringBuilder, TimestampMicrosecondArray,
    TimestampMicrosecondBuilder,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use domain::aggregate::{Aggregate, Slice, Totals, merge_slice};
use domain::time::{MICROS_PER_SECOND, Timestamp};
use domain::window::WindowRule;
use parquet::basic::Encoding;
use parquet::errors::Result;
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;

use super::columns::{Columns, signed, unsigned};
use super::layout::{KeyColumns, key_properties};
use super::sorted::SortedRows;
use crate::memtable::SumNumbers;

/// Stands for a customer that was erased: no customer has such a name.
pub(crate) const ERASED: &str = "\u{1}";

/// Rows of one page.
const PAGE_ROWS: usize = 512;
/// Rows of one row group.
const GROUP_ROWS: usize = 65_536;
/// The longest cell, in seconds: the smallest bucket of a series.
const CELL_SEC_MAX: i64 = 60;

/// The first sort columns.
pub(crate) const KEYS: KeyColumns = KeyColumns { tenant: "tenant", grain: None, customer: "customer", time: "start" };

const TEXTS: [&str; 6] = ["tenant", "customer", "project", "type", "endpoint", "model"];
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
pub(crate) const COLUMNS: [&str; 19] = [
    "tenant",
    "customer",
    "start",
    "project",
    "type",
    "endpoint",
    "model",
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
];

/// How long a cell is, in microseconds: windows and minutes are whole cells.
pub(crate) fn cell_us(rule: WindowRule) -> i64 {
    let (mut left, mut right) = (CELL_SEC_MAX, rule.length_us() / MICROS_PER_SECOND);
    while right != 0 {
        (left, right) = (right, left % right);
    }
    left * MICROS_PER_SECOND
}

/// Schema of the file.
pub(crate) fn schema() -> SchemaRef {
    let instant = || DataType::Timestamp(TimeUnit::Microsecond, Some(Arc::from("UTC")));
    let fields = COLUMNS.map(|name| match name {
        "start" | "first_received" | "last_received" => Field::new(name, instant(), false),
        name if TEXTS.contains(&name) => Field::new(name, DataType::Utf8, false),
        _ => Field::new(name, DataType::Int64, false),
    });
    Arc::new(Schema::new(fields.to_vec()))
}

/// How the file is written.
pub(crate) fn properties() -> WriterProperties {
    let sorted = ["tenant", "customer", "start"];
    let mut properties = key_properties(PAGE_ROWS, GROUP_ROWS, &["tenant", "customer"], &sorted);
    for name in ["start", "first_received", "last_received"].into_iter().chain(NUMBERS) {
        let path = ColumnPath::from(name);
        properties = properties.set_column_dictionary_enabled(path.clone(), false);
        properties = properties.set_column_encoding(path, Encoding::DELTA_BINARY_PACKED);
    }
    properties.build()
}

/// The sort key of a row. The empty text stands for none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ResidualKey<'b> {
    pub(crate) tenant: &'b str,
    pub(crate) customer: &'b str,
    pub(crate) start: Timestamp,
    pub(crate) project: &'b str,
    pub(crate) kind: &'b str,
    pub(crate) endpoint: &'b str,
    pub(crate) model: &'b str,
}

/// A row by itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Cell {
    pub(crate) tenant: String,
    pub(crate) customer: String,
    pub(crate) start: Timestamp,
    pub(crate) project: String,
    pub(crate) kind: String,
    pub(crate) endpoint: String,
    pub(crate) model: String,
}

impl Cell {
    pub(crate) fn key(&self) -> ResidualKey<'_> {
        ResidualKey {
            tenant: &self.tenant,
            customer: &self.customer,
            start: self.start,
            project: &self.project,
            kind: &self.kind,
            endpoint: &self.endpoint,
            model: &self.model,
        }
    }
}

impl From<ResidualKey<'_>> for Cell {
    fn from(key: ResidualKey<'_>) -> Self {
        Self {
            tenant: key.tenant.to_owned(),
            customer: key.customer.to_owned(),
            start: key.start,
            project: key.project.to_owned(),
            kind: key.kind.to_owned(),
            endpoint: key.endpoint.to_owned(),
            model: key.model.to_owned(),
        }
    }
}

/// Sums by cell, in order.
pub(crate) type Cells = BTreeMap<Cell, SumNumbers>;

/// Adds sums to a cell.
pub(crate) fn add(cells: &mut Cells, cell: Cell, numbers: &SumNumbers) {
    cells.entry(cell).or_default().merge(numbers);
}

/// Adds the sums of a cell to an aggregate with breakdowns, as folding its events did.
pub(crate) fn fold_into(aggregate: &mut Aggregate, key: &ResidualKey<'_>, totals: &Totals) {
    aggregate.totals.merge(totals);
    let slice = Slice { calls: totals.calls, tokens: totals.tokens };
    if !key.endpoint.is_empty() {
        merge_slice(&mut aggregate.by_endpoint, key.endpoint, &slice);
    }
    if !key.model.is_empty() {
        merge_slice(&mut aggregate.by_model, key.model, &slice);
    }
}

/// Gathers rows into record batches.
#[derive(Debug, Default)]
pub(crate) struct ResidualBuilder {
    rows: usize,
    texts: [StringBuilder; TEXTS.len()],
    start: TimestampMicrosecondBuilder,
    numbers: [Int64Builder; NUMBERS.len()],
    first_received: TimestampMicrosecondBuilder,
    last_received: TimestampMicrosecondBuilder,
}

impl ResidualBuilder {
    /// Rows gathered.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Adds a row.
    pub(crate) fn push(&mut self, key: &ResidualKey<'_>, numbers: &SumNumbers) {
        self.rows += 1;
        let texts = [key.tenant, key.customer, key.project, key.kind, key.endpoint, key.model];
        self.texts.iter_mut().zip(texts).for_each(|(builder, text)| builder.append_value(text));
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
        let [tenant, customer, project, kind, endpoint, model] = &mut self.texts;
        let text = |builder: &mut StringBuilder| Arc::new(builder.finish()) as ArrayRef;
        let mut columns = vec![text(tenant), text(customer), utc(&mut self.start)];
        columns.extend([project, kind, endpoint, model].map(text));
        columns.extend(self.numbers.iter_mut().map(|builder| Arc::new(builder.finish()) as ArrayRef));
        columns.push(utc(&mut self.first_received));
        columns.push(utc(&mut self.last_received));
        RecordBatch::try_new(schema(), columns)
    }
}

/// The rows of a batch with all columns.
#[derive(Debug)]
pub(crate) struct ResidualRows {
    texts: [StringArray; TEXTS.len()],
    start: TimestampMicrosecondArray,
    numbers: Vec<Int64Array>,
    first_received: TimestampMicrosecondArray,
    last_received: TimestampMicrosecondArray,
}

impl SortedRows for ResidualRows {
    type Key<'k> = ResidualKey<'k>;

    fn of(batch: &RecordBatch) -> Result<Self> {
        let columns = Columns(batch);
        let text = |at: usize| columns.texts(TEXTS[at]).cloned();
        Ok(Self {
            texts: [text(0)?, text(1)?, text(2)?, text(3)?, text(4)?, text(5)?],
            start: columns.times("start")?.clone(),
            numbers: NUMBERS.iter().map(|name| columns.sums(name).cloned()).collect::<Result<_>>()?,
            first_received: columns.times("first_received")?.clone(),
            last_received: columns.times("last_received")?.clone(),
        })
    }

    fn key(&self, row: usize) -> ResidualKey<'_> {
        let [tenant, customer, project, kind, endpoint, model] = &self.texts;
        ResidualKey {
            tenant: tenant.value(row),
            customer: customer.value(row),
            start: Timestamp::from_micros(self.start.value(row)),
            project: project.value(row),
            kind: kind.value(row),
            endpoint: endpoint.value(row),
            model: model.value(row),
        }
    }
}

impl ResidualRows {
    /// The sums at `row`.
    pub(crate) fn numbers(&self, row: usize) -> SumNumbers {
        let number = |at: usize| unsigned(self.numbers[at].value(row));
        let instant = |array: &TimestampMicrosecondArray| Timestamp::from_micros(array.value(row));
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
        SumNumbers {
            totals,
            first_received: instant(&self.first_received),
            last_received: instant(&self.last_received),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_and_minutes_are_whole_cells() {
        for (length, cell) in [(30, 30), (60, 60), (90, 30), (3_600, 60), (1, 1), (225, 15)] {
            let rule = WindowRule::new(length, 0).unwrap_or_default();
            assert_eq!(cell_us(rule), cell * MICROS_PER_SECOND, "{length}");
        }
    }
}
