//! Instants in UTC at microsecond resolution, and the texts and numbers clients write them as.
//! Refuses years outside 1 to 9999 and never reads a clock.

pub mod first;

use std::fmt;

use serde::{Serialize, Serializer};

/// Microseconds in one second.
pub const MICROS_PER_SECOND: i64 = 1_000_000;
/// Microseconds in one hour.
pub const MICROS_PER_HOUR: i64 = 3_600 * MICROS_PER_SECOND;
/// Microseconds in one day.
pub const MICROS_PER_DAY: i64 = 24 * MICROS_PER_HOUR;

/// 0001-01-01T00:00:00Z.
const MICROS_MIN: i64 = -62_135_596_800 * MICROS_PER_SECOND;
/// 9999-12-31T23:59:59.999999Z.
const MICROS_MAX: i64 = 253_402_300_800 * MICROS_PER_SECOND - 1;

/// An instant: microseconds since 1970-01-01T00:00:00Z, negative before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The earliest instant that can be written.
    pub const MIN: Self = Self(MICROS_MIN);
    /// The latest instant that can be written.
    pub const MAX: Self = Self(MICROS_MAX);

    /// An instant from microseconds since the epoch, clamped to years 1 to 9999.
    pub const fn from_micros(micros: i64) -> Self {
        if micros < MICROS_MIN {
            Self(MICROS_MIN)
        } else if micros > MICROS_MAX {
            Self(MICROS_MAX)
        } else {
            Self(micros)
        }
    }

    /// Microseconds since the epoch.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// The instant `micros` later (earlier when negative), clamped to years 1 to 9999.
    #[must_use]
    pub const fn plus_micros(self, micros: i64) -> Self {
        Self::from_micros(self.0.saturating_add(micros))
    }

    /// The latest multiple of `step_us` since the epoch that is not after this instant.
    #[must_use]
    pub const fn floor_to(self, step_us: i64) -> Self {
        Self::from_micros(self.0.div_euclid(step_us) * step_us)
    }

    /// Reads RFC 3339 (`2026-11-21T10:00:00.5Z`, any offset, a space for the `T`), a text without
    /// an offset as UTC, a calendar date as its first instant, or a text of digits as an epoch.
    ///
    /// # Errors
    /// [`TimeError`] when the text is none of these or lies outside years 1 to 9999.
    pub fn parse(text: &str) -> Result<Self, TimeError> {
        let text = text.trim();
        let offset = offset_hours(text);
        if text.starts_with('+') || offset.is_some_and(|hours| hours.is_none_or(|hours| hours > 23)) {
            return Err(TimeError::Unreadable);
        }
        if let Ok(instant) = text.parse::<jiff::Timestamp>() {
            return Self::checked(instant.as_microsecond());
        }
        // What follows would read an offset as none.
        if text.contains('[') || offset.is_some() {
            return Err(TimeError::Unreadable);
        }
        // Without an offset, or so close to the end of year 9999 that only UTC can name it.
        let utc = text.strip_suffix(['Z', 'z']).filter(|utc| utc.contains(['T', 't', ':'])).unwrap_or(text);
        if let Ok(utc) = utc.parse::<jiff::civil::DateTime>() {
            let micros = utc.duration_since(epoch()).as_micros();
            return Self::checked(i64::try_from(micros).map_err(|_| TimeError::OutOfRange)?);
        }
        if text.len() >= 9 && text.len() <= 20 {
            return Self::parse_epoch(text);
        }
        Err(TimeError::Unreadable)
    }

    /// Reads the text of a JSON number as seconds, milliseconds, microseconds or nanoseconds since
    /// the epoch, told apart by size: below 1e11 seconds, 1e14 milliseconds, 1e17 microseconds.
    ///
    /// # Errors
    /// [`TimeError`] when it is no finite number or lies outside years 1 to 9999.
    pub fn parse_epoch(number: &str) -> Result<Self, TimeError> {
        let micros = match number.parse::<i64>() {
            Ok(whole) => match whole.unsigned_abs() {
                0..100_000_000_000 => whole.checked_mul(1_000_000),
                100_000_000_000..100_000_000_000_000 => whole.checked_mul(1_000),
                100_000_000_000_000..100_000_000_000_000_000 => Some(whole),
                _ => Some(whole.div_euclid(1_000)),
            },
            Err(_) => micros_of_fraction(number),
        };
        Self::checked(micros.ok_or(TimeError::Unreadable)?)
    }

    fn checked(micros: i64) -> Result<Self, TimeError> {
        if (MICROS_MIN..=MICROS_MAX).contains(&micros) { Ok(Self(micros)) } else { Err(TimeError::OutOfRange) }
    }
}

/// The hours of the offset that an instant ends in, if it has one: `None` inside when they are no number.
fn offset_hours(text: &str) -> Option<Option<u8>> {
    let time = text.split_once(['T', 't', ' ']).map_or("", |(_, time)| time);
    let time = time.split_once('[').map_or(time, |(time, _)| time);
    let (_, offset) = time.split_once(['+', '-'])?;
    Some(offset.get(..2).and_then(|hours| hours.parse().ok()))
}

fn epoch() -> jiff::civil::DateTime {
    jiff::civil::date(1970, 1, 1).at(0, 0, 0, 0)
}

/// Seconds or milliseconds with a fraction; `None` when it is no finite number of that size.
fn micros_of_fraction(number: &str) -> Option<i64> {
    let value: f64 = number.parse().ok()?;
    let micros = if value.abs() < 1e11 { value * 1e6 } else { value * 1e3 };
    #[expect(clippy::cast_possible_truncation, reason = "bounded by the comparison")]
    (micros.abs() < 1e18).then_some(micros.round() as i64)
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC with as many fraction digits as the value needs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match epoch().checked_add(jiff::SignedDuration::from_micros(self.0)) {
            Ok(utc) => write!(f, "{utc}Z"),
            Err(_) => write!(f, "{} us", self.0),
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Why a text is no instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    /// The text is in no accepted form.
    #[error("not an RFC 3339 time or an epoch number")]
    Unreadable,
    /// The instant lies outside years 1 to 9999.
    #[error("outside the years 1 to 9999")]
    OutOfRange,
}

/// A half-open range of instants: `from` is inside, `to` is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeRange {
    from: Timestamp,
    to: Timestamp,
}

impl TimeRange {
    /// All of time.
    pub const ALL: Self = Self { from: Timestamp::MIN, to: Timestamp::MAX };

    /// The range from `from` up to but without `to`; `None` when `from` is after `to`.
    pub fn new(from: Timestamp, to: Timestamp) -> Option<Self> {
        (from <= to).then_some(Self { from, to })
    }

    /// First instant inside.
    pub const fn from(self) -> Timestamp {
        self.from
    }

    /// First instant after it.
    pub const fn to(self) -> Timestamp {
        self.to
    }

    /// Whether `instant` lies inside.
    pub fn contains(self, instant: Timestamp) -> bool {
        self.from <= instant && instant < self.to
    }

    /// Whether any instant of `first..=last` lies inside.
    pub fn overlaps(self, first: Timestamp, last: Timestamp) -> bool {
        self.from <= last && first < self.to
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn micros(text: &str) -> i64 {
        Timestamp::parse(text).map(Timestamp::micros).unwrap_or(i64::MIN)
    }

    #[test]
    fn reads_every_form_clients_write() {
        for text in [
            "2015-05-17T10:05:03Z",
            "2015-05-17T12:05:03+02:00",
            "2015-05-17 10:05:03Z",
            "2015-05-17T10:05:03",
            "20150517T100503Z",
            "2015-05-17T10:05:03Z[Etc/GMT+5]",
            "2015-05-17T05:05:03-0500",
            "1431857103000e0",
            "2015-05-17T10:05:03.000Z",
            "1431857103",
            "1431857103000",
        ] {
            assert_eq!(micros(text), 1_431_857_103_000_000, "{text}");
        }
        assert_eq!(micros("2015-05-17"), 1_431_820_800_000_000);
        assert_eq!(Timestamp::parse_epoch("1431857103.5").map(Timestamp::micros), Ok(1_431_857_103_500_000));
    }

    #[test]
    fn refuses_garbage_and_far_years() {
        for text in [
            "",
            "yesterday",
            "2015-13-01T00:00:00Z",
            "2015-05-17T25:00:00Z",
            "12",
            "nan",
            "1e400",
            "2015-05-17Z",
            "2015-05-17T00:00:00+25:00",
            "2015-05-17T00:00:00-24:00",
            "2015-05-17 00:00:00+99:00",
            "+002015-05-17",
            "+1431829800",
            "2015-05-17T00:00:00+",
            "2015-05-17T00:00:00+x1:00",
            "2015-05-17T10:05:03+02:00Z",
        ] {
            assert!(Timestamp::parse(text).is_err(), "{text}");
        }
        assert!(Timestamp::parse_epoch("1e400").is_err());
        assert_eq!(
            Timestamp::parse_epoch("300000000000000000").map(|t| t.to_string()).ok(),
            Some("1979-07-05T05:20:00Z".into())
        );
        assert!(Timestamp::parse("0000-12-31T00:00:00Z").is_err());
    }

    #[test]
    fn prints_what_it_reads() {
        for text in
            ["2026-02-01T10:30:00.12Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z", "1969-12-31T23:59:59Z"]
        {
            assert_eq!(Timestamp::parse(text).map(|t| t.to_string()), Ok(text.into()));
        }
        assert_eq!(Timestamp::MAX.to_string(), "9999-12-31T23:59:59.999999Z");
    }

    #[test]
    fn floors_before_the_epoch_too() {
        assert_eq!(Timestamp::from_micros(-1).floor_to(30_000_000).micros(), -30_000_000);
    }
}
