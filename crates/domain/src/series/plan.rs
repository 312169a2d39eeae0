//! What answers a series: hourly sums where they say enough and an hour lies whole in one bucket of the
//! range, raw events everywhere else. A pure decision, so that every way gives the same answer.

use std::collections::BTreeSet;

use crate::admit::Dimension;
use crate::calendar::{Buckets, Calendar, Interval};
use crate::time::{MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_SECOND, TimeRange, Timestamp};

use super::{Facet, Metric, SeriesQuery};

const MICROS_PER_MINUTE: i64 = 60 * MICROS_PER_SECOND;

/// Which sums answer whole hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// No sums: raw events alone.
    Raw,
    /// Hourly sums of the tenant by project and type.
    Rollups,
    /// Hourly sums of each customer, of which one breakdown is needed or only the totals.
    Customers(Option<Dimension>),
}

impl Source {
    /// What says enough for a query.
    pub fn of(query: &SeriesQuery) -> Self {
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

/// Tells the spans that sums may answer from those that something finer must: all hours of UTC, or all days, or shorter
/// ones.
#[derive(Debug, Clone)]
pub struct Spans<'q> {
    length_us: i64,
    range: TimeRange,
    buckets: Buckets<'q>,
}

impl<'q> Spans<'q> {
    /// The hours of a range, in buckets of this width.
    pub fn hours(range: TimeRange, calendar: &'q Calendar, interval: Interval) -> Self {
        Self { length_us: MICROS_PER_HOUR, range, buckets: calendar.buckets(interval) }
    }

    /// The days of a range, in buckets of this width.
    pub fn days(range: TimeRange, calendar: &'q Calendar, interval: Interval) -> Self {
        Self { length_us: MICROS_PER_DAY, range, buckets: calendar.buckets(interval) }
    }

    /// The shortest spans of a range that events are worth being put together in: quarters of an hour, at which zones mostly
    /// begin their hours, or minutes.
    pub fn short(range: TimeRange, calendar: &'q Calendar, interval: Interval) -> Self {
        let length_us = if interval == Interval::Minute { MICROS_PER_MINUTE } else { 15 * MICROS_PER_MINUTE };
        Self { length_us, range, buckets: calendar.buckets(interval) }
    }

    /// How long each span is, in microseconds.
    pub const fn length_us(&self) -> i64 {
        self.length_us
    }

    /// Whether the span that begins at `start` lies whole in the range and in one bucket.
    pub fn is_whole(&mut self, start: Timestamp) -> bool {
        let end = start.plus_micros(self.length_us);
        self.range.from() <= start && end <= self.range.to() && self.buckets.hold(start, end)
    }

    /// Whether a part of the span that begins at `start` lies in the range.
    pub fn is_touched(&self, start: Timestamp) -> bool {
        self.range.from() < start.plus_micros(self.length_us) && start < self.range.to()
    }

    /// The spans that may matter, by their first instants.
    pub fn starts(&self) -> TimeRange {
        self.starts_of(self.range)
    }

    /// The spans that a part of the range lies in, by their first instants.
    pub fn starts_of(&self, part: TimeRange) -> TimeRange {
        let from = part.from().floor_to(self.length_us);
        TimeRange::new(from, part.to().max(from)).unwrap_or(part)
    }

    /// What the spans that begin at `starts` have in common with the range, in order and apart.
    pub fn ranges(&self, starts: &BTreeSet<Timestamp>) -> Vec<TimeRange> {
        let mut ranges: Vec<TimeRange> = Vec::new();
        for start in starts {
            let (from, to) = (self.range.from().max(*start), self.range.to().min(start.plus_micros(self.length_us)));
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
pub fn whole_hours(range: TimeRange) -> (Option<TimeRange>, Vec<TimeRange>) {
    whole(range, MICROS_PER_HOUR)
}

/// A range as whole days of UTC and what is left at its ends; an end of time has no rest.
pub fn whole_days(range: TimeRange) -> (Option<TimeRange>, Vec<TimeRange>) {
    whole(range, MICROS_PER_DAY)
}

fn whole(range: TimeRange, length_us: i64) -> (Option<TimeRange>, Vec<TimeRange>) {
    let first = range.from().plus_micros(length_us - 1).floor_to(length_us);
    let last = if range.to() == Timestamp::MAX { Timestamp::MAX } else { range.to().floor_to(length_us) };
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
        assert_eq!(
            range(60, 4_400).map(whole_days),
            range(1_440, 2_880 + 1_440).map(|days| (
                Some(days),
                Vec::from_iter([range(60, 1_440), range(4_320, 4_400)].into_iter().flatten())
            ))
        );
    }

    #[test]
    fn neighbouring_hours_are_one_range() {
        let calendar = Calendar::utc();
        let Some(range) = range(30, 400) else { return };
        let hours = Spans::hours(range, &calendar, Interval::Hour);
        let split = [0, 60, 180, 360].map(|minute| Timestamp::from_micros(minute * 60_000_000));
        let found = hours.ranges(&split.into_iter().collect());
        let expected = [self::range(30, 120), self::range(180, 240), self::range(360, 400)];
        assert_eq!(found, expected.into_iter().flatten().collect::<Vec<_>>());
    }
}
