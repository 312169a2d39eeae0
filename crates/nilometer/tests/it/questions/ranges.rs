//! Random ranges of time as a client writes them, and what they mean.

use jiff::civil::Date;
use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use super::truth::random_instant;
use super::wall::{Wall, Width, ZONES, text};

/// All of time.
pub(crate) const ALWAYS: (i64, i64) = (i64::MIN, i64::MAX);

/// One end of a range.
#[derive(Debug, Clone, Copy)]
enum End {
    Day(Date),
    Instant(i64),
}

/// A range as written.
#[derive(Debug, Clone)]
pub(crate) struct Range {
    from: End,
    to: End,
}

impl Range {
    /// From a day or an instant up to and with a day, or up to an instant; never empty in `wall`.
    pub(crate) fn random(random: &mut StdRng, now: i64, wall: &Wall) -> Self {
        loop {
            let mut ends = [random_instant(random, now), random_instant(random, now)];
            ends.sort_unstable();
            let mut end = |at: i64| {
                if random.random_range(0..2) == 0 { End::Day(wall.day_of(at)) } else { End::Instant(at) }
            };
            let range = Self { from: end(ends[0]), to: end(ends[1]) };
            let (from, to) = range.instants(wall);
            if from < to {
                return range;
            }
        }
    }

    /// Counts of whole days.
    pub(crate) fn of_days(random: &mut StdRng, now: i64, wall: &Wall) -> Self {
        let mut ends = [random_instant(random, now), random_instant(random, now)];
        ends.sort_unstable();
        let day = |at| End::Day(wall.day_of(at));
        Self { from: day(ends[0]), to: day(ends[1]) }
    }

    /// The instants inside, half-open.
    pub(crate) fn instants(&self, wall: &Wall) -> (i64, i64) {
        let from = match self.from {
            End::Day(day) => wall.start_of(day),
            End::Instant(at) => at,
        };
        let to = match self.to {
            End::Day(day) => wall.start_of(day.tomorrow().unwrap()),
            End::Instant(at) => at,
        };
        (from, to)
    }

    /// The first and the last day that an instant inside lies on.
    pub(crate) fn days(&self, wall: &Wall) -> (Date, Date) {
        let (from, to) = self.instants(wall);
        (wall.day_of(from), wall.day_of(to - 1))
    }

    /// As parameters of a request.
    pub(crate) fn parameters(&self) -> Vec<(&'static str, String)> {
        let text = |end| match end {
            End::Day(day) => day.to_string(),
            End::Instant(at) => text(at),
        };
        vec![("from", text(self.from)), ("to", text(self.to))]
    }
}

/// The first days of the runs of days from the one that `first` lies in to the one of `last`.
pub(crate) fn runs(wall: &Wall, first: Date, last: Date, width: Width) -> Vec<Date> {
    let mut runs = Vec::new();
    let mut day = wall.first_of(first, width);
    while day <= last {
        runs.push(day);
        day = wall.next(day, width);
    }
    runs
}

/// A zone to ask in: the tenant's own one time in three, then sometimes without naming it.
pub(crate) fn zone(random: &mut StdRng, own: &Wall, parameters: &mut Vec<(&'static str, String)>) -> Wall {
    let mut wall = own.clone();
    let other = random.random_range(0..3) > 0;
    if other {
        wall = Wall { week_start: own.week_start, ..Wall::of(ZONES.choose(random).unwrap()) };
    }
    if other || random.random_range(0..2) == 0 {
        parameters.push(("tz", wall.name.to_owned()));
    }
    wall
}
