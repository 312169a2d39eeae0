//! The meaning of a query, spelled out over a list of events: slow and obviously right. Properties are
//! parsed whole by serde_json.

#![expect(clippy::expect_used, clippy::panic, clippy::cast_precision_loss, reason = "for tests, which fail loudly")]

use std::cmp::Ordering;
use std::collections::BTreeMap;

use domain::query::{
    AggregateOp, Aggregation, Bound, Comparison, Condition, Field, Filter, Kind, Number, Query, Source, Value, Values,
};
use ports::queries::QueryAnswer;
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
    path.segments().iter().try_fold(&all, |at, key| at.as_object()?.get(key)).cloned()
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
            Field::LatencyMs => count(event.latency_us),
        },
        Source::Property(_) => match json(event, source)? {
            Json::String(text) => Some(GroupKey::Text(text)),
            other @ (Json::Bool(_) | Json::Number(_)) => Some(GroupKey::Text(other.to_string())),
            _ => None,
        },
    }
}

fn number(event: &StoredEvent, source: &Source) -> Option<f64> {
    match (source, key(event, source)) {
        (Source::Property(_), _) => json(event, source)?.as_f64(),
        (_, Some(GroupKey::Int(micros))) if source.kind() == Kind::Millis => Some(micros as f64 / 1_000.0),
        (_, Some(GroupKey::Int(count))) => Some(count as f64),
        _ => None,
    }
}

/// The number as it is compared.
fn exact(event: &StoredEvent, source: &Source) -> Option<Number> {
    match json(event, source) {
        Some(value) if value.is_i64() => value.as_i64().map(Number::from),
        Some(value) if value.is_u64() => value.as_u64().map(Number::from),
        _ => number(event, source).map(Number::from),
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
        Values::Numbers(numbers) => exact(event, source).is_some_and(|number| numbers.contains(&number)),
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
                Bound::Number(bound) => exact(event, source).and_then(|number| number.partial_cmp(bound)),
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

fn aggregate(events: &[&StoredEvent], aggregation: &Aggregation) -> Value {
    let Some(source) = &aggregation.source else { return int(events.len()) };
    let kind = source.kind();
    let keys = events.iter().filter_map(|event| key(event, source));
    let whole: Vec<i64> =
        keys.clone().filter_map(|key| if let GroupKey::Int(int) = key { Some(int) } else { None }).collect();
    let mut numbers: Vec<f64> = events.iter().filter_map(|event| number(event, source)).collect();
    numbers.sort_by(f64::total_cmp);
    let sum: i128 = whole.iter().copied().map(i128::from).sum();
    let unit = if kind == Kind::Millis { 1_000.0 } else { 1.0 };
    let float = |number: Option<f64>| number.map_or(Value::Null, Value::Float);
    let extreme = |int: Option<&i64>, number: Option<&f64>| match (kind, int) {
        (Kind::Count, Some(int)) => Value::Int(*int),
        (Kind::Time, Some(int)) => Value::Time(domain::time::Timestamp::from_micros(*int)),
        _ => float(number.copied()),
    };
    match aggregation.op {
        AggregateOp::Count => int(events.iter().filter(|event| is_there(event, source)).count()),
        AggregateOp::Unique => int(keys.collect::<std::collections::BTreeSet<_>>().len()),
        AggregateOp::Sum | AggregateOp::Avg if numbers.is_empty() => Value::Null,
        AggregateOp::Sum if kind == Kind::Count => Value::Int(i64::try_from(sum).unwrap_or(i64::MAX)),
        AggregateOp::Sum if kind == Kind::Millis => Value::Float(sum as f64 / unit),
        AggregateOp::Sum => Value::Float(numbers.iter().sum()),
        AggregateOp::Avg if kind == Kind::Property => Value::Float(numbers.iter().sum::<f64>() / numbers.len() as f64),
        AggregateOp::Avg => Value::Float(sum as f64 / whole.len() as f64 / unit),
        AggregateOp::Min => extreme(whole.iter().min(), numbers.first()),
        AggregateOp::Max => extreme(whole.iter().max(), numbers.last()),
        AggregateOp::Percentile(percent) => float(percentile(&numbers, usize::from(percent))),
    }
}

fn percentile(sorted: &[f64], percent: usize) -> Option<f64> {
    let hundredths = sorted.len().checked_sub(1)? * percent;
    let low = sorted[hundredths / 100];
    let high = sorted.get(hundredths / 100 + 1).copied().unwrap_or(low);
    Some(low + (high - low) * ((hundredths % 100) as f64 / 100.0))
}

fn int(count: usize) -> Value {
    Value::Int(i64::try_from(count).expect("a count"))
}

/// The order of two values of a column, absent ones last.
fn order(left: &Value, right: &Value, descending: bool) -> Ordering {
    let by = match (left, right) {
        (Value::Null, Value::Null) => return Ordering::Equal,
        (Value::Null, _) => return Ordering::Greater,
        (_, Value::Null) => return Ordering::Less,
        (Value::Int(left), Value::Int(right)) => left.cmp(right),
        (Value::Float(left), Value::Float(right)) => left.total_cmp(right),
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
        (Some(GroupKey::Int(int)), Kind::Millis) => Value::Float(*int as f64 / 1_000.0),
        (Some(GroupKey::Int(int)), _) => Value::Int(*int),
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
    QueryAnswer { columns: query.columns(), rows, truncated }
}
