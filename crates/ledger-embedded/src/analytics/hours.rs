//! Hourly sums of a tenant's customers, from segments and memtables: whole hours become points, the
//! others are named, so that raw events answer them.

use std::collections::BTreeSet;

use arrow::array::BinaryArray;
use arrow::record_batch::RecordBatch;
use domain::admit::Dimension;
use domain::aggregate::{Slice, Totals};
use domain::rollup::hour_of;
use domain::series::{FACETS, Facet, Metric, NONE, Points, Spans, Symbols, Values, totals_of};
use domain::tenant::TenantScope;
use domain::time::Timestamp;
use parquet::errors::{ParquetError, Result as ParquetResult};
use ports::PortError;
use tokio_util::sync::CancellationToken;

use super::rows::Repeated;
use super::scan::groups;
use crate::memtable::Memtable;
use crate::reading::check_cancelled;
use crate::segment::columns::{Columns, unsigned};
use crate::segment::grain::Grain;
use crate::segment::{KeyRange, blob_slices, corrupt, key_range};
use crate::state::Snapshot;

/// Which sums of hours a series needs.
#[derive(Debug, Clone, Copy)]
pub(super) struct HourQuery<'q> {
    pub(super) scope: &'q TenantScope,
    pub(super) customer: Option<&'q str>,
    pub(super) metric: Metric,
    pub(super) breakdown: Option<Dimension>,
}

const fn facet_of(dimension: Dimension) -> Option<(Facet, &'static str)> {
    match dimension {
        Dimension::Endpoint => Some((Facet::Endpoint, "by_endpoint")),
        Dimension::Model => Some((Facet::Model, "by_model")),
        _ => None,
    }
}

impl HourQuery<'_> {
    fn blob_column(&self) -> Option<&'static str> {
        self.breakdown.and_then(facet_of).map(|(_, column)| column)
    }

    /// The columns to read of pages that hold rows of others (`mixed`), of other tenants as well.
    fn columns(&self, mixed: bool, other_tenants: bool) -> Vec<&'static str> {
        let wanted = [
            ("tenant", other_tenants),
            ("grain", mixed),
            ("customer", mixed || self.customer.is_none()),
            ("latency_calls", self.metric == Metric::AvgLatencyMs),
            ("tokens", self.breakdown.is_some() && self.metric != Metric::Tokens),
        ];
        let wanted = wanted.into_iter().filter(|(_, wanted)| *wanted).map(|(name, _)| name);
        wanted.chain(["start", "calls"]).chain(self.metric.column()).chain(self.blob_column()).collect()
    }
}

/// What becomes of the sums of hours.
#[derive(Debug)]
pub(super) struct HourSums<'p, 'q> {
    pub(super) query: HourQuery<'q>,
    pub(super) hours: &'p mut Spans<'q>,
    pub(super) points: &'p mut Points<'q>,
    pub(super) symbols: &'p mut Symbols,
}

impl HourSums<'_, '_> {
    /// Adds the whole hours of a memtable.
    pub(super) fn add_table(&mut self, table: &Memtable) -> Result<(), PortError> {
        for group in groups(table, self.query.scope, self.query.customer) {
            let mut values = [NONE; FACETS];
            values[Facet::Customer as usize] = self.symbols.number(group.customer());
            for window in group.windows() {
                let hour = hour_of(window.start());
                if !self.hours.is_whole(hour) {
                    continue;
                }
                match self.query.breakdown {
                    None => {
                        let totals = self.query.metric.part_of(&window.numbers().totals);
                        self.add(hour, &values, &totals)?;
                    }
                    Some(dimension) => {
                        let slices = window.slices(dimension);
                        self.add_slices(hour, values, &window.numbers().totals, slices)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Adds the whole hours of all segments and returns the others.
    pub(super) fn add_segments(
        &mut self,
        snapshot: &Snapshot,
        cancelled: &CancellationToken,
    ) -> Result<BTreeSet<Timestamp>, PortError> {
        let starts = self.hours.starts();
        let keys =
            KeyRange { grain: Some(Grain::Hour), customer: self.query.customer, ..key_range(self.query.scope, starts) };
        let mut others = BTreeSet::new();
        for segment in snapshot.segments.iter().filter(|segment| segment.overlaps(starts)) {
            let unreadable = |why| corrupt(&segment.meta().id, why);
            let found = segment.sums().find(&keys, &[starts]);
            for (pages, mixed) in [(found.pure, false), (found.mixed, true)] {
                if pages.is_empty() {
                    continue;
                }
                let columns = self.query.columns(mixed, pages.other_tenants);
                for batch in segment.sums().read_pages(pages, &columns).map_err(unreadable)? {
                    check_cancelled(cancelled)?;
                    let batch = batch.map_err(unreadable)?;
                    let rows = HourRows::of(&batch, &self.query, mixed.then_some(&keys)).map_err(unreadable)?;
                    self.add_rows(&rows, &mut others, &|why| corrupt(&segment.meta().id, why))?;
                }
            }
        }
        Ok(others)
    }

    fn add_rows(
        &mut self,
        rows: &HourRows<'_>,
        others: &mut BTreeSet<Timestamp>,
        unreadable: &dyn Fn(ParquetError) -> PortError,
    ) -> Result<(), PortError> {
        let mut customers = Repeated::default();
        for row in (0..rows.starts.len()).filter(|row| rows.is_wanted(*row)) {
            let hour = Timestamp::from_micros(rows.starts[row]);
            if !self.hours.is_whole(hour) {
                if self.hours.is_touched(hour) {
                    others.insert(hour);
                }
                continue;
            }
            let mut values = [NONE; FACETS];
            let customer = rows.customer(row, self.query.customer);
            values[Facet::Customer as usize] = customers.number(customer, self.symbols);
            let totals = rows.totals(row, self.query.metric);
            match rows.slices {
                None => self.add(hour, &values, &totals)?,
                Some(blobs) => {
                    let broken = || ParquetError::General("a breakdown cannot be read".into());
                    let slices = blob_slices(blobs.value(row)).ok_or_else(broken).map_err(unreadable)?;
                    let slices = slices.iter().map(|(name, slice)| (name.as_str(), slice));
                    self.add_slices(hour, values, &totals, slices)?;
                }
            }
        }
        Ok(())
    }

    /// Adds the slices of a breakdown, and what is in none of them under the empty text.
    fn add_slices<'s>(
        &mut self,
        hour: Timestamp,
        mut values: Values,
        totals: &Totals,
        slices: impl Iterator<Item = (&'s str, &'s Slice)>,
    ) -> Result<(), PortError> {
        let Some((facet, _)) = self.query.breakdown.and_then(facet_of) else { return Ok(()) };
        let (mut calls, mut tokens) = (totals.calls, totals.tokens);
        for (name, slice) in slices {
            calls = calls.saturating_sub(slice.calls);
            tokens = tokens.saturating_sub(slice.tokens);
            values[facet as usize] = self.symbols.number(name);
            self.add(hour, &values, &self.sliced(slice.calls, slice.tokens))?;
        }
        values[facet as usize] = NONE;
        if calls > 0 { self.add(hour, &values, &self.sliced(calls, tokens)) } else { Ok(()) }
    }

    fn sliced(&self, calls: u64, tokens: u64) -> Totals {
        self.query.metric.part_of(&Totals { calls, tokens, ..Totals::default() })
    }

    fn add(&mut self, hour: Timestamp, values: &Values, totals: &Totals) -> Result<(), PortError> {
        if self.points.wants(values) {
            self.points.add(hour, values, totals, None)?;
        }
        Ok(())
    }
}

/// A batch of sums of hours.
struct HourRows<'b> {
    starts: &'b [i64],
    calls: &'b [i64],
    values: Option<&'b [i64]>,
    valued: Option<&'b [i64]>,
    tokens: Option<&'b [i64]>,
    customers: Option<&'b arrow::array::StringArray>,
    /// Where rows of other tenants may be.
    tenants: Option<&'b arrow::array::StringArray>,
    /// Grains, where rows of others may be, and what rows must be.
    others: Option<(&'b [u8], &'b KeyRange<'b>)>,
    slices: Option<&'b BinaryArray>,
}

impl<'b> HourRows<'b> {
    fn of(batch: &'b RecordBatch, query: &HourQuery<'_>, checked: Option<&'b KeyRange<'b>>) -> ParquetResult<Self> {
        let columns = Columns(batch);
        let has = |name: &str| batch.column_by_name(name).is_some();
        let numbers = |name: &str| columns.sums(name).map(|column| &column.values()[..]);
        let optional = |name: &str| has(name).then(|| numbers(name)).transpose();
        let others = match checked {
            Some(keys) => Some((&columns.codes("grain")?.values()[..], keys)),
            None => None,
        };
        Ok(Self {
            starts: columns.times("start")?.values(),
            calls: numbers("calls")?,
            values: query.metric.column().map(numbers).transpose()?,
            valued: optional("latency_calls")?,
            tokens: optional("tokens")?,
            tenants: has("tenant").then(|| columns.texts("tenant")).transpose()?,
            customers: has("customer").then(|| columns.texts("customer")).transpose()?,
            others,
            slices: query.blob_column().map(|name| columns.blobs(name)).transpose()?,
        })
    }

    fn is_wanted(&self, row: usize) -> bool {
        self.others.is_none_or(|(grains, keys)| {
            grains[row] == Grain::Hour.code()
                && self.tenants.is_none_or(|tenants| tenants.value(row) == keys.tenant)
                && keys
                    .customer
                    .is_none_or(|wanted| self.customers.is_some_and(|customers| customers.value(row) == wanted))
        })
    }

    fn customer<'r>(&'r self, row: usize, known: Option<&'r str>) -> &'r str {
        known.or_else(|| self.customers.map(|customers| customers.value(row))).unwrap_or_default()
    }

    fn totals(&self, row: usize, metric: Metric) -> Totals {
        let at = |numbers: &[i64]| unsigned(numbers[row]);
        let calls = at(self.calls);
        let mut totals = totals_of(metric, calls, self.values.map(at), self.valued.map_or(0, at));
        if let (Some(tokens), true) = (self.tokens, self.slices.is_some()) {
            totals.tokens = at(tokens);
        }
        totals
    }
}
