//! The memory twin of the journal, and the suite that it and every adapter run. What a disk would
//! keep is in a [`MemoryLog`], so that opening it again plays a restart; appends fail on demand.

mod conformance;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use domain::admit::Admitted;
use domain::position::{RecordId, Seq};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::journal::{Backlog, Delivery, Journal, JournalHealth, OrderedJournal};
use crate::{ErrorKind, PortError};

pub use conformance::{BACKLOG_BYTES_MAX, JournalPlace, journal_conformance};

/// Most records handed out at once.
const NEXT_RECORDS_MAX: usize = 1_024;

/// What survives a restart of a [`MemoryJournal`]. Clones are the same log.
#[derive(Debug, Clone, Default)]
pub struct MemoryLog {
    stored: Arc<Mutex<Stored>>,
}

#[derive(Debug, Default)]
struct Stored {
    records: BTreeMap<Seq, Bytes>,
    durable: Seq,
}

impl Stored {
    fn push(&mut self, payload: &Bytes) {
        self.durable = self.durable.next();
        self.records.insert(self.durable, payload.clone());
    }

    fn bytes(&self, after: Seq, through: Seq) -> u64 {
        let range = after.next()..=through.max(after.next());
        self.records.range(range).map(|(_, payload)| payload.len() as u64).sum()
    }
}

/// How appends fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppendFault {
    /// What the caller is told.
    pub kind: ErrorKind,
    /// Whether the record is kept all the same, as after a lost answer.
    pub kept: bool,
}

/// A journal in memory.
#[derive(Debug)]
pub struct MemoryJournal {
    log: MemoryLog,
    backlog_bytes_max: u64,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug)]
struct State {
    handed_out: Seq,
    acked_through: Seq,
    /// Acknowledged behind the mark.
    acked_ahead: BTreeSet<Seq>,
    backlog_bytes: u64,
    fault: Option<AppendFault>,
    closed: bool,
}

impl State {
    fn after(after: Seq, backlog_bytes: u64) -> Self {
        let acked_ahead = BTreeSet::new();
        Self { handed_out: after, acked_through: after, acked_ahead, backlog_bytes, fault: None, closed: false }
    }

    /// Takes one record out of the backlog, if it is in it, and moves the mark over all that follow it.
    fn ack(&mut self, stored: &Stored, seq: Seq) {
        if seq <= self.acked_through || seq > stored.durable || !self.acked_ahead.insert(seq) {
            return;
        }
        let bytes = stored.records.get(&seq).map_or(0, |payload| payload.len() as u64);
        self.backlog_bytes -= bytes.min(self.backlog_bytes);
        while self.acked_ahead.remove(&self.acked_through.next()) {
            self.acked_through = self.acked_through.next();
        }
    }
}

impl Default for MemoryJournal {
    fn default() -> Self {
        let state = State::after(Seq::ZERO, 0);
        Self {
            log: MemoryLog::default(),
            backlog_bytes_max: u64::MAX,
            state: Mutex::new(state),
            changed: Notify::new(),
        }
    }
}

impl MemoryJournal {
    /// Opens the journal kept in `log` after the record `after`.
    ///
    /// # Errors
    /// `Corrupt` when records right after `after` are missing.
    pub fn open(log: MemoryLog, after: Seq, backlog_bytes_max: u64) -> Result<Self, PortError> {
        let mut stored = log.stored.lock();
        if stored.records.keys().next().is_some_and(|first| *first > after.next()) {
            return Err(PortError::new(ErrorKind::Corrupt, format!("find record {} in the journal", after.next())));
        }
        stored.durable = stored.durable.max(after);
        let backlog_bytes = stored.bytes(after, stored.durable);
        drop(stored);
        let state = State::after(after, backlog_bytes);
        Ok(Self { log, backlog_bytes_max, state: Mutex::new(state), changed: Notify::new() })
    }

    /// Makes every append fail from now on, or succeed again.
    pub fn fail_appends(&self, fault: Option<AppendFault>) {
        self.state.lock().fault = fault;
    }

    fn take(&self) -> Option<Vec<Delivery>> {
        let mut state = self.state.lock();
        let stored = self.log.stored.lock();
        let records = stored.records.range(state.handed_out.next()..).take(NEXT_RECORDS_MAX);
        let deliveries: Vec<Delivery> =
            records.map(|(seq, payload)| Delivery { id: (*seq).into(), payload: payload.clone() }).collect();
        match deliveries.last() {
            Some(last) => state.handed_out = Seq::of_record(last.id),
            None if state.closed => {}
            None => return None,
        }
        Some(deliveries)
    }
}

#[async_trait]
impl Journal for MemoryJournal {
    async fn append(&self, admitted: &Admitted) -> Result<RecordId, PortError> {
        let refused = |kind| Err(PortError::new(kind, "append to the journal"));
        let mut state = self.state.lock();
        if state.closed {
            return refused(ErrorKind::Closed);
        }
        if state.fault.is_some_and(|fault| !fault.kept) {
            return refused(state.fault.map_or(ErrorKind::Unavailable, |fault| fault.kind));
        }
        if state.backlog_bytes >= self.backlog_bytes_max {
            return refused(ErrorKind::Overloaded);
        }
        let mut stored = self.log.stored.lock();
        stored.push(admitted.payload());
        state.backlog_bytes += admitted.payload().len() as u64;
        self.changed.notify_one();
        match state.fault {
            Some(fault) => refused(fault.kind),
            None => Ok(stored.durable.into()),
        }
    }

    async fn next(&self) -> Result<Vec<Delivery>, PortError> {
        loop {
            if let Some(deliveries) = self.take() {
                return Ok(deliveries);
            }
            self.changed.notified().await;
        }
    }

    async fn ack(&self, ids: &[RecordId]) {
        let mut state = self.state.lock();
        let stored = self.log.stored.lock();
        ids.iter().for_each(|id| state.ack(&stored, Seq::of_record(*id)));
    }

    async fn backlog(&self) -> Backlog {
        let state = self.state.lock();
        let records = self.log.stored.lock().durable.0 - state.acked_through.0 - state.acked_ahead.len() as u64;
        Backlog { records, bytes: state.backlog_bytes }
    }

    async fn health(&self) -> JournalHealth {
        let state = self.state.lock();
        match state.fault.map(|fault| fault.kind) {
            _ if state.closed => JournalHealth::Closed,
            Some(ErrorKind::Full) => JournalHealth::Full,
            Some(ErrorKind::Poisoned) => JournalHealth::Poisoned("a sync failed".to_owned()),
            _ => JournalHealth::Ready,
        }
    }

    async fn close(&self) {
        self.state.lock().closed = true;
        self.changed.notify_one();
    }
}

#[async_trait]
impl OrderedJournal for MemoryJournal {
    fn last_durable(&self) -> Seq {
        self.log.stored.lock().durable
    }

    fn acked_through(&self) -> Seq {
        self.state.lock().acked_through
    }

    async fn trim(&self, flushed: Seq) -> Result<(), PortError> {
        let mut state = self.state.lock();
        let mut stored = self.log.stored.lock();
        let flushed = flushed.min(stored.durable);
        (state.acked_through.next().0..=flushed.0).for_each(|seq| state.ack(&stored, Seq(seq)));
        stored.records = stored.records.split_off(&flushed.next());
        Ok(())
    }

    async fn part_after(&self, _through: Seq) -> Result<(), PortError> {
        Ok(())
    }

    fn first_kept(&self) -> Seq {
        let stored = self.log.stored.lock();
        stored.records.keys().next().copied().unwrap_or(stored.durable.next())
    }
}

#[cfg(test)]
mod tests;
