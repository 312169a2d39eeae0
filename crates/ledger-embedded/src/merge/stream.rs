//! The partial aggregates of several segments as one stream: every key once, in order, with its
//! whole sum.

use std::ops::Range;
use std::sync::Arc;

use domain::time::Timestamp;
use parquet::errors::Result;

use super::Merge;
use crate::memtable::Partial;
use crate::segment::Segment;
use crate::segment::grain::Grain;
use crate::segment::sorted::SortedRows;
use crate::segment::sums::{COLUMNS, SumKey, SumRows};

/// One key with its sum.
#[derive(Debug)]
pub(crate) struct Sum {
    pub(crate) tenant: String,
    pub(crate) grain: Grain,
    pub(crate) customer: String,
    pub(crate) partial: Partial,
}

impl Sum {
    pub(crate) fn key(&self) -> SumKey<'_> {
        let (tenant, grain, customer) = (self.tenant.as_str(), self.grain, self.customer.as_str());
        SumKey { tenant, grain, customer, start: self.partial.start }
    }

    /// The key without its grain.
    pub(crate) fn key_in_grain(&self) -> (&str, &str, Timestamp) {
        (&self.tenant, &self.customer, self.partial.start)
    }
}

/// A key with its sum, or the one row that has it.
pub(crate) enum SumPart {
    /// The row, as it stands.
    Row(Arc<SumRows>, usize),
    /// The sum of several rows.
    Sum(Sum),
}

impl SumPart {
    pub(crate) fn key(&self) -> SumKey<'_> {
        match self {
            Self::Row(rows, row) => rows.key(*row),
            Self::Sum(sum) => sum.key(),
        }
    }

    fn into_sum(self) -> Result<Sum> {
        let (rows, row) = match self {
            Self::Row(rows, row) => (rows, row),
            Self::Sum(sum) => return Ok(sum),
        };
        let (key, partial) = (rows.key(row), rows.partial(row)?);
        let (tenant, customer) = (key.tenant.to_owned(), key.customer.to_owned());
        Ok(Sum { tenant, grain: key.grain, customer, partial })
    }
}

/// The sums of several segments, one key after another.
pub(crate) struct SumStream {
    merge: Merge<SumRows>,
    rows: Option<(Arc<SumRows>, Range<usize>)>,
    grain: Option<Grain>,
    pending: Option<SumPart>,
}

impl SumStream {
    /// Begins to read the segments, all rows or those of one grain.
    pub(crate) fn open(segments: &[Arc<Segment>], grain: Option<Grain>) -> Result<Self> {
        let files = segments.iter().map(|segment| segment.sums().scan(&COLUMNS));
        let merge = Merge::open(files.collect::<Result<Vec<_>>>()?)?;
        Ok(Self { merge, rows: None, grain, pending: None })
    }

    /// The next sum.
    pub(crate) fn next_sum(&mut self) -> Result<Option<Sum>> {
        self.next_part()?.map(SumPart::into_sum).transpose()
    }

    /// The next sum, or the row that it is.
    pub(crate) fn next_part(&mut self) -> Result<Option<SumPart>> {
        loop {
            let Some((rows, range)) = &mut self.rows else {
                match self.merge.next_run()? {
                    Some(run) => self.rows = Some((run.columns, run.rows)),
                    None => return Ok(self.pending.take()),
                }
                continue;
            };
            let Some(row) = range.next() else {
                self.rows = None;
                continue;
            };
            let key = rows.key(row);
            if self.grain.is_some_and(|grain| grain != key.grain) {
                continue;
            }
            if self.pending.as_ref().is_some_and(|pending| pending.key() == key) {
                let partial = rows.partial(row)?;
                let sum = self.pending.take().map(SumPart::into_sum).transpose()?;
                self.pending = sum.map(|mut sum| {
                    sum.partial.merge(&partial);
                    SumPart::Sum(sum)
                });
            } else if let Some(whole) = self.pending.replace(SumPart::Row(Arc::clone(rows), row)) {
                return Ok(Some(whole));
            }
        }
    }
}
