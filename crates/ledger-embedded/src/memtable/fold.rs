//! Folding fresh events into a memtable. Everything that could fail has been checked before: folding
//! one record is all or nothing because nothing in it can fail.

use bytes::Bytes;
use domain::aggregate::{Slice, Totals};
use domain::calendar::Zone;
use domain::event::EventView;
use domain::payload::{HashRule, PayloadHash};
use domain::position::{Position, Seq};
use domain::quota::{Amounts, quarter_of};
use domain::record::{EventIdentity, ReceiptTimes};
use domain::rollup::hour_of;
use domain::tenant::TenantId;
use domain::time::Timestamp;
use domain::users::UserNumber;
use domain::window::WindowRule;
use hashbrown::HashSet;

use super::received::ReceivedKey;
use super::{
    ENTRY_OVERHEAD_BYTES, EVENT_OVERHEAD_BYTES, EventRef, Group, Memtable, MemtableRecord, NO_USER, NewUserRefs,
    RollupSymbols, SumNumbers, USER_DAY_BYTES, WindowSums,
};
use crate::activity::DayUsers;
use crate::dedup::{FirstSeen, IdHash};
use crate::intern::Symbol;
use crate::users::Users;

/// A decoded record.
#[derive(Debug)]
pub(crate) struct FreshRecord<'r> {
    pub(crate) seq: Seq,
    pub(crate) tenant: &'r TenantId,
    pub(crate) times: ReceiptTimes,
    pub(crate) payload: &'r Bytes,
    /// Its key, if nothing flushed has it.
    pub(crate) request: Option<RequestEntry>,
    /// The tenant's customers that are counted by receive time.
    pub(crate) metered: Option<&'r HashSet<String>>,
}

/// The key of a request that may be repeated.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RequestEntry {
    /// Hash of the id that names the request.
    pub(crate) hash: IdHash,
    /// Hash of its body.
    pub(crate) body: PayloadHash,
}

/// An event of a record, with what dedup needs.
#[derive(Debug)]
pub(crate) struct FreshEvent<'r> {
    pub(crate) index: u16,
    pub(crate) offset: usize,
    pub(crate) len: usize,
    pub(crate) hash: IdHash,
    /// Hash of the id under which an earlier release would have taken it.
    pub(crate) former: Option<IdHash>,
    pub(crate) identity: EventIdentity<'r>,
    /// Hash of the name of the event's user.
    pub(crate) user: Option<IdHash>,
    pub(crate) event: EventView<'r>,
}

impl FreshEvent<'_> {
    /// Whether what an earlier release saw under the former id was this event.
    pub(crate) fn was(&self, seen: &FirstSeen) -> bool {
        self.identity.former.is_some_and(|former| seen.payload.is_of_former(former.payload))
    }
}

impl Memtable {
    /// Says that a record has been applied, whether or not it had fresh events.
    pub(crate) fn cover(&mut self, seq: Seq) {
        self.span = Some((self.span.map_or(seq, |(first, _)| first), seq));
    }

    /// Folds the events of a record that were not seen before, in order of index.
    pub(crate) fn fold<'r>(
        &mut self,
        record: &FreshRecord<'r>,
        fresh: impl Iterator<Item = &'r FreshEvent<'r>> + Clone,
        rule: WindowRule,
        users: &mut Users,
        zone: Option<&Zone>,
    ) {
        let tenant = self.intern(record.tenant.as_str());
        self.receive(tenant, record, fresh.clone());
        let mut numbers = users.of_tenant(record.tenant);
        let mut day_users = self.day_users.remove(&tenant).unwrap_or_else(|| DayUsers::new(zone.cloned()));
        let record_at = to_u32(self.records.len());
        let before = self.events.len();
        for event in fresh {
            let seen = FirstSeen { position: Position::new(record.seq, event.index), payload: event.identity.payload };
            self.ids.insert(event.hash, seen);
            self.holds_former_ids |= seen.payload.rule == HashRule::EncodedBody;
            let user = event.user.map(|user| numbers.number(user));
            if let Some((number, true)) = user {
                self.note_user(tenant, number);
            }
            let user = user.map(|(number, _)| number);
            let (project, kind) = self.fold_event(tenant, record_at, record.times, event, user, rule);
            if let Some(user) = user {
                let new = day_users.add(event.event.time, project, kind, user);
                self.bytes += USER_DAY_BYTES + usize::from(new) * ENTRY_OVERHEAD_BYTES;
            }
        }
        self.day_users.insert(tenant, day_users);
        if self.events.len() > before {
            if let Some(request) = record.request {
                self.note_request(record.seq, request);
            }
            self.bytes += record.payload.len();
            let payload = record.payload.clone();
            self.records.push(MemtableRecord { seq: record.seq, times: record.times, payload });
        }
    }

    fn fold_event(
        &mut self,
        tenant: Symbol,
        record: u32,
        times: ReceiptTimes,
        fresh: &FreshEvent<'_>,
        user: Option<UserNumber>,
        rule: WindowRule,
    ) -> (Option<Symbol>, Symbol) {
        let event = &fresh.event;
        let group = self.group_at(tenant, event.customer.unwrap_or(""));
        let at = to_u32(self.events.len());
        let (offset, len) = (to_u32(fresh.offset), to_u32(fresh.len));
        let user = user.map_or(NO_USER, |user| user.0);
        self.events.push(EventRef { time: event.time, record, offset, len, user, index: fresh.index });
        self.groups[group as usize].events.push(at);
        self.bytes += EVENT_OVERHEAD_BYTES;

        let late = rule.is_late(event.time, times.late_from());
        let totals = Totals::of(&event.usage, late);
        let slice = Slice::of(&event.usage);
        let endpoint = event.endpoint.map(|endpoint| self.intern(endpoint));
        let model = event.usage.model.map(|model| self.intern(model));
        let window = self.window_at(group, rule.start_of(event.time));
        window.numbers.merge(&SumNumbers {
            totals,
            first_received: times.received_at,
            last_received: times.received_at,
        });
        let mut slices = 0;
        slices += endpoint.map_or(0, |endpoint| add_slice(&mut window.by_endpoint, endpoint, &slice));
        slices += model.map_or(0, |model| add_slice(&mut window.by_model, model, &slice));
        self.bytes += slices * size_of::<(Symbol, Slice)>();

        let project = event.project.filter(|project| !project.is_empty()).map(|project| self.intern(project));
        let kind = self.intern(event.kind);
        let key = RollupSymbols { tenant, project, kind, hour: hour_of(event.time) };
        let rollups = self.rollups.len();
        self.rollups.entry(key).or_default().merge(&totals);
        self.bytes += (self.rollups.len() - rollups) * ENTRY_OVERHEAD_BYTES;
        (project, kind)
    }

    /// Remembers the key of a request whose events were counted, with the ids: an entry with a rule that no
    /// event has. The first one stands.
    fn note_request(&mut self, seq: Seq, request: RequestEntry) {
        let seen = FirstSeen { position: Position::new(seq, 0), payload: request.body };
        self.ids.entry(request.hash).or_insert(seen);
        self.bytes += EVENT_OVERHEAD_BYTES;
    }

    /// Says that the next event is the first of a user.
    fn note_user(&mut self, tenant: Symbol, number: UserNumber) {
        let first = NewUserRefs { first: number.0, events: Vec::new() };
        let new = self.new_users.entry(tenant).or_insert(first);
        new.events.push(to_u32(self.events.len()));
        self.bytes += size_of::<u32>();
    }

    /// Adds what a record has brought to the sums by receive time.
    fn receive<'r>(
        &mut self,
        tenant: Symbol,
        record: &FreshRecord<'r>,
        fresh: impl Iterator<Item = &'r FreshEvent<'r>>,
    ) {
        let quarter = quarter_of(record.times.received_at);
        let mut all = Amounts::default();
        for FreshEvent { event, .. } in fresh {
            let amounts = Amounts::of(event);
            all.add(&amounts);
            let is_metered = |customer: &&str| record.metered.is_some_and(|metered| metered.contains(*customer));
            if let Some(customer) = event.customer.filter(is_metered) {
                let customer = self.intern(customer);
                self.add_received((tenant, Some(customer), quarter), &amounts);
            }
        }
        if all.events > 0 {
            self.add_received((tenant, None, quarter), &all);
        }
    }

    fn add_received(&mut self, key: ReceivedKey, amounts: &Amounts) {
        if self.received.add(key, amounts) {
            self.bytes += ENTRY_OVERHEAD_BYTES;
        }
    }

    fn intern(&mut self, text: &str) -> Symbol {
        let (symbol, new) = self.names.intern(text);
        if new {
            self.bytes += text.len() + ENTRY_OVERHEAD_BYTES / 2;
        }
        symbol
    }

    fn group_at(&mut self, tenant: Symbol, customer: &str) -> u32 {
        let customer = self.intern(customer);
        if let Some(group) = self.group_of.get(&(tenant, customer)) {
            return *group;
        }
        let group = to_u32(self.groups.len());
        self.groups.push(Group { tenant, customer, events: Vec::new(), windows: Vec::new() });
        self.group_of.insert((tenant, customer), group);
        self.bytes += ENTRY_OVERHEAD_BYTES;
        group
    }

    fn window_at(&mut self, group: u32, start: Timestamp) -> &mut WindowSums {
        let new = to_u32(self.windows.len());
        let at = *self.window_of.entry((group, start)).or_insert(new);
        if at == new {
            let (by_endpoint, by_model) = (Vec::new(), Vec::new());
            self.windows.push(WindowSums { start, numbers: SumNumbers::default(), by_endpoint, by_model });
            self.groups[group as usize].windows.push(at);
            self.bytes += ENTRY_OVERHEAD_BYTES;
        }
        &mut self.windows[at as usize]
    }
}

/// Adds to a breakdown in order of symbol; returns how many slices are new.
pub(super) fn add_slice(slices: &mut Vec<(Symbol, Slice)>, name: Symbol, slice: &Slice) -> usize {
    match slices.binary_search_by_key(&name, |(known, _)| *known) {
        Ok(at) => {
            slices[at].1.merge(slice);
            0
        }
        Err(at) => {
            slices.insert(at, (name, *slice));
            1
        }
    }
}

/// A memtable is flushed long before it holds 2^32 of anything.
fn to_u32(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
