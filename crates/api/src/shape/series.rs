//! Series: one metric over time.

use std::collections::BTreeMap;

use domain::series::{Facet, Metric, SeriesPoint, SeriesQuery};
use domain::time::Timestamp;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

/// One metric over time.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Series)]
pub(crate) struct SeriesBody {
    /// What is measured.
    metric: &'static str,
    /// The width of a bucket.
    interval: &'static str,
    /// The zone that buckets begin in, by its IANA name.
    tz: String,
    /// True when users may be missing because events were erased; absent otherwise.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(default = false)]
    is_estimate: bool,
    /// In order of time, then group.
    data: Vec<PointBody>,
}

/// One bucket of one group.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SeriesPoint)]
struct PointBody {
    /// First instant of the bucket, which may lie before the range.
    #[schema(value_type = String, format = DateTime)]
    time: Timestamp,
    /// The value; null for a mean of nothing.
    #[schema(value_type = Option<f64>)]
    value: Value,
    /// With `group_by`: the value of each name, null for events without one. The others have none.
    #[serde(skip_serializing_if = "Group::is_empty")]
    #[schema(value_type = Option<BTreeMap<String, Option<String>>>)]
    group: Group,
    /// True in the row of all groups that have no rows of their own; absent in all other rows.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(value_type = Option<bool>)]
    others: bool,
}

/// A value as it is written.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Value {
    Whole(u64),
    #[serde(serialize_with = "super::millis")]
    Millis(Option<f64>),
}

impl Value {
    fn of(metric: Metric, point: &SeriesPoint) -> Self {
        match metric {
            Metric::Count => Self::Whole(point.totals.calls),
            Metric::Tokens => Self::Whole(point.totals.tokens),
            Metric::InputTokens => Self::Whole(point.totals.input_tokens),
            Metric::OutputTokens => Self::Whole(point.totals.output_tokens),
            Metric::CacheReadTokens => Self::Whole(point.totals.cache_read_tokens),
            Metric::CacheWriteTokens => Self::Whole(point.totals.cache_write_tokens),
            Metric::ReasoningTokens => Self::Whole(point.totals.reasoning_tokens),
            Metric::AvgLatencyMs => Self::Millis(point.totals.avg_latency_ms()),
            Metric::UniqueUsers => Self::Whole(point.users),
        }
    }

    /// The value of a bucket without events.
    fn nothing(metric: Metric) -> Self {
        if metric == Metric::AvgLatencyMs { Self::Millis(None) } else { Self::Whole(0) }
    }
}

/// The names of a group with their values, in the order asked for.
#[derive(Debug)]
struct Group(Vec<(Facet, String)>);

impl Group {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Group {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (facet, value) in &self.0 {
            map.serialize_entry(facet.as_str(), &Some(value).filter(|value| !value.is_empty()))?;
        }
        map.end()
    }
}

impl SeriesBody {
    /// The answer to `query`. `buckets` are those of its range, which have a row each when there are no
    /// groups.
    pub(crate) fn new(
        query: &SeriesQuery,
        (metric, interval): (&'static str, &'static str),
        buckets: &[Timestamp],
        points: Vec<SeriesPoint>,
        is_estimate: bool,
    ) -> Self {
        let tz = query.calendar.zone.name().to_owned();
        let body = |point: SeriesPoint| {
            let value = Value::of(query.metric, &point);
            let group = Group(query.group_by.iter().copied().zip(point.group).collect());
            PointBody { time: point.start, value, group, others: point.is_others }
        };
        let points = points.into_iter().map(body);
        if !query.group_by.is_empty() {
            return Self { metric, interval, tz, is_estimate, data: points.collect() };
        }
        let empty = |time: &Timestamp| {
            (
                *time,
                PointBody { time: *time, value: Value::nothing(query.metric), group: Group(Vec::new()), others: false },
            )
        };
        let mut rows: BTreeMap<Timestamp, PointBody> = buckets.iter().map(empty).collect();
        rows.extend(points.map(|point| (point.time, point)));
        Self { metric, interval, tz, is_estimate, data: rows.into_values().collect() }
    }
}
