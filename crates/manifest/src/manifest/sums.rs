//! Rollups added up in SQL, per type: whole days from the daily table, the hours at the ends of the range one
//! by one; and per hour.

use std::collections::BTreeMap;

use domain::aggregate::Totals;
use domain::limits::HOUR_SUMS_MAX;
use domain::rollup::{Rollup, RollupKey};
use domain::tenant::TenantId;
use domain::time::{MICROS_PER_DAY, TimeRange, Timestamp};
use futures::TryStreamExt;
use ports::manifest::HourSumsQuery;
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr, QueryResult, Statement, StreamTrait};
use sqlite::Failure;

use super::rollups::{DAYS, Grain, HOURS, SUMS, totals_from};

/// The largest sum, as `domain::aggregate` has it.
const SUM_MAX: u64 = i64::MAX.unsigned_abs();
/// Bits in the lower half of a sum.
const HALF_BITS: u32 = 32;

/// The sums of one tenant's hours inside `range`, of one project or of all, in order of type.
pub(super) async fn by_type(
    snapshot: &impl ConnectionTrait,
    of: &TenantId,
    range: TimeRange,
    project: Option<&str>,
) -> Result<Vec<(String, Totals)>, Failure> {
    let mut sums: BTreeMap<String, Totals> = BTreeMap::new();
    for (table, range) in tables(range) {
        let added = match add_up(snapshot, of, table, range, project, Width::Whole).await {
            Err(failure) if is_overflow(&failure) => add_up(snapshot, of, table, range, project, Width::Halves).await?,
            added => added?,
        };
        for (kind, totals) in added {
            sums.entry(kind).or_default().merge(&totals);
        }
    }
    Ok(sums.into_iter().collect())
}

/// The sums of one tenant's hours, of the projects and types asked for, in order of (project, type, hour).
pub(super) async fn by_hour(
    snapshot: &DatabaseTransaction,
    of: &TenantId,
    query: &HourSumsQuery,
) -> Result<Vec<Rollup>, Failure> {
    match hours(snapshot, of, query, Width::Whole).await {
        Err(failure) if is_overflow(&failure) => hours(snapshot, of, query, Width::Halves).await,
        added => added,
    }
}

async fn hours(
    snapshot: &DatabaseTransaction,
    of: &TenantId,
    query: &HourSumsQuery,
    width: Width,
) -> Result<Vec<Rollup>, Failure> {
    let (from, to) = (query.range.from().micros(), query.range.to().micros());
    let mut values: Vec<sea_orm::Value> = vec![of.as_str().into(), from.into(), to.into()];
    let mut filters = String::new();
    for (name, wanted) in [("project", &query.project), ("kind", &query.kind)] {
        if let Some(wanted) = wanted {
            filters.push_str(&format!(" AND {name} = ?"));
            values.push(wanted.as_str().into());
        }
    }
    let project = if query.by_project { "project" } else { "''" };
    let kind = if query.by_kind { "kind" } else { "''" };
    let Grain { table, start } = HOURS;
    // What is pasted into the text are constants of this crate; everything else is bound.
    let sql = format!(
        "SELECT {project}, {kind}, {start}, {} FROM {table} WHERE tenant = ? AND {start} >= ? AND {start} < ?{filters} \
         GROUP BY 1, 2, 3 ORDER BY 1, 2, 3 LIMIT {}",
        sums_of(width),
        HOUR_SUMS_MAX + 1,
    );
    let statement = Statement::from_sql_and_values(ConnectionTrait::get_database_backend(snapshot), sql, values);
    let mut rows = snapshot.stream_raw(statement).await?;
    let mut sums = Vec::new();
    // One by one: a row of the database takes a kilobyte and more.
    while let Some(row) = rows.try_next().await? {
        if sums.len() == HOUR_SUMS_MAX {
            return Err(Failure::exhausted(format!("there are more than {HOUR_SUMS_MAX} sums of hours to add up")));
        }
        let key = RollupKey {
            tenant: of.clone(),
            project: row.try_get_by_index(0)?,
            kind: row.try_get_by_index(1)?,
            hour: Timestamp::from_micros(row.try_get_by_index(2)?),
        };
        sums.push(Rollup { key, totals: totals(&row, 3, width)? });
    }
    Ok(sums)
}

/// Where rows are read: days along the key, already in groups; hours through their index, which finds
/// each row of the range by itself.
#[derive(Debug, Clone, Copy)]
enum SumTable {
    Days,
    Hours,
}

/// A range as whole days of UTC, and hours for what is left at its ends.
fn tables(range: TimeRange) -> Vec<(SumTable, TimeRange)> {
    let first = range.from().plus_micros(MICROS_PER_DAY - 1).floor_to(MICROS_PER_DAY);
    let last = range.to().floor_to(MICROS_PER_DAY);
    let part =
        |table, from, to| TimeRange::new(from, to).filter(|part| part.from() < part.to()).map(|part| (table, part));
    if first >= last {
        return part(SumTable::Hours, range.from(), range.to()).into_iter().collect();
    }
    let parts = [
        part(SumTable::Hours, range.from(), first),
        part(SumTable::Days, first, last),
        part(SumTable::Hours, last, range.to()),
    ];
    parts.into_iter().flatten().collect()
}

/// How SQLite adds up: `sum` fails over 2^63, halves of the numbers never get there.
#[derive(Debug, Clone, Copy)]
enum Width {
    Whole,
    Halves,
}

async fn add_up(
    snapshot: &impl ConnectionTrait,
    of: &TenantId,
    table: SumTable,
    range: TimeRange,
    project: Option<&str>,
    width: Width,
) -> Result<Vec<(String, Totals)>, Failure> {
    let (Grain { table, start }, index, groups) = match table {
        SumTable::Days => (DAYS, "", "project, kind"),
        SumTable::Hours => (HOURS, " INDEXED BY hourly_rollup_by_hour", "kind"),
    };
    let mut values: Vec<sea_orm::Value> =
        vec![of.as_str().into(), range.from().micros().into(), range.to().micros().into()];
    let of_project = if project.is_some() { " AND +project = ?" } else { "" };
    values.extend(project.map(sea_orm::Value::from));
    // What is pasted into the text are constants of this crate; everything else is bound.
    let sql = format!(
        "SELECT kind, {} FROM {table}{index} WHERE tenant = ? AND {start} >= ? AND {start} < ?{of_project} GROUP BY \
         {groups}",
        sums_of(width)
    );
    let statement = Statement::from_sql_and_values(snapshot.get_database_backend(), sql, values);
    let mut sums: BTreeMap<String, Totals> = BTreeMap::new();
    for row in snapshot.query_all_raw(statement).await? {
        sums.entry(row.try_get_by_index(0)?).or_default().merge(&totals(&row, 1, width)?);
    }
    Ok(sums.into_iter().collect())
}

/// The columns of all sums.
fn sums_of(width: Width) -> String {
    let parts = |sum: &str| match width {
        Width::Whole => format!("sum({sum})"),
        Width::Halves => {
            let low = (1_u64 << HALF_BITS) - 1;
            format!("sum({sum} & {low}), sum({sum} >> {HALF_BITS})")
        }
    };
    SUMS.map(parts).join(", ")
}

/// The sums of a row, of which this column is the first.
fn totals(row: &QueryResult, first: usize, width: Width) -> Result<Totals, DbErr> {
    let part = |at: usize| row.try_get_by_index::<i64>(first + at).map(i64::unsigned_abs);
    totals_from(|at| match width {
        Width::Whole => part(at),
        Width::Halves => {
            let whole = u128::from(part(2 * at)?) + (u128::from(part(2 * at + 1)?) << HALF_BITS);
            Ok(u64::try_from(whole).unwrap_or(u64::MAX).min(SUM_MAX))
        }
    })
}

/// SQLite has no code of its own for it.
fn is_overflow(failure: &Failure) -> bool {
    matches!(failure, Failure::Database(error) if error.to_string().contains("integer overflow"))
}
