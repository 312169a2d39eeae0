//! The audit log. Who adds to a chain holds the row of its head until the commit, and who decides something for a tenant
//! holds that of the tenant's chain first: decisions of one tenant follow each other, those of two do not wait.

use std::collections::BTreeMap;

use async_trait::async_trait;
use domain::access::audit::{AuditDraft, AuditEntry, AuditFilter, AuditHead};
use domain::tenant::{TenantId, TenantScope};
use ports::register::AuditLog;
use ports::{ErrorKind, PortError, held};
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, EntityTrait, QuerySelect, Statement};
use sqlite::Failure;

use super::across::whole;
use super::scoped::{Scope, Scoped};
use super::store::{PostgresCatalog, failed};
use crate::audit::{Detailed, entries_of, newest, oldest, page_of};
use crate::entities::audit_head;
use crate::entities::columns::workspace;

const READ: &str = "read the audit log in";

#[async_trait]
impl AuditLog for PostgresCatalog {
    async fn audit_entries(
        &self,
        scope: &TenantScope,
        filter: &AuditFilter,
        limit: usize,
    ) -> Result<Vec<AuditEntry>, PortError> {
        self.page(Some(scope.tenant()), newest(Some(scope.tenant()), filter, limit)).await
    }

    async fn server_audit_entries(&self, filter: &AuditFilter, limit: usize) -> Result<Vec<AuditEntry>, PortError> {
        self.page(None, newest(None, filter, limit)).await
    }

    async fn audit_heads(&self) -> Result<Vec<(Option<TenantId>, AuditHead)>, PortError> {
        let read = async {
            let snapshot = Scoped::snapshot(&self.pool).await?;
            let chains = Statement::from_string(DbBackend::Postgres, "SELECT audit_chains() AS chain");
            let mut heads = BTreeMap::new();
            // Chains whose head is missing are there as well.
            for row in snapshot.functions().query_all_raw(chains).await? {
                heads.insert(workspace(&row.try_get_by::<String, _>("chain")?)?, AuditHead::default());
            }
            for row in whole::<audit_head::Entity>(snapshot.functions()).await? {
                heads.insert(workspace(&row.chain)?, row.head()?);
            }
            snapshot.end().await;
            Ok(heads.into_iter().collect())
        };
        read.await.map_err(|failure| failed(READ, failure))
    }

    async fn audit_chain(
        &self,
        workspace: Option<&TenantId>,
        after: u64,
        limit: usize,
    ) -> Result<Vec<AuditEntry>, PortError> {
        let read = async {
            let mut snapshot = Scoped::snapshot(&self.pool).await?;
            let transaction = snapshot.enter(Scope::of(workspace)).await?;
            let entries = entries_of(transaction, oldest(workspace, after, limit)).await?;
            snapshot.end().await;
            Ok(entries)
        };
        read.await.map_err(|failure| failed(READ, failure))
    }
}

impl PostgresCatalog {
    /// Stores what a tenant has decided, with its entry in the log.
    pub(super) async fn decide(
        &self,
        what: &'static str,
        scope: &TenantScope,
        entry: &AuditDraft,
        store: impl AsyncFnOnce(&DatabaseTransaction) -> Result<(), Failure>,
    ) -> Result<(), PortError> {
        let mut change = self.begin().await.map_err(|failure| failed(what, failure))?;
        let outcome = async {
            store(lock(&mut change, Scope::Tenant(scope.tenant())).await?).await?;
            append_one(&mut change, scope.tenant(), entry).await
        };
        let outcome = outcome.await;
        Self::finish(what, change, outcome).await
    }

    /// Reads a page. The server goes on with what the caller gives up, so what the caller holds stays until it has ended.
    async fn page(&self, workspace: Option<&TenantId>, wanted: Detailed) -> Result<Vec<AuditEntry>, PortError> {
        let (pool, workspace, held) = (self.pool.clone(), workspace.cloned(), held::current());
        let reading = tokio::spawn(async move {
            let _held = held;
            let mut snapshot = Scoped::snapshot(&pool).await?;
            let page = page_of(snapshot.enter(Scope::of(workspace.as_ref())).await?, wanted).await?;
            snapshot.end().await;
            Ok::<_, Failure>(page)
        });
        let read = reading.await.map_err(|why| PortError::new(ErrorKind::Unavailable, READ).because(why))?;
        read.map_err(|failure| failed(READ, failure))
    }
}

/// Goes into a scope and waits until nobody else adds to its chain.
pub(super) async fn lock<'a>(change: &'a mut Scoped, scope: Scope<'_>) -> Result<&'a DatabaseTransaction, Failure> {
    let transaction = change.enter(scope).await?;
    let head = || audit_head::Entity::find_by_id(scope.text()).lock_exclusive();
    if head().one(transaction).await?.is_none() {
        // The first entry of a chain has no row to wait for. Behind this lock there may be one.
        let first = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))";
        let name = format!("audit:{}", scope.text()).into();
        transaction.execute_raw(Statement::from_sql_and_values(DbBackend::Postgres, first, [name])).await?;
        head().one(transaction).await?;
    }
    Ok(transaction)
}

/// Adds an entry about a change of one tenant's.
pub(super) async fn append_one(change: &mut Scoped, tenant: &TenantId, draft: &AuditDraft) -> Result<(), Failure> {
    crate::audit::append_one(change.enter(Scope::Tenant(tenant)).await?, tenant, draft).await
}

/// Adds entries to the chains that they are for.
pub(super) async fn append(change: &mut Scoped, drafts: &[AuditDraft]) -> Result<(), Failure> {
    for drafts in drafts.chunk_by(|one, next| one.workspace == next.workspace) {
        let workspace = drafts.first().and_then(|draft| draft.workspace.as_ref());
        crate::audit::append(lock(change, Scope::of(workspace)).await?, drafts).await?;
    }
    Ok(())
}
