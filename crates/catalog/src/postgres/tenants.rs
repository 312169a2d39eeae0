//! The tenants, and what each has decided for itself.

use std::collections::BTreeSet;

use async_trait::async_trait;
use domain::access::audit::{AuditDraft, Cause};
use domain::access::record::Workspace;
use domain::quota::{CarriedPeriods, VersionedQuota};
use domain::tenant::{TenantId, TenantScope};
use domain::time::Timestamp;
use ports::PortError;
use ports::active_users::VersionedZone;
use ports::catalog::{Catalog, TenantSettings};
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, EntityTrait, Statement};
use sqlite::Failure;

use super::across::{since, whole};
use super::audit;
use super::register::lock;
use super::scoped::{Scope, Scoped};
use super::store::{PostgresCatalog, failed};
use crate::by_tenant::by_tenant;
use crate::entities::row;
use crate::entities::{quota, quota_calendar, tenant, tenant_settings, wanted_zone};
use crate::quotas;
use crate::register::next_revision;
use crate::tenants::{replace, replace_zone};

#[async_trait]
impl Catalog for PostgresCatalog {
    async fn ensure_tenants(&self, tenants: &[TenantId], now: Timestamp, cause: &Cause) -> Result<(), PortError> {
        const REGISTER: &str = "register tenants in";
        let mut change = self.begin().await.map_err(|failure| failed(REGISTER, failure))?;
        let outcome = add(&mut change, tenants, now, cause).await;
        Self::finish(REGISTER, change, outcome).await
    }

    async fn tenants(&self) -> Result<Vec<Workspace>, PortError> {
        let read = async {
            let all = tenant::Entity::find().from_raw_sql(since::<tenant::Entity>(-1));
            let rows = all.all(&self.pool).await?;
            let mut tenants = rows.into_iter().map(tenant::Model::into_workspace).collect::<Result<Vec<_>, _>>()?;
            // The database may have another order of texts.
            tenants.sort_unstable_by(|one, other| one.id.cmp(&other.id));
            Ok(tenants)
        };
        read.await.map_err(|failure| failed("read the tenants in", failure))
    }

    async fn settings(&self) -> Result<Vec<(TenantId, TenantSettings)>, PortError> {
        let rows = whole::<tenant_settings::Entity>(&self.pool).await;
        let settings = rows.and_then(|rows| by_tenant(rows, tenant_settings::Model::into_settings));
        settings.map_err(|failure| failed("read the settings of tenants in", failure))
    }

    async fn store_settings(
        &self,
        scope: &TenantScope,
        settings: &TenantSettings,
        audit: &AuditDraft,
    ) -> Result<(), PortError> {
        let row = tenant_settings::Model::new(scope.tenant(), settings, audit.at);
        let store = async |transaction: &DatabaseTransaction| replace(transaction, row).await;
        self.decide("store the settings of a tenant in", scope, audit, store).await
    }

    async fn wanted_zones(&self) -> Result<Vec<(TenantId, VersionedZone)>, PortError> {
        let rows = whole::<wanted_zone::Entity>(&self.pool).await;
        let zones = rows.and_then(|rows| by_tenant(rows, wanted_zone::Model::into_zone));
        zones.map_err(|failure| failed("read the zones of tenants in", failure))
    }

    async fn carried_periods(&self) -> Result<Vec<(TenantId, CarriedPeriods)>, PortError> {
        let rows = whole::<quota_calendar::Entity>(&self.pool).await;
        let carried = rows.and_then(|rows| by_tenant(rows, quota_calendar::Model::into_periods));
        carried.map_err(|failure| failed("read the periods of quotas in", failure))
    }

    async fn quotas(&self) -> Result<Vec<(TenantId, VersionedQuota)>, PortError> {
        let rows = whole::<quota::Entity>(&self.pool).await;
        rows.and_then(quotas::quotas_of).map_err(|failure| failed("read the quotas in", failure))
    }

    async fn store_quota(
        &self,
        scope: &TenantScope,
        quota: &VersionedQuota,
        audit: &AuditDraft,
    ) -> Result<(), PortError> {
        const STORE: &str = "store a quota in";
        let row = quota::Model::new(scope.tenant(), quota, audit.at).map_err(|failure| failed(STORE, failure))?;
        let store = async |transaction: &DatabaseTransaction| quotas::replace(transaction, row).await;
        self.decide(STORE, scope, audit, store).await
    }

    async fn store_wanted_zone(
        &self,
        scope: &TenantScope,
        wanted: &VersionedZone,
        carried: &CarriedPeriods,
        audit: &AuditDraft,
    ) -> Result<(), PortError> {
        const STORE: &str = "store the zone of a tenant in";
        let row = wanted_zone::Model::new(scope.tenant(), wanted, audit.at);
        let row = row.map_err(|failure| failed(STORE, failure))?;
        let store = async |transaction: &DatabaseTransaction| {
            replace_zone(transaction, row).await?;
            quotas::carry(transaction, scope.tenant(), carried).await
        };
        self.decide(STORE, scope, audit, store).await
    }
}

/// Adds the tenants that are not there, with a revision of their own and their entries in the log.
async fn add(change: &mut Scoped, tenants: &[TenantId], now: Timestamp, cause: &Cause) -> Result<(), Failure> {
    lock(change).await?;
    let known = Statement::from_string(DbBackend::Postgres, "SELECT id FROM since_tenant(-1)");
    let known = change.functions().query_all_raw(known).await?;
    let known = known.iter().map(|row| row.try_get_by("id")).collect::<Result<BTreeSet<String>, _>>()?;
    let new: BTreeSet<_> = tenants.iter().filter(|id| !known.contains(id.as_str())).collect();
    if new.is_empty() {
        return Ok(());
    }
    let revision = next_revision(change.enter(Scope::Server).await?).await?;
    let mut drafts = Vec::new();
    for id in new {
        let workspace = Workspace::new(id.clone(), id.as_str(), now);
        let transaction = change.enter(Scope::Tenant(id)).await?;
        row::store::<tenant::Model>(transaction, row::sealed(&workspace, revision)?).await?;
        drafts.extend(cause.drafts_of_new_workspace(id, now));
    }
    audit::append(change, &drafts).await
}
