//! A process: the subject, and what the pipeline runs beside it. The receive times, the steps of the
//! worker and the closings are the product's own.

use std::collections::VecDeque;
use std::sync::Arc;

use domain::limits::Limits;
use domain::position::Seq;
use domain::time::Timestamp;
use domain::window::WindowRule;
use pipeline::applying::Applier;
use pipeline::closing::Closing;
use pipeline::inflight::InFlight;
use ports::journal::Delivery;

use crate::subject::Subject;

/// From one start to the end that follows.
#[derive(Debug)]
pub(crate) struct Process<S> {
    pub(crate) subject: S,
    pub(crate) in_flight: Arc<InFlight>,
    /// Delivered by the journal, not yet given to the applier, so that an action can apply a few.
    pub(crate) inbox: VecDeque<Delivery>,
    pub(crate) applier: Applier,
    pub(crate) closing: Closing,
    /// The last record that was durable at the start: readers are served from there on.
    replay_until: Seq,
}

impl<S: Subject> Process<S> {
    pub(crate) fn begin(subject: S) -> Self {
        let in_flight = InFlight::new(subject.ledger().closed_through(), Limits::default().clock_drift_us_max);
        let replay_until = subject.journal().last_durable();
        let closing = Closing::new(WindowRule::default());
        Self { subject, in_flight, inbox: VecDeque::new(), applier: Applier::default(), closing, replay_until }
    }

    /// Whether the ledger shows everything that it showed before the start.
    pub(crate) fn is_ready(&self) -> bool {
        self.subject.ledger().applied() >= self.replay_until
    }

    /// Whether the worker has applied all that is durable.
    pub(crate) fn is_idle(&self) -> bool {
        self.subject.ledger().applied() >= self.subject.journal().last_durable()
    }

    /// Draws a watermark, unless one is waiting to take effect.
    pub(crate) fn plan_closing(&mut self, now: Timestamp) {
        let Self { subject, in_flight, closing, .. } = self;
        closing.plan(now, in_flight, subject.ledger().closed_through(), || subject.journal().last_durable());
    }

    /// Gives the applier up to `records` of what was delivered, if it holds nothing.
    pub(crate) fn take_up(&mut self, records: usize) {
        if self.applier.is_empty() {
            let count = records.min(self.inbox.len());
            self.applier.hold(self.inbox.drain(..count).collect());
        }
    }
}
