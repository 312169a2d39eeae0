//! The port: erasures are asked for here, each made durable behind the fence of the buckets before anything goes.

use std::time::Duration;

use async_trait::async_trait;
use domain::erasure::{ErasedSoFar, Erasure, ErasureRequest, Subject};
use domain::tenant::{TenantId, TenantScope};
use domain::time::Timestamp;
use ports::erasures::{Erasures, StoredErasure, UnfinishedErasure};
use ports::{ErrorKind, PortError};
use postgres::Failure;
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;

use super::step::Step;
use crate::ledger::PostgresLedger;
use crate::state::zone;
use crate::stored_erasures::add_erasure;
use crate::types::Uuid;

/// Longest wait of a request for whoever applies: a workspace's requests may wait for it.
const WRITER_WITHIN: Duration = Duration::from_secs(5);
const WHAT: &str = "ask for an erasure";

#[async_trait]
impl Erasures for PostgresLedger {
    async fn erase(&self, scope: &TenantScope, request: &ErasureRequest) -> Result<Erasure, PortError> {
        let Ok(writer) = tokio::time::timeout(WRITER_WITHIN, self.writer.lock()).await else {
            return Err(PortError::new(ErrorKind::Overloaded, "ask for an erasure: the store is busy"));
        };
        let step = self.told(Step::begin_with(self, writer).await, WHAT)?;
        let asked = self.ask(step, scope, request).await;
        self.told(asked, WHAT)?
    }

    fn erased_tenants(&self) -> Vec<TenantId> {
        self.state.read().erasures.erased_tenants()
    }

    fn generation(&self, scope: &TenantScope) -> u64 {
        self.state.read().erasures.generation(scope.tenant())
    }

    fn unfinished(&self) -> Vec<UnfinishedErasure> {
        self.state.read().erasures.told_unfinished()
    }

    fn confirm(&self, ids: &[String]) {
        self.state.write().erasures.confirm(ids);
        self.wake.notify_one();
    }

    fn remains(&self) -> Vec<String> {
        self.state.read().remains.clone()
    }

    fn erasures(&self, scope: &TenantScope) -> Vec<Erasure> {
        self.state.read().erasures.of(scope.tenant()).map(|stored| stored.erasure.clone()).collect()
    }
}

impl PostgresLedger {
    /// Makes an erasure durable, of all that is applied; or says why not, or what it was asked for before.
    async fn ask(
        &self,
        mut step: Step<'_>,
        scope: &TenantScope,
        request: &ErasureRequest,
    ) -> Result<Result<Erasure, PortError>, Failure> {
        let tenant = scope.tenant();
        let through = step.writer.buckets.number();
        let (on, writer) = step.parts();
        if writer.buckets.cursor_of(writer.buckets.of(tenant)).is_none() {
            let reason = format!("another process has the bucket of tenant {tenant}");
            return Err(Failure::Refused { kind: ErrorKind::Unavailable, reason });
        }
        writer.resolve(on, tenant).await?;
        let (no, hash) = {
            let known = writer.tenants.get(tenant)?;
            (known.no, known.hasher.hash(request.subject.name()))
        };
        match self.state.read().erasures.asked_for(scope, request, hash) {
            Ok(None) => {}
            Ok(Some(known)) => return Ok(Ok(known.clone())),
            Err(why) => return Ok(Err(why)),
        }
        let own = sqlx::query("SELECT zone, zone_version FROM tenants WHERE tenant_no = $1").bind(no);
        let zone = zone(&own.fetch_one(&mut *on).await?, 0)?.zone;
        let user_no = forget_subject(on, no, &request.subject, Uuid(hash.0)).await?;
        let asked = StoredErasure {
            tenant: tenant.clone(),
            subject: Some(request.subject.name().to_owned()),
            subject_hash: hash.0,
            erasure: Erasure {
                id: request.id.clone(),
                kind: request.subject.kind(),
                blocks: request.blocks,
                through,
                requested_at: Timestamp::MIN,
                by: request.by.clone(),
                zone: zone.name().to_owned(),
                gone: ErasedSoFar::default(),
                finished_at: None,
            },
        };
        let (stored, _) = add_erasure(on, no, &asked, user_no).await?;
        step.note_touched(&["erasures", "users", "received", "metered_customers"]).await?;
        step.commit_and_forget().await?;
        self.wake.notify_one();
        Ok(Ok(stored.erasure))
    }
}

/// Forgets at once what later events are not to be counted under. From here on a user's name is new to the ledger: later
/// events get another number. A customer is not counted apart until somebody asks. Returns the user's number.
async fn forget_subject(
    on: &mut PgConnection,
    tenant_no: i32,
    subject: &Subject,
    hash: Uuid,
) -> Result<Option<i32>, Failure> {
    match subject {
        Subject::User(_) => {
            let sql = "UPDATE users SET name = NULL, name_hash = NULL WHERE tenant_no = $1 AND name_hash = $2 \
                       RETURNING user_no";
            Ok(sqlx::query_scalar(sql).bind(tenant_no).bind(hash).fetch_optional(on).await?)
        }
        Subject::Customer(name) => {
            for table in ["metered_customers", "received"] {
                let sql = format!("DELETE FROM {table} WHERE tenant_no = $1 AND customer = $2 AND customer <> ''");
                sqlx::query(AssertSqlSafe(sql)).bind(tenant_no).bind(name).execute(&mut *on).await?;
            }
            Ok(None)
        }
        Subject::Workspace => Ok(None),
    }
}
