//! Retention: of the users who came for the first time in a period, how many came back later. A
//! cohort is decided by the first activity of all time (from a first day on), so a late earlier event moves its user to the
//! older cohort with the next question. Cohorts share no user, which bounds the memory.

use std::collections::BTreeMap;

use super::DailyUsers;
use crate::calendar::{Calendar, Day, DayRange, Period};
use crate::time::Timestamp;
use crate::users::UserSet;

/// What coming back means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Variant {
    /// Active in that very period.
    On,
    /// Active in that period or any later one.
    OnOrAfter,
}

/// Which cohorts, and how they are followed.
#[derive(Debug, Clone)]
pub struct RetentionQuery {
    /// Where days and weeks begin.
    pub calendar: Calendar,
    /// How long a cohort is, and a step after it.
    pub period: Period,
    /// What coming back means.
    pub variant: Variant,
    /// Cohorts of the periods that these days lie in.
    pub cohorts: DayRange,
    /// Steps after the first; each cohort has at most one cell more.
    pub periods: u16,
    /// Activity on earlier days is left out, so that a time that nobody meant makes no cohort.
    pub first_day: Day,
    /// Cells whose period has not begun by then are left out.
    pub now: Timestamp,
}

/// The users who came for the first time in one period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cohort {
    /// The first day of the period.
    pub start: Day,
    /// How many they are.
    pub size: u64,
    /// How many of them came back, after 0, 1, 2 and so on periods.
    pub cells: Vec<Cell>,
}

/// How many users of a cohort came back in one period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell {
    /// How many.
    pub users: u64,
    /// Whether the period has ended.
    pub complete: bool,
}

/// The pooled cells of all cohorts that are not empty and whose period has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Average {
    /// After how many periods.
    pub n: usize,
    /// Users who came back.
    pub users: u64,
    /// Users of those cohorts; more than 0.
    pub eligible: u64,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retention {
    /// The cohorts in order, also empty ones.
    pub cohorts: Vec<Cohort>,
    /// For each number of periods with anyone to look at.
    pub averages: Vec<Average>,
}

/// Follows the cohorts asked for through `activity`, which has to be that of all time. `None` when
/// `is_cancelled` says that the caller has left.
pub fn retention(activity: &DailyUsers, query: &RetentionQuery, is_cancelled: &dyn Fn() -> bool) -> Option<Retention> {
    let starts: Vec<Day> = super::starts(&query.calendar, query.cohorts, query.period).collect();
    let active = per_period(activity, query);
    let newcomers = newcomers(&active, &starts);
    let mut cohorts: Vec<Cohort> =
        starts.iter().zip(&newcomers).map(|(start, new)| empty_row(query, *start, new)).collect();
    let Some(first) = starts.first() else { return Some(Retention { cohorts, averages: Vec::new() }) };
    let steps = cohorts.iter().enumerate().map(|(at, cohort)| at + cohort.cells.len()).max().unwrap_or(0);
    let periods: Vec<Day> =
        super::starts(&query.calendar, DayRange { first: *first, last: Day::MAX }, query.period).take(steps).collect();
    let followed = Followed { newcomers: &newcomers, active: &active, periods: &periods, variant: query.variant };
    followed.fill(&mut cohorts, is_cancelled)?;
    let averages = averages(&cohorts);
    Some(Retention { cohorts, averages })
}

/// The users that were active in each period, by its first day.
fn per_period(activity: &DailyUsers, query: &RetentionQuery) -> DailyUsers {
    let mut periods = DailyUsers::new();
    for (day, users) in activity.range(query.first_day..) {
        periods.entry(query.calendar.period_of(*day, query.period)).or_default().merge(users);
    }
    periods
}

/// The users whose first period each of `starts` is.
fn newcomers(active: &DailyUsers, starts: &[Day]) -> Vec<UserSet> {
    let mut seen = UserSet::default();
    let mut new: BTreeMap<Day, UserSet> = BTreeMap::new();
    let (Some(first), Some(last)) = (starts.first(), starts.last()) else { return Vec::new() };
    for (start, users) in active.range(..=*last) {
        if start >= first {
            let mut users = users.clone();
            users.remove(&seen);
            new.insert(*start, users);
        }
        seen.merge(users);
    }
    starts.iter().map(|start| new.remove(start).unwrap_or_default()).collect()
}

/// A cohort whose cells are empty.
fn empty_row(query: &RetentionQuery, start: Day, new: &UserSet) -> Cohort {
    let calendar = &query.calendar;
    let mut cells = Vec::new();
    let mut begin = Some(start);
    while let Some(start) = begin.filter(|start| calendar.start_of(*start) <= query.now) {
        if cells.len() > usize::from(query.periods) {
            break;
        }
        begin = super::next(calendar, start, query.period);
        let complete = begin.is_some_and(|next| calendar.start_of(next) <= query.now);
        cells.push(Cell { users: 0, complete });
    }
    Cohort { start, size: new.len(), cells }
}

/// What the cells are counted from.
struct Followed<'a> {
    newcomers: &'a [UserSet],
    active: &'a DailyUsers,
    periods: &'a [Day],
    variant: Variant,
}

impl Followed<'_> {
    /// Counts into each cell: cell n of cohort c looks at the period c + n of `periods`. From the last
    /// period backwards, so that one growing set stands for "this one or any later".
    fn fill(&self, cohorts: &mut [Cohort], is_cancelled: &dyn Fn() -> bool) -> Option<()> {
        let Self { newcomers, active, periods, variant } = self;
        let none = UserSet::default();
        let mut later = UserSet::default();
        if let Some(last) = periods.last() {
            active.range(*last..).skip_while(|(start, _)| *start == last).for_each(|(_, users)| later.merge(users));
        }
        for (at, start) in periods.iter().enumerate().rev() {
            let mut users = active.get(start).unwrap_or(&none);
            if *variant == Variant::OnOrAfter {
                later.merge(users);
                users = &later;
            }
            for (begin, (cohort, new)) in cohorts.iter_mut().zip(*newcomers).enumerate().take(at + 1) {
                if is_cancelled() {
                    return None;
                }
                if let Some(cell) = cohort.cells.get_mut(at - begin) {
                    cell.users = new.common(users);
                }
            }
        }
        Some(())
    }
}

fn averages(cohorts: &[Cohort]) -> Vec<Average> {
    let cells_max = cohorts.iter().map(|cohort| cohort.cells.len()).max().unwrap_or(0);
    let average = |n: usize| {
        let complete = |cohort: &&Cohort| cohort.cells.get(n).is_some_and(|cell| cell.complete);
        let pooled = cohorts.iter().filter(complete);
        let (users, eligible) =
            pooled.fold((0, 0), |(users, eligible), cohort| (users + cohort.cells[n].users, eligible + cohort.size));
        (eligible > 0).then_some(Average { n, users, eligible })
    };
    (0..cells_max).filter_map(average).collect()
}
