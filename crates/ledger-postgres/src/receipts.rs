//! The port `Receipts`: what became of a record is read from its row, which the transaction that has passed it has left,
//! whichever process that was.

use std::time::Duration;

use async_trait::async_trait;
use domain::limits::{LEDGER_RECEIPT_LOOKS, LEDGER_RECEIPTS_HOURS};
use domain::position::RecordId;
use domain::tenant::TenantScope;
use ports::PortError;
use ports::receipts::{Fate, Receipts};
use postgres::Failure;
use sqlx::Row as _;

use crate::ledger::PostgresLedger;
use crate::rows::{outcome_of, uuid};
use crate::scoped::Scoped;

#[async_trait]
impl Receipts for PostgresLedger {
    async fn fate(&self, scope: &TenantScope, id: RecordId) -> Result<Option<Fate>, PortError> {
        let found = async {
            let Some(mut scoped) = self.scoped(scope).await? else { return Ok(None) };
            let found = find(&mut scoped, id).await;
            scoped.end().await;
            found
        };
        found.await.map_err(|failure: Failure| failure.during("read a receipt in PostgreSQL"))
    }

    async fn wait_for(&self, scope: &TenantScope, id: RecordId, wait: Duration) -> Result<Option<Fate>, PortError> {
        let commits = self.receipts.commits();
        let mut found = Ok(None);
        let looking = async {
            let [mut pause, longest] = LEDGER_RECEIPT_LOOKS;
            loop {
                // Asked for before the look, so that no commit is missed between the two.
                let commit = commits.notified();
                tokio::pin!(commit);
                commit.as_mut().enable();
                found = self.fate(scope, id).await;
                if matches!(found, Ok(Some(_))) {
                    return;
                }
                // Whether it was a commit or the pause that has ended, the row is looked at.
                let _ = tokio::time::timeout(pause, commit).await;
                pause = (pause * 2).min(longest);
            }
        };
        // The end of the wait is no failure.
        let _ = tokio::time::timeout(wait, looking).await;
        found
    }
}

async fn find(scoped: &mut Scoped, id: RecordId) -> Result<Option<Fate>, Failure> {
    let sql = "SELECT outcomes, dead_reason FROM receipts WHERE record_id = $1 AND tenant_no = $2 \
               AND applied_at > now() - $3 * interval '1 hour' ORDER BY applied_at DESC LIMIT 1";
    let no = scoped.tenant.no;
    let find = sqlx::query(sql).bind(uuid(id)).bind(no).bind(LEDGER_RECEIPTS_HOURS);
    let Some(row) = find.fetch_optional(scoped.on()).await? else { return Ok(None) };
    if let Some(reason) = row.try_get::<Option<String>, _>(1)? {
        return Ok(Some(Fate::DeadLettered(reason)));
    }
    let outcomes = row.try_get::<&[u8], _>(0)?.iter().map(|code| outcome_of(*code)).collect::<Option<Vec<_>>>();
    let unknown = || Failure::Client(sqlx::Error::Decode("an outcome of no known number".into()));
    Ok(Some(Fate::Applied(Some(outcomes.ok_or_else(unknown)?))))
}
