//! Sums over a range of time: every event is looked at for every question.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use domain::aggregate::Totals;
use domain::series::{Facet, Metric, SeriesPoint, SeriesQuery};
use domain::tenant::TenantScope;
use domain::time::TimeRange;

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

#[async_trait]
impl Analytics for MemoryLedger {
    async fn top_types(
        &self,
        scope: &TenantScope,
        range: TimeRange,
        project: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, u64)>, PortError> {
        let state = self.state.lock();
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
        let state = self.state.lock();
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
        let state = self.state.lock();
        let mut points: BTreeMap<_, (Totals, BTreeSet<&str>)> = BTreeMap::new();
        for counted in state.of(scope).filter(|counted| counted.is_in(query)) {
            let start = civil::bucket_of(counted.event.time, query.interval, &query.calendar);
            let group: Vec<_> = query.group_by.iter().map(|facet| counted.facet(*facet).to_owned()).collect();
            let (totals, users) = points.entry((start, group)).or_default();
            totals.merge(&Totals::of(&counted.usage(), counted.late));
            users.extend(counted.user().filter(|_| query.metric == Metric::UniqueUsers));
        }
        if points.len() > query.points_max {
            let message = format!("answer a series in {} points: there are {}", query.points_max, points.len());
            return Err(PortError::new(ErrorKind::Exhausted, message));
        }
        let point = |((start, group), (totals, users)): (_, (_, BTreeSet<_>))| SeriesPoint {
            start,
            group,
            totals,
            users: users.len() as u64,
        };
        Ok(points.into_iter().map(point).collect())
    }
}
