//! The file of raw events: one row per event, sorted by tenant, customer, time and position.
//! Format: `docs/formats/segment.md`.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Int64Builder, StringArray, StringBuilder, TimestampMicrosecondArray, TimestampMicrosecondBuilder,
    UInt8Builder, UInt32Builder, UInt64Array, UInt64Builder,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use domain::event::{IdScheme, Usage};
use domain::position::Position;
use domain::record::ReceiptTimes;
use domain::time::Timestamp;
use parquet::errors::{ParquetError, Result};
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;
use ports::reports::StoredEvent;

use super::columns::{Columns, count_at, signed, text_at};
use super::layout::{KeyColumns, delta_packed, instant, key_properties, utc};
use super::sorted::SortedRows;
use crate::memtable::MemtableEvent;

/// Rows of one page: what a lookup of a few events decodes.
const PAGE_ROWS: usize = 2_048;
/// Rows of one row group.
const GROUP_ROWS: usize = 131_072;
/// The sort columns.
pub(crate) const KEYS: KeyColumns = KeyColumns { tenant: "tenant", grain: None, customer: "customer", time: "time" };

/// The column that files of version 1 do not have.
pub(crate) const USER_NUMBER: &str = "user_number";
/// The part of the input tokens that a cache answered.
pub(crate) const CACHE_READ: &str = "cache_read_tokens";
/// The part of the input tokens that was put into a cache.
pub(crate) const CACHE_WRITE: &str = "cache_write_tokens";
/// The part of the output tokens that is reasoning.
pub(crate) const REASONING: &str = "reasoning_tokens";
/// The number of what the id means.
pub(crate) const ID_SCHEME: &str = "id_scheme";
/// Up to when windows may have been closed at admission, where that is later than the receive time.
pub(crate) const WATERMARK: &str = "watermark";

/// All columns, in order. Files of version 2 end before [`CACHE_READ`].
pub(crate) const COLUMNS: [&str; 22] = [
    "tenant",
    "customer",
    "time",
    "position",
    "received_at",
    "id",
    "type",
    "project",
    "user",
    USER_NUMBER,
    "endpoint",
    "properties",
    "tokens",
    "input_tokens",
    "output_tokens",
    "latency_us",
    "model",
    CACHE_READ,
    CACHE_WRITE,
    REASONING,
    ID_SCHEME,
    WATERMARK,
];

/// Schema of the file.
pub(crate) fn schema() -> SchemaRef {
    let field = |name: &str, kind: DataType, nullable| Field::new(name, kind, nullable);
    let fields = COLUMNS.map(|name| match name {
        "time" | "received_at" => field(name, instant(), false),
        WATERMARK => field(name, instant(), true),
        ID_SCHEME => field(name, DataType::UInt8, false),
        "position" => field(name, DataType::UInt64, false),
        USER_NUMBER => field(name, DataType::UInt32, true),
        "tenant" | "customer" | "id" | "type" => field(name, DataType::Utf8, false),
        "tokens" | "input_tokens" | "output_tokens" | "latency_us" | CACHE_READ | CACHE_WRITE | REASONING => {
            field(name, DataType::Int64, true)
        }
        _ => field(name, DataType::Utf8, true),
    });
    Arc::new(Schema::new(fields.to_vec()))
}

/// How the file is written: sorted columns as shared prefixes, few-valued ones as dictionaries. Statistics per
/// page for what rows are found by: the sort columns, and the receive time.
pub(crate) fn properties() -> WriterProperties {
    let found_by = ["tenant", "customer", "time", "received_at"];
    let properties = key_properties(PAGE_ROWS, GROUP_ROWS, &["tenant", "customer"], &found_by);
    let mut properties = delta_packed(properties, ["time", "position", "received_at"]);
    let plain = ["id", "user", USER_NUMBER, "properties", "tokens", "input_tokens", "output_tokens", "latency_us"];
    for name in plain.into_iter().chain([CACHE_READ, CACHE_WRITE, REASONING]) {
        properties = properties.set_column_dictionary_enabled(ColumnPath::from(name), false);
    }
    properties.build()
}

/// Gathers events into record batches.
#[derive(Debug, Default)]
pub(crate) struct EventBuilder {
    rows: usize,
    tenant: StringBuilder,
    customer: StringBuilder,
    time: TimestampMicrosecondBuilder,
    position: UInt64Builder,
    received_at: TimestampMicrosecondBuilder,
    id: StringBuilder,
    kind: StringBuilder,
    project: StringBuilder,
    user: StringBuilder,
    user_number: UInt32Builder,
    endpoint: StringBuilder,
    properties: StringBuilder,
    tokens: Int64Builder,
    input_tokens: Int64Builder,
    output_tokens: Int64Builder,
    latency_us: Int64Builder,
    model: StringBuilder,
    cache_read_tokens: Int64Builder,
    cache_write_tokens: Int64Builder,
    reasoning_tokens: Int64Builder,
    id_scheme: UInt8Builder,
    watermark: TimestampMicrosecondBuilder,
}

impl EventBuilder {
    /// Rows gathered.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Adds an event.
    pub(crate) fn push(&mut self, tenant: &str, row: &MemtableEvent<'_>) {
        let event = &row.event;
        self.rows += 1;
        self.tenant.append_value(tenant);
        self.customer.append_value(event.customer.unwrap_or(""));
        self.time.append_value(event.time.micros());
        self.position.append_value(row.position.bits());
        self.received_at.append_value(row.times.received_at.micros());
        self.id.append_value(event.id);
        self.kind.append_value(event.kind);
        self.project.append_option(event.project);
        self.user.append_option(event.user);
        self.user_number.append_option(row.user.map(|user| user.0));
        self.endpoint.append_option(event.endpoint);
        self.properties.append_option(event.properties);
        self.tokens.append_option(event.usage.tokens.map(signed));
        self.input_tokens.append_option(event.usage.input_tokens.map(signed));
        self.output_tokens.append_option(event.usage.output_tokens.map(signed));
        self.latency_us.append_option(event.usage.latency_us.map(signed));
        self.model.append_option(event.usage.model);
        self.cache_read_tokens.append_option(event.usage.cache_read_tokens.map(signed));
        self.cache_write_tokens.append_option(event.usage.cache_write_tokens.map(signed));
        self.reasoning_tokens.append_option(event.usage.reasoning_tokens.map(signed));
        self.id_scheme.append_value(event.id_scheme.code());
        let ReceiptTimes { received_at, watermark } = row.times;
        self.watermark.append_option((watermark > received_at).then_some(watermark.micros()));
    }

    /// The rows gathered, and an empty builder again.
    pub(crate) fn finish(&mut self) -> std::result::Result<RecordBatch, ArrowError> {
        self.rows = 0;
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.tenant.finish()),
            Arc::new(self.customer.finish()),
            utc(&mut self.time),
            Arc::new(self.position.finish()),
            utc(&mut self.received_at),
            Arc::new(self.id.finish()),
            Arc::new(self.kind.finish()),
            Arc::new(self.project.finish()),
            Arc::new(self.user.finish()),
            Arc::new(self.user_number.finish()),
            Arc::new(self.endpoint.finish()),
            Arc::new(self.properties.finish()),
            Arc::new(self.tokens.finish()),
            Arc::new(self.input_tokens.finish()),
            Arc::new(self.output_tokens.finish()),
            Arc::new(self.latency_us.finish()),
            Arc::new(self.model.finish()),
            Arc::new(self.cache_read_tokens.finish()),
            Arc::new(self.cache_write_tokens.finish()),
            Arc::new(self.reasoning_tokens.finish()),
            Arc::new(self.id_scheme.finish()),
            utc(&mut self.watermark),
        ];
        RecordBatch::try_new(schema(), columns)
    }
}

/// The sort key of an event row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct EventKey<'b> {
    pub(crate) tenant: &'b str,
    pub(crate) customer: &'b str,
    pub(crate) time: Timestamp,
    pub(crate) position: Position,
}

/// The columns that every reader of events needs.
pub(crate) const KEY_COLUMNS: [&str; 4] = ["tenant", "customer", "time", "position"];

/// The sort columns of a batch.
#[derive(Debug)]
pub(crate) struct EventKeys {
    tenant: StringArray,
    customer: StringArray,
    time: TimestampMicrosecondArray,
    position: UInt64Array,
}

impl SortedRows for EventKeys {
    type Key<'k> = EventKey<'k>;

    fn of(batch: &RecordBatch) -> Result<Self> {
        let columns = Columns(batch);
        Ok(Self {
            tenant: columns.texts("tenant")?.clone(),
            customer: columns.texts("customer")?.clone(),
            time: columns.times("time")?.clone(),
            position: columns.positions("position")?.clone(),
        })
    }

    fn key(&self, row: usize) -> EventKey<'_> {
        EventKey {
            tenant: self.tenant.value(row),
            customer: self.customer.value(row),
            time: Timestamp::from_micros(self.time.value(row)),
            position: Position::from_bits(self.position.value(row)),
        }
    }
}

/// The event at `row` of a batch with all columns.
pub(crate) fn stored(batch: &RecordBatch, row: usize) -> Result<StoredEvent> {
    let columns = Columns(batch);
    let keys = EventKeys::of(batch)?;
    let key = keys.key(row);
    let text = |name: &str| Ok::<_, ParquetError>(text_at(columns.texts(name)?, row).map(str::to_owned));
    let count = |name: &str| Ok::<_, ParquetError>(count_at(columns.numbers(name)?, row));
    let id_scheme = IdScheme::of_code(columns.codes(ID_SCHEME)?.value(row));
    Ok(StoredEvent {
        position: key.position.into(),
        id: columns.texts("id")?.value(row).to_owned(),
        id_scheme: id_scheme.ok_or_else(|| ParquetError::General("an id has an unknown scheme".into()))?,
        time: key.time,
        received_at: Timestamp::from_micros(columns.times("received_at")?.value(row)),
        kind: columns.texts("type")?.value(row).to_owned(),
        project: text("project")?,
        customer: (!key.customer.is_empty()).then(|| key.customer.to_owned()),
        user: text("user")?,
        endpoint: text("endpoint")?,
        properties: text("properties")?,
        tokens: count("tokens")?,
        input_tokens: count("input_tokens")?,
        output_tokens: count("output_tokens")?,
        latency_us: count("latency_us")?,
        model: text("model")?,
        cache_read_tokens: count(CACHE_READ)?,
        cache_write_tokens: count(CACHE_WRITE)?,
        reasoning_tokens: count(REASONING)?,
    })
}

/// What an event was measured by.
pub(crate) fn usage_at(columns: Columns<'_>, row: usize) -> Result<Usage<'_>> {
    let count = |name: &str| Ok::<_, ParquetError>(count_at(columns.numbers(name)?, row));
    Ok(Usage {
        tokens: count("tokens")?,
        input_tokens: count("input_tokens")?,
        output_tokens: count("output_tokens")?,
        latency_us: count("latency_us")?,
        model: text_at(columns.texts("model")?, row),
        cache_read_tokens: count(CACHE_READ)?,
        cache_write_tokens: count(CACHE_WRITE)?,
        reasoning_tokens: count(REASONING)?,
    })
}
