//! The part of a process that is not under test: how a request is stamped, what the worker has in hand,
//! and which closing is due. Does as the pipeline does, step by step.

use std::collections::VecDeque;

use domain::position::Seq;
use domain::time::Timestamp;
use ports::ErrorKind;
use ports::journal::Entry;

use crate::subject::Subject;

/// From one start to the end that follows.
#[derive(Debug)]
pub(crate) struct Process<S> {
    pub(crate) subject: S,
    pub(crate) in_flight: InFlight,
    /// Handed out by the journal, not yet applied.
    pub(crate) inbox: VecDeque<Entry>,
    pub(crate) closing: Option<Closing>,
    /// The last record that was durable at the start: readers are served from there on.
    replay_until: Seq,
}

/// Windows close through `low` once `target` is applied.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Closing {
    pub(crate) low: Timestamp,
    pub(crate) target: Seq,
}

impl<S: Subject> Process<S> {
    pub(crate) fn begin(subject: S) -> Self {
        let in_flight = InFlight { floor: subject.ledger().closed_through(), unsettled: Vec::new() };
        let replay_until = subject.journal().backlog().durable;
        Self { subject, in_flight, inbox: VecDeque::new(), closing: None, replay_until }
    }

    /// Whether the ledger shows everything that it showed before the start.
    pub(crate) fn is_ready(&self) -> bool {
        self.subject.ledger().applied() >= self.replay_until
    }

    /// Whether the worker has applied all that is durable.
    pub(crate) fn is_idle(&self) -> bool {
        self.subject.ledger().applied() >= self.subject.journal().backlog().durable
    }

    /// Draws a watermark, unless one is waiting to take effect.
    pub(crate) fn plan_closing(&mut self, now: Timestamp) {
        if self.closing.is_none() {
            let low = self.in_flight.low_watermark(now);
            self.closing = Some(Closing { low, target: self.subject.journal().backlog().durable });
        }
    }

    /// The closing that may take effect now.
    pub(crate) fn due_closing(&self) -> Option<Timestamp> {
        self.closing.filter(|closing| closing.target <= self.subject.ledger().applied()).map(|closing| closing.low)
    }
}

/// Receive times: they never go back, and none is settled while the record's outcome is unknown.
#[derive(Debug)]
pub(crate) struct InFlight {
    floor: Timestamp,
    unsettled: Vec<Timestamp>,
}

impl InFlight {
    /// Stamps a request.
    pub(crate) fn enter(&mut self, now: Timestamp) -> Timestamp {
        self.floor = self.floor.max(now);
        self.unsettled.push(self.floor);
        self.floor
    }

    /// The journal has answered the request stamped `at`: `refusal` is why not, if so.
    pub(crate) fn answered(&mut self, at: Timestamp, refusal: Option<ErrorKind>) {
        let unknown = matches!(refusal, Some(ErrorKind::Unavailable | ErrorKind::Poisoned | ErrorKind::Corrupt));
        if let Some(index) = self.unsettled.iter().position(|stamp| *stamp == at).filter(|_| !unknown) {
            self.unsettled.swap_remove(index);
        }
    }

    fn low_watermark(&mut self, now: Timestamp) -> Timestamp {
        self.floor = self.floor.max(now);
        self.unsettled.iter().copied().min().unwrap_or(self.floor)
    }
}
