//! What clocks on the wall show in a zone.

use std::collections::BTreeSet;

use jiff::civil::{Date, Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, Zoned};

/// On both sides of UTC, with parts of hours, with clocks that change at midnight, by half an hour and in
/// the other half of the year.
pub(crate) const ZONES: [&str; 13] = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/Santiago",
    "America/St_Johns",
    "Asia/Kathmandu",
    "Asia/Beirut",
    "Africa/Cairo",
    "Australia/Lord_Howe",
    "Pacific/Auckland",
    "Pacific/Apia",
    "Pacific/Kiritimati",
    "Pacific/Pago_Pago",
];

pub(crate) const SECOND: i64 = 1_000_000;
pub(crate) const HOUR: i64 = 3_600 * SECOND;
pub(crate) const DAY: i64 = 24 * HOUR;

/// The width of a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Width {
    Minute,
    Hour,
    Day,
    Week,
    Month,
}

impl Width {
    pub(crate) const ALL: [Self; 5] = [Self::Minute, Self::Hour, Self::Day, Self::Week, Self::Month];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
        }
    }
}

/// The clocks of one zone, and the day that weeks begin on.
#[derive(Debug, Clone)]
pub(crate) struct Wall {
    pub(crate) name: &'static str,
    pub(crate) zone: TimeZone,
    pub(crate) week_start: Weekday,
}

impl Wall {
    pub(crate) fn of(name: &'static str) -> Self {
        Self { name, zone: TimeZone::get(name).unwrap(), week_start: Weekday::Monday }
    }

    fn clock(&self, at: i64) -> Zoned {
        Timestamp::from_microsecond(at).unwrap().to_zoned(self.zone.clone())
    }

    pub(crate) fn day_of(&self, at: i64) -> Date {
        self.clock(at).date()
    }

    /// The first instant of a day.
    pub(crate) fn start_of(&self, day: Date) -> i64 {
        self.zone.to_ambiguous_timestamp(day.to_datetime(Time::midnight())).compatible().unwrap().as_microsecond()
    }

    /// The first day of the run of days that `day` lies in.
    pub(crate) fn first_of(&self, mut day: Date, width: Width) -> Date {
        match width {
            Width::Week => {
                while day.weekday() != self.week_start {
                    day = day.yesterday().unwrap();
                }
                day
            }
            Width::Month => day.first_of_month(),
            _ => day,
        }
    }

    /// The first day of the next run of days.
    pub(crate) fn next(&self, first: Date, width: Width) -> Date {
        match width {
            Width::Week => first.checked_add(7.days()).unwrap(),
            Width::Month => first.checked_add(1.month()).unwrap(),
            _ => first.tomorrow().unwrap(),
        }
    }

    /// The start of the bucket that an instant lies in.
    pub(crate) fn bucket_of(&self, at: i64, width: Width) -> i64 {
        let clock = self.clock(at);
        let fraction = i64::from(clock.subsec_nanosecond()) / 1_000;
        let seconds = i64::from(clock.second());
        match width {
            Width::Minute => self.not_before_change(at, at - fraction - seconds * SECOND),
            Width::Hour => {
                self.not_before_change(at, at - fraction - (seconds + 60 * i64::from(clock.minute())) * SECOND)
            }
            _ => self.start_of(self.first_of(clock.date(), width)),
        }
    }

    /// `start`, or the last change of the clocks before `at` if that came later.
    fn not_before_change(&self, at: i64, start: i64) -> i64 {
        let offset = |at: i64| self.zone.to_offset(Timestamp::from_microsecond(at).unwrap());
        let after = Timestamp::from_microsecond(at + 1).unwrap();
        let mut changes = self.zone.preceding(after).map(|change| change.timestamp().as_microsecond());
        changes.find(|change| offset(*change) != offset(change - 1)).map_or(start, |change| start.max(change))
    }

    /// The starts of all buckets that an instant of `from..to` lies in.
    pub(crate) fn buckets(&self, from: i64, to: i64, width: Width) -> BTreeSet<i64> {
        let step = match width {
            Width::Minute => 60 * SECOND,
            // Clocks are a multiple of a quarter of an hour away from each other.
            Width::Hour => 900 * SECOND,
            // Less than the shortest day.
            _ => 20 * HOUR,
        };
        let mut starts = BTreeSet::new();
        let mut at = from;
        while at < to {
            starts.insert(self.bucket_of(at, width));
            at += step;
        }
        if from < to {
            starts.insert(self.bucket_of(to - 1, width));
        }
        starts
    }

    /// The instants at which its clocks changed before `now`, latest first.
    pub(crate) fn changes(&self, now: i64) -> Vec<i64> {
        let now = Timestamp::from_microsecond(now).unwrap();
        self.zone.preceding(now).take(3).map(|change| change.timestamp().as_microsecond()).collect()
    }
}

/// An instant in RFC 3339.
pub(crate) fn text(at: i64) -> String {
    Timestamp::from_microsecond(at).unwrap().to_string()
}

/// Microseconds since 1970.
pub(crate) fn now() -> i64 {
    #[expect(clippy::disallowed_methods, reason = "the server's clock is this machine's")]
    let now = Timestamp::now();
    now.as_microsecond()
}
