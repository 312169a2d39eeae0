//! The partial aggregates of several segments as one stream: every key once, in order, with its
//! whole sum.

use std::ops::Range;
use std::sync::Arc;

use domain::time::Timestamp;
use parquet::errors::Result;

use super::{Merge, SortedRows};
use crate::memtable::Partial;
use crate::segment::Segment;
use crate::segment::sums::{COLUMNS, Grain, SumKey, SumRows};

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
    pub(crate) fn place(&self) -> (&str, &str, Timestamp) {
        (&self.tenant, &self.customer, self.partial.start)
    }
}

/// See the module.
pub(crate) struct SumStream {
    merge: Merge<SumRows>,
    rows: Option<(Arc<SumRows>, Range<usize>)>,
    grain: Option<Grain>,
    pending: Option<Sum>,
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
            let partial = rows.partial(row)?;
            match &mut self.pending {
                Some(sum) if sum.key() == key => sum.partial.merge(&partial),
                pending => {
                    let (tenant, customer) = (key.tenant.to_owned(), key.customer.to_owned());
                    let next = Sum { tenant, grain: key.grain, customer, partial };
                    if let Some(whole) = pending.replace(next) {
                        return Ok(Some(whole));
                    }
                }
            }
        }
    }
}
