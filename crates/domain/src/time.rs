//! Instants in UTC at microsecond resolution, and the texts and numbers clients write them as.
//! Refuses years outside 1 to 9999, rounds down, and never reads a clock.

mod epoch;
pub mod first;

use std::fmt;

use serde::{Serialize, Serializer};

/// Microseconds in one second.
pub const MICROS_PER_SECOND: i64 = 1_000_000;
/// Microseconds in one hour.
pub const MICROS_PER_HOUR: i64 = 3_600 * MICROS_PER_SECOND;
/// Microseconds in one day.
pub const MICROS_PER_DAY: i64 = 24 * MICROS_PER_HOUR;

/// Bytes of a date as `2026-11-21`.
const DATE_BYTES: usize = 10;
/// Shortest text that is read as an epoch number and not as a misspelt date.
pub(crate) const EPOCH_DIGITS_MIN: usize = 9;
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
    /// an offset as UTC, a calendar date as its first instant, or a text of digits as an epoch. The zone may
    /// stand after a space: `UTC`, an offset, or an offset with a name as Go prints it. Parts of a microsecond
    /// are rounded down.
    ///
    /// # Errors
    /// [`TimeError`] when the text is none of these or lies outside years 1 to 9999.
    pub fn parse(text: &str) -> Result<Self, TimeError> {
        let text = text.trim();
        if let Some((clock, zone)) = zone_apart(text) {
            let offset = offset_of(zone).ok_or(TimeError::Unreadable)?;
            return Self::parse_joined(&format!("{clock}{offset}"));
        }
        Self::parse_joined(text)
    }

    /// Reads a text whose offset, if it has one, stands right behind the time.
    fn parse_joined(text: &str) -> Result<Self, TimeError> {
        let offset = offset_hours(text);
        if text.starts_with('+') || offset.is_some_and(|hours| hours.is_none_or(|hours| hours > 23)) {
            return Err(TimeError::Unreadable);
        }
        if let Ok(instant) = text.parse::<jiff::Timestamp>() {
            return Self::of_nanos(instant.as_nanosecond());
        }
        // What follows would read an offset as none.
        if text.contains('[') || offset.is_some() {
            return Err(TimeError::Unreadable);
        }
        // Without an offset, or so close to the end of year 9999 that only UTC can name it.
        let utc = text.strip_suffix(['Z', 'z']).filter(|utc| utc.contains(['T', 't', ':'])).unwrap_or(text);
        if let Ok(utc) = utc.parse::<jiff::civil::DateTime>() {
            return Self::of_civil(utc);
        }
        if text.len() >= EPOCH_DIGITS_MIN {
            return Self::parse_epoch(text);
        }
        Err(TimeError::Unreadable)
    }

    /// Reads the text of a JSON number as seconds, milliseconds, microseconds or nanoseconds since
    /// the epoch, told apart by size: below 1e11 seconds, 1e14 milliseconds, 1e17 microseconds. Read digit by
    /// digit; parts of a microsecond are rounded down.
    ///
    /// # Errors
    /// [`TimeError`] when it is no number or lies outside years 1 to 9999.
    pub fn parse_epoch(number: &str) -> Result<Self, TimeError> {
        let micros = match number.parse::<i64>() {
            Ok(whole) => match whole.unsigned_abs() {
                0..100_000_000_000 => whole.checked_mul(1_000_000),
                100_000_000_000..100_000_000_000_000 => whole.checked_mul(1_000),
                100_000_000_000_000..100_000_000_000_000_000 => Some(whole),
                _ => Some(whole.div_euclid(1_000)),
            },
            Err(_) => epoch::micros_of_decimal(number),
        };
        Self::checked(micros.ok_or(TimeError::Unreadable)?)
    }

    /// The instant at which clocks in UTC show `utc`.
    pub(crate) fn of_civil(utc: jiff::civil::DateTime) -> Result<Self, TimeError> {
        Self::of_nanos(utc.duration_since(start_of_epoch()).as_nanos())
    }

    /// Rounds down, also before 1970.
    pub(crate) fn of_nanos(nanos: i128) -> Result<Self, TimeError> {
        Self::checked(i64::try_from(nanos.div_euclid(1_000)).map_err(|_| TimeError::OutOfRange)?)
    }

    fn checked(micros: i64) -> Result<Self, TimeError> {
        if (MICROS_MIN..=MICROS_MAX).contains(&micros) { Ok(Self(micros)) } else { Err(TimeError::OutOfRange) }
    }
}

/// What clocks show, of a text that says so and names no zone.
///
/// # Errors
/// [`TimeError::OutOfRange`] when that lies outside years 1 to 9999.
pub(crate) fn local(text: &str) -> Result<Option<jiff::civil::DateTime>, TimeError> {
    let has_zone = zone_apart(text).is_some() || offset_hours(text).is_some();
    if has_zone || text.contains('[') || text.starts_with('+') || text.ends_with(['Z', 'z']) {
        return Ok(None);
    }
    match text.parse::<jiff::civil::DateTime>() {
        Ok(local) if local.year() < 1 => Err(TimeError::OutOfRange),
        parsed => Ok(parsed.ok()),
    }
}

/// The time and the zone of a text that has a space between them.
fn zone_apart(text: &str) -> Option<(&str, &str)> {
    // The first space may stand for the `T`.
    let (_, rest) = text.split_at_checked(DATE_BYTES + 1)?;
    let (_, zone) = rest.split_once(' ')?;
    Some((&text[..text.len() - zone.len() - 1], zone))
}

/// The offset that a zone stands for: `UTC`, `+02:00`, `+0200 CEST`, and the last with a reading of a
/// monotonic clock, as Go prints a time (` m=+0.25`). A name alone stands for several offsets, but for `UTC`.
fn offset_of(zone: &str) -> Option<&str> {
    let is_reading = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.".contains(&byte));
    let zone = zone.rsplit_once(" m=").filter(|(_, reading)| is_reading(reading)).map_or(zone, |(zone, _)| zone);
    let is_offset = |text: &str| text.starts_with(['+', '-']);
    match zone.split_once(' ') {
        None if is_utc(zone) => Some("Z"),
        None => Some(zone).filter(|zone| is_offset(zone)),
        Some((offset, name)) => {
            let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-".contains(&byte));
            let agrees = !is_utc(name) || offset.bytes().all(|byte| b"+-0:".contains(&byte));
            (is_offset(offset) && !name.is_empty() && is_name && agrees).then_some(offset)
        }
    }
}

fn is_utc(name: &str) -> bool {
    ["UTC", "GMT", "Z"].iter().any(|utc| name.eq_ignore_ascii_case(utc))
}

/// The hours of the offset that an instant ends in, if it has one: `None` inside when they are no number.
fn offset_hours(text: &str) -> Option<Option<u8>> {
    let time = text.split_once(['T', 't', ' ']).map_or("", |(_, time)| time);
    let time = time.split_once('[').map_or(time, |(time, _)| time);
    let (_, offset) = time.split_once(['+', '-'])?;
    Some(offset.get(..2).and_then(|hours| hours.parse().ok()))
}

fn start_of_epoch() -> jiff::civil::DateTime {
    jiff::civil::date(1970, 1, 1).at(0, 0, 0, 0)
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC with as many fraction digits as the value needs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match start_of_epoch().checked_add(jiff::SignedDuration::from_micros(self.0)) {
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
    #[error("not a date (YYYY-MM-DD), an RFC 3339 time or an epoch number")]
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
            "2015-05-17 10:05:03 UTC",
            "2015-05-17T10:05:03 gmt",
            "2015-05-17 10:05:03 Z",
            "2015-05-17 12:05:03 +02:00",
            "2015-05-17 12:05:03 +02",
            "2015-05-17 05:05:03.000 -0500",
            "2015-05-17 10:05:03 +0000 UTC",
            "2015-05-17 12:05:03 +0200 CEST m=+0.000012345",
            "2015-05-17 15:35:03 +0530 +0530",
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
            "2015-05-17 10:05:03 CEST",
            "2015-05-17 10:05:03 +0200 UTC",
            "2015-05-17 10:05:03  +0200",
            "2015-05-17 10:05:03 CEST m=+1",
            "2015-05-17 10:05:03Z +02:00",
            "2015-05-17 10:05:03+02:00 UTC",
            "2015-05-17 10:05:03 02:00",
            "2015-05-17 UTC",
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
    fn every_form_is_rounded_down() {
        for text in [
            "1969-12-31T23:59:59.999999999Z",
            "1969-12-31T23:59:59.999999999",
            "1970-01-01 00:59:59.9999999 +01:00",
            "-0.0000001",
            "-0.000000001",
        ] {
            assert_eq!(Timestamp::parse(text), Ok(Timestamp::from_micros(-1)), "{text}");
        }
        assert_eq!(Timestamp::parse_epoch("-1"), Ok(Timestamp::from_micros(-1_000_000)));
        assert_eq!(Timestamp::parse_epoch("-100000000000000001"), Ok(Timestamp::from_micros(-100_000_000_000_001)));
        assert_eq!(micros("2015-05-17T10:05:03.1234569Z"), 1_431_857_103_123_456);
        assert_eq!(Timestamp::parse_epoch("1431857103.123456").map(Timestamp::micros), Ok(1_431_857_103_123_456));
    }

    #[test]
    fn floors_before_the_epoch_too() {
        assert_eq!(Timestamp::from_micros(-1).floor_to(30_000_000).micros(), -30_000_000);
    }
}
