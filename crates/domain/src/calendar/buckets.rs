//! The buckets of many instants. Between two changes of the clocks a bucket is one stretch of time, so
//! that neighbours cost two comparisons. Minutes and hours end where clocks change: none overlap.

use super::{Calendar, Days, Interval};
use crate::time::{MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_SECOND, Timestamp};

/// Finds the buckets of many instants of one calendar.
#[derive(Debug, Clone)]
pub struct Buckets<'c> {
    calendar: &'c Calendar,
    interval: Interval,
    days: Days<'c>,
    /// Where `start` holds, half-open.
    from: Timestamp,
    to: Timestamp,
    start: Timestamp,
}

impl Calendar {
    /// Finds the buckets of many instants.
    pub fn buckets(&self, interval: Interval) -> Buckets<'_> {
        Buckets::new(self, interval)
    }

    /// The start of the bucket that an instant lies in; see [`Calendar::buckets`] for many.
    pub fn bucket_of(&self, at: Timestamp, interval: Interval) -> Timestamp {
        self.buckets(interval).start_of(at)
    }

    /// The start of the bucket after the one that begins at `start`.
    pub fn bucket_after(&self, start: Timestamp, interval: Interval) -> Timestamp {
        match interval {
            Interval::Minute | Interval::Hour => self.buckets(interval).end_of(start),
            Interval::Days(period) => {
                let first = self.period_of(self.day_of(start), period);
                self.start_of(self.later(first, period, 1))
            }
        }
    }
}

impl<'c> Buckets<'c> {
    fn new(calendar: &'c Calendar, interval: Interval) -> Self {
        let (from, to) = (Timestamp::MAX, Timestamp::MIN);
        Self { calendar, interval, days: calendar.days(), from, to, start: from }
    }

    /// The start of the bucket that an instant lies in.
    pub fn start_of(&mut self, at: Timestamp) -> Timestamp {
        if at < self.from || at >= self.to {
            self.move_to(at);
        }
        self.start
    }

    /// The end of what is known to lie in the same bucket as `at`: of the bucket, or a change of clocks
    /// before it.
    pub fn end_of(&mut self, at: Timestamp) -> Timestamp {
        self.start_of(at);
        self.to
    }

    /// Whether all instants from `from` up to but without `to` are known to lie in one bucket. Says no
    /// where clocks change in between.
    pub fn hold(&mut self, from: Timestamp, to: Timestamp) -> bool {
        to <= self.end_of(from)
    }

    fn move_to(&mut self, at: Timestamp) {
        let day = self.days.day_of(at);
        // The stretch as clocks show it, if they never changed.
        let (first, last) = match self.interval {
            Interval::Minute => self.floor(at, 60 * MICROS_PER_SECOND),
            Interval::Hour => self.floor(at, MICROS_PER_HOUR),
            Interval::Days(period) => {
                let first = self.calendar.period_of(day, period);
                let next = self.calendar.later(first, period, 1);
                (i64::from(first.number()) * MICROS_PER_DAY, i64::from(next.number()) * MICROS_PER_DAY)
            }
        };
        let instant = |local: i64| Timestamp::from_micros(local - self.days.offset_us);
        self.from = at.min(instant(first).max(self.days.from));
        self.to = at.plus_micros(1).max(instant(last).min(self.days.to));
        self.start = match self.interval {
            Interval::Minute | Interval::Hour => self.from,
            Interval::Days(period) => self.calendar.start_of(self.calendar.period_of(day, period)),
        };
    }

    /// The step that clocks show at an instant.
    fn floor(&self, at: Timestamp, step_us: i64) -> (i64, i64) {
        let local = at.micros().saturating_add(self.days.offset_us);
        let first = local - local.rem_euclid(step_us);
        (first, first.saturating_add(step_us))
    }
}
