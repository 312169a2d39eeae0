//! A structured query as clients write it, and its answer.

use domain::calendar::{Calendar, Interval, Period, TimeBound, Zone};
use domain::limits::QUERY_ROWS_MAX;
use domain::query::{
    Literal, Number, Query, QueryRefusal, UncheckedAggregation, UncheckedFilter, UncheckedOrder, UncheckedQuery, Value,
};
use domain::time::{TimeRange, Timestamp};
use ports::queries::QueryAnswer;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::Object;

/// A question over raw events: filtered, grouped, aggregated. `docs/query.md` says what each part means.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Query)]
pub(crate) struct QueryBody {
    /// Events of this time or later, or from this calendar date on, both of the zone unless the time has an
    /// offset; all that is kept if absent.
    #[schema(example = "2026-11-01")]
    from: Option<String>,
    /// Events before this time, or up to and with this calendar date.
    #[schema(example = "2026-11-30")]
    to: Option<String>,
    /// IANA time zone of dates, of times without an offset and of buckets; the tenant's own if absent.
    #[schema(example = "Europe/Berlin")]
    tz: Option<String>,
    /// One row per bucket of time: `minute`, `hour`, `day`, `week` or `month`.
    #[schema(example = "day")]
    interval: Option<String>,
    /// The aggregated columns, 1 to 16.
    #[serde(default)]
    #[schema(value_type = Vec<AggregationBody>)]
    aggregations: Vec<Object<AggregationBody>>,
    /// Fields, or `properties.<path>`; at most 8.
    #[serde(default)]
    #[schema(example = json!(["type", "properties.plan"]))]
    group_by: Vec<String>,
    /// Only events that pass.
    #[schema(value_type = Option<FilterBody>)]
    filter: Option<Object<FilterBody>>,
    /// Before the default order, which is by bucket, then by group columns.
    #[serde(default)]
    #[schema(value_type = Vec<OrderBody>)]
    order_by: Vec<Object<OrderBody>>,
    /// Most rows: 1 to 10000, 1000 if absent.
    #[serde(default, deserialize_with = "whole")]
    limit: Option<i64>,
}

/// One aggregated column.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = QueryAggregation)]
struct AggregationBody {
    /// `count`, `sum`, `avg`, `min`, `max`, `unique`, `p50`, `p95` or `p99`.
    #[serde(default)]
    #[schema(example = "p95")]
    op: String,
    /// `id`, `time`, `received_at`, `type`, `project`, `customer`, `user`, `endpoint`, `model`, `tokens`,
    /// `input_tokens`, `output_tokens`, `cache_read_tokens`, `cache_write_tokens`, `reasoning_tokens`, `latency_ms`
    /// or `properties.<path>`; only `count` needs none.
    #[schema(example = "latency_ms")]
    field: Option<String>,
    /// The column's name; op and field if absent, as in `p95_latency_ms`.
    r#as: Option<String>,
}

/// One of `and`, `or`, and a test of `field`, `op` and `value`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = QueryFilter)]
struct FilterBody {
    /// All of these pass.
    #[schema(no_recursion, value_type = Option<Vec<FilterBody>>)]
    and: Option<Vec<Object<FilterBody>>>,
    /// Any of these passes.
    #[schema(no_recursion, value_type = Option<Vec<FilterBody>>)]
    or: Option<Vec<Object<FilterBody>>>,
    /// What is tested: a field, or `properties.<path>`.
    field: Option<String>,
    /// `eq`, `ne`, `in`, `gt`, `gte`, `lt`, `lte` or `exists`.
    op: Option<String>,
    /// A text, a number, `true` or `false`; a list of them for `in`. A time without an offset is of the zone.
    #[schema(value_type = Option<serde_json::Value>)]
    value: Option<Box<RawValue>>,
}

/// One key of the order of rows.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = QueryOrder)]
struct OrderBody {
    /// A column of the answer.
    #[serde(default)]
    column: String,
    /// `asc` (if absent) or `desc`; absent values come last either way.
    direction: Option<String>,
}

fn whole<'de, D: Deserializer<'de>>(from: D) -> Result<Option<i64>, D::Error> {
    let refused = |_| D::Error::custom(format!("must be a whole number from 1 to {QUERY_ROWS_MAX}"));
    Option::deserialize(from).map_err(refused)
}

fn refuse<T>(place: &str, reason: impl Into<String>) -> Result<T, QueryRefusal> {
    Err(QueryRefusal { place: place.to_owned(), reason: reason.into() })
}

impl QueryBody {
    /// The query, with what a tenant's own days and weeks are.
    pub(crate) fn check(self, own: Calendar) -> Result<Query, QueryRefusal> {
        let calendar = match &self.tz {
            None => own,
            Some(name) => match Zone::parse(name) {
                Ok(zone) => Calendar { zone, ..own },
                Err(why) => return refuse("tz", format!("is {why}")),
            },
        };
        let interval = self.interval.as_deref().map(interval).transpose()?;
        let aggregations = self.aggregations.into_iter();
        let aggregation = |Object(body): Object<AggregationBody>| {
            let AggregationBody { op, field, r#as: name } = body;
            UncheckedAggregation { op, field, name }
        };
        let order = |Object(body): Object<OrderBody>| {
            let OrderBody { column, direction } = body;
            UncheckedOrder { column, direction }
        };
        let filter = self.filter.map(|Object(filter)| filter.unchecked(&calendar));
        let unchecked = UncheckedQuery {
            range: range(self.from.as_deref(), self.to.as_deref(), &calendar)?,
            bucket: interval.map(|interval| (interval, calendar)),
            aggregations: aggregations.map(aggregation).collect(),
            group_by: self.group_by,
            filter,
            order_by: self.order_by.into_iter().map(order).collect(),
            limit: self.limit,
        };
        unchecked.check()
    }
}

fn interval(word: &str) -> Result<Interval, QueryRefusal> {
    Ok(match word {
        "minute" => Interval::Minute,
        "hour" => Interval::Hour,
        "day" => Interval::Days(Period::Day),
        "week" => Interval::Days(Period::Week),
        "month" => Interval::Days(Period::Month),
        _ => return refuse("interval", "must be minute, hour, day, week or month"),
    })
}

/// One end of the range, in days of the zone when it is a date.
fn bound(place: &str, text: Option<&str>) -> Result<Option<TimeBound>, QueryRefusal> {
    let bound = text.map(TimeBound::parse).transpose();
    bound.or_else(|why| refuse(place, format!("is {why}")))
}

/// Dates are whole days of the zone, times half-open.
fn range(from: Option<&str>, to: Option<&str>, calendar: &Calendar) -> Result<TimeRange, QueryRefusal> {
    let (from, to) = (bound("from", from)?, bound("to", to)?);
    let first = from.map_or(Timestamp::MIN, |from| from.start(calendar));
    let end = to.map_or(Timestamp::MAX, |to| to.end(calendar));
    let is_backwards = matches!((from, to), (Some(TimeBound::Day(from)), Some(TimeBound::Day(to))) if from > to);
    match TimeRange::new(first, end).filter(|_| !is_backwards) {
        Some(range) => Ok(range),
        None => refuse("from", "must not be after 'to'"),
    }
}

/// A time to compare with, as an instant: of the zone when it has no offset. A date is its first instant, and
/// its last for what comes after it or not.
fn instant(value: Literal, op: Option<&str>, calendar: &Calendar) -> Literal {
    match value {
        Literal::Text(text) => match TimeBound::parse(&text) {
            Ok(day @ TimeBound::Day(_)) if matches!(op, Some("gt" | "lte")) => {
                Literal::Text(day.end(calendar).plus_micros(-1).to_string())
            }
            Ok(bound) => Literal::Text(bound.start(calendar).to_string()),
            Err(_) => Literal::Text(text),
        },
        Literal::List(list) => Literal::List(list.into_iter().map(|value| instant(value, op, calendar)).collect()),
        other => other,
    }
}

impl FilterBody {
    fn unchecked(self, calendar: &Calendar) -> UncheckedFilter {
        let node = |Object(node): Object<Self>| node.unchecked(calendar);
        let all = |nodes: Option<Vec<_>>| nodes.map(|nodes| nodes.into_iter().map(node).collect());
        let is_time = matches!(self.field.as_deref(), Some("time" | "received_at"));
        let value = self.value.map(|value| literal(&value));
        let value = if is_time { value.map(|value| instant(value, self.op.as_deref(), calendar)) } else { value };
        UncheckedFilter { and: all(self.and), or: all(self.or), field: self.field, op: self.op, value }
    }
}

/// A value, with all digits of a number; a list has no lists in it.
fn literal(value: &RawValue) -> Literal {
    if value.get().starts_with('[') {
        let list: Vec<&RawValue> = serde_json::from_str(value.get()).unwrap_or_default();
        return Literal::List(list.into_iter().map(scalar).collect());
    }
    scalar(value)
}

fn scalar(value: &RawValue) -> Literal {
    match value.get() {
        "true" => Literal::Bool(true),
        "false" => Literal::Bool(false),
        text if text.starts_with('"') => serde_json::from_str(text).map_or(Literal::Other, Literal::Text),
        other => Number::parse(other).map_or(Literal::Other, Literal::Number),
    }
}

/// How numbers of rows are written, by name.
pub(crate) const NUMBERS: [(&str, NumberStyle); 2] = [("number", NumberStyle::Number), ("text", NumberStyle::Text)];

/// How numbers of rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum NumberStyle {
    /// As numbers of JSON.
    #[default]
    Number,
    /// As texts, for readers that take numbers for doubles.
    Text,
}

/// The answer to a structured query.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = QueryAnswer)]
pub(crate) struct QueryAnswerBody {
    /// The names of the columns: `time` with `interval`, the groups, the aggregations.
    #[schema(example = json!(["time", "type", "count"]))]
    columns: Vec<String>,
    /// The rows, each with one value per column; absent values are null. A number has all its digits, up to 28.
    #[schema(value_type = Vec<Vec<serde_json::Value>>, example = json!([["2026-11-01T00:00:00Z", "login", 5]]))]
    rows: Vec<Vec<Cell>>,
    /// Whether there were more rows than `limit`.
    truncated: bool,
    /// What has entered each aggregation, in the order asked for.
    aggregations: Vec<CountsBody>,
}

/// What has entered an aggregation, of all rows, also of those beyond `limit`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = QueryAggregationCounts)]
struct CountsBody {
    /// The column of the aggregation.
    #[schema(example = "count")]
    column: String,
    /// Values: numbers, or what is counted.
    #[schema(example = 5)]
    values: u64,
    /// Numbers among them that were written as texts.
    #[schema(example = 0)]
    texts_read: u64,
    /// What is there and no number, where numbers are asked for; it takes no part.
    #[schema(example = 0)]
    skipped: u64,
    /// Rows, from 0, in which the value has more than 28 significant digits; it is null there.
    #[schema(example = json!([]))]
    overflow: Vec<usize>,
}

impl QueryAnswerBody {
    /// An answer, with the numbers of its rows in this style.
    pub(crate) fn new(answer: QueryAnswer, style: NumberStyle) -> Self {
        let QueryAnswer { columns, rows, truncated, aggregations: counts } = answer;
        let keys = columns.len() - counts.len();
        let overflow = |column: usize| {
            let rows = rows.iter().enumerate();
            rows.filter(|(_, row)| row.get(column) == Some(&Value::Overflow)).map(|(at, _)| at).collect()
        };
        let aggregations = (keys..).zip(counts).map(|(column, counts)| CountsBody {
            column: columns[column].clone(),
            values: counts.values,
            texts_read: counts.texts_read,
            skipped: counts.skipped,
            overflow: overflow(column),
        });
        let aggregations = aggregations.collect();
        let rows = rows.into_iter().map(|row| row.into_iter().map(|value| Cell { value, style }).collect()).collect();
        Self { columns, rows, truncated, aggregations }
    }
}

#[derive(Debug)]
struct Cell {
    value: Value,
    style: NumberStyle,
}

impl Serialize for Cell {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match (&self.value, self.style) {
            (Value::Null | Value::Overflow, _) => serializer.serialize_unit(),
            (Value::Number(number), NumberStyle::Text) => serializer.collect_str(number),
            (Value::Number(number), NumberStyle::Number) => {
                let digits = RawValue::from_string(number.to_string()).map_err(serde::ser::Error::custom)?;
                digits.serialize(serializer)
            }
            (Value::Text(text), _) => serializer.serialize_str(text),
            (Value::Time(time), _) => time.serialize(serializer),
        }
    }
}
