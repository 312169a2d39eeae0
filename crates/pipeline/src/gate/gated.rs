//! A port whose calls are admitted one by one. A call that cannot be queued fails with `Overloaded`. The
//! permit goes with the work: it is held during the call, and by what the port goes on with when the call
//! has been given up.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use async_trait::async_trait;
use domain::access::audit::{AuditEntry, AuditFilter};
use domain::activity::DailyUsers;
use domain::calendar::Day;
use domain::event::EventId;
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
use ports::held::{self, Held};
use ports::live::{Live, LiveEvent, LiveWindow};
use ports::queries::{Queries, QueryAnswer};
use ports::register::AuditLog;
use ports::reports::{
    Customer, CustomerUsage, EventCursor, EventQuery, Page, Reports, StoredEvent, Window, WindowQuery,
};

use super::class::WorkClass;
use super::limiter::{FairLimiter, FairPermit};

/// A port behind the gate: each call waits for a permit of its class, which ends with the work for it: with
/// the answer, or later when the call was given up before.
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

    /// Waits for a permit and makes the call with it.
    async fn run<T, C>(&self, class: WorkClass, scope: &TenantScope, call: impl FnOnce() -> C) -> Result<T, PortError>
    where
        C: Future<Output = Result<T, PortError>>,
    {
        self.run_holding(class, scope, call).await.map(|(answer, _permit)| answer)
    }

    async fn run_holding<T, C>(
        &self,
        class: WorkClass,
        scope: &TenantScope,
        call: impl FnOnce() -> C,
    ) -> Result<(T, Arc<FairPermit>), PortError>
    where
        C: Future<Output = Result<T, PortError>>,
    {
        self.run_in_turn_of(scope.tenant(), class, call).await
    }

    async fn run_in_turn_of<T, C>(
        &self,
        tenant: &TenantId,
        class: WorkClass,
        call: impl FnOnce() -> C,
    ) -> Result<(T, Arc<FairPermit>), PortError>
    where
        C: Future<Output = Result<T, PortError>>,
    {
        let permit = Arc::new(self.limiter.admit(class, tenant).await?);
        let answer = held::during(Held::new(permit.clone()), call()).await?;
        Ok((answer, permit))
    }
}

#[async_trait]
impl Reports for Gated<dyn Reports> {
    async fn events(
        &self,
        scope: &TenantScope,
        query: &EventQuery,
    ) -> Result<Page<StoredEvent, EventCursor>, PortError> {
        self.run(WorkClass::Read, scope, || self.port.events(scope, query)).await
    }

    async fn event(&self, scope: &TenantScope, id: EventId<'_>) -> Result<Option<StoredEvent>, PortError> {
        self.run(WorkClass::Read, scope, || self.port.event(scope, id)).await
    }

    async fn windows(
        &self,
        scope: &TenantScope,
        query: &WindowQuery,
    ) -> Result<Page<Window, (String, Timestamp)>, PortError> {
        self.run(WorkClass::Read, scope, || self.port.windows(scope, query)).await
    }

    async fn customers(
        &self,
        scope: &TenantScope,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<Customer, String>, PortError> {
        self.run(WorkClass::Read, scope, || self.port.customers(scope, after, limit)).await
    }

    async fn usage(
        &self,
        scope: &TenantScope,
        customer: &str,
        now: Timestamp,
        day: TimeRange,
    ) -> Result<Option<CustomerUsage>, PortError> {
        self.run(WorkClass::Read, scope, || self.port.usage(scope, customer, now, day)).await
    }

    async fn dead_letter_reason(&self, scope: &TenantScope, seq: Seq) -> Result<Option<String>, PortError> {
        self.run(WorkClass::Lookup, scope, || self.port.dead_letter_reason(scope, seq)).await
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
        self.run(WorkClass::of_types(range), scope, || self.port.top_types(scope, range, project, limit)).await
    }

    async fn summary(
        &self,
        scope: &TenantScope,
        customer: &str,
        range: TimeRange,
        top: usize,
    ) -> Result<Option<Summary>, PortError> {
        self.run(WorkClass::Read, scope, || self.port.summary(scope, customer, range, top)).await
    }

    async fn series(&self, scope: &TenantScope, query: &SeriesQuery) -> Result<Vec<SeriesPoint>, PortError> {
        self.run(WorkClass::Read, scope, || self.port.series(scope, query)).await
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
    ) -> Result<(DailyUsers, Arc<FairPermit>), PortError> {
        self.run_holding(WorkClass::Statistics, scope, || self.port.active_users(scope, query)).await
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

    fn is_estimate(&self, scope: &TenantScope, query: &ActiveUsersQuery) -> bool {
        self.port.is_estimate(scope, query)
    }

    fn applied_zone(&self, scope: &TenantScope) -> VersionedZone {
        self.port.applied_zone(scope)
    }

    async fn recount(&self, scope: &TenantScope, wanted: &VersionedZone) -> Result<(), PortError> {
        self.run(WorkClass::ZoneChange, scope, || self.port.recount(scope, wanted)).await
    }
}

#[async_trait]
impl Queries for Gated<dyn Queries> {
    async fn query(&self, scope: &TenantScope, query: &Query) -> Result<QueryAnswer, PortError> {
        self.run(WorkClass::Query, scope, || self.port.query(scope, query)).await
    }
}

/// What requests read of the audit log; its chains are for those who verify them.
impl Gated<dyn AuditLog> {
    /// As [`AuditLog::audit_entries`].
    ///
    /// # Errors
    /// As there, and `Overloaded` when too much waits.
    pub async fn audit_entries(
        &self,
        scope: &TenantScope,
        filter: &AuditFilter,
        limit: usize,
    ) -> Result<Vec<AuditEntry>, PortError> {
        self.run(WorkClass::Read, scope, || self.port.audit_entries(scope, filter, limit)).await
    }

    /// As [`AuditLog::server_audit_entries`]; the operator takes turns with the tenants.
    ///
    /// # Errors
    /// As there, and `Overloaded` when too much waits.
    pub async fn server_audit_entries(&self, filter: &AuditFilter, limit: usize) -> Result<Vec<AuditEntry>, PortError> {
        let call = || self.port.server_audit_entries(filter, limit);
        self.run_in_turn_of(&TenantId::server(), WorkClass::Read, call).await.map(|(entries, _permit)| entries)
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
        self.run(WorkClass::Live, scope, || self.port.window(scope, now, seconds)).await
    }

    /// Needs no permit: the change of the table has one.
    async fn set_reference(&self, tenant: &TenantId, table: Arc<ReferenceTable>) -> Result<(), PortError> {
        self.port.set_reference(tenant, table).await
    }

    fn bytes(&self) -> u64 {
        self.port.bytes()
    }
}
