//! Sums per project and type, by hour and by day.

use domain::aggregate::Totals;
use domain::time::Timestamp;
use sqlx::postgres::PgRow;

use super::table::SumTable;
use super::totals;
use crate::columns::Column;

/// `rollups`, by tenant, grain, start, project and type.
#[derive(Debug)]
pub(crate) struct Rollups;

/// How long the span of a rollup is. Its number is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Grain {
    /// An hour.
    Hour = 0,
    /// A day of UTC.
    Day = 1,
}

impl SumTable for Rollups {
    type Key<'b> = (i32, Grain, Timestamp, &'b str, &'b str);
    type Sum = Totals;
    const NAME: &'static str = "rollups";
    const KEYS: &'static [&'static str] = &["tenant_no", "grain", "start", "project", "kind"];
    const VALUES: &'static [&'static str] = &[
        "calls",
        "tokens",
        "input_tokens",
        "output_tokens",
        "latency_us",
        "latency_calls",
        "late",
        "cache_read_tokens",
        "cache_write_tokens",
        "reasoning_tokens",
    ];

    fn keys(keys: &[&Self::Key<'_>]) -> Vec<Column> {
        vec![
            Column::Int(keys.iter().map(|key| key.0).collect()),
            Column::Small(keys.iter().map(|key| key.1 as i16).collect()),
            Column::Instant(keys.iter().map(|key| key.2).collect()),
            Column::Text(keys.iter().map(|key| key.3.to_owned()).collect()),
            Column::Text(keys.iter().map(|key| key.4.to_owned()).collect()),
        ]
    }

    fn values(sums: &[&Totals]) -> Vec<Column> {
        totals::columns(sums.iter().copied())
    }

    fn read(row: &PgRow, at: usize) -> Result<Totals, sqlx::Error> {
        totals::read(row, at)
    }

    fn merge(sum: &mut Totals, other: &Totals) {
        sum.merge(other);
    }
    fn start(key: &Self::Key<'_>) -> Option<Timestamp> {
        Some(key.2)
    }
}
