//! A port whose calls are admitted one by one. A call that cannot be queued fails with `Overloaded`.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use domain::activity::DailyUsers;
use domain::calendar::Day;
use domain::position::Seq;
use domain::query::Query;
use domain::reference::ReferenceTable;
use domain::series::{SeriesPoint, SeriesQuery};
use domain::tenant::{TenantId, TenantScope};
use domain::time::{TimeRange, Timestamp};
use domain::users::UserSet;
use ports::PortError;
use ports::active_users::{ActiveUsers, ActiveUsersQuery, VersionedZone};
use ports::analytics::{Analytics, Summary};
use ports::live::{Live, LiveEvent, LiveWindow};
use ports::queries::{Queries, QueryAnswer};
use ports::reports::{
    Customer, CustomerUsage, EventCursor, EventQuery, Page, Reports, StoredEvent, Window, WindowQuery,
};

use super::class::WorkClass;
use super::limiter::{FairLimiter, FairPermit};

/// A port behind the gate: each call waits for a permit of its class, which ends with the answer.
#[derive(Debug)]
pub struct Gated<P: ?Sized> {
    port: Arc<P>,
    limiter: FairLimiter,
}

impl<P: ?Sized> Clone for Gated<P> {
    fn clone(&self) -> Self {
        Self { port: Arc::clone(&self.port), limiter: self.limiter.clone() }
    }
}

impl<P: ?Sized> Gated<P> {
    /// Puts `port` behind `limiter`.
    pub fn new(port: Arc<P>, limiter: FairLimiter) -> Self {
        Self { port, limiter }
    }

    async fn admit(&self, class: WorkClass, scope: &TenantScope) -> Result<FairPermit, PortError> {
        self.limiter.admit(class, scope.tenant()).await
    }
}

#[async_trait]
impl Reports for Gated<dyn Reports> {
    async fn events(
        &self,
        scope: &TenantScope,
        query: &EventQuery,
    ) -> Result<Page<StoredEvent, EventCursor>, PortError> {
        let _permit = self.admit(WorkClass::Read, scope).await?;
        self.port.events(scope, query).await
    }

    async fn event(&self, scope: &TenantScope, id: &str) -> Result<Option<StoredEvent>, PortError> {
        let _permit = self.admit(WorkClass::Read, scope).await?;
        self.port.event(scope, id).await
    }

    async fn windows(
        &self,
        scope: &TenantScope,
        query: &WindowQuery,
    ) -> Result<Page<Window, (String, Timestamp)>, PortError> {
        let _permit = self.admit(WorkClass::Read, scope).await?;
        self.port.windows(scope, query).await
    }

    async fn customers(
        &self,
        scope: &TenantScope,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<Customer, String>, PortError> {
        let _permit = self.admit(WorkClass::Read, scope).await?;
        self.port.customers(scope, after, limit).await
    }

    async fn usage(
        &self,
        scope: &TenantScope,
        customer: &str,
        now: Timestamp,
        day: TimeRange,
    ) -> Result<Option<CustomerUsage>, PortError> {
        let _permit = self.admit(WorkClass::Read, scope).await?;
        self.port.usage(scope, customer, now, day).await
    }

    async fn dead_letter_reason(&self, scope: &TenantScope, seq: Seq) -> Result<Option<String>, PortError> {
        let _permit = self.admit(WorkClass::Lookup, scope).await?;
        self.port.dead_letter_reason(scope, seq).await
    }
}

#[async_trait]
impl Analytics for Gated<dyn Analytics> {
    async fn top_types(
        &self,
        scope: &TenantScope,
        range: TimeRange,
        project: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, u64)>, PortError> {
        let _permit = self.admit(WorkClass::of_types(range), scope).await?;
        self.port.top_types(scope, range, project, limit).await
    }

    async fn summary(
        &self,
        scope: &TenantScope,
        customer: &str,
        range: TimeRange,
        top: usize,
    ) -> Result<Option<Summary>, PortError> {
        let _permit = self.admit(WorkClass::Read, scope).await?;
        self.port.summary(scope, customer, range, top).await
    }

    async fn series(&self, scope: &TenantScope, query: &SeriesQuery) -> Result<Vec<SeriesPoint>, PortError> {
        let _permit = self.admit(WorkClass::Read, scope).await?;
        self.port.series(scope, query).await
    }
}

impl Gated<dyn ActiveUsers> {
    /// As [`ActiveUsers::active_users`], with the permit to hold what was found until it is counted.
    ///
    /// # Errors
    /// As [`ActiveUsers::active_users`], and `Overloaded` when too much waits.
    pub async fn active_users_with_permit(
        &self,
        scope: &TenantScope,
        query: &ActiveUsersQuery,
    ) -> Result<(DailyUsers, FairPermit), PortError> {
        let permit = self.admit(WorkClass::Statistics, scope).await?;
        Ok((self.port.active_users(scope, query).await?, permit))
    }
}

#[async_trait]
impl ActiveUsers for Gated<dyn ActiveUsers> {
    async fn active_users(
        &self,
        scope: &TenantScope,
        query: &ActiveUsersQuery,
    ) -> Result<BTreeMap<Day, UserSet>, PortError> {
        self.active_users_with_permit(scope, query).await.map(|(days, _permit)| days)
    }

    fn applied_zone(&self, scope: &TenantScope) -> VersionedZone {
        self.port.applied_zone(scope)
    }

    async fn recount(&self, scope: &TenantScope, wanted: &VersionedZone) -> Result<(), PortError> {
        let _permit = self.admit(WorkClass::ZoneChange, scope).await?;
        self.port.recount(scope, wanted).await
    }
}

#[async_trait]
impl Queries for Gated<dyn Queries> {
    async fn query(&self, scope: &TenantScope, query: &Query) -> Result<QueryAnswer, PortError> {
        let _permit = self.admit(WorkClass::Query, scope).await?;
        self.port.query(scope, query).await
    }
}

#[async_trait]
impl Live for Gated<dyn Live> {
    fn retention_sec(&self) -> u32 {
        self.port.retention_sec()
    }

    /// Needs no permit: the worker counts what it has applied.
    async fn record(&self, tenant: &TenantId, now: Timestamp, events: &[LiveEvent<'_>]) -> Result<(), PortError> {
        self.port.record(tenant, now, events).await
    }

    async fn window(&self, scope: &TenantScope, now: Timestamp, seconds: u32) -> Result<LiveWindow, PortError> {
        let _permit = self.admit(WorkClass::Live, scope).await?;
        self.port.window(scope, now, seconds).await
    }

    /// Needs no permit: the change of the table has one.
    async fn set_reference(&self, tenant: &TenantId, table: Arc<ReferenceTable>) -> Result<(), PortError> {
        self.port.set_reference(tenant, table).await
    }

    fn bytes(&self) -> u64 {
        self.port.bytes()
    }
}
