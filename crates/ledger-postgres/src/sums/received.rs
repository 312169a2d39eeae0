//! What was received in each quarter of an hour.

use domain::quota::Amounts;
use domain::time::Timestamp;
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::table::SumTable;
use crate::columns::Column;
use crate::types::{signed, unsigned};

/// `received`, by tenant, quarter and customer.
#[derive(Debug)]
pub(crate) struct Received;

impl SumTable for Received {
    type Key<'b> = (i32, Timestamp, &'b str);
    type Sum = Amounts;
    const NAME: &'static str = "received";
    const KEYS: &'static [&'static str] = &["tenant_no", "start", "customer"];
    const VALUES: &'static [&'static str] = &["events", "tokens", "calls"];

    fn keys(keys: &[&Self::Key<'_>]) -> Vec<Column> {
        vec![
            Column::Int(keys.iter().map(|key| key.0).collect()),
            Column::Instant(keys.iter().map(|key| key.1).collect()),
            Column::Text(keys.iter().map(|key| key.2.to_owned()).collect()),
        ]
    }

    fn values(sums: &[&Amounts]) -> Vec<Column> {
        let parts: [fn(&Amounts) -> u64; 3] = [|sum| sum.events, |sum| sum.tokens, |sum| sum.calls];
        let column = |part: fn(&Amounts) -> u64| Column::Big(sums.iter().map(|sum| Some(signed(part(sum)))).collect());
        parts.into_iter().map(column).collect()
    }

    fn read(row: &PgRow, at: usize) -> Result<Amounts, sqlx::Error> {
        let value = |part: usize| row.try_get(at + part).map(unsigned);
        Ok(Amounts { events: value(0)?, tokens: value(1)?, calls: value(2)? })
    }

    fn merge(sum: &mut Amounts, other: &Amounts) {
        sum.add(other);
    }
}
