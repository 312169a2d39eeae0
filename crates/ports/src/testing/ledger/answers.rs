//! The answers of [`MemoryLedger`]: each is computed from the list of counted events alone.

use std::collections::BTreeMap;

use async_trait::async_trait;
use domain::aggregate::Aggregate;
use domain::event::{EventId, EventView, Usage};
use domain::position::Seq;
use domain::tenant::TenantScope;
use domain::time::{TimeRange, Timestamp};
use domain::window::revision;

use super::erasures::ERASED;
use super::{Counted, MemoryLedger, State};
use crate::PortError;
use crate::reports::{
    Customer, CustomerUsage, EventCursor, EventFilter, EventQuery, Order, Page, Reports, StoredEvent, Window,
    WindowQuery,
};

impl State {
    pub(super) fn of<'s>(&'s self, scope: &'s TenantScope) -> impl Iterator<Item = &'s Counted> {
        self.events.iter().filter(|counted| counted.tenant == *scope.tenant())
    }
}

impl Counted {
    /// The customer, empty for none.
    pub(super) fn customer(&self) -> &str {
        self.event.customer.as_deref().unwrap_or_default()
    }

    pub(super) fn usage(&self) -> Usage<'_> {
        Usage {
            tokens: self.event.tokens,
            input_tokens: self.event.input_tokens,
            output_tokens: self.event.output_tokens,
            latency_us: self.event.latency_us,
            model: self.event.model.as_deref(),
            cache_read_tokens: self.event.cache_read_tokens,
            cache_write_tokens: self.event.cache_write_tokens,
            reasoning_tokens: self.event.reasoning_tokens,
        }
    }

    fn view(&self) -> EventView<'_> {
        let event = &self.event;
        EventView {
            id: &event.id,
            id_scheme: event.id_scheme,
            time: event.time,
            kind: &event.kind,
            project: event.project.as_deref(),
            customer: event.customer.as_deref(),
            user: event.user.as_deref(),
            endpoint: event.endpoint.as_deref(),
            properties: event.properties.as_deref(),
            usage: self.usage(),
        }
    }

    fn matches(&self, filter: &EventFilter) -> bool {
        let event = &self.event;
        let is = |wanted: &Option<String>, found: &Option<String>| wanted.is_none() || wanted == found;
        filter.range.contains(event.time)
            && filter.customer.as_ref().is_none_or(|wanted| wanted == self.customer())
            && is(&filter.user, &event.user)
            && filter.kind.as_ref().is_none_or(|wanted| *wanted == event.kind)
            && is(&filter.endpoint, &event.endpoint)
            && is(&filter.project, &event.project)
    }
}

fn sum<'e>(events: impl Iterator<Item = &'e Counted>) -> Aggregate {
    let mut sum = Aggregate::default();
    events.for_each(|counted| sum.fold(&counted.view(), counted.late));
    sum
}

fn page<T, C>(rows: impl Iterator<Item = T>, limit: usize, cursor: impl Fn(&T) -> C) -> Page<T, C> {
    let mut rows: Vec<T> = rows.collect();
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = if more { rows.last().map(cursor) } else { None };
    Page { rows, next }
}

impl MemoryLedger {
    fn window(&self, state: &State, customer: &str, start: Timestamp, aggregate: Aggregate) -> Window {
        let late = aggregate.totals.late;
        Window {
            customer: customer.to_owned(),
            start,
            end: self.rule.end_of(start),
            state: self.rule.state(start, late, state.closed_through),
            revision: revision(late),
            aggregate,
        }
    }

    fn customer(state: &State, scope: &TenantScope, customer: &str) -> Option<Customer> {
        let events = || state.of(scope).filter(|counted| counted.customer() == customer);
        Some(Customer {
            id: customer.to_owned(),
            created: events().map(|counted| counted.event.received_at).min()?,
            updated: events().map(|counted| counted.event.received_at).max()?,
            total: sum(events()),
        })
    }
}

#[async_trait]
impl Reports for MemoryLedger {
    async fn events(
        &self,
        scope: &TenantScope,
        query: &EventQuery,
    ) -> Result<Page<StoredEvent, EventCursor>, PortError> {
        let state = self.ask();
        let cursor = |event: &StoredEvent| EventCursor { time: event.time, position: event.position };
        let mut events: Vec<StoredEvent> = state
            .of(scope)
            .filter(|counted| !counted.erased && counted.matches(&query.filter))
            .map(|c| c.event.clone())
            .collect();
        events.sort_by_key(cursor);
        if query.order == Order::Descending {
            events.reverse();
        }
        let follows = |event: &StoredEvent| match (query.after, query.order) {
            (None, _) => true,
            (Some(after), Order::Ascending) => cursor(event) > after,
            (Some(after), Order::Descending) => cursor(event) < after,
        };
        Ok(page(events.into_iter().filter(follows), query.limit, cursor))
    }

    async fn event(&self, scope: &TenantScope, id: EventId<'_>) -> Result<Option<StoredEvent>, PortError> {
        let state = self.ask();
        Ok(state
            .of(scope)
            .find(|counted| !counted.erased && counted.event.id == id.text && counted.event.id_scheme == id.scheme)
            .map(|counted| counted.event.clone()))
    }

    async fn windows(
        &self,
        scope: &TenantScope,
        query: &WindowQuery,
    ) -> Result<Page<Window, (String, Timestamp)>, PortError> {
        let state = self.ask();
        let mut sums: BTreeMap<(String, Timestamp), Aggregate> = BTreeMap::new();
        for counted in state.of(scope).filter(|counted| !counted.is_of_erased_customer()) {
            let key = (counted.customer().to_owned(), self.rule.start_of(counted.event.time));
            sums.entry(key).or_default().fold(&counted.view(), counted.late);
        }
        let windows = sums
            .into_iter()
            .filter(|(key, _)| query.after.as_ref().is_none_or(|after| key > after))
            .map(|((customer, start), aggregate)| self.window(&state, &customer, start, aggregate))
            .filter(|window| query.customer.as_ref().is_none_or(|customer| *customer == window.customer))
            .filter(|window| query.range.contains(window.start))
            .filter(|window| query.state.is_none_or(|state| state == window.state));
        Ok(page(windows, query.limit, |window| (window.customer.clone(), window.start)))
    }

    async fn customers(
        &self,
        scope: &TenantScope,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<Customer, String>, PortError> {
        let state = self.ask();
        let mut ids: Vec<&str> =
            state.of(scope).map(Counted::customer).filter(|id| !id.is_empty() && *id != ERASED).collect();
        ids.sort_unstable();
        ids.dedup();
        let customers = ids
            .into_iter()
            .filter(|id| after.is_none_or(|after| *id > after))
            .filter_map(|id| Self::customer(&state, scope, id));
        Ok(page(customers, limit, |customer| customer.id.clone()))
    }

    async fn usage(
        &self,
        scope: &TenantScope,
        customer: &str,
        now: Timestamp,
        day: TimeRange,
    ) -> Result<Option<CustomerUsage>, PortError> {
        let state = self.ask();
        let Some(found) = Self::customer(&state, scope, customer) else { return Ok(None) };
        let events = || state.of(scope).filter(|counted| counted.customer() == customer);
        let start = self.rule.start_of(now);
        let current = sum(events().filter(|counted| self.rule.start_of(counted.event.time) == start));
        Ok(Some(CustomerUsage {
            current_window: self.window(&state, customer, start, current),
            day: sum(events().filter(|counted| day.contains(counted.event.time))),
            customer: found,
        }))
    }

    async fn dead_letter_reason(&self, scope: &TenantScope, seq: Seq) -> Result<Option<String>, PortError> {
        let state = self.ask();
        let letter = state.dead_letters.get(&seq).filter(|letter| letter.tenant.as_ref() == Some(scope.tenant()));
        Ok(letter.map(|letter| letter.reason.clone()))
    }
}
