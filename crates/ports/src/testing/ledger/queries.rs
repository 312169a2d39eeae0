//! Structured queries: every event is read anew for every part of a query, as `docs/query.md` says it.

mod read;

use std::cmp::Ordering;
use std::collections::BTreeSet;

use async_trait::async_trait;
use domain::query::{
    AggregateOp, Aggregation, Bound, Comparison, Condition, Field, Filter, Query, Source, Value, Values,
};
use domain::tenant::TenantScope;

use super::{Counted, MemoryLedger, civil};
use crate::PortError;
use crate::queries::{Queries, QueryAnswer};

/// Whether an event takes part.
fn passes(counted: &Counted, filter: &Filter) -> bool {
    match filter {
        Filter::And(all) => all.iter().all(|filter| passes(counted, filter)),
        Filter::Or(any) => any.iter().any(|filter| passes(counted, filter)),
        Filter::Test(source, Condition::Exists(there)) => read::exists(counted, source) == *there,
        Filter::Test(source, Condition::In(values)) => is_one_of(counted, source, values),
        Filter::Test(source, Condition::NotIn(values)) => !is_one_of(counted, source, values),
        Filter::Test(source, Condition::Compare(comparison, bound)) => {
            let found = match bound {
                Bound::Text(bound) => read::text(counted, source).map(|text| text.as_bytes().cmp(bound.as_bytes())),
                Bound::Number(bound) => read::compare(counted, source, *bound),
                Bound::Time(bound) => read::time(counted, source).map(|time| time.cmp(bound)),
            };
            found.is_some_and(|found| match comparison {
                Comparison::Gt => found == Ordering::Greater,
                Comparison::Gte => found != Ordering::Less,
                Comparison::Lt => found == Ordering::Less,
                Comparison::Lte => found != Ordering::Greater,
            })
        }
    }
}

fn is_one_of(counted: &Counted, source: &Source, values: &Values) -> bool {
    match values {
        Values::Texts(texts) => read::text(counted, source).is_some_and(|text| texts.contains(&text)),
        Values::Numbers(numbers) => {
            numbers.iter().any(|number| read::compare(counted, source, *number) == Some(Ordering::Equal))
        }
        Values::Times(times) => read::time(counted, source).is_some_and(|time| times.contains(&time)),
    }
}

/// The bucket and the groups of an event, as the leading columns of its row.
fn key_of(counted: &Counted, query: &Query) -> Vec<Value> {
    let bucket = query
        .bucket
        .iter()
        .map(|(interval, calendar)| Value::Time(civil::bucket_of(counted.event.time, *interval, calendar)));
    bucket.chain(query.group_by.iter().map(|source| read::key(counted, source))).collect()
}

fn aggregate(events: &[&Counted], aggregation: &Aggregation) -> Value {
    let Some(source) = &aggregation.source else { return count(events.len()) };
    let numbers = || events.iter().filter_map(|counted| read::number(counted, source));
    match aggregation.op {
        AggregateOp::Count => count(events.iter().filter(|counted| read::exists(counted, source)).count()),
        AggregateOp::Unique => {
            let keys = events.iter().map(|counted| read::key(counted, source));
            let texts = keys.filter(|key| *key != Value::Null).map(|key| format!("{key:?}"));
            count(texts.collect::<BTreeSet<_>>().len())
        }
        AggregateOp::Sum => sum(events, source).map_or(Value::Null, |sum| sum.value()),
        AggregateOp::Avg => sum(events, source).map_or(Value::Null, |sum| Value::Float(sum.mean(numbers().count()))),
        AggregateOp::Min | AggregateOp::Max => {
            let mut values: Vec<Value> = events.iter().map(|counted| read::measure(counted, source)).collect();
            values.retain(|value| *value != Value::Null);
            values.sort_by(compare);
            let found = if aggregation.op == AggregateOp::Min { values.first() } else { values.last() };
            found.cloned().unwrap_or(Value::Null)
        }
        AggregateOp::Percentile(percent) => percentile(numbers().collect(), percent),
    }
}

fn count(count: usize) -> Value {
    Value::Int(i64::try_from(count).unwrap_or(i64::MAX))
}

/// A sum before it is held at the largest number.
enum Sum {
    Whole(i128),
    Micros(i128),
    Real(f64),
}

#[expect(clippy::cast_precision_loss, reason = "the answer is a double")]
impl Sum {
    fn value(self) -> Value {
        match self {
            Self::Whole(sum) => Value::Int(i64::try_from(sum).unwrap_or(i64::MAX)),
            Self::Micros(_) | Self::Real(_) => Value::Float(self.mean(1)),
        }
    }

    fn mean(self, count: usize) -> f64 {
        match self {
            Self::Whole(sum) => sum as f64 / count as f64,
            Self::Micros(sum) => sum as f64 / 1_000.0 / count as f64,
            Self::Real(sum) => sum / count as f64,
        }
    }
}

/// `None` without values.
fn sum(events: &[&Counted], source: &Source) -> Option<Sum> {
    let wholes = |read: fn(&Counted) -> Option<u64>| {
        let values: Vec<u64> = events.iter().filter_map(|counted| read(counted)).collect();
        (!values.is_empty()).then(|| values.iter().map(|value| i128::from(*value)).sum())
    };
    match source {
        Source::Field(Field::Tokens) => wholes(|counted| counted.event.tokens).map(Sum::Whole),
        Source::Field(Field::InputTokens) => wholes(|counted| counted.event.input_tokens).map(Sum::Whole),
        Source::Field(Field::OutputTokens) => wholes(|counted| counted.event.output_tokens).map(Sum::Whole),
        Source::Field(Field::LatencyMs) => wholes(|counted| counted.event.latency_us).map(Sum::Micros),
        _ => {
            let values: Vec<f64> = events.iter().filter_map(|counted| read::number(counted, source)).collect();
            (!values.is_empty()).then(|| Sum::Real(values.iter().sum()))
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "small counts"
)]
fn percentile(mut values: Vec<f64>, percent: u8) -> Value {
    values.sort_by(f64::total_cmp);
    let Some(last) = values.len().checked_sub(1) else { return Value::Null };
    let place = last as f64 * f64::from(percent) / 100.0;
    let (low, high) = (values[place.floor() as usize], values[(place.ceil() as usize).min(last)]);
    Value::Float(low + (high - low) * place.fract())
}

/// Values of one column in ascending order; texts by their bytes, absent ones last.
fn compare(left: &Value, right: &Value) -> Ordering {
    match (left, right) {
        (Value::Null, Value::Null) => Ordering::Equal,
        (Value::Null, _) => Ordering::Greater,
        (_, Value::Null) => Ordering::Less,
        (Value::Int(left), Value::Int(right)) => left.cmp(right),
        (Value::Float(left), Value::Float(right)) => left.total_cmp(right),
        (Value::Text(left), Value::Text(right)) => left.as_bytes().cmp(right.as_bytes()),
        (Value::Time(left), Value::Time(right)) => left.cmp(right),
        (Value::Bool(left), Value::Bool(right)) => left.cmp(right),
        // One column never mixes kinds.
        _ => Ordering::Equal,
    }
}

fn in_order(query: &Query, left: &[Value], right: &[Value]) -> Ordering {
    let asked = query.order_by.iter().map(|key| {
        let (left, right) = (&left[key.column], &right[key.column]);
        let absent = *left == Value::Null || *right == Value::Null;
        if key.descending && !absent { compare(right, left) } else { compare(left, right) }
    });
    let keys = (0..query.key_columns()).map(|column| compare(&left[column], &right[column]));
    asked.chain(keys).find(|order| *order != Ordering::Equal).unwrap_or(Ordering::Equal)
}

#[async_trait]
impl Queries for MemoryLedger {
    async fn query(&self, scope: &TenantScope, query: &Query) -> Result<QueryAnswer, PortError> {
        let state = self.state.lock();
        let inside = state.of(scope).filter(|counted| query.range.contains(counted.event.time));
        let events = inside.filter(|counted| query.filter.as_ref().is_none_or(|filter| passes(counted, filter)));
        let mut groups: Vec<(Vec<Value>, Vec<&Counted>)> = Vec::new();
        if query.key_columns() == 0 {
            groups.push((Vec::new(), Vec::new()));
        }
        for counted in events {
            let key = key_of(counted, query);
            match groups.iter_mut().find(|(known, _)| *known == key) {
                Some((_, events)) => events.push(counted),
                None => groups.push((key, vec![counted])),
            }
        }
        let row = |(key, events): (Vec<Value>, Vec<&Counted>)| {
            let values = query.aggregations.iter().map(|aggregation| aggregate(&events, aggregation));
            key.into_iter().chain(values).collect::<Vec<Value>>()
        };
        let mut rows: Vec<Vec<Value>> = groups.into_iter().map(row).collect();
        rows.sort_by(|left, right| in_order(query, left, right));
        let truncated = rows.len() > query.limit;
        rows.truncate(query.limit);
        Ok(QueryAnswer { columns: query.columns(), rows, truncated })
    }
}
