//! Everything a ledger can be asked about one tenant, read page by page, to compare two ledgers.

use std::collections::BTreeSet;
use std::fmt::Debug;

use domain::admit::Dimension;
use domain::aggregate::Totals;
use domain::event::EventId;
use domain::invariant::Invariant;
use domain::position::EventPosition;
use domain::series::SeriesPoint;
use domain::tenant::TenantScope;
use domain::time::{MICROS_PER_DAY, TimeRange, Timestamp};
use ports::PortError;
use ports::analytics::Analytics;
use ports::ledger::{Ledger, Sighting};
use ports::reports::{
    Customer, CustomerUsage, EventFilter, EventQuery, Order, Reports, StoredEvent, Window, WindowQuery,
};
use ports::testing::ledger::hours::hour_sums;

use crate::client::CUSTOMERS;
use crate::violation::{Violation, hold};

/// Rows on a page; a long story fills several.
const ROWS_LIMIT: usize = 40;

/// One tenant's data, as a ledger tells it.
#[derive(Debug)]
pub(crate) struct Answers {
    pub(crate) windows: Vec<Window>,
    events: Vec<StoredEvent>,
    /// The sighting of each id asked for.
    pub(crate) seen: Vec<Option<Sighting>>,
    /// The sighting of each key asked for.
    requests: Vec<Option<Sighting>>,
    customers: Vec<Customer>,
    usage: Vec<Option<CustomerUsage>>,
    hours: Vec<SeriesPoint>,
    names: Vec<(Dimension, String)>,
}

impl Answers {
    /// Asks for everything of `scope`, with live counters at `now` and sightings of ids and keys.
    pub(crate) async fn of(
        ledger: &dyn Ledger,
        reports: &dyn Reports,
        analytics: &dyn Analytics,
        scope: &TenantScope,
        now: Timestamp,
        (ids, keys): (&[&str], &[EventId<'_>]),
    ) -> Result<Self, PortError> {
        let of_tenant = ledger.names().into_iter().filter(|(tenant, ..)| tenant == scope.tenant());
        let mut names: Vec<_> = of_tenant.map(|(_, dimension, name)| (dimension, name)).collect();
        names.sort_unstable();
        Ok(Self {
            windows: windows(reports, scope).await?,
            customers: customers(reports, scope).await?,
            usage: usage(reports, scope, now).await?,
            hours: hour_sums(analytics, scope, TimeRange::ALL).await?,
            events: events(reports, scope).await?,
            requests: ledger.seen_exactly(scope, keys).await?,
            seen: ledger.seen(scope, &ports::testing::ledger::records::ids(ids)).await,
            names,
        })
    }

    /// How many events the windows count.
    pub(crate) fn calls(&self) -> u64 {
        self.windows.iter().map(|window| window.aggregate.totals.calls).sum()
    }

    /// Holds these answers to be those of the oracle, and to agree among themselves. Raw events before
    /// `floor` may be gone.
    pub(crate) fn check(&self, oracle: &Self, floor: Timestamp) -> Result<(), Violation> {
        let listed: BTreeSet<EventPosition> = self.events.iter().map(|event| event.position).collect();
        let expected = oracle.events.iter().filter(|event| event.time >= floor || listed.contains(&event.position));
        same("event", &self.events, &expected.cloned().collect::<Vec<_>>())?;
        same("window", &self.windows, &oracle.windows)?;
        same("customer", &self.customers, &oracle.customers)?;
        same("usage", &self.usage, &oracle.usage)?;
        same("hour", &self.hours, &oracle.hours)?;
        same("sighting", &self.seen, &oracle.seen)?;
        same("key", &self.requests, &oracle.requests)?;
        same("name", &self.names, &oracle.names)?;
        let (mut of_windows, mut of_hours) = (Totals::default(), Totals::default());
        // Sums of hours do not say how many events were late; the audit compares what is stored.
        self.windows.iter().for_each(|window| of_windows.merge(&Totals { late: 0, ..window.aggregate.totals }));
        self.hours.iter().for_each(|hour| of_hours.merge(&hour.totals));
        hold(Invariant::OneTruth, of_windows == of_hours, || {
            format!("the windows give {of_windows:?} and the hours {of_hours:?}")
        })
    }
}

/// Holds two lists to be equal, and shows where they part.
pub(crate) fn same<T: Debug + PartialEq>(what: &str, found: &[T], expected: &[T]) -> Result<(), Violation> {
    let at = (0..found.len().max(expected.len())).find(|at| found.get(*at) != expected.get(*at));
    hold(Invariant::OneTruth, at.is_none(), || {
        let at = at.unwrap_or_default();
        format!("{what} {at} is {:?} and should be {:?}", found.get(at), expected.get(at))
    })
}

async fn events(reports: &dyn Reports, scope: &TenantScope) -> Result<Vec<StoredEvent>, PortError> {
    let filter = EventFilter::default();
    let mut query =
        EventQuery { filter, order: Order::Ascending, after: None, limit: ROWS_LIMIT, bytes_max: usize::MAX };
    let mut rows = Vec::new();
    loop {
        let page = reports.events(scope, &query).await?;
        rows.extend(page.rows);
        query.after = page.next;
        if query.after.is_none() {
            return Ok(rows);
        }
    }
}

/// All windows of a tenant.
pub(crate) async fn windows(reports: &dyn Reports, scope: &TenantScope) -> Result<Vec<Window>, PortError> {
    let mut query = WindowQuery { customer: None, range: TimeRange::ALL, state: None, after: None, limit: ROWS_LIMIT };
    let mut rows = Vec::new();
    loop {
        let page = reports.windows(scope, &query).await?;
        rows.extend(page.rows);
        query.after = page.next;
        if query.after.is_none() {
            return Ok(rows);
        }
    }
}

async fn customers(reports: &dyn Reports, scope: &TenantScope) -> Result<Vec<Customer>, PortError> {
    let page = reports.customers(scope, None, CUSTOMERS.len() + 1).await?;
    Ok(page.rows)
}

async fn usage(
    reports: &dyn Reports,
    scope: &TenantScope,
    now: Timestamp,
) -> Result<Vec<Option<CustomerUsage>>, PortError> {
    let start = now.floor_to(MICROS_PER_DAY);
    let day = TimeRange::new(start, start.plus_micros(MICROS_PER_DAY)).unwrap_or(TimeRange::ALL);
    let mut usage = Vec::new();
    for customer in CUSTOMERS.into_iter().chain([""]) {
        usage.push(reports.usage(scope, customer, now, day).await?);
    }
    Ok(usage)
}
