//! The operators that run a plan: the filter, the groups of each partition, whole groups, the
//! answer's columns, the first rows. A query has one shape, so it is written down here, without a
//! planner. Nothing converts types: every expression has the very types of its columns.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::compute::SortOptions;
use arrow::datatypes::{Schema, SchemaRef};
use datafusion_common::{DFSchema, Result as QueryResult, ScalarValue};
use datafusion_expr::execution_props::ExecutionProps;
use datafusion_expr::expr::physical_name;
use datafusion_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion_expr::{Expr, Operator as Comparator};
use datafusion_physical_expr::aggregate::LoweredAggregateBuilder;
use datafusion_physical_expr::expressions::{Column, binary, case, lit};
use datafusion_physical_expr::{LexOrdering, Partitioning, PhysicalExpr, PhysicalSortExpr, create_physical_expr};
use datafusion_physical_plan::ExecutionPlan;
use datafusion_physical_plan::aggregates::{AggregateExec, AggregateMode, PhysicalGroupBy};
use datafusion_physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion_physical_plan::filter::FilterExecBuilder;
use datafusion_physical_plan::projection::{ProjectionExec, ProjectionExpr};
use datafusion_physical_plan::repartition::RepartitionExec;
use datafusion_physical_plan::sorts::sort::SortExec;
use datafusion_physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion_physical_plan::streaming::{PartitionStream, StreamingTableExec};

use super::numbers::OVERFLOW;
use super::plan::{QueryPlan, Shown};

type Operator = Arc<dyn ExecutionPlan>;

/// The operators over the partitions of the plan's columns. In order, they end after as many rows as
/// the plan fetches.
pub(super) fn operators(
    plan: &QueryPlan,
    schema: SchemaRef,
    partitions: Vec<Arc<dyn PartitionStream>>,
) -> QueryResult<Operator> {
    let rows = Arc::new(StreamingTableExec::try_new(schema, partitions, None, [], false, None)?);
    let rows = filtered(plan, rows)?;
    let groups = grouped(plan, rows)?;
    first(plan, shown(plan, groups)?)
}

/// The expression, over the columns of an operator.
fn over(columns: &DFSchema, expr: &Expr) -> QueryResult<Arc<dyn PhysicalExpr>> {
    create_physical_expr(expr, columns, &ExecutionProps::new(), &PhysicalPlanningContext::default())
}

/// Rows that pass; of their columns, those that are read later.
fn filtered(plan: &QueryPlan, rows: Operator) -> QueryResult<Operator> {
    let Some(filter) = &plan.filter else { return Ok(rows) };
    let columns = DFSchema::try_from(rows.schema())?;
    let read: HashSet<_> = plan.keys.iter().chain(&plan.aggregates).flat_map(Expr::column_refs).collect();
    let read = read.into_iter().map(|column| columns.index_of_column(column));
    let mut kept = read.collect::<QueryResult<Vec<_>>>()?;
    kept.sort_unstable();
    let filter = FilterExecBuilder::new(over(&columns, filter)?, rows);
    Ok(Arc::new(filter.apply_projection(Some(kept))?.build()?))
}

/// Groups of each partition, then those of one key brought together and merged, if there are several.
fn grouped(plan: &QueryPlan, rows: Operator) -> QueryResult<Operator> {
    let schema = rows.schema();
    let columns = DFSchema::try_from(Arc::clone(&schema))?;
    let keys = plan.keys.iter().map(|key| Ok((over(&columns, key)?, physical_name(key)?)));
    let keys = PhysicalGroupBy::new_single(keys.collect::<QueryResult<_>>()?);
    let (props, context) = (ExecutionProps::new(), PhysicalPlanningContext::default());
    let aggregates = plan.aggregates.iter().map(|aggregate| {
        Ok(LoweredAggregateBuilder::new(aggregate, &columns, &schema, &props, &context).build()?.aggregate)
    });
    let aggregates = aggregates.collect::<QueryResult<Vec<_>>>()?;
    let filters = vec![None; aggregates.len()];
    let partitions = rows.properties().partitioning.partition_count();
    if partitions == 1 {
        return Ok(Arc::new(AggregateExec::try_new(AggregateMode::Single, keys, aggregates, filters, rows, schema)?));
    }
    let parts =
        AggregateExec::try_new(AggregateMode::Partial, keys, aggregates, filters.clone(), rows, Arc::clone(&schema))?;
    let (keys, aggregates, names) =
        (parts.group_expr().as_final(), parts.aggr_expr().to_vec(), parts.output_group_expr());
    let parts = Arc::new(parts);
    let (mode, together): (_, Operator) = if names.is_empty() {
        (AggregateMode::Final, Arc::new(CoalescePartitionsExec::new(parts)))
    } else {
        let by_key = Partitioning::Hash(names, partitions);
        (AggregateMode::FinalPartitioned, Arc::new(RepartitionExec::try_new(parts, by_key)?))
    };
    Ok(Arc::new(AggregateExec::try_new(mode, keys, aggregates, filters, together, schema)?))
}

/// The name of the answer's column `at`.
fn output(at: usize) -> String {
    format!("o{at}")
}

/// The answer's columns.
fn shown(plan: &QueryPlan, groups: Operator) -> QueryResult<Operator> {
    let columns = DFSchema::try_from(groups.schema())?;
    let shown = plan.outputs.iter().enumerate();
    let shown = shown.map(|(at, (expr, _))| Ok(ProjectionExpr { expr: over(&columns, expr)?, alias: output(at) }));
    Ok(Arc::new(ProjectionExec::try_new(shown.collect::<QueryResult<Vec<_>>>()?, groups)?))
}

/// The first rows in order, absent values last; no partition keeps more than that.
fn first(plan: &QueryPlan, rows: Operator) -> QueryResult<Operator> {
    let schema = rows.schema();
    let order = plan.order.iter().map(|order| {
        let options = SortOptions { descending: order.descending, nulls_first: false };
        let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(&output(order.column), order.column));
        let is_rank = plan.outputs.get(order.column).is_some_and(|(_, shown)| *shown == Shown::Rank);
        let key = if is_rank { told(column, &schema)? } else { column };
        Ok(PhysicalSortExpr::new(key, options))
    });
    let Some(order) = LexOrdering::new(order.collect::<QueryResult<Vec<_>>>()?) else { return Ok(rows) };
    let sorted = SortExec::new(order.clone(), rows).with_fetch(Some(plan.fetch)).with_preserve_partitioning(true);
    Ok(Arc::new(SortPreservingMergeExec::new(order, Arc::new(sorted)).with_fetch(Some(plan.fetch))))
}

/// A column of ranks, of which those that stand for too many digits are absent.
fn told(rank: Arc<dyn PhysicalExpr>, schema: &Schema) -> QueryResult<Arc<dyn PhysicalExpr>> {
    let overflow = lit(ScalarValue::Decimal128(Some(OVERFLOW), 38, 0));
    let is_told = binary(Arc::clone(&rank), Comparator::NotEq, overflow, schema)?;
    case(None, vec![(is_told, rank)], None)
}
