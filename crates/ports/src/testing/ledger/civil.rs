//! What clocks on the wall show, asked of jiff for every single instant. On purpose not
//! [`domain::calendar`], which the ledgers under test use: two ways to the same border. Slow.

use domain::calendar::{Calendar, Day, Interval, Period, WeekStart, Zone};
use domain::time::{MICROS_PER_SECOND, Timestamp};
use jiff::Zoned;
use jiff::civil::{Date, Time, Weekday};
use jiff::tz::TimeZone;

/// The calendar date that clocks in `zone` show.
pub(super) fn day_of(at: Timestamp, zone: &Zone) -> Day {
    Day::parse(&date(&wall(at, zone)).to_string()).unwrap_or(Day::MAX)
}

/// The start of the bucket that an instant lies in.
pub(super) fn bucket_of(at: Timestamp, interval: Interval, calendar: &Calendar) -> Timestamp {
    let wall = wall(at, &calendar.zone);
    let seconds = i64::from(wall.second());
    let (first, into_us) = match interval {
        Interval::Minute => (None, seconds * MICROS_PER_SECOND),
        Interval::Hour => (None, (i64::from(wall.minute()) * 60 + seconds) * MICROS_PER_SECOND),
        Interval::Days(Period::Day) => (Some(date(&wall)), 0),
        Interval::Days(Period::Week) => (Some(week_of(date(&wall), calendar.week_start)), 0),
        Interval::Days(Period::Month) => (Some(date(&wall).first_of_month()), 0),
    };
    let Some(first) = first else {
        let shown = at.plus_micros(-into_us - i64::from(wall.subsec_nanosecond()) / 1_000);
        return changed(&wall).map_or(shown, |changed| shown.max(changed));
    };
    let midnight = wall.time_zone().to_ambiguous_timestamp(first.to_datetime(Time::midnight())).compatible();
    midnight.map_or(Timestamp::MIN, |midnight| Timestamp::from_micros(midnight.as_microsecond()))
}

/// When the offset of a clock changed last.
fn changed(wall: &Zoned) -> Option<Timestamp> {
    let next = wall.timestamp().checked_add(jiff::SignedDuration::from_nanos(1)).ok()?;
    let zone = wall.time_zone();
    let mut changes = zone.preceding(next).map(|change| change.timestamp());
    let change = changes.find(|change| {
        let before = change.checked_sub(jiff::SignedDuration::from_nanos(1)).unwrap_or(*change);
        zone.to_offset(before) != zone.to_offset(*change)
    });
    change.map(|change| Timestamp::from_micros(change.as_microsecond()))
}

/// The date; the first one of year 1 stands for those before it, which clocks west of UTC show at first.
fn date(wall: &Zoned) -> Date {
    wall.date().max(jiff::civil::date(1, 1, 1))
}

/// What clocks show at an instant, back to year 1 and on to the last day of year 9999.
fn wall(at: Timestamp, zone: &Zone) -> Zoned {
    let zone = TimeZone::get(zone.name()).unwrap_or(TimeZone::UTC);
    jiff::Timestamp::from_microsecond(at.micros()).unwrap_or(jiff::Timestamp::MAX).to_zoned(zone)
}

fn week_of(mut date: Date, start: WeekStart) -> Date {
    let first = match start {
        WeekStart::Monday => Weekday::Monday,
        WeekStart::Sunday => Weekday::Sunday,
        WeekStart::Saturday => Weekday::Saturday,
    };
    while date.weekday() != first {
        date = date.yesterday().unwrap_or(Date::MIN);
    }
    date.max(jiff::civil::date(1, 1, 1))
}
