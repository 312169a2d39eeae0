//! Listing raw events. First the best rows are found by their sort columns and the filtered ones
//! alone, newest segments first and narrowing the time as rows are found; then only the rows of the
//! page are read whole.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::event::EventId;
use domain::position::Position;
use domain::tenant::TenantScope;
use domain::time::{TimeRange, Timestamp};
use parquet::errors::{ParquetError, Result as ParquetResult};
use ports::PortError;
use ports::reports::{EventCursor, EventFilter, EventQuery, Order, Page, StoredEvent, cut};
use tokio_util::sync::CancellationToken;

use crate::core::Core;
use crate::dedup::IdHash;
use crate::memtable::{Memtable, MemtableEvent};
use crate::reading::check_cancelled;
use crate::segment::columns::{Columns, text_at};
use crate::segment::events::{self, EventKeys};
use crate::segment::sorted::SortedRows;
use crate::segment::{KeyRange, RowId, Segment, corrupt, key_range};
use crate::state::Snapshot;

/// Events of a page that are read whole before their size tells how many more fit. All others are read at
/// once if they can be: they lie on many pages of a file, which every part would decode again.
const FETCHED_FIRST: usize = 128;

/// A row of a page: the event itself, or where it stands in a segment.
#[derive(Debug)]
enum PageRow {
    Unflushed(Box<StoredEvent>),
    Flushed(Arc<Segment>, RowId),
}

/// The best events so far, at most one page and one more.
#[derive(Debug)]
struct BestEvents {
    order: Order,
    after: Option<EventCursor>,
    limit: usize,
    range: TimeRange,
    found: BTreeMap<EventCursor, PageRow>,
}

impl BestEvents {
    fn wants(&self, at: EventCursor) -> bool {
        let beyond = |after: EventCursor| match self.order {
            Order::Descending => at < after,
            Order::Ascending => at > after,
        };
        self.range.contains(at.time)
            && self.after.is_none_or(beyond)
            && (self.found.len() < self.limit || self.beats(at))
    }

    fn beats(&self, at: EventCursor) -> bool {
        match self.order {
            Order::Descending => self.found.first_key_value().is_none_or(|(worst, _)| at > *worst),
            Order::Ascending => self.found.last_key_value().is_none_or(|(worst, _)| at < *worst),
        }
    }

    fn add(&mut self, at: EventCursor, row: PageRow) {
        self.found.insert(at, row);
        if self.found.len() > self.limit {
            match self.order {
                Order::Descending => self.found.pop_first(),
                Order::Ascending => self.found.pop_last(),
            };
        }
    }

    /// The times that can still matter.
    fn open_range(&self) -> TimeRange {
        let (mut from, mut to) = (self.range.from(), self.range.to());
        let after = self.after.map(|after| after.time);
        let worst = (self.found.len() == self.limit).then_some(());
        match self.order {
            Order::Descending => {
                to = after.map_or(to, |after| to.min(after.plus_micros(1)));
                from = worst.and(self.found.first_key_value()).map_or(from, |(worst, _)| from.max(worst.time));
            }
            Order::Ascending => {
                from = after.map_or(from, |after| from.max(after));
                to = worst.and(self.found.last_key_value()).map_or(to, |(worst, _)| to.min(worst.time.plus_micros(1)));
            }
        }
        TimeRange::new(from, to.max(from)).unwrap_or(TimeRange::ALL)
    }
}

impl Core {
    pub(super) fn list_events(
        &self,
        scope: &TenantScope,
        query: &EventQuery,
        cancelled: &CancellationToken,
    ) -> Result<Page<StoredEvent, EventCursor>, PortError> {
        let filter = &query.filter;
        let best = |range| BestEvents {
            order: query.order,
            after: query.after,
            limit: query.limit + 1,
            range,
            found: BTreeMap::new(),
        };
        // The floor only rises: one read before the state hides nothing that the state still shows.
        let floor = self.state.read().floors.of(scope.tenant());
        let (snapshot, mut best) = self.view(|active| {
            let mut best = best(above(filter.range, floor));
            find_in(active, scope, filter, &mut best);
            best
        });
        if let Some(frozen) = &snapshot.frozen {
            find_in(frozen, scope, filter, &mut best);
        }
        for segment in in_order(&snapshot, query.order) {
            find_on_disk(&segment, scope, filter, &mut best, cancelled)?;
        }
        let mut found = best.found;
        let (mut rows, mut more, mut count) = (Vec::new(), false, FETCHED_FIRST);
        while !found.is_empty() && !more {
            let next = next_of(&mut found, query.order, count);
            let mut some = whole(next)?;
            if query.order == Order::Descending {
                some.reverse();
            }
            rows.extend(some);
            more = cut(&mut rows, query.limit, query.bytes_max, StoredEvent::bytes);
            let bytes = rows.iter().map(StoredEvent::bytes).sum::<usize>();
            let average = (bytes / rows.len().max(1)).max(1);
            count = (query.bytes_max.saturating_sub(bytes) / average).max(FETCHED_FIRST);
        }
        let cursor = |last: &StoredEvent| EventCursor { time: last.time, position: last.position };
        let next = rows.last().filter(|_| more).map(cursor);
        Ok(Page { rows, next })
    }

    pub(super) fn find_event(
        &self,
        scope: &TenantScope,
        id: EventId<'_>,
        cancelled: &CancellationToken,
    ) -> Result<Option<StoredEvent>, PortError> {
        let hash = self.hasher.of_tenant(scope.tenant()).hash_id(id);
        let in_table = |table: &Memtable| {
            table.find_id(hash).and_then(|seen| table.event_at(seen.position)).map(|unflushed| stored_event(&unflushed))
        };
        let (snapshot, active) = self.view(in_table);
        let found = match active.or_else(|| snapshot.frozen.as_ref().and_then(|frozen| in_table(frozen))) {
            Some(found) => Some(found),
            None => find_flushed(&snapshot, scope, hash, cancelled)?,
        };
        Ok(found.filter(|event| event.id == id.text && event.time >= snapshot.floors.of(scope.tenant())))
    }
}

/// Takes out the events that come next, some at a time, so that a page that ends early reads few more.
fn next_of(found: &mut BTreeMap<EventCursor, PageRow>, order: Order, count: usize) -> BTreeMap<EventCursor, PageRow> {
    let pop = || match order {
        Order::Descending => found.pop_last(),
        Order::Ascending => found.pop_first(),
    };
    std::iter::from_fn(pop).take(count).collect()
}

/// The part of `range` that retention still shows.
fn above(range: TimeRange, floor: Timestamp) -> TimeRange {
    let from = range.from().max(floor);
    TimeRange::new(from, range.to().max(from)).unwrap_or(range)
}

fn find_in(table: &Memtable, scope: &TenantScope, filter: &EventFilter, best: &mut BestEvents) {
    let groups: Vec<_> = match &filter.customer {
        Some(customer) => table.group(scope.tenant(), customer).into_iter().collect(),
        None => table.groups_of(scope.tenant()).collect(),
    };
    let range = best.range;
    for handle in groups.into_iter().flat_map(|group| group.events(range)) {
        let at = EventCursor { time: handle.time(), position: handle.position().into() };
        let Some(unflushed) = best.wants(at).then(|| handle.decode()).flatten() else { continue };
        let same =
            |wanted: &Option<String>, found: Option<&str>| wanted.as_deref().is_none_or(|wanted| found == Some(wanted));
        let event = &unflushed.event;
        let matches = same(&filter.user, event.user)
            && same(&filter.kind, Some(event.kind))
            && same(&filter.endpoint, event.endpoint)
            && same(&filter.project, event.project);
        if matches {
            best.add(at, PageRow::Unflushed(Box::new(stored_event(&unflushed))));
        }
    }
}

fn in_order(snapshot: &Snapshot, order: Order) -> Vec<Arc<Segment>> {
    let mut segments: Vec<_> = snapshot.segments.iter().cloned().collect();
    match order {
        Order::Descending => segments.sort_by_key(|segment| std::cmp::Reverse(segment.meta().time_max)),
        Order::Ascending => segments.sort_by_key(|segment| segment.meta().time_min),
    }
    segments
}

fn find_on_disk(
    segment: &Arc<Segment>,
    scope: &TenantScope,
    filter: &EventFilter,
    best: &mut BestEvents,
    cancelled: &CancellationToken,
) -> Result<(), PortError> {
    let unreadable = |why: ParquetError| corrupt(&segment.meta().id, why);
    let range = best.open_range();
    let Some(file) = segment.events().filter(|_| segment.overlaps(range)) else { return Ok(()) };
    let tenant = scope.tenant().as_str();
    let wanted = KeyRange { customer: filter.customer.as_deref(), ..key_range(scope, range) };
    let filtered =
        [("user", &filter.user), ("type", &filter.kind), ("endpoint", &filter.endpoint), ("project", &filter.project)];
    let filtered: Vec<_> = filtered.into_iter().filter_map(|(name, wanted)| Some((name, wanted.as_deref()?))).collect();
    let columns: Vec<_> = events::KEY_COLUMNS.into_iter().chain(filtered.iter().map(|(name, _)| *name)).collect();
    let mut batches = file.select(&wanted, &columns).map_err(unreadable)?;
    while let Some(batch) = batches.next() {
        check_cancelled(cancelled)?;
        let batch = batch.map_err(unreadable)?;
        let rows = batches.locate(batch.num_rows());
        let keys = EventKeys::of(&batch).map_err(unreadable)?;
        let others = filtered.iter().map(|(name, wanted)| Ok((Columns(&batch).texts(name)?, *wanted)));
        let others = others.collect::<ParquetResult<Vec<_>>>().map_err(unreadable)?;
        for (row, id) in rows.into_iter().enumerate() {
            let key = keys.key(row);
            let at = EventCursor { time: key.time, position: key.position.into() };
            if key.tenant == tenant
                && best.wants(at)
                && filter.customer.as_deref().is_none_or(|customer| customer == key.customer)
                && others.iter().all(|(column, wanted)| text_at(column, row) == Some(*wanted))
            {
                best.add(at, PageRow::Flushed(Arc::clone(segment), id));
            }
        }
    }
    Ok(())
}

/// Reads the found rows whole, those of one segment at once; in order of (time, position).
fn whole(found: BTreeMap<EventCursor, PageRow>) -> Result<Vec<StoredEvent>, PortError> {
    let mut events = Vec::with_capacity(found.len());
    let mut by_segment: BTreeMap<String, (Arc<Segment>, Vec<RowId>)> = BTreeMap::new();
    for row in found.into_values() {
        match row {
            PageRow::Unflushed(event) => events.push(*event),
            PageRow::Flushed(segment, id) => {
                let entry = by_segment.entry(segment.meta().id.clone());
                entry.or_insert_with(|| (segment, Vec::new())).1.push(id);
            }
        }
    }
    for (id, (segment, mut rows)) in by_segment {
        rows.sort_unstable();
        events.extend(fetch(&segment, &rows).map_err(|why| corrupt(&id, why))?);
    }
    events.sort_unstable_by_key(|event| (event.time, event.position));
    Ok(events)
}

fn fetch(segment: &Segment, rows: &[RowId]) -> ParquetResult<Vec<StoredEvent>> {
    let mut events = Vec::with_capacity(rows.len());
    if let Some(file) = segment.events() {
        for batch in file.fetch(rows, &events::COLUMNS)? {
            let batch = batch?;
            for row in 0..batch.num_rows() {
                events.push(events::stored(&batch, row)?);
            }
        }
    }
    Ok(events)
}

/// The event of an id that is flushed: its run gives the position, its segment the row.
fn find_flushed(
    snapshot: &Snapshot,
    scope: &TenantScope,
    hash: IdHash,
    cancelled: &CancellationToken,
) -> Result<Option<StoredEvent>, PortError> {
    for segment in snapshot.segments.iter().rev() {
        let name = &segment.meta().id;
        let Some(seen) = segment.ids().find(hash).map_err(|why| corrupt(name, why))? else { continue };
        if seen.payload.rule.is_erased() {
            return Ok(None);
        }
        let row = row_at(segment, scope, seen.position, cancelled)?;
        let found = row.map(|row| fetch(segment, &[row])).transpose().map_err(|why| corrupt(name, why))?;
        return Ok(found.and_then(|events| events.into_iter().next()));
    }
    Ok(None)
}

fn row_at(
    segment: &Segment,
    scope: &TenantScope,
    position: Position,
    cancelled: &CancellationToken,
) -> Result<Option<RowId>, PortError> {
    let unreadable = |why: ParquetError| corrupt(&segment.meta().id, why);
    let Some(file) = segment.events() else { return Ok(None) };
    let mut batches = file.select(&key_range(scope, TimeRange::ALL), &["position"]).map_err(unreadable)?;
    while let Some(batch) = batches.next() {
        check_cancelled(cancelled)?;
        let batch = batch.map_err(unreadable)?;
        let rows = batches.locate(batch.num_rows());
        let positions = Columns(&batch).positions("position").map_err(unreadable)?;
        if let Some(row) = positions.values().iter().position(|bits| *bits == position.bits()) {
            return Ok(rows.get(row).copied());
        }
    }
    Ok(None)
}

fn stored_event(unflushed: &MemtableEvent<'_>) -> StoredEvent {
    let event = &unflushed.event;
    StoredEvent {
        position: unflushed.position.into(),
        id: event.id.to_owned(),
        id_scheme: event.id_scheme,
        time: event.time,
        received_at: unflushed.times.received_at,
        kind: event.kind.to_owned(),
        project: event.project.map(str::to_owned),
        customer: event.customer.map(str::to_owned),
        user: event.user.map(str::to_owned),
        endpoint: event.endpoint.map(str::to_owned),
        properties: event.properties.map(str::to_owned),
        tokens: event.usage.tokens,
        input_tokens: event.usage.input_tokens,
        output_tokens: event.usage.output_tokens,
        latency_us: event.usage.latency_us,
        model: event.usage.model.map(str::to_owned),
        cache_read_tokens: event.usage.cache_read_tokens,
        cache_write_tokens: event.usage.cache_write_tokens,
        reasoning_tokens: event.usage.reasoning_tokens,
    }
}
