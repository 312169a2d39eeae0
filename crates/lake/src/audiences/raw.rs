//! Users by day from raw events: the pages that a tenant's time needs and of them only the columns that
//! decide. Slower than the sets that are kept, and just as exact.

use domain::calendar::{Calendar, DayRange, Days, WeekStart, Zone};
use domain::rollup::hour_of;
use domain::tenant::TenantScope;
use domain::time::{TimeRange, Timestamp};
use domain::users::UserNumber;
use parquet::errors::Result as ParquetResult;
use ports::{ErrorKind, PortError};

use crate::activity::{ByDay, Choice};
use crate::memtable::Memtable;
use crate::reports::Patience;
use crate::segment::columns::{Columns, text_at, user_at};
use crate::segment::events::USER_NUMBER;
use crate::segment::sums::Grain;
use crate::segment::{KeyRange, Segment, corrupt, key_range};
use crate::state::Snapshot;

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
    fn choice(&self) -> Choice<'_> {
        Choice { project: self.project.as_deref(), kind: self.kind.as_deref() }
    }

    fn add(&self, days: &mut Days<'_>, at: Timestamp, user: UserNumber, to: &mut ByDay) {
        let day = days.day_of(at);
        if self.but.is_none_or(|but| !but.contains(day)) {
            to.entry(day).or_default().insert(user);
        }
    }

    /// Adds what a memtable holds.
    pub(super) fn add_from(&self, table: &Memtable, to: &mut ByDay) {
        let calendar = Calendar { zone: self.zone.clone(), week_start: WeekStart::Monday };
        let (mut days, choice) = (calendar.days(), self.choice());
        let all = choice.project.is_none() && choice.kind.is_none();
        for range in &self.ranges {
            for event in table.groups_of(self.scope.tenant()).flat_map(|group| group.events(*range)) {
                let Some(user) = event.user() else { continue };
                let counts = || event.decode().is_some_and(|held| choice.includes(held.event.project, held.event.kind));
                if all || counts() {
                    self.add(&mut days, event.time(), user, to);
                }
            }
        }
    }

    /// What the frozen memtable and the segments hold.
    pub(super) fn read(&self, snapshot: &Snapshot, patience: &Patience) -> Result<ByDay, PortError> {
        let mut found = ByDay::new();
        if let Some(frozen) = &snapshot.frozen {
            self.add_from(frozen, &mut found);
        }
        let calendar = Calendar { zone: self.zone.clone(), week_start: WeekStart::Monday };
        let (mut days, choice) = (calendar.days(), self.choice());
        for segment in snapshot.segments.iter() {
            for range in &self.ranges {
                let each = |event: RawEvent<'_>| self.add(&mut days, event.time, event.user, &mut found);
                scan(segment, &self.scope, *range, &choice, patience, each)?;
            }
        }
        Ok(found)
    }
}

/// What a scan reads of an event with a user.
#[derive(Debug)]
pub(super) struct RawEvent<'b> {
    pub(super) time: Timestamp,
    pub(super) user: UserNumber,
    pub(super) project: Option<&'b str>,
    pub(super) kind: &'b str,
}

/// Which columns a scan reads beside the keys: those that it filters by.
fn columns_of(choice: &Choice<'_>) -> Vec<&'static str> {
    let filtered = [choice.project.map(|_| "project"), choice.kind.map(|_| "type")];
    ["tenant", "time", USER_NUMBER].into_iter().chain(filtered.into_iter().flatten()).collect()
}

/// Hands out every event of a segment that counts. Project and type are read as far as `choice` asks
/// for them.
///
/// # Errors
/// `Gone` when retention has dropped such events.
pub(super) fn scan(
    segment: &Segment,
    scope: &TenantScope,
    range: TimeRange,
    choice: &Choice<'_>,
    patience: &Patience,
    each: impl FnMut(RawEvent<'_>),
) -> Result<(), PortError> {
    if !segment.overlaps(range) {
        return Ok(());
    }
    let name = &segment.meta().id;
    if segment.events().is_none() {
        return match had_events(segment, scope, range).map_err(|why| corrupt(name, why))? {
            true => Err(PortError::new(ErrorKind::Gone, "count users: retention has dropped events of that time")),
            false => Ok(()),
        };
    }
    scan_columns(segment, scope, range, (choice, &columns_of(choice)), patience, each).map_err(|why| corrupt(name, why))
}

/// Hands out every event of a segment with its project and its type.
pub(super) fn scan_all(
    segment: &Segment,
    scope: &TenantScope,
    patience: &Patience,
    each: impl FnMut(RawEvent<'_>),
) -> Result<(), PortError> {
    let all = Choice { project: None, kind: None };
    let columns = ["tenant", "time", USER_NUMBER, "project", "type"];
    scan_columns(segment, scope, TimeRange::ALL, (&all, &columns), patience, each)
        .map_err(|why| corrupt(&segment.meta().id, why))
}

fn scan_columns(
    segment: &Segment,
    scope: &TenantScope,
    range: TimeRange,
    (choice, columns): (&Choice<'_>, &[&str]),
    patience: &Patience,
    mut each: impl FnMut(RawEvent<'_>),
) -> ParquetResult<()> {
    let Some(file) = segment.events() else { return Ok(()) };
    let tenant = scope.tenant().as_str();
    for batch in file.select(&key_range(scope, range), columns)? {
        let batch = batch?;
        patience.check()?;
        let columns = Columns(&batch);
        let (tenants, times) = (columns.texts("tenant")?, columns.times("time")?);
        let users = columns.users(USER_NUMBER)?;
        let projects = columns.has("project").then(|| columns.texts("project")).transpose()?;
        let kinds = columns.has("type").then(|| columns.texts("type")).transpose()?;
        for row in 0..batch.num_rows() {
            let time = Timestamp::from_micros(times.value(row));
            let Some(user) = user_at(users, row) else { continue };
            if !range.contains(time) || tenants.value(row) != tenant {
                continue;
            }
            let project = projects.and_then(|projects| text_at(projects, row));
            let kind = kinds.map_or("", |kinds| kinds.value(row));
            if choice.includes(project, kind) {
                each(RawEvent { time, user, project, kind });
            }
        }
    }
    Ok(())
}

/// Whether a segment had events of this tenant in the hours that `range` touches: its sums outlive them.
pub(super) fn had_events(segment: &Segment, scope: &TenantScope, range: TimeRange) -> ParquetResult<bool> {
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
