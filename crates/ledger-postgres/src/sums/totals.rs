//! Totals as columns: a sum that is 0 is NULL, but for that of the calls, which never is 0.

use domain::aggregate::Totals;
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use crate::columns::Column;
use crate::types::{signed, unsigned};

/// How many columns there are.
pub(super) const COUNT: usize = 10;

/// What each column has of totals.
const PARTS: [fn(&Totals) -> u64; COUNT] = [
    |totals| totals.calls,
    |totals| totals.tokens,
    |totals| totals.input_tokens,
    |totals| totals.output_tokens,
    |totals| totals.latency_us,
    |totals| totals.latency_calls,
    |totals| totals.late,
    |totals| totals.cache_read_tokens,
    |totals| totals.cache_write_tokens,
    |totals| totals.reasoning_tokens,
];

/// The columns of these totals, in the order of [`read`].
pub(super) fn columns<'t>(all: impl Iterator<Item = &'t Totals> + Clone) -> Vec<Column> {
    let value = |part: u64| (part > 0).then(|| signed(part));
    PARTS.iter().map(|part| Column::Big(all.clone().map(|totals| value(part(totals))).collect())).collect()
}

/// The totals of a row whose columns begin at `at`: `calls`, `tokens`, `input_tokens`, `output_tokens`, `latency_us`,
/// `latency_calls`, `late`, `cache_read_tokens`, `cache_write_tokens`, `reasoning_tokens`.
pub(super) fn read(row: &PgRow, at: usize) -> Result<Totals, sqlx::Error> {
    let value = |part: usize| row.try_get::<Option<i64>, _>(at + part).map(|value| unsigned(value.unwrap_or(0)));
    Ok(Totals {
        calls: value(0)?,
        tokens: value(1)?,
        input_tokens: value(2)?,
        output_tokens: value(3)?,
        latency_us: value(4)?,
        latency_calls: value(5)?,
        late: value(6)?,
        cache_read_tokens: value(7)?,
        cache_write_tokens: value(8)?,
        reasoning_tokens: value(9)?,
    })
}
