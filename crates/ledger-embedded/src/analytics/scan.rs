//! Reading raw events of one tenant, from files and memtables of one state, as [`Rows`] of the few
//! columns that a question needs. Refuses to read times of which retention has dropped events.

use domain::rollup::{Rollup, RollupKey, hour_of};
use domain::series::{Facet, Symbols};
use domain::tenant::TenantScope;
use domain::time::{TimeRange, Timestamp};
use ports::{ErrorKind, PortError};
use tokio_util::sync::CancellationToken;

use super::rows::{Checks, Fields, Loader, Rows, facet_column};
use crate::memtable::{GroupView, Memtable, SharedEvent};
use crate::reading::check_cancelled;
use crate::segment::events::USER_NUMBER;
use crate::segment::grain::Grain;
use crate::segment::sorted::SortedRows;
use crate::segment::sums::{self, SumRows};
use crate::segment::{KeyRange, Pages, Segment, corrupt, key_range};
use crate::state::Snapshot;

/// Rows of memtables handed out at once.
const ROWS_MAX: usize = 4_096;

/// Which events a scan reads, and which of their fields.
#[derive(Debug, Clone, Copy)]
pub(super) struct EventScan<'q> {
    pub(super) scope: &'q TenantScope,
    pub(super) customer: Option<&'q str>,
    /// In order and apart.
    pub(super) ranges: &'q [TimeRange],
    pub(super) fields: Fields,
}

impl<'q> EventScan<'q> {
    /// From the first range to the last.
    pub(super) fn hull(&self) -> Option<TimeRange> {
        let (first, last) = self.ranges.first().zip(self.ranges.last())?;
        TimeRange::new(first.from(), last.to()).filter(|hull| hull.from() < hull.to())
    }

    fn keys(&self, hull: TimeRange) -> KeyRange<'q> {
        KeyRange { customer: self.customer, ..key_range(self.scope, hull) }
    }

    /// The columns to read of some pages: those asked for, and those that tell wanted rows from others.
    fn columns(&self, checks: Checks<'_>) -> Vec<&'static str> {
        let fields = &self.fields;
        let by_customer = fields.facets[Facet::Customer as usize];
        let wanted = [
            ("tenant", checks.tenant.is_some()),
            ("customer", if self.customer.is_some() { checks.customer.is_some() } else { by_customer }),
            ("time", fields.times || checks.ranges.is_some()),
            (USER_NUMBER, fields.users),
        ];
        let facets = Facet::ALL.into_iter().filter(|facet| *facet != Facet::Customer && fields.facets[*facet as usize]);
        let wanted = wanted.into_iter().filter(|(_, wanted)| *wanted).map(|(name, _)| name);
        wanted.chain(facets.map(facet_column)).chain(fields.value).collect()
    }
}

/// The groups of one customer, or of all of a tenant.
pub(super) fn groups<'m>(
    table: &'m Memtable,
    scope: &TenantScope,
    customer: Option<&str>,
) -> impl Iterator<Item = GroupView<'m>> + use<'m> {
    let one = customer.map(|customer| table.group(scope.tenant(), customer));
    let all = customer.is_none().then(|| table.groups_of(scope.tenant()));
    one.flatten().into_iter().chain(all.into_iter().flatten())
}

/// The events of a memtable inside `range` whose time is wanted, cheaply: a lock may be held meanwhile.
pub(super) fn unflushed_events(
    table: &Memtable,
    scope: &TenantScope,
    customer: Option<&str>,
    range: TimeRange,
    mut wants: impl FnMut(Timestamp) -> bool,
) -> Vec<SharedEvent> {
    let events = groups(table, scope, customer).flat_map(|group| group.events(range));
    events.filter(|event| wants(event.time())).map(|event| event.share()).collect()
}

/// The rollups of a memtable whose hour begins inside `range`, in no order.
pub(super) fn rollups_in(table: &Memtable, scope: &TenantScope, range: TimeRange) -> Vec<Rollup> {
    let tenant = scope.tenant();
    let wanted = table.rollups().filter(|(of, _, _, hour, _)| *of == tenant.as_str() && range.contains(*hour));
    let rollup = |(_, project, kind, hour, totals): (_, &str, &str, _, &_)| {
        let (tenant, project, kind) = (tenant.clone(), project.to_owned(), kind.to_owned());
        Rollup { key: RollupKey { tenant, project, kind, hour }, totals: *totals }
    };
    wanted.map(rollup).collect()
}

/// Hands out events of memtables.
pub(super) fn scan_unflushed(
    unflushed: &[SharedEvent],
    fields: Fields,
    symbols: &mut Symbols,
    mut each: impl FnMut(&Rows) -> Result<(), PortError>,
) -> Result<(), PortError> {
    let mut rows = Rows::default();
    for some in unflushed.chunks(ROWS_MAX) {
        rows.clear();
        for (event, user) in some.iter().filter_map(SharedEvent::decode) {
            rows.push(&event, user, fields, symbols);
        }
        each(&rows)?;
    }
    Ok(())
}

/// Hands out the wanted events of all segments.
pub(super) fn scan_segments(
    snapshot: &Snapshot,
    wanted: &EventScan<'_>,
    symbols: &mut Symbols,
    cancelled: &CancellationToken,
    mut each: impl FnMut(&Rows) -> Result<(), PortError>,
) -> Result<(), PortError> {
    let Some(hull) = wanted.hull() else { return Ok(()) };
    let keys = wanted.keys(hull);
    let mut loader = Loader::default();
    for segment in snapshot.segments.iter().filter(|segment| segment.overlaps(hull)) {
        let Some(file) = segment.events() else { continue };
        let found = file.find(&keys, wanted.ranges);
        for (pages, mixed) in [(found.pure, false), (found.mixed, true)] {
            if pages.is_empty() {
                continue;
            }
            let checks = Checks {
                tenant: pages.other_tenants.then_some(keys.tenant),
                customer: keys.customer.filter(|_| mixed),
                ranges: pages.other_times.then_some(wanted.ranges),
            };
            let columns = wanted.columns(checks);
            let unreadable = |why| corrupt(&segment.meta().id, why);
            for batch in file.read_pages(pages, &columns).map_err(unreadable)? {
                check_cancelled(cancelled)?;
                let batch = batch.map_err(unreadable)?;
                let rows = loader.load(&batch, checks, wanted.customer, wanted.fields, symbols).map_err(unreadable)?;
                each(rows)?;
            }
        }
    }
    Ok(())
}

/// Refuses ranges in all of which rollups have counted events, when retention hides any.
pub(super) fn refuse_hidden(snapshot: &Snapshot, scope: &TenantScope, ranges: &[TimeRange]) -> Result<(), PortError> {
    let floor = snapshot.floors.of(scope.tenant());
    if ranges.iter().any(|range| range.from() < floor) { Err(dropped_before(floor)) } else { Ok(()) }
}

fn dropped_before(floor: Timestamp) -> PortError {
    PortError::new(ErrorKind::Gone, format!("count events before {floor}: retention has dropped them"))
}

/// Refuses ranges of which retention may have dropped events: hours before its floor in which there were
/// any. Sums of hours are kept until their customer is erased, so they tell of all others; of those see
/// `Core::refuse_erased_hours`.
pub(super) fn refuse_dropped(snapshot: &Snapshot, wanted: &EventScan<'_>) -> Result<(), PortError> {
    let floor = snapshot.floors.of(wanted.scope.tenant());
    let Some(first) = wanted.ranges.first().filter(|first| first.from() < floor) else { return Ok(()) };
    let below: Vec<_> = wanted.ranges.iter().filter(|range| range.from() < floor).collect();
    let last = below.last().map_or(first.to(), |last| last.to().min(floor));
    let Some(hours) = TimeRange::new(hour_of(first.from()), last) else { return Ok(()) };
    let dropped = |hour: Timestamp| below.iter().any(|range| hour_of(range.from()) <= hour && hour < range.to());
    for segment in snapshot.segments.iter().filter(|segment| segment.overlaps(hours)) {
        if any_hour(segment, wanted, hours, &dropped)? {
            return Err(dropped_before(floor));
        }
    }
    Ok(())
}

fn any_hour(
    segment: &Segment,
    wanted: &EventScan<'_>,
    hours: TimeRange,
    dropped: &impl Fn(Timestamp) -> bool,
) -> Result<bool, PortError> {
    let unreadable = |why| corrupt(&segment.meta().id, why);
    let keys = KeyRange { grain: Some(Grain::Hour), ..wanted.keys(hours) };
    for batch in segment.sums().select(&keys, &sums::COLUMNS).map_err(unreadable)? {
        let batch = batch.map_err(unreadable)?;
        let rows = SumRows::of(&batch).map_err(unreadable)?;
        let is_wanted = |row: usize| {
            let key = rows.key(row);
            key.tenant == keys.tenant
                && key.grain == Grain::Hour
                && keys.customer.is_none_or(|customer| customer == key.customer)
                && hours.contains(key.start)
                && dropped(key.start)
        };
        if (0..batch.num_rows()).any(is_wanted) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether a customer has ever been counted in the segments.
pub(super) fn is_known(snapshot: &Snapshot, scope: &TenantScope, customer: &str) -> Result<bool, PortError> {
    let keys = KeyRange { grain: Some(Grain::Total), customer: Some(customer), ..key_range(scope, TimeRange::ALL) };
    for segment in snapshot.segments.iter() {
        let unreadable = |why| corrupt(&segment.meta().id, why);
        let found = segment.sums().find(&keys, &[TimeRange::ALL]);
        // A page of this customer alone proves it.
        if !found.pure.is_empty() {
            return Ok(true);
        }
        let mixed: Pages = found.mixed;
        let columns = ["tenant", "grain", "customer", "start"];
        for batch in segment.sums().read_pages(mixed, &columns).map_err(unreadable)? {
            let batch = batch.map_err(unreadable)?;
            let columns = crate::segment::columns::Columns(&batch);
            let (tenants, customers) = (columns.texts("tenant"), columns.texts("customer"));
            let (tenants, customers) = (tenants.map_err(unreadable)?, customers.map_err(unreadable)?);
            let grains = columns.codes("grain").map_err(unreadable)?;
            let is_it = |row: usize| {
                tenants.value(row) == keys.tenant
                    && customers.value(row) == customer
                    && grains.value(row) == Grain::Total.code()
            };
            if (0..batch.num_rows()).any(is_it) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}
