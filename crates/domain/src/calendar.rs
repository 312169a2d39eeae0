//! What a day, a week and an hour are in one time zone. Every statistic asks this file, so that two
//! answers never disagree about a border. A day is the calendar date that clocks in the zone show;
//! days have 23 or 25 hours when clocks change. Zones come from the IANA database compiled in.

mod bound;
mod buckets;

use std::borrow::Cow;
use std::fmt;

use jiff::civil;
use jiff::tz::{AmbiguousOffset, TimeZone};
use serde::{Deserialize, Serialize};

use crate::time::{MICROS_PER_DAY, MICROS_PER_SECOND, TimeRange, Timestamp};

pub use bound::{BoundError, TimeBound};
pub use buckets::Buckets;

/// Longest zone name, in bytes.
const ZONE_BYTES_MAX: usize = 64;
/// Names of the database that mean that no zone was chosen.
const NO_ZONES: [&str; 2] = ["Factory", "Etc/Unknown"];
/// Longer than clocks ever go back.
const STEP_BACK_US_MAX: i64 = 2 * MICROS_PER_DAY;

/// A time zone of the IANA database.
#[derive(Clone, PartialEq, Eq)]
pub struct Zone {
    name: String,
    zone: TimeZone,
}

impl Zone {
    /// UTC.
    pub fn utc() -> Self {
        Self { name: "UTC".to_owned(), zone: TimeZone::UTC }
    }

    /// The zone with this IANA name, in any case.
    ///
    /// # Errors
    /// [`UnknownZone`] when the database has no such zone.
    pub fn parse(name: &str) -> Result<Self, UnknownZone> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'+' | b'/');
        if name.is_empty() || name.len() > ZONE_BYTES_MAX || !name.bytes().all(allowed) {
            return Err(UnknownZone);
        }
        if name.eq_ignore_ascii_case("utc") {
            return Ok(Self::utc());
        }
        let zone = TimeZone::get(name).map_err(|_| UnknownZone)?;
        let name = zone.iana_name().filter(|name| !NO_ZONES.contains(name)).ok_or(UnknownZone)?.to_owned();
        Ok(Self { name, zone })
    }

    /// Its IANA name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Finds the days of many instants, for callers that keep it.
    pub fn into_days(self) -> Days<'static> {
        Days::of(Cow::Owned(self))
    }

    /// How far clocks are ahead of UTC at an instant, in microseconds.
    fn offset_us(&self, at: Timestamp) -> i64 {
        i64::from(self.zone.to_offset(instant(at)).seconds()) * MICROS_PER_SECOND
    }

    /// The changes of the offset after an instant, in order.
    fn changes_after(&self, at: Timestamp) -> impl Iterator<Item = Timestamp> + '_ {
        let mut offset = self.zone.to_offset(instant(at));
        let changes = self.zone.following(instant(at)).filter(move |change| {
            let before = std::mem::replace(&mut offset, change.offset());
            before != offset
        });
        changes.map(|change| Timestamp::from_micros(change.timestamp().as_microsecond()))
    }

    /// The latest change of the offset at an instant or before it.
    fn change_before(&self, at: Timestamp) -> Option<Timestamp> {
        // A change at the instant itself is found by neither side of it.
        let changes = self.zone.preceding(instant(at.plus_micros(1)));
        let mut changes = changes.map(|change| Timestamp::from_micros(change.timestamp().as_microsecond()));
        changes.find(|change| self.offset_us(change.plus_micros(-1)) != self.offset_us(*change))
    }
}

/// As the clocks of a zone are asked; they stand still at the very end of year 9999.
fn instant(at: Timestamp) -> jiff::Timestamp {
    jiff::Timestamp::from_microsecond(at.micros()).unwrap_or(jiff::Timestamp::MAX)
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// No zone has that name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no time zone of the IANA database, as in Europe/Berlin")]
pub struct UnknownZone;

/// A calendar date, as days since 1970-01-01.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Day(i32);

impl Day {
    /// 0001-01-01.
    pub const MIN: Self = Self(-719_162);
    /// 9999-12-31.
    pub const MAX: Self = Self(2_932_896);

    /// The day with this number, clamped to years 1 to 9999.
    pub const fn from_number(days: i32) -> Self {
        if days < Self::MIN.0 {
            Self::MIN
        } else if days > Self::MAX.0 {
            Self::MAX
        } else {
            Self(days)
        }
    }

    /// Days since 1970-01-01.
    pub const fn number(self) -> i32 {
        self.0
    }

    /// The day `days` later (earlier when negative), clamped to years 1 to 9999.
    #[must_use]
    pub const fn plus(self, days: i32) -> Self {
        Self::from_number(self.0.saturating_add(days))
    }

    /// Reads `YYYY-MM-DD` of a date that exists.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if text.len() != 10 || !text.is_ascii() || !digits(&text[..4]) || !digits(&text[5..7]) || !digits(&text[8..]) {
            return None;
        }
        if &text[4..5] != "-" || &text[7..8] != "-" {
            return None;
        }
        let (year, month, day) = (text[..4].parse().ok()?, text[5..7].parse().ok()?, text[8..].parse().ok()?);
        let date = civil::Date::new(year, month, day).ok().filter(|date| date.year() >= 1)?;
        Some(Self::of_date(date))
    }

    fn of_date(date: civil::Date) -> Self {
        let since = date.duration_since(civil::date(1970, 1, 1)).as_hours() / 24;
        Self::from_number(i32::try_from(since).unwrap_or(i32::MAX))
    }

    fn date(self) -> civil::Date {
        let days = jiff::SignedDuration::from_hours(i64::from(self.0) * 24);
        civil::date(1970, 1, 1).checked_add(days).unwrap_or(civil::Date::MAX)
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.date())
    }
}

impl Serialize for Day {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The day that weeks begin on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WeekStart {
    /// As ISO 8601 has it.
    #[default]
    Monday,
    /// As in the United States.
    Sunday,
    /// As in parts of the Arab world.
    Saturday,
}

impl WeekStart {
    /// How many days after Monday a week begins.
    const fn days_after_monday(self) -> i32 {
        match self {
            Self::Monday => 0,
            Self::Sunday => 6,
            Self::Saturday => 5,
        }
    }
}

/// A run of whole days.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Period {
    /// One day.
    Day,
    /// Seven days from the start of the week.
    Week,
    /// A calendar month.
    Month,
}

/// The width of the buckets of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Interval {
    /// 60 seconds.
    Minute,
    /// From one full hour on the clock to the next, or to a change of clocks within it.
    Hour,
    /// Whole days.
    Days(Period),
}

/// First and last of a run of days; empty when the last is before the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DayRange {
    /// First day inside.
    pub first: Day,
    /// Last day inside.
    pub last: Day,
}

impl DayRange {
    /// All days.
    pub const ALL: Self = Self { first: Day::MIN, last: Day::MAX };

    /// Whether `day` lies inside.
    pub fn contains(self, day: Day) -> bool {
        self.first <= day && day <= self.last
    }
}

/// A zone, and the day that weeks begin on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calendar {
    /// The zone.
    pub zone: Zone,
    /// The day that weeks begin on.
    pub week_start: WeekStart,
}

impl Calendar {
    /// UTC with weeks that begin on Monday.
    pub fn utc() -> Self {
        Self { zone: Zone::utc(), week_start: WeekStart::Monday }
    }

    /// Finds the days of many instants.
    pub fn days(&self) -> Days<'_> {
        Days::of(Cow::Borrowed(&self.zone))
    }

    /// The day of one instant; see [`Calendar::days`] for many.
    pub fn day_of(&self, at: Timestamp) -> Day {
        self.days().day_of(at)
    }

    /// The first instant of a day.
    pub fn start_of(&self, day: Day) -> Timestamp {
        // The clocks may have jumped over midnight from before it: the day begins with the jump.
        self.instant_of(day.date().at(0, 0, 0, 0))
    }

    /// The first instant at which clocks show `local`; where they jumped over it, the end of the jump.
    pub(crate) fn instant_of(&self, local: civil::DateTime) -> Timestamp {
        let shown = self.zone.zone.to_ambiguous_timestamp(local);
        let is_skipped = matches!(shown.offset(), AmbiguousOffset::Gap { .. });
        let Ok(first) = shown.compatible() else {
            // At the ends of what can be written only UTC can name it.
            return Timestamp::of_civil(local).unwrap_or(if local.year() < 1 {
                Timestamp::MIN
            } else {
                Timestamp::MAX
            });
        };
        let micros = i64::try_from(first.as_nanosecond().div_euclid(1_000)).unwrap_or(i64::MAX);
        let first = Timestamp::from_micros(micros);
        let jump = if is_skipped { self.zone.change_before(first) } else { None };
        jump.unwrap_or(first)
    }

    /// The instant after the last one of a day. Later than the start of the next day where clocks go back
    /// over midnight: then a part of this day comes after the next has begun.
    pub fn end_of(&self, day: Day) -> Timestamp {
        if day == Day::MAX {
            return Timestamp::MAX;
        }
        let next = self.start_of(day.plus(1));
        let midnight = self.zone.zone.to_ambiguous_timestamp(day.plus(1).date().at(0, 0, 0, 0));
        match (midnight.offset(), midnight.later()) {
            (AmbiguousOffset::Fold { .. }, Ok(again)) => {
                let again = Timestamp::from_micros(again.as_microsecond());
                if self.day_of(again.plus_micros(-1)) <= day { next.max(again) } else { next }
            }
            _ => next,
        }
    }

    /// The first and the last day that an instant of `range` lies on; none when the range is empty.
    pub fn days_of(&self, range: TimeRange) -> DayRange {
        let (from, to) = (range.from(), range.to());
        let (first, last) = (self.day_of(from), self.day_of(to.plus_micros(-1)));
        if from == to {
            return DayRange { first, last: first.plus(-1) };
        }
        // Only where clocks go back is a later instant on an earlier day.
        let near = from.plus_micros(STEP_BACK_US_MAX).min(to);
        let firsts = self.changes(from, near).map(|change| self.day_of(change));
        let near = to.plus_micros(-STEP_BACK_US_MAX).max(from);
        let lasts = self.changes(near, to).map(|change| self.day_of(change.plus_micros(-1)));
        DayRange { first: firsts.fold(first, Day::min), last: lasts.fold(last, Day::max) }
    }

    /// The changes of the offset after `from` and before `to`.
    fn changes(&self, from: Timestamp, to: Timestamp) -> impl Iterator<Item = Timestamp> + '_ {
        self.zone.changes_after(from).take_while(move |change| *change < to)
    }

    /// The days that lie in `range` from their first instant to their last; none when there is none.
    pub fn whole_days(&self, range: TimeRange) -> Option<DayRange> {
        let start = |day| if day == Day::MIN { Timestamp::MIN } else { self.start_of(day) };
        let mut first = self.day_of(range.from());
        while first < Day::MAX && start(first) < range.from() {
            first = first.plus(1);
        }
        let mut last = self.day_of(range.to().plus_micros(-1));
        while last > first && self.end_of(last) > range.to() {
            last = last.plus(-1);
        }
        (first <= last && start(first) >= range.from() && self.end_of(last) <= range.to())
            .then_some(DayRange { first, last })
    }

    /// From the first instant of the first day to the end of the last.
    pub fn range_of(&self, days: DayRange) -> TimeRange {
        let from = if days.first == Day::MIN { Timestamp::MIN } else { self.start_of(days.first) };
        TimeRange::new(from, self.end_of(days.last).max(from)).unwrap_or(TimeRange::ALL)
    }

    /// The first day of the period that `day` lies in.
    pub fn period_of(&self, day: Day, period: Period) -> Day {
        match period {
            Period::Day => day,
            Period::Week => day.plus(-self.days_into_week(day)),
            Period::Month => Day::of_date(day.date().first_of_month()),
        }
    }

    /// How many days of its week came before a day.
    fn days_into_week(&self, day: Day) -> i32 {
        // 1970-01-01 was a Thursday, three days after Monday.
        (day.0 + 3 - self.week_start.days_after_monday()).rem_euclid(7)
    }

    /// The first day of the period `count` later than the one that begins on `start`.
    pub fn later(&self, start: Day, period: Period, count: i32) -> Day {
        match period {
            Period::Day => start.plus(count),
            // The first week begins with the first day there is, wherever it lies in its week.
            Period::Week => start.plus(count.saturating_mul(7).saturating_sub(self.days_into_week(start))),
            Period::Month => {
                let months = jiff::Span::new().try_months(count).unwrap_or_default();
                start.date().checked_add(months).map_or(Day::MAX, Day::of_date)
            }
        }
    }
}

/// Finds the days of many instants of one zone; neighbours cost two comparisons.
#[derive(Debug, Clone)]
pub struct Days<'z> {
    zone: Cow<'z, Zone>,
    /// Where `offset_us` holds, half-open.
    from: Timestamp,
    to: Timestamp,
    offset_us: i64,
}

impl<'z> Days<'z> {
    fn of(zone: Cow<'z, Zone>) -> Self {
        Self { zone, from: Timestamp::MAX, to: Timestamp::MIN, offset_us: 0 }
    }

    /// The date that clocks in the zone show at an instant.
    pub fn day_of(&mut self, at: Timestamp) -> Day {
        if at < self.from || at >= self.to {
            self.move_to(at);
        }
        let local = at.micros().saturating_add(self.offset_us);
        Day::from_number(i32::try_from(local.div_euclid(MICROS_PER_DAY)).unwrap_or(i32::MAX))
    }

    fn move_to(&mut self, at: Timestamp) {
        self.offset_us = self.zone.offset_us(at);
        self.from = self.zone.change_before(at).unwrap_or(Timestamp::MIN);
        self.to = self.zone.changes_after(at).next().unwrap_or(Timestamp::MAX);
    }
}

#[cfg(test)]
mod tests;
