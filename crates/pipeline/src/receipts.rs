//! What became of a batch, for the client that holds its receipt. A receipt needs no storage: it names the
//! journal record and proves that its tenant was given it. Counts are kept for recent batches only.

mod id;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::position::{RecordId, Seq};
use domain::tenant::TenantScope;
use parking_lot::Mutex;
use ports::PortError;
use ports::ledger::{Applied, Outcome};
use ports::receipts::Fate;
use tokio::sync::watch;

pub(crate) use id::ReceiptCodec;

/// Batches whose outcome is remembered.
const RECENT_BATCHES_MAX: usize = 65_536;
/// Events whose outcome is remembered one by one: those of batches that were not all counted.
const RECENT_OUTCOMES_MAX: usize = 4 << 20;

/// What became of a journaled batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReceiptState {
    /// Durable, not yet applied.
    Queued,
    /// Visible in queries.
    Applied {
        /// Events that were counted; `None` when that has been forgotten.
        accepted: Option<u64>,
        /// Events whose id had been counted before; `None` when that has been forgotten.
        duplicates: Option<u64>,
        /// Events that do not count for an erasure: what was counted under their id has been erased, or what comes of their
        /// user, customer or workspace is refused; `None` when that has been forgotten.
        erased: Option<u64>,
    },
    /// It could not be applied and is kept among the dead letters.
    DeadLettered {
        /// Why.
        reason: String,
    },
}

/// What is remembered of one batch.
#[derive(Debug, Clone)]
pub(crate) enum BatchOutcome {
    /// It was applied.
    Applied {
        accepted: u64,
        duplicates: u64,
        erased: u64,
        /// Per event; `None` when all were counted.
        outcomes: Option<Arc<[Outcome]>>,
    },
    /// It became a dead letter, for this reason.
    DeadLettered(Arc<str>),
}

impl BatchOutcome {
    pub(crate) fn of(outcomes: &[Outcome]) -> Self {
        let (mut accepted, mut duplicates, mut erased) = (0, 0, 0);
        for outcome in outcomes {
            match outcome {
                Outcome::Fresh => accepted += 1,
                Outcome::Duplicate | Outcome::Mismatch => duplicates += 1,
                Outcome::Erased | Outcome::Refused => erased += 1,
            }
        }
        let detailed = (duplicates + erased > 0).then(|| Arc::from(outcomes));
        Self::Applied { accepted, duplicates, erased, outcomes: detailed }
    }

    fn detail(&self) -> usize {
        match self {
            Self::Applied { outcomes: Some(outcomes), .. } => outcomes.len(),
            Self::Applied { .. } | Self::DeadLettered(_) => 0,
        }
    }
}

impl From<BatchOutcome> for ReceiptState {
    fn from(outcome: BatchOutcome) -> Self {
        match outcome {
            BatchOutcome::Applied { accepted, duplicates, erased, .. } => {
                let [accepted, duplicates, erased] = [accepted, duplicates, erased].map(Some);
                Self::Applied { accepted, duplicates, erased }
            }
            BatchOutcome::DeadLettered(reason) => Self::DeadLettered { reason: reason.to_string() },
        }
    }
}

/// The outcomes of recent batches, and up to where all are visible.
#[derive(Debug)]
pub(crate) struct Receipts {
    recent: Mutex<Recent>,
    applied: watch::Sender<Seq>,
}

#[derive(Debug, Default)]
struct Recent {
    /// In ascending order.
    outcomes_by_record: VecDeque<(Seq, BatchOutcome)>,
    details: usize,
}

impl Receipts {
    /// Nothing is remembered; everything up to `applied` is visible.
    pub(crate) fn new(applied: Seq) -> Self {
        Self { recent: Mutex::default(), applied: watch::Sender::new(applied) }
    }

    /// Remembers what became of a run of batches, and lets those who wait for them go on.
    pub(crate) fn publish(&self, applied: &[Applied]) {
        self.remember(applied.iter().map(|batch| (batch.seq, BatchOutcome::of(&batch.outcomes))));
    }

    /// Remembers that a batch became a dead letter, and why.
    pub(crate) fn publish_dead_letter(&self, seq: Seq, reason: &str) {
        self.remember(std::iter::once((seq, BatchOutcome::DeadLettered(reason.into()))));
    }

    fn remember(&self, outcomes_by_record: impl Iterator<Item = (Seq, BatchOutcome)>) {
        let mut recent = self.recent.lock();
        let mut reached = *self.applied.borrow();
        for (seq, batch_outcome) in outcomes_by_record {
            if seq > reached {
                reached = seq;
                recent.push(seq, batch_outcome);
            }
        }
        drop(recent);
        self.applied.send_if_modified(|applied| std::mem::replace(applied, reached) != reached);
    }

    /// Up to where everything is visible.
    pub(crate) fn applied(&self) -> Seq {
        *self.applied.borrow()
    }

    /// Waits until everything up to `seq` is visible.
    pub(crate) async fn wait_for(&self, seq: Seq) {
        // Cannot fail: the sender lives as long as `self`.
        let _ = self.applied.subscribe().wait_for(|applied| *applied >= seq).await;
    }

    /// What became of a batch, if that is remembered.
    pub(crate) fn batch_outcome(&self, seq: Seq) -> Option<BatchOutcome> {
        let recent = self.recent.lock();
        let index = recent.outcomes_by_record.binary_search_by_key(&seq, |(seq, _)| *seq).ok()?;
        recent.outcomes_by_record.get(index).map(|(_, batch_outcome)| batch_outcome.clone())
    }
}

/// What this process has applied of a journal that is one log in one order.
#[async_trait]
impl ports::receipts::Receipts for Receipts {
    async fn fate(&self, _scope: &TenantScope, id: RecordId) -> Result<Option<Fate>, PortError> {
        let seq = Seq::of_record(id);
        if seq > self.applied() {
            return Ok(None);
        }
        Ok(Some(match self.batch_outcome(seq) {
            None => Fate::Applied(None),
            Some(BatchOutcome::DeadLettered(reason)) => Fate::DeadLettered(reason.to_string()),
            Some(BatchOutcome::Applied { outcomes: Some(outcomes), .. }) => Fate::Applied(Some(outcomes.to_vec())),
            Some(BatchOutcome::Applied { accepted, .. }) => {
                Fate::Applied(Some((0..accepted).map(|_| Outcome::Fresh).collect()))
            }
        }))
    }

    async fn wait_for(&self, scope: &TenantScope, id: RecordId, wait: Duration) -> Result<Option<Fate>, PortError> {
        // Who has waited in vain is told so by what follows.
        let _ = tokio::time::timeout(wait, Self::wait_for(self, Seq::of_record(id))).await;
        self.fate(scope, id).await
    }
}

impl Recent {
    fn push(&mut self, seq: Seq, batch_outcome: BatchOutcome) {
        self.details += batch_outcome.detail();
        self.outcomes_by_record.push_back((seq, batch_outcome));
        while self.outcomes_by_record.len() > RECENT_BATCHES_MAX || self.details > RECENT_OUTCOMES_MAX {
            let Some((_, forgotten)) = self.outcomes_by_record.pop_front() else { break };
            self.details -= forgotten.detail();
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::window::WindowRule;
    use ports::journal::Delivery;
    use ports::ledger::Ledger;
    use ports::testing::ledger::MemoryLedger;
    use ports::testing::receipts::receipts_conformance;

    use super::*;

    fn batch(seq: u64, outcomes: &[Outcome]) -> Applied {
        Applied { seq: Seq(seq), outcomes: outcomes.to_vec() }
    }

    fn counts(receipts: &Receipts, seq: u64) -> Option<(u64, u64)> {
        match receipts.batch_outcome(Seq(seq))? {
            BatchOutcome::Applied { accepted, duplicates, .. } => Some((accepted, duplicates)),
            BatchOutcome::DeadLettered(_) => None,
        }
    }

    #[tokio::test]
    async fn what_a_process_remembers_keeps_the_contract_of_receipts() {
        let (receipts, ledger) = (Arc::new(Receipts::new(Seq::ZERO)), MemoryLedger::new(WindowRule::default()));
        let apply = async |record: &Delivery| {
            let applied = ledger.apply(std::slice::from_ref(record)).await;
            assert!(applied.failed.is_none());
            receipts.publish(&applied.applied);
        };
        let give_up = async |record: &Delivery| {
            assert!(ledger.dead_letter(record, "no").await.is_ok());
            receipts.publish_dead_letter(Seq::of_record(record.id), "no");
        };
        receipts_conformance(receipts.clone(), apply, give_up).await;
    }

    #[test]
    fn counts_are_those_of_the_first_time() {
        let receipts = Receipts::new(Seq(3));
        receipts.publish(&[batch(4, &[Outcome::Fresh, Outcome::Mismatch]), batch(5, &[Outcome::Fresh])]);
        receipts.publish(&[batch(4, &[Outcome::Duplicate, Outcome::Duplicate])]);
        assert_eq!(receipts.applied(), Seq(5));
        assert_eq!(counts(&receipts, 4), Some((1, 1)));
        assert_eq!(counts(&receipts, 5), Some((1, 0)));
        assert_eq!(counts(&receipts, 3), None);
    }

    /// Found in November 2026: they were told as duplicates.
    #[test]
    fn what_does_not_count_for_an_erasure_is_told_apart_from_duplicates() {
        let receipts = Receipts::new(Seq::ZERO);
        receipts.publish(&[batch(1, &[Outcome::Fresh, Outcome::Duplicate, Outcome::Erased, Outcome::Refused])]);
        let told = match receipts.batch_outcome(Seq(1)) {
            Some(BatchOutcome::Applied { accepted, duplicates, erased, .. }) => Some((accepted, duplicates, erased)),
            Some(BatchOutcome::DeadLettered(_)) | None => None,
        };
        assert_eq!(told, Some((1, 1, 2)));
    }

    #[test]
    fn i6_what_is_remembered_is_bounded_by_batches_and_by_events() {
        let receipts = Receipts::new(Seq::ZERO);
        let many = RECENT_BATCHES_MAX as u64 + 10;
        for seq in 1..=many {
            receipts.publish(&[batch(seq, &[Outcome::Fresh])]);
        }
        assert_eq!(counts(&receipts, 10), None);
        assert_eq!(counts(&receipts, 11), Some((1, 0)));
        let large = vec![Outcome::Duplicate; RECENT_OUTCOMES_MAX / 2];
        for seq in many + 1..=many + 3 {
            receipts.publish(&[batch(seq, &large)]);
        }
        assert_eq!(counts(&receipts, many + 1), None);
        assert_eq!(counts(&receipts, many + 2), Some((0, large.len() as u64)));
        assert!(receipts.recent.lock().details <= RECENT_OUTCOMES_MAX);
    }
}
