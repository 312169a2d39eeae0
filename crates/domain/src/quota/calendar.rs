//! The periods of quotas. A period is fixed when it begins, by the zone that is valid then: a change of the zone leaves
//! the period under way as it is, and the next one goes from its end to the next boundary of the new zone. So periods
//! never overlap and leave nothing out, and what counts in one of them is decided by the receive time alone.
//!
//! What is used is counted in quarters of an hour, so that it can be added up for any zone: boundaries are rounded down
//! to a quarter, which changes none of a zone that is in use today.

use super::QuotaPeriod;
use crate::calendar::{Calendar, Day, Period, WeekStart, Zone};
use crate::time::{TimeRange, Timestamp};

/// A quarter of an hour, in microseconds.
pub const QUARTER_US: i64 = 15 * 60 * 1_000_000;

/// The start of the quarter of an hour that an instant lies in.
pub fn quarter_of(at: Timestamp) -> Timestamp {
    at.floor_to(QUARTER_US)
}

/// The periods that were under way when the zone was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CarriedPeriods {
    /// The day.
    pub day: TimeRange,
    /// The month.
    pub month: TimeRange,
}

impl CarriedPeriods {
    const fn of(&self, period: QuotaPeriod) -> TimeRange {
        match period {
            QuotaPeriod::Day => self.day,
            QuotaPeriod::Month => self.month,
        }
    }
}

/// The periods of one workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuotaCalendar {
    /// The zone that holds.
    pub zone: Zone,
    /// The periods that the last change of the zone has found under way.
    pub carried: Option<CarriedPeriods>,
}

impl Default for QuotaCalendar {
    /// UTC, never changed.
    fn default() -> Self {
        Self { zone: Zone::utc(), carried: None }
    }
}

impl QuotaCalendar {
    /// The period that `at` lies in: from its first instant up to but without its end.
    pub fn period_at(&self, period: QuotaPeriod, at: Timestamp) -> TimeRange {
        let of_zone = self.period_of_zone(period, at);
        let Some(carried) = self.carried.map(|carried| carried.of(period)) else { return of_zone };
        if carried.contains(at) {
            return carried;
        }
        let (from, to) = match at < carried.from() {
            true => (of_zone.from(), of_zone.to().min(carried.from())),
            false => (of_zone.from().max(carried.to()), of_zone.to()),
        };
        TimeRange::new(from, to).unwrap_or(of_zone)
    }

    /// The periods from when the zone becomes `zone` at `at`, and those that are under way then.
    #[must_use]
    pub fn change(&self, zone: Zone, at: Timestamp) -> (Self, CarriedPeriods) {
        let [day, month] = [QuotaPeriod::Day, QuotaPeriod::Month].map(|period| self.period_at(period, at));
        let carried = CarriedPeriods { day, month };
        (Self { zone, carried: Some(carried) }, carried)
    }

    /// The day or month of the zone, as if it had never been changed.
    fn period_of_zone(&self, period: QuotaPeriod, at: Timestamp) -> TimeRange {
        let calendar = Calendar { zone: self.zone.clone(), week_start: WeekStart::Monday };
        let days = match period {
            QuotaPeriod::Day => Period::Day,
            QuotaPeriod::Month => Period::Month,
        };
        let start = |day: Day| if day == Day::MIN { Timestamp::MIN } else { quarter_of(calendar.start_of(day)) };
        let end = |next: Day| if next == Day::MAX { Timestamp::MAX } else { start(next) };
        let mut first = calendar.period_of(calendar.day_of(at), days);
        // Where clocks go back over midnight, an instant after it is on the day before once more.
        while first > Day::MIN && start(first) > at {
            first = calendar.period_of(first.plus(-1), days);
        }
        let mut next = calendar.later(first, days, 1);
        while next < Day::MAX && end(next) <= at {
            (first, next) = (next, calendar.later(next, days, 1));
        }
        TimeRange::new(start(first), end(next)).unwrap_or(TimeRange::ALL)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    const ZONES: [&str; 8] = [
        "UTC",
        "Europe/Berlin",
        "Asia/Kathmandu",
        "Pacific/Apia",
        "America/New_York",
        "Australia/Lord_Howe",
        "Pacific/Kiritimati",
        "America/Havana",
    ];
    const HOUR_US: i64 = 3_600 * 1_000_000;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    fn zone(name: &str) -> Zone {
        Zone::parse(name).unwrap()
    }

    fn shown(calendar: &QuotaCalendar, period: QuotaPeriod, instant: &str) -> [String; 2] {
        let range = calendar.period_at(period, at(instant));
        [range.from().to_string(), range.to().to_string()]
    }

    #[test]
    fn days_and_months_are_those_of_the_zone() {
        let berlin = QuotaCalendar { zone: zone("Europe/Berlin"), carried: None };
        let told = |period| shown(&berlin, period, "2026-03-29T22:30:00Z");
        assert_eq!(told(QuotaPeriod::Day), ["2026-03-29T22:00:00Z", "2026-03-30T22:00:00Z"]);
        assert_eq!(told(QuotaPeriod::Month), ["2026-02-28T23:00:00Z", "2026-03-31T22:00:00Z"]);
    }

    #[test]
    fn a_zone_changed_in_the_middle_of_a_day_holds_from_the_next_one_on() {
        let before = QuotaCalendar::default();
        let changed = before.change(zone("Asia/Tokyo"), at("2026-05-10T20:00:00Z")).0;
        let told = |instant| shown(&changed, QuotaPeriod::Day, instant);
        assert_eq!(told("2026-05-10T23:59:59Z"), ["2026-05-10T00:00:00Z", "2026-05-11T00:00:00Z"], "under way");
        assert_eq!(told("2026-05-11T00:00:00Z"), ["2026-05-11T00:00:00Z", "2026-05-11T15:00:00Z"], "a shorter one");
        assert_eq!(told("2026-05-11T15:00:00Z"), ["2026-05-11T15:00:00Z", "2026-05-12T15:00:00Z"]);
        let month = shown(&changed, QuotaPeriod::Month, "2026-06-01T00:00:00Z");
        assert_eq!(month, ["2026-06-01T00:00:00Z", "2026-06-30T15:00:00Z"]);
        // Back in the same day: that day stays, and the next one is a whole one again.
        let back = changed.change(Zone::utc(), at("2026-05-10T21:00:00Z")).0;
        let told = shown(&back, QuotaPeriod::Day, "2026-05-11T01:00:00Z");
        assert_eq!(told, ["2026-05-11T00:00:00Z", "2026-05-12T00:00:00Z"]);
    }

    proptest! {
        /// Whatever the zones and their changes: an instant lies in its period, periods follow one another without a gap,
        /// and a change leaves the period under way as it is.
        #[test]
        fn periods_are_a_partition_that_a_change_of_zone_does_not_rewrite(
            start in 1_600_000_000_i64..1_900_000_000,
            steps in proptest::collection::vec((0_i64..40 * 24 * 4, 0..ZONES.len(), any::<bool>()), 1..12),
        ) {
            let mut calendar = QuotaCalendar::default();
            let mut now = Timestamp::from_micros(start * 1_000_000);
            for (quarters, of, is_change) in steps {
                now = now.plus_micros(quarters * QUARTER_US / 3);
                let before = QuotaPeriod::ALL.map(|period| calendar.period_at(period, now));
                if is_change {
                    calendar = calendar.change(zone(ZONES[of]), now).0;
                }
                for (period, before) in QuotaPeriod::ALL.into_iter().zip(before) {
                    let held = calendar.period_at(period, now);
                    prop_assert_eq!(held, before, "a change rewrites the period under way");
                    prop_assert!(held.contains(now));
                    prop_assert_eq!(quarter_of(held.from()), held.from());
                    for inside in [held.from(), held.to().plus_micros(-1)] {
                        prop_assert_eq!(calendar.period_at(period, inside), held);
                    }
                    let mut last = held;
                    for _ in 0..4 {
                        let next = calendar.period_at(period, last.to());
                        prop_assert_eq!(next.from(), last.to(), "a gap or an overlap");
                        prop_assert!(next.to() > next.from());
                        last = next;
                    }
                    let length = held.to().micros() - held.from().micros();
                    let days = if period == QuotaPeriod::Day { 2 } else { 32 };
                    prop_assert!(length <= days * 24 * HOUR_US, "{period:?} of {length} us");
                }
            }
        }
    }
}
