//! The reading of times that record format 1 was made with, kept unchanged: an event that was taken by it is
//! compared by it with what its sender sends again. Rounds fractions of a microsecond to the nearest or
//! towards 1970, and reads decimal epochs as doubles; new events are read by [`Timestamp::parse`].

use super::{TimeError, Timestamp, start_of_epoch};

/// Reads RFC 3339 (`2026-11-21T10:00:00.5Z`, any offset, a space for the `T`), a text without
/// an offset as UTC, a calendar date as its first instant, or a text of digits as an epoch.
///
/// # Errors
/// [`TimeError`] when the text is none of these or lies outside years 1 to 9999.
pub fn parse(text: &str) -> Result<Timestamp, TimeError> {
    let text = text.trim();
    let offset = offset_hours(text);
    if text.starts_with('+') || offset.is_some_and(|hours| hours.is_none_or(|hours| hours > 23)) {
        return Err(TimeError::Unreadable);
    }
    if let Ok(instant) = text.parse::<jiff::Timestamp>() {
        return Timestamp::checked(instant.as_microsecond());
    }
    // What follows would read an offset as none.
    if text.contains('[') || offset.is_some() {
        return Err(TimeError::Unreadable);
    }
    // Without an offset, or so close to the end of year 9999 that only UTC can name it.
    let utc = text.strip_suffix(['Z', 'z']).filter(|utc| utc.contains(['T', 't', ':'])).unwrap_or(text);
    if let Ok(utc) = utc.parse::<jiff::civil::DateTime>() {
        let micros = utc.duration_since(start_of_epoch()).as_micros();
        return Timestamp::checked(i64::try_from(micros).map_err(|_| TimeError::OutOfRange)?);
    }
    if text.len() >= 9 && text.len() <= 20 {
        return parse_epoch(text);
    }
    Err(TimeError::Unreadable)
}

/// Reads the text of a JSON number as seconds, milliseconds, microseconds or nanoseconds since
/// the epoch, told apart by size: below 1e11 seconds, 1e14 milliseconds, 1e17 microseconds.
///
/// # Errors
/// [`TimeError`] when it is no finite number or lies outside years 1 to 9999.
pub fn parse_epoch(number: &str) -> Result<Timestamp, TimeError> {
    let micros = match number.parse::<i64>() {
        Ok(whole) => match whole.unsigned_abs() {
            0..100_000_000_000 => whole.checked_mul(1_000_000),
            100_000_000_000..100_000_000_000_000 => whole.checked_mul(1_000),
            100_000_000_000_000..100_000_000_000_000_000 => Some(whole),
            _ => Some(whole.div_euclid(1_000)),
        },
        Err(_) => micros_of_fraction(number),
    };
    Timestamp::checked(micros.ok_or(TimeError::Unreadable)?)
}

/// The hours of the offset that an instant ends in, if it has one: `None` inside when they are no number.
fn offset_hours(text: &str) -> Option<Option<u8>> {
    let time = text.split_once(['T', 't', ' ']).map_or("", |(_, time)| time);
    let time = time.split_once('[').map_or(time, |(time, _)| time);
    let (_, offset) = time.split_once(['+', '-'])?;
    Some(offset.get(..2).and_then(|hours| hours.parse().ok()))
}

/// Seconds or milliseconds with a fraction; `None` when it is no finite number of that size.
fn micros_of_fraction(number: &str) -> Option<i64> {
    let value: f64 = number.parse().ok()?;
    let micros = if value.abs() < 1e11 { value * 1e6 } else { value * 1e3 };
    #[expect(clippy::cast_possible_truncation, reason = "bounded by the comparison")]
    (micros.abs() < 1e18).then_some(micros.round() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the last release made of these texts; a fixture, never changed.
    const TEXTS: [(&str, Option<i64>); 14] = [
        ("2015-05-17T10:05:03Z", Some(1_431_857_103_000_000)),
        (" 2015-05-17 12:05:03+02:00 ", Some(1_431_857_103_000_000)),
        ("2015-05-17T10:05:03", Some(1_431_857_103_000_000)),
        ("2015-05-17", Some(1_431_820_800_000_000)),
        ("2015-05-17T10:05:03.1234567Z", Some(1_431_857_103_123_456)),
        ("1969-12-31T23:59:59.999999999Z", Some(0)),
        ("1969-12-31T23:59:59.999999999", Some(0)),
        ("1431857103", Some(1_431_857_103_000_000)),
        ("1431857103.5", Some(1_431_857_103_500_000)),
        ("9999-12-31T23:59:59.999999Z", Some(253_402_300_799_999_999)),
        ("2026-03-01 10:00:00 UTC", None),
        ("2026-03-01 10:00:00 +0000", None),
        ("12", None),
        ("2015-05-17Z", None),
    ];
    const NUMBERS: [(&str, Option<i64>); 8] = [
        ("1431857103.1234567", Some(1_431_857_103_123_457)),
        ("1431857103.1234569", Some(1_431_857_103_123_457)),
        ("-0.0000001", Some(0)),
        ("1431857103123.5", Some(1_431_857_103_123_500)),
        ("1431857103123456789", Some(1_431_857_103_123_456)),
        ("-1431857103123456789", Some(-1_431_857_103_123_457)),
        ("1e400", None),
        ("1.5e9", Some(1_500_000_000_000_000)),
    ];

    #[test]
    fn reads_times_as_the_first_release_did() {
        for (text, expected) in TEXTS {
            assert_eq!(parse(text).ok().map(Timestamp::micros), expected, "{text}");
        }
        for (number, expected) in NUMBERS {
            assert_eq!(parse_epoch(number).ok().map(Timestamp::micros), expected, "{number}");
        }
    }
}
