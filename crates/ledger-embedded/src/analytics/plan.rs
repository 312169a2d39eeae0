//! What answers a series: hourly sums where they say enough and an hour lies whole in one bucket of the
//! range, raw events everywhere else. A pure decision, so that every way gives the same answer.

use std::collections::BTreeSet;

use domain::admit::Dimension;
use domain::calendar::{Buckets, Calendar, Interval};
use domain::rollup::hour_of;
use domain::series::{Facet, Metric, SeriesQuery};
use domain::time::{MICROS_PER_HOUR, TimeRange, Timestamp};

/// Which sums answer whole hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// No sums: raw events alone.
    Raw,
    /// Hourly sums of the tenant by project and type.
    Rollups,
    /// Hourly sums of each customer, of which one breakdown is needed or only the totals.
    Customers(Option<Dimension>),
}

impl Source {
    pub(super) fn of(query: &SeriesQuery) -> Self {
        let used: BTreeSet<_> =
            query.group_by.iter().copied().chain(query.filters.iter().map(|(facet, _)| *facet)).collect();
        let within = |facets: &[Facet]| used.iter().all(|facet| facets.contains(facet));
        let one_customer = query.filters.iter().any(|(facet, _)| *facet == Facet::Customer);
        let is_sliced = matches!(query.metric, Metric::Count | Metric::Tokens);
        match query.metric {
            Metric::UniqueUsers => Self::Raw,
            _ if query.interval == Interval::Minute => Self::Raw,
            _ if within(&[Facet::Project, Facet::Type]) => Self::Rollups,
            _ if within(&[Facet::Customer]) => Self::Customers(None),
            // Breakdowns of all customers together are more bytes than the column of raw events.
            _ if !(one_customer && is_sliced) => Self::Raw,
            _ if within(&[Facet::Customer, Facet::Endpoint]) => Self::Customers(Some(Dimension::Endpoint)),
            _ if within(&[Facet::Customer, Facet::Model]) => Self::Customers(Some(Dimension::Model)),
            _ => Self::Raw,
        }
    }
}

/// Tells the hours that sums may answer from those that raw events must.
#[derive(Debug, Clone)]
pub(super) struct Hours<'q> {
    range: TimeRange,
    buckets: Buckets<'q>,
}

impl<'q> Hours<'q> {
    pub(super) fn new(range: TimeRange, calendar: &'q Calendar, interval: Interval) -> Self {
        Self { range, buckets: calendar.buckets(interval) }
    }

    /// Whether the hour that begins at `hour` lies whole in the range and in one bucket.
    pub(super) fn is_whole(&mut self, hour: Timestamp) -> bool {
        let end = hour.plus_micros(MICROS_PER_HOUR);
        self.range.from() <= hour && end <= self.range.to() && self.buckets.hold(hour, end)
    }

    /// Whether a part of the hour that begins at `hour` lies in the range.
    pub(super) fn is_touched(&self, hour: Timestamp) -> bool {
        self.range.from() < hour.plus_micros(MICROS_PER_HOUR) && hour < self.range.to()
    }

    /// The hours that may matter, by their first instants.
    pub(super) fn starts(&self) -> TimeRange {
        let from = hour_of(self.range.from());
        TimeRange::new(from, self.range.to().max(from)).unwrap_or(self.range)
    }

    /// What these hours have in common with the range, in order and apart.
    pub(super) fn ranges(&self, hours: &BTreeSet<Timestamp>) -> Vec<TimeRange> {
        let mut ranges: Vec<TimeRange> = Vec::new();
        for hour in hours {
            let (from, to) = (self.range.from().max(*hour), self.range.to().min(hour.plus_micros(MICROS_PER_HOUR)));
            let joined = ranges.last().filter(|last| last.to() == from).map(|last| last.from());
            if joined.is_some() {
                ranges.pop();
            }
            ranges.extend(TimeRange::new(joined.unwrap_or(from), to));
        }
        ranges
    }
}

/// A range as whole hours and what is left at its ends; an end of time has no rest.
pub(super) fn whole_hours(range: TimeRange) -> (Option<TimeRange>, Vec<TimeRange>) {
    let first = hour_of(range.from().plus_micros(MICROS_PER_HOUR - 1));
    let last = if range.to() == Timestamp::MAX { Timestamp::MAX } else { hour_of(range.to()) };
    let piece = |from, to| TimeRange::new(from, to).filter(|piece| piece.from() < piece.to());
    if first >= last {
        return (None, piece(range.from(), range.to()).into_iter().collect());
    }
    (piece(first, last), [piece(range.from(), first), piece(last, range.to())].into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(from: i64, to: i64) -> Option<TimeRange> {
        let at = |minutes: i64| Timestamp::from_micros(minutes * 60_000_000);
        TimeRange::new(at(from), at(to))
    }

    #[test]
    fn a_range_is_whole_hours_and_its_ends() {
        let pieces = |from, to| range(from, to).map(whole_hours).unwrap_or_default();
        assert_eq!(pieces(0, 120), (range(0, 120), vec![]));
        assert_eq!(
            pieces(30, 150),
            (range(60, 120), Vec::from_iter([range(30, 60), range(120, 150)].into_iter().flatten()))
        );
        assert_eq!(pieces(10, 20), (None, Vec::from_iter(range(10, 20))));
        assert_eq!(pieces(10, 70), (None, Vec::from_iter(range(10, 70))));
        assert_eq!(whole_hours(TimeRange::ALL), (Some(TimeRange::ALL), vec![]));
    }

    #[test]
    fn neighbouring_hours_are_one_range() {
        let calendar = Calendar::utc();
        let Some(range) = range(30, 400) else { return };
        let hours = Hours::new(range, &calendar, Interval::Hour);
        let split = [0, 60, 180, 360].map(|minute| Timestamp::from_micros(minute * 60_000_000));
        let found = hours.ranges(&split.into_iter().collect());
        let expected = [self::range(30, 120), self::range(180, 240), self::range(360, 400)];
        assert_eq!(found, expected.into_iter().flatten().collect::<Vec<_>>());
    }
}
