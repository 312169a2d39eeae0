//! Answers about one tenant: read with the application's login in the scope of the tenant, which every statement names
//! as well, in one transaction, so that an answer is of one moment. What is added up is added up by `domain`, or counted
//! by the server where that cannot differ.

mod select;
mod events;
mod sums;
mod active_users;
mod counts;
mod series;
mod queries;

use std::collections::BTreeMap;

use async_trait::async_trait;
use domain::calendar::Day;
use domain::event::EventId;
use domain::position::Seq;
use domain::query::Query;
use domain::series::{SeriesPoint, SeriesQuery};
use domain::tenant::TenantScope;
use domain::time::{TimeRange, Timestamp};
use domain::users::UserSet;
use ports::PortError;
use ports::active_users::{ActiveUsers, ActiveUsersPlan, ActiveUsersQuery, VersionedZone};
use ports::analytics::{Analytics, Summary};
use ports::queries::{Queries, QueryAnswer};
use ports::reports::{
    Customer, CustomerUsage, EventCursor, EventQuery, Page, Reports, StoredEvent, Window, WindowQuery,
};

use crate::ledger::PostgresLedger;
use crate::scoped::Scoped;
use crate::unanswered::Unanswered;
use crate::zone;

/// What was read, or why not; the transaction ends in either case.
async fn ended<T>(mut scoped: Scoped, found: Result<T, Unanswered>, what: &str) -> Result<T, PortError> {
    if !matches!(found, Ok(_) | Err(Unanswered::Gone(_))) {
        scoped.leave_rest();
    }
    scoped.end().await;
    found.map_err(|why| why.during(what))
}

impl PostgresLedger {
    async fn reading(&self, scope: &TenantScope, what: &str) -> Result<Option<Scoped>, PortError> {
        self.scoped_anywhere(scope).await.map_err(|failure| failure.during(what))
    }
}

#[async_trait]
impl Reports for PostgresLedger {
    async fn events(
        &self,
        scope: &TenantScope,
        query: &EventQuery,
    ) -> Result<Page<StoredEvent, EventCursor>, PortError> {
        const WHAT: &str = "list events";
        let Some(mut scoped) = self.reading(scope, WHAT).await? else { return Ok(Page::default()) };
        let found = events::list(&mut scoped, query).await;
        ended(scoped, found, WHAT).await
    }

    async fn event(&self, scope: &TenantScope, id: EventId<'_>) -> Result<Option<StoredEvent>, PortError> {
        const WHAT: &str = "find an event";
        let Some(mut scoped) = self.reading(scope, WHAT).await? else { return Ok(None) };
        let found = events::find(&mut scoped, id).await;
        ended(scoped, found, WHAT).await
    }

    async fn windows(
        &self,
        scope: &TenantScope,
        query: &WindowQuery,
    ) -> Result<Page<Window, (String, Timestamp)>, PortError> {
        const WHAT: &str = "list windows";
        let Some(mut scoped) = self.reading(scope, WHAT).await? else { return Ok(Page::default()) };
        let found = sums::list_windows(&mut scoped, self.rule, query).await;
        ended(scoped, found, WHAT).await
    }

    async fn customers(
        &self,
        scope: &TenantScope,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<Customer, String>, PortError> {
        const WHAT: &str = "list customers";
        let Some(mut scoped) = self.reading(scope, WHAT).await? else { return Ok(Page::default()) };
        let found = sums::list_customers(&mut scoped, after, limit).await;
        ended(scoped, found, WHAT).await
    }

    async fn usage(
        &self,
        scope: &TenantScope,
        customer: &str,
        now: Timestamp,
        day: TimeRange,
    ) -> Result<Option<CustomerUsage>, PortError> {
        const WHAT: &str = "read what a customer has used";
        let Some(mut scoped) = self.reading(scope, WHAT).await? else { return Ok(None) };
        let found = sums::usage(&mut scoped, self.rule, customer, now, day).await;
        ended(scoped, found, WHAT).await
    }

    async fn dead_letter_reason(&self, scope: &TenantScope, seq: Seq) -> Result<Option<String>, PortError> {
        const WHAT: &str = "look for a dead letter";
        let Some(mut scoped) = self.reading(scope, WHAT).await? else { return Ok(None) };
        let found = events::dead_letter_reason(&mut scoped, seq).await;
        ended(scoped, found, WHAT).await
    }
}

#[async_trait]
impl Analytics for PostgresLedger {
    async fn top_types(
        &self,
        scope: &TenantScope,
        range: TimeRange,
        project: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, u64)>, PortError> {
        const WHAT: &str = "count events by type";
        let Some(mut scoped) = self.reading(scope, WHAT).await? else { return Ok(Vec::new()) };
        let found = counts::top_types(&mut scoped, range, project, limit).await;
        ended(scoped, found, WHAT).await
    }

    async fn summary(
        &self,
        scope: &TenantScope,
        customer: &str,
        range: TimeRange,
        top: usize,
    ) -> Result<Option<Summary>, PortError> {
        const WHAT: &str = "count what a customer did";
        let Some(mut scoped) = self.reading(scope, WHAT).await? else { return Ok(None) };
        let found = counts::summary(&mut scoped, customer, range, top).await;
        ended(scoped, found, WHAT).await
    }

    async fn series(&self, scope: &TenantScope, query: &SeriesQuery) -> Result<Vec<SeriesPoint>, PortError> {
        const WHAT: &str = "answer a series";
        let Some(mut scoped) = self.reading(scope, WHAT).await? else { return Ok(Vec::new()) };
        let found = series::series(&mut scoped, query).await;
        ended(scoped, found, WHAT).await
    }
}

#[async_trait]
impl ActiveUsers for PostgresLedger {
    async fn active_users(
        &self,
        scope: &TenantScope,
        query: &ActiveUsersQuery,
    ) -> Result<BTreeMap<Day, UserSet>, PortError> {
        const WHAT: &str = "count users";
        let Some(mut scoped) = self.reading(scope, WHAT).await? else { return Ok(BTreeMap::new()) };
        let found = active_users::active_users(&mut scoped, query).await;
        ended(scoped, found, WHAT).await
    }

    fn is_estimate(&self, scope: &TenantScope, query: &ActiveUsersQuery) -> bool {
        let own = self.applied_zone(scope).zone;
        let is_raw = !ActiveUsersPlan::of(query, &own).raw.is_empty();
        let state = self.state.read();
        let mut erased = state.erasures.of(scope.tenant()).map(|stored| &stored.erasure);
        erased.any(|erasure| erasure.gone.events > 0 && (is_raw || erasure.zone != own.name()))
    }

    fn applied_zone(&self, scope: &TenantScope) -> VersionedZone {
        self.state.read().zones.get(scope.tenant()).cloned().unwrap_or_default()
    }

    async fn recount(&self, scope: &TenantScope, wanted: &VersionedZone) -> Result<(), PortError> {
        zone::recount(self, scope, wanted).await
    }
}

#[async_trait]
impl Queries for PostgresLedger {
    async fn query(&self, scope: &TenantScope, query: &Query) -> Result<QueryAnswer, PortError> {
        const WHAT: &str = "run the query";
        let Some(mut scoped) = self.reading(scope, WHAT).await? else { return queries::of_nothing(query) };
        let found = queries::query(&mut scoped, query).await;
        ended(scoped, found, WHAT).await
    }
}
