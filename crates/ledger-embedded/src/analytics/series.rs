//! A series, by whatever answers it: [`Source`].

use std::collections::BTreeSet;

use domain::rollup::{Rollup, hour_of};
use domain::series::{FACETS, Facet, NONE, Named, Points, SeriesQuery, Source, Spans, Summed, Symbols};
use domain::tenant::TenantScope;
use domain::time::{TimeRange, Timestamp};
use ports::PortError;
use ports::manifest::HourSumsQuery;
use tokio_util::sync::CancellationToken;

use super::hours::{HourQuery, HourSums};
use super::residuals::scan_residuals;
use super::rows::{Fields, Rows, add_events};
use super::scan::{
    EventScan, refuse_dropped, refuse_hidden, rollups_in, scan_segments, scan_unflushed, unflushed_events,
};
use crate::core::Core;
use crate::memtable::{Memtable, SharedEvent};
use crate::segment::residuals::{ERASED, ResidualKey};
use crate::state::Snapshot;

/// A series being summed.
struct Series<'q> {
    scope: &'q TenantScope,
    query: &'q SeriesQuery,
    source: Source,
    customer: Option<&'q str>,
    symbols: Symbols,
    points: Points<'q>,
    hours: Spans<'q>,
}

/// What is looked up while the memtable being filled cannot change.
#[derive(Debug)]
pub(crate) struct Unflushed {
    rollups: Vec<Rollup>,
    events: Vec<SharedEvent>,
}

impl Unflushed {
    /// The events without the sums, which the manifest counts.
    pub(super) fn without_sums(self) -> Self {
        Self { rollups: Vec::new(), ..self }
    }
}

impl Core {
    /// A series from raw events alone, or with the hourly sums of customers.
    pub(super) fn series_of_segments(
        &self,
        scope: &TenantScope,
        query: &SeriesQuery,
        source: Source,
        named: Option<&Named>,
        cancelled: &CancellationToken,
    ) -> Result<Summed, PortError> {
        let mut series = Series::new(scope, query, source, named);
        let Source::Customers(breakdown) = source else {
            let (snapshot, active) = self.view(|active| series.unflushed_events(active, |_| true));
            series.add_unflushed(&active)?;
            if let Some(frozen) = &snapshot.frozen {
                series.add_unflushed(&series.unflushed_events(frozen, |_| true))?;
            }
            series.add_raw(&snapshot, &[query.range], cancelled)?;
            return Ok(series.finish());
        };
        let customer = series.customer;
        let of = HourQuery { scope, customer, metric: query.metric, breakdown };
        let (snapshot, active) = self.view(|active| series.add_table(of, active));
        series.add_unflushed(&active?)?;
        if let Some(frozen) = &snapshot.frozen {
            let frozen = series.add_table(of, frozen)?;
            series.add_unflushed(&frozen)?;
        }
        let others = series.sums(of).add_segments(&snapshot, cancelled)?;
        let ranges = series.hours.ranges(&others);
        series.add_raw(&snapshot, &ranges, cancelled)?;
        series.add_erased_customers(&snapshot, cancelled)?;
        Ok(series.finish())
    }

    /// A series from the rollups: `stored` ones, and what was not flushed at that moment.
    pub(super) fn series_of_rollups(
        scope: &TenantScope,
        (query, named): (&SeriesQuery, Option<&Named>),
        stored: &[Rollup],
        unflushed: &[Unflushed],
        snapshot: &Snapshot,
        cancelled: &CancellationToken,
    ) -> Result<Summed, PortError> {
        let mut series = Series::new(scope, query, Source::Rollups, named);
        let mut others = BTreeSet::new();
        for rollup in stored {
            series.add_rollup(rollup, &mut others)?;
        }
        refuse_hidden(snapshot, scope, &series.hours.ranges(&others))?;
        for rollup in unflushed.iter().flat_map(|table| &table.rollups) {
            series.add_rollup(rollup, &mut others)?;
        }
        for table in unflushed {
            series.add_unflushed(&table.events)?;
        }
        let ranges = series.hours.ranges(&others);
        series.add_raw(snapshot, &ranges, cancelled)?;
        Ok(series.finish())
    }
}

/// What a memtable has for a series of rollups.
pub(super) fn unflushed(table: &Memtable, scope: &TenantScope, query: &SeriesQuery) -> Unflushed {
    let mut hours = Spans::hours(query.range, &query.calendar, query.interval);
    let rollups = rollups_in(table, scope, hours.starts());
    let (rollups, split): (Vec<_>, Vec<_>) = rollups.into_iter().partition(|rollup| hours.is_whole(rollup.key.hour));
    let events = if split.is_empty() {
        Vec::new()
    } else {
        unflushed_events(table, scope, None, query.range, |at| !hours.is_whole(hour_of(at)))
    };
    Unflushed { rollups, events }
}

/// The sums of hours that a series needs.
pub(super) fn hour_sums(query: &SeriesQuery) -> HourSumsQuery {
    let filter = |facet| query.filters.iter().find(|(filtered, _)| *filtered == facet).map(|(_, value)| value.clone());
    let (project, kind) = (filter(Facet::Project), filter(Facet::Type));
    // What is filtered is told apart too: the points look at it again.
    let is_told = |facet, filter: &Option<String>| filter.is_some() || query.group_by.contains(&facet);
    HourSumsQuery {
        range: Spans::hours(query.range, &query.calendar, query.interval).starts(),
        by_project: is_told(Facet::Project, &project),
        by_kind: is_told(Facet::Type, &kind),
        project,
        kind,
    }
}

impl<'q> Series<'q> {
    fn new(scope: &'q TenantScope, query: &'q SeriesQuery, source: Source, named: Option<&Named>) -> Self {
        let mut symbols = Symbols::new();
        let points = Points::new(query, named, &mut symbols);
        let customer = query.filters.iter().find(|(facet, _)| *facet == Facet::Customer);
        let hours = Spans::hours(query.range, &query.calendar, query.interval);
        Self { scope, query, source, customer: customer.map(|(_, name)| name.as_str()), symbols, points, hours }
    }

    fn unflushed_events(&self, table: &Memtable, wants: impl FnMut(Timestamp) -> bool) -> Vec<SharedEvent> {
        unflushed_events(table, self.scope, self.customer, self.query.range, wants)
    }

    fn sums(&mut self, query: HourQuery<'q>) -> HourSums<'_, 'q> {
        HourSums { query, hours: &mut self.hours, points: &mut self.points, symbols: &mut self.symbols }
    }

    /// Adds the whole hours of a memtable and returns the events of the others.
    fn add_table(&mut self, query: HourQuery<'q>, table: &Memtable) -> Result<Vec<SharedEvent>, PortError> {
        self.sums(query).add_table(table)?;
        let mut hours = self.hours.clone();
        Ok(self.unflushed_events(table, |at| !hours.is_whole(hour_of(at))))
    }

    fn add_rollup(&mut self, rollup: &Rollup, others: &mut BTreeSet<Timestamp>) -> Result<(), PortError> {
        let key = &rollup.key;
        let mut values = [NONE; FACETS];
        values[Facet::Project as usize] = self.symbols.number(&key.project);
        values[Facet::Type as usize] = self.symbols.number(&key.kind);
        if !self.points.wants(&values) || !self.hours.is_touched(key.hour) {
            return Ok(());
        }
        if !self.hours.is_whole(key.hour) {
            others.insert(key.hour);
            return Ok(());
        }
        Ok(self.points.add(key.hour, &values, &self.query.metric.part_of(&rollup.totals), None)?)
    }

    fn add_unflushed(&mut self, events: &[SharedEvent]) -> Result<(), PortError> {
        let (fields, metric) = (Fields::of(self.query), self.query.metric);
        scan_unflushed(events, fields, &mut self.symbols, |rows| Ok(add_events(&mut self.points, metric, rows)?))
    }

    /// Adds the events of segments in these ranges.
    fn add_raw(
        &mut self,
        snapshot: &Snapshot,
        ranges: &[TimeRange],
        cancelled: &CancellationToken,
    ) -> Result<(), PortError> {
        let (scope, customer, fields) = (self.scope, self.customer, Fields::of(self.query));
        let wanted = EventScan { scope, customer, ranges, fields };
        refuse_dropped(snapshot, &wanted)?;
        // Whole hours of customers hold no erased customer; those are added apart. Nobody can ask for them by name.
        let counts_erased = self.customer.is_none() && !matches!(self.source, Source::Customers(_));
        self.add_residuals(snapshot, &wanted, |key| counts_erased || key.customer != ERASED, cancelled)?;
        let metric = self.query.metric;
        let add = |rows: &Rows| -> Result<(), PortError> { Ok(add_events(&mut self.points, metric, rows)?) };
        scan_segments(snapshot, &wanted, &mut self.symbols, cancelled, add)
    }

    /// Adds what is left of erased customers, whose sums are in no file of sums.
    fn add_erased_customers(&mut self, snapshot: &Snapshot, cancelled: &CancellationToken) -> Result<(), PortError> {
        if self.customer.is_some() {
            return Ok(());
        }
        let (ranges, fields) = ([self.query.range], Fields::of(self.query));
        let wanted = EventScan { scope: self.scope, customer: Some(ERASED), ranges: &ranges, fields };
        self.add_residuals(snapshot, &wanted, |_| true, cancelled)
    }

    fn add_residuals(
        &mut self,
        snapshot: &Snapshot,
        wanted: &EventScan<'_>,
        counts: impl Fn(&ResidualKey<'_>) -> bool,
        cancelled: &CancellationToken,
    ) -> Result<(), PortError> {
        let Self { points, symbols, query, .. } = self;
        scan_residuals(snapshot, wanted, cancelled, |key, totals| {
            if !counts(key) {
                return Ok(());
            }
            let mut values = [NONE; FACETS];
            for (facet, text) in [
                (Facet::Project, key.project),
                (Facet::Customer, key.customer),
                (Facet::Type, key.kind),
                (Facet::Endpoint, key.endpoint),
                (Facet::Model, key.model),
            ] {
                values[facet as usize] = symbols.number(text);
            }
            if !points.wants(&values) {
                return Ok(());
            }
            Ok(points.add(key.start, &values, &query.metric.part_of(totals), None)?)
        })
    }

    fn finish(self) -> Summed {
        self.points.finish(&self.symbols)
    }
}
