//! Adding up windows of one customer, as they are asked for and as they are flushed.

use domain::admit::Dimension;
use domain::aggregate::{Aggregate, Slice};
use domain::time::{TimeRange, Timestamp};

use super::fold::add_slice;
use super::{GroupView, Memtable, Partial, SumNumbers, WindowSums};
use crate::intern::Symbol;

/// The sums of one window of a group.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WindowView<'m> {
    table: &'m Memtable,
    sums: &'m WindowSums,
}

impl<'m> WindowView<'m> {
    pub(crate) fn start(&self) -> Timestamp {
        self.sums.start
    }

    pub(crate) fn numbers(&self) -> &'m SumNumbers {
        &self.sums.numbers
    }

    /// One breakdown; only endpoints and models have one.
    pub(crate) fn slices(&self, dimension: Dimension) -> impl Iterator<Item = (&'m str, &'m Slice)> + use<'m> {
        let (names, sums) = (&self.table.names, self.sums);
        let slices: &[_] = match dimension {
            Dimension::Endpoint => &sums.by_endpoint,
            Dimension::Model => &sums.by_model,
            _ => &[],
        };
        slices.iter().map(|(name, slice)| (names.text(*name), slice))
    }
}

/// The sum of some windows. Made once and used for many, so that a window that stands alone, as most do
/// in a sparse history, costs no memory of its own.
#[derive(Debug, Default)]
pub(crate) struct WindowsSum {
    pub(crate) numbers: SumNumbers,
    by_endpoint: Vec<(Symbol, Slice)>,
    by_model: Vec<(Symbol, Slice)>,
}

impl WindowsSum {
    /// Adds up `windows` and nothing else.
    pub(crate) fn set(&mut self, windows: &[WindowView<'_>]) {
        self.numbers = SumNumbers::default();
        self.by_endpoint.clear();
        self.by_model.clear();
        for (at, window) in windows.iter().enumerate() {
            let sums = window.sums;
            self.numbers.merge(&sums.numbers);
            if at == 0 {
                self.by_endpoint.extend_from_slice(&sums.by_endpoint);
                self.by_model.extend_from_slice(&sums.by_model);
                continue;
            }
            for (into, from) in [(&mut self.by_endpoint, &sums.by_endpoint), (&mut self.by_model, &sums.by_model)] {
                for (name, slice) in from {
                    add_slice(into, *name, slice);
                }
            }
        }
    }

    /// The slices by endpoint, in no order.
    pub(crate) fn by_endpoint<'s>(&'s self, table: &'s Memtable) -> impl Iterator<Item = (&'s str, &'s Slice)> {
        self.by_endpoint.iter().map(|(name, slice)| (table.names.text(*name), slice))
    }

    /// The slices by model, in no order.
    pub(crate) fn by_model<'s>(&'s self, table: &'s Memtable) -> impl Iterator<Item = (&'s str, &'s Slice)> {
        self.by_model.iter().map(|(name, slice)| (table.names.text(*name), slice))
    }

    fn partial(&self, start: Timestamp, table: &Memtable) -> Partial {
        let SumNumbers { totals, first_received, last_received } = self.numbers;
        let owned = |(name, slice): (&str, &Slice)| (name.to_owned(), *slice);
        let by_endpoint = self.by_endpoint(table).map(owned).collect();
        let by_model = self.by_model(table).map(owned).collect();
        Partial { start, first_received, last_received, aggregate: Aggregate { totals, by_endpoint, by_model } }
    }
}

impl<'m> GroupView<'m> {
    /// The windows, in no order.
    pub(crate) fn windows(&self) -> impl Iterator<Item = WindowView<'m>> + use<'m> {
        let table = self.table;
        self.group.windows.iter().map(move |at| WindowView { table, sums: &table.windows[*at as usize] })
    }

    /// The windows, in order of start.
    pub(crate) fn sorted_windows(&self) -> Vec<WindowView<'m>> {
        let mut windows: Vec<_> = self.windows().collect();
        windows.sort_unstable_by_key(WindowView::start);
        windows
    }

    /// The windows that start in `range`, summed to what `start_of` maps their starts to, in order.
    pub(crate) fn sums(&self, range: TimeRange, start_of: impl Fn(Timestamp) -> Timestamp) -> Vec<Partial> {
        let mut found: Vec<_> = self.windows().filter(|window| range.contains(window.start())).collect();
        found.sort_unstable_by_key(WindowView::start);
        let mut sum = WindowsSum::default();
        let alike = found.chunk_by(|left, right| start_of(left.start()) == start_of(right.start()));
        let partial = |windows: &[WindowView<'_>]| {
            sum.set(windows);
            sum.partial(start_of(windows[0].start()), self.table)
        };
        alike.map(partial).collect()
    }
}
