//! Days against the civil calendar, over zones whose clocks change at odd times.

#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::*;
use crate::time::MICROS_PER_HOUR;

const INTERVALS: [Interval; 5] = [
    Interval::Minute,
    Interval::Hour,
    Interval::Days(Period::Day),
    Interval::Days(Period::Week),
    Interval::Days(Period::Month),
];

const ZONES: [&str; 10] = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/St_Johns",
    "America/Sao_Paulo",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Pacific/Kiritimati",
];

fn calendar(zone: &str) -> Calendar {
    Calendar { zone: Zone::parse(zone).unwrap(), week_start: WeekStart::Monday }
}

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

fn day(text: &str) -> Day {
    Day::parse(text).unwrap()
}

proptest! {
    #[test]
    fn a_day_is_the_date_on_the_wall(zone in 0..ZONES.len(), seconds in prop::collection::vec(-2_000_000_000_i64..4_000_000_000, 1..8)) {
        let calendar = calendar(ZONES[zone]);
        let mut days = calendar.days();
        for second in seconds {
            let wall = jiff::Timestamp::from_second(second).unwrap().to_zoned(calendar.zone.zone.clone());
            let found = days.day_of(Timestamp::from_micros(second * 1_000_000));
            prop_assert_eq!(found.to_string(), wall.date().to_string());
        }
    }

    #[test]
    fn a_day_begins_on_itself(zone in 0..ZONES.len(), number in -10_000_i32..40_000) {
        let calendar = calendar(ZONES[zone]);
        let day = Day::from_number(number);
        let start = calendar.start_of(day);
        // Samoa skipped a day, and St John's began some days twice.
        if calendar.day_of(start) == day && ZONES[zone] != "America/St_Johns" {
            prop_assert!(calendar.day_of(start.plus_micros(-1)) < day);
        }
        prop_assert_eq!(Day::parse(&day.to_string()), Some(day));
    }

    #[test]
    fn many_buckets_are_those_of_single_instants(
        zone in 0..ZONES.len(),
        base in -2_000_000_000_i64..2_000_000_000,
        steps in prop::collection::vec(prop_oneof![-4_000_i64..4_000, -3_000_000_i64..3_000_000], 1..40),
        kind in 0..5_usize,
    ) {
        let interval = INTERVALS[kind];
        let calendar = calendar(ZONES[zone]);
        let mut buckets = calendar.buckets(interval);
        let mut second = base;
        for step in steps {
            second += step;
            let instant = Timestamp::from_micros(second * 1_000_000);
            prop_assert_eq!(buckets.start_of(instant), calendar.bucket_of(instant, interval));
            let hour = instant.floor_to(3_600_000_000);
            if buckets.hold(hour, hour.plus_micros(3_600_000_000)) {
                for minute in 0..60 {
                    let inside = hour.plus_micros(minute * 60_000_000);
                    prop_assert_eq!(calendar.bucket_of(inside, interval), calendar.bucket_of(hour, interval));
                }
            }
        }
    }
}

#[test]
fn days_across_a_change_of_clocks() {
    let berlin = calendar("Europe/Berlin");
    assert_eq!(berlin.start_of(day("2026-03-29")), at("2026-03-28T23:00:00Z"));
    assert_eq!(berlin.start_of(day("2026-03-30")), at("2026-03-29T22:00:00Z"));
    assert_eq!(berlin.day_of(at("2026-03-29T21:59:59Z")), day("2026-03-29"));
    assert_eq!(berlin.day_of(at("2026-03-29T22:00:00Z")), day("2026-03-30"));
    // Clocks went from 24:00 straight to 01:00.
    let brazil = calendar("America/Sao_Paulo");
    assert_eq!(brazil.start_of(day("2018-11-04")), at("2018-11-04T03:00:00Z"));
}

#[test]
fn weeks_and_months() {
    let calendar = calendar("UTC");
    assert_eq!(calendar.period_of(day("2026-11-21"), Period::Week), day("2026-11-16"));
    assert_eq!(calendar.period_of(day("2026-11-16"), Period::Week), day("2026-11-16"));
    assert_eq!(calendar.period_of(day("1969-12-28"), Period::Week), day("1969-12-22"));
    assert_eq!(calendar.period_of(day("2026-11-21"), Period::Month), day("2026-11-01"));
    assert_eq!(calendar.later(day("2026-11-01"), Period::Month, 2), day("2027-01-01"));
    let sunday = Calendar { week_start: WeekStart::Sunday, ..calendar };
    assert_eq!(sunday.period_of(day("2026-11-21"), Period::Week), day("2026-11-15"));
}

/// 0001-01-01 was a Monday: weeks that begin on a Saturday have the end of one before it.
#[test]
fn the_first_week_ends_where_its_first_day_says() {
    let calendar = Calendar { week_start: WeekStart::Saturday, ..calendar("Asia/Kathmandu") };
    let (monday, saturday) = (day("0001-01-01"), day("0001-01-06"));
    assert_eq!(calendar.period_of(day("0001-01-05"), Period::Week), monday);
    assert_eq!(calendar.period_of(saturday, Period::Week), saturday);
    assert_eq!(calendar.later(monday, Period::Week, 1), saturday);
    let mut buckets = calendar.buckets(Interval::Days(Period::Week));
    for (instant, first) in [("0001-01-03T00:00:00Z", monday), ("0001-01-06T00:00:00Z", saturday)] {
        assert_eq!(buckets.start_of(at(instant)), calendar.start_of(first), "{instant}");
    }
}

#[test]
fn zones_that_are_none() {
    for name in ["", "Mars/Olympus", "../etc/passwd", "Europe/Berlin\0", "EST5EDT4", "+02:00", "Europe/", "/", "local"]
    {
        assert!(Zone::parse(name).is_err(), "{name}");
    }
    for name in ["Factory", "factory", "Etc/Unknown", "posixrules", "localtime", "leapseconds", "zone.tab", "2026e"] {
        assert!(Zone::parse(name).is_err(), "{name}");
    }
    assert!(Zone::parse(&"A".repeat(1_000)).is_err());
    for name in ["Europe/Berlin", "UTC", "Etc/UTC", "Etc/GMT+5", "GMT", "US/Eastern", "EST5EDT", "Asia/Calcutta"] {
        assert_eq!(Zone::parse(&name.to_lowercase()).unwrap().name(), name);
    }
}

#[test]
fn dates_that_are_none() {
    for text in
        ["2026-02-30", "2026-13-01", "2026-1-1", "20261121", "0000-01-01", "2026-11-21T", "+026-11-21", "２026-11-21"]
    {
        assert_eq!(Day::parse(text), None, "{text}");
    }
}

/// Clocks change near these instants, some over midnight, one over a whole day.
const CHANGES: [(&str, &str); 6] = [
    ("Europe/Berlin", "2026-10-25T01:00:00Z"),
    ("America/Goose_Bay", "2010-11-07T03:01:00Z"),
    ("America/Goose_Bay", "2010-03-14T04:01:00Z"),
    ("America/Toronto", "1919-03-31T04:30:00Z"),
    ("Pacific/Apia", "2011-12-30T10:00:00Z"),
    ("America/Sao_Paulo", "2018-02-18T02:00:00Z"),
];

#[test]
fn days_are_whole_when_all_their_minutes_are() {
    for (name, change) in CHANGES {
        let calendar = Calendar { zone: Zone::parse(name).unwrap(), week_start: WeekStart::Monday };
        let change = Timestamp::parse(change).unwrap();
        let minute = |minute: i64| change.plus_micros(minute * 60 * MICROS_PER_SECOND);
        let days: Vec<(i64, Day)> = (-4_500..4_500).map(|at| (at, calendar.day_of(minute(at)))).collect();
        let borders = days.windows(2).filter(|pair| pair[0].1 != pair[1].1).map(|pair| pair[1].0);
        let near = borders.filter(|at| at.abs() < 3_000).flat_map(|at| [at - 1, at, at + 1, at + 700]);
        let mut ends: Vec<i64> = near.collect();
        ends.sort_unstable();
        for (from, to) in ends.iter().flat_map(|from| ends.iter().map(move |to| (*from, *to))) {
            if from > to {
                continue;
            }
            let inside = |at: i64| (from..to).contains(&at);
            let found = calendar.whole_days(TimeRange::new(minute(from), minute(to)).unwrap());
            let mut parts: std::collections::BTreeMap<Day, bool> = std::collections::BTreeMap::new();
            for (at, day) in &days {
                *parts.entry(*day).or_insert(true) &= inside(*at);
            }
            for (day, is_whole) in parts {
                assert_eq!(found.is_some_and(|found| found.contains(day)), is_whole, "{name} {day} in {from}..{to}");
            }
        }
    }
}

#[test]
fn all_of_time_is_whole_days() {
    for zone in ["UTC", "Asia/Tokyo", "America/New_York"] {
        let calendar = Calendar { zone: Zone::parse(zone).unwrap(), week_start: WeekStart::Monday };
        assert_eq!(calendar.whole_days(TimeRange::ALL), Some(DayRange::ALL));
    }
}

/// All zones whose clocks differ from each other's after 1990.
fn all_zones() -> Vec<Calendar> {
    let mut seen = std::collections::HashSet::new();
    let names = jiff::tz::db().available().filter_map(|name| Zone::parse(name.as_str()).ok());
    let differs = |zone: &Zone| seen.insert((zone.offset_us(at("1990-01-01")), changes_since_1990(zone)));
    names.filter(differs).map(|zone| Calendar { zone, week_start: WeekStart::Saturday }).collect()
}

fn changes_since_1990(zone: &Zone) -> Vec<(Timestamp, i64)> {
    let changes = zone.changes_after(at("1990-01-01")).take_while(|change| *change < at("2041-01-01"));
    changes.map(|change| (change, zone.offset_us(change))).collect()
}

#[test]
fn buckets_of_every_zone_cover_all_time_and_none_overlap() {
    for calendar in all_zones() {
        let name = calendar.zone.name();
        for (change, _) in changes_since_1990(&calendar.zone) {
            for interval in [Interval::Minute, Interval::Hour] {
                let mut start = calendar.bucket_of(change.plus_micros(-MICROS_PER_HOUR), interval);
                while start < change.plus_micros(2 * MICROS_PER_HOUR) {
                    let next = calendar.bucket_after(start, interval);
                    assert!(start < next, "{name} {interval:?} {start}");
                    for inside in [start, start.plus_micros(1), next.plus_micros(-1)] {
                        assert_eq!(calendar.bucket_of(inside, interval), start, "{name} {interval:?} {inside}");
                    }
                    assert_eq!(calendar.bucket_of(next, interval), next, "{name} {interval:?}");
                    start = next;
                }
            }
        }
    }
}

#[test]
fn buckets_of_days_are_the_days_of_every_zone() {
    for calendar in all_zones() {
        let name = calendar.zone.name();
        for (change, _) in changes_since_1990(&calendar.zone) {
            for interval in &INTERVALS[2..] {
                let Interval::Days(period) = *interval else { continue };
                let mut start = calendar.bucket_of(change.plus_micros(-2 * MICROS_PER_DAY), *interval);
                while start < change.plus_micros(2 * MICROS_PER_DAY) {
                    let first = calendar.period_of(calendar.day_of(start), period);
                    let next = calendar.bucket_after(start, *interval);
                    assert!(start < next, "{name} {interval:?} {start}");
                    assert_eq!(calendar.bucket_of(start, *interval), start, "{name} {interval:?} {start}");
                    assert_eq!(calendar.start_of(first), start, "{name} {interval:?} {start}");
                    let last = calendar.later(first, period, 1).plus(-1);
                    assert!(calendar.range_of(DayRange { first, last }).to() >= next, "{name} {interval:?} {start}");
                    start = next;
                }
            }
        }
    }
}

#[test]
fn a_range_of_dates_holds_the_whole_last_day_where_clocks_show_midnight_twice() {
    let day_of = |zone: &str, date: &str| {
        let range = calendar(zone).range_of(DayRange { first: day(date), last: day(date) });
        (range.from().to_string(), range.to().to_string())
    };
    let text = |from: &str, to: &str| (from.to_owned(), to.to_owned());
    // From 00:01 back to 23:01 of the day before.
    let twice = day_of("America/St_Johns", "2010-11-06");
    assert_eq!(twice, text("2010-11-06T02:30:00Z", "2010-11-07T03:30:00Z"));
    // From 01:00 back to 00:00 of the same day.
    assert_eq!(day_of("America/Havana", "2025-11-01"), text("2025-11-01T04:00:00Z", "2025-11-02T04:00:00Z"));
    assert_eq!(day_of("America/Havana", "2025-11-02"), text("2025-11-02T04:00:00Z", "2025-11-03T05:00:00Z"));
    // From 24:00 back to 23:00.
    assert_eq!(day_of("Asia/Beirut", "2025-10-25"), text("2025-10-24T21:00:00Z", "2025-10-25T22:00:00Z"));
}

#[test]
fn every_instant_lies_in_the_range_of_its_day_in_every_zone() {
    for calendar in all_zones() {
        for (change, _) in changes_since_1990(&calendar.zone) {
            let around = (-30..30).map(|step| change.plus_micros(step * 60 * 60_000_000 + step));
            for at in around.chain((-3..3).map(|step| change.plus_micros(step * 60_000_000))) {
                let day = calendar.day_of(at);
                let range = calendar.range_of(DayRange { first: day, last: day });
                let name = calendar.zone.name();
                assert!(range.contains(at), "{name} {at}");
                assert_eq!(calendar.day_of(range.from()), day, "{name} {at}");
                assert_eq!(calendar.day_of(range.to().plus_micros(-1)), day, "{name} {at}");
            }
        }
    }
}

#[test]
fn the_days_of_a_range_are_those_of_all_its_instants() {
    for (name, change) in CHANGES.into_iter().chain([("America/Havana", "2025-11-02T05:00:00Z")]) {
        let calendar = calendar(name);
        let minute = |minute: i64| at(change).plus_micros(minute * 60 * MICROS_PER_SECOND);
        let ends = [-1_500, -700, -70, -61, -60, -59, -2, -1, 0, 1, 2, 58, 59, 60, 61, 70, 700, 1_500];
        for (from, to) in ends.iter().flat_map(|from| ends.iter().map(move |to| (*from, *to))) {
            let Some(range) = TimeRange::new(minute(from), minute(to)) else { continue };
            let found = calendar.days_of(range);
            let days = || (from..to).map(|at| calendar.day_of(minute(at)));
            match days().min().zip(days().max()) {
                Some((first, last)) => assert_eq!(found, DayRange { first, last }, "{name} {from}..{to}"),
                None => assert!(found.last < found.first, "{name} {from}..{to}"),
            }
        }
    }
}
