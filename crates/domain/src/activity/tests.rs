//! Every count against loops over users and days that are slow and obviously right.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::calendar::{WeekStart, Zone};
use crate::time::Timestamp;
use crate::users::UserNumber;

/// Who did something on which day.
type Visits = BTreeSet<(i32, u32)>;

const BASE: i32 = 20_000;

fn visits() -> impl Strategy<Value = Visits> {
    prop::collection::btree_set((BASE - 40..BASE + 80, 0_u32..12), 0..80)
}

fn calendars() -> impl Strategy<Value = Calendar> {
    let zones =
        prop::sample::select(vec!["UTC", "Europe/Berlin", "Pacific/Apia", "America/St_Johns", "Asia/Kathmandu"]);
    let weeks = prop::sample::select(vec![WeekStart::Monday, WeekStart::Sunday, WeekStart::Saturday]);
    (zones, weeks).prop_map(|(zone, week_start)| Calendar { zone: Zone::parse(zone).unwrap(), week_start })
}

fn ranges() -> impl Strategy<Value = DayRange> {
    (-50..90_i32, -2..60_i32).prop_map(|(first, days)| DayRange {
        first: Day::from_number(BASE + first),
        last: Day::from_number(BASE + first + days),
    })
}

fn periods() -> impl Strategy<Value = Period> {
    prop::sample::select(vec![Period::Day, Period::Week, Period::Month])
}

fn sets(visits: &Visits) -> DailyUsers {
    let mut sets = DailyUsers::new();
    for (day, user) in visits {
        sets.entry(Day::from_number(*day)).or_default().insert(UserNumber(*user));
    }
    sets
}

fn days_of(range: DayRange) -> Vec<Day> {
    (range.first.number()..=range.last.number()).map(Day::from_number).collect()
}

fn never() -> bool {
    false
}

/// The users with a visit on a day that fits.
fn users(visits: &Visits, fits: impl Fn(Day) -> bool) -> BTreeSet<u32> {
    visits.iter().filter(|(day, _)| fits(Day::from_number(*day))).map(|(_, user)| *user).collect()
}

proptest! {
    #[test]
    fn a_period_has_each_of_its_users_once(
        visits in visits(), calendar in calendars(), range in ranges(), period in periods(),
    ) {
        let starts: BTreeSet<Day> = days_of(range).into_iter().map(|day| calendar.period_of(day, period)).collect();
        let expected: Vec<_> = starts.iter().map(|start| {
            let active = users(&visits, |day| range.contains(day) && calendar.period_of(day, period) == *start);
            (*start, active.len() as u64)
        }).collect();
        prop_assert_eq!(periods_in(&calendar, range, period, 1_000), expected.len());
        prop_assert_eq!(active_per_period(&sets(&visits), &calendar, range, period, &never), Some(expected));
    }

    #[test]
    fn a_rolling_row_has_each_user_of_its_days_once(visits in visits(), range in ranges(), length in 1_u16..40) {
        let expected: Vec<_> = days_of(range).into_iter().map(|last| {
            let first = last.plus(1 - i32::from(length));
            (last, users(&visits, |day| first <= day && day <= last).len() as u64)
        }).collect();
        prop_assert_eq!(active_rolling(&sets(&visits), range, length, &never), Some(expected));
    }

    #[test]
    fn retention_follows_each_user_from_the_first_visit_ever(
        visits in visits(),
        calendar in calendars(),
        cohorts in ranges(),
        period in periods(),
        on_or_after in any::<bool>(),
        periods in 0_u16..12,
        now in -10..100_i32,
        second in 0..86_400_i64,
    ) {
        let now = calendar.start_of(Day::from_number(BASE + now)).plus_micros(second * 1_000_000);
        let variant = if on_or_after { Variant::OnOrAfter } else { Variant::On };
        let first_day = Day::MIN;
        let query = RetentionQuery { calendar, period, variant, cohorts, periods, first_day, now };
        prop_assert_eq!(retention(&sets(&visits), &query, &never), Some(by_hand(&visits, &query)));
    }
}

/// What the fast way gives, counted one user after the other.
fn by_hand(visits: &Visits, query: &RetentionQuery) -> Retention {
    let RetentionQuery { calendar, period, .. } = query;
    let visited: BTreeSet<(u32, Day)> =
        visits.iter().map(|(day, user)| (*user, calendar.period_of(Day::from_number(*day), *period))).collect();
    let first = |user: u32| visited.range((user, Day::MIN)..).next().unwrap().1;
    let everyone: BTreeSet<u32> = visits.iter().map(|(_, user)| *user).collect();
    let starts: BTreeSet<Day> =
        days_of(query.cohorts).into_iter().map(|day| calendar.period_of(day, *period)).collect();
    let mut cohorts = Vec::new();
    for start in starts {
        let members: Vec<u32> = everyone.iter().copied().filter(|user| first(*user) == start).collect();
        let mut cells = Vec::new();
        for n in 0..=i32::from(query.periods) {
            let (begin, end) = (calendar.later(start, *period, n), calendar.later(start, *period, n + 1));
            if calendar.start_of(begin) > query.now {
                break;
            }
            let back = |user: &&u32| match query.variant {
                Variant::On => visited.contains(&(**user, begin)),
                Variant::OnOrAfter => visited.range((**user, begin)..=(**user, Day::MAX)).next().is_some(),
            };
            let users = members.iter().filter(back).count() as u64;
            cells.push(Cell { users, complete: calendar.start_of(end) <= query.now });
        }
        cohorts.push(Cohort { start, size: members.len() as u64, cells });
    }
    let mut averages = Vec::new();
    for n in 0..=usize::from(query.periods) {
        let complete = |cohort: &&Cohort| cohort.size > 0 && cohort.cells.get(n).is_some_and(|cell| cell.complete);
        let pooled: Vec<_> = cohorts.iter().filter(complete).collect();
        let eligible = pooled.iter().map(|cohort| cohort.size).sum();
        if !pooled.is_empty() {
            averages.push(Average { n, users: pooled.iter().map(|cohort| cohort.cells[n].users).sum(), eligible });
        }
    }
    Retention { cohorts, averages }
}

#[test]
fn a_late_earlier_event_moves_its_user_to_the_older_cohort() {
    let day = |text: &str| Day::parse(text).unwrap();
    let query = RetentionQuery {
        calendar: Calendar::utc(),
        period: Period::Week,
        variant: Variant::On,
        cohorts: DayRange { first: day("2026-10-05"), last: day("2026-10-18") },
        periods: 1,
        first_day: Day::MIN,
        now: Timestamp::parse("2026-10-19").unwrap(),
    };
    let sizes = |activity: &DailyUsers| {
        retention(activity, &query, &never).unwrap().cohorts.iter().map(|cohort| cohort.size).collect::<Vec<_>>()
    };
    let mut activity = DailyUsers::new();
    activity.entry(day("2026-10-12")).or_default().insert(UserNumber(7));
    assert_eq!(sizes(&activity), [0, 1]);
    activity.entry(day("2026-10-06")).or_default().insert(UserNumber(7));
    assert_eq!(sizes(&activity), [1, 0]);
    activity.entry(day("2025-01-01")).or_default().insert(UserNumber(7));
    assert_eq!(sizes(&activity), [0, 0], "the first event ever decides, not the first in the range");
    let later = RetentionQuery { first_day: day("2026-10-06"), ..query.clone() };
    let cohorts = retention(&activity, &later, &never).unwrap().cohorts;
    assert_eq!(cohorts.iter().map(|cohort| cohort.size).collect::<Vec<_>>(), [1, 0], "a day that nobody meant");
}

#[test]
fn the_ends_of_the_calendar_are_no_trap() {
    let mut activity = DailyUsers::new();
    for day in [Day::MIN, Day::MAX] {
        activity.entry(day).or_default().insert(UserNumber(1));
    }
    for day in [Day::MIN, Day::MAX] {
        let range = DayRange { first: day, last: day };
        for period in [Period::Day, Period::Week, Period::Month] {
            assert_eq!(active_per_period(&activity, &Calendar::utc(), range, period, &never).unwrap().len(), 1);
            let query = RetentionQuery {
                calendar: Calendar::utc(),
                period,
                variant: Variant::OnOrAfter,
                cohorts: range,
                periods: 366,
                first_day: Day::MIN,
                now: Timestamp::MAX,
            };
            assert_eq!(retention(&activity, &query, &never).unwrap().cohorts.len(), 1);
        }
        assert_eq!(active_rolling(&activity, range, 30, &never), Some(vec![(day, 1)]));
    }
}

#[test]
fn i6_what_was_cancelled_is_not_counted_to_its_end() {
    let mut activity = DailyUsers::new();
    activity.entry(Day::from_number(BASE)).or_default().insert(UserNumber(1));
    let range = DayRange { first: Day::from_number(BASE), last: Day::from_number(BASE + 3_000) };
    let query = RetentionQuery {
        calendar: Calendar::utc(),
        period: Period::Day,
        variant: Variant::On,
        cohorts: range,
        periods: 60,
        first_day: Day::MIN,
        now: Timestamp::MAX,
    };
    // The caller is still there at the first ten looks.
    let count = |work: &dyn Fn(&dyn Fn() -> bool) -> bool| {
        let looks = std::cell::Cell::new(0);
        let is_cancelled = || {
            looks.set(looks.get() + 1);
            looks.get() > 10
        };
        assert!(!work(&is_cancelled), "an answer was given");
        looks.get()
    };
    assert_eq!(count(&|cancelled| retention(&activity, &query, cancelled).is_some()), 11);
    assert_eq!(count(&|cancelled| active_rolling(&activity, range, 30, cancelled).is_some()), 11);
    assert_eq!(
        count(&|cancelled| active_per_period(&activity, &Calendar::utc(), range, Period::Day, cancelled).is_some()),
        11
    );
}
