//! A series: one metric over time, in buckets, for each of the groups asked for.

mod plan;
mod points;
mod symbols;

use std::cmp::Ordering;

use crate::aggregate::Totals;
use crate::calendar::{Calendar, Interval};
use crate::time::{TimeRange, Timestamp};

pub use plan::{Source, Spans, whole_days, whole_hours};
pub use points::{FACETS, Named, Points, Summed, TooLarge, Values, totals_of};
pub use symbols::{NONE, Symbols};

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Metric {
    /// Events.
    Count,
    /// All tokens.
    Tokens,
    /// Tokens read.
    InputTokens,
    /// Tokens written.
    OutputTokens,
    /// Tokens read that a cache answered.
    CacheReadTokens,
    /// Tokens read that were put into a cache.
    CacheWriteTokens,
    /// Tokens written that are reasoning.
    ReasoningTokens,
    /// Mean latency in milliseconds of the events that carry one.
    AvgLatencyMs,
    /// Distinct users.
    UniqueUsers,
}

impl Metric {
    /// The part of `totals` that this metric is made of: the count of events always, beside it only what
    /// is measured. The rest is 0.
    #[must_use]
    pub fn part_of(self, totals: &Totals) -> Totals {
        let mut part = Totals { calls: totals.calls, ..Totals::default() };
        match self {
            Self::Count | Self::UniqueUsers => {}
            Self::Tokens => part.tokens = totals.tokens,
            Self::InputTokens => part.input_tokens = totals.input_tokens,
            Self::OutputTokens => part.output_tokens = totals.output_tokens,
            Self::CacheReadTokens => part.cache_read_tokens = totals.cache_read_tokens,
            Self::CacheWriteTokens => part.cache_write_tokens = totals.cache_write_tokens,
            Self::ReasoningTokens => part.reasoning_tokens = totals.reasoning_tokens,
            Self::AvgLatencyMs => {
                part.latency_us = totals.latency_us;
                part.latency_calls = totals.latency_calls;
            }
        }
        part
    }

    /// The column that it sums, the same wherever events and their sums are stored.
    pub const fn column(self) -> Option<&'static str> {
        match self {
            Self::Count | Self::UniqueUsers => None,
            Self::Tokens => Some("tokens"),
            Self::InputTokens => Some("input_tokens"),
            Self::OutputTokens => Some("output_tokens"),
            Self::CacheReadTokens => Some("cache_read_tokens"),
            Self::CacheWriteTokens => Some("cache_write_tokens"),
            Self::ReasoningTokens => Some("reasoning_tokens"),
            Self::AvgLatencyMs => Some("latency_us"),
        }
    }
}

/// What a series can be grouped and filtered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Facet {
    /// The project.
    Project,
    /// The customer.
    Customer,
    /// The event type.
    Type,
    /// The endpoint.
    Endpoint,
    /// The model.
    Model,
}

impl Facet {
    /// All facets.
    pub const ALL: [Self; 5] = [Self::Project, Self::Customer, Self::Type, Self::Endpoint, Self::Model];

    /// Its name in requests and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Project => "project",
            Self::Customer => "customer",
            Self::Type => "type",
            Self::Endpoint => "endpoint",
            Self::Model => "model",
        }
    }
}

/// Which series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeriesQuery {
    /// What is measured.
    pub metric: Metric,
    /// Events of these times.
    pub range: TimeRange,
    /// The width of a bucket.
    pub interval: Interval,
    /// Where buckets begin.
    pub calendar: Calendar,
    /// One series for each combination of these, in this order; none gives one series. No facet twice.
    pub group_by: Vec<Facet>,
    /// Only events with this value; the empty text means events without one. No facet twice.
    pub filters: Vec<(Facet, String)>,
    /// Most groups with points of their own; of more, the greatest over the whole range have them, and all
    /// others are one.
    pub groups_max: usize,
    /// Most points that may be answered. Groups that would make more are among the others.
    pub points_max: usize,
}

impl SeriesQuery {
    /// How many of `groups` have points of their own, of a series that would have so many points in so many
    /// buckets if all had.
    pub fn groups_named(&self, groups: usize, points: usize, buckets: usize) -> usize {
        if points <= self.points_max {
            return groups.min(self.groups_max);
        }
        // In each bucket the others may have a point too.
        self.groups_max.min((self.points_max / buckets.max(1)).saturating_sub(1))
    }
}

/// What a group has over the whole range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupSum {
    /// The value of each facet.
    pub group: Vec<String>,
    /// As of a [`SeriesPoint`].
    pub totals: Totals,
    /// As of a [`SeriesPoint`].
    pub users: u64,
}

impl GroupSum {
    /// Greatest value first, then in order of the group; a mean of nothing comes last.
    pub fn compare(&self, other: &Self, metric: Metric) -> Ordering {
        let ascending = match metric {
            Metric::Count => self.totals.calls.cmp(&other.totals.calls),
            Metric::Tokens => self.totals.tokens.cmp(&other.totals.tokens),
            Metric::InputTokens => self.totals.input_tokens.cmp(&other.totals.input_tokens),
            Metric::OutputTokens => self.totals.output_tokens.cmp(&other.totals.output_tokens),
            Metric::CacheReadTokens => self.totals.cache_read_tokens.cmp(&other.totals.cache_read_tokens),
            Metric::CacheWriteTokens => self.totals.cache_write_tokens.cmp(&other.totals.cache_write_tokens),
            Metric::ReasoningTokens => self.totals.reasoning_tokens.cmp(&other.totals.reasoning_tokens),
            Metric::AvgLatencyMs => self.mean_latency_us().cmp(&other.mean_latency_us()),
            Metric::UniqueUsers => self.users.cmp(&other.users),
        };
        ascending.reverse().then_with(|| self.group.cmp(&other.group))
    }

    /// As it is answered: to the microsecond, halves up.
    fn mean_latency_us(&self) -> Option<u64> {
        let Totals { latency_us, latency_calls, .. } = self.totals;
        (latency_us + latency_calls / 2).checked_div(latency_calls)
    }
}

/// One bucket of one group; buckets without events have none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeriesPoint {
    /// First instant of the bucket, which may lie before the range.
    pub start: Timestamp,
    /// Whether the point is that of all groups that have none of their own. Such points come last in their bucket.
    pub is_others: bool,
    /// The value of each facet of `group_by`, empty for events without one; none of the others.
    pub group: Vec<String>,
    /// The sums of its events, as far as the metric is made of them: see [`Metric::part_of`].
    pub totals: Totals,
    /// Its distinct users; 0 unless the metric is [`Metric::UniqueUsers`].
    pub users: u64,
}
