//! One end of a range of time as people write it. What has an offset is an instant; a date, and a time without
//! an offset, are of the zone that the range is asked in. Times of events are read elsewhere, as UTC.

use jiff::civil;

use super::{Calendar, Day, DayRange};
use crate::time::{EPOCH_DIGITS_MIN, TimeError, Timestamp, local};

/// One end of a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeBound {
    /// A day of the zone; as an end it is inside.
    Day(Day),
    /// What clocks in the zone show.
    Local(civil::DateTime),
    /// An instant, whatever the zone.
    Instant(Timestamp),
}

/// Why a text is no end of a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BoundError {
    /// It looks like a date, and there is no such day.
    #[error("no date of the calendar (YYYY-MM-DD)")]
    NoDate,
    /// It is no time.
    #[error(transparent)]
    Time(#[from] TimeError),
}

impl TimeBound {
    /// Reads `YYYY-MM-DD`, a time with or without an offset, or an epoch number of at least nine digits.
    ///
    /// # Errors
    /// [`BoundError`] when the text is none of these or lies outside years 1 to 9999.
    pub fn parse(text: &str) -> Result<Self, BoundError> {
        let text = text.trim();
        if is_date(text) {
            return Day::parse(text).map(Self::Day).ok_or(BoundError::NoDate);
        }
        if !text.contains([':', 'T', 't']) && text.len() < EPOCH_DIGITS_MIN {
            return Err(TimeError::Unreadable.into());
        }
        match local(text)? {
            Some(local) => Ok(Self::Local(local)),
            None => Ok(Self::Instant(Timestamp::parse(text)?)),
        }
    }

    /// The first instant of a range that begins with this.
    pub fn start(self, calendar: &Calendar) -> Timestamp {
        match self {
            Self::Day(day) => calendar.range_of(DayRange { first: day, last: day }).from(),
            Self::Local(local) => calendar.instant_of(local),
            Self::Instant(instant) => instant,
        }
    }

    /// The first instant after a range that ends with this.
    pub fn end(self, calendar: &Calendar) -> Timestamp {
        match self {
            Self::Day(day) => calendar.range_of(DayRange { first: day, last: day }).to(),
            Self::Local(_) | Self::Instant(_) => self.start(calendar),
        }
    }
}

/// Whether `text` is `YYYY-MM-DD` in form.
fn is_date(text: &str) -> bool {
    let text = text.as_bytes();
    text.len() == 10 && text[4] == b'-' && text[7] == b'-'
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::calendar::{WeekStart, Zone};

    fn read(zone: &str, text: &str) -> (String, String) {
        let calendar = Calendar { zone: Zone::parse(zone).unwrap(), week_start: WeekStart::Monday };
        let bound = TimeBound::parse(text).unwrap();
        (bound.start(&calendar).to_string(), bound.end(&calendar).to_string())
    }

    #[test]
    fn what_has_no_offset_is_of_the_zone_and_what_has_one_is_not() {
        for (text, instant) in [
            ("2026-03-01T10:00:00", "2026-03-01T09:00:00Z"),
            ("2026-03-01 10:00", "2026-03-01T09:00:00Z"),
            ("20260701T100000.5", "2026-07-01T08:00:00.5Z"),
            ("2026-03-01T10:00:00Z", "2026-03-01T10:00:00Z"),
            ("2026-03-01 10:00:00 UTC", "2026-03-01T10:00:00Z"),
            ("2026-03-01T10:00:00-05:00", "2026-03-01T15:00:00Z"),
            ("2026-03-01 10:00:00 -0500", "2026-03-01T15:00:00Z"),
            ("1772359200", "2026-03-01T10:00:00Z"),
        ] {
            assert_eq!(read("Europe/Berlin", text), (instant.to_owned(), instant.to_owned()), "{text}");
        }
        let day = ("2026-02-28T23:00:00Z".to_owned(), "2026-03-01T23:00:00Z".to_owned());
        assert_eq!(read("Europe/Berlin", "2026-03-01"), day, "a date as an end includes its day");
    }

    #[test]
    fn a_gap_reads_as_its_end_and_a_fold_as_its_first() {
        for (zone, text, instant) in [
            ("Europe/Berlin", "2026-03-29T01:59:59.999999", "2026-03-29T00:59:59.999999Z"),
            ("Europe/Berlin", "2026-03-29T02:00:00", "2026-03-29T01:00:00Z"),
            ("Europe/Berlin", "2026-03-29T02:30:00", "2026-03-29T01:00:00Z"),
            ("Europe/Berlin", "2026-03-29T03:00:00", "2026-03-29T01:00:00Z"),
            ("Europe/Berlin", "2026-10-25T02:30:00", "2026-10-25T00:30:00Z"),
            ("Europe/Berlin", "2026-10-25T03:00:00", "2026-10-25T02:00:00Z"),
            ("Australia/Lord_Howe", "2026-10-04T02:10:00", "2026-10-03T15:30:00Z"),
            ("Pacific/Apia", "2011-12-30T12:00:00", "2011-12-30T10:00:00Z"),
            ("America/Sao_Paulo", "2018-11-04T00:30:00", "2018-11-04T03:00:00Z"),
        ] {
            assert_eq!(read(zone, text).0, instant, "{zone} {text}");
        }
    }

    #[test]
    fn what_is_no_end_is_refused_and_told_how_dates_are_written() {
        for text in [
            "",
            "today",
            "20261101",
            "2026-11",
            "2026-02-30",
            "0000-01-01",
            "2026/03/01",
            "01.03.2026",
            "99999-01-01",
            "2026-03-01T10:00:00 02:00",
            "-000001-01-01T00:00:00",
            "2026-03-01T25:00",
        ] {
            let why = TimeBound::parse(text).unwrap_err();
            let is_named = why.to_string().contains("YYYY-MM-DD") || why == TimeError::OutOfRange.into();
            assert!(is_named, "{text}: {why}");
        }
    }
}
