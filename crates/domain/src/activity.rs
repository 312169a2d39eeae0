//! How many users were active, counted from the exact set of users of each day: per day, week or
//! month, over the days that end with each day, and how many came back. Set operations only, never a
//! loop over users. Knows neither where the sets come from nor what time it is. Each may take long, and
//! ends with `None` as soon as `is_cancelled` says that the caller has left.

mod retention;

use std::collections::BTreeMap;

use crate::calendar::{Calendar, Day, DayRange, Period};
use crate::users::UserSet;

pub use retention::{Average, Cell, Cohort, Retention, RetentionQuery, Variant, retention};

/// The users that were active on each day; days without any may be missing.
pub type DailyUsers = BTreeMap<Day, UserSet>;

/// How many periods the days of a range lie in, counted up to `max`.
pub fn periods_in(calendar: &Calendar, days: DayRange, period: Period, max: usize) -> usize {
    starts(calendar, days, period).take(max).count()
}

/// How many users were active in each period that a day of `days` lies in, by the first day of the
/// period. Only activity on `days` counts, also in the first and the last period.
pub fn active_per_period(
    activity: &DailyUsers,
    calendar: &Calendar,
    days: DayRange,
    period: Period,
    is_cancelled: &dyn Fn() -> bool,
) -> Option<Vec<(Day, u64)>> {
    let rows = starts(calendar, days, period).map(|start| {
        let last = next(calendar, start, period).map_or(Day::MAX, |next| next.plus(-1));
        (!is_cancelled()).then(|| (start, union(inside(activity, start.max(days.first), last.min(days.last))).len()))
    });
    rows.collect()
}

/// How many users were active in the `length` days (1 if 0 is given) that end with each day of `days`;
/// activity before the first day counts for the first rows.
///
/// Days are cut into blocks of `length`: what ends with a day is the rest of one block and the
/// beginning of the next. Both are kept as unions that grow by a day, so that a row costs about three
/// set operations however long `length` is (van Herk 1992; Gil and Werman 1993).
pub fn active_rolling(
    activity: &DailyUsers,
    days: DayRange,
    length: u16,
    is_cancelled: &dyn Fn() -> bool,
) -> Option<Vec<(Day, u64)>> {
    let length = usize::from(length.max(1));
    let before: Vec<Day> = (1..=length).rev().filter_map(|back| earlier(days.first, back)).collect();
    // At n: the union of the last n + 1 days of the block before.
    let mut rests = rests_of(activity, &before);
    let mut beginning = UserSet::default();
    let mut block = Vec::with_capacity(length);
    let mut rows = Vec::new();
    for day in each(days) {
        if is_cancelled() {
            return None;
        }
        block.push(day);
        if let Some(users) = activity.get(&day) {
            beginning.merge(users);
        }
        // Before the year 1 there is no day to be in a rest.
        let missing = (length - block.len()).min(rests.len());
        let rest = missing.checked_sub(1).and_then(|at| rests.get(at));
        let common = rest.map_or(0, |rest| rest.common(&beginning));
        rows.push((day, beginning.len() + rest.map_or(0, UserSet::len) - common));
        if block.len() == length {
            rests = rests_of(activity, &block);
            beginning = UserSet::default();
            block.clear();
        }
    }
    Some(rows)
}

/// The unions of the last day, the last two days, and so on, of a block, but not of the whole.
fn rests_of(activity: &DailyUsers, block: &[Day]) -> Vec<UserSet> {
    let mut rest = UserSet::default();
    let unions = block.iter().skip(1).rev().map(|day| {
        if let Some(users) = activity.get(day) {
            rest.merge(users);
        }
        rest.clone()
    });
    unions.collect()
}

fn earlier(day: Day, days: usize) -> Option<Day> {
    let days = i32::try_from(days).ok()?;
    (day.number() - Day::MIN.number() >= days).then(|| day.plus(-days))
}

fn each(days: DayRange) -> impl Iterator<Item = Day> {
    (days.first.number()..=days.last.number()).map(Day::from_number)
}

/// The first days of the periods that the days of a range lie in.
fn starts(calendar: &Calendar, days: DayRange, period: Period) -> impl Iterator<Item = Day> + '_ {
    let first = (days.first <= days.last).then(|| calendar.period_of(days.first, period));
    std::iter::successors(first, move |start| next(calendar, *start, period).filter(|next| *next <= days.last))
}

/// The first day of the next period; `None` when that is after the last year.
fn next(calendar: &Calendar, start: Day, period: Period) -> Option<Day> {
    let next = calendar.later(start, period, 1);
    (start < next && calendar.period_of(next, period) == next).then_some(next)
}

fn inside(activity: &DailyUsers, first: Day, last: Day) -> impl Iterator<Item = &UserSet> {
    // A map refuses a range that ends before it begins.
    (first <= last).then(|| activity.range(first..=last).map(|(_, users)| users)).into_iter().flatten()
}

fn union<'u>(sets: impl Iterator<Item = &'u UserSet>) -> UserSet {
    let mut union = UserSet::default();
    for set in sets {
        union.merge(set);
    }
    union
}

#[cfg(test)]
mod tests;
