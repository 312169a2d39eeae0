//! What sums are made of: raw events, and what is left of those that were erased.

use domain::aggregate::{Aggregate, Slice, Totals};
use domain::event::Usage;
use domain::time::Timestamp;
use futures::stream::BoxStream;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Row as _};

use crate::sums::{Rollups, SumTable};
use crate::types::{Instant, unsigned};

/// Both kinds of rows, an event without `calls`. What is missing is NULL in both.
const ADDENDS: &str = "SELECT tenant_no, time, customer, project, kind, endpoint, model, received_at AS first_received, \
                       received_at AS last_received, is_late, NULL::int8 AS calls, tokens, input_tokens, output_tokens, \
                       latency_us, NULL::int8 AS latency_calls, NULL::int8 AS late, cache_read_tokens, \
                       cache_write_tokens, reasoning_tokens FROM usage_events \
                       UNION ALL SELECT tenant_no, start, nullif(customer, ''), nullif(project, ''), kind, \
                       nullif(endpoint, ''), nullif(model, ''), first_received, last_received, NULL, calls, tokens, \
                       input_tokens, output_tokens, latency_us, latency_calls, late, cache_read_tokens, \
                       cache_write_tokens, reasoning_tokens FROM residuals";

/// What an event, or the erased events of a cell, add to sums.
#[derive(Debug)]
pub(super) struct Addend<'r> {
    pub(super) tenant_no: i32,
    /// When the event happened, or the beginning of the cell.
    pub(super) time: Timestamp,
    pub(super) customer: Option<&'r str>,
    pub(super) project: Option<&'r str>,
    pub(super) kind: &'r str,
    endpoint: Option<&'r str>,
    model: Option<&'r str>,
    /// When the first and the last request came in.
    pub(super) received: (Timestamp, Timestamp),
    pub(super) totals: Totals,
    /// Whether it is an event.
    pub(super) is_event: bool,
}

/// All that sums are made of, in an order of these columns.
pub(super) fn addends<'c>(on: &'c mut PgConnection, order: &str) -> BoxStream<'c, Result<PgRow, sqlx::Error>> {
    sqlx::query(AssertSqlSafe(format!("{ADDENDS} ORDER BY {order}"))).fetch(on)
}

impl<'r> Addend<'r> {
    /// Reads a row of [`addends`].
    pub(super) fn of(row: &'r PgRow) -> Result<Self, sqlx::Error> {
        let (Instant(time), Instant(first), Instant(last)) = (row.try_get(1)?, row.try_get(7)?, row.try_get(8)?);
        let is_event = row.try_get::<Option<i64>, _>(10)?.is_none();
        let number = |at: usize| Ok::<_, sqlx::Error>(row.try_get::<Option<i64>, _>(at)?.map(unsigned));
        let totals = if is_event {
            let usage = Usage {
                tokens: number(11)?,
                input_tokens: number(12)?,
                output_tokens: number(13)?,
                latency_us: number(14)?,
                model: None,
                cache_read_tokens: number(17)?,
                cache_write_tokens: number(18)?,
                reasoning_tokens: number(19)?,
            };
            Totals::of(&usage, row.try_get::<Option<bool>, _>(9)?.unwrap_or(false))
        } else {
            Rollups::read(row, 10)?
        };
        Ok(Self {
            tenant_no: row.try_get(0)?,
            time,
            customer: row.try_get(2)?,
            project: row.try_get(3)?,
            kind: row.try_get(4)?,
            endpoint: row.try_get(5)?,
            model: row.try_get(6)?,
            received: (first, last),
            totals,
            is_event,
        })
    }

    /// The sum of it alone.
    pub(super) fn aggregate(&self) -> Aggregate {
        let slice = Slice { calls: self.totals.calls, tokens: self.totals.tokens };
        let slices = |name: Option<&str>| name.map(|name| (name.to_owned(), slice)).into_iter().collect();
        Aggregate { totals: self.totals, by_endpoint: slices(self.endpoint), by_model: slices(self.model) }
    }
}
