//! The role that takes events: requests become records of the journal, and receipts are answered. Runs
//! without a worker: what it takes is durable and waits in the journal, up to the limit of what may wait
//! there; then events are refused until a worker has applied some.

use std::sync::Arc;

use domain::tenant::TenantScope;
use ports::PortError;
use ports::journal::OrderedJournal;
use ports::reports::Reports;

use super::RoleContext;
use crate::gate::Fair;
use crate::ingest::{Ingest, Space};
use crate::receipts::{BatchOutcome, ReceiptKey, ReceiptState};
use crate::settings::Settings;
use crate::stage::Journaling;

/// What taking events needs beside the ledger.
#[derive(Debug, Clone)]
pub struct IngestRole {
    /// Where accepted events become durable.
    pub journal: Arc<dyn OrderedJournal>,
    /// Answers which records are dead letters.
    pub reports: Fair<dyn Reports>,
    /// What the tenants have decided for themselves. A change of a zone that a crash has ended is made
    /// again from here on.
    pub settings: Arc<Settings>,
    /// The secret key of the data folder, which receipts are made with.
    pub key: [u8; 16],
}

impl IngestRole {
    pub(crate) fn start(self, context: &RoleContext) -> Ingest {
        let Self { journal, reports, settings, key } = self;
        Ingest {
            journaling: Journaling {
                journal,
                clock: Arc::clone(&context.clock),
                metrics: Arc::clone(&context.metrics),
                failure: context.failure.clone(),
            },
            ledger: Arc::clone(&context.ledger),
            reports,
            clock: Arc::clone(&context.clock),
            metrics: Arc::clone(&context.metrics),
            names: Arc::clone(&context.names),
            settings,
            in_flight: Arc::clone(&context.in_flight),
            receipts: Arc::clone(&context.receipts),
            key: ReceiptKey::new(key),
            space: Space::new(&context.limits),
            limits: context.limits.clone(),
        }
    }
}

impl Ingest {
    /// What became of the batch with this receipt; `None` when this tenant was given no such
    /// receipt (I5).
    ///
    /// # Errors
    /// As [`Reports::dead_letter_reason`].
    pub async fn receipt(&self, scope: &TenantScope, id: &str) -> Result<Option<ReceiptState>, PortError> {
        let Some(seq) = self.key.read(scope, id) else { return Ok(None) };
        if seq > self.receipts.applied() {
            return Ok(Some(ReceiptState::Queued));
        }
        if let Some(BatchOutcome::Applied { accepted, duplicates, .. }) = self.receipts.batch_outcome(seq) {
            return Ok(Some(ReceiptState::Applied { accepted: Some(accepted), duplicates: Some(duplicates) }));
        }
        let dead_letter = self.reports.dead_letter_reason(scope, seq).await?;
        Ok(Some(match dead_letter {
            Some(reason) => ReceiptState::DeadLettered { reason },
            None => ReceiptState::Applied { accepted: None, duplicates: None },
        }))
    }
}
