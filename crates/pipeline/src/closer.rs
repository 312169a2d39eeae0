//! Closes windows: about once a second it says to the ledger up to when every event received has been
//! applied, unless the time is in doubt. What it decides is in [`Closing`].

use std::sync::Arc;
use std::time::Duration;

use domain::window::WindowRule;
use ports::clock::Clock;
use ports::journal::OrderedJournal;
use ports::ledger::Ledger;

use crate::closing::{AfterClosing, Closing};
use crate::failure::{FatalError, error_chain};
use crate::inflight::InFlight;
use crate::receipts::Receipts;
use crate::stop::StopSignal;

/// Time between two looks at the clock.
const ROUND: Duration = Duration::from_secs(1);

/// What closing windows needs.
#[derive(Debug)]
pub(crate) struct Closer {
    pub(crate) journal: Arc<dyn OrderedJournal>,
    pub(crate) ledger: Arc<dyn Ledger>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) in_flight: Arc<InFlight>,
    pub(crate) receipts: Arc<Receipts>,
    pub(crate) rule: WindowRule,
    pub(crate) failure: FatalError,
}

impl Closer {
    /// Closes windows until the stop signal.
    pub(crate) async fn run(self, mut stop: StopSignal) {
        let mut closing = Closing::new(self.rule);
        loop {
            tokio::select! {
                biased;
                () = stop.ended() => {
                    // What a correction has begun is not left to a start that would be in doubt again.
                    self.reopen_if_corrected().await;
                    return;
                }
                () = self.plan(&mut closing) => {}
            }
            let Some(through) = closing.due(self.receipts.applied()) else { continue };
            let closed = self.ledger.close_through(through).await;
            match (closing.ended(closed.as_ref().err().map(ports::PortError::kind)), closed) {
                (_, Ok(())) => {}
                (AfterClosing::NextRound, Err(error)) => {
                    tracing::warn!(error = error_chain(&error), "windows were not closed; trying again");
                }
                (AfterClosing::Restart, Err(error)) => {
                    self.failure.report(format!("windows cannot be closed any more: {}", error_chain(&error)));
                    return;
                }
            }
        }
    }

    /// Opens the windows again that a clock of the future has closed, which would make all that comes in time
    /// a revision; whether there are any.
    async fn reopen_if_corrected(&self) -> bool {
        let (closed, now) = (self.ledger.closed_through(), self.clock.now());
        let open_from = self.in_flight.reopens(closed, now).filter(|_| self.clock.doubt().is_none());
        let Some(open_from) = open_from else { return false };
        match self.ledger.reopen_after(open_from).await {
            Ok(()) => tracing::warn!(
                %closed, %open_from,
                "windows were closed by a clock that was ahead; those that close from now on are open again"
            ),
            Err(error) => tracing::warn!(error = error_chain(&error), "windows were not opened again; trying again"),
        }
        true
    }

    /// Waits until a close is planned and its target record is visible.
    async fn plan(&self, closing: &mut Closing) {
        while closing.target().is_none() {
            self.clock.sleep(ROUND).await;
            if let Some(kind) = self.ledger.failure() {
                self.failure.report(format!("the ledger cannot make anything durable any more: {kind:?}"));
                std::future::pending::<()>().await;
            }
            let now = self.clock.now();
            if self.clock.doubt().is_some() {
                continue;
            }
            if self.reopen_if_corrected().await {
                continue;
            }
            let closed = self.ledger.closed_through();
            closing.plan(now, &self.in_flight, closed, || self.journal.last_durable());
        }
        if let Some(target) = closing.target() {
            self.receipts.wait_for(target).await;
        }
    }
}
