//! Structured queries: every event is read anew for every part of a query, as `docs/query.md` says it.

mod read;

use std::cmp::Ordering;
use std::collections::BTreeSet;

use async_trait::async_trait;
use domain::encryption::Lens;
use domain::query::{
    AggregateOp, Aggregation, Bound, Comparison, Condition, Filter, Kind, Number, Query, Source, Sum, Value, Values,
    between,
};
use domain::tenant::TenantScope;

use super::{Counted, MemoryLedger, civil};
use crate::PortError;
use crate::queries::{AggregationCounts, Queries, QueryAnswer};
use read::Found;

/// Whether an event takes part.
fn passes(counted: &Counted, filter: &Filter, lens: &Lens) -> bool {
    match filter {
        Filter::And(all) => all.iter().all(|filter| passes(counted, filter, lens)),
        Filter::Or(any) => any.iter().any(|filter| passes(counted, filter, lens)),
        Filter::Test(source, Condition::Exists(there)) => read::exists(counted, source, lens) == *there,
        Filter::Test(source, Condition::In(values)) => is_one_of(counted, source, values, lens),
        Filter::Test(source, Condition::NotIn(values)) => !is_one_of(counted, source, values, lens),
        Filter::Test(source, Condition::Compare(comparison, bound)) => {
            let found = match bound {
                Bound::Text(bound) => {
                    read::text(counted, source, lens).map(|text| text.as_bytes().cmp(bound.as_bytes()))
                }
                Bound::Number(bound) => read::number(counted, source, lens).map(|number| number.cmp(bound)),
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

fn is_one_of(counted: &Counted, source: &Source, values: &Values, lens: &Lens) -> bool {
    match values {
        Values::Texts(texts) => read::text(counted, source, lens).is_some_and(|text| texts.contains(&text)),
        Values::Numbers(numbers) => read::number(counted, source, lens).is_some_and(|number| numbers.contains(&number)),
        Values::Times(times) => read::time(counted, source).is_some_and(|time| times.contains(&time)),
    }
}

/// The bucket and the groups of an event, as the leading columns of its row.
fn key_of(counted: &Counted, query: &Query) -> Vec<Value> {
    let lens = &query.lens;
    let bucket = query
        .bucket
        .iter()
        .map(|(interval, calendar)| Value::Time(civil::bucket_of(counted.event.time, *interval, calendar)));
    bucket.chain(query.group_by.iter().map(|source| read::key(counted, source, lens))).collect()
}

fn aggregate(events: &[&Counted], aggregation: &Aggregation, lens: &Lens) -> Value {
    let Some(source) = &aggregation.source else { return count(events.len()) };
    let numbers = || events.iter().filter_map(|counted| read::number(counted, source, lens));
    let sum = || {
        let mut sum = Sum::default();
        numbers().for_each(|number| sum.add(number));
        sum
    };
    match aggregation.op {
        AggregateOp::Count => count(events.iter().filter(|counted| read::exists(counted, source, lens)).count()),
        AggregateOp::Unique => count(keys(events, source, lens).collect::<BTreeSet<_>>().len()),
        AggregateOp::Sum => sum().total().map_or(Value::Null, Value::from),
        AggregateOp::Avg => sum().mean().map_or(Value::Null, Value::from),
        AggregateOp::Min | AggregateOp::Max => {
            let mut values: Vec<Value> = events.iter().map(|counted| read::measure(counted, source, lens)).collect();
            values.retain(|value| *value != Value::Null);
            values.sort_by(compare);
            let found = if aggregation.op == AggregateOp::Min { values.first() } else { values.last() };
            match found {
                Some(Value::Number(number)) if !number.is_exact() => Value::Overflow,
                found => found.cloned().unwrap_or(Value::Null),
            }
        }
        AggregateOp::Percentile(percent) => percentile(numbers().collect(), percent),
    }
}

fn keys(events: &[&Counted], source: &Source, lens: &Lens) -> impl Iterator<Item = String> {
    let keys = events.iter().map(|counted| read::key(counted, source, lens));
    keys.filter(|key| *key != Value::Null).map(|key| format!("{key:?}"))
}

fn count(count: usize) -> Value {
    i64::try_from(count).unwrap_or(i64::MAX).into()
}

fn percentile(mut values: Vec<Number>, percent: u8) -> Value {
    values.sort_unstable();
    let Some(last) = values.len().checked_sub(1) else { return Value::Null };
    let (place, rest) = (last * usize::from(percent) / 100, last * usize::from(percent) % 100);
    let (low, high) = (values[place], values[(place + usize::from(rest > 0)).min(last)]);
    match u8::try_from(rest) {
        Ok(rest @ 1..) => between(low, high, rest).into(),
        _ if low.is_exact() => Value::Number(low),
        _ => Value::Overflow,
    }
}

/// What has entered an aggregation.
fn counts(events: &[&Counted], aggregation: &Aggregation, lens: &Lens) -> AggregationCounts {
    let values = |values: usize| AggregationCounts { values: values as u64, ..AggregationCounts::default() };
    let Some(source) = &aggregation.source else { return values(events.len()) };
    match aggregation.op {
        AggregateOp::Count => values(events.iter().filter(|counted| read::exists(counted, source, lens)).count()),
        AggregateOp::Unique => values(keys(events, source, lens).count()),
        _ if source.kind() == Kind::Time => {
            values(events.iter().filter(|counted| read::time(counted, source).is_some()).count())
        }
        _ => {
            let mut counts = AggregationCounts::default();
            for found in events.iter().filter_map(|counted| read::find_number(counted, source, lens)) {
                match found {
                    Found::Number { is_text, .. } => {
                        counts.values += 1;
                        counts.texts_read += u64::from(is_text);
                    }
                    Found::NoNumber => counts.skipped += 1,
                }
            }
            counts
        }
    }
}

/// Values of one column in ascending order; texts by their bytes, absent ones last.
fn compare(left: &Value, right: &Value) -> Ordering {
    match (left, right) {
        (Value::Null | Value::Overflow, Value::Null | Value::Overflow) => Ordering::Equal,
        (Value::Null | Value::Overflow, _) => Ordering::Greater,
        (_, Value::Null | Value::Overflow) => Ordering::Less,
        (Value::Number(left), Value::Number(right)) => left.cmp(right),
        (Value::Text(left), Value::Text(right)) => left.as_bytes().cmp(right.as_bytes()),
        (Value::Time(left), Value::Time(right)) => left.cmp(right),
        // One column never mixes kinds.
        _ => Ordering::Equal,
    }
}

fn in_order(query: &Query, left: &[Value], right: &[Value]) -> Ordering {
    let asked = query.order_by.iter().map(|key| {
        let (left, right) = (&left[key.column], &right[key.column]);
        let absent = [left, right].into_iter().any(|value| matches!(value, Value::Null | Value::Overflow));
        if key.descending && !absent { compare(right, left) } else { compare(left, right) }
    });
    let keys = (0..query.key_columns()).map(|column| compare(&left[column], &right[column]));
    asked.chain(keys).find(|order| *order != Ordering::Equal).unwrap_or(Ordering::Equal)
}

#[async_trait]
impl Queries for MemoryLedger {
    async fn query(&self, scope: &TenantScope, query: &Query) -> Result<QueryAnswer, PortError> {
        let (state, lens) = (self.ask(), &query.lens);
        let inside = state.of(scope).filter(|counted| query.range.contains(counted.event.time));
        let events = inside.filter(|counted| query.filter.as_ref().is_none_or(|filter| passes(counted, filter, lens)));
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
        let all: Vec<&Counted> = groups.iter().flat_map(|(_, events)| events.iter().copied()).collect();
        let aggregations = query.aggregations.iter().map(|aggregation| counts(&all, aggregation, lens)).collect();
        let row = |(key, events): (Vec<Value>, Vec<&Counted>)| {
            let values = query.aggregations.iter().map(|aggregation| aggregate(&events, aggregation, lens));
            key.into_iter().chain(values).collect::<Vec<Value>>()
        };
        let mut rows: Vec<Vec<Value>> = groups.into_iter().map(row).collect();
        rows.sort_by(|left, right| in_order(query, left, right));
        let truncated = rows.len() > query.limit;
        rows.truncate(query.limit);
        Ok(QueryAnswer { columns: query.columns(), rows, truncated, aggregations })
    }
}
