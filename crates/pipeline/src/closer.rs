//! Closes windows: about once a second it tells the ledger up to when every event received has
//! been applied.
//!
//! Why that is true, for the watermark `low` of one round:
//! 1. when [`InFlight::low_watermark`] returns `low`, it is known of every request stamped before
//!    `low` whether its record is durable, and no request is stamped before `low` any more;
//! 2. so every record received before `low` that will ever be read back has a number of at most
//!    `target`, the last durable record, which is read after `low`;
//! 3. when everything up to `target` is visible, so are all events received before `low`.
//!
//! A record received later may still belong to a window that ended by then; it is late for it by
//! the rule of `domain::window`, which looks at the receive time alone, and makes a revision (I10).

use std::sync::Arc;
use std::time::Duration;

use domain::time::Timestamp;
use domain::window::WindowRule;
use ports::ErrorKind;
use ports::clock::Clock;
use ports::journal::Journal;
use ports::ledger::Ledger;

use crate::failure::Failure;
use crate::failure::chain;
use crate::inflight::InFlight;
use crate::receipts::Receipts;
use crate::stop::StopSignal;

/// Time between two looks at the clock.
const ROUND: Duration = Duration::from_secs(1);

/// What closing windows needs.
#[derive(Debug)]
pub(crate) struct Closer {
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) ledger: Arc<dyn Ledger>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) in_flight: Arc<InFlight>,
    pub(crate) receipts: Arc<Receipts>,
    pub(crate) rule: WindowRule,
    pub(crate) failure: Failure,
}

impl Closer {
    /// Closes windows until it is told to end.
    pub(crate) async fn run(self, mut stop: StopSignal) {
        loop {
            let low = tokio::select! {
                biased;
                () = stop.ended() => return,
                low = self.next() => low,
            };
            if let Err(error) = self.ledger.close_through(low).await {
                if matches!(error.kind(), ErrorKind::Poisoned | ErrorKind::Corrupt | ErrorKind::Conflict) {
                    self.failure.report(format!("windows cannot be closed any more: {}", chain(&error)));
                    return;
                }
                tracing::warn!(error = chain(&error), "windows were not closed; trying again");
            }
        }
    }

    /// Up to when windows can be closed, as soon as that closes any.
    async fn next(&self) -> Timestamp {
        loop {
            self.clock.sleep(ROUND).await;
            if let Some(kind) = self.ledger.failure() {
                self.failure.report(format!("the ledger cannot make anything durable any more: {kind:?}"));
                std::future::pending::<()>().await;
            }
            let low = self.in_flight.low_watermark(self.clock.now());
            if is_due(self.rule, self.ledger.closed_through(), low) {
                let target = self.journal.backlog().durable;
                self.receipts.wait_for(target).await;
                return low;
            }
        }
    }
}

/// Whether a window closes after `closed` and at or before `low`.
fn is_due(rule: WindowRule, closed: Timestamp, low: Timestamp) -> bool {
    let latest_end = rule.start_of(low.plus_micros(-rule.grace_us()));
    latest_end.plus_micros(rule.grace_us()) > closed
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::time::MICROS_PER_SECOND;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_closing_is_due_exactly_when_some_window_closes_in_between(
            length in proptest::sample::select(vec![1_u32, 30, 60, 3_600]),
            grace in 0_u32..200,
            closed in 0_i64..20_000,
            ahead in 0_i64..8_000,
        ) {
            let rule = WindowRule::new(length, grace).unwrap_or_default();
            let at = |seconds: i64| Timestamp::from_micros(seconds * MICROS_PER_SECOND);
            let (closed, low) = (at(closed), at(closed + ahead));
            let first = rule.start_of(closed.plus_micros(-8_000 * MICROS_PER_SECOND));
            let between = (0..)
                .map(|n| rule.closes_at(first.plus_micros(n * rule.length_us())))
                .take_while(|closes| *closes <= low)
                .any(|closes| closes > closed);
            prop_assert_eq!(is_due(rule, closed, low), between);
        }
    }
}
