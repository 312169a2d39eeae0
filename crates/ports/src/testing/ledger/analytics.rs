//! Sums over a range of time: every event is looked at for every question.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use domain::aggregate::Totals;
use domain::series::{Facet, GroupSum, Metric, SeriesPoint, SeriesQuery};
use domain::tenant::TenantScope;
use domain::time::{TimeRange, Timestamp};

use super::{Counted, MemoryLedger, civil};
use crate::analytics::{Analytics, Summary};
use crate::{ErrorKind, PortError};

impl Counted {
    /// The value of a facet, empty for none.
    fn facet(&self, facet: Facet) -> &str {
        let event = &self.event;
        match facet {
            Facet::Project => self.project(),
            Facet::Customer => self.customer(),
            Facet::Type => &event.kind,
            Facet::Endpoint => event.endpoint.as_deref().unwrap_or_default(),
            Facet::Model => event.model.as_deref().unwrap_or_default(),
        }
    }

    fn is_in(&self, query: &SeriesQuery) -> bool {
        query.range.contains(self.event.time)
            && query.filters.iter().all(|(facet, wanted)| self.facet(*facet) == wanted)
    }
}

/// How often each name occurs, in order of name.
fn tally<'n>(names: impl Iterator<Item = &'n str>) -> Vec<(String, u64)> {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    names.for_each(|name| *counts.entry(name).or_default() += 1);
    counts.into_iter().map(|(name, count)| (name.to_owned(), count)).collect()
}

/// The `limit` largest counts, largest first, then in order of name.
fn largest(mut counts: Vec<(String, u64)>, limit: usize) -> Vec<(String, u64)> {
    counts.sort_by(|(left_name, left), (right_name, right)| right.cmp(left).then(left_name.cmp(right_name)));
    counts.truncate(limit);
    counts
}

/// The points of a series, by start and group.
type Points<'e> = BTreeMap<(Timestamp, Vec<String>), (Totals, BTreeSet<&'e str>)>;

/// The groups that have points of their own.
fn named(query: &SeriesQuery, points: &Points<'_>, buckets: usize) -> BTreeSet<Vec<String>> {
    let groups: BTreeSet<_> = points.keys().map(|(_, group)| group).collect();
    let sum = |group: &Vec<String>| {
        let (mut totals, mut users) = (Totals::default(), BTreeSet::<&str>::new());
        for (_, (some, of)) in points.iter().filter(|((_, of), _)| of == group) {
            totals.merge(some);
            users.extend(of);
        }
        GroupSum { group: group.clone(), totals, users: users.len() as u64 }
    };
    let count = if points.len() <= query.points_max {
        query.groups_max
    } else {
        query.groups_max.min((query.points_max / buckets).saturating_sub(1))
    };
    let mut sums: Vec<_> = groups.into_iter().map(sum).collect();
    sums.sort_by(|left, right| left.compare(right, query.metric));
    sums.into_iter().take(count).map(|sum| sum.group).collect()
}

#[async_trait]
impl Analytics for MemoryLedger {
    async fn top_types(
        &self,
        scope: &TenantScope,
        range: TimeRange,
        project: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, u64)>, PortError> {
        let state = self.ask();
        let inside = state.of(scope).filter(|counted| range.contains(counted.event.time));
        let asked = inside.filter(|counted| project.is_none_or(|wanted| wanted == counted.project()));
        Ok(largest(tally(asked.map(|counted| counted.event.kind.as_str())), limit))
    }

    async fn summary(
        &self,
        scope: &TenantScope,
        customer: &str,
        range: TimeRange,
        top: usize,
    ) -> Result<Option<Summary>, PortError> {
        let state = self.ask();
        let of_customer = || state.of(scope).filter(|counted| counted.customer() == customer);
        if of_customer().next().is_none() {
            return Ok(None);
        }
        let inside = || of_customer().filter(|counted| range.contains(counted.event.time));
        Ok(Some(Summary {
            totals: tally(inside().map(|counted| counted.event.kind.as_str())),
            top_users: largest(tally(inside().filter_map(Counted::user)), top),
        }))
    }

    async fn series(&self, scope: &TenantScope, query: &SeriesQuery) -> Result<Vec<SeriesPoint>, PortError> {
        let state = self.ask();
        let mut points = Points::new();
        for counted in state.of(scope).filter(|counted| counted.is_in(query)) {
            let start = civil::bucket_of(counted.event.time, query.interval, &query.calendar);
            let group: Vec<_> = query.group_by.iter().map(|facet| counted.facet(*facet).to_owned()).collect();
            let (totals, users) = points.entry((start, group)).or_default();
            totals.merge(&query.metric.part_of(&Totals::of(&counted.usage(), counted.late)));
            users.extend(counted.user().filter(|_| query.metric == Metric::UniqueUsers));
        }
        let starts: BTreeSet<_> = points.keys().map(|(start, _)| *start).collect();
        if starts.len() > query.points_max {
            let message = format!("answer a series in {} points: it has {} buckets", query.points_max, starts.len());
            return Err(PortError::new(ErrorKind::Exhausted, message));
        }
        let named = named(query, &points, starts.len());
        let mut told: BTreeMap<_, (Totals, BTreeSet<&str>)> = BTreeMap::new();
        for ((start, group), (totals, users)) in points {
            let is_others = !named.contains(&group);
            let group = if is_others { Vec::new() } else { group };
            let (sum, all) = told.entry((start, is_others, group)).or_default();
            sum.merge(&totals);
            all.extend(users);
        }
        let point = |((start, is_others, group), (totals, users)): (_, (_, BTreeSet<_>))| SeriesPoint {
            start,
            is_others,
            group,
            totals,
            users: users.len() as u64,
        };
        Ok(told.into_iter().map(point).collect())
    }
}
