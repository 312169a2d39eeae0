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
use utoipa::ToSchema;

use super::Object;

/// Doubles below this are printed without a fraction when they have none.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

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
    /// `input_tokens`, `output_tokens`, `latency_ms` or `properties.<path>`; only `count` needs none.
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
    value: Option<serde_json::Value>,
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
        let value = self.value.map(literal);
        let value = if is_time { value.map(|value| instant(value, self.op.as_deref(), calendar)) } else { value };
        UncheckedFilter { and: all(self.and), or: all(self.or), field: self.field, op: self.op, value }
    }
}

fn literal(value: serde_json::Value) -> Literal {
    match value {
        serde_json::Value::Bool(value) => Literal::Bool(value),
        serde_json::Value::Number(number) => Number::parse(&number.to_string()).map_or(Literal::Other, Literal::Number),
        serde_json::Value::String(text) => Literal::Text(text),
        serde_json::Value::Array(list) => Literal::List(list.into_iter().map(literal).collect()),
        serde_json::Value::Null | serde_json::Value::Object(_) => Literal::Other,
    }
}

/// The answer to a structured query.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = QueryAnswer)]
pub(crate) struct QueryAnswerBody {
    /// The names of the columns: `time` with `interval`, the groups, the aggregations.
    #[schema(example = json!(["time", "type", "count"]))]
    columns: Vec<String>,
    /// The rows, each with one value per column; absent values are null.
    #[schema(value_type = Vec<Vec<serde_json::Value>>, example = json!([["2026-11-01T00:00:00Z", "login", 5]]))]
    rows: Vec<Vec<Cell>>,
    /// Whether there were more rows than `limit`.
    truncated: bool,
}

impl From<QueryAnswer> for QueryAnswerBody {
    fn from(answer: QueryAnswer) -> Self {
        let rows = answer.rows.into_iter().map(|row| row.into_iter().map(Cell).collect()).collect();
        Self { columns: answer.columns, rows, truncated: answer.truncated }
    }
}

#[derive(Debug)]
struct Cell(Value);

impl Serialize for Cell {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Value::Null => serializer.serialize_unit(),
            Value::Bool(value) => serializer.serialize_bool(*value),
            Value::Int(number) => serializer.serialize_i64(*number),
            #[expect(clippy::cast_possible_truncation, reason = "compared with the largest")]
            Value::Float(number) if number.fract() == 0.0 && number.abs() < WHOLE_MAX => {
                serializer.serialize_i64(*number as i64)
            }
            Value::Float(number) => serializer.serialize_f64(*number),
            Value::Text(text) => serializer.serialize_str(text),
            Value::Time(time) => time.serialize(serializer),
        }
    }
}
