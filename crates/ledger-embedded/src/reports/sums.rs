//! Partial aggregates of one tenant from every source, merged. Each source gives its first rows after
//! a key; what all sources have been read for is exact, the rest is left for the next round.

use std::collections::BTreeMap;

use domain::tenant::TenantScope;
use domain::time::{TimeRange, Timestamp};
use parquet::errors::ParquetError;
use ports::PortError;
use tokio_util::sync::CancellationToken;

use crate::memtable::{Memtable, Partial};
use crate::reading::check_cancelled;
use crate::segment::grain::Grain;
use crate::segment::sorted::SortedRows;
use crate::segment::sums::{self, SumRows};
use crate::segment::{KeyRange, Segment, corrupt, key_range};
use crate::state::Snapshot;

/// (customer, start).
pub(super) type SumId = (String, Timestamp);

/// Which partial aggregates are asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct SumQuery<'q> {
    pub(super) scope: &'q TenantScope,
    pub(super) grain: Grain,
    pub(super) customer: Option<&'q str>,
    /// By start; whole hours for hours.
    pub(super) range: TimeRange,
    /// Only rows after this one.
    pub(super) after: Option<&'q SumId>,
    /// Enough rows from each source.
    pub(super) limit: usize,
}

impl SumQuery<'_> {
    fn wants(&self, customer: &str, start: Timestamp) -> bool {
        let after = |(known, at): &SumId| (customer, start) > (known.as_str(), *at);
        self.customer.is_none_or(|wanted| wanted == customer)
            && self.range.contains(start)
            && self.after.is_none_or(after)
    }

    /// The starts that can still come: later ones than `after`, when all are of one customer.
    fn open_range(&self) -> TimeRange {
        let after = self.after.filter(|(customer, _)| self.customer == Some(customer.as_str()));
        let from = after.map_or(self.range.from(), |(_, start)| self.range.from().max(start.plus_micros(1)));
        TimeRange::new(from, self.range.to().max(from)).unwrap_or(self.range)
    }

    fn first_customer(&self) -> Option<&str> {
        self.after.map(|(customer, _)| customer.as_str())
    }
}

/// The first rows of one source, in order.
#[derive(Debug, Default)]
pub(super) struct Rows {
    rows: Vec<(SumId, Partial)>,
    cut: bool,
}

/// The merged rows of all sources.
#[derive(Debug)]
pub(super) struct Sums {
    pub(super) rows: BTreeMap<SumId, Partial>,
    /// The last row that is known to be whole, when there may be more.
    pub(super) bound: Option<SumId>,
}

impl Sums {
    /// The sum of all rows.
    pub(super) fn total(self) -> Option<Partial> {
        let mut rows = self.rows.into_values();
        let mut sum = rows.next()?;
        rows.for_each(|row| sum.merge(&row));
        Some(sum)
    }
}

/// The first rows of a memtable.
pub(super) fn sums_in(table: &Memtable, query: &SumQuery<'_>) -> Rows {
    let tenant = query.scope.tenant();
    let mut groups: Vec<_> = match query.customer {
        Some(customer) => table.group(tenant, customer).into_iter().collect(),
        None => table.groups_of(tenant).filter(|group| Some(group.customer()) >= query.first_customer()).collect(),
    };
    groups.sort_unstable_by_key(|group| group.customer());
    let mut found = Rows::default();
    for group in groups {
        if found.rows.len() >= query.limit {
            found.cut = true;
            break;
        }
        let range = if query.grain == Grain::Total { TimeRange::ALL } else { query.range };
        let sums = group.sums(range, |start| query.grain.start_of(start)).into_iter();
        let wanted = sums.filter(|sum| query.wants(group.customer(), sum.start));
        found.rows.extend(wanted.map(|sum| ((group.customer().to_owned(), sum.start), sum)));
    }
    found
}

fn sums_of(segment: &Segment, query: &SumQuery<'_>) -> Result<Rows, ParquetError> {
    let wanted = KeyRange {
        range: query.open_range(),
        grain: Some(query.grain),
        customer: query.customer,
        from_customer: query.first_customer(),
        ..key_range(query.scope, query.range)
    };
    let tenant = query.scope.tenant().as_str();
    let mut found = Rows::default();
    for batch in segment.sums().select(&wanted, &sums::COLUMNS)? {
        let batch = batch?;
        let rows = SumRows::of(&batch)?;
        for row in 0..batch.num_rows() {
            let key = rows.key(row);
            if key.tenant == tenant && key.grain == query.grain && query.wants(key.customer, key.start) {
                if found.rows.len() >= query.limit {
                    found.cut = true;
                    return Ok(found);
                }
                found.rows.push(((key.customer.to_owned(), key.start), rows.partial(row)?));
            }
        }
    }
    Ok(found)
}

/// Merges what the active memtable gave with what everything else holds.
pub(super) fn sum(
    snapshot: &Snapshot,
    active: Rows,
    query: &SumQuery<'_>,
    cancelled: &CancellationToken,
) -> Result<Sums, PortError> {
    let mut sources = vec![active];
    sources.extend(snapshot.frozen.as_ref().map(|frozen| sums_in(frozen, query)));
    let timed = query.grain == Grain::Window;
    // An hour's or a total's row begins before the first event of its segment.
    for segment in snapshot.segments.iter().filter(|segment| !timed || segment.overlaps_windows(query.range)) {
        check_cancelled(cancelled)?;
        let name = || segment.meta().id.clone();
        sources.push(sums_of(segment, query).map_err(|why| corrupt(&name(), why))?);
    }
    let cut = sources.iter().filter(|source| source.cut);
    let bound = cut.filter_map(|source| source.rows.last()).map(|(id, _)| id).min().cloned();
    let mut rows: BTreeMap<SumId, Partial> = BTreeMap::new();
    for (id, partial) in sources.into_iter().flat_map(|source| source.rows) {
        if bound.as_ref().is_some_and(|bound| id > *bound) {
            continue;
        }
        match rows.get_mut(&id) {
            Some(sum) => sum.merge(&partial),
            None => {
                rows.insert(id, partial);
            }
        }
    }
    Ok(Sums { rows, bound })
}
