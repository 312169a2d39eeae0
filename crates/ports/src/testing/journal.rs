//! The memory twin of the journal, and the suite that it and every adapter run. What a disk would
//! keep is in a [`MemoryLog`], so that opening it again plays a restart; appends fail on demand.

mod conformance;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use domain::admit::Admitted;
use domain::position::Seq;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::journal::{Backlog, Entry, Journal, JournalHealth};
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
    acked: Seq,
    backlog_bytes: u64,
    fault: Option<AppendFault>,
    closed: bool,
}

impl Default for MemoryJournal {
    fn default() -> Self {
        let state = State { handed_out: Seq::ZERO, acked: Seq::ZERO, backlog_bytes: 0, fault: None, closed: false };
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
        let state = State { handed_out: after, acked: after, backlog_bytes, fault: None, closed: false };
        Ok(Self { log, backlog_bytes_max, state: Mutex::new(state), changed: Notify::new() })
    }

    /// Makes every append fail from now on, or succeed again.
    pub fn fail_appends(&self, fault: Option<AppendFault>) {
        self.state.lock().fault = fault;
    }

    fn take(&self) -> Option<Vec<Entry>> {
        let mut state = self.state.lock();
        let stored = self.log.stored.lock();
        let records = stored.records.range(state.handed_out.next()..).take(NEXT_RECORDS_MAX);
        let entries: Vec<Entry> = records.map(|(seq, payload)| Entry { seq: *seq, payload: payload.clone() }).collect();
        match entries.last() {
            Some(last) => state.handed_out = last.seq,
            None if state.closed => {}
            None => return None,
        }
        Some(entries)
    }
}

#[async_trait]
impl Journal for MemoryJournal {
    async fn append(&self, admitted: &Admitted) -> Result<Seq, PortError> {
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
            None => Ok(stored.durable),
        }
    }

    async fn next(&self) -> Result<Vec<Entry>, PortError> {
        loop {
            if let Some(entries) = self.take() {
                return Ok(entries);
            }
            self.changed.notified().await;
        }
    }

    fn ack(&self, applied: Seq) {
        let mut state = self.state.lock();
        let stored = self.log.stored.lock();
        let applied = applied.min(stored.durable);
        if applied > state.acked {
            // What was trimmed has left the backlog by then.
            state.backlog_bytes -= stored.bytes(state.acked, applied).min(state.backlog_bytes);
            state.acked = applied;
        }
    }

    async fn trim(&self, flushed: Seq) -> Result<(), PortError> {
        self.ack(flushed);
        let mut stored = self.log.stored.lock();
        stored.records = stored.records.split_off(&flushed.next());
        Ok(())
    }

    fn backlog(&self) -> Backlog {
        let state = self.state.lock();
        Backlog { durable: self.log.stored.lock().durable, acked: state.acked, bytes: state.backlog_bytes }
    }

    fn health(&self) -> JournalHealth {
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

#[cfg(test)]
mod tests;
