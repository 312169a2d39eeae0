//! Usage windows.

use domain::aggregate::Aggregate;
use domain::time::Timestamp;
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::table::{BREAKDOWNS, SumTable};
use super::{breakdowns, totals};
use crate::columns::Column;

/// `aggregation_windows`, by tenant, customer and start.
#[derive(Debug)]
pub(crate) struct Windows;

impl SumTable for Windows {
    type Key<'b> = (i32, &'b str, Timestamp);
    type Sum = Aggregate;
    const NAME: &'static str = "aggregation_windows";
    const KEYS: &'static [&'static str] = &["tenant_no", "customer", "window_start"];
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
        BREAKDOWNS,
    ];

    fn keys(keys: &[&Self::Key<'_>]) -> Vec<Column> {
        vec![
            Column::Int(keys.iter().map(|key| key.0).collect()),
            Column::Text(keys.iter().map(|key| key.1.to_owned()).collect()),
            Column::Instant(keys.iter().map(|key| key.2).collect()),
        ]
    }

    fn values(sums: &[&Aggregate]) -> Vec<Column> {
        let mut columns = totals::columns(sums.iter().map(|sum| &sum.totals));
        let data = sums.iter().map(|sum| breakdowns::write(&sum.by_endpoint, &sum.by_model, &sum.totals));
        columns.push(Column::Json(data.collect()));
        columns
    }

    fn read(row: &PgRow, at: usize) -> Result<Aggregate, sqlx::Error> {
        let totals = totals::read(row, at)?;
        let (by_endpoint, by_model) = breakdowns::read(row.try_get(at + totals::COUNT)?, &totals)?;
        Ok(Aggregate { totals, by_endpoint, by_model })
    }

    fn merge(sum: &mut Aggregate, other: &Aggregate) {
        sum.merge(other);
    }
    fn start(key: &Self::Key<'_>) -> Option<Timestamp> {
        Some(key.2)
    }
}
