//! The application's transactions. Who is in the scope of a tenant sees its rows and no others: row-level security
//! compares each row with what is set here, for this transaction alone.

use domain::dedup::IdHasher;
use domain::tenant::TenantId;
use ports::ErrorKind;
use postgres::Failure;
use sqlx::pool::PoolConnection;
use sqlx::postgres::PgConnection;
use sqlx::{Postgres, Row as _};

use crate::state::KnownTenant;
use crate::transaction::OwnTransaction;

/// A transaction that reads the rows of one tenant. Dropped, it ends.
#[derive(Debug)]
pub(crate) struct Scoped {
    transaction: OwnTransaction,
    pub(crate) tenant: KnownTenant,
}

impl Scoped {
    /// Goes into the scope of a tenant, whose number may be known already; none if it has no events.
    pub(crate) async fn enter(
        on: PoolConnection<Postgres>,
        tenant: &TenantId,
        known: Option<KnownTenant>,
    ) -> Result<Option<Self>, Failure> {
        const ENTER: &str =
            "SELECT set_config('nilometer.tenant', $1, true), set_config('nilometer.tenant_no', $2, true)";
        let mut transaction = OwnTransaction::begin_reading(on).await?;
        let known = match known {
            Some(known) => known,
            None => {
                sqlx::query(ENTER).bind(tenant.as_str()).bind("").execute(transaction.on()).await?;
                let Some(found) = find(transaction.on(), tenant).await? else {
                    transaction.end().await?;
                    return Ok(None);
                };
                found
            }
        };
        sqlx::query(ENTER).bind(tenant.as_str()).bind(known.no.to_string()).execute(transaction.on()).await?;
        Ok(Some(Self { transaction, tenant: known }))
    }

    pub(crate) fn on(&mut self) -> &mut PgConnection {
        self.transaction.on()
    }

    /// Ends it, so that its connection is free at once.
    pub(crate) async fn end(self) {
        // A connection that cannot say so is lost, and nothing was changed.
        let _ = self.transaction.end().await;
    }
}

async fn find(on: &mut PgConnection, tenant: &TenantId) -> Result<Option<KnownTenant>, Failure> {
    let sql = "SELECT tenant_no, id_key FROM tenants WHERE tenant_id = $1";
    let Some(row) = sqlx::query(sql).bind(tenant.as_str()).fetch_optional(on).await? else { return Ok(None) };
    let key = <[u8; 16]>::try_from(row.try_get::<Vec<u8>, _>(1)?).map_err(|_| {
        let reason = format!("the secret of tenant {tenant} is not 16 bytes");
        Failure::Refused { kind: ErrorKind::Corrupt, reason }
    })?;
    Ok(Some(KnownTenant { no: row.try_get(0)?, hasher: IdHasher::new(&key).of_tenant(tenant) }))
}
