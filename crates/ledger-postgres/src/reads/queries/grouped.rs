//! Events that the server has put together: those that hold the same at every source that tells them apart are one row,
//! with how many they are and, at sources that are measured and nothing else, what they sum to. Only events whose JSONB
//! has all of their properties; a number of one that is longer than the server is trusted with tells its event apart.

use domain::calendar::Buckets;
use domain::encryption::Lens;
use domain::query::{Number, PropertyPath, Query, Source, Sum, Value};
use domain::time::{TimeRange, Timestamp};
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::found::{Found, Summed};
use super::reader::{Column, property, stored};
use super::sources::{Sources, Use};
use crate::reads::select::Select;
use crate::types::{Instant, unsigned};

/// Most ways through objects that a path may take, to be followed by the server.
const WAYS_MAX: usize = 16;
/// Most stretches of buckets that the server is told.
const STRETCHES_MAX: usize = 50_000;
/// Longest number of a property that the server adds up, in bytes: sums of as many as there may be have no more than 38
/// digits.
const NUMBER_BYTES_MAX: usize = 15;

/// In how many events there is a property.
const THERE: &str = "count(*) FILTER (WHERE jsonb_typeof(t.#) <> 'null')";

/// How the rows of a query are written and read.
#[derive(Debug)]
pub(super) struct Grouping {
    parts: Vec<Part>,
    stretches: Option<Stretches>,
}

/// What the rows have of a source, from the column `at` on.
#[derive(Debug)]
struct Part {
    at: usize,
    read: ReadAs,
}

#[derive(Debug)]
enum ReadAs {
    /// The value.
    Column(Column),
    /// Its JSON, and where it stands.
    Property(String),
    /// In how many events there is anything, by this SQL.
    There(&'static str),
    /// In how many events there is a number, their sum, the least and the greatest.
    Numbers(i32),
    /// The least instant and the greatest.
    Times,
    /// In how many events there is anything; what the others hold; in how many there is a number that is added up, their
    /// sum, the last place of the finest, the least and the greatest.
    Properties(String),
}

/// The stretches of time that lie in one bucket each.
#[derive(Debug)]
enum Stretches {
    /// The first instant of each, in order.
    Known(Vec<Timestamp>),
    /// They are too many: every instant is told.
    TooMany,
}

impl Stretches {
    fn of(mut buckets: Buckets<'_>, hull: TimeRange) -> Self {
        let (mut starts, mut at) = (Vec::new(), hull.from());
        while at < hull.to() {
            if starts.len() >= STRETCHES_MAX {
                return Self::TooMany;
            }
            starts.push(at);
            at = buckets.end_of(at);
        }
        Self::Known(starts)
    }
}

/// Whether the server puts anything together for such a query: not where each event is told from all others anyway, nor
/// where paths take too many ways.
pub(super) fn is_worthwhile(sources: &Sources<'_>) -> bool {
    use domain::query::Field;
    let tells_all = |(source, used): &(&Source, Use)| match source {
        Source::Field(Field::Id | Field::Time | Field::ReceivedAt) => used.is_told,
        Source::Field(_) => false,
        Source::Property(path) => ways(path).is_none(),
    };
    !sources.all.iter().any(tells_all)
}

/// The keys that lead to a path's value, way by way, the one that counts first; none if they are too many.
fn ways(path: &PropertyPath) -> Option<Vec<Vec<String>>> {
    fn follow(path: &PropertyPath, done: usize, way: &mut Vec<String>, found: &mut Vec<Vec<String>>) -> Option<()> {
        if done == path.segments().len() {
            found.push(way.clone());
            return (found.len() <= WAYS_MAX).then_some(());
        }
        for (key, done) in path.keys_after(done) {
            way.push(key);
            follow(path, done, way, found)?;
            way.pop();
        }
        Some(())
    }
    let mut found = Vec::new();
    follow(path, 0, &mut Vec::new(), &mut found)?;
    Some(found)
}

/// Writes the JSON that stands at a path.
pub(super) fn write_path(path: &PropertyPath, select: &mut Select) {
    select.and("coalesce(NULL");
    for way in ways(path).unwrap_or_default() {
        select.and(", t.properties");
        for key in way {
            select.and(" -> ").bind_text(&key);
        }
    }
    select.and(")");
}

impl Grouping {
    /// For the events of a query, which lie in `hull`.
    pub(super) fn of(query: &Query, sources: &Sources<'_>, hull: TimeRange) -> Self {
        let buckets = query.bucket.as_ref().map(|(interval, calendar)| calendar.buckets(*interval));
        let stretches = buckets.map(|buckets| Stretches::of(buckets, hull));
        // Behind the count and the stretch.
        let (mut at, mut parts) = (2, Vec::new());
        for (source, used) in &sources.all {
            let read = match (source, used) {
                (Source::Property(path), Use { is_told: true, .. }) => ReadAs::Property(path.joined()),
                (Source::Property(path), Use { is_measured: true, .. }) => ReadAs::Properties(path.joined()),
                (Source::Property(_), _) => ReadAs::There(THERE),
                (Source::Field(field), used) => match Column::of(*field) {
                    column if used.is_told => ReadAs::Column(column),
                    Column::Number(_, places) if used.is_measured => ReadAs::Numbers(places),
                    Column::Time(_) if used.is_measured => ReadAs::Times,
                    _ => ReadAs::There("count(t.#)"),
                },
            };
            let columns = match read {
                ReadAs::Column(_) | ReadAs::Property(_) | ReadAs::There(_) => 1,
                ReadAs::Times => 2,
                ReadAs::Numbers(_) => 4,
                ReadAs::Properties(_) => 7,
            };
            parts.push(Part { at, read });
            at += columns;
        }
        Self { parts, stretches }
    }

    /// The beginning of the statement, up to the conditions that choose events.
    pub(super) fn select(&self, sources: &Sources<'_>, tenant_no: i32) -> Select {
        let mut columns = "SELECT count(*), t.b".to_owned();
        for (number, part) in self.parts.iter().enumerate() {
            columns.push_str(", ");
            columns.push_str(&part.columns().replace('#', &format!("c{number}")));
        }
        let mut select = Select::begin(columns);
        self.write_inner(sources, &mut select);
        select.and(" FROM usage_events t WHERE t.tenant_no = ").builder.push_bind(tenant_no);
        select
    }

    /// Ends the statement.
    pub(super) fn end(&self, select: &mut Select) {
        // Not made one with what is around it, which would follow a path wherever its value is used.
        select.and(" OFFSET 0) t GROUP BY 2");
        for key in self.parts.iter().filter_map(Part::key) {
            select.and(&format!(", {}", key + 1));
        }
    }

    /// What the statement has of each event.
    fn write_inner(&self, sources: &Sources<'_>, select: &mut Select) {
        select.and(" FROM (SELECT ");
        match &self.stretches {
            Some(Stretches::Known(starts)) => {
                select.and("width_bucket(t.time, ");
                select.builder.push_bind(starts.iter().copied().map(Instant).collect::<Vec<_>>());
                select.and(") AS b");
            }
            Some(Stretches::TooMany) => {
                select.and("t.time AS b");
            }
            None => {
                select.and("1 AS b");
            }
        }
        for (number, (source, _)) in sources.all.iter().enumerate() {
            select.and(", ");
            match source {
                Source::Field(field) => {
                    select.and(&format!("t.{}", Column::of(*field).name()));
                }
                Source::Property(path) => write_path(path, select),
            }
            select.and(&format!(" AS c{number}"));
        }
    }

    /// An instant of the bucket that the events of a row lie in, how many they are, and what stands at each source.
    pub(super) fn read<'r>(&self, row: &'r PgRow, lens: &Lens) -> Result<Events<'r>, sqlx::Error> {
        let times = count(row, 0)?;
        let time = match &self.stretches {
            None => Timestamp::MIN,
            Some(Stretches::TooMany) => row.try_get::<Instant, _>(1)?.0,
            Some(Stretches::Known(starts)) => {
                let stretch = usize::try_from(row.try_get::<i32, _>(1)?).ok().and_then(|number| number.checked_sub(1));
                let start = stretch.and_then(|stretch| starts.get(stretch)).copied();
                start.ok_or_else(|| sqlx::Error::Decode("an event of no bucket".into()))?
            }
        };
        let all = self.parts.iter().map(|part| part.read(row, times, lens)).collect::<Result<_, _>>()?;
        Ok((time, times, all))
    }
}

/// An instant of their bucket, how many they are, and what stands at each source.
type Events<'r> = (Timestamp, u64, Vec<Found<'r>>);

impl Part {
    /// Its columns, of the source's column `t.#`.
    fn columns(&self) -> String {
        match self.read {
            ReadAs::Column(_) => "t.#".to_owned(),
            ReadAs::Property(_) => "t.#::text".to_owned(),
            ReadAs::There(sql) => sql.to_owned(),
            ReadAs::Times => "min(t.#), max(t.#)".to_owned(),
            ReadAs::Numbers(_) => "count(t.#), sum(t.#)::text, min(t.#), max(t.#)".to_owned(),
            ReadAs::Properties(_) => {
                let fits = format!("jsonb_typeof(t.#) = 'number' AND length(t.#::text) <= {NUMBER_BYTES_MAX}");
                let number = format!("CASE WHEN {fits} THEN t.#::numeric END");
                format!(
                    "{THERE}, CASE WHEN {fits} THEN NULL ELSE t.#::text END, count({number}), \
                     trim_scale(sum({number}))::text, max(min_scale({number})), min({number})::text, \
                     max({number})::text"
                )
            }
        }
    }

    /// Which of its columns tells events apart.
    fn key(&self) -> Option<usize> {
        match self.read {
            ReadAs::Column(_) | ReadAs::Property(_) => Some(self.at),
            ReadAs::Properties(_) => Some(self.at + 1),
            _ => None,
        }
    }

    fn read<'r>(&self, row: &'r PgRow, times: u64, lens: &Lens) -> Result<Found<'r>, sqlx::Error> {
        let at = self.at;
        Ok(match &self.read {
            ReadAs::Column(column) => column.read(row, at)?,
            ReadAs::Property(joined) => property(row.try_get(at)?, joined, lens),
            ReadAs::There(_) => Found::Summed(Box::new(Summed::of(count(row, at)?))),
            ReadAs::Times => {
                let instant = |at: usize| Ok::<_, sqlx::Error>(Value::Time(row.try_get::<Instant, _>(at)?.0));
                let ends = (instant(at)?, instant(at + 1)?);
                Found::Summed(Box::new(Summed { ends, ..Summed::of(times) }))
            }
            ReadAs::Numbers(places) => {
                let numbers = count(row, at)?;
                if numbers == 0 {
                    return Ok(Found::Nothing);
                }
                let end = |at: usize| Ok::<_, sqlx::Error>(stored(row.try_get(at)?, *places).unwrap_or_default());
                let (least, greatest) = (end(at + 2)?, end(at + 3)?);
                let (mantissa, _) = decimal(row.try_get(at + 1)?)?;
                let sum = Sum::of_many(numbers, (mantissa, -places), greatest, -places);
                let ends = (Value::Number(least), Value::Number(greatest));
                Found::Summed(Box::new(Summed { numbers, sum, ends, ..Summed::of(numbers) }))
            }
            ReadAs::Properties(joined) => return properties(row, at, joined, lens),
        })
    }
}

impl Summed<'_> {
    fn of(there: u64) -> Self {
        Self { there, numbers: 0, sum: Sum::default(), ends: (Value::Null, Value::Null), rest: None }
    }
}

fn properties<'r>(row: &'r PgRow, at: usize, path: &str, lens: &Lens) -> Result<Found<'r>, sqlx::Error> {
    let mut found = Summed::of(count(row, at)?);
    if let Found::Json(rest) = property(row.try_get(at + 1)?, path, lens) {
        found.rest = Some(rest);
    }
    found.numbers = count(row, at + 2)?;
    if found.numbers > 0 {
        let parse = |at: usize| -> Result<Number, sqlx::Error> {
            let number = Number::parse(row.try_get(at)?);
            number.ok_or_else(|| sqlx::Error::Decode("a number that is none".into()))
        };
        let (least, greatest) = (parse(at + 5)?, parse(at + 6)?);
        let last = -row.try_get::<i32, _>(at + 4)?;
        let furthest = if least.parts().0 < 0 && is_further(least, greatest) { least } else { greatest };
        found.sum = Sum::of_many(found.numbers, decimal(row.try_get(at + 3)?)?, furthest, last);
        found.ends = (Value::Number(least), Value::Number(greatest));
    }
    Ok(Found::Summed(Box::new(found)))
}

/// Whether the first number is further from 0.
fn is_further(one: Number, other: Number) -> bool {
    let magnitude = |number: Number| {
        let (mantissa, exponent) = number.parts();
        Number::new(mantissa.abs(), exponent.into()).unwrap_or_default()
    };
    magnitude(one) > magnitude(other)
}

fn count(row: &PgRow, at: usize) -> Result<u64, sqlx::Error> {
    Ok(unsigned(row.try_get(at)?))
}

/// A decimal number without an exponent, as its digits and the power of ten that they are multiplied with.
fn decimal(text: &str) -> Result<(i128, i32), sqlx::Error> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = format!("{whole}{fraction}").parse();
    let places = i32::try_from(fraction.len()).ok();
    digits
        .ok()
        .zip(places)
        .map(|(digits, places)| (digits, -places))
        .ok_or_else(|| sqlx::Error::Decode("a sum that is no number".into()))
}

#[cfg(test)]
mod tests {
    use domain::calendar::{Calendar, Interval, Period, WeekStart, Zone};

    use super::*;

    #[test]
    fn the_way_by_the_longest_key_counts_first() {
        let ways = |text: &str| PropertyPath::parse(text).ok().and_then(|path| ways(&path));
        let of = |ways: &[&[&str]]| {
            Some(ways.iter().map(|way| way.iter().map(|key| (*key).to_owned()).collect()).collect::<Vec<Vec<_>>>())
        };
        assert_eq!(ways("a"), of(&[&["a"]]));
        assert_eq!(ways("a.b.c"), of(&[&["a.b.c"], &["a.b", "c"], &["a", "b.c"], &["a", "b", "c"]]));
        assert_eq!(ways(r#"a."b".c"#), of(&[&["a", "b", "c"]]));
        assert_eq!(ways("a.b.c.d.e").map(|ways| ways.len()), Some(16));
        assert_eq!(ways("a.b.c.d.e.f"), None);
    }

    #[test]
    fn i3_stretches_lie_in_one_bucket_each() {
        // Clocks there go back over midnight.
        let zone = Zone::parse("America/St_Johns").unwrap_or_else(|_| Zone::utc());
        let calendar = Calendar { zone, week_start: WeekStart::Monday };
        let at = |hours: i64| Timestamp::from_micros((1_162_000_000 + hours * 3_600) * 1_000_000);
        let Some(hull) = TimeRange::new(at(0), at(72)) else { return };
        for interval in [Interval::Hour, Interval::Days(Period::Day), Interval::Days(Period::Week)] {
            let Stretches::Known(starts) = Stretches::of(calendar.buckets(interval), hull) else { return };
            for minute in 0..72 * 60 {
                let instant = at(0).plus_micros(minute * 60_000_000);
                let stretch = starts.partition_point(|start| *start <= instant);
                let start = starts.get(stretch.saturating_sub(1)).copied().unwrap_or_default();
                assert_eq!(calendar.bucket_of(start, interval), calendar.bucket_of(instant, interval));
            }
        }
    }

    #[test]
    fn sums_are_read_to_the_last_digit() {
        let read = |text| decimal(text).ok();
        assert_eq!(read("0"), Some((0, 0)));
        assert_eq!(read("-12.034"), Some((-12_034, -3)));
        assert_eq!(read("99999999999999999999999999999999999999"), Some((10_i128.pow(38) - 1, 0)));
        assert_eq!(read("1e5"), None);
    }
}
