//! Sums over a range of time. Whole hours come from sums that are kept, everything else from raw events,
//! of which only the pages and columns that matter are read. Every answer is of one moment.

mod counts;
mod hours;
mod residuals;
mod rows;
mod scan;
mod series;
mod tallies;

use std::sync::Arc;

use async_trait::async_trait;
use domain::series::{Facet, Named, SeriesPoint, SeriesQuery, Source, Summed, whole_hours};
use domain::tenant::TenantScope;
use domain::time::TimeRange;
use domain::users::UserNumber;
use ports::PortError;
use ports::analytics::{Analytics, Summary, most_first};
use tokio_util::sync::CancellationToken;

use crate::core::Core;
use crate::ledger::EmbeddedLedger;
use crate::memtable::Memtable;
use scan::{rollups_in, unflushed_events};

#[async_trait]
impl Analytics for EmbeddedLedger {
    async fn top_types(
        &self,
        scope: &TenantScope,
        range: TimeRange,
        project: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, u64)>, PortError> {
        let (hours, edges) = whole_hours(range);
        let hours = hours.unwrap_or(TimeRange::new(range.from(), range.from()).unwrap_or(range));
        let look = |table: &Memtable| {
            let in_edges = |at| edges.iter().any(|edge| edge.contains(at));
            let events =
                if edges.is_empty() { Vec::new() } else { unflushed_events(table, scope, None, range, in_edges) };
            (rollups_in(table, scope, hours), events)
        };
        self.core.refuse_erased_hours(scope, &edges).await?;
        let read = self.core.read_consistently(|| self.core.manifest.type_sums(scope, hours, project), look).await?;
        let (mut rollups, mut unflushed) = read.active;
        if let Some(frozen) = &read.snapshot.frozen {
            let (of_frozen, events) = look(frozen);
            unflushed.extend(events);
            rollups.extend(of_frozen.into_iter().filter(|_| !read.counts_frozen));
        }
        let (snapshot, of, wanted) = (read.snapshot, scope.clone(), project.map(str::to_owned));
        // Without events to count no file is read.
        let mut counts = if edges.is_empty() {
            counts::Counts::new()
        } else {
            let count = move |_: &Core, cancelled: &CancellationToken| {
                Core::count_types(&of, &edges, wanted.as_deref(), &snapshot, &unflushed, cancelled)
            };
            self.core.read(count).await?
        };
        let rollups = rollups.into_iter();
        let rollups = rollups.filter(|rollup| project.is_none_or(|project| project == rollup.key.project));
        let rollups = rollups.map(|rollup| (rollup.key.kind, rollup.totals.calls));
        for (kind, calls) in read.stored.into_iter().map(|(kind, totals)| (kind, totals.calls)).chain(rollups) {
            *counts.entry(kind).or_insert(0) += calls;
        }
        Ok(most_first(counts, limit))
    }

    async fn summary(
        &self,
        scope: &TenantScope,
        customer: &str,
        range: TimeRange,
        top: usize,
    ) -> Result<Option<Summary>, PortError> {
        let (of, name) = (scope.clone(), customer.to_owned());
        let count = move |core: &Core, cancelled: &CancellationToken| {
            Core::count_customer(core, &of, &name, range, top, cancelled)
        };
        let Some(counted) = self.core.read(count).await? else { return Ok(None) };
        let (numbers, events): (Vec<UserNumber>, Vec<u64>) = counted.users.into_iter().unzip();
        let names = self.core.user_names(scope, &numbers).await?;
        let users = names.into_iter().zip(events).filter_map(|(name, events)| Some((name?, events)));
        let mut totals: Vec<_> = counted.types.into_iter().collect();
        totals.sort_unstable();
        Ok(Some(Summary { totals, top_users: most_first(users, top) }))
    }

    async fn series(&self, scope: &TenantScope, query: &SeriesQuery) -> Result<Vec<SeriesPoint>, PortError> {
        self.core.series(scope, query, Source::of(query)).await
    }
}

impl Core {
    async fn series(
        self: &Arc<Self>,
        scope: &TenantScope,
        query: &SeriesQuery,
        source: Source,
    ) -> Result<Vec<SeriesPoint>, PortError> {
        let mut named = None;
        loop {
            match self.sum_series(scope, query, source, named).await? {
                Summed::Points(points) => return Ok(points),
                // With these groups it has no more points than allowed.
                Summed::TooMany(groups) => named = Some(groups),
            }
        }
    }

    async fn sum_series(
        self: &Arc<Self>,
        scope: &TenantScope,
        query: &SeriesQuery,
        source: Source,
        named: Option<Named>,
    ) -> Result<Summed, PortError> {
        let (of, asked) = (scope.clone(), query.clone());
        if source == Source::Raw && query.filters.iter().all(|(facet, _)| *facet != Facet::Customer) {
            self.refuse_erased_hours(scope, &[query.range]).await?;
        }
        if source != Source::Rollups {
            let sum = move |core: &Self, cancelled: &CancellationToken| {
                core.series_of_segments(&of, &asked, source, named.as_ref(), cancelled)
            };
            return self.read(sum).await;
        }
        let hours = series::hour_sums(query);
        let look = |table: &Memtable| series::unflushed(table, scope, query);
        let read = self.read_consistently(|| self.manifest.hour_sums(scope, &hours), look).await?;
        let sum = move |_: &Self, cancelled: &CancellationToken| {
            let frozen = read.snapshot.frozen.as_deref().map(|frozen| series::unflushed(frozen, &of, &asked));
            let frozen = if read.counts_frozen { frozen.map(series::Unflushed::without_sums) } else { frozen };
            let unflushed: Vec<_> = [Some(read.active), frozen].into_iter().flatten().collect();
            let asked = (&asked, named.as_ref());
            Self::series_of_rollups(&of, asked, &read.stored, &unflushed, &read.snapshot, cancelled)
        };
        self.read(sum).await
    }
}

#[cfg(test)]
mod tests;
