//! The file of residuals: what events that were erased add to sums, without what was erased of them. One row for each
//! cell of time, project, type, endpoint and model of a customer, or of nobody ([`ERASED`]) where the customer itself
//! was erased. Rows are additive: the same key may stand in several segments. Format: `docs/formats/segment.md`.

use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray, StringBuilder, TimestampMicrosecondArray, TimestampMicrosecondBuilder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use domain::aggregate::{Aggregate, Slice, Totals, merge_slice};
use domain::time::Timestamp;
use hashbrown::HashMap;
use parquet::errors::Result;
use parquet::file::properties::WriterProperties;

use super::columns::Columns;
use super::layout::{KeyColumns, delta_packed, instant, key_properties, utc};
use super::numbers::{self, NumberBuilders, NumberColumns};
use super::sorted::SortedRows;
use crate::intern::{Interner, Symbol};
use crate::memtable::SumNumbers;

/// Stands for a customer that was erased.
pub(crate) const ERASED: &str = domain::erasure::ERASED_CUSTOMER;

/// Rows of one page.
const PAGE_ROWS: usize = 512;
/// Rows of one row group.
const GROUP_ROWS: usize = 65_536;

/// The first sort columns.
pub(crate) const KEYS: KeyColumns = KeyColumns { tenant: "tenant", grain: None, customer: "customer", time: "start" };

const TEXTS: [&str; 6] = ["tenant", "customer", "project", "type", "endpoint", "model"];

/// All columns, in order.
pub(crate) const COLUMNS: [&str; 7 + numbers::COUNT] =
    numbers::between(&["tenant", "customer", "start", "project", "type", "endpoint", "model"], &[]);

/// Schema of the file.
pub(crate) fn schema() -> SchemaRef {
    let fields = COLUMNS.map(|name| match name {
        "start" => Field::new(name, instant(), false),
        name if TEXTS.contains(&name) => Field::new(name, DataType::Utf8, false),
        name => numbers::field(name),
    });
    Arc::new(Schema::new(fields.to_vec()))
}

/// How the file is written.
pub(crate) fn properties() -> WriterProperties {
    let sorted = ["tenant", "customer", "start"];
    let properties = key_properties(PAGE_ROWS, GROUP_ROWS, &["tenant", "customer"], &sorted);
    delta_packed(properties, ["start"].into_iter().chain(numbers::NAMES)).build()
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
#[derive(Debug, Clone, PartialEq, Eq)]
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

/// Sums by cell while they are gathered. There may be as many cells as events go, so that each text is held once.
#[derive(Debug, Default)]
pub(crate) struct Cells {
    texts: Interner,
    sums: HashMap<CellSymbols, SumNumbers>,
}

/// A cell by the symbols of its texts, in the order of [`TEXTS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct CellSymbols {
    start: Timestamp,
    texts: [Symbol; TEXTS.len()],
}

impl Cells {
    /// Adds sums to a cell.
    pub(crate) fn add(&mut self, key: &ResidualKey<'_>, numbers: &SumNumbers) {
        let texts = [key.tenant, key.customer, key.project, key.kind, key.endpoint, key.model];
        let texts = texts.map(|text| self.texts.intern(text).0);
        self.sums.entry(CellSymbols { start: key.start, texts }).or_default().merge(numbers);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.sums.is_empty()
    }

    /// All cells, in order.
    pub(crate) fn sorted(&self) -> impl Iterator<Item = (ResidualKey<'_>, &SumNumbers)> {
        let mut cells: Vec<_> = self.sums.iter().collect();
        cells.sort_unstable_by(|(left, _), (right, _)| self.key_of(left).cmp(&self.key_of(right)));
        cells.into_iter().map(|(cell, numbers)| (self.key_of(cell), numbers))
    }

    fn key_of(&self, cell: &CellSymbols) -> ResidualKey<'_> {
        let [tenant, customer, project, kind, endpoint, model] = cell.texts.map(|text| self.texts.text(text));
        ResidualKey { tenant, customer, start: cell.start, project, kind, endpoint, model }
    }
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
    numbers: NumberBuilders,
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
        self.numbers.push(numbers);
    }

    /// The rows gathered, and an empty builder again.
    pub(crate) fn finish(&mut self) -> std::result::Result<RecordBatch, ArrowError> {
        self.rows = 0;
        let [tenant, customer, project, kind, endpoint, model] = &mut self.texts;
        let text = |builder: &mut StringBuilder| Arc::new(builder.finish()) as ArrayRef;
        let mut columns = vec![text(tenant), text(customer), utc(&mut self.start)];
        columns.extend([project, kind, endpoint, model].map(text));
        columns.extend(self.numbers.finish());
        RecordBatch::try_new(schema(), columns)
    }
}

/// The rows of a batch with all columns.
#[derive(Debug)]
pub(crate) struct ResidualRows {
    texts: [StringArray; TEXTS.len()],
    start: TimestampMicrosecondArray,
    numbers: NumberColumns,
}

impl SortedRows for ResidualRows {
    type Key<'k> = ResidualKey<'k>;

    fn of(batch: &RecordBatch) -> Result<Self> {
        let columns = Columns(batch);
        let text = |at: usize| columns.texts(TEXTS[at]).cloned();
        Ok(Self {
            texts: [text(0)?, text(1)?, text(2)?, text(3)?, text(4)?, text(5)?],
            start: columns.times("start")?.clone(),
            numbers: NumberColumns::of(columns)?,
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
        self.numbers.at(row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key<'t>(customer: &'t str, start: i64, endpoint: &'t str) -> ResidualKey<'t> {
        let (start, none) = (Timestamp::from_micros(start), "");
        ResidualKey { tenant: "t", customer, start, project: none, kind: "k", endpoint, model: none }
    }

    fn calls(calls: u64) -> SumNumbers {
        SumNumbers { totals: Totals { calls, ..Totals::default() }, ..SumNumbers::default() }
    }

    #[test]
    fn cells_are_summed_and_come_in_the_order_of_rows() {
        let mut cells = Cells::default();
        assert!(cells.is_empty());
        // In an order in which no text is met.
        let added = [("b", 0, "/a"), ("a", 60, "/b"), ("a", 0, "/b"), ("b", 0, "/a"), ("a", 0, "/a"), (ERASED, 90, "")];
        for (customer, start, endpoint) in added {
            cells.add(&key(customer, start, endpoint), &calls(1));
        }
        let found: Vec<_> = cells.sorted().map(|(key, numbers)| (key, numbers.totals.calls)).collect();
        let expected = [
            (key(ERASED, 90, ""), 1),
            (key("a", 0, "/a"), 1),
            (key("a", 0, "/b"), 1),
            (key("a", 60, "/b"), 1),
            (key("b", 0, "/a"), 2),
        ];
        assert_eq!(found, expected);
    }

    /// Found in November 2026: every cell had all six texts for itself, and one segment may have millions of cells.
    #[test]
    fn i6_a_text_is_in_memory_once_however_many_cells_have_it() {
        let (mut cells, long) = (Cells::default(), "x".repeat(256));
        for start in 0..1_000 {
            cells.add(&key(&long, start, &long), &calls(1));
        }
        assert_eq!(cells.sums.len(), 1_000);
        let symbols: std::collections::BTreeSet<_> = cells.sums.keys().flat_map(|cell| cell.texts).collect();
        assert_eq!(symbols.len(), 4, "of two short texts, the long one, and none");
    }
}
