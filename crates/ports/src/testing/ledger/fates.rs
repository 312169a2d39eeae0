//! What the twin tells of records: it remembers all, and who waits looks again and again.

use std::time::Duration;

use async_trait::async_trait;
use domain::position::{RecordId, Seq};
use domain::tenant::TenantScope;

use super::MemoryLedger;
use crate::PortError;
use crate::receipts::{Fate, Receipts};

/// The wait between two looks.
const LOOK: Duration = Duration::from_millis(1);

#[async_trait]
impl Receipts for MemoryLedger {
    async fn fate(&self, scope: &TenantScope, id: RecordId) -> Result<Option<Fate>, PortError> {
        let (seq, state) = (Seq::of_record(id), self.state.lock());
        if let Some((_, outcomes)) = state.outcomes.get(&seq).filter(|(tenant, _)| tenant == scope.tenant()) {
            return Ok(Some(Fate::Applied(Some(outcomes.clone()))));
        }
        let letter = state.dead_letters.get(&seq).filter(|letter| letter.tenant.as_ref() == Some(scope.tenant()));
        Ok(letter.map(|letter| Fate::DeadLettered(letter.reason.clone())))
    }

    async fn wait_for(&self, scope: &TenantScope, id: RecordId, wait: Duration) -> Result<Option<Fate>, PortError> {
        let looking = async {
            loop {
                match self.fate(scope, id).await {
                    Ok(None) => tokio::time::sleep(LOOK).await,
                    told => return told,
                }
            }
        };
        tokio::time::timeout(wait, looking).await.unwrap_or(Ok(None))
    }
}
