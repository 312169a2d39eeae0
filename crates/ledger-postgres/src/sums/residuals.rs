//! What erased events count where raw events are read for sums: rows that are added up by whoever reads them, so that
//! nothing is merged here.

use std::collections::BTreeMap;

use domain::aggregate::SumNumbers;
use domain::time::Timestamp;
use postgres::Failure;
use sqlx::postgres::PgConnection;

use super::totals;
use crate::columns::Column;
use crate::copy::Rows;

/// Bytes of a row, about.
const ROW_BYTES: usize = 256;

/// What a row is the sum of: a cell of time, and texts of which the empty one stands for none.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Cell {
    pub(crate) start: Timestamp,
    pub(crate) customer: String,
    pub(crate) project: String,
    pub(crate) kind: String,
    pub(crate) endpoint: String,
    pub(crate) model: String,
}

/// Adds sums of a tenant's events that go.
pub(crate) async fn add_residuals(
    on: &mut PgConnection,
    tenant_no: i32,
    cells: &BTreeMap<Cell, SumNumbers>,
) -> Result<(), Failure> {
    let numbers = totals::columns(cells.values().map(|numbers| &numbers.totals));
    let columns = i16::try_from(totals::COUNT + 9).unwrap_or(i16::MAX);
    let mut rows = Rows::new(columns, cells.len() * ROW_BYTES);
    for (at, (cell, sum)) in cells.iter().enumerate() {
        rows.row().instant(cell.start);
        numbers.iter().for_each(|column: &Column| column.put(&mut rows, at));
        rows.instant(sum.first_received).instant(sum.last_received).i32(tenant_no);
        for text in [&cell.customer, &cell.project, &cell.kind, &cell.endpoint, &cell.model] {
            rows.text(text);
        }
    }
    let into = "residuals (start, calls, tokens, input_tokens, output_tokens, latency_us, latency_calls, late, \
                cache_read_tokens, cache_write_tokens, reasoning_tokens, first_received, last_received, tenant_no, \
                customer, project, kind, endpoint, model)";
    rows.copy(on, into).await
}
