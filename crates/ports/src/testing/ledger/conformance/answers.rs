//! Everything a ledger can be asked about one tenant, to compare two ledgers or one with itself.

use std::fmt::Debug;

use domain::admit::Dimension;
use domain::position::{EventPosition, Seq};
use domain::series::SeriesPoint;
use domain::tenant::TenantScope;
use domain::time::{MICROS_PER_DAY, TimeRange, Timestamp};
use domain::window::WindowState;

use crate::analytics::Analytics;
use crate::ledger::{Ledger, Sighting};
use crate::reports::{
    Customer, CustomerUsage, EventCursor, EventFilter, EventQuery, Order, Page, Reports, StoredEvent, Window,
    WindowQuery,
};
use crate::testing::ledger::hours::hour_sums;

/// One tenant's data, as a ledger tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answers {
    pub(super) events: Vec<StoredEvent>,
    pub(super) windows: Vec<Window>,
    pub(super) customers: Vec<Customer>,
    pub(super) usage: Vec<Option<CustomerUsage>>,
    pub(super) hours: Vec<SeriesPoint>,
    pub(super) seen: Vec<Option<Sighting>>,
    pub(super) names: Vec<(Dimension, String)>,
}

impl Answers {
    /// Asks for everything of `scope`, with live counters of `customers` at `now`.
    pub(super) async fn of<L: Ledger + Reports + Analytics>(
        ledger: &L,
        scope: &TenantScope,
        customers: &[&str],
        now: Timestamp,
    ) -> Self {
        let events = events(ledger, scope, EventFilter::default(), Order::Ascending, 7).await;
        let event_ids: Vec<&str> = events.iter().map(|event| event.id.as_str()).collect();
        let seen = ledger.seen(scope, &crate::testing::ledger::records::ids(&event_ids)).await;
        let day = now.floor_to(MICROS_PER_DAY);
        let day = TimeRange::new(day, day.plus_micros(MICROS_PER_DAY)).expect("a day");
        let mut usage = Vec::new();
        for customer in customers {
            usage.push(ledger.usage(scope, customer, now, day).await.expect("usage"));
        }
        let of_tenant = ledger.names().into_iter().filter(|(tenant, ..)| tenant == scope.tenant());
        let mut names: Vec<_> = of_tenant.map(|(_, dimension, name)| (dimension, name)).collect();
        names.sort_unstable();
        Self {
            windows: windows(ledger, scope, &window_query(), 3).await,
            customers: self::customers(ledger, scope, 2).await,
            hours: hour_sums(ledger, scope, TimeRange::ALL).await.expect("sums of hours"),
            events,
            usage,
            seen,
            names,
        }
    }

    /// These answers without what depends on the order of records.
    pub(super) fn without_positions(mut self) -> Self {
        for event in &mut self.events {
            event.position = EventPosition::from_bytes([0; EventPosition::BYTES]);
        }
        let (mut events, seen) = (self.events, self.seen);
        let mut both: Vec<_> = events.drain(..).zip(seen).collect();
        both.sort_by(|(left, _), (right, _)| (left.time, &left.id).cmp(&(right.time, &right.id)));
        (self.events, self.seen) = both.into_iter().unzip();
        self.seen.iter_mut().flatten().for_each(|sighting| sighting.seq = Seq::ZERO);
        self
    }
}

/// All events that match, fetched in pages of `limit`.
pub(super) async fn events<R: Reports>(
    reports: &R,
    scope: &TenantScope,
    filter: EventFilter,
    order: Order,
    limit: usize,
) -> Vec<StoredEvent> {
    let mut query = EventQuery { filter, order, after: None, limit, bytes_max: usize::MAX };
    let mut rows = Vec::new();
    loop {
        let page = reports.events(scope, &query).await.expect("events");
        check_page(&page, limit, rows.len());
        if let (Some(next), Some(last)) = (page.next, page.rows.last()) {
            assert_eq!(next, EventCursor { time: last.time, position: last.position });
        }
        rows.extend(page.rows);
        query.after = page.next;
        if query.after.is_none() {
            return rows;
        }
    }
}

/// All windows that match, fetched in pages of `limit`.
pub(super) async fn windows<R: Reports>(
    reports: &R,
    scope: &TenantScope,
    query: &WindowQuery,
    limit: usize,
) -> Vec<Window> {
    let mut query = WindowQuery { limit, ..query.clone() };
    let mut rows = Vec::new();
    loop {
        let page = reports.windows(scope, &query).await.expect("windows");
        check_page(&page, limit, rows.len());
        rows.extend(page.rows);
        query.after = page.next;
        if query.after.is_none() {
            return rows;
        }
    }
}

/// All customers, fetched in pages of `limit`.
pub(super) async fn customers<R: Reports>(reports: &R, scope: &TenantScope, limit: usize) -> Vec<Customer> {
    let mut rows = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = reports.customers(scope, after.as_deref(), limit).await.expect("customers");
        check_page(&page, limit, rows.len());
        rows.extend(page.rows);
        after = page.next;
        if after.is_none() {
            return rows;
        }
    }
}

/// A page is full when there is a next one, and the next one is never empty. `earlier` rows were on
/// the pages before.
fn check_page<T: Debug, C: Debug>(page: &Page<T, C>, limit: usize, earlier: usize) {
    assert!(page.rows.len() <= limit, "{} rows on a page of {limit}", page.rows.len());
    assert!(earlier == 0 || !page.rows.is_empty(), "an empty page after {earlier} rows");
    if page.next.is_some() {
        assert_eq!(page.rows.len(), limit, "a page with a next one is full");
    }
}

/// Every window.
pub(super) fn window_query() -> WindowQuery {
    WindowQuery { customer: None, range: TimeRange::ALL, state: None, after: None, limit: 1_000 }
}

/// Every state a window can be in.
pub(super) const STATES: [WindowState; 3] = [WindowState::Open, WindowState::Closed, WindowState::Revised];
