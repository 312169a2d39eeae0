//! The periods of quotas. A change of the zone leaves the period under way as it is. The next one goes from its end to
//! the first boundary of the new zone that leaves it whole, since each period has a whole quota and whoever may change the
//! zone could begin as many as there are zones: a day becomes longer than usual, never shorter, and of each month of the
//! calendar one begins, whatever is changed when. So periods never overlap and leave nothing out, and what counts in one
//! of them is decided by the receive time alone.
//!
//! What is used is counted in quarters of an hour, so that it can be added up for any zone: boundaries are rounded down
//! to a quarter, which changes none of a zone that is in use today.

use super::QuotaPeriod;
use crate::calendar::{Calendar, Day, Period, WeekStart, Zone};
use crate::time::{MICROS_PER_DAY, MICROS_PER_HOUR, TimeRange, Timestamp};

/// A quarter of an hour, in microseconds.
pub const QUARTER_US: i64 = 15 * 60 * 1_000_000;

/// The shortest day after a change of the zone that does not begin with a day of the new one, in microseconds.
const DAY_US_MIN: i64 = MICROS_PER_DAY;
/// The shortest month after a change of the zone that does not begin with a month of the new one, in microseconds: the
/// shortest of the calendar without the 26 hours in which a month begins all over the world, from UTC+14 to UTC-12. More
/// would pass over the next month's begin, less might find one of the month that has begun already.
const MONTH_US_MIN: i64 = 28 * MICROS_PER_DAY - 26 * MICROS_PER_HOUR;

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
        let Some(carried) = self.carried.map(|carried| carried.of(period)) else {
            return self.period_of_zone(period, at);
        };
        if carried.contains(at) {
            return carried;
        }
        if at < carried.from() {
            let of_zone = self.period_of_zone(period, at);
            return TimeRange::new(of_zone.from(), of_zone.to().min(carried.from())).unwrap_or(of_zone);
        }
        let next = self.first_from(period, carried.to());
        if next.contains(at) { next } else { self.period_of_zone(period, at) }
    }

    /// The periods from when the zone becomes `zone` at `at`, and those that are under way then.
    #[must_use]
    pub fn change(&self, zone: Zone, at: Timestamp) -> (Self, CarriedPeriods) {
        let [day, month] = [QuotaPeriod::Day, QuotaPeriod::Month].map(|period| self.period_at(period, at));
        let carried = CarriedPeriods { day, month };
        (Self { zone, carried: Some(carried) }, carried)
    }

    /// The first period of the zone, which begins at `start`, where one of another zone has ended. It is a day or month
    /// of the zone, however long clocks make that, if one begins there; else it ends with the first one that leaves it
    /// whole.
    fn first_from(&self, period: QuotaPeriod, start: Timestamp) -> TimeRange {
        let of_zone = self.period_of_zone(period, start);
        if of_zone.from() == start {
            return of_zone;
        }
        let earliest_end = start.plus_micros(match period {
            QuotaPeriod::Day => DAY_US_MIN,
            QuotaPeriod::Month => MONTH_US_MIN,
        });
        let last = self.period_of_zone(period, earliest_end);
        let end = if last.from() == earliest_end { earliest_end } else { last.to() };
        TimeRange::new(start, end).unwrap_or(of_zone)
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

    const ZONES: [&str; 14] = [
        "UTC",
        "Europe/Berlin",
        "Asia/Kathmandu",
        "Pacific/Apia",
        "America/New_York",
        "Australia/Lord_Howe",
        "Pacific/Kiritimati",
        "America/Havana",
        "Etc/GMT+1",
        "Etc/GMT+2",
        "Etc/GMT+3",
        "Etc/GMT+4",
        "Etc/GMT+12",
        "Etc/GMT-12",
    ];
    const MINUTE_US: i64 = 60 * 1_000_000;

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
        assert_eq!(told("2026-05-11T00:00:00Z"), ["2026-05-11T00:00:00Z", "2026-05-12T15:00:00Z"], "a longer one");
        assert_eq!(told("2026-05-12T15:00:00Z"), ["2026-05-12T15:00:00Z", "2026-05-13T15:00:00Z"]);
        let month = shown(&changed, QuotaPeriod::Month, "2026-06-01T00:00:00Z");
        assert_eq!(month, ["2026-06-01T00:00:00Z", "2026-06-30T15:00:00Z"]);
        // Back in the same day: that day stays, and the next one is a whole one again.
        let back = changed.change(Zone::utc(), at("2026-05-10T21:00:00Z")).0;
        let told = shown(&back, QuotaPeriod::Day, "2026-05-11T01:00:00Z");
        assert_eq!(told, ["2026-05-11T00:00:00Z", "2026-05-12T00:00:00Z"]);
    }

    #[test]
    fn a_period_that_begins_with_one_of_the_new_zone_is_as_long_as_clocks_make_it() {
        // Clocks of both go forward on 2026-03-29: a day of 23 hours.
        let berlin = QuotaCalendar { zone: zone("Europe/Berlin"), carried: None };
        let changed = berlin.change(zone("Europe/Vienna"), at("2026-03-28T12:00:00Z")).0;
        let told = shown(&changed, QuotaPeriod::Day, "2026-03-29T12:00:00Z");
        assert_eq!(told, ["2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"]);
        // The first midnight of Berlin comes 23 hours after that of UTC: no day of Berlin has begun there.
        let changed = QuotaCalendar::default().change(zone("Europe/Berlin"), at("2026-03-27T12:00:00Z")).0;
        let told = shown(&changed, QuotaPeriod::Day, "2026-03-28T12:00:00Z");
        assert_eq!(told, ["2026-03-28T00:00:00Z", "2026-03-29T22:00:00Z"]);
    }

    /// Found in November 2026: it went on to the end of March, with one quota for both months.
    #[test]
    fn a_february_after_a_move_to_the_east_ends_with_february() {
        let changed = QuotaCalendar::default().change(zone("Europe/Berlin"), at("2026-01-10T12:00:00Z")).0;
        let told = shown(&changed, QuotaPeriod::Month, "2026-02-10T12:00:00Z");
        assert_eq!(told, ["2026-02-01T00:00:00Z", "2026-02-28T23:00:00Z"]);
        let changed = QuotaCalendar::default().change(zone("America/New_York"), at("2026-01-10T12:00:00Z")).0;
        let told = shown(&changed, QuotaPeriod::Month, "2026-02-10T12:00:00Z");
        assert_eq!(told, ["2026-02-01T00:00:00Z", "2026-03-01T05:00:00Z"]);
        // The longest way there is.
        let west = QuotaCalendar { zone: zone("Etc/GMT+12"), carried: None };
        let changed = west.change(zone("Pacific/Kiritimati"), at("2026-01-10T12:00:00Z")).0;
        let told = shown(&changed, QuotaPeriod::Month, "2026-02-10T12:00:00Z");
        assert_eq!(told, ["2026-02-01T12:00:00Z", "2026-02-28T10:00:00Z"]);
    }

    /// When periods begin while the zone is changed again and again, each time so many minutes after the last.
    fn starts_over(period: QuotaPeriod, first: Timestamp, changes: &[(i64, usize)]) -> Vec<Timestamp> {
        let (mut calendar, mut now) = (QuotaCalendar::default(), first);
        let mut under_way = calendar.period_at(period, now);
        let mut starts = vec![under_way.from()];
        for (minutes, of) in changes {
            now = now.plus_micros(minutes * MINUTE_US);
            while under_way.to() <= now {
                under_way = calendar.period_at(period, under_way.to());
                starts.push(under_way.from());
            }
            calendar = calendar.change(zone(ZONES[*of]), now).0;
            assert_eq!(calendar.period_at(period, now), under_way, "a change rewrites the period under way");
        }
        for _ in 0..3 {
            under_way = calendar.period_at(period, under_way.to());
            starts.push(under_way.from());
        }
        starts
    }

    proptest! {
        /// Found in November 2026: each change of the zone began a period with a whole quota at the next midnight of
        /// the new zone: 24 changes gave 24 quotas of a day within a day, and as many of a month around its turn.
        #[test]
        fn no_changes_of_zone_begin_more_periods_than_two_within_a_usual_one(
            months in 0..120_i32,
            minutes in -36 * 60..36 * 60_i64,
            changes in proptest::collection::vec(
                (prop_oneof![6 => 0..150_i64, 3 => 0..30 * 60_i64, 1 => 0..40 * 24 * 60_i64], 0..ZONES.len()),
                1..40,
            ),
        ) {
            let utc = Calendar::utc();
            let turn = utc.start_of(utc.later(Day::parse("2020-01-01").unwrap(), Period::Month, months));
            let first = turn.plus_micros(minutes * MINUTE_US);
            for (period, usual_us, apart_us_min) in [
                (QuotaPeriod::Day, MICROS_PER_DAY, 23 * MICROS_PER_HOUR),
                (QuotaPeriod::Month, 28 * MICROS_PER_DAY, MONTH_US_MIN),
            ] {
                let starts = starts_over(period, first, &changes);
                let apart_us = |these: &[Timestamp]| these[these.len() - 1].micros() - these[0].micros();
                for two in starts.windows(2) {
                    prop_assert!(apart_us(two) >= apart_us_min, "{period:?}: {two:?}");
                }
                for three in starts.windows(3) {
                    prop_assert!(apart_us(three) > usual_us, "{period:?}: {three:?}");
                }
            }
        }

        /// Found in November 2026: a month could be left out, of which the one before took over the days.
        #[test]
        fn of_each_month_one_begins_whatever_the_zone_is_changed_to(
            months in 0..120_i32,
            minutes in -36 * 60..36 * 60_i64,
            changes in proptest::collection::vec((0..40 * 24 * 60_i64, 0..ZONES.len()), 1..40),
        ) {
            let utc = Calendar::utc();
            let month_of = |start: Timestamp| {
                // A month has begun 14 hours later in UTC, wherever it begins, and 26 hours later everywhere.
                utc.period_of(utc.day_of(start.plus_micros(14 * MICROS_PER_HOUR)), Period::Month)
            };
            let turn = utc.start_of(utc.later(Day::parse("2020-01-01").unwrap(), Period::Month, months));
            let starts = starts_over(QuotaPeriod::Month, turn.plus_micros(minutes * MINUTE_US), &changes);
            for two in starts.windows(2) {
                prop_assert_eq!(month_of(two[1]), utc.later(month_of(two[0]), Period::Month, 1), "{:?}", two);
            }
        }

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
                    // A usual one, and after a change of the zone a day at most the longest one of the zone more.
                    let hours = if period == QuotaPeriod::Day { 24 + 25 } else { 31 * 24 + 26 };
                    prop_assert!(length <= hours * MICROS_PER_HOUR, "{period:?} of {length} us");
                }
            }
        }
    }
}
