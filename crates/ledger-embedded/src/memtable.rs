//! What is applied but not flushed: the records as they stand in the journal, and over them the ids,
//! the groups of each customer, the windows and the rollups. Applying is memory only. A memtable is
//! a pure function of the records applied to it, so replaying the journal gives it back.

mod fold;
mod received;
mod rows;
mod windows;

use std::sync::Arc;

use bytes::Bytes;
use domain::admit::Dimension;
pub(crate) use domain::aggregate::SumNumbers;
use domain::aggregate::{Aggregate, Slice, Totals};
use domain::calendar::{Day, DayRange};
use domain::event::EventView;
use domain::position::{Position, Seq};
use domain::quota::Amounts;
use domain::record::{ReceiptTimes, decode_body};
use domain::tenant::TenantId;
use domain::time::{TimeRange, Timestamp};
use domain::users::{UserNumber, UserSet};
use hashbrown::{HashMap, HashSet};
use ports::ledger::Received;

pub(crate) use fold::{FreshEvent, FreshRecord, RequestEntry};
pub(crate) use rows::MemtableRows;
pub(crate) use windows::{WindowView, WindowsSum};

use crate::activity::{DayUsers, UserEventFilter};
use crate::dedup::{FirstSeen, IdHash};
use crate::intern::{Interner, Symbol};

/// Memory that one event takes beside its bytes, about: its reference and its id.
const EVENT_OVERHEAD_BYTES: usize = 104;
/// Memory that one group, window or rollup takes, about.
const ENTRY_OVERHEAD_BYTES: usize = 192;
/// Memory that one user takes on one day, about, in a set that grows.
const USER_DAY_BYTES: usize = 8;
/// The user of an event without one.
const NO_USER: u32 = u32::MAX;

/// A record that events of the memtable are read from.
#[derive(Debug)]
struct MemtableRecord {
    seq: Seq,
    times: ReceiptTimes,
    payload: Bytes,
}

/// Where an event's body stands in its record.
#[derive(Debug, Clone, Copy)]
struct EventRef {
    time: Timestamp,
    record: u32,
    offset: u32,
    len: u32,
    user: u32,
    index: u16,
}

impl EventRef {
    fn user(&self) -> Option<UserNumber> {
        (self.user != NO_USER).then_some(UserNumber(self.user))
    }
}

/// Users of one tenant that no earlier memtable had: the events that brought them, numbered from
/// `first` on.
#[derive(Debug)]
struct NewUserRefs {
    first: u32,
    events: Vec<u32>,
}

/// One customer of one tenant.
#[derive(Debug)]
struct Group {
    tenant: Symbol,
    customer: Symbol,
    events: Vec<u32>,
    windows: Vec<u32>,
}

/// The sums of one window, breakdowns in order of symbol.
#[derive(Debug)]
struct WindowSums {
    start: Timestamp,
    numbers: SumNumbers,
    by_endpoint: Vec<(Symbol, Slice)>,
    by_model: Vec<(Symbol, Slice)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct RollupSymbols {
    tenant: Symbol,
    project: Option<Symbol>,
    kind: Symbol,
    hour: Timestamp,
}

/// Records that are applied and not flushed, with what is counted of them.
#[derive(Debug, Default)]
pub(crate) struct Memtable {
    records: Vec<MemtableRecord>,
    events: Vec<EventRef>,
    names: Interner,
    groups: Vec<Group>,
    group_of: HashMap<(Symbol, Symbol), u32>,
    windows: Vec<WindowSums>,
    window_of: HashMap<(u32, Timestamp), u32>,
    rollups: HashMap<RollupSymbols, Totals>,
    /// The ids of events, and the keys of requests.
    ids: HashMap<IdHash, FirstSeen>,
    /// Whether any id has a payload hash of the first rule.
    holds_former_ids: bool,
    new_users: HashMap<Symbol, NewUserRefs>,
    day_users: HashMap<Symbol, DayUsers>,
    received: received::ReceivedSums,
    span: Option<(Seq, Seq)>,
    bytes: usize,
}

/// An applied event with what its record says of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MemtableEvent<'m> {
    pub(crate) position: Position,
    pub(crate) times: ReceiptTimes,
    pub(crate) user: Option<UserNumber>,
    pub(crate) event: EventView<'m>,
}

/// The partial aggregate of a window.
#[derive(Debug, Clone)]
pub(crate) struct Partial {
    pub(crate) start: Timestamp,
    pub(crate) first_received: Timestamp,
    pub(crate) last_received: Timestamp,
    pub(crate) aggregate: Aggregate,
}

impl Partial {
    /// The aggregate of nothing; neutral in `merge`.
    pub(crate) fn empty(start: Timestamp) -> Self {
        let SumNumbers { first_received, last_received, .. } = SumNumbers::default();
        Self { start, first_received, last_received, aggregate: Aggregate::default() }
    }

    /// All but the breakdowns.
    pub(crate) fn numbers(&self) -> SumNumbers {
        let Self { first_received, last_received, .. } = *self;
        SumNumbers { totals: self.aggregate.totals, first_received, last_received }
    }

    /// Adds `other`, another part of the same aggregate.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.first_received = self.first_received.min(other.first_received);
        self.last_received = self.last_received.max(other.last_received);
        self.aggregate.merge(&other.aggregate);
    }
}

impl Memtable {
    /// An empty one with room for as much as `before` holds: what follows is mostly alike, and tables need
    /// not grow again and again while events are applied.
    pub(crate) fn after(before: &Self) -> Self {
        Self {
            records: Vec::with_capacity(before.records.len()),
            events: Vec::with_capacity(before.events.len()),
            groups: Vec::with_capacity(before.groups.len()),
            group_of: HashMap::with_capacity(before.group_of.len()),
            windows: Vec::with_capacity(before.windows.len()),
            window_of: HashMap::with_capacity(before.window_of.len()),
            rollups: HashMap::with_capacity(before.rollups.len()),
            ids: HashMap::with_capacity(before.ids.len()),
            ..Self::default()
        }
    }

    /// Events applied.
    pub(crate) fn len(&self) -> usize {
        self.events.len()
    }

    /// Memory taken, about, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// First and last record applied, also those without a fresh event.
    pub(crate) fn span(&self) -> Option<(Seq, Seq)> {
        self.span
    }

    /// Earliest and latest time of its events.
    pub(crate) fn times(&self) -> Option<(Timestamp, Timestamp)> {
        let times = self.events.iter().map(|event| event.time);
        Some((times.clone().min()?, times.max()?))
    }

    /// The first sighting of an id.
    pub(crate) fn find_id(&self, hash: IdHash) -> Option<FirstSeen> {
        self.ids.get(&hash).copied()
    }

    /// Whether an earlier release may have known a `CloudEvent` under one of the ids.
    pub(crate) fn holds_former_ids(&self) -> bool {
        self.holds_former_ids
    }

    /// All ids, also those of requests, in order of hash.
    pub(crate) fn sorted_ids(&self) -> Vec<(IdHash, FirstSeen)> {
        let mut ids: Vec<_> = self.ids.iter().map(|(hash, seen)| (*hash, *seen)).collect();
        ids.sort_unstable_by_key(|(hash, _)| *hash);
        ids
    }

    /// The groups in order of (tenant, customer).
    pub(crate) fn sorted_groups(&self) -> Vec<GroupView<'_>> {
        let mut groups: Vec<_> = self.groups.iter().map(|group| GroupView { table: self, group }).collect();
        groups.sort_unstable_by_key(|view| (view.tenant(), view.customer()));
        groups
    }

    /// The groups of one tenant, in no order.
    pub(crate) fn groups_of<'m>(&'m self, tenant: &TenantId) -> impl Iterator<Item = GroupView<'m>> + use<'m> {
        let tenant = self.names.find(tenant.as_str());
        let groups = self.groups.iter().filter(move |group| Some(group.tenant) == tenant);
        groups.map(|group| GroupView { table: self, group })
    }

    /// One customer's group.
    pub(crate) fn group(&self, tenant: &TenantId, customer: &str) -> Option<GroupView<'_>> {
        let key = (self.names.find(tenant.as_str())?, self.names.find(customer)?);
        let group = self.groups.get(*self.group_of.get(&key)? as usize)?;
        Some(GroupView { table: self, group })
    }

    /// The rollups: (tenant, project, type, hour) and sums, in no order.
    pub(crate) fn rollups(&self) -> impl Iterator<Item = (&str, &str, &str, Timestamp, &Totals)> {
        self.rollups.iter().map(|(key, totals)| {
            let project = key.project.map_or("", |project| self.names.text(project));
            (self.names.text(key.tenant), project, self.names.text(key.kind), key.hour, totals)
        })
    }

    /// What was received: (tenant, customer or the empty text, quarter, how much), in no order.
    pub(crate) fn received(&self) -> impl Iterator<Item = (&str, &str, Timestamp, &Amounts)> {
        self.received.iter().map(|((tenant, customer, quarter), amounts)| {
            let customer = customer.map_or("", |customer| self.names.text(customer));
            (self.names.text(*tenant), customer, *quarter, amounts)
        })
    }

    /// What was received of a tenant in the quarters that begin inside `range`.
    pub(crate) fn received_of(&self, tenant: &TenantId, range: TimeRange) -> Received {
        let mut received = Received::default();
        let mine = self.received().filter(|(of, _, quarter, _)| *of == tenant.as_str() && range.contains(*quarter));
        mine.for_each(|(_, customer, _, amounts)| received.add(customer, amounts));
        received
    }

    /// The names in the breakdowns: (tenant, dimension, name), in no order.
    pub(crate) fn breakdown_names(&self) -> impl Iterator<Item = (&str, Dimension, &str)> {
        // Few names are in many windows: they are told apart by number before their texts are looked at.
        let mut seen = HashSet::new();
        for group in &self.groups {
            for window in group.windows.iter().map(|at| &self.windows[*at as usize]) {
                let endpoints = window.by_endpoint.iter().map(|(name, _)| (group.tenant, Dimension::Endpoint, *name));
                seen.extend(
                    endpoints.chain(window.by_model.iter().map(|(name, _)| (group.tenant, Dimension::Model, *name))),
                );
            }
        }
        seen.into_iter().map(|(tenant, dimension, name)| (self.names.text(tenant), dimension, self.names.text(name)))
    }

    /// The event at `position`.
    pub(crate) fn event_at(&self, position: Position) -> Option<MemtableEvent<'_>> {
        let of = |event: &EventRef| Position::new(self.records[event.record as usize].seq, event.index);
        let at = self.events.binary_search_by_key(&position, of).ok()?;
        self.event_of(&self.events[at])
    }

    /// Users that no earlier memtable had: (tenant, first number, their names), in no order.
    pub(crate) fn new_users(&self) -> impl Iterator<Item = (&str, u32, impl Iterator<Item = &str>)> {
        self.new_users.iter().map(|(tenant, new)| {
            let names = new.events.iter().map(|at| self.user_of(*at).unwrap_or(""));
            (self.names.text(*tenant), new.first, names)
        })
    }

    /// The names of those of these users whose first events are here.
    pub(crate) fn user_names(&self, tenant: &TenantId, users: &[UserNumber]) -> Vec<Option<String>> {
        let new = self.names.find(tenant.as_str()).and_then(|tenant| self.new_users.get(&tenant));
        let name = |user: &UserNumber| {
            let new = new?;
            let at = new.events.get(user.0.checked_sub(new.first)? as usize)?;
            self.user_of(*at).map(str::to_owned)
        };
        users.iter().map(name).collect()
    }

    /// Who was active on which day: per tenant, in no order.
    pub(crate) fn day_users(&self) -> impl Iterator<Item = (&str, &DayUsers)> {
        self.day_users.iter().map(|(tenant, users)| (self.names.text(*tenant), users))
    }

    /// The users of a tenant who were active on these days, cheaply: a lock may be held meanwhile.
    pub(crate) fn share_active(
        &self,
        tenant: &TenantId,
        filter: &UserEventFilter<'_>,
        days: DayRange,
    ) -> Vec<(Day, Arc<UserSet>)> {
        let users = self.names.find(tenant.as_str()).and_then(|tenant| self.day_users.get(&tenant));
        let wanted = users.zip(filter.find(&self.names));
        wanted.map(|(users, wanted)| users.share(&wanted, days)).unwrap_or_default()
    }

    /// The names that symbols stand for.
    pub(crate) fn interner(&self) -> &Interner {
        &self.names
    }

    fn user_of(&self, event: u32) -> Option<&str> {
        self.event_of(self.events.get(event as usize)?)?.event.user
    }

    fn event_of(&self, event_ref: &EventRef) -> Option<MemtableEvent<'_>> {
        let record = &self.records[event_ref.record as usize];
        let body = record.payload.get(event_ref.offset as usize..(event_ref.offset + event_ref.len) as usize)?;
        let position = Position::new(record.seq, event_ref.index);
        let event = decode_body(body).ok()?;
        Some(MemtableEvent { position, times: record.times, user: event_ref.user(), event })
    }
}

/// One customer's part of a memtable.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GroupView<'m> {
    table: &'m Memtable,
    group: &'m Group,
}

impl<'m> GroupView<'m> {
    pub(crate) fn tenant(&self) -> &'m str {
        self.table.names.text(self.group.tenant)
    }

    pub(crate) fn customer(&self) -> &'m str {
        self.table.names.text(self.group.customer)
    }

    /// Events whose time lies in `range`, in order of position, not decoded yet.
    pub(crate) fn events(&self, range: TimeRange) -> impl Iterator<Item = EventHandle<'m>> + use<'m> {
        let table = self.table;
        let refs = self.group.events.iter().map(|at| &table.events[*at as usize]);
        refs.filter(move |event| range.contains(event.time)).map(|event| EventHandle { table, event })
    }

    /// All events in order of (time, position).
    pub(crate) fn sorted_events(&self) -> impl Iterator<Item = MemtableEvent<'m>> + use<'m> {
        let table = self.table;
        let mut events: Vec<_> = self.group.events.iter().map(|at| (table.events[*at as usize].time, *at)).collect();
        events.sort_unstable();
        events.into_iter().filter_map(|(_, at)| table.event_of(&table.events[at as usize]))
    }
}

/// An event that outlives its memtable, not decoded yet.
#[derive(Debug, Clone)]
pub(crate) struct SharedEvent {
    payload: Bytes,
    offset: u32,
    len: u32,
    user: Option<UserNumber>,
}

impl SharedEvent {
    /// The event and its user's number.
    pub(crate) fn decode(&self) -> Option<(EventView<'_>, Option<UserNumber>)> {
        let body = self.payload.get(self.offset as usize..(self.offset + self.len) as usize)?;
        Some((decode_body(body).ok()?, self.user))
    }
}

/// An event of a memtable, not decoded yet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EventHandle<'m> {
    table: &'m Memtable,
    event: &'m EventRef,
}

impl<'m> EventHandle<'m> {
    pub(crate) fn time(&self) -> Timestamp {
        self.event.time
    }

    pub(crate) fn position(&self) -> Position {
        Position::new(self.table.records[self.event.record as usize].seq, self.event.index)
    }

    pub(crate) fn user(&self) -> Option<UserNumber> {
        self.event.user()
    }

    pub(crate) fn decode(&self) -> Option<MemtableEvent<'m>> {
        self.table.event_of(self.event)
    }

    /// The event on its own, so that it can be decoded without holding the memtable.
    pub(crate) fn share(&self) -> SharedEvent {
        let EventRef { record, offset, len, .. } = *self.event;
        let payload = self.table.records[record as usize].payload.clone();
        SharedEvent { payload, offset, len, user: self.event.user() }
    }
}
