//! What erased events add to sums that are otherwise read from raw events. A cell counts where it begins: the ends of
//! a range that lie inside of a cell are not exact.

use domain::aggregate::Totals;
use domain::time::TimeRange;
use parquet::errors::ParquetError;
use ports::PortError;
use tokio_util::sync::CancellationToken;

use super::scan::EventScan;
use crate::reading::check_cancelled;
use crate::segment::residuals::{COLUMNS, ResidualKey, ResidualRows};
use crate::segment::sorted::SortedRows;
use crate::segment::{KeyRange, corrupt, key_range};
use crate::state::Snapshot;

/// Hands out the residuals that `wanted` covers, without those of an erased customer when one customer is asked for.
pub(super) fn scan_residuals(
    snapshot: &Snapshot,
    wanted: &EventScan<'_>,
    cancelled: &CancellationToken,
    mut each: impl FnMut(&ResidualKey<'_>, &Totals) -> Result<(), PortError>,
) -> Result<(), PortError> {
    let Some(hull) = wanted.hull() else { return Ok(()) };
    let keys = KeyRange { customer: wanted.customer, ..key_range(wanted.scope, hull) };
    let is_in = |range: &TimeRange, key: &ResidualKey<'_>| range.contains(key.start);
    for segment in snapshot.segments.iter() {
        let Some(file) = segment.residuals() else { continue };
        let unreadable = |why: ParquetError| corrupt(&segment.meta().id, why);
        for batch in file.select(&keys, &COLUMNS).map_err(unreadable)? {
            check_cancelled(cancelled)?;
            let rows = batch.and_then(|batch| Ok((batch.num_rows(), ResidualRows::of(&batch)?)));
            let (count, rows) = rows.map_err(unreadable)?;
            for row in 0..count {
                let key = rows.key(row);
                let is_wanted = key.tenant == keys.tenant
                    && keys.customer.is_none_or(|customer| customer == key.customer)
                    && wanted.ranges.iter().any(|range| is_in(range, &key));
                if is_wanted {
                    each(&key, &rows.numbers(row).totals)?;
                }
            }
        }
    }
    Ok(())
}
