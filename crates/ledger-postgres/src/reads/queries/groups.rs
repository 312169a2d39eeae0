//! Events of a query, group by group. Memory is counted as it is taken, by what is kept alone, so that a query that
//! takes too much does so whatever else goes on.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use domain::calendar::Buckets;
use domain::limits::QUERY_MEMORY_BYTES_MAX;
use domain::query::{AggregateOp, Filter, Kind, Number, Query, Sum, Value, between};
use domain::time::Timestamp;
use hashbrown::{HashMap, HashSet};
use ports::queries::AggregationCounts;
use ports::{ErrorKind, PortError};

use super::found::{Found, Test};
use super::order::compare;
use super::sources::Sources;

/// What an entry of a table takes beside its key, about.
const ENTRY_BYTES: usize = 48;

/// The groups so far.
#[derive(Debug)]
pub(super) struct Groups<'q> {
    query: &'q Query,
    /// What the server has not decided.
    filter: Vec<Test<'q>>,
    buckets: Option<Buckets<'q>>,
    /// Where the groups are read, and the aggregations; none counts events.
    keys: Vec<usize>,
    sources: Vec<Option<usize>>,
    groups: HashMap<Vec<u8>, Group>,
    counts: Vec<AggregationCounts>,
    bytes: usize,
}

#[derive(Debug)]
struct Group {
    key: Vec<Value>,
    aggregated: Vec<Aggregated>,
}

#[derive(Debug)]
enum Aggregated {
    Count(u64),
    Sum(Sum),
    Mean(Sum),
    /// The least or the greatest, as the order says.
    Extreme(Ordering, Value),
    Unique(HashSet<Vec<u8>>),
    /// How often each number was there.
    Percentile(u8, BTreeMap<Number, u64>),
}

impl Aggregated {
    fn new(op: AggregateOp) -> Self {
        match op {
            AggregateOp::Count => Self::Count(0),
            AggregateOp::Sum => Self::Sum(Sum::default()),
            AggregateOp::Avg => Self::Mean(Sum::default()),
            AggregateOp::Min => Self::Extreme(Ordering::Less, Value::Null),
            AggregateOp::Max => Self::Extreme(Ordering::Greater, Value::Null),
            AggregateOp::Unique => Self::Unique(HashSet::new()),
            AggregateOp::Percentile(percent) => Self::Percentile(percent, BTreeMap::new()),
        }
    }

    /// Adds what was found in so many events; none are events that are counted whatever they hold. Returns the memory
    /// that took.
    fn add(&mut self, times: u64, found: Option<&Found<'_>>) -> usize {
        let number = || found.and_then(Found::number).map(|(number, _)| number);
        let summed = found.and_then(Found::summed);
        match self {
            Self::Count(count) => *count += found.map_or(times, |found| found.there(times)),
            Self::Sum(sum) | Self::Mean(sum) => {
                if let Some(summed) = summed {
                    sum.merge(&summed.sum);
                }
                if let Some(number) = number() {
                    sum.add_times(number, times);
                }
            }
            Self::Extreme(order, extreme) => {
                let ends = summed.map(|summed| if order.is_lt() { &summed.ends.0 } else { &summed.ends.1 }).cloned();
                for value in ends.into_iter().chain(found.map(Found::measure)) {
                    if value != Value::Null && (*extreme == Value::Null || compare(&value, extreme) == *order) {
                        *extreme = value;
                    }
                }
            }
            Self::Unique(values) => {
                let value = found.map_or(Value::Null, Found::key);
                let mut key = Vec::new();
                append(&mut key, &value);
                let bytes = key.len() + ENTRY_BYTES;
                if value != Value::Null && values.insert(key) {
                    return bytes;
                }
            }
            Self::Percentile(_, values) => {
                if let Some(number) = number() {
                    let before = values.len();
                    *values.entry(number).or_insert(0) += times;
                    return (values.len() - before) * (size_of::<(Number, u64)>() + ENTRY_BYTES);
                }
            }
        }
        0
    }

    fn value(self) -> Value {
        match self {
            Self::Count(count) => i64::try_from(count).unwrap_or(i64::MAX).into(),
            Self::Sum(sum) => sum.total().map_or(Value::Null, Value::from),
            Self::Mean(sum) => sum.mean().map_or(Value::Null, Value::from),
            Self::Extreme(_, value) => exact(value),
            Self::Unique(values) => i64::try_from(values.len()).unwrap_or(i64::MAX).into(),
            Self::Percentile(percent, values) => percentile(&values, percent),
        }
    }
}

/// A number of which not all digits are known cannot be told.
fn exact(value: Value) -> Value {
    match value {
        Value::Number(number) if !number.is_exact() => Value::Overflow,
        value => value,
    }
}

/// The value at so many hundredths of all values in order, linear between neighbours.
fn percentile(values: &BTreeMap<Number, u64>, percent: u8) -> Value {
    let count = values.values().map(|count| u128::from(*count)).sum::<u128>();
    let Some(last) = count.checked_sub(1) else { return Value::Null };
    let (place, rest) = (last * u128::from(percent) / 100, last * u128::from(percent) % 100);
    let at = |place: u128| {
        let mut behind = 0;
        let found = values.iter().find(|(_, count)| {
            behind += u128::from(**count);
            behind > place
        });
        found.map_or_else(Number::default, |(number, _)| *number)
    };
    match u8::try_from(rest) {
        Ok(rest @ 1..) => between(at(place), at(place + 1), rest).into(),
        _ => exact(Value::Number(at(place))),
    }
}

/// Appends bytes that are the same for the same value alone.
fn append(key: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null | Value::Overflow => key.push(0),
        Value::Number(number) => {
            key.push(1);
            key.extend(number.bits().to_be_bytes());
        }
        Value::Text(text) => {
            key.push(2);
            key.extend(text.len().to_be_bytes());
            key.extend(text.as_bytes());
        }
        Value::Time(at) => {
            key.push(3);
            key.extend(at.micros().to_be_bytes());
        }
    }
}

impl<'q> Groups<'q> {
    pub(super) fn new(query: &'q Query, sources: &Sources<'_>, left: &[&'q Filter]) -> Self {
        let place = |source| sources.place(source);
        let mut groups = Self {
            query,
            filter: left.iter().map(|filter| Test::of(filter, sources)).collect(),
            buckets: query.bucket.as_ref().map(|(interval, calendar)| calendar.buckets(*interval)),
            keys: query.group_by.iter().filter_map(place).collect(),
            sources: query.aggregations.iter().map(|aggregation| aggregation.source.as_ref().and_then(place)).collect(),
            groups: HashMap::new(),
            counts: vec![AggregationCounts::default(); query.aggregations.len()],
            bytes: 0,
        };
        if query.key_columns() == 0 {
            let group = groups.group(Vec::new());
            groups.groups.insert(Vec::new(), group);
        }
        groups
    }

    fn group(&self, key: Vec<Value>) -> Group {
        let aggregated = self.query.aggregations.iter().map(|aggregation| Aggregated::new(aggregation.op));
        Group { key, aggregated: aggregated.collect() }
    }

    /// Takes so many events in, all in the bucket of `time`, if they pass.
    pub(super) fn add(&mut self, time: Timestamp, times: u64, found: &[Found<'_>]) -> Result<(), PortError> {
        if !self.filter.iter().all(|filter| filter.passes(found)) {
            return Ok(());
        }
        let bucket = self.buckets.as_mut().map(|buckets| Value::Time(buckets.start_of(time)));
        let values = bucket.into_iter().chain(self.keys.iter().map(|place| found[*place].key()));
        let values: Vec<_> = values.collect();
        let mut key = Vec::new();
        values.iter().for_each(|value| append(&mut key, value));
        if !self.groups.contains_key(&key) {
            let group = self.group(values);
            let of_aggregated = group.aggregated.len() * size_of::<Aggregated>();
            self.bytes += 2 * key.len() + group.key.len() * size_of::<Value>() + of_aggregated + ENTRY_BYTES;
            self.groups.insert(key.clone(), group);
        }
        if let Some(group) = self.groups.get_mut(&key) {
            for (aggregated, source) in group.aggregated.iter_mut().zip(&self.sources) {
                self.bytes += aggregated.add(times, source.map(|place| &found[place]));
            }
        }
        self.count(times, found);
        if self.bytes > QUERY_MEMORY_BYTES_MAX {
            let context = format!(
                "run the query in {} MiB of memory: ask for fewer groups, or for less time",
                QUERY_MEMORY_BYTES_MAX >> 20
            );
            return Err(PortError::new(ErrorKind::Exhausted, context));
        }
        Ok(())
    }

    /// Notes what enters the aggregations.
    fn count(&mut self, times: u64, found: &[Found<'_>]) {
        let aggregations = self.query.aggregations.iter().zip(&self.sources);
        for ((aggregation, place), counts) in aggregations.zip(&mut self.counts) {
            let Some((found, source)) = place.map(|place| &found[place]).zip(aggregation.source.as_ref()) else {
                counts.values += times;
                continue;
            };
            match aggregation.op {
                AggregateOp::Count => counts.values += found.there(times),
                AggregateOp::Unique => counts.values += if found.key() == Value::Null { 0 } else { times },
                _ if source.kind() == Kind::Time => counts.values += found.there(times),
                _ => {
                    let numbers = found.summed().map_or(0, |summed| summed.numbers);
                    counts.values += numbers;
                    match found.number() {
                        Some((_, is_text)) => {
                            counts.values += times;
                            counts.texts_read += if is_text { times } else { 0 };
                        }
                        None => counts.skipped += found.there(times) - numbers,
                    }
                }
            }
        }
    }

    /// The rows, in no order, and what has entered the aggregations.
    pub(super) fn take(&mut self) -> (Vec<Vec<Value>>, Vec<AggregationCounts>) {
        let row = |(_, group): (_, Group)| {
            group.key.into_iter().chain(group.aggregated.into_iter().map(Aggregated::value)).collect()
        };
        (self.groups.drain().map(row).collect(), std::mem::take(&mut self.counts))
    }
}
