//! Sums per tenant, project and type, kept at two grains in two tables that are alike: hours, and the same added up
//! to days of UTC, so that a sum over months reads few rows.

use std::collections::BTreeMap;
use std::iter::repeat_n;

use domain::aggregate::Totals;
use domain::rollup::{Rollup, RollupKey};
use domain::tenant::TenantId;
use domain::time::{MICROS_PER_DAY, TimeRange, Timestamp};
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, QueryResult, Statement, Value};
use sqlite::{Failure, unsigned};

use super::insert::length_of_next;

/// One of the two tables.
#[derive(Debug, Clone, Copy)]
pub(super) struct Grain {
    /// The table.
    pub(super) table: &'static str,
    /// The column of its key that says when an hour or a day begins.
    pub(super) start: &'static str,
}

/// Hours.
pub(super) const HOURS: Grain = Grain { table: "hourly_rollup", start: "hour_us" };
/// Days of UTC.
pub(super) const DAYS: Grain = Grain { table: "daily_rollup", start: "day_us" };

/// The columns that are sums.
pub(super) const SUMS: [&str; 10] = Totals::NAMES;
/// Columns of a row: its key and its sums.
const COLUMNS: usize = 4 + SUMS.len();

/// Adds to the stored sums of both grains.
pub(super) async fn add(transaction: &DatabaseTransaction, rollups: &[Rollup]) -> Result<(), Failure> {
    // In order of key, each key once: neighbours lie on the same pages.
    let mut hours: BTreeMap<RollupKey, Totals> = BTreeMap::new();
    for rollup in rollups {
        hours.entry(rollup.key.clone()).or_default().merge(&rollup.totals);
    }
    let mut days: BTreeMap<RollupKey, Totals> = BTreeMap::new();
    for (key, totals) in &hours {
        let day = RollupKey { hour: key.hour.floor_to(MICROS_PER_DAY), ..key.clone() };
        days.entry(day).or_default().merge(totals);
    }
    upsert(transaction, HOURS, hours).await?;
    upsert(transaction, DAYS, days).await
}

async fn upsert(
    transaction: &DatabaseTransaction,
    grain: Grain,
    rows: BTreeMap<RollupKey, Totals>,
) -> Result<(), Failure> {
    let Grain { table, start } = grain;
    let added = SUMS.map(|sum| format!("{sum} = {}", saturating_sum(sum))).join(", ");
    let mut rows = rows.into_iter();
    while rows.len() > 0 {
        let length = length_of_next(rows.len());
        let values: Vec<Value> = rows.by_ref().take(length).flat_map(|(key, totals)| row(key, &totals)).collect();
        let one = format!("({})", repeat_n("?", COLUMNS).collect::<Vec<_>>().join(", "));
        let all = repeat_n(one.as_str(), length).collect::<Vec<_>>().join(", ");
        // What is pasted into the text are constants of this file; everything else is bound.
        let sql = format!(
            "INSERT INTO {table} (tenant, project, kind, {start}, {}) VALUES {all} ON CONFLICT (tenant, project, kind, \
             {start}) DO UPDATE SET {added}",
            SUMS.join(", ")
        );
        transaction.execute_raw(Statement::from_sql_and_values(DbBackend::Sqlite, sql, values)).await?;
    }
    Ok(())
}

/// The stored sum plus the new one, at most `i64::MAX`. Neither is negative, so no step of this
/// leaves 64 bits, which in SQLite would turn the sum into a floating point number.
pub(super) fn saturating_sum(sum: &str) -> String {
    format!("min({sum}, {} - excluded.{sum}) + excluded.{sum}", i64::MAX)
}

/// The values of a row. Sums saturate at `i64::MAX`, as `domain::aggregate` has it.
fn row(key: RollupKey, totals: &Totals) -> impl Iterator<Item = Value> + use<> {
    let key: [Value; 4] = [key.tenant.as_str().into(), key.project.into(), key.kind.into(), key.hour.micros().into()];
    let sums = totals.sums().map(|sum| Value::from(i64::try_from(sum).unwrap_or(i64::MAX)));
    key.into_iter().chain(sums)
}

/// One tenant's rollups whose hour begins inside `range`, in order of (project, type, hour).
pub(super) async fn read(
    snapshot: &impl ConnectionTrait,
    of: &TenantId,
    range: TimeRange,
) -> Result<Vec<Rollup>, Failure> {
    let Grain { table, start } = HOURS;
    let sql = format!(
        "SELECT project, kind, {start}, {} FROM {table} WHERE tenant = ? AND {start} >= ? AND {start} < ? ORDER BY \
         project, kind, {start}",
        SUMS.join(", ")
    );
    let values: [Value; 3] = [of.as_str().into(), range.from().micros().into(), range.to().micros().into()];
    let rows = snapshot.query_all_raw(Statement::from_sql_and_values(DbBackend::Sqlite, sql, values)).await?;
    rows.iter().map(|row| rollup(of, row)).collect()
}

fn rollup(of: &TenantId, row: &QueryResult) -> Result<Rollup, Failure> {
    let key = RollupKey {
        tenant: of.clone(),
        project: row.try_get_by_index(0)?,
        kind: row.try_get_by_index(1)?,
        hour: Timestamp::from_micros(row.try_get_by_index(2)?),
    };
    let totals = totals_from(|at| unsigned(SUMS[at], row.try_get_by_index(3 + at)?))?;
    Ok(Rollup { key, totals })
}

/// The sums, each by its place in [`SUMS`].
pub(super) fn totals_from<E>(mut sum: impl FnMut(usize) -> Result<u64, E>) -> Result<Totals, E> {
    let mut sums = [0; SUMS.len()];
    for (at, read) in sums.iter_mut().enumerate() {
        *read = sum(at)?;
    }
    Ok(Totals::from_sums(sums))
}
