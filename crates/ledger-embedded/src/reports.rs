//! Answers from one consistent state: segments through their page index, both memtables directly, all
//! additive.

mod events;
mod names;
mod sums;

use std::time::Duration;

use async_trait::async_trait;
use domain::event::EventId;
use domain::limits::PAGE_BYTES_MAX;
use domain::position::Seq;
use domain::rollup::hour_of;
use domain::tenant::TenantScope;
use domain::time::{MICROS_PER_HOUR, TimeRange, Timestamp};
use domain::window::revision;
use ports::PortError;
use ports::reports::{
    Customer, CustomerUsage, EventCursor, EventQuery, Page, Reports, StoredEvent, Window, WindowQuery, cut,
};

use tokio_util::sync::CancellationToken;

use crate::core::Core;
use crate::ledger::EmbeddedLedger;
use crate::memtable::Partial;
use crate::segment::grain::Grain;
use sums::{SumQuery, sum, sums_in};

/// Longest time spent on one page before it is answered as far as it is.
const PAGE_TIME_MAX: Duration = Duration::from_secs(5);

impl Core {
    fn window(&self, customer: String, partial: Partial, closed_through: Timestamp) -> Window {
        let rule = self.identity.rule;
        let late = partial.aggregate.totals.late;
        Window {
            customer,
            start: partial.start,
            end: rule.end_of(partial.start),
            state: rule.state(partial.start, late, closed_through),
            revision: revision(late),
            aggregate: partial.aggregate,
        }
    }
}

fn customer(id: String, total: Partial) -> Customer {
    Customer { id, created: total.first_received, updated: total.last_received, total: total.aggregate }
}

#[async_trait]
impl Reports for EmbeddedLedger {
    async fn events(
        &self,
        scope: &TenantScope,
        query: &EventQuery,
    ) -> Result<Page<StoredEvent, EventCursor>, PortError> {
        let (of, query) = (scope.clone(), query.clone());
        self.core.read(move |core, cancelled| core.list_events(&of, &query, cancelled)).await
    }

    async fn event(&self, scope: &TenantScope, id: EventId<'_>) -> Result<Option<StoredEvent>, PortError> {
        let (of, scheme, text) = (scope.clone(), id.scheme, id.text.to_owned());
        self.core.read(move |core, cancelled| core.find_event(&of, EventId { scheme, text: &text }, cancelled)).await
    }

    async fn windows(
        &self,
        scope: &TenantScope,
        query: &WindowQuery,
    ) -> Result<Page<Window, (String, Timestamp)>, PortError> {
        let (of, query) = (scope.clone(), query.clone());
        self.core.read(move |core, cancelled| core.list_windows(&of, &query, cancelled)).await
    }

    async fn customers(
        &self,
        scope: &TenantScope,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<Customer, String>, PortError> {
        let (of, after) = (scope.clone(), after.map(str::to_owned));
        self.core.read(move |core, cancelled| core.list_customers(&of, after, limit, cancelled)).await
    }

    async fn usage(
        &self,
        scope: &TenantScope,
        customer: &str,
        now: Timestamp,
        day: TimeRange,
    ) -> Result<Option<CustomerUsage>, PortError> {
        let (of, customer) = (scope.clone(), customer.to_owned());
        self.core.read(move |core, cancelled| core.usage(&of, customer, (now, day), cancelled)).await
    }

    async fn dead_letter_reason(&self, scope: &TenantScope, seq: Seq) -> Result<Option<String>, PortError> {
        Ok(self.core.manifest.dead_letter(scope, seq).await?.map(|letter| letter.reason))
    }
}

impl Core {
    fn list_windows(
        &self,
        scope: &TenantScope,
        query: &WindowQuery,
        cancelled: &CancellationToken,
    ) -> Result<Page<Window, (String, Timestamp)>, PortError> {
        let mut windows: Vec<Window> = Vec::new();
        let mut after = query.after.clone();
        let deadline = self.clock.monotonic().saturating_add(PAGE_TIME_MAX);
        while windows.len() <= query.limit {
            let wanted = SumQuery {
                scope,
                grain: Grain::Window,
                customer: query.customer.as_deref(),
                range: query.range,
                after: after.as_ref(),
                limit: query.limit + 1,
            };
            let (snapshot, active) = self.view(|active| sums_in(active, &wanted));
            let found = sum(&snapshot, active, &wanted, cancelled)?;
            let of_key = |((customer, _), partial)| self.window(customer, partial, snapshot.closed_through);
            let kept = found.rows.into_iter().map(of_key);
            windows.extend(kept.filter(|window| query.state.is_none_or(|state| state == window.state)));
            after = found.bound;
            if after.is_none() {
                break;
            }
            if self.clock.monotonic() > deadline {
                break;
            }
        }
        let more = cut(&mut windows, query.limit, PAGE_BYTES_MAX, Window::bytes);
        let last = windows.last().filter(|_| more).map(|last| (last.customer.clone(), last.start));
        // A page may be short when its time is over: its cursor goes on where it ended.
        Ok(Page { rows: windows, next: last.or(after) })
    }

    fn list_customers(
        &self,
        scope: &TenantScope,
        after: Option<String>,
        limit: usize,
        cancelled: &CancellationToken,
    ) -> Result<Page<Customer, String>, PortError> {
        // Events without a customer stand under the empty id, which is before every other.
        let mut after = Some((after.unwrap_or_default(), Timestamp::MAX));
        let mut customers: Vec<Customer> = Vec::new();
        while customers.len() <= limit && after.is_some() {
            let wanted = SumQuery {
                scope,
                grain: Grain::Total,
                customer: None,
                range: TimeRange::ALL,
                after: after.as_ref(),
                limit: limit + 1,
            };
            let (snapshot, active) = self.view(|active| sums_in(active, &wanted));
            let found = sum(&snapshot, active, &wanted, cancelled)?;
            customers.extend(found.rows.into_iter().map(|((id, _), total)| customer(id, total)));
            after = found.bound;
        }
        let more = cut(&mut customers, limit, PAGE_BYTES_MAX, Customer::bytes);
        let next = customers.last().filter(|_| more).map(|last| last.id.clone());
        Ok(Page { rows: customers, next })
    }

    fn usage(
        &self,
        scope: &TenantScope,
        id: String,
        (now, day): (Timestamp, TimeRange),
        cancelled: &CancellationToken,
    ) -> Result<Option<CustomerUsage>, PortError> {
        let start = self.identity.rule.start_of(now);
        let current = TimeRange::new(start, self.identity.rule.end_of(start));
        let mut pieces = vec![(Grain::Total, TimeRange::ALL), (Grain::Window, current.unwrap_or(TimeRange::ALL))];
        pieces.extend(pieces_of(day));
        let of = |(grain, range)| SumQuery {
            scope,
            grain,
            customer: Some(id.as_str()),
            range,
            after: None,
            limit: usize::MAX,
        };
        let queries: Vec<_> = pieces.into_iter().map(of).collect();
        let (snapshot, active) =
            self.view(|active| queries.iter().map(|query| sums_in(active, query)).collect::<Vec<_>>());
        let mut sums = Vec::new();
        for (query, active) in queries.iter().zip(active) {
            sums.push(sum(&snapshot, active, query, cancelled)?.total());
        }
        let mut sums = sums.into_iter();
        let Some(total) = sums.next().flatten() else { return Ok(None) };
        let current = sums.next().flatten().unwrap_or_else(|| Partial::empty(start));
        let mut of_day = Partial::empty(day.from());
        sums.flatten().for_each(|piece| of_day.merge(&piece));
        Ok(Some(CustomerUsage {
            current_window: self.window(id.clone(), current, snapshot.closed_through),
            day: of_day.aggregate,
            customer: customer(id, total),
        }))
    }
}

/// A range as whole hours, and windows for what is left at its ends.
fn pieces_of(range: TimeRange) -> Vec<(Grain, TimeRange)> {
    let first = hour_of(range.from().plus_micros(MICROS_PER_HOUR - 1));
    let last = hour_of(range.to());
    let piece = |grain, from, to| {
        TimeRange::new(from, to).filter(|piece| piece.from() < piece.to()).map(|piece| (grain, piece))
    };
    if first > last {
        return piece(Grain::Window, range.from(), range.to()).into_iter().collect();
    }
    let pieces = [
        piece(Grain::Window, range.from(), first),
        piece(Grain::Hour, first, last),
        piece(Grain::Window, last, range.to()),
    ];
    pieces.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::expect_used, reason = "tests")]

    use std::sync::Arc;

    use ports::ledger::Ledger;
    use ports::testing::clock::ManualClock;
    use ports::testing::ledger::records::{at, event, record, scope};

    use super::*;
    use crate::fixture::open;
    use crate::options::LedgerOptions;

    #[tokio::test]
    async fn i6_a_listing_whose_caller_has_left_ends_at_the_next_segment() {
        let options = LedgerOptions { background: false, ..LedgerOptions::default() };
        let ledger = open(options, Arc::new(ManualClock::new(at(0)))).await;
        let record = record(1, &scope("one"), at(0), &[event("1", 0).customer("c")]);
        let applied = ledger.apply(&[record]).await;
        assert!(applied.failed.is_none());
        ledger.flush().await.expect("a segment");
        let windows = WindowQuery { customer: None, range: TimeRange::ALL, state: None, after: None, limit: 1 };
        let (one, core) = (scope("one"), &ledger.core);
        let ends = |cancelled: &CancellationToken| {
            let usage = core.usage(&one, "c".to_owned(), (at(0), TimeRange::ALL), cancelled).is_err();
            let listings = [
                core.list_windows(&one, &windows, cancelled).is_err(),
                core.list_customers(&one, None, 1, cancelled).is_err(),
            ];
            [usage, listings[0], listings[1]]
        };
        let cancelled = CancellationToken::new();
        assert_eq!(ends(&cancelled), [false; 3]);
        drop(cancelled.clone().drop_guard());
        assert_eq!(ends(&cancelled), [true; 3]);
    }

    #[test]
    fn a_range_is_whole_hours_and_its_ends() {
        let at = |minutes: i64| Timestamp::from_micros(minutes * 60_000_000);
        let pieces = |from, to| TimeRange::new(at(from), at(to)).map(pieces_of).unwrap_or_default();
        let piece = |grain, from, to| TimeRange::new(at(from), at(to)).map(|range| (grain, range));
        assert_eq!(pieces(0, 120), Vec::from_iter(piece(Grain::Hour, 0, 120)));
        let ends = [piece(Grain::Window, 30, 60), piece(Grain::Hour, 60, 120), piece(Grain::Window, 120, 150)];
        assert_eq!(pieces(30, 150), ends.into_iter().flatten().collect::<Vec<_>>());
        assert_eq!(pieces(10, 20), Vec::from_iter(piece(Grain::Window, 10, 20)));
        assert_eq!(pieces(10, 60), Vec::from_iter(piece(Grain::Window, 10, 60)));
    }
}
