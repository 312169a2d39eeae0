//! Structured queries: one consistent state, filtered, grouped and aggregated by DataFusion within
//! bounds of time, memory and rows. No text of a request reaches the engine except as a value.

mod columns;
mod distributive;
mod engine;
mod json;
mod operators;
mod gathering;
mod percentile;
mod unique;
mod plan;
mod scan;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Decimal128Type, Float64Type, Int64Type, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use datafusion_common::DataFusionError;
use datafusion_execution::TaskContext;
use datafusion_physical_plan::collect;
use datafusion_physical_plan::streaming::PartitionStream;
use domain::limits::QUERY_ANSWER_BYTES_MAX;
use domain::query::{Query, Value};
use domain::tenant::TenantScope;
use domain::time::{TimeRange, Timestamp};
use ports::queries::{Queries, QueryAnswer};
use ports::{ErrorKind, PortError};

pub(crate) use engine::Engine;

use crate::ledger::{Core, EmbeddedLedger};
use crate::reports::took_too_long;
use plan::Plan;
use scan::{Scan, Share, external};

/// How often a query that has ended is asked whether it holds memory still.
const RELEASE_POLL: Duration = Duration::from_millis(1);

/// Ends a query whose caller has left: soon, and only then its slot is free.
struct Abandon(Arc<AtomicBool>);

impl Drop for Abandon {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[async_trait]
impl Queries for EmbeddedLedger {
    async fn query(&self, scope: &TenantScope, query: &Query) -> Result<QueryAnswer, PortError> {
        let (engine, time_max) = (&self.core.engine, self.core.options.query_time_max);
        let closed = |why| PortError::new(ErrorKind::Closed, "run the query").because(why);
        let slot = Arc::clone(&engine.slots).acquire_owned().await.map_err(closed)?;
        let flag = Arc::new(AtomicBool::new(false));
        let running = {
            let (core, scope, query, flag) = (Arc::clone(&self.core), scope.clone(), query.clone(), Arc::clone(&flag));
            engine.handle()?.spawn(async move {
                let _slot = slot;
                core.run_query(&scope, &query, flag).await
            })
        };
        let _abandon = Abandon(flag);
        match tokio::time::timeout(time_max, running).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(ended)) => Err(PortError::new(ErrorKind::Unavailable, "run the query").because(ended)),
            Err(_) => Err(took_too_long(time_max)),
        }
    }
}

impl Core {
    async fn run_query(
        &self,
        scope: &TenantScope,
        query: &Query,
        abandoned: Arc<AtomicBool>,
    ) -> Result<QueryAnswer, PortError> {
        let rows = self.rows(scope, query, &abandoned).await?;
        let mut rows = rows.iter().map(rows_of).collect::<Result<Vec<_>, _>>()?.concat();
        let truncated = rows.len() > query.limit;
        rows.truncate(query.limit);
        let bytes: usize = rows.iter().flatten().map(bytes_of).sum();
        if bytes > QUERY_ANSWER_BYTES_MAX {
            let context = format!(
                "answer the query within {} MiB of text: ask for fewer rows, or shorter values",
                QUERY_ANSWER_BYTES_MAX >> 20
            );
            return Err(PortError::new(ErrorKind::Exhausted, context));
        }
        Ok(QueryAnswer { columns: query.columns(), rows, truncated })
    }

    /// How much memory several partitions need depends on which of them is ahead, hence on what else
    /// runs. So they get half of it, and the verdict on what does not fit there is that of one partition
    /// with all of it, which always takes the same way. What fits in the half fits there too: tables
    /// that grow by doubling take less than twice as much in one piece.
    async fn rows(
        &self,
        scope: &TenantScope,
        query: &Query,
        abandoned: &Arc<AtomicBool>,
    ) -> Result<Vec<RecordBatch>, PortError> {
        let memory_bytes_max = self.options.query_memory_bytes_max;
        let attempt = async |partitions, memory_bytes_max| {
            let plan = Plan::of(query);
            let scan = self.scan(scope, query, plan.columns.clone(), Arc::clone(abandoned)).map_err(external)?;
            let context = Arc::new(engine::context(memory_bytes_max)?);
            let answered = answer(plan, scan, partitions, Arc::clone(&context)).await;
            released(&context).await;
            answered
        };
        let rows = match attempt(engine::threads(), memory_bytes_max / 2).await {
            Err(why) if !is_failed_read(&why) => attempt(1, memory_bytes_max).await,
            answered => answered,
        };
        rows.map_err(|why| refusal(why, memory_bytes_max))
    }

    /// The rows of one state that retention still shows.
    fn scan(
        &self,
        scope: &TenantScope,
        query: &Query,
        columns: Vec<columns::Derived>,
        abandoned: Arc<AtomicBool>,
    ) -> Result<Arc<Scan>, PortError> {
        let tenant = scope.tenant();
        let (snapshot, active) = self.view(|active| active.hold(tenant, query.range));
        let (from, to, floor) = (query.range.from(), query.range.to(), snapshot.retention_floor);
        if from > Timestamp::MIN && from < floor {
            return Err(PortError::new(ErrorKind::Gone, format!("read events before {floor}")));
        }
        let from = from.max(floor);
        let range = TimeRange::new(from, to.max(from)).unwrap_or(query.range);
        let frozen = snapshot.frozen.iter().map(|frozen| frozen.hold(tenant, range));
        let held = frozen.chain([active]).collect();
        Ok(Arc::new(Scan::new(scope, range, columns, &snapshot.segments, held, abandoned)))
    }
}

/// What a value takes in an answer, about.
fn bytes_of(value: &Value) -> usize {
    let written = |byte: u8| match byte {
        0..0x20 => 6,
        b'"' | b'\\' => 2,
        _ => 1,
    };
    match value {
        Value::Text(text) => text.bytes().map(written).sum::<usize>() + 3,
        _ => 24,
    }
}

async fn answer(
    plan: Plan,
    scan: Arc<Scan>,
    partitions: usize,
    context: Arc<TaskContext>,
) -> Result<Vec<RecordBatch>, DataFusionError> {
    let shares = (0..partitions).map(|_| Arc::new(Share::of(&scan)) as Arc<dyn PartitionStream>);
    let operators = operators::operators(&plan, scan.schema(), shares.collect())?;
    collect(operators, context).await
}

/// Waits until a query holds no memory. Its parts on other threads end a little after the whole.
async fn released(context: &TaskContext) {
    while context.memory_pool().reserved() > 0 {
        tokio::time::sleep(RELEASE_POLL).await;
    }
}

/// Whether rows could not be read.
fn is_failed_read(why: &DataFusionError) -> bool {
    matches!(why.find_root(), DataFusionError::External(_))
}

/// Why the engine gave no answer.
fn refusal(why: DataFusionError, memory_bytes_max: usize) -> PortError {
    let kind = match why.find_root() {
        DataFusionError::ResourcesExhausted(_) => {
            let context = format!(
                "answer the query within {} MiB of memory for its groups and values: ask for fewer groups or values, \
                 or a shorter time",
                memory_bytes_max >> 20
            );
            return PortError::new(ErrorKind::Exhausted, context).because(why);
        }
        DataFusionError::External(inner) => {
            inner.downcast_ref::<PortError>().map_or(ErrorKind::Unacceptable, PortError::kind)
        }
        _ => ErrorKind::Unacceptable,
    };
    PortError::new(kind, "run the query").because(why)
}

fn rows_of(batch: &RecordBatch) -> Result<Vec<Vec<Value>>, PortError> {
    let value = |column: &ArrayRef, row| {
        value_at(column, row).ok_or_else(|| {
            PortError::new(ErrorKind::Unacceptable, format!("answer with values of type {}", column.data_type()))
        })
    };
    let row = |row| batch.columns().iter().map(|column| value(column, row)).collect();
    (0..batch.num_rows()).map(row).collect()
}

/// The value of an answer; a sum beyond 64 bits is held at their end, one beyond a double is none.
fn value_at(column: &ArrayRef, row: usize) -> Option<Value> {
    if column.is_null(row) {
        return Some(Value::Null);
    }
    Some(match column.data_type() {
        DataType::Utf8View => Value::Text(column.as_string_view_opt()?.value(row).to_owned()),
        DataType::Int64 => Value::Int(column.as_primitive_opt::<Int64Type>()?.value(row)),
        DataType::Decimal128(..) => {
            let sum = column.as_primitive_opt::<Decimal128Type>()?.value(row);
            Value::Int(i64::try_from(sum).unwrap_or(i64::MAX))
        }
        DataType::Float64 => {
            let number = column.as_primitive_opt::<Float64Type>()?.value(row);
            if number.is_finite() { Value::Float(number) } else { Value::Null }
        }
        DataType::Timestamp(..) => {
            let micros = column.as_primitive_opt::<TimestampMicrosecondType>()?.value(row);
            Value::Time(Timestamp::from_micros(micros))
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use arrow::array::{Decimal128Array, Float64Array};

    use super::*;

    #[test]
    fn sums_are_held_at_the_end_of_64_bits() {
        let sums = vec![1, i128::from(i64::MAX), i128::from(i64::MAX) + 1, 10_i128.pow(28)];
        let sums = Decimal128Array::from(sums).with_precision_and_scale(29, 0).unwrap();
        let sums: ArrayRef = Arc::new(sums);
        let held: Vec<_> = (0..4).filter_map(|row| value_at(&sums, row)).collect();
        assert_eq!(held, [1, i64::MAX, i64::MAX, i64::MAX].map(Value::Int));
        let doubles: ArrayRef = Arc::new(Float64Array::from(vec![f64::INFINITY, f64::NAN]));
        assert_eq!([0, 1].map(|row| value_at(&doubles, row)), [Some(Value::Null), Some(Value::Null)]);
    }
}
