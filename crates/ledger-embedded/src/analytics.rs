//! Sums over a range of time. Whole hours come from sums that are kept, everything else from raw events,
//! of which only the pages and columns that matter are read. Every answer is of one moment.

mod counts;
mod hours;
mod plan;
mod points;
mod rows;
mod scan;
mod series;
mod symbols;
mod tallies;

use std::sync::Arc;

use async_trait::async_trait;
use domain::series::{SeriesPoint, SeriesQuery};
use domain::tenant::TenantScope;
use domain::time::TimeRange;
use domain::users::UserNumber;
use ports::PortError;
use ports::analytics::{Analytics, Summary};

use crate::ledger::{Core, EmbeddedLedger};
use crate::memtable::Memtable;
use crate::reports::Patience;
use crate::reports::rollups_in;
use counts::most_first;
use plan::{Source, whole_hours};
use scan::held_events;

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
            let events = if edges.is_empty() { Vec::new() } else { held_events(table, scope, None, range, in_edges) };
            (rollups_in(table, scope, hours), events)
        };
        let moment = self.core.moment(|| self.core.manifest.type_sums(scope, hours, project), look).await?;
        let (mut rollups, mut held) = moment.active;
        if let Some(frozen) = &moment.snapshot.frozen {
            let (of_frozen, events) = look(frozen);
            held.extend(events);
            rollups.extend(of_frozen.into_iter().filter(|_| !moment.counts_frozen));
        }
        let (snapshot, of, wanted) = (moment.snapshot, scope.clone(), project.map(str::to_owned));
        // Without events to count no file is read.
        let mut counts = if edges.is_empty() {
            counts::Counts::new()
        } else {
            let count = move |_: &Core, patience: &Patience| {
                Core::count_types(&of, &edges, wanted.as_deref(), &snapshot, &held, patience)
            };
            self.core.read(count).await?
        };
        let rollups = rollups.into_iter();
        let rollups = rollups.filter(|rollup| project.is_none_or(|project| project == rollup.key.project));
        let rollups = rollups.map(|rollup| (rollup.key.kind, rollup.totals.calls));
        for (kind, calls) in moment.stored.into_iter().map(|(kind, totals)| (kind, totals.calls)).chain(rollups) {
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
        let count =
            move |core: &Core, patience: &Patience| Core::count_customer(core, &of, &name, range, top, patience);
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
        let (of, asked) = (scope.clone(), query.clone());
        if source != Source::Rollups {
            let sum = move |core: &Self, patience: &Patience| core.series_of_segments(&of, &asked, source, patience);
            return self.read(sum).await;
        }
        let hours = series::hour_sums(query);
        let look = |table: &Memtable| series::unflushed(table, scope, query);
        let moment = self.moment(|| self.manifest.hour_sums(scope, &hours), look).await?;
        let sum = move |_: &Self, patience: &Patience| {
            let frozen = moment.snapshot.frozen.as_deref().map(|frozen| series::unflushed(frozen, &of, &asked));
            let frozen = if moment.counts_frozen { frozen.map(series::Unflushed::without_sums) } else { frozen };
            let unflushed: Vec<_> = [Some(moment.active), frozen].into_iter().flatten().collect();
            Self::series_of_rollups(&of, &asked, &moment.stored, &unflushed, &moment.snapshot, patience)
        };
        self.read(sum).await
    }
}

#[cfg(test)]
mod tests;
