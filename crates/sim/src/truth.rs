//! What must be true whatever happens to a process: every record that was promised, under its number,
//! and the oracle, which has counted each of them once, in order.
//!
//! A record is promised when its append was answered, or when the journal has handed it out: both
//! say that it is durable.

use std::collections::BTreeMap;

use bytes::Bytes;
use domain::invariant::Invariant;
use domain::position::Seq;
use domain::time::Timestamp;
use domain::window::WindowRule;
use ports::PortError;
use ports::journal::{Backlog, Delivery, OrderedJournal};
use ports::ledger::{Applied, Ledger, Outcome};
use ports::testing::ledger::MemoryLedger;

use crate::client::Client;
use crate::violation::{Violation, hold};

/// See the module.
#[derive(Debug)]
pub(crate) struct Truth {
    oracle: MemoryLedger,
    promised: BTreeMap<Seq, Bytes>,
    /// The highest cursor ever seen.
    cursor: Seq,
    /// Closings that failed, and may have become durable all the same.
    doubtful_closings: Vec<Timestamp>,
}

impl Truth {
    pub(crate) fn new(rule: WindowRule) -> Self {
        Self {
            oracle: MemoryLedger::new(rule),
            promised: BTreeMap::new(),
            cursor: Seq::ZERO,
            doubtful_closings: Vec::new(),
        }
    }

    /// The ledger that is always right.
    pub(crate) fn oracle(&self) -> &MemoryLedger {
        &self.oracle
    }

    /// An append was answered.
    pub(crate) fn acknowledged(&mut self, seq: Seq, record: &Bytes) -> Result<(), Violation> {
        self.promise(seq, record)
    }

    /// The journal has delivered a record.
    pub(crate) fn handed_out(&mut self, seq: Seq, delivery: &Delivery, client: &Client) -> Result<(), Violation> {
        let sent = client.has_sent(&delivery.payload);
        hold(Invariant::NoPhantom, sent, || format!("the journal invented record {seq}"))?;
        self.promise(seq, &delivery.payload)
    }

    fn promise(&mut self, seq: Seq, record: &Bytes) -> Result<(), Violation> {
        let known = self.promised.entry(seq).or_insert_with(|| record.clone());
        hold(Invariant::NoAcknowledgedLoss, known == record, || format!("record {seq} has become another"))
    }

    /// The ledger has applied a record; it was the next one after `before`.
    pub(crate) async fn applied(
        &mut self,
        before: Seq,
        seq: Seq,
        delivery: &Delivery,
        applied: &Applied,
    ) -> Result<(), Violation> {
        let in_order = seq == before.next() && applied.seq == seq;
        hold(Invariant::NoAcknowledgedLoss, in_order, || {
            format!("{} was applied as {seq} after {before}", applied.seq)
        })?;
        let records = self.oracle.apply(std::slice::from_ref(delivery)).await;
        let expected: &[Outcome] = records.applied.first().map_or(&[], |first| &first.outcomes);
        hold(Invariant::NoDoubleCount, applied.outcomes == expected, || {
            format!("record {seq} counted as {:?} instead of {expected:?}", applied.outcomes)
        })
    }

    /// Windows were closed up to there.
    pub(crate) async fn closed(&mut self, through: Timestamp, result: &Result<(), PortError>) {
        match result {
            Ok(()) => {
                // The oracle's closing cannot fail.
                let _ = self.oracle.close_through(through).await;
            }
            Err(_) => self.doubtful_closings.push(through),
        }
    }

    /// A process has opened the ledger: what it says about itself is what it said before.
    pub(crate) async fn reopened(&mut self, ledger: &dyn Ledger, durable: Seq) -> Result<(), Violation> {
        let last = self.last_promised();
        hold(Invariant::NoAcknowledgedLoss, durable >= last, || {
            format!("the journal ends with record {durable}, promised was {last}")
        })?;
        let (found, known) = (ledger.closed_through(), self.oracle.closed_through());
        let possible = found == known || (found > known && self.doubtful_closings.contains(&found));
        hold(Invariant::Monotonic, possible, || format!("windows are closed through {found} instead of {known}"))?;
        self.doubtful_closings.clear();
        self.closed(found, &Ok(())).await;
        self.cursor_is(ledger.cursor())
    }

    fn last_promised(&self) -> Seq {
        self.promised.keys().next_back().copied().unwrap_or_default()
    }

    /// The ledger says that everything up to there is durable.
    pub(crate) fn cursor_is(&mut self, cursor: Seq) -> Result<(), Violation> {
        hold(Invariant::NoAcknowledgedLoss, cursor >= self.cursor, || {
            format!("the cursor went back from {} to {cursor}", self.cursor)
        })?;
        self.cursor = cursor;
        let known = self.oracle.applied();
        hold(Invariant::NoPhantom, cursor <= known, || format!("the cursor is at {cursor}, applied was {known}"))
    }

    /// The worker has caught up: nothing that was promised is missing.
    pub(crate) async fn caught_up(&self, applied: Seq, journal: &dyn OrderedJournal) -> Result<(), Violation> {
        let (acked, backlog) = (journal.acked_through(), journal.backlog().await);
        let last = self.last_promised();
        hold(Invariant::NoAcknowledgedLoss, applied >= last, || {
            format!("records {} to {last} are lost", applied.next())
        })?;
        hold(Invariant::OneTruth, applied == self.oracle.applied(), || {
            format!("the ledger has applied {applied}, the oracle {}", self.oracle.applied())
        })?;
        hold(Invariant::SelfRecovery, acked == applied && backlog == Backlog::default(), || {
            format!("all is applied, but {backlog:?} is left behind record {acked}")
        })
    }
}
