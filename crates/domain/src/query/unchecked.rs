//! A query as a client wrote it, and the check that makes it a [`Query`]. Every refusal names the
//! faulty part by its place in the request. Refuses whatever it does not know: a misspelt name
//! would answer another question than the one that was asked.

use std::collections::HashSet;

use super::{
    AggregateOp, Aggregation, BUCKET_COLUMN, Bound, Comparison, Condition, Filter, Kind, Number, OrderBy, Query,
    Source, Values,
};
use crate::calendar::{Calendar, Interval};
use crate::encryption::Lens;
use crate::limits::{
    NAME_BYTES_MAX, QUERY_AGGREGATIONS_MAX, QUERY_FILTER_DEPTH_MAX, QUERY_FILTER_NODES_MAX, QUERY_GROUPS_MAX,
    QUERY_IN_VALUES_MAX, QUERY_NUMBER_DIGITS_MAX, QUERY_NUMBER_EXPONENT_MAX, QUERY_ROWS_DEFAULT, QUERY_ROWS_MAX,
};
use crate::time::{TimeRange, Timestamp};

/// A query of which only the range and the bucket are checked.
#[derive(Debug, Clone, PartialEq)]
pub struct UncheckedQuery {
    /// Events of these times.
    pub range: TimeRange,
    /// The buckets of time.
    pub bucket: Option<(Interval, Calendar)>,
    /// The aggregated columns.
    pub aggregations: Vec<UncheckedAggregation>,
    /// The names of sources.
    pub group_by: Vec<String>,
    /// Which events.
    pub filter: Option<UncheckedFilter>,
    /// The order of the rows.
    pub order_by: Vec<UncheckedOrder>,
    /// Most rows.
    pub limit: Option<i64>,
}

/// An aggregated column.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct UncheckedAggregation {
    /// `count`, `sum`, `avg`, `min`, `max`, `unique`, `p50`, `p95` or `p99`.
    pub op: String,
    /// The name of a source.
    pub field: Option<String>,
    /// The column's name.
    pub name: Option<String>,
}

/// A node of a filter: exactly one of `and`, `or`, and a test.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct UncheckedFilter {
    /// All of these.
    pub and: Option<Vec<UncheckedFilter>>,
    /// Any of these.
    pub or: Option<Vec<UncheckedFilter>>,
    /// The name of the tested source.
    pub field: Option<String>,
    /// `eq`, `ne`, `in`, `gt`, `gte`, `lt`, `lte` or `exists`.
    pub op: Option<String>,
    /// What it is tested against.
    pub value: Option<Literal>,
}

/// A key of the order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct UncheckedOrder {
    /// The name of a column of the answer.
    pub column: String,
    /// `asc` or `desc`.
    pub direction: Option<String>,
}

/// A value as written.
#[derive(Debug, Clone, PartialEq)]
pub enum Literal {
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(Number),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Literal>),
    /// Anything else: null or an object.
    Other,
}

/// Why a query is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {reason}")]
pub struct QueryRefusal {
    /// The faulty part, as in `filter.and[1].value`.
    pub place: String,
    /// What is wrong with it.
    pub reason: String,
}

fn refuse<T>(place: impl Into<String>, reason: impl Into<String>) -> Result<T, QueryRefusal> {
    Err(QueryRefusal { place: place.into(), reason: reason.into() })
}

fn source(place: &str, text: &str) -> Result<Source, QueryRefusal> {
    Source::parse(text).or_else(|reason| refuse(place, reason))
}

fn at_most<T>(place: &str, items: &[T], max: usize) -> Result<(), QueryRefusal> {
    if items.len() > max { refuse(place, format!("has at most {max} entries")) } else { Ok(()) }
}

impl UncheckedQuery {
    /// Checks every part.
    ///
    /// # Errors
    /// The first faulty part.
    pub fn check(self) -> Result<Query, QueryRefusal> {
        if self.aggregations.is_empty() {
            return refuse("aggregations", "has at least one entry");
        }
        at_most("aggregations", &self.aggregations, QUERY_AGGREGATIONS_MAX)?;
        at_most("group_by", &self.group_by, QUERY_GROUPS_MAX)?;
        let groups = self.group_by.iter().enumerate();
        let group_by = groups.map(|(at, name)| source(&format!("group_by[{at}]"), name)).collect::<Result<_, _>>()?;
        let aggregations = self.aggregations.into_iter().enumerate();
        let aggregations = aggregations.map(|(at, aggregation)| aggregation.check(at)).collect::<Result<_, _>>()?;
        let mut nodes = 0;
        let filter = self.filter.map(|filter| filter.check("filter", 1, &mut nodes)).transpose()?;
        let limit = match self.limit {
            None => QUERY_ROWS_DEFAULT,
            Some(rows) => match usize::try_from(rows) {
                Ok(rows) if (1..=QUERY_ROWS_MAX).contains(&rows) => rows,
                _ => return refuse("limit", format!("must be a whole number from 1 to {QUERY_ROWS_MAX}")),
            },
        };
        let (range, bucket) = (self.range, self.bucket);
        let (order_by, lens) = (Vec::new(), Lens::HIDING);
        let mut query = Query { range, bucket, group_by, aggregations, filter, order_by, limit, lens };
        let columns = query.columns();
        check_distinct(&query, &columns)?;
        query.order_by = check_order(&self.order_by, &columns)?;
        Ok(query)
    }
}

/// No two columns may have one name.
fn check_distinct(query: &Query, columns: &[String]) -> Result<(), QueryRefusal> {
    let mut seen = HashSet::new();
    let Some(twice) = columns.iter().position(|name| !seen.insert(name)) else { return Ok(()) };
    let (buckets, keys) = (usize::from(query.bucket.is_some()), query.key_columns());
    let reason = format!("two columns have the name '{}'; give one another name with 'as'", columns[twice]);
    if twice < keys {
        let why =
            if columns[twice] == BUCKET_COLUMN { "the buckets of 'interval' have this name already" } else { &reason };
        return refuse(format!("group_by[{}]", twice - buckets), why);
    }
    refuse(format!("aggregations[{}].as", twice - keys), reason)
}

fn check_order(order_by: &[UncheckedOrder], columns: &[String]) -> Result<Vec<OrderBy>, QueryRefusal> {
    at_most("order_by", order_by, columns.len())?;
    let mut order: Vec<OrderBy> = Vec::new();
    for (at, unchecked) in order_by.iter().enumerate() {
        let Some(column) = columns.iter().position(|name| *name == unchecked.column) else {
            let reason = format!("no column of the answer; there are {}", columns.join(", "));
            return refuse(format!("order_by[{at}].column"), reason);
        };
        if order.iter().any(|earlier| earlier.column == column) {
            return refuse(format!("order_by[{at}].column"), "the column stands there twice");
        }
        let descending = match unchecked.direction.as_deref() {
            None | Some("asc") => false,
            Some("desc") => true,
            Some(_) => return refuse(format!("order_by[{at}].direction"), "must be asc or desc"),
        };
        order.push(OrderBy { column, descending });
    }
    Ok(order)
}

impl UncheckedAggregation {
    fn check(self, at: usize) -> Result<Aggregation, QueryRefusal> {
        let place = |part: &str| format!("aggregations[{at}].{part}");
        let op = match self.op.as_str() {
            "count" => AggregateOp::Count,
            "sum" => AggregateOp::Sum,
            "avg" => AggregateOp::Avg,
            "min" => AggregateOp::Min,
            "max" => AggregateOp::Max,
            "unique" => AggregateOp::Unique,
            "p50" => AggregateOp::Percentile(50),
            "p95" => AggregateOp::Percentile(95),
            "p99" => AggregateOp::Percentile(99),
            _ => return refuse(place("op"), "must be count, sum, avg, min, max, unique, p50, p95 or p99"),
        };
        let source = self.field.as_deref().map(|name| source(&place("field"), name)).transpose()?;
        let fits = match (op, source.as_ref().map(Source::kind)) {
            (AggregateOp::Count, None) | (AggregateOp::Count | AggregateOp::Unique, Some(_)) => true,
            (_, None) => return refuse(place("field"), format!("{} needs a field", self.op)),
            (AggregateOp::Min | AggregateOp::Max, Some(kind)) => kind != Kind::Text,
            (_, Some(kind)) => !matches!(kind, Kind::Text | Kind::Time),
        };
        if !fits {
            return refuse(place("field"), format!("{} needs a field of numbers", self.op));
        }
        let is_name =
            |name: &str| !name.is_empty() && name.len() <= NAME_BYTES_MAX && !name.chars().any(char::is_control);
        let name = match (self.name, &source) {
            (Some(name), _) if is_name(&name) => name,
            (Some(_), _) => {
                return refuse(
                    place("as"),
                    format!("must have 1 to {NAME_BYTES_MAX} bytes without control characters"),
                );
            }
            (None, Some(source)) => format!("{}_{source}", self.op),
            (None, None) => self.op,
        };
        Ok(Aggregation { op, source, name })
    }
}

impl UncheckedFilter {
    fn check(self, place: &str, depth: usize, nodes: &mut usize) -> Result<Filter, QueryRefusal> {
        *nodes += 1;
        if *nodes > QUERY_FILTER_NODES_MAX {
            return refuse(place, format!("a filter has at most {QUERY_FILTER_NODES_MAX} nodes"));
        }
        if depth > QUERY_FILTER_DEPTH_MAX {
            return refuse(place, format!("a filter has at most {QUERY_FILTER_DEPTH_MAX} levels"));
        }
        let is_test = self.field.is_some() || self.op.is_some() || self.value.is_some();
        match (self.and, self.or) {
            (Some(all), None) if !is_test => branch(&format!("{place}.and"), all, depth, nodes).map(Filter::And),
            (None, Some(any)) if !is_test => branch(&format!("{place}.or"), any, depth, nodes).map(Filter::Or),
            (None, None) => test(place, self.field, self.op, self.value),
            _ => refuse(place, "has exactly one of 'and', 'or' and a test of 'field', 'op' and 'value'"),
        }
    }
}

fn branch(
    place: &str,
    items: Vec<UncheckedFilter>,
    depth: usize,
    nodes: &mut usize,
) -> Result<Vec<Filter>, QueryRefusal> {
    if items.is_empty() {
        return refuse(place, "has at least one entry");
    }
    let items = items.into_iter().enumerate();
    items.map(|(at, item)| item.check(&format!("{place}[{at}]"), depth + 1, nodes)).collect()
}

fn test(
    place: &str,
    field: Option<String>,
    op: Option<String>,
    value: Option<Literal>,
) -> Result<Filter, QueryRefusal> {
    let Some(field) = field else { return refuse(format!("{place}.field"), "is missing") };
    let source = source(&format!("{place}.field"), &field)?;
    let Some(op) = op else { return refuse(format!("{place}.op"), "is missing") };
    let place = format!("{place}.value");
    let compare =
        |comparison, value| bound(&place, source.kind(), value).map(|bound| Condition::Compare(comparison, bound));
    let condition = match (op.as_str(), value) {
        ("exists", None) => Condition::Exists(true),
        ("exists", Some(Literal::Bool(there))) => Condition::Exists(there),
        ("exists", Some(_)) => return refuse(place, "must be true or false"),
        ("eq" | "ne" | "in" | "gt" | "gte" | "lt" | "lte", None) => {
            return refuse(place, format!("is missing; {op} needs a value, and 'exists' tells absent ones"));
        }
        ("eq", Some(value)) => Condition::In(values(&place, source.kind(), vec![value])?),
        ("ne", Some(value)) => Condition::NotIn(values(&place, source.kind(), vec![value])?),
        ("in", Some(Literal::List(list))) => Condition::In(list_of(&place, source.kind(), list)?),
        ("in", Some(_)) => return refuse(place, "must be a list of values"),
        ("gt", Some(value)) => compare(Comparison::Gt, value)?,
        ("gte", Some(value)) => compare(Comparison::Gte, value)?,
        ("lt", Some(value)) => compare(Comparison::Lt, value)?,
        ("lte", Some(value)) => compare(Comparison::Lte, value)?,
        _ => {
            let place = place.strip_suffix("value").unwrap_or(&place);
            return refuse(format!("{place}op"), "must be eq, ne, in, gt, gte, lt, lte or exists");
        }
    };
    Ok(Filter::Test(source, condition))
}

fn list_of(place: &str, kind: Kind, list: Vec<Literal>) -> Result<Values, QueryRefusal> {
    if list.is_empty() {
        return refuse(place, "has at least one value");
    }
    if list.len() > QUERY_IN_VALUES_MAX {
        return refuse(place, format!("has at most {QUERY_IN_VALUES_MAX} values"));
    }
    values(place, kind, list)
}

/// The values of a test by equality, all of one kind; `true` and `false` of a property are texts.
fn values(place: &str, kind: Kind, list: Vec<Literal>) -> Result<Values, QueryRefusal> {
    let (mut texts, mut numbers, mut times) = (Vec::new(), Vec::new(), Vec::new());
    for literal in list {
        let literal = match (kind, literal) {
            (Kind::Property, Literal::Bool(value)) => Literal::Text(value.to_string()),
            (_, literal) => literal,
        };
        match bound(place, kind, literal)? {
            Bound::Text(text) => texts.push(text),
            Bound::Number(number) => numbers.push(number),
            Bound::Time(time) => times.push(time),
        }
    }
    match (texts.is_empty(), numbers.is_empty()) {
        (false, false) => refuse(place, "has values of one kind, texts or numbers"),
        (false, true) => Ok(Values::Texts(texts)),
        (true, false) => Ok(Values::Numbers(numbers)),
        (true, true) => Ok(Values::Times(times)),
    }
}

/// A literal as the kind of source asks for it.
fn bound(place: &str, kind: Kind, literal: Literal) -> Result<Bound, QueryRefusal> {
    match (kind, literal) {
        (Kind::Text | Kind::Property, Literal::Text(text)) => Ok(Bound::Text(text)),
        (Kind::Count | Kind::Millis | Kind::Property, Literal::Number(number)) => {
            if number.is_exact() {
                return Ok(Bound::Number(number));
            }
            refuse(
                place,
                format!(
                    "must be a number of at most {QUERY_NUMBER_DIGITS_MAX} significant digits, below 10^{}",
                    QUERY_NUMBER_EXPONENT_MAX + 1
                ),
            )
        }
        (Kind::Time, Literal::Text(text)) => match Timestamp::parse(&text) {
            Ok(time) => Ok(Bound::Time(time)),
            Err(why) => refuse(place, format!("is {why}")),
        },
        (Kind::Text, _) => refuse(place, "must be a text"),
        (Kind::Time, _) => refuse(place, "must be an instant, written as a text in RFC 3339"),
        (Kind::Count | Kind::Millis, _) => refuse(place, "must be a number"),
        (Kind::Property, _) => refuse(place, "must be a text or a number"),
    }
}
