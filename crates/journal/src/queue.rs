//! What the callers of the journal and its writer thread share: appends on their way to disk, durable
//! records on their way to the consumer, and where the journal stands. Does no IO.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use domain::position::{RecordId, Seq};
use parking_lot::{Condvar, Mutex, MutexGuard};
use ports::journal::{Backlog, Delivery, JournalHealth};
use ports::{ErrorKind, PortError};
use tokio::sync::{Notify, oneshot, watch};

use crate::failure::{Failure, append_error};
use crate::record::{PAYLOAD_BYTES_MAX, record_bytes};

/// Most bytes handed to the consumer at once; one record may be larger.
pub(crate) const HAND_OUT_BYTES_MAX: usize = 4 << 20;

/// A record that waits to become durable, and who waits for it.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) payload: Bytes,
    waiter: oneshot::Sender<Result<Seq, PortError>>,
}

impl Pending {
    pub(crate) fn bytes(&self) -> usize {
        record_bytes(self.payload.len())
    }
}

/// The state between callers and writer.
#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<State>,
    backlog_bytes_max: u64,
    /// Tells the writer that there is something to do.
    work: Condvar,
    /// Tells the consumer the same.
    readable: Notify,
    /// Whether the writer has ended.
    ended: watch::Sender<bool>,
}

#[derive(Debug)]
struct State {
    /// Not yet taken by the writer.
    waiting: VecDeque<Pending>,
    /// Durable, but not yet handed out.
    readable: VecDeque<Delivery>,
    /// Each durable record behind the mark `acked_through`, in order.
    unacked: VecDeque<Unacked>,
    /// How many of them are acknowledged, ahead of one that is not.
    acked_ahead: u64,
    /// Bytes of those that are not acknowledged.
    durable_bytes: u64,
    /// Bytes of the records that the writer has or will take.
    unwritten_bytes: u64,
    durable: Seq,
    acked_through: Seq,
    /// Bytes that the disk had no room for.
    refused_bytes: Option<u64>,
    /// Bytes that have to be written before the first record, because there was no room at the opening.
    put_off_bytes: Option<u64>,
    /// Who waits until they are, or until a segment is begun.
    settling: Vec<oneshot::Sender<Result<(), PortError>>>,
    /// Whether the next record begins a segment.
    parting: bool,
    poison: Option<String>,
    closed: bool,
}

/// A durable record that the mark has not passed.
#[derive(Debug, Clone, Copy)]
struct Unacked {
    bytes: u32,
    acked: bool,
}

impl Unacked {
    fn new(bytes: usize) -> Self {
        Self { bytes: u32::try_from(bytes).unwrap_or(u32::MAX), acked: false }
    }
}

impl State {
    /// Takes one record out of the backlog, if it is in it, and moves the mark over all that follow it.
    fn ack(&mut self, seq: Seq) {
        let Some(ahead) = seq.0.checked_sub(self.acked_through.0 + 1) else { return };
        let record = usize::try_from(ahead).ok().and_then(|index| self.unacked.get_mut(index));
        let Some(record) = record.filter(|record| !record.acked) else { return };
        record.acked = true;
        self.durable_bytes -= u64::from(record.bytes);
        self.acked_ahead += 1;
        while self.unacked.front().is_some_and(|record| record.acked) {
            self.unacked.pop_front();
            self.acked_ahead -= 1;
            self.acked_through = self.acked_through.next();
        }
    }
}

impl Queue {
    /// A queue behind records that are durable already, those after `acked` with these sizes.
    pub(crate) fn new(durable: Seq, acked: Seq, sizes: VecDeque<u32>, backlog_bytes_max: usize) -> Self {
        let state = State {
            waiting: VecDeque::new(),
            readable: VecDeque::new(),
            durable_bytes: sizes.iter().map(|bytes| u64::from(*bytes)).sum(),
            unacked: sizes.into_iter().map(|bytes| Unacked { bytes, acked: false }).collect(),
            acked_ahead: 0,
            unwritten_bytes: 0,
            durable,
            acked_through: acked,
            refused_bytes: None,
            put_off_bytes: None,
            settling: Vec::new(),
            parting: false,
            poison: None,
            closed: false,
        };
        Self {
            state: Mutex::new(state),
            backlog_bytes_max: backlog_bytes_max as u64,
            work: Condvar::new(),
            readable: Notify::new(),
            ended: watch::Sender::new(false),
        }
    }

    /// The queue of a journal on a full disk: so many bytes have to be written before the first record.
    pub(crate) fn unsettled(mut self, put_off_bytes: Option<u64>) -> Self {
        let state = self.state.get_mut();
        (state.put_off_bytes, state.refused_bytes) = (put_off_bytes, put_off_bytes);
        self
    }

    /// Asks the writer for what was put off. `None` when nothing is.
    pub(crate) fn settle(&self) -> Result<Option<oneshot::Receiver<Result<(), PortError>>>, PortError> {
        let state = self.state.lock();
        if state.put_off_bytes.is_none() {
            return Ok(None);
        }
        self.ask(state).map(Some)
    }

    /// Asks the writer to begin a segment.
    pub(crate) fn part(&self) -> Result<oneshot::Receiver<Result<(), PortError>>, PortError> {
        let mut state = self.state.lock();
        state.parting = true;
        self.ask(state)
    }

    /// For the writer: whether a segment is to be begun. It is asked for until it was.
    pub(crate) fn is_parting(&self) -> bool {
        self.state.lock().parting
    }

    fn ask(&self, mut state: MutexGuard<'_, State>) -> Result<oneshot::Receiver<Result<(), PortError>>, PortError> {
        if let Some(reason) = &state.poison {
            return Err(append_error(ErrorKind::Poisoned).because(reason.clone()));
        }
        if state.closed {
            return Err(append_error(ErrorKind::Closed));
        }
        let (waiter, answer) = oneshot::channel();
        state.settling.push(waiter);
        drop(state);
        self.work.notify_one();
        Ok(answer)
    }

    /// Queues a record; the answer comes when it is durable or has failed.
    pub(crate) fn push(&self, payload: &Bytes) -> Result<oneshot::Receiver<Result<Seq, PortError>>, PortError> {
        if payload.len() > PAYLOAD_BYTES_MAX {
            return Err(append_error(ErrorKind::Unacceptable));
        }
        let (waiter, answer) = oneshot::channel();
        let mut state = self.state.lock();
        if let Some(reason) = &state.poison {
            return Err(append_error(ErrorKind::Poisoned).because(reason.clone()));
        }
        if state.closed {
            return Err(append_error(ErrorKind::Closed));
        }
        if state.durable_bytes + state.unwritten_bytes >= self.backlog_bytes_max {
            return Err(append_error(ErrorKind::Overloaded));
        }
        let pending = Pending { payload: payload.clone(), waiter };
        state.unwritten_bytes += pending.bytes() as u64;
        state.waiting.push_back(pending);
        drop(state);
        self.work.notify_one();
        Ok(answer)
    }

    /// For the writer: waits for appends and takes as many as fit into `bytes_max`, at least one; none when only
    /// what was put off is asked for. `None` when the journal is closed and nothing waits.
    pub(crate) fn take_group(&self, bytes_max: usize) -> Option<Vec<Pending>> {
        let mut state = self.state.lock();
        let is_idle = |state: &mut State| state.waiting.is_empty() && state.settling.is_empty() && !state.closed;
        self.work.wait_while(&mut state, is_idle);
        let mut bytes = 0;
        let fits = state.waiting.iter().take_while(|pending| {
            bytes += pending.bytes();
            bytes <= bytes_max
        });
        let count = fits.count().max(1).min(state.waiting.len());
        (count > 0 || !state.settling.is_empty()).then(|| state.waiting.drain(..count).collect())
    }

    /// For the writer: the group is durable.
    pub(crate) fn publish(&self, group: Vec<Pending>) {
        let mut state = self.state.lock();
        let mut answers = Vec::with_capacity(group.len());
        for pending in group {
            let bytes = pending.bytes();
            state.durable = state.durable.next();
            state.unwritten_bytes -= bytes as u64;
            state.durable_bytes += bytes as u64;
            state.unacked.push_back(Unacked::new(bytes));
            let seq = state.durable;
            state.readable.push_back(Delivery { id: seq.into(), payload: pending.payload });
            answers.push((pending.waiter, seq));
        }
        (state.refused_bytes, state.put_off_bytes, state.parting) = (None, None, false);
        let settled = std::mem::take(&mut state.settling);
        drop(state);
        self.readable.notify_one();
        for waiter in settled {
            let _ = waiter.send(Ok(()));
        }
        for (waiter, seq) in answers {
            // Fails when the caller has gone: the record is durable all the same.
            let _ = waiter.send(Ok(seq));
        }
    }

    /// For the writer: the group has failed; after a poisoning failure so has all that waits.
    pub(crate) fn fail(&self, mut group: Vec<Pending>, failure: &Failure) {
        let mut state = self.state.lock();
        let bytes: u64 = group.iter().map(|pending| pending.bytes() as u64).sum();
        match failure {
            Failure::Refused(ErrorKind::Full, why) => {
                if state.refused_bytes.is_none() {
                    tracing::warn!(reason = %why, "the journal's disk is full");
                }
                state.refused_bytes = Some(bytes + state.put_off_bytes.unwrap_or(0));
            }
            Failure::Refused(..) => {}
            Failure::Poisoned(reason) => {
                tracing::error!(reason, "the journal is poisoned: nothing more will be written to it");
                state.poison = Some(reason.clone());
                group.extend(std::mem::take(&mut state.waiting));
            }
        }
        state.unwritten_bytes -= group.iter().map(|pending| pending.bytes() as u64).sum::<u64>();
        let unsettled = std::mem::take(&mut state.settling);
        drop(state);
        for waiter in unsettled {
            let _ = waiter.send(Err(failure.answer()));
        }
        for pending in group {
            let _ = pending.waiter.send(Err(failure.answer()));
        }
    }

    /// For the writer: it will do nothing more.
    pub(crate) fn end(&self) {
        self.ended.send_replace(true);
        self.readable.notify_one();
    }

    /// For the consumer: durable records, empty when none will come, `None` when none is there yet.
    pub(crate) fn take_readable(&self) -> Option<Vec<Delivery>> {
        let mut state = self.state.lock();
        let mut bytes = 0;
        let fits = state.readable.iter().take_while(|delivery| {
            bytes += delivery.payload.len();
            bytes <= HAND_OUT_BYTES_MAX
        });
        let count = fits.count().max(1).min(state.readable.len());
        let ended = state.closed && *self.ended.borrow();
        (count > 0 || ended).then(|| state.readable.drain(..count).collect())
    }

    /// For the consumer: returns when [`Queue::take_readable`] is worth another try.
    pub(crate) async fn readable(&self) {
        self.readable.notified().await;
    }

    /// These records leave the backlog.
    pub(crate) fn ack(&self, ids: &[RecordId]) {
        let mut state = self.state.lock();
        ids.iter().for_each(|id| state.ack(Seq::of_record(*id)));
    }

    pub(crate) fn backlog(&self) -> Backlog {
        let state = self.state.lock();
        Backlog { records: state.unacked.len() as u64 - state.acked_ahead, bytes: state.durable_bytes }
    }

    pub(crate) fn last_durable(&self) -> Seq {
        self.state.lock().durable
    }

    pub(crate) fn acked_through(&self) -> Seq {
        self.state.lock().acked_through
    }

    /// The health; `Full` with the bytes that there was no room for.
    pub(crate) fn health(&self) -> (JournalHealth, u64) {
        let state = self.state.lock();
        let health = match (&state.poison, state.closed, state.refused_bytes) {
            (Some(reason), ..) => JournalHealth::Poisoned(reason.clone()),
            (None, true, _) => JournalHealth::Closed,
            (None, false, Some(_)) => JournalHealth::Full,
            (None, false, None) => JournalHealth::Ready,
        };
        (health, state.refused_bytes.unwrap_or(0))
    }

    /// Refuses further appends; the writer ends after those that wait.
    pub(crate) fn close(&self) {
        self.state.lock().closed = true;
        self.work.notify_one();
    }

    /// Returns when the writer has ended.
    pub(crate) async fn ended(&self) {
        // Fails only when the sender is gone, which `self` holds.
        let _ = self.ended.subscribe().wait_for(|ended| *ended).await;
        self.readable.notify_one();
    }
}

/// Ends the queue with its writer, whatever ends the writer.
#[derive(Debug)]
pub(crate) struct EndGuard(pub(crate) Arc<Queue>);

impl Drop for EndGuard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail(Vec::new(), &Failure::Poisoned("the writer has crashed".to_owned()));
        }
        self.0.end();
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail loudly")]

    use super::*;

    /// I8: a waiter whose writer is gone is never told that its record is durable.
    #[tokio::test]
    async fn a_crashed_writer_poisons_and_answers_all_who_wait() {
        let queue = Arc::new(Queue::new(Seq::ZERO, Seq::ZERO, VecDeque::new(), 1_000));
        let taken = queue.push(&Bytes::from_static(b"taken")).unwrap();
        let end = EndGuard(Arc::clone(&queue));
        let writer = std::thread::spawn(move || {
            let group = end.0.take_group(1);
            panic!("with {} records in hand", group.unwrap().len());
        });
        writer.join().unwrap_err();
        taken.await.unwrap_err();
        assert!(matches!(queue.health(), (JournalHealth::Poisoned(_), _)));
        assert_eq!(queue.push(&Bytes::new()).unwrap_err().kind(), ErrorKind::Poisoned);
        queue.close();
        queue.ended().await;
        assert!(queue.take_readable().is_some_and(|entries| entries.is_empty()));
    }

    #[tokio::test]
    async fn a_record_beyond_the_format_is_unacceptable() {
        let queue = Queue::new(Seq::ZERO, Seq::ZERO, VecDeque::new(), usize::MAX);
        let payload = Bytes::from(vec![0; PAYLOAD_BYTES_MAX + 1]);
        assert_eq!(queue.push(&payload).unwrap_err().kind(), ErrorKind::Unacceptable);
    }
}
