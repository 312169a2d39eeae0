//! Users by day from raw events: the pages that a tenant's time needs and of them only the columns that
//! decide. Slower than the sets that are kept, and just as exact.

use arrow::record_batch::RecordBatch;
use domain::calendar::{Calendar, DayRange, Days, WeekStart, Zone};
use domain::position::{Position, Seq};
use domain::rollup::hour_of;
use domain::tenant::TenantScope;
use domain::time::{TimeRange, Timestamp};
use domain::users::UserNumber;
use parquet::errors::Result as ParquetResult;
use ports::{ErrorKind, PortError};
use tokio_util::sync::CancellationToken;

use crate::activity::{ByDay, UserEventFilter};
use crate::memtable::{EventHandle, Memtable, SharedEvent};
use crate::reading::check_cancelled;
use crate::segment::columns::{Columns, text_at, user_at};
use crate::segment::events::USER_NUMBER;
use crate::segment::grain::Grain;
use crate::segment::{KeyRange, Segment, corrupt, key_range};
use crate::state::Snapshot;

/// Events of a memtable between two checks for cancellation.
const UNFLUSHED_ROWS: usize = 4_096;

/// Which raw events count, and by which days.
#[derive(Debug, Clone)]
pub(super) struct RawQuery {
    pub(super) scope: TenantScope,
    /// They do not overlap.
    pub(super) ranges: Vec<TimeRange>,
    /// Days that are answered otherwise.
    pub(super) but: Option<DayRange>,
    pub(super) zone: Zone,
    pub(super) project: Option<String>,
    pub(super) kind: Option<String>,
}

impl RawQuery {
    pub(super) fn filter(&self) -> UserEventFilter<'_> {
        UserEventFilter { project: self.project.as_deref(), kind: self.kind.as_deref() }
    }

    fn add(&self, days: &mut Days<'_>, at: Timestamp, user: UserNumber, to: &mut ByDay) {
        let day = days.day_of(at);
        if self.but.is_none_or(|but| !but.contains(day)) {
            to.entry(day).or_default().insert(user);
        }
    }

    /// The users of a memtable's events of these times, cheaply: a lock may be held meanwhile.
    pub(super) fn share(&self, table: &Memtable) -> Vec<UnflushedUser> {
        let filter = self.filter();
        let is_decoded = filter.project.is_some() || filter.kind.is_some();
        let events = self
            .ranges
            .iter()
            .flat_map(|range| table.groups_of(self.scope.tenant()).flat_map(|group| group.events(*range)));
        let unflushed = |event: EventHandle<'_>| {
            let (time, user) = (event.time(), event.user()?);
            Some(UnflushedUser { time, user, event: is_decoded.then(|| event.share()) })
        };
        events.filter_map(unflushed).collect()
    }

    /// Adds what a memtable has shared.
    pub(super) fn add_unflushed(
        &self,
        unflushed: &[UnflushedUser],
        cancelled: &CancellationToken,
        to: &mut ByDay,
    ) -> Result<(), PortError> {
        let calendar = Calendar { zone: self.zone.clone(), week_start: WeekStart::Monday };
        let (mut days, filter) = (calendar.days(), self.filter());
        for some in unflushed.chunks(UNFLUSHED_ROWS) {
            check_cancelled(cancelled)?;
            for UnflushedUser { time, user, event } in some {
                let counts = |event: &SharedEvent| {
                    event.decode().is_some_and(|(event, _)| filter.includes(event.project, event.kind))
                };
                if event.as_ref().is_none_or(counts) {
                    self.add(&mut days, *time, *user, to);
                }
            }
        }
        Ok(())
    }

    /// Adds what the segments hold.
    pub(super) fn add_segments(
        &self,
        snapshot: &Snapshot,
        cancelled: &CancellationToken,
        to: &mut ByDay,
    ) -> Result<(), PortError> {
        let calendar = Calendar { zone: self.zone.clone(), week_start: WeekStart::Monday };
        let (mut days, filter) = (calendar.days(), self.filter());
        let floor = snapshot.floors.of(self.scope.tenant());
        for segment in snapshot.segments.iter() {
            for range in &self.ranges {
                let each = |event: RawEvent<'_>| self.add(&mut days, event.time, event.user, to);
                scan(segment, &self.scope, *range, floor, filter, cancelled, each)?;
            }
        }
        Ok(())
    }
}

/// The user of an event of a memtable; with the event where its project or type decides.
#[derive(Debug)]
pub(super) struct UnflushedUser {
    time: Timestamp,
    user: UserNumber,
    event: Option<SharedEvent>,
}

/// What a scan reads of an event with a user.
#[derive(Debug)]
pub(super) struct RawEvent<'b> {
    pub(super) time: Timestamp,
    pub(super) user: UserNumber,
    pub(super) project: Option<&'b str>,
    pub(super) kind: &'b str,
}

/// Which events a scan hands out, and what of them.
struct RawScan<'q> {
    range: TimeRange,
    filter: UserEventFilter<'q>,
    /// Only events of later records.
    after: Option<Seq>,
    columns: Vec<&'static str>,
}

/// Hands out every event of a segment that counts. Project and type are read as far as `filter` asks
/// for them.
///
/// # Errors
/// `Gone` when retention has dropped such events.
fn scan(
    segment: &Segment,
    scope: &TenantScope,
    range: TimeRange,
    floor: Timestamp,
    filter: UserEventFilter<'_>,
    cancelled: &CancellationToken,
    each: impl FnMut(RawEvent<'_>),
) -> Result<(), PortError> {
    if !segment.overlaps(range) {
        return Ok(());
    }
    if had_dropped(segment, scope, range, floor)? {
        return Err(PortError::new(ErrorKind::Gone, "count users: retention has dropped events of that time"));
    }
    let filtered = [filter.project.map(|_| "project"), filter.kind.map(|_| "type")];
    let columns = ["tenant", "time", USER_NUMBER].into_iter().chain(filtered.into_iter().flatten()).collect();
    scan_columns(segment, scope, &RawScan { range, filter, after: None, columns }, cancelled, each)
}

/// Hands out every event of the records after this one, with its project and its type.
///
/// # Errors
/// `Gone` when retention has dropped events of the tenant.
pub(super) fn scan_after(
    segment: &Segment,
    scope: &TenantScope,
    after: Seq,
    floor: Timestamp,
    cancelled: &CancellationToken,
    each: impl FnMut(RawEvent<'_>),
) -> Result<(), PortError> {
    if segment.meta().last_seq <= after {
        return Ok(());
    }
    if had_dropped(segment, scope, TimeRange::ALL, floor)? {
        return Err(PortError::new(ErrorKind::Gone, "count users again: retention has dropped events"));
    }
    let mut columns = vec!["tenant", "time", USER_NUMBER, "project", "type"];
    let after = (segment.meta().first_seq <= after).then_some(after);
    columns.extend(after.map(|_| "position"));
    let filter = UserEventFilter { project: None, kind: None };
    scan_columns(segment, scope, &RawScan { range: TimeRange::ALL, filter, after, columns }, cancelled, each)
}

fn scan_columns(
    segment: &Segment,
    scope: &TenantScope,
    wanted: &RawScan<'_>,
    cancelled: &CancellationToken,
    mut each: impl FnMut(RawEvent<'_>),
) -> Result<(), PortError> {
    let Some(file) = segment.events() else { return Ok(()) };
    let unreadable = |why| corrupt(&segment.meta().id, why);
    for batch in file.select(&key_range(scope, wanted.range), &wanted.columns).map_err(unreadable)? {
        check_cancelled(cancelled)?;
        let batch = batch.map_err(unreadable)?;
        hand_out(&batch, scope, wanted, &mut each).map_err(unreadable)?;
    }
    Ok(())
}

fn hand_out(
    batch: &RecordBatch,
    scope: &TenantScope,
    wanted: &RawScan<'_>,
    each: &mut impl FnMut(RawEvent<'_>),
) -> ParquetResult<()> {
    let (columns, tenant) = (Columns(batch), scope.tenant().as_str());
    let (tenants, times) = (columns.texts("tenant")?, columns.times("time")?);
    let users = columns.users(USER_NUMBER)?;
    let projects = columns.has("project").then(|| columns.texts("project")).transpose()?;
    let kinds = columns.has("type").then(|| columns.texts("type")).transpose()?;
    let positions = wanted.after.map(|_| columns.positions("position")).transpose()?;
    for row in 0..batch.num_rows() {
        let time = Timestamp::from_micros(times.value(row));
        let Some(user) = user_at(users, row) else { continue };
        let is_later = wanted
            .after
            .zip(positions)
            .is_none_or(|(after, positions)| Position::from_bits(positions.value(row)).seq() > after);
        if !is_later || !wanted.range.contains(time) || tenants.value(row) != tenant {
            continue;
        }
        let project = projects.and_then(|projects| text_at(projects, row));
        let kind = kinds.map_or("", |kinds| kinds.value(row));
        if wanted.filter.includes(project, kind) {
            each(RawEvent { time, user, project, kind });
        }
    }
    Ok(())
}

/// Whether retention may have dropped events of this tenant and time: the file of all events is gone, or those before
/// the tenant's floor, which a merge leaves out.
fn had_dropped(segment: &Segment, scope: &TenantScope, range: TimeRange, floor: Timestamp) -> Result<bool, PortError> {
    let gone = match segment.events() {
        None => range,
        Some(_) if range.from() < floor => TimeRange::new(range.from(), range.to().min(floor)).unwrap_or(range),
        Some(_) => return Ok(false),
    };
    had_events(segment, scope, gone).map_err(|why| corrupt(&segment.meta().id, why))
}

/// Whether a segment had events of this tenant in the hours that `range` touches: its sums outlive them.
fn had_events(segment: &Segment, scope: &TenantScope, range: TimeRange) -> ParquetResult<bool> {
    let hours = TimeRange::new(hour_of(range.from()), range.to()).unwrap_or(range);
    let wanted = KeyRange { grain: Some(Grain::Hour), ..key_range(scope, hours) };
    let tenant = scope.tenant().as_str();
    for batch in segment.sums().select(&wanted, &["tenant", "grain", "start"])? {
        let batch = batch?;
        let columns = Columns(&batch);
        let (tenants, grains, starts) = (columns.texts("tenant")?, columns.codes("grain")?, columns.times("start")?);
        let is_one = |row: usize| {
            tenants.value(row) == tenant
                && grains.value(row) == Grain::Hour.code()
                && hours.contains(Timestamp::from_micros(starts.value(row)))
        };
        if (0..batch.num_rows()).any(is_one) {
            return Ok(true);
        }
    }
    Ok(false)
}
