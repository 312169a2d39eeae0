//! Rollups, and their sums per type, added up in SQL. For those, of two ways through the table the shorter is taken: along the
//! key, which reads the tenant's whole history in place and groups as it goes, or from hour to hour
//! through the index, which finds each row of the range by itself.

use std::collections::BTreeMap;

use domain::aggregate::Totals;
use domain::rollup::Rollup;
use domain::tenant::TenantId;
use domain::time::TimeRange;
use sea_orm::sea_query::Expr;
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, IdenStatic, QueryFilter, QueryOrder, QueryResult, QuerySelect,
    QueryTrait, Select,
};

use crate::entities::hourly_rollup::{Column, Entity, Model, SUM_MAX, SUMS};
use crate::failure::Failure;

/// How many rows are read along the key in the time that one takes through the index. Measured;
/// a wrong figure costs time only.
const ROWS_ALONG_KEY: i128 = 16;
/// Bits in the lower half of a sum.
const HALF_BITS: u32 = 32;

/// One tenant's rollups whose hour begins inside `range`, in order of (project, type, hour).
pub(super) async fn rollups(
    snapshot: &impl ConnectionTrait,
    of: &TenantId,
    range: TimeRange,
) -> Result<Vec<Rollup>, Failure> {
    let rows = Entity::find()
        .filter(Column::Tenant.eq(of.as_str()))
        .filter(Column::HourUs.gte(range.from().micros()))
        .filter(Column::HourUs.lt(range.to().micros()))
        .order_by_asc(Column::Project)
        .order_by_asc(Column::Kind)
        .order_by_asc(Column::HourUs);
    rows.all(snapshot).await?.into_iter().map(Model::into_rollup).collect()
}

/// The sums of one tenant's hours inside `range`, of one project or of all, in order of type.
pub(super) async fn by_type(
    snapshot: &impl ConnectionTrait,
    of: &TenantId,
    range: TimeRange,
    project: Option<&str>,
) -> Result<Vec<(String, Totals)>, Failure> {
    let Some(history) = history(snapshot, of).await? else { return Ok(Vec::new()) };
    let rows = rows(of, range, project, is_wide(range, history));
    match add_up(snapshot, &rows, Width::Whole).await {
        Err(failure) if is_overflow(&failure) => add_up(snapshot, &rows, Width::Halves).await,
        sums => sums,
    }
}

/// How SQLite adds up: `sum` fails over 2^63, halves of the numbers never get there.
#[derive(Debug, Clone, Copy)]
enum Width {
    Whole,
    Halves,
}

/// First and last hour that a tenant has.
async fn history(snapshot: &impl ConnectionTrait, of: &TenantId) -> Result<Option<(i64, i64)>, Failure> {
    // One statement for each end: SQLite finds either at an end of the index, but not both at once.
    let hours = || Entity::find().filter(Column::Tenant.eq(of.as_str())).select_only();
    let first = hours().column_as(Column::HourUs.min(), "hour").into_tuple::<Option<i64>>().one(snapshot).await?;
    let last = hours().column_as(Column::HourUs.max(), "hour").into_tuple::<Option<i64>>().one(snapshot).await?;
    Ok(first.flatten().zip(last.flatten()))
}

/// Whether so much of the history is in the range that it is read whole.
fn is_wide(range: TimeRange, (first, last): (i64, i64)) -> bool {
    let span = |from: i64, to: i64| i128::from(to) - i128::from(from);
    let inside = span(range.from().micros().max(first), range.to().micros().min(last));
    inside.saturating_mul(ROWS_ALONG_KEY) >= span(first, last)
}

/// The rows to add up. A unary plus keeps SQLite from using an index for a column.
fn rows(of: &TenantId, range: TimeRange, project: Option<&str>, along_key: bool) -> Select<Entity> {
    use sea_orm::sea_query::ExprTrait;
    let column = |column: Column, free: bool| match free {
        true => Expr::col((Entity, column)),
        false => Expr::cust(format!("+\"hourly_rollup\".\"{}\"", column.as_str())),
    };
    let hour = || column(Column::HourUs, !along_key);
    let rows = Entity::find().select_only().column(Column::Kind).filter(Column::Tenant.eq(of.as_str()));
    let rows = rows.filter(hour().gte(range.from().micros())).filter(hour().lt(range.to().micros()));
    let rows = rows.apply_if(project, |rows, project| rows.filter(column(Column::Project, along_key).eq(project)));
    if along_key { rows.group_by(Column::Project).group_by(Column::Kind) } else { rows.group_by(Column::Kind) }
}

async fn add_up(
    snapshot: &impl ConnectionTrait,
    rows: &Select<Entity>,
    width: Width,
) -> Result<Vec<(String, Totals)>, Failure> {
    let parts = |sum: Column| match width {
        Width::Whole => vec![format!("sum(\"{}\")", sum.as_str())],
        Width::Halves => {
            let (sum, low) = (sum.as_str(), (1_u64 << HALF_BITS) - 1);
            vec![format!("sum(\"{sum}\" & {low})"), format!("sum(\"{sum}\" >> {HALF_BITS})")]
        }
    };
    let parts = SUMS.into_iter().flat_map(parts).enumerate();
    let statement = parts.fold(rows.clone(), |rows, (at, part)| rows.column_as(Expr::cust(part), format!("s{at}")));
    let statement = snapshot.get_database_backend().build(&statement.into_query());
    let mut sums: BTreeMap<String, Totals> = BTreeMap::new();
    for row in snapshot.query_all_raw(statement).await? {
        sums.entry(row.try_get_by_index(0)?).or_default().merge(&totals(&row, width)?);
    }
    Ok(sums.into_iter().collect())
}

fn totals(row: &QueryResult, width: Width) -> Result<Totals, DbErr> {
    // The first column is the type.
    let part = |at: usize| row.try_get_by_index::<i64>(at + 1).map(i64::unsigned_abs);
    let sum = |at: usize| match width {
        Width::Whole => part(at),
        Width::Halves => {
            let whole = u128::from(part(2 * at)?) + (u128::from(part(2 * at + 1)?) << HALF_BITS);
            Ok(u64::try_from(whole).unwrap_or(u64::MAX).min(SUM_MAX))
        }
    };
    Ok(Totals {
        calls: sum(0)?,
        tokens: sum(1)?,
        input_tokens: sum(2)?,
        output_tokens: sum(3)?,
        latency_us: sum(4)?,
        latency_calls: sum(5)?,
        late: sum(6)?,
    })
}

/// SQLite has no code of its own for it.
fn is_overflow(failure: &Failure) -> bool {
    matches!(failure, Failure::Database(error) if error.to_string().contains("integer overflow"))
}
