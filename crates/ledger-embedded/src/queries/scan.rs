//! The rows of a query, as a table of its own columns: segments by their page index, memtables from
//! what was taken of them, all of one state. The one place below every query where rows are narrowed
//! to a tenant and a time (I5). Several partitions share one list of tasks.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, StringViewArray, TimestampMicrosecondArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{SchemaRef, TimestampMicrosecondType};
use arrow::error::ArrowError;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion_common::{DataFusionError, Result as QueryResult};
use datafusion_execution::{SendableRecordBatchStream, TaskContext};
use datafusion_physical_plan::stream::RecordBatchStreamAdapter;
use datafusion_physical_plan::streaming::PartitionStream;
use domain::encryption::Lens;
use domain::tenant::TenantScope;
use domain::time::{TimeRange, Timestamp};
use parquet::errors::Result as ParquetResult;
use ports::PortError;
use tokio_util::sync::CancellationToken;

use super::columns::{self, Derived};
use crate::memtable::{MemtableEvent, MemtableRows};
use crate::reading::check_cancelled;
use crate::segment::columns::signed;
use crate::segment::{Morsel, Segment, ViewBatches, corrupt, key_range};

/// Unflushed rows of one batch.
const UNFLUSHED_ROWS: usize = 8_192;

/// A part of the rows, read by one partition.
enum ScanTask {
    Unflushed(Arc<MemtableRows>, Range<usize>),
    Stored(Arc<Segment>, Morsel),
}

/// What a query reads.
pub(super) struct Scan {
    scope: TenantScope,
    range: TimeRange,
    columns: Vec<Derived>,
    /// How encrypted values are read.
    lens: Lens,
    schema: SchemaRef,
    tasks: Vec<ScanTask>,
    next: AtomicUsize,
    cancelled: CancellationToken,
}

impl Scan {
    /// Divides the rows of one tenant and time into tasks.
    pub(super) fn new(
        scope: &TenantScope,
        range: TimeRange,
        columns: Vec<Derived>,
        lens: Lens,
        segments: &[Arc<Segment>],
        unflushed: Vec<MemtableRows>,
        cancelled: CancellationToken,
    ) -> Self {
        let mut tasks = Vec::new();
        for segment in segments.iter().filter(|segment| segment.overlaps(range)) {
            let morsels = segment.events().map(|file| file.morsels(&key_range(scope, range))).unwrap_or_default();
            tasks.extend(morsels.into_iter().map(|morsel| ScanTask::Stored(Arc::clone(segment), morsel)));
        }
        for rows in unflushed.into_iter().map(Arc::new) {
            let starts = (0..rows.len()).step_by(UNFLUSHED_ROWS);
            tasks.extend(starts.map(|first| ScanTask::Unflushed(Arc::clone(&rows), first..first + UNFLUSHED_ROWS)));
        }
        let schema = columns::schema(&columns);
        Self { scope: scope.clone(), range, columns, lens, schema, tasks, next: AtomicUsize::new(0), cancelled }
    }

    /// The schema of the query's own columns.
    pub(super) fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// The stored columns that are needed.
    fn stored(&self) -> Vec<&'static str> {
        let mut names: Vec<_> = self.columns.iter().map(Derived::stored).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    fn derive(&self, stored: &RecordBatch) -> QueryResult<RecordBatch> {
        Ok(columns::derive(&self.columns, &self.schema, stored, &self.lens)?)
    }

    /// The rows of a batch that are the tenant's and of the time.
    fn own_rows(&self, batch: RecordBatch) -> Result<RecordBatch, ArrowError> {
        let missing = || ArrowError::SchemaError("a sort column is missing".to_owned());
        let tenants = batch.column_by_name("tenant").and_then(|column| column.as_string_view_opt());
        let times = batch.column_by_name("time").and_then(|column| column.as_primitive_opt());
        let (tenants, times) = (tenants.ok_or_else(missing)?, times.ok_or_else(missing)?);
        let times: &arrow::array::PrimitiveArray<TimestampMicrosecondType> = times;
        let tenant = self.scope.tenant().as_str();
        let own = (0..batch.num_rows()).map(|row| {
            Some(tenants.value(row) == tenant && self.range.contains(Timestamp::from_micros(times.value(row))))
        });
        let own: BooleanArray = own.collect();
        if own.true_count() == batch.num_rows() { Ok(batch) } else { filter_record_batch(&batch, &own) }
    }

    fn begin(&self, task: &ScanTask) -> ParquetResult<RunningTask> {
        Ok(match task {
            ScanTask::Unflushed(rows, range) => RunningTask::Unflushed(Arc::clone(rows), range.clone()),
            ScanTask::Stored(segment, morsel) => {
                let Some(file) = segment.events() else { return Ok(RunningTask::Nothing) };
                let mut names = self.stored();
                if !morsel.whole {
                    names.extend(["tenant", "time"]);
                }
                let reader = file.views()?.read(morsel, &names)?;
                RunningTask::Stored { name: segment.meta().id.clone(), reader: Box::new(reader), whole: morsel.whole }
            }
        })
    }

    /// The next batch of a running task; `None` when it is done.
    fn advance(&self, running: &mut RunningTask) -> Option<QueryResult<RecordBatch>> {
        let batch = match running {
            RunningTask::Nothing => return None,
            RunningTask::Unflushed(rows, range) => {
                let batch = self.unflushed_batch(&rows.decode(range.start, range.len()));
                *running = RunningTask::Nothing;
                batch.map_err(DataFusionError::from)
            }
            RunningTask::Stored { name, reader, whole } => {
                let batch = reader.next()?;
                let batch = batch.and_then(|batch| if *whole { Ok(batch) } else { self.own_rows(batch) });
                batch.map_err(|why| external(corrupt(name, why)))
            }
        };
        Some(batch.and_then(|batch| self.derive(&batch)))
    }

    fn unflushed_batch(&self, rows: &[MemtableEvent<'_>]) -> Result<RecordBatch, ArrowError> {
        let own = rows.iter().filter(|row| self.range.contains(row.event.time)).copied().collect::<Vec<_>>();
        let arrays = self.stored().into_iter().map(|name| (name, unflushed_column(name, &own), true));
        let arrays: Vec<_> = arrays.collect();
        if arrays.is_empty() {
            let options = RecordBatchOptions::new().with_row_count(Some(own.len()));
            let schema = Arc::new(arrow::datatypes::Schema::empty());
            return RecordBatch::try_new_with_options(schema, Vec::new(), &options);
        }
        RecordBatch::try_from_iter_with_nullable(arrays)
    }
}

/// One stored column of unflushed events.
fn unflushed_column(name: &str, rows: &[MemtableEvent<'_>]) -> ArrayRef {
    let texts = |of: for<'a> fn(&'a MemtableEvent<'a>) -> Option<&'a str>| -> ArrayRef { unflushed_texts(rows, of) };
    let times = |of: fn(&MemtableEvent<'_>) -> Timestamp| -> ArrayRef {
        let micros = rows.iter().map(|row| of(row).micros());
        Arc::new(TimestampMicrosecondArray::from_iter_values(micros).with_timezone("UTC"))
    };
    let counts = |of: fn(&MemtableEvent<'_>) -> Option<u64>| -> ArrayRef {
        Arc::new(rows.iter().map(|row| of(row).map(signed)).collect::<Int64Array>())
    };
    match name {
        "time" => times(|row| row.event.time),
        "received_at" => times(|row| row.times.received_at),
        "tokens" => counts(|row| row.event.usage.tokens),
        "input_tokens" => counts(|row| row.event.usage.input_tokens),
        "output_tokens" => counts(|row| row.event.usage.output_tokens),
        "cache_read_tokens" => counts(|row| row.event.usage.cache_read_tokens),
        "cache_write_tokens" => counts(|row| row.event.usage.cache_write_tokens),
        "reasoning_tokens" => counts(|row| row.event.usage.reasoning_tokens),
        "latency_us" => counts(|row| row.event.usage.latency_us),
        "id" => texts(|row| Some(row.event.id)),
        "type" => texts(|row| Some(row.event.kind)),
        "project" => texts(|row| row.event.project),
        "customer" => texts(|row| Some(row.event.customer.unwrap_or_default())),
        "user" => texts(|row| row.event.user),
        "endpoint" => texts(|row| row.event.endpoint),
        "model" => texts(|row| row.event.usage.model),
        _ => texts(|row| row.event.properties),
    }
}

fn unflushed_texts(rows: &[MemtableEvent<'_>], of: for<'a> fn(&'a MemtableEvent<'a>) -> Option<&'a str>) -> ArrayRef {
    let mut texts = arrow::array::StringViewBuilder::with_capacity(rows.len());
    for row in rows {
        texts.append_option(of(row));
    }
    let texts: StringViewArray = texts.finish();
    debug_assert_eq!(texts.len(), rows.len(), "one value per row");
    Arc::new(texts)
}

/// Wraps an error of the ledger, so that the engine hands it on.
pub(super) fn external(why: PortError) -> DataFusionError {
    DataFusionError::External(Box::new(why))
}

impl fmt::Debug for Scan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scan").field("range", &self.range).field("columns", &self.columns).finish_non_exhaustive()
    }
}

/// A task under way.
enum RunningTask {
    Nothing,
    Unflushed(Arc<MemtableRows>, Range<usize>),
    Stored { name: String, reader: Box<ViewBatches>, whole: bool },
}

/// A partition of a scan, which takes the next task whenever it is done with one.
#[derive(Debug)]
pub(super) struct ScanPartition {
    scan: Arc<Scan>,
    schema: SchemaRef,
}

impl ScanPartition {
    /// One of several partitions of a scan.
    pub(super) fn of(scan: &Arc<Scan>) -> Self {
        Self { scan: Arc::clone(scan), schema: scan.schema() }
    }
}

impl PartitionStream for ScanPartition {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let scan = Arc::clone(&self.scan);
        let mut running = RunningTask::Nothing;
        let batches = std::iter::from_fn(move || {
            loop {
                if let Err(why) = check_cancelled(&scan.cancelled) {
                    return Some(Err(external(why)));
                }
                if let Some(batch) = scan.advance(&mut running) {
                    return Some(batch);
                }
                let task = scan.tasks.get(scan.next.fetch_add(1, Ordering::Relaxed))?;
                running = match scan.begin(task) {
                    Ok(running) => running,
                    Err(why) => return Some(Err(external(corrupt("a segment", why)))),
                };
            }
        });
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), futures::stream::iter(batches)))
    }
}
