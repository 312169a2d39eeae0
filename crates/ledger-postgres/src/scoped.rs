//! The application's transactions. Who is in the scope of a tenant sees its rows and no others: row-level security
//! compares each row with what is set here, for this transaction alone. What the server does for one that is left before
//! it has ended is cancelled, and what its caller holds is held until then.

use std::time::Duration;

use domain::tenant::TenantId;
use ports::held::{self, Held};
use postgres::Failure;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnection, PgPool, PgPoolOptions};
use sqlx::{Postgres, Row as _};

use crate::state::KnownTenant;
use crate::transaction::OwnTransaction;

/// Longest attempt to cancel; then the server is left to find out that nobody listens.
const CANCEL_MAX: Duration = Duration::from_secs(2);

/// The application's connections to one server, and one more of the same login, which cancels what they do.
#[derive(Debug, Clone)]
pub(crate) struct Readers {
    pub(crate) pool: PgPool,
    cancelling: PgPool,
}

impl Readers {
    pub(crate) fn new(pool: PgPool) -> Self {
        let one = PgPoolOptions::new().max_connections(1).acquire_timeout(CANCEL_MAX);
        let cancelling = one.connect_lazy_with(pool.connect_options().as_ref().clone());
        Self { pool, cancelling }
    }

    pub(crate) async fn close(&self) {
        self.pool.close().await;
        self.cancelling.close().await;
    }

    /// Goes into the scope of a tenant, whose number may be known already; none if it has no events.
    pub(crate) async fn enter(
        &self,
        on: PoolConnection<Postgres>,
        tenant: &TenantId,
        known: Option<KnownTenant>,
    ) -> Result<Option<Scoped>, Failure> {
        let mut transaction = OwnTransaction::begin_reading(on).await?;
        let known = match known {
            Some(known) => known,
            None => {
                set(transaction.on(), tenant, "").await?;
                let Some(found) = find(transaction.on(), tenant).await? else {
                    transaction.end().await?;
                    return Ok(None);
                };
                found
            }
        };
        let pid = set(transaction.on(), tenant, &known.no.to_string()).await?;
        let leaving = Leaving { pid: Some(pid), cancelling: self.cancelling.clone(), held: held::current() };
        Ok(Some(Scoped { transaction, tenant: known, leaving, has_rest: false }))
    }
}

/// A transaction that reads the rows of one tenant. Dropped, it ends.
#[derive(Debug)]
pub(crate) struct Scoped {
    transaction: OwnTransaction,
    pub(crate) tenant: KnownTenant,
    leaving: Leaving,
    has_rest: bool,
}

impl Scoped {
    pub(crate) fn on(&mut self) -> &mut PgConnection {
        self.transaction.on()
    }

    /// Says that rows of its last statement are not wanted any more.
    pub(crate) const fn leave_rest(&mut self) {
        self.has_rest = true;
    }

    /// Ends it, so that its connection is free at once, unless there are rows on their way.
    pub(crate) async fn end(self) {
        let Self { transaction, mut leaving, has_rest, .. } = self;
        // A connection that cannot say so is lost, and nothing was changed.
        if !has_rest && transaction.end().await.is_ok() {
            leaving.pid = None;
        }
    }
}

/// Cancels what a process of the server does, when it is dropped.
#[derive(Debug)]
struct Leaving {
    /// None once there is nothing to cancel.
    pid: Option<i32>,
    cancelling: PgPool,
    held: Held,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        let (Some(pid), Ok(runtime)) = (self.pid, tokio::runtime::Handle::try_current()) else { return };
        let (cancelling, held) = (self.cancelling.clone(), self.held.clone());
        runtime.spawn(async move {
            let _held = held;
            let cancel = sqlx::query("SELECT pg_cancel_backend($1)").bind(pid).execute(&cancelling);
            // Without it the server ends the work a little later: it looks whether anybody listens.
            let _ = tokio::time::timeout(CANCEL_MAX, cancel).await;
        });
    }
}

/// Sets the scope of a transaction; returns the server's process that it is in.
async fn set(on: &mut PgConnection, tenant: &TenantId, no: &str) -> Result<i32, sqlx::Error> {
    const SET: &str = "SELECT pg_backend_pid(), set_config('nilometer.tenant', $1, true), \
                       set_config('nilometer.tenant_no', $2, true)";
    sqlx::query(SET).bind(tenant.as_str()).bind(no).fetch_one(on).await?.try_get(0)
}

async fn find(on: &mut PgConnection, tenant: &TenantId) -> Result<Option<KnownTenant>, Failure> {
    let sql = "SELECT tenant_no, id_key FROM tenants WHERE tenant_id = $1";
    let Some(row) = sqlx::query(sql).bind(tenant.as_str()).fetch_optional(on).await? else { return Ok(None) };
    Ok(Some(KnownTenant::new(tenant, row.try_get(0)?, row.try_get(1)?)?))
}
