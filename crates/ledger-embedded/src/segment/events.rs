//! The file of raw events: one row per event, sorted by tenant, customer, time and position.
//! Format: `docs/formats/segment.md`.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Int64Builder, StringArray, StringBuilder, TimestampMicrosecondArray, TimestampMicrosecondBuilder,
    UInt32Builder, UInt64Array, UInt64Builder,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use domain::position::Position;
use domain::time::Timestamp;
use parquet::basic::Encoding;
use parquet::errors::Result;
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;
use ports::reports::StoredEvent;

use super::columns::{Columns, count_at, signed, text_at};
use super::layout::{KeyColumns, key_properties};
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

/// All columns, in order.
pub(crate) const COLUMNS: [&str; 17] = [
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
];

/// Schema of the file.
pub(crate) fn schema() -> SchemaRef {
    let field = |name: &str, kind: DataType, nullable| Field::new(name, kind, nullable);
    let instant = || DataType::Timestamp(TimeUnit::Microsecond, Some(Arc::from("UTC")));
    let fields = COLUMNS.map(|name| match name {
        "time" | "received_at" => field(name, instant(), false),
        "position" => field(name, DataType::UInt64, false),
        USER_NUMBER => field(name, DataType::UInt32, true),
        "tenant" | "customer" | "id" | "type" => field(name, DataType::Utf8, false),
        "tokens" | "input_tokens" | "output_tokens" | "latency_us" => field(name, DataType::Int64, true),
        _ => field(name, DataType::Utf8, true),
    });
    Arc::new(Schema::new(fields.to_vec()))
}

/// How the file is written: sorted columns as shared prefixes, few-valued ones as dictionaries.
pub(crate) fn properties() -> WriterProperties {
    let mut properties =
        key_properties(PAGE_ROWS, GROUP_ROWS, &["tenant", "customer"], &["tenant", "customer", "time"]);
    for name in ["time", "position", "received_at"] {
        let path = ColumnPath::from(name);
        properties = properties.set_column_dictionary_enabled(path.clone(), false);
        properties = properties.set_column_encoding(path, Encoding::DELTA_BINARY_PACKED);
    }
    for name in ["id", "user", USER_NUMBER, "properties", "tokens", "input_tokens", "output_tokens", "latency_us"] {
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
    }

    /// The rows gathered, and an empty builder again.
    pub(crate) fn finish(&mut self) -> std::result::Result<RecordBatch, ArrowError> {
        self.rows = 0;
        let utc =
            |builder: &mut TimestampMicrosecondBuilder| Arc::new(builder.finish().with_timezone("UTC")) as ArrayRef;
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
    let text =
        |name: &str| Ok::<_, parquet::errors::ParquetError>(text_at(columns.texts(name)?, row).map(str::to_owned));
    let count = |name: &str| Ok::<_, parquet::errors::ParquetError>(count_at(columns.numbers(name)?, row));
    Ok(StoredEvent {
        position: key.position.into(),
        id: columns.texts("id")?.value(row).to_owned(),
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
    })
}
