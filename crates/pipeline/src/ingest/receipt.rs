//! Answers what became of a batch, from its receipt: from memory while that is remembered, from the ledger
//! after it.

use domain::tenant::TenantScope;
use ports::PortError;
use ports::reports::Reports;

use super::Ingest;
use crate::receipts::{BatchOutcome, ReceiptState};

impl Ingest {
    /// What became of the batch with this receipt; `None` when this tenant was given no such
    /// receipt (I5).
    ///
    /// # Errors
    /// As [`Reports::dead_letter_reason`].
    pub async fn receipt(&self, scope: &TenantScope, id: &str) -> Result<Option<ReceiptState>, PortError> {
        let Some(seq) = self.receipt_codec.read(scope, id) else { return Ok(None) };
        if seq > self.receipts.applied() {
            return Ok(Some(ReceiptState::Queued));
        }
        if let Some(BatchOutcome::Applied { accepted, duplicates, erased, .. }) = self.receipts.batch_outcome(seq) {
            let [accepted, duplicates, erased] = [accepted, duplicates, erased].map(Some);
            return Ok(Some(ReceiptState::Applied { accepted, duplicates, erased }));
        }
        let dead_letter = self.reports.dead_letter_reason(scope, seq).await?;
        Ok(Some(match dead_letter {
            Some(reason) => ReceiptState::DeadLettered { reason },
            None => ReceiptState::Applied { accepted: None, duplicates: None, erased: None },
        }))
    }
}
