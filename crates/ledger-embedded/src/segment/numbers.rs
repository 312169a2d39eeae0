//! The columns of numbers in the two files of sums: the totals, which are additive, and when the first and the last
//! event came in. They stand together, in this order; files of version 2 lack the last three totals.

use std::array::from_fn;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, Int64Builder, TimestampMicrosecondArray, TimestampMicrosecondBuilder};
use arrow::datatypes::{DataType, Field};
use domain::aggregate::Totals;
use domain::time::Timestamp;
use parquet::errors::Result;

use super::columns::{Columns, signed, unsigned};
use super::layout::{instant, utc};
use crate::memtable::SumNumbers;

/// The totals.
const TOTALS: [&str; 10] = Totals::NAMES;
/// When the first and the last event came in.
const RECEIVED: [&str; 2] = ["first_received", "last_received"];

/// How many columns there are.
pub(super) const COUNT: usize = TOTALS.len() + RECEIVED.len();

/// Their names.
pub(super) const NAMES: [&str; COUNT] = between(&[], &[]);

/// The names of a file's columns: what stands before the numbers, the numbers, what stands behind them.
pub(super) const fn between<const N: usize>(before: &[&'static str], behind: &[&'static str]) -> [&'static str; N] {
    let mut names = [""; N];
    let at = put(&mut names, 0, before);
    let at = put(&mut names, at, &TOTALS);
    let at = put(&mut names, at, &RECEIVED);
    let at = put(&mut names, at, behind);
    assert!(at == N);
    names
}

/// Puts more names at a place; returns the next place.
const fn put(names: &mut [&'static str], at: usize, more: &[&'static str]) -> usize {
    let mut done = 0;
    while done < more.len() {
        names[at + done] = more[done];
        done += 1;
    }
    at + done
}

/// What one of them holds.
pub(super) fn field(name: &str) -> Field {
    Field::new(name, if RECEIVED.contains(&name) { instant() } else { DataType::Int64 }, false)
}

/// Gathers the numbers of rows.
#[derive(Debug, Default)]
pub(super) struct NumberBuilders {
    totals: [Int64Builder; TOTALS.len()],
    first_received: TimestampMicrosecondBuilder,
    last_received: TimestampMicrosecondBuilder,
}

impl NumberBuilders {
    /// Adds the numbers of a row.
    pub(super) fn push(&mut self, numbers: &SumNumbers) {
        let totals = self.totals.iter_mut().zip(numbers.totals.sums());
        totals.for_each(|(builder, total)| builder.append_value(signed(total)));
        self.first_received.append_value(numbers.first_received.micros());
        self.last_received.append_value(numbers.last_received.micros());
    }

    /// The columns, and empty builders again.
    pub(super) fn finish(&mut self) -> impl Iterator<Item = ArrayRef> {
        let totals = self.totals.iter_mut().map(|builder| Arc::new(builder.finish()) as ArrayRef);
        totals.chain([utc(&mut self.first_received), utc(&mut self.last_received)])
    }
}

/// The numbers of the rows of a batch.
#[derive(Debug)]
pub(super) struct NumberColumns {
    totals: Vec<Int64Array>,
    first_received: TimestampMicrosecondArray,
    last_received: TimestampMicrosecondArray,
}

impl NumberColumns {
    /// The numbers in a batch with all columns.
    pub(super) fn of(columns: Columns<'_>) -> Result<Self> {
        let totals = TOTALS.iter().map(|name| columns.sums(name).cloned());
        Ok(Self {
            totals: totals.collect::<Result<_>>()?,
            first_received: columns.times("first_received")?.clone(),
            last_received: columns.times("last_received")?.clone(),
        })
    }

    /// The numbers at `row`.
    pub(super) fn at(&self, row: usize) -> SumNumbers {
        SumNumbers {
            totals: Totals::from_sums(from_fn(|at| unsigned(self.totals[at].value(row)))),
            first_received: Timestamp::from_micros(self.first_received.value(row)),
            last_received: Timestamp::from_micros(self.last_received.value(row)),
        }
    }
}
