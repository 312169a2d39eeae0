//! Sums that are read by their keys, merged here and written back, so that what a sum is has one implementation. A row
//! that another has changed meanwhile, or added, takes the transaction back. Sums whose keys were not seen are not read:
//! they go in as new, unless the index refuses one of them.

use std::collections::BTreeMap;
use std::hash::Hash;

use domain::time::{MICROS_PER_DAY, Timestamp};
use hashbrown::HashMap;
use postgres::Failure;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Row as _};

use crate::columns::Column;
use crate::copy::{Rows, copy_if_new, miscounted};
use crate::leaves::{Leaves, gone, month_of};
use crate::seen::Seen;

/// The column that has breakdowns.
pub(super) const BREAKDOWNS: &str = "aggregation_data";
/// Bytes of a row, about.
const ROW_BYTES: usize = 256;

/// A table of sums. It has a column `version` beside those that are named here.
pub(crate) trait SumTable {
    /// What a row is the sum of.
    type Key<'b>: Ord + Hash;
    /// The sum.
    type Sum;
    /// Its name.
    const NAME: &'static str;
    /// The columns of the key.
    const KEYS: &'static [&'static str];
    /// The columns of the sum.
    const VALUES: &'static [&'static str];

    /// The columns of these keys, as they are named.
    fn keys(keys: &[&Self::Key<'_>]) -> Vec<Column>;

    /// The columns of these sums, as they are named.
    fn values(sums: &[&Self::Sum]) -> Vec<Column>;

    /// The sum of a row whose columns begin at `at`.
    fn read(row: &PgRow, at: usize) -> Result<Self::Sum, sqlx::Error>;

    /// Adds `other`.
    fn merge(sum: &mut Self::Sum, other: &Self::Sum);

    /// The instant by whose month the table is parted; none if it is whole.
    fn start(_key: &Self::Key<'_>) -> Option<Timestamp> {
        None
    }
}

/// Adds sums to those that are stored.
pub(crate) async fn add<T: SumTable>(
    on: &mut PgConnection,
    leaves: &mut Leaves,
    seen: &mut Seen,
    folded: BTreeMap<T::Key<'_>, T::Sum>,
) -> Result<(), Failure> {
    let (mut by_month, mut months) = (BTreeMap::<_, Vec<_>>::new(), HashMap::new());
    for (key, sum) in folded {
        let month = T::start(&key).map(|start| {
            let day = start.micros().div_euclid(MICROS_PER_DAY);
            months.entry(day).or_insert_with(|| month_of(start)).clone()
        });
        by_month.entry(month).or_default().push((key, sum));
    }
    let (is_trusted, mut is_right) = (seen.is_trusted(), true);
    for (month, rows) in by_month {
        let table = match month {
            Some(month) => leaves.find(on, T::NAME, &month).await?,
            None => T::NAME.to_owned(),
        };
        let added = add_to::<T>(on, &table, is_trusted, seen, rows).await;
        is_right &= added.map_err(gone)?;
    }
    seen.judge(is_right);
    Ok(())
}

/// Adds sums to those of one table, in the order of their keys. Returns whether `seen` knew all that were stored.
async fn add_to<T: SumTable>(
    on: &mut PgConnection,
    table: &str,
    is_trusted: bool,
    seen: &mut Seen,
    rows: Vec<(T::Key<'_>, T::Sum)>,
) -> Result<bool, Failure> {
    let (mut known, new): (Vec<_>, Vec<_>) = rows.into_iter().partition(|(key, _)| !is_trusted || seen.has(key));
    let unread: Vec<_> = new.iter().map(|(key, sum)| (key, sum)).collect();
    if copy_if_new(on, vec![as_rows::<T>(table, &unread)], || Ok(())).await?.is_some() {
        new.iter().for_each(|(key, _)| seen.add(key));
    } else {
        known.extend(new);
        known.sort_unstable_by(|one, other| one.0.cmp(&other.0));
    }
    merge::<T>(on, table, seen, known).await
}

/// Reads sums, and writes them back with what is added, or as new ones. Returns whether `seen` knew all that were stored.
async fn merge<T: SumTable>(
    on: &mut PgConnection,
    table: &str,
    seen: &mut Seen,
    rows: Vec<(T::Key<'_>, T::Sum)>,
) -> Result<bool, Failure> {
    if rows.is_empty() {
        return Ok(true);
    }
    let (keys, mut sums): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
    let mut versions: Vec<Option<i32>> = vec![None; keys.len()];
    for row in stored::<T>(on, table, &T::keys(&keys.iter().collect::<Vec<_>>())).await? {
        let at = usize::try_from(row.try_get::<i64, _>(0)? - 1).unwrap_or(usize::MAX);
        let (Some(version), Some(sum)) = (versions.get_mut(at), sums.get_mut(at)) else { continue };
        *version = Some(row.try_get(1)?);
        let mut merged = T::read(&row, 2)?;
        T::merge(&mut merged, sum);
        *sum = merged;
    }
    let all = || keys.iter().zip(&sums).zip(&versions);
    let known: Vec<_> = all().filter_map(|((key, sum), version)| Some((key, sum, (*version)?))).collect();
    let new: Vec<_> = all().filter(|(_, version)| version.is_none()).map(|(row, _)| row).collect();
    let is_right = known.iter().all(|(key, ..)| seen.has(key));
    change::<T>(on, table, &known).await?;
    let (rows, into) = as_rows::<T>(table, &new);
    rows.copy(on, &into).await?;
    keys.iter().for_each(|key| seen.add(key));
    Ok(is_right)
}

/// The columns of a sum of the table `t`, as [`SumTable::read`] takes them.
pub(crate) fn values<T: SumTable>() -> String {
    let value = |name: &&str| if *name == BREAKDOWNS { format!("t.{name}::text") } else { format!("t.{name}") };
    T::VALUES.iter().map(value).collect::<Vec<_>>().join(", ")
}

/// The rows that are there, each behind the place of its key, counted from 1, and its version.
async fn stored<T: SumTable>(on: &mut PgConnection, table: &str, keys: &[Column]) -> Result<Vec<PgRow>, sqlx::Error> {
    let sql = format!(
        "SELECT k.place, t.version, {} FROM unnest({}) WITH ORDINALITY AS k({}, place) JOIN {table} t ON {}",
        values::<T>(),
        arrays(keys),
        T::KEYS.join(", "),
        same::<T>()
    );
    let query = keys.iter().fold(sqlx::query(AssertSqlSafe(sql)), |query, column| column.bind(query));
    query.fetch_all(on).await
}

/// Writes rows anew whose version is the one that was read.
async fn change<T: SumTable>(
    on: &mut PgConnection,
    table: &str,
    rows: &[(&T::Key<'_>, &T::Sum, i32)],
) -> Result<(), Failure> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut columns = T::keys(&rows.iter().map(|(key, ..)| *key).collect::<Vec<_>>());
    columns.push(Column::Int(rows.iter().map(|(.., version)| *version).collect()));
    let values = T::values(&rows.iter().map(|(_, sum, _)| *sum).collect::<Vec<_>>());
    let set = |(name, column): (&&str, &Column)| format!("{name} = k.{name}{}", column.cast());
    let set: Vec<_> = T::VALUES.iter().zip(&values).map(set).collect();
    columns.extend(values);
    let sql = format!(
        "UPDATE {table} t SET version = t.version + 1, {} FROM unnest({}) AS k({}, version, {}) \
         WHERE {} AND t.version = k.version",
        set.join(", "),
        arrays(&columns),
        T::KEYS.join(", "),
        T::VALUES.join(", "),
        same::<T>()
    );
    let query = columns.iter().fold(sqlx::query(AssertSqlSafe(sql)), |query, column| column.bind(query));
    let changed = query.execute(on).await?.rows_affected();
    if changed == rows.len() as u64 { Ok(()) } else { Err(miscounted(table, changed, rows.len() as u64)) }
}

/// Adds rows that are not there.
pub(crate) async fn insert<T: SumTable>(on: &mut PgConnection, new: &[(&T::Key<'_>, &T::Sum)]) -> Result<(), Failure> {
    let (rows, into) = as_rows::<T>(T::NAME, new);
    rows.copy(on, &into).await
}

/// New sums as rows, and where they go.
fn as_rows<T: SumTable>(table: &str, new: &[(&T::Key<'_>, &T::Sum)]) -> (Rows, String) {
    let keys = T::keys(&new.iter().map(|(key, _)| *key).collect::<Vec<_>>());
    let values = T::values(&new.iter().map(|(_, sum)| *sum).collect::<Vec<_>>());
    let columns = i16::try_from(keys.len() + 1 + values.len()).unwrap_or(i16::MAX);
    let mut rows = Rows::new(columns, new.len() * ROW_BYTES);
    for at in 0..new.len() {
        rows.row();
        keys.iter().for_each(|column| column.put(&mut rows, at));
        rows.i32(1);
        values.iter().for_each(|column| column.put(&mut rows, at));
    }
    (rows, format!("{table} ({}, version, {})", T::KEYS.join(", "), T::VALUES.join(", ")))
}

/// The arguments of `unnest`.
fn arrays(columns: &[Column]) -> String {
    let array = |(number, column): (usize, &Column)| format!("${number}::{}", column.array_type());
    (1..).zip(columns).map(array).collect::<Vec<_>>().join(", ")
}

/// That a row has the key.
fn same<T: SumTable>() -> String {
    let same = |name: &&str| format!("t.{name} = k.{name}");
    T::KEYS.iter().map(same).collect::<Vec<_>>().join(" AND ")
}
