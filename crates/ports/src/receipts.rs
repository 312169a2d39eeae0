//! What became of records, for those who hold their receipts, whichever process has applied them.

use std::time::Duration;

use async_trait::async_trait;
use domain::position::RecordId;
use domain::tenant::TenantScope;

use crate::PortError;
use crate::ledger::Outcome;

/// What became of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It was applied: what became of its events, in order; `None` when that has been forgotten.
    Applied(Option<Vec<Outcome>>),
    /// It could not be applied and is kept among the dead letters, for this reason.
    DeadLettered(String),
}

/// Tells what became of records. Whoever asks has made sure that the tenant was given the receipt of the record.
#[async_trait]
pub trait Receipts: Send + Sync + std::fmt::Debug {
    /// What became of a record of this tenant. What is told is visible to queries. `None` while the record is not applied,
    /// and when it was so long ago that its receipt has ended.
    ///
    /// # Errors
    /// When it cannot be read; try again.
    async fn fate(&self, scope: &TenantScope, id: RecordId) -> Result<Option<Fate>, PortError>;

    /// Waits until [`Receipts::fate`] tells what became of a record, but no longer than `wait`, whatever fails meanwhile:
    /// `None` then. It may be dropped at any time.
    ///
    /// # Errors
    /// When the time has passed and the last look has failed.
    async fn wait_for(&self, scope: &TenantScope, id: RecordId, wait: Duration) -> Result<Option<Fate>, PortError>;
}
