//! Ranges of time as people ask for them. A calendar date stands for that day of a zone and both days
//! are included; a time is half-open, and of the zone when it has no offset; both may be mixed.

use domain::calendar::{BoundError, Calendar, Day, DayRange, TimeBound, WeekStart, Zone};
use domain::time::{TimeError, TimeRange, Timestamp};

use super::parameters::one_of;
use crate::problem::Problem;

/// The zone named by parameter `tz`.
pub(crate) fn zone(tz: Option<&str>) -> Result<Option<Zone>, Problem> {
    let parsed = tz.map(Zone::parse).transpose();
    parsed.map_err(|why| Problem::parameter("tz", format!("'tz' is {why}")))
}

/// The day that weeks begin on, by parameter `week_start`.
pub(crate) fn week_start(value: Option<&str>) -> Result<Option<WeekStart>, Problem> {
    one_of("week_start", value, &WEEK_STARTS)
}

/// What weeks may begin on, by name.
pub(crate) const WEEK_STARTS: [(&str, WeekStart); 3] =
    [("monday", WeekStart::Monday), ("sunday", WeekStart::Sunday), ("saturday", WeekStart::Saturday)];

/// Reads one end of a range.
fn bound(name: &str, text: &str) -> Result<TimeBound, Problem> {
    TimeBound::parse(text).map_err(|why| match why {
        BoundError::Time(TimeError::Unreadable) if lost_plus(text) => Problem::parameter(
            name,
            format!(
                "'{name}' has a space where a '+' stands in an offset: write the '+' as %2B, as in \
                 2026-03-01T10:00:00%2B02:00, or give a date (YYYY-MM-DD)"
            ),
        ),
        why => Problem::parameter(name, format!("'{name}' is {why}")),
    })
}

/// Whether digits follow on a time behind a space, which is what a `+` of an offset comes to in a query string.
fn lost_plus(text: &str) -> bool {
    let mut after_time = false;
    text.split_ascii_whitespace().any(|word| {
        let is_number = word.starts_with(|first: char| first.is_ascii_digit());
        let is_lost = after_time && is_number;
        after_time |= is_number && word.contains([':', 'T', 't']);
        is_lost
    })
}

/// The parameters `from` and `to`.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Bounds {
    from: Option<TimeBound>,
    to: Option<TimeBound>,
}

/// A range, and the days it touches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) range: TimeRange,
    pub(crate) days: DayRange,
}

impl Bounds {
    pub(crate) fn read(from: Option<&str>, to: Option<&str>) -> Result<Self, Problem> {
        let bounds = Self {
            from: from.map(|text| bound("from", text)).transpose()?,
            to: to.map(|text| bound("to", text)).transpose()?,
        };
        match bounds {
            Self { from: Some(TimeBound::Day(from)), to: Some(TimeBound::Day(to)) } if from > to => Err(backwards()),
            bounds => Ok(bounds),
        }
    }

    /// Whether the parameter `from` was given.
    pub(crate) fn has_from(&self) -> bool {
        self.from.is_some()
    }

    /// Whether the parameter `to` was given.
    pub(crate) fn has_to(&self) -> bool {
        self.to.is_some()
    }

    /// The range; an end that was not given is that of `default`.
    pub(crate) fn range(&self, calendar: &Calendar, default: TimeRange) -> Result<TimeRange, Problem> {
        let start = match self.from {
            Some(from) => from.start(calendar),
            // A default that lies after the end that was given would blame the wrong parameter.
            None if self.to.is_some() => default.from().min(self.end(calendar).unwrap_or(Timestamp::MAX)),
            None => default.from(),
        };
        let end = self.end(calendar).unwrap_or(default.to());
        TimeRange::new(start, end).ok_or_else(backwards)
    }

    fn end(&self, calendar: &Calendar) -> Option<Timestamp> {
        self.to.map(|to| to.end(calendar))
    }

    /// The range in days: up to the end of `today`, and from `first_of` its last day, unless given. An
    /// instant as an end gives the days that the range touches before it.
    pub(crate) fn span(&self, calendar: &Calendar, today: Day, first_of: impl Fn(Day) -> Day) -> Result<Span, Problem> {
        let last = match self.to {
            None => today,
            Some(TimeBound::Day(day)) => day,
            Some(to) => calendar.day_of(to.end(calendar).plus_micros(-1)),
        };
        let default = calendar.range_of(DayRange { first: first_of(last), last });
        let range = self.range(calendar, default)?;
        let touched = calendar.days_of(range);
        let first = match self.from {
            None => first_of(last),
            Some(TimeBound::Day(day)) => day,
            Some(_) => touched.first,
        };
        if self.to.is_none() && first > last {
            return Err(backwards());
        }
        let last = match self.to {
            _ if range.from() == range.to() => first.plus(-1),
            None | Some(TimeBound::Day(_)) => last,
            Some(_) => touched.last,
        };
        Ok(Span { range, days: DayRange { first, last } })
    }
}

fn backwards() -> Problem {
    Problem::parameter("from", "'from' must not be after 'to', which is the present if not given")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn calendar(zone: &str) -> Calendar {
        Calendar { zone: Zone::parse(zone).unwrap(), week_start: WeekStart::Monday }
    }

    fn span(zone: &str, from: Option<&str>, to: Option<&str>) -> Result<Span, Problem> {
        let today = Day::parse("2026-11-21").unwrap();
        Bounds::read(from, to)?.span(&calendar(zone), today, |last| last.plus(-29))
    }

    fn texts(zone: &str, from: Option<&str>, to: Option<&str>) -> [String; 4] {
        let Span { range, days } = span(zone, from, to).unwrap();
        [range.from().to_string(), range.to().to_string(), days.first.to_string(), days.last.to_string()]
    }

    #[test]
    fn dates_are_days_of_the_zone_and_both_are_inside() {
        let berlin = texts("Europe/Berlin", Some("2026-10-25"), Some("2026-10-25"));
        assert_eq!(berlin, ["2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z", "2026-10-25", "2026-10-25"], "25 hours");
        let west = texts("America/New_York", Some("2026-03-08"), Some("2026-03-08"));
        assert_eq!(west, ["2026-03-08T05:00:00Z", "2026-03-09T04:00:00Z", "2026-03-08", "2026-03-08"], "23 hours");
    }

    #[test]
    fn instants_are_half_open_and_may_be_mixed_with_dates() {
        let mixed = texts("UTC", Some("2026-11-01T12:00:00Z"), Some("2026-11-03"));
        assert_eq!(mixed, ["2026-11-01T12:00:00Z", "2026-11-04T00:00:00Z", "2026-11-01", "2026-11-03"]);
        let midnight = texts("UTC", Some("2026-11-01"), Some("2026-11-03T00:00:00Z"));
        assert_eq!(midnight[3], "2026-11-02", "the end is not inside");
        let empty = span("UTC", Some("2026-11-03T00:00:00Z"), Some("2026-11-03T00:00:00Z")).unwrap();
        assert!(empty.days.last < empty.days.first);
    }

    #[test]
    fn a_midnight_as_end_gives_exactly_the_days_before_it() {
        for (zone, midnight) in [
            ("UTC", "2026-11-03T00:00:00Z"),
            ("Europe/Berlin", "2026-11-03T00:00:00+01:00"),
            ("Asia/Kathmandu", "2026-11-02T18:15:00Z"),
            ("America/New_York", "2026-11-03T05:00:00Z"),
        ] {
            for from in [None, Some("2026-10-20"), Some("2026-11-02")] {
                let day = span(zone, from, Some("2026-11-02")).unwrap();
                assert_eq!(span(zone, from, Some(midnight)).unwrap(), day, "{zone} {from:?}");
            }
        }
    }

    #[test]
    fn instants_touch_every_day_between_them_where_clocks_show_midnight_twice() {
        // At 03:30 clocks show midnight for the second time; at 02:31 they went from 00:01 back to 23:01.
        let days = |from, to| texts("America/St_Johns", Some(from), Some(to));
        assert_eq!(days("2010-11-06T12:00:00Z", "2010-11-07T03:30:00Z")[2..], ["2010-11-06", "2010-11-07"]);
        assert_eq!(days("2010-11-07T02:30:30Z", "2010-11-07T03:00:00Z")[2..], ["2010-11-06", "2010-11-07"]);
        assert_eq!(days("2010-11-07T02:31:00Z", "2010-11-07T03:30:00Z")[2..], ["2010-11-06", "2010-11-06"]);
    }

    #[test]
    fn times_without_an_offset_are_of_the_zone() {
        let local = texts("Europe/Berlin", Some("2026-11-01T00:00"), Some("2026-11-03 00:00:00"));
        assert_eq!(local, ["2026-10-31T23:00:00Z", "2026-11-02T23:00:00Z", "2026-11-01", "2026-11-02"]);
    }

    #[test]
    fn a_plus_that_came_as_a_space_is_named() {
        for text in [
            "2026-11-01T10:00:00 02:00",
            "2026-11-01 10:00:00 0200",
            "2026-11-01T10 02",
            "2026-11-01 10:00:00  0200 CEST",
        ] {
            let why = format!("{:?}", span("UTC", Some(text), None).unwrap_err());
            assert!(why.contains("%2B") && why.contains("YYYY-MM-DD"), "{text}: {why}");
        }
        for text in ["2026-11-01 25:00", "Sunday 10", "2026-11-01T10:00:00 CEST"] {
            let why = format!("{:?}", span("UTC", Some(text), None).unwrap_err());
            assert!(!why.contains("%2B") && why.contains("YYYY-MM-DD"), "{text}: {why}");
        }
    }

    #[test]
    fn without_ends_it_is_the_last_days_up_to_today() {
        assert_eq!(texts("UTC", None, None)[2..], ["2026-10-23", "2026-11-21"]);
        assert_eq!(texts("UTC", None, Some("2020-02-29"))[2..], ["2020-01-31", "2020-02-29"]);
        assert_eq!(texts("UTC", Some("2026-11-20"), None)[2..], ["2026-11-20", "2026-11-21"]);
    }

    #[test]
    fn what_is_no_range_is_refused() {
        let bad = [
            (Some("2026-02-30"), None),
            (Some("2026-13-01"), None),
            (Some("0000-01-01"), None),
            (Some("20261101"), None),
            (Some("2026-11"), None),
            (Some("today"), None),
            (Some("2026-11-02"), Some("2026-11-01")),
            (Some("2026-11-22"), None),
            (Some("2026-11-02T00:00:01Z"), Some("2026-11-01")),
            (None, Some("2026-11-31")),
            (None, Some("99999-01-01")),
            (None, Some("")),
        ];
        for (from, to) in bad {
            assert!(span("UTC", from, to).is_err(), "{from:?} {to:?}");
        }
    }
}
