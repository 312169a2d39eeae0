//! Which segments are written again without the raw events that retention hides in them. A segment that several tenants
//! share stays as long as one of them keeps anything of it, and a large one is never merged again: without this, one
//! tenant that keeps its events for ever would keep those of all others on disk.
//!
//! It is done when a quarter of the rows is hidden, or when a row has been for a month. A quarter, because each rewriting
//! then frees at least a third of what it copies, so that a row costs at most three rows that are copied, and hidden rows
//! take at most a third of the room of the others. A month, because otherwise what is little would stay for ever.

use std::sync::Arc;

use domain::tenant::TenantId;
use domain::time::{MICROS_PER_DAY, TimeRange, Timestamp};
use parquet::errors::Result as ParquetResult;
use ports::PortError;
use ports::manifest::FileKind;

use crate::core::Core;
use crate::segment::columns::Columns;
use crate::segment::{KeyRange, ParquetFile, Segment, corrupt};
use crate::state::Floors;

/// One row in so many is hidden when a segment is written again.
const HIDDEN_ROW_IN: u64 = 4;
/// For how long a row may be hidden and still be there, in microseconds.
const HIDDEN_US_MAX: i64 = 30 * MICROS_PER_DAY;
/// A segment that everybody will be done with in this time is left alone: its file then goes whole. In microseconds.
const GOES_SOON_US: i64 = MICROS_PER_DAY;

impl Core {
    /// A segment that is to be written again, if there is one. Each is looked at once between two moves of floors.
    pub(crate) fn hiding_much<'s>(&self, segments: &'s [Arc<Segment>]) -> Result<Option<&'s Arc<Segment>>, PortError> {
        let floors = Arc::clone(&self.state.read().floors);
        if !self.options.retains || !floors.hide_any() {
            return Ok(None);
        }
        for segment in segments {
            let id = &segment.meta().id;
            if self.retention.lock().looked_at.contains(&floors, id) {
                continue;
            }
            if self.hides_much(segment, &floors)? {
                return Ok(Some(segment));
            }
            self.retention.lock().looked_at.insert(&floors, id);
        }
        Ok(None)
    }

    fn hides_much(&self, segment: &Segment, floors: &Floors) -> Result<bool, PortError> {
        let (meta, Some(file)) = (segment.meta(), segment.events()) else { return Ok(false) };
        let hides = |floor: Timestamp| meta.time_min < floor;
        let lasts = |floor: Timestamp| meta.time_max >= floor.plus_micros(GOES_SOON_US);
        let mut known = [floors.server].into_iter().chain(floors.own.values().copied());
        if !known.clone().any(hides) || !known.any(lasts) {
            return Ok(false);
        }
        let tenants = self.tenants_in(segment)?;
        if !tenants.iter().any(|tenant| lasts(floors.of(tenant))) {
            return Ok(false);
        }
        let (mut hidden, rows) = (0, segment.rows(FileKind::Events));
        for tenant in tenants.iter().filter(|tenant| hides(floors.of(tenant))) {
            let counted = hidden_rows(file, tenant, floors.of(tenant)).map_err(|why| corrupt(&meta.id, why))?;
            let Hidden { rows: more, is_overdue } = counted;
            hidden += more;
            if is_overdue || hidden >= rows.div_ceil(HIDDEN_ROW_IN) {
                return Ok(hidden > 0);
            }
        }
        Ok(false)
    }
}

/// Rows that retention no longer shows.
#[derive(Debug, Default)]
struct Hidden {
    rows: u64,
    /// Whether one of them has been hidden for too long.
    is_overdue: bool,
}

/// Reads no more than the pages that may hold such rows, and of them the columns that decide.
fn hidden_rows(file: &ParquetFile, tenant: &TenantId, floor: Timestamp) -> ParquetResult<Hidden> {
    let mut hidden = Hidden::default();
    let Some(range) = TimeRange::new(Timestamp::MIN, floor) else { return Ok(hidden) };
    let keys = KeyRange { tenant: tenant.as_str(), grain: None, customer: None, from_customer: None, range };
    let overdue = floor.plus_micros(-HIDDEN_US_MAX);
    for batch in file.select(&keys, &["tenant", "time"])? {
        let batch = batch?;
        let (tenants, times) = (Columns(&batch).texts("tenant")?, Columns(&batch).times("time")?);
        for row in (0..batch.num_rows()).filter(|row| tenants.value(*row) == tenant.as_str()) {
            let time = Timestamp::from_micros(times.value(row));
            hidden.rows += u64::from(time < floor);
            hidden.is_overdue |= time < overdue;
        }
    }
    Ok(hidden)
}
