//! The operators that run a plan: the filter, the groups of each partition, whole groups, the
//! answer's columns, the first rows. A query has one shape, so it is written down here, without a
//! planner. Nothing converts types: every expression has the very types of its columns.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::compute::SortOptions;
use arrow::datatypes::SchemaRef;
use datafusion_common::{DFSchema, Result as QueryResult};
use datafusion_expr::Expr;
use datafusion_expr::execution_props::ExecutionProps;
use datafusion_expr::expr::physical_name;
use datafusion_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion_physical_expr::aggregate::LoweredAggregateBuilder;
use datafusion_physical_expr::expressions::Column;
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

use super::plan::QueryPlan;

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
    Ok(first(plan, shown(plan, groups)?))
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
    let shown = shown.map(|(at, expr)| Ok(ProjectionExpr { expr: over(&columns, expr)?, alias: output(at) }));
    Ok(Arc::new(ProjectionExec::try_new(shown.collect::<QueryResult<Vec<_>>>()?, groups)?))
}

/// The first rows in order, absent values last; no partition keeps more than that.
fn first(plan: &QueryPlan, rows: Operator) -> Operator {
    let order = plan.order.iter().map(|order| {
        let options = SortOptions { descending: order.descending, nulls_first: false };
        PhysicalSortExpr::new(Arc::new(Column::new(&output(order.column), order.column)), options)
    });
    let Some(order) = LexOrdering::new(order) else { return rows };
    let sorted = SortExec::new(order.clone(), rows).with_fetch(Some(plan.fetch)).with_preserve_partitioning(true);
    Arc::new(SortPreservingMergeExec::new(order, Arc::new(sorted)).with_fetch(Some(plan.fetch)))
}
