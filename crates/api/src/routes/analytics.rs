//! One metric over time, grouped and filtered.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use domain::calendar::{Calendar, Interval, Period};
use domain::limits::SERIES_POINTS_MAX;
use domain::series::{Facet, Metric, SeriesQuery};
use domain::tenant::TenantScope;
use domain::time::{TimeRange, Timestamp};
use ports::active_users::{ActiveUsers, ActiveUsersQuery};
use ports::analytics::Analytics;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::ask::{calendar, within_time};
use crate::cache::{self, CacheDirectives, CacheKey};
use crate::extract::{Bounds, Parameters, ProjectScope, list, number, one_of, zone};
use crate::problem::{Problem, ProblemKind};
use crate::routes::docs::RangeRefusals;
use crate::shape::SeriesBody;
use crate::state::ApiState;

/// What can be measured, by name.
const METRICS: [(&str, Metric); 9] = [
    ("count", Metric::Count),
    ("tokens", Metric::Tokens),
    ("input_tokens", Metric::InputTokens),
    ("output_tokens", Metric::OutputTokens),
    ("cache_read_tokens", Metric::CacheReadTokens),
    ("cache_write_tokens", Metric::CacheWriteTokens),
    ("reasoning_tokens", Metric::ReasoningTokens),
    ("avg_latency_ms", Metric::AvgLatencyMs),
    ("unique_users", Metric::UniqueUsers),
];

/// The widths of buckets by name, and how many buckets there are up to the present without a range.
const INTERVALS: [(&str, (Interval, u16)); 5] = [
    ("minute", (Interval::Minute, 60)),
    ("hour", (Interval::Hour, 24)),
    ("day", (Interval::Days(Period::Day), 30)),
    ("week", (Interval::Days(Period::Week), 12)),
    ("month", (Interval::Days(Period::Month), 12)),
];

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AnalyticsParameters {
    /// `count`, `tokens`, `input_tokens`, `output_tokens`, `cache_read_tokens`, `cache_write_tokens`,
    /// `reasoning_tokens`, `avg_latency_ms` (to a microsecond) or `unique_users`.
    #[param(example = "count")]
    metric: Option<String>,
    /// `minute`, `hour`, `day`, `week` or `month`.
    #[param(example = "hour")]
    interval: Option<String>,
    /// From this day or time on; without it the last 60 minutes, 24 hours, 30 days, 12 weeks or 12
    /// months, by interval.
    from: Option<String>,
    /// Up to and with this day, or before this time; the present without it.
    to: Option<String>,
    /// IANA name of the zone of buckets, dates and times without an offset; the tenant's own without it.
    tz: Option<String>,
    /// A series for each combination of these: a list of `project`, `customer`, `type`, `endpoint`,
    /// `model`.
    #[param(example = "type,model")]
    group_by: Option<String>,
    /// Most groups with a series of their own, the greatest over the whole range by the metric: 1 to 10000, as
    /// many as the answer has room for if absent. All others are one series, `others`.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 10000, example = 20)]
    limit: Option<String>,
    /// Only events of this project; empty for events without one.
    project: Option<String>,
    /// Only events of this customer; empty for events without one.
    customer: Option<String>,
    /// Only events of this type.
    #[serde(rename = "type")]
    kind: Option<String>,
    /// Only events of this endpoint; empty for events without one.
    endpoint: Option<String>,
    /// Only events of this model; empty for events without one.
    model: Option<String>,
}

/// A question, with the names of its metric and interval for the answer.
struct Question {
    query: SeriesQuery,
    metric: &'static str,
    interval: &'static str,
}

/// The name that `names` has for a value.
fn name_of<T: Copy + PartialEq>(names: &[(&'static str, T)], value: T) -> &'static str {
    names.iter().find(|(_, known)| *known == value).map_or("", |(name, _)| name)
}

impl AnalyticsParameters {
    fn question(self, calendar: Calendar, now: Timestamp) -> Result<Question, Problem> {
        let metric = one_of("metric", self.metric.as_deref(), &METRICS)?.unwrap_or(Metric::Count);
        let (interval, buckets) = one_of("interval", self.interval.as_deref(), &INTERVALS)?.unwrap_or(INTERVALS[1].1);
        let facets = Facet::ALL.map(|facet| (facet.as_str(), facet));
        let group_by = list("group_by", self.group_by.as_deref(), &facets)?;
        let bounds = Bounds::read(self.from.as_deref(), self.to.as_deref())?;
        let end = match bounds.has_to() {
            true => bounds.range(&calendar, TimeRange::ALL)?.to(),
            // The present itself is inside.
            false => now.plus_micros(1),
        };
        let default = TimeRange::new(first_bucket(&calendar, interval, buckets, end.plus_micros(-1)), end);
        let range = bounds.range(&calendar, default.unwrap_or(TimeRange::ALL))?;
        let filters = [
            (Facet::Project, self.project),
            (Facet::Customer, self.customer),
            (Facet::Type, self.kind),
            (Facet::Endpoint, self.endpoint),
            (Facet::Model, self.model),
        ];
        let filters = filters.into_iter().filter_map(|(facet, value)| Some((facet, value?))).collect();
        let (metric_name, interval_name) = (name_of(&METRICS, metric), name_of(&INTERVALS, (interval, buckets)));
        let points_max = SERIES_POINTS_MAX;
        let groups_max = number("limit", self.limit.as_deref(), points_max, 1..=points_max)?;
        let query = SeriesQuery { metric, range, interval, calendar, group_by, filters, groups_max, points_max };
        Ok(Question { query, metric: metric_name, interval: interval_name })
    }
}

/// The start of the first of `buckets` buckets, the last of which holds `end`.
fn first_bucket(calendar: &Calendar, interval: Interval, buckets: u16, end: Timestamp) -> Timestamp {
    let before = |start: Timestamp| calendar.bucket_of(start.plus_micros(-1), interval);
    (1..buckets).fold(calendar.bucket_of(end, interval), |start, _| before(start))
}

/// The buckets that `range` touches.
fn buckets(query: &SeriesQuery) -> Result<Vec<Timestamp>, Problem> {
    let mut buckets = Vec::new();
    if query.range.from() >= query.range.to() {
        return Ok(buckets);
    }
    let mut start = query.calendar.bucket_of(query.range.from(), query.interval);
    while start < query.range.to() {
        if buckets.len() == query.points_max {
            let detail = format!("the range has more than {} buckets; ask for less or wider ones", query.points_max);
            return Err(Problem::new(ProblemKind::QueryTooLarge, detail).at("interval"));
        }
        buckets.push(start);
        let next = query.calendar.bucket_after(start, query.interval);
        if next <= start {
            break;
        }
        start = next;
    }
    Ok(buckets)
}

/// One metric over time
///
/// Without `group_by` every bucket of the range has a row; with it only buckets with events have. Of more groups
/// than `limit`, or than fit into 10,000 rows, the greatest have rows of their own and all others are added up in
/// one row of each bucket, so that the rows of a bucket always add up to the row without groups; users are
/// counted once in each. The answer over a range that is over may be five minutes old (setting `cache_series_ms`), as `Age` says;
/// `Cache-Control: no-cache` asks for a new one.
#[utoipa::path(
    get, path = "/analytics", tag = "statistics", operation_id = "analytics", params(AnalyticsParameters),
    responses((status = 200, description = "In order of time, then group", body = SeriesBody), RangeRefusals),
)]
pub(crate) async fn analytics(
    State(api): State<Arc<ApiState>>,
    ProjectScope { scope, project, .. }: ProjectScope,
    Parameters(mut parameters): Parameters<AnalyticsParameters>,
    directives: CacheDirectives,
) -> Result<Response, Problem> {
    parameters.project = project.narrow(parameters.project)?;
    let generation = api.settings.get(&scope).generation;
    let now = api.pipeline.clock().now();
    let calendar = calendar(&api, &scope, zone(parameters.tz.as_deref())?);
    let question = parameters.question(calendar, now)?;
    let buckets = if question.query.group_by.is_empty() { buckets(&question.query)? } else { Vec::new() };
    let is_over = question.query.range.to() <= now.plus_micros(-api.pipeline.limits().future_us_max);
    let is_estimate = question.query.metric == Metric::UniqueUsers
        && api.reads.active_users.is_estimate(&scope, &of_raw_events(&question.query));
    let key = key(&scope, (generation, api.erasures.generation(&scope)), &question)?;
    let make = async {
        let points = api.reads.analytics.series(&scope, &question.query).await;
        let largest = if question.query.group_by.is_empty() { "from" } else { "group_by" };
        let points = points.map_err(|why| Problem::from(why).at_if(ProblemKind::QueryTooLarge, largest))?;
        cache::body(&SeriesBody::new(
            &question.query,
            (question.metric, question.interval),
            &buckets,
            points,
            is_estimate,
        ))
    };
    if !is_over {
        return within_time(&api, make).await.map(cache::uncached);
    }
    within_time(&api, api.cache.answer(key, api.cache.times.series, directives, api.pipeline.clock(), make)).await
}

/// Unique users of a series come from raw events, as those of a type of a project do.
fn of_raw_events(query: &SeriesQuery) -> ActiveUsersQuery {
    ActiveUsersQuery {
        range: query.range,
        zone: query.calendar.zone.clone(),
        project: Some(String::new()),
        kind: Some(String::new()),
        named_only: false,
    }
}

fn key(scope: &TenantScope, (generation, erased): (u64, u64), question: &Question) -> Result<CacheKey, Problem> {
    let query = &question.query;
    let groups: Vec<_> = query.group_by.iter().map(|facet| facet.as_str()).collect();
    let filters: Vec<_> = query.filters.iter().map(|(facet, value)| (facet.as_str(), value)).collect();
    let when = (query.range.from(), query.range.to(), query.calendar.zone.name(), query.calendar.week_start);
    let groups = (groups, query.groups_max);
    CacheKey::new(
        scope.tenant(),
        generation,
        &("series", erased, question.metric, question.interval, when, groups, filters),
    )
}
