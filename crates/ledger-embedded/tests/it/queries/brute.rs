//! The meaning of a query, spelled out over a list of events: slow and obviously right. Properties are
//! parsed whole by serde_json.

#![expect(clippy::expect_used, clippy::panic, reason = "for tests, which fail loudly")]

use std::cmp::Ordering;
use std::collections::BTreeMap;

use domain::query::{
    AggregateOp, Aggregation, Bound, Comparison, Condition, Field, Filter, Kind, Number, Query, Source, Value, Values,
};
use num_bigint::BigInt;
use ports::queries::{AggregationCounts, QueryAnswer};
use ports::reports::StoredEvent;
use serde_json::Value as Json;

/// A value that tells one from another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum GroupKey {
    Int(i64),
    Text(String),
}

fn json(event: &StoredEvent, source: &Source) -> Option<Json> {
    let Source::Property(path) = source else { return None };
    let all: Json = serde_json::from_str(event.properties.as_deref()?).expect("properties are JSON");
    // No key of these events has a dot in it.
    path.segments().iter().try_fold(&all, |at, segment| at.as_object()?.get(&segment.key)).cloned()
}

fn key(event: &StoredEvent, source: &Source) -> Option<GroupKey> {
    let text = |text: &Option<String>| text.clone().map(GroupKey::Text);
    let count = |count: Option<u64>| count.map(|count| GroupKey::Int(i64::try_from(count).expect("a count")));
    match source {
        Source::Field(field) => match field {
            Field::Id => Some(GroupKey::Text(event.id.clone())),
            Field::Time => Some(GroupKey::Int(event.time.micros())),
            Field::ReceivedAt => Some(GroupKey::Int(event.received_at.micros())),
            Field::Type => Some(GroupKey::Text(event.kind.clone())),
            Field::Project => text(&event.project),
            Field::Customer => text(&event.customer),
            Field::User => text(&event.user),
            Field::Endpoint => text(&event.endpoint),
            Field::Model => text(&event.model),
            Field::Tokens => count(event.tokens),
            Field::InputTokens => count(event.input_tokens),
            Field::OutputTokens => count(event.output_tokens),
            Field::CacheReadTokens => count(event.cache_read_tokens),
            Field::CacheWriteTokens => count(event.cache_write_tokens),
            Field::ReasoningTokens => count(event.reasoning_tokens),
            Field::LatencyMs => count(event.latency_us),
        },
        Source::Property(_) => match json(event, source)? {
            Json::String(text) => Some(GroupKey::Text(text)),
            other @ (Json::Bool(_) | Json::Number(_)) => Some(GroupKey::Text(other.to_string())),
            _ => None,
        },
    }
}

fn number(event: &StoredEvent, source: &Source) -> Option<Number> {
    match (source, key(event, source)) {
        (Source::Property(_), _) => match json(event, source)? {
            Json::Number(number) => Number::parse(&number.to_string()),
            Json::String(text) => Number::parse(&text),
            _ => None,
        },
        (_, Some(GroupKey::Int(micros))) if source.kind() == Kind::Millis => Number::new(i128::from(micros), -3),
        (_, Some(GroupKey::Int(count))) => Some(count.into()),
        _ => None,
    }
}

fn is_there(event: &StoredEvent, source: &Source) -> bool {
    match source {
        Source::Field(_) => key(event, source).is_some(),
        Source::Property(_) => json(event, source).is_some_and(|value| !value.is_null()),
    }
}

fn passes(event: &StoredEvent, filter: &Filter) -> bool {
    let is_in = |source: &Source, values: &Values| match values {
        Values::Texts(texts) => texts.iter().any(|text| key(event, source) == Some(GroupKey::Text(text.clone()))),
        Values::Numbers(numbers) => number(event, source).is_some_and(|number| numbers.contains(&number)),
        Values::Times(times) => times.iter().any(|time| key(event, source) == Some(GroupKey::Int(time.micros()))),
    };
    match filter {
        Filter::And(all) => all.iter().all(|filter| passes(event, filter)),
        Filter::Or(any) => any.iter().any(|filter| passes(event, filter)),
        Filter::Test(source, Condition::Exists(there)) => is_there(event, source) == *there,
        Filter::Test(source, Condition::In(values)) => is_in(source, values),
        Filter::Test(source, Condition::NotIn(values)) => !is_in(source, values),
        Filter::Test(source, Condition::Compare(comparison, bound)) => {
            let order = match bound {
                Bound::Number(bound) => number(event, source).map(|number| number.cmp(bound)),
                Bound::Text(bound) => key(event, source).map(|key| key.cmp(&GroupKey::Text(bound.clone()))),
                Bound::Time(bound) => key(event, source).map(|key| key.cmp(&GroupKey::Int(bound.micros()))),
            };
            order.is_some_and(|order| match comparison {
                Comparison::Gt => order == Ordering::Greater,
                Comparison::Gte => order != Ordering::Less,
                Comparison::Lt => order == Ordering::Less,
                Comparison::Lte => order != Ordering::Greater,
            })
        }
    }
}

/// Places behind the point of all numbers of these events.
const PLACES: u32 = 6;

/// The number times 10^6.
fn micros(number: Number) -> BigInt {
    let (mantissa, exponent) = number.parts();
    let tens = PLACES.checked_add_signed(i32::from(exponent)).expect("few places");
    BigInt::from(mantissa) * BigInt::from(10).pow(tens)
}

/// The value of a quotient, which these events keep so short that 28 digits hold what matters of it.
fn quotient(micros: &BigInt, divisor: usize) -> Value {
    let digits = |extra: u32| -> (BigInt, BigInt) {
        let dividend = micros.magnitude() * BigInt::from(10).pow(extra).magnitude();
        ((&dividend / divisor).into(), (&dividend % divisor).into())
    };
    // As many places more as make 28 digits, or the value whole.
    for extra in 0..60 {
        let (mut found, rest) = digits(extra);
        let last = found.to_string().len() == 28;
        if rest == BigInt::from(0) || last {
            let twice: BigInt = rest * 2;
            let is_odd = &found % 2 == BigInt::from(1);
            if twice > BigInt::from(divisor) || (twice == BigInt::from(divisor) && is_odd) {
                found += 1;
            }
            let signed = if *micros < BigInt::from(0) { -found } else { found };
            return value(&signed, -i64::from(PLACES + extra));
        }
    }
    panic!("a mean has 28 digits at some place");
}

fn value(mantissa: &BigInt, exponent: i64) -> Value {
    let number = Number::parse(&format!("{mantissa}e{exponent}")).expect("a number");
    if number.is_exact() { Value::Number(number) } else { Value::Overflow }
}

fn aggregate(events: &[&StoredEvent], aggregation: &Aggregation) -> Value {
    let Some(source) = &aggregation.source else { return int(events.len()) };
    let kind = source.kind();
    let keys = events.iter().filter_map(|event| key(event, source));
    let times: Vec<i64> =
        keys.clone().filter_map(|key| if let GroupKey::Int(int) = key { Some(int) } else { None }).collect();
    let mut numbers: Vec<Number> = events.iter().filter_map(|event| number(event, source)).collect();
    numbers.sort_unstable();
    let sum: BigInt = numbers.iter().map(|number| micros(*number)).sum();
    let extreme = |time: Option<&i64>, number: Option<&Number>| match kind {
        Kind::Time => time.map_or(Value::Null, |at| Value::Time(domain::time::Timestamp::from_micros(*at))),
        _ => number.map_or(Value::Null, |number| Value::Number(*number)),
    };
    match aggregation.op {
        AggregateOp::Count => int(events.iter().filter(|event| is_there(event, source)).count()),
        AggregateOp::Unique => int(keys.collect::<std::collections::BTreeSet<_>>().len()),
        AggregateOp::Sum | AggregateOp::Avg if numbers.is_empty() => Value::Null,
        AggregateOp::Sum => value(&sum, -i64::from(PLACES)),
        AggregateOp::Avg => quotient(&sum, numbers.len()),
        AggregateOp::Min => extreme(times.iter().min(), numbers.first()),
        AggregateOp::Max => extreme(times.iter().max(), numbers.last()),
        AggregateOp::Percentile(percent) => percentile(&numbers, usize::from(percent)),
    }
}

fn percentile(sorted: &[Number], percent: usize) -> Value {
    let Some(last) = sorted.len().checked_sub(1) else { return Value::Null };
    let low = sorted[last * percent / 100];
    let high = sorted.get(last * percent / 100 + 1).copied().unwrap_or(low);
    let rest = last * percent % 100;
    value(&(micros(low) * (100 - rest) + micros(high) * rest), -i64::from(PLACES) - 2)
}

/// What has entered an aggregation.
fn counts(events: &[&StoredEvent], aggregation: &Aggregation) -> AggregationCounts {
    let values = |values: usize| AggregationCounts { values: values as u64, ..AggregationCounts::default() };
    let Some(source) = &aggregation.source else { return values(events.len()) };
    let there = events.iter().filter(|event| is_there(event, source)).count();
    match (aggregation.op, source) {
        (AggregateOp::Count, _) => values(there),
        (AggregateOp::Unique, _) | (_, Source::Field(_)) => {
            values(events.iter().filter(|event| key(event, source).is_some()).count())
        }
        (_, Source::Property(_)) => {
            let numbers = || events.iter().filter(|event| number(event, source).is_some());
            let texts = numbers().filter(|event| json(event, source).is_some_and(|value| value.is_string())).count();
            let count = numbers().count();
            AggregationCounts { values: count as u64, texts_read: texts as u64, skipped: (there - count) as u64 }
        }
    }
}

fn int(count: usize) -> Value {
    i64::try_from(count).expect("a count").into()
}

/// The order of two values of a column, absent ones last.
fn order(left: &Value, right: &Value, descending: bool) -> Ordering {
    let by = match (left, right) {
        (Value::Null, Value::Null) => return Ordering::Equal,
        (Value::Null, _) => return Ordering::Greater,
        (_, Value::Null) => return Ordering::Less,
        (Value::Number(left), Value::Number(right)) => left.cmp(right),
        (Value::Text(left), Value::Text(right)) => left.cmp(right),
        (Value::Time(left), Value::Time(right)) => left.cmp(right),
        other => panic!("{other:?}"),
    };
    if descending { by.reverse() } else { by }
}

fn shown(key: Option<&GroupKey>, kind: Kind) -> Value {
    match (key, kind) {
        (None, _) => Value::Null,
        (Some(GroupKey::Text(text)), _) => Value::Text(text.clone()),
        (Some(GroupKey::Int(int)), Kind::Time) => Value::Time(domain::time::Timestamp::from_micros(*int)),
        (Some(GroupKey::Int(int)), Kind::Millis) => {
            Number::new(i128::from(*int), -3).map_or(Value::Null, Value::Number)
        }
        (Some(GroupKey::Int(int)), _) => (*int).into(),
    }
}

/// The answer to `query` over all events of a tenant.
pub(super) fn answer(events: &[StoredEvent], query: &Query) -> QueryAnswer {
    let bucket = |event: &StoredEvent| {
        let (interval, calendar) = query.bucket.as_ref()?;
        Some(Some(GroupKey::Int(calendar.bucket_of(event.time, *interval).micros())))
    };
    let mut groups: BTreeMap<Vec<Option<GroupKey>>, Vec<&StoredEvent>> = BTreeMap::new();
    if query.key_columns() == 0 {
        groups.insert(Vec::new(), Vec::new());
    }
    for event in events.iter().filter(|event| query.range.contains(event.time)) {
        if query.filter.as_ref().is_none_or(|filter| passes(event, filter)) {
            let keys = bucket(event).into_iter().chain(query.group_by.iter().map(|source| key(event, source)));
            groups.entry(keys.collect()).or_default().push(event);
        }
    }
    let kinds: Vec<Kind> =
        query.bucket.iter().map(|_| Kind::Time).chain(query.group_by.iter().map(Source::kind)).collect();
    let all: Vec<&StoredEvent> = groups.values().flatten().copied().collect();
    let aggregations = query.aggregations.iter().map(|aggregation| counts(&all, aggregation)).collect();
    let row = |(keys, events): (Vec<Option<GroupKey>>, Vec<&StoredEvent>)| -> Vec<Value> {
        let keys = keys.iter().zip(&kinds).map(|(key, kind)| shown(key.as_ref(), *kind));
        keys.chain(query.aggregations.iter().map(|aggregation| aggregate(&events, aggregation))).collect()
    };
    let mut rows: Vec<_> = groups.into_iter().map(row).collect();
    let named = query.order_by.iter().map(|order| (order.column, order.descending));
    let keys: Vec<_> = named.chain((0..query.key_columns()).map(|column| (column, false))).collect();
    rows.sort_by(|left, right| {
        let columns = keys.iter().map(|(column, descending)| order(&left[*column], &right[*column], *descending));
        columns.fold(Ordering::Equal, Ordering::then)
    });
    let truncated = rows.len() > query.limit;
    rows.truncate(query.limit);
    QueryAnswer { columns: query.columns(), rows, truncated, aggregations }
}
