//! A ledger under test, and how a case feeds it.

use std::sync::Arc;

use domain::position::Seq;
use domain::tenant::TenantScope;
use domain::time::Timestamp;

use crate::active_users::ActiveUsers;
use crate::analytics::Analytics;
use crate::journal::Delivery;
use crate::ledger::{Applied, Ledger, Outcome};
use crate::reports::Reports;
use crate::testing::ledger::records::{EventSpec, record};

/// A ledger that also answers statistics.
pub trait Answering: Ledger + Reports + ActiveUsers + Analytics + 'static {}

impl<L: Ledger + Reports + ActiveUsers + Analytics + 'static> Answering for L {}

/// When a case flushes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flushing {
    Never,
    EachRecord,
    EveryThird,
}

impl Flushing {
    pub(super) const ALL: [Self; 3] = [Self::Never, Self::EachRecord, Self::EveryThird];
}

/// A ledger under test.
pub(super) struct Subject<L> {
    pub(super) ledger: Arc<L>,
    flushing: Flushing,
    pub(super) last: u64,
}

impl<L: Ledger + Reports> Subject<L> {
    pub(super) fn new(ledger: Arc<L>, flushing: Flushing) -> Self {
        Self { ledger, flushing, last: 0 }
    }

    /// Applies the next record and tells what became of its events.
    pub(super) async fn take(
        &mut self,
        scope: &TenantScope,
        received_at: Timestamp,
        events: &[EventSpec],
    ) -> Vec<Outcome> {
        let entry = record(self.last + 1, scope, received_at, events);
        let mut applied = self.apply(&[entry]).await;
        applied.pop().expect("one record").outcomes
    }

    /// Applies records that must all succeed.
    pub(super) async fn apply(&mut self, entries: &[Delivery]) -> Vec<Applied> {
        let batch = self.ledger.apply(entries).await;
        assert!(batch.failed.is_none(), "{:?}", batch.failed);
        let told: Vec<Seq> = batch.applied.iter().map(|applied| applied.seq).collect();
        let given: Vec<Seq> = entries.iter().map(|entry| Seq::of_record(entry.id)).collect();
        assert_eq!(told, given, "every record is reported, in order");
        self.last = self.ledger.applied().0;
        self.flush_by_habit().await;
        batch.applied
    }

    pub(super) async fn flush_by_habit(&self) {
        let flush = match self.flushing {
            Flushing::Never => false,
            Flushing::EachRecord => true,
            Flushing::EveryThird => self.last.is_multiple_of(3),
        };
        if flush {
            self.ledger.flush().await.expect("a flush");
        }
    }

    pub(super) async fn close(&self, through: Timestamp) {
        self.ledger.close_through(through).await.expect("a closing");
    }
}
