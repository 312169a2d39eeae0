//! The sums of hours, projects and types, asked for as series, to compare two ledgers.

use std::collections::BTreeMap;

use domain::aggregate::Totals;
use domain::calendar::{Calendar, Interval};
use domain::series::{Facet, Metric, SeriesPoint, SeriesQuery};
use domain::tenant::TenantScope;
use domain::time::TimeRange;

use crate::PortError;
use crate::analytics::Analytics;

/// The metrics that together measure all sums of a point, except how many of its events were late.
const METRICS: [Metric; 8] = [
    Metric::Count,
    Metric::Tokens,
    Metric::InputTokens,
    Metric::OutputTokens,
    Metric::CacheReadTokens,
    Metric::CacheWriteTokens,
    Metric::ReasoningTokens,
    Metric::AvgLatencyMs,
];

/// The sums of the events in `range` by hour in UTC, project and type, in this order; the number of late
/// events is left 0.
///
/// # Errors
/// As [`Analytics::series`].
pub async fn hour_sums(
    analytics: &dyn Analytics,
    scope: &TenantScope,
    range: TimeRange,
) -> Result<Vec<SeriesPoint>, PortError> {
    let mut sums = BTreeMap::new();
    for metric in METRICS {
        let query = SeriesQuery {
            metric,
            range,
            interval: Interval::Hour,
            calendar: Calendar::utc(),
            group_by: vec![Facet::Project, Facet::Type],
            filters: Vec::new(),
            groups_max: usize::MAX,
            points_max: usize::MAX,
        };
        for SeriesPoint { start, group, totals, .. } in analytics.series(scope, &query).await? {
            // Every metric counts the events beside what it measures.
            let calls = if metric == Metric::Count { totals.calls } else { 0 };
            let sum: &mut Totals = sums.entry((start, group)).or_default();
            sum.merge(&Totals { calls, ..totals });
        }
    }
    let point = |((start, group), totals)| SeriesPoint { start, is_others: false, group, totals, users: 0 };
    Ok(sums.into_iter().map(point).collect())
}
