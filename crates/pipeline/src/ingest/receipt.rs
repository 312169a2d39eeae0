//! Answers what became of a batch, from its receipt: from memory while that is remembered, from the ledger
//! after it, and when another process applies it.

use domain::position::Seq;
use domain::tenant::TenantScope;
use ports::PortError;
use ports::receipts::Fate;
use ports::reports::Reports;

use super::Ingest;
use crate::receipts::{BatchOutcome, ReceiptState};

impl Ingest {
    /// What became of the batch with this receipt; `None` when this tenant was given no such
    /// receipt (I5).
    ///
    /// # Errors
    /// As [`Reports::dead_letter_reason`] and [`ports::receipts::Receipts::fate`].
    pub async fn receipt(&self, scope: &TenantScope, id: &str) -> Result<Option<ReceiptState>, PortError> {
        let Some(seq) = self.receipt_codec.read(scope, id) else { return Ok(None) };
        if seq > self.receipts.applied() {
            let elsewhere = if self.applies { None } else { self.stored(scope, seq).await? };
            return Ok(Some(elsewhere.unwrap_or(ReceiptState::Queued)));
        }
        if let Some(outcome @ BatchOutcome::Applied { .. }) = self.receipts.batch_outcome(seq) {
            return Ok(Some(outcome.into()));
        }
        if let Some(told) = self.stored(scope, seq).await? {
            return Ok(Some(told));
        }
        let dead_letter = self.reports.dead_letter_reason(scope, seq).await?;
        Ok(Some(match dead_letter {
            Some(reason) => ReceiptState::DeadLettered { reason },
            None => ReceiptState::Applied { accepted: None, duplicates: None, erased: None },
        }))
    }

    /// What the ledger tells of a record, if it keeps that.
    async fn stored(&self, scope: &TenantScope, seq: Seq) -> Result<Option<ReceiptState>, PortError> {
        let Some(fates) = &self.fates else { return Ok(None) };
        let told = fates.fate(scope, self.journaling.id_of(seq)).await?;
        Ok(told.map(|fate| match fate {
            Fate::DeadLettered(reason) => ReceiptState::DeadLettered { reason },
            Fate::Applied(None) => ReceiptState::Applied { accepted: None, duplicates: None, erased: None },
            Fate::Applied(Some(outcomes)) => BatchOutcome::of(&outcomes).into(),
        }))
    }
}
