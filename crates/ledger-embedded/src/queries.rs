//! Structured queries: one consistent state, filtered, grouped and aggregated by DataFusion within
//! bounds of time, memory and rows. No text of a request reaches the engine except as a value.

mod columns;
mod numbers;
mod operators;
mod function;
mod distributive;
mod sums;
mod holistic;
mod percentile;
mod unique;
mod plan;
mod scan;

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Decimal128Type, Int64Type, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use datafusion_common::DataFusionError;
use datafusion_execution::TaskContext;
use datafusion_physical_plan::collect;
use datafusion_physical_plan::streaming::PartitionStream;
use domain::query::{Number, Query, Value};
use domain::tenant::TenantScope;
use domain::time::{TimeRange, Timestamp};
use ports::queries::{AggregationCounts, Queries, QueryAnswer};
use ports::{ErrorKind, PortError, held};
use tokio_util::sync::CancellationToken;

use crate::core::Core;
use crate::ledger::EmbeddedLedger;
use crate::query_runtime;
use crate::reading::took_too_long;
use plan::{QueryPlan, Shown};
use scan::{Scan, ScanPartition, external};

/// How often a query that has ended is asked whether it holds memory still.
const RELEASE_POLL: Duration = Duration::from_millis(1);

#[async_trait]
impl Queries for EmbeddedLedger {
    async fn query(&self, scope: &TenantScope, query: &Query) -> Result<QueryAnswer, PortError> {
        let (runtime, time_max) = (&self.core.query_runtime, self.core.options.query_time_max);
        // Cancelled, the query ends soon, and only then lets go of what its caller holds.
        let held = held::current();
        let cancelled = CancellationToken::new();
        let _cancel_on_drop = cancelled.clone().drop_guard();
        let running = {
            let (core, scope, query) = (Arc::clone(&self.core), scope.clone(), query.clone());
            runtime.handle()?.spawn(async move {
                let _held = held;
                core.run_query(&scope, &query, &cancelled).await
            })
        };
        match tokio::time::timeout(time_max, running).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(ended)) => Err(PortError::new(ErrorKind::Unavailable, "run the query").because(ended)),
            Err(_) => Err(took_too_long(time_max)),
        }
    }
}

/// What the engine has found.
struct Found {
    batches: Vec<RecordBatch>,
    /// How each column is shown.
    shown: Vec<Shown>,
    counts: Vec<AggregationCounts>,
}

impl Core {
    async fn run_query(
        &self,
        scope: &TenantScope,
        query: &Query,
        cancelled: &CancellationToken,
    ) -> Result<QueryAnswer, PortError> {
        let found = self.rows(scope, query, cancelled).await?;
        let rows = found.batches.iter().map(|batch| rows_of(batch, &found.shown));
        let mut rows = rows.collect::<Result<Vec<_>, _>>()?.concat();
        let truncated = rows.len() > query.limit;
        rows.truncate(query.limit);
        QueryAnswer { columns: query.columns(), rows, truncated, aggregations: found.counts }.within_limit()
    }

    /// How much memory several partitions need depends on which of them is ahead, hence on what else
    /// runs. So they get half of it, and the verdict on what does not fit there is that of one partition
    /// with all of it, which always takes the same way. What fits in the half fits there too: tables
    /// that grow by doubling take less than twice as much in one piece.
    async fn rows(
        &self,
        scope: &TenantScope,
        query: &Query,
        cancelled: &CancellationToken,
    ) -> Result<Found, PortError> {
        let memory_bytes_max = self.options.query_memory_bytes_max;
        let attempt = async |partitions, memory_bytes_max| {
            let plan = self.plan(query);
            let scan = self.scan(scope, query, plan.columns.clone(), cancelled.clone()).map_err(external)?;
            let context = Arc::new(query_runtime::context(memory_bytes_max)?);
            let answered = answer(&plan, scan, partitions, Arc::clone(&context)).await;
            released(&context).await;
            let batches = answered?;
            let counts = plan.tallies.iter().map(|tally| tally.counts()).collect();
            Ok(Found { batches, shown: plan.outputs.into_iter().map(|(_, shown)| shown).collect(), counts })
        };
        let rows = match attempt(query_runtime::threads(), memory_bytes_max / 2).await {
            Err(why) if !is_failed_read(&why) => attempt(1, memory_bytes_max).await,
            answered => answered,
        };
        rows.map_err(|why| refusal(why, memory_bytes_max))
    }

    fn plan(&self, query: &Query) -> QueryPlan {
        QueryPlan::of(query, self.identity.key)
    }

    /// The rows of one state that retention still shows.
    fn scan(
        &self,
        scope: &TenantScope,
        query: &Query,
        columns: Vec<columns::Derived>,
        cancelled: CancellationToken,
    ) -> Result<Arc<Scan>, PortError> {
        let tenant = scope.tenant();
        let (snapshot, active) = self.view(|active| active.rows_of(tenant, query.range));
        let (from, to, floor) = (query.range.from(), query.range.to(), snapshot.floors.of(tenant));
        if from > Timestamp::MIN && from < floor {
            return Err(PortError::new(ErrorKind::Gone, format!("read events before {floor}")));
        }
        let from = from.max(floor);
        let range = TimeRange::new(from, to.max(from)).unwrap_or(query.range);
        let frozen = snapshot.frozen.iter().map(|frozen| frozen.rows_of(tenant, range));
        let unflushed = frozen.chain([active]).collect();
        Ok(Arc::new(Scan::new(scope, range, columns, query.lens.clone(), &snapshot.segments, unflushed, cancelled)))
    }
}

async fn answer(
    plan: &QueryPlan,
    scan: Arc<Scan>,
    partitions: usize,
    context: Arc<TaskContext>,
) -> Result<Vec<RecordBatch>, DataFusionError> {
    let partitions = (0..partitions).map(|_| Arc::new(ScanPartition::of(&scan)) as Arc<dyn PartitionStream>);
    let operators = operators::operators(plan, scan.schema(), partitions.collect())?;
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

/// The refusal of a query to which the engine gave no answer.
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

fn rows_of(batch: &RecordBatch, shown: &[Shown]) -> Result<Vec<Vec<Value>>, PortError> {
    let value = |(column, shown): (&ArrayRef, &Shown), row| {
        value_at(column, *shown, row).ok_or_else(|| {
            PortError::new(ErrorKind::Unacceptable, format!("answer with values of type {}", column.data_type()))
        })
    };
    let row = |row| batch.columns().iter().zip(shown).map(|column| value(column, row)).collect();
    (0..batch.num_rows()).map(row).collect()
}

/// The value of an answer.
fn value_at(column: &ArrayRef, shown: Shown, row: usize) -> Option<Value> {
    if column.is_null(row) {
        return Some(Value::Null);
    }
    Some(match (column.data_type(), shown) {
        (DataType::Utf8View, _) => Value::Text(column.as_string_view_opt()?.value(row).to_owned()),
        (DataType::Int64, Shown::Millis) => {
            let micros = column.as_primitive_opt::<Int64Type>()?.value(row);
            Number::new(i128::from(micros), -3).map_or(Value::Overflow, Value::Number)
        }
        (DataType::Int64, _) => column.as_primitive_opt::<Int64Type>()?.value(row).into(),
        (DataType::Decimal128(..), Shown::Rank) => {
            numbers::shown(column.as_primitive_opt::<Decimal128Type>()?.value(row))
        }
        (DataType::Timestamp(..), _) => {
            let micros = column.as_primitive_opt::<TimestampMicrosecondType>()?.value(row);
            Value::Time(Timestamp::from_micros(micros))
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use domain::query::{UncheckedAggregation, UncheckedQuery};
    use ports::testing::clock::ManualClock;
    use ports::testing::ledger::records::at;

    use super::*;
    use crate::fixture::open;
    use crate::options::LedgerOptions;

    #[tokio::test]
    async fn two_folders_count_distinct_texts_by_different_hashes() {
        let unique = UncheckedAggregation { op: "unique".to_owned(), field: Some("user".to_owned()), name: None };
        let unchecked = UncheckedQuery {
            range: TimeRange::ALL,
            bucket: None,
            aggregations: vec![unique],
            group_by: Vec::new(),
            filter: None,
            order_by: Vec::new(),
            limit: None,
        };
        let query = unchecked.check().unwrap();
        let aggregates = async |key: u8| {
            let options = LedgerOptions { seed_key: [key; 16], background: false, ..LedgerOptions::default() };
            open(options, Arc::new(ManualClock::new(at(0)))).await.core.plan(&query).aggregates
        };
        assert_eq!(aggregates(1).await, aggregates(1).await);
        assert_ne!(aggregates(1).await, aggregates(2).await);
    }
}
