//! Customers, with everything they ever used.

use domain::aggregate::{Aggregate, Slice, SumNumbers, merge_slice};
use domain::event::EventView;
use domain::time::Timestamp;
use ports::reports::Customer;
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::breakdowns::Slices;
use super::table::{BREAKDOWNS, SumTable};
use super::{breakdowns, totals};
use crate::columns::Column;
use crate::types::Instant;

/// `customers`, by tenant and customer.
#[derive(Debug)]
pub(crate) struct Customers;

/// What a customer has used.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct CustomerSum {
    numbers: SumNumbers,
    by_endpoint: Slices,
    by_model: Slices,
}

impl CustomerSum {
    /// Adds an event, whose own sum is `numbers`.
    pub(crate) fn fold(&mut self, event: &EventView<'_>, numbers: &SumNumbers) {
        self.numbers.merge(numbers);
        let slice = Slice::of(&event.usage);
        for (slices, name) in [(&mut self.by_endpoint, event.endpoint), (&mut self.by_model, event.usage.model)] {
            if let Some(name) = name {
                merge_slice(slices, name, &slice);
            }
        }
    }
}

impl CustomerSum {
    /// The sum with these parts.
    pub(crate) fn of(aggregate: Aggregate, (first_received, last_received): (Timestamp, Timestamp)) -> Self {
        let Aggregate { totals, by_endpoint, by_model } = aggregate;
        Self { numbers: SumNumbers { totals, first_received, last_received }, by_endpoint, by_model }
    }

    /// The customer with this name, whose sum it is.
    pub(crate) fn into_customer(self, id: String) -> Customer {
        let SumNumbers { totals, first_received: created, last_received: updated } = self.numbers;
        Customer {
            id,
            created,
            updated,
            total: Aggregate { totals, by_endpoint: self.by_endpoint, by_model: self.by_model },
        }
    }
}

impl SumTable for Customers {
    type Key<'b> = (i32, &'b str);
    type Sum = CustomerSum;
    const NAME: &'static str = "customers";
    const KEYS: &'static [&'static str] = &["tenant_no", "customer"];
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
        "first_received",
        "last_received",
        BREAKDOWNS,
    ];

    fn keys(keys: &[&Self::Key<'_>]) -> Vec<Column> {
        vec![
            Column::Int(keys.iter().map(|key| key.0).collect()),
            Column::Text(keys.iter().map(|key| key.1.to_owned()).collect()),
        ]
    }

    fn values(sums: &[&CustomerSum]) -> Vec<Column> {
        let instants =
            |part: fn(&SumNumbers) -> Timestamp| Column::Instant(sums.iter().map(|sum| part(&sum.numbers)).collect());
        let mut columns = totals::columns(sums.iter().map(|sum| &sum.numbers.totals));
        columns.push(instants(|numbers| numbers.first_received));
        columns.push(instants(|numbers| numbers.last_received));
        let data = sums.iter().map(|sum| breakdowns::write(&sum.by_endpoint, &sum.by_model, &sum.numbers.totals));
        columns.push(Column::Json(data.collect()));
        columns
    }

    fn read(row: &PgRow, at: usize) -> Result<CustomerSum, sqlx::Error> {
        let behind = at + totals::COUNT;
        let (Instant(first_received), Instant(last_received)) = (row.try_get(behind)?, row.try_get(behind + 1)?);
        let totals = totals::read(row, at)?;
        let (by_endpoint, by_model) = breakdowns::read(row.try_get(behind + 2)?, &totals)?;
        let numbers = SumNumbers { totals, first_received, last_received };
        Ok(CustomerSum { numbers, by_endpoint, by_model })
    }

    fn merge(sum: &mut CustomerSum, other: &CustomerSum) {
        sum.numbers.merge(&other.numbers);
        for (into, from) in [(&mut sum.by_endpoint, &other.by_endpoint), (&mut sum.by_model, &other.by_model)] {
            from.iter().for_each(|(name, slice)| merge_slice(into, name, slice));
        }
    }
}
