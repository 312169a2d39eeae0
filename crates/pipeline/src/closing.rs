//! When windows close. A pure machine: it takes the time and positions as arguments and returns up to when
//! the ledger may close. The closer runs it, and so does the simulation.
//!
//! Why what it says is true, for the watermark `low` of one round:
//! 1. when [`InFlight::draw`] returns `low`, it is known of every request late from before `low` whether
//!    its record is durable, and no request is late from before `low` any more;
//! 2. so every record late from before `low` that will ever be read back has a number of at most
//!    `target`, the last durable record, which is read after `low`;
//! 3. when everything up to `target` is visible, so are all events that were in time for a window that closes
//!    by `low`.
//!
//! A later record may still belong to a window that ended by then; it is late for it by
//! the rule of `domain::window`, which looks at the record's stamps alone, and makes a revision (I10).

use domain::position::Seq;
use domain::time::Timestamp;
use domain::window::WindowRule;
use ports::ErrorKind;

use crate::failure::needs_restart;
use crate::inflight::InFlight;

/// Closings, one after the other.
#[derive(Debug)]
pub struct Closing {
    rule: WindowRule,
    planned: Option<Planned>,
}

/// Windows close through `low` once `target` is visible.
#[derive(Debug, Clone, Copy)]
struct Planned {
    low: Timestamp,
    target: Seq,
}

/// How closing goes on after one closing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterClosing {
    /// With the next round.
    NextRound,
    /// Not at all before the process has started again.
    Restart,
}

impl Closing {
    /// Nothing is planned; windows close by `rule`.
    pub const fn new(rule: WindowRule) -> Self {
        Self { rule, planned: None }
    }

    /// One round: draws a watermark at `now`, if windows are closed through `closed` and one more closes
    /// by it. What is planned already stays. `last_durable` is read after the watermark was drawn.
    pub fn plan(
        &mut self,
        now: Timestamp,
        in_flight: &InFlight,
        closed: Timestamp,
        last_durable: impl FnOnce() -> Seq,
    ) {
        if self.planned.is_some() {
            return;
        }
        let rule = self.rule;
        let low = in_flight.draw(now, |low| is_due(rule, closed, low));
        self.planned = low.map(|low| Planned { low, target: last_durable() });
    }

    /// The record that has to be visible before the planned closing.
    pub fn target(&self) -> Option<Seq> {
        self.planned.map(|planned| planned.target)
    }

    /// Up to when the ledger closes windows now, as everything up to `applied` is visible.
    pub fn due(&self, applied: Seq) -> Option<Timestamp> {
        self.planned.filter(|planned| planned.target <= applied).map(|planned| planned.low)
    }

    /// The ledger has closed what was due, or has failed with `failure`: the next round draws anew.
    pub fn ended(&mut self, failure: Option<ErrorKind>) -> AfterClosing {
        self.planned = None;
        if failure.is_some_and(needs_restart) { AfterClosing::Restart } else { AfterClosing::NextRound }
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

    #[test]
    fn i10_a_closing_waits_for_what_was_durable_when_its_watermark_was_drawn() {
        let at = |seconds: i64| Timestamp::from_micros(seconds * MICROS_PER_SECOND);
        let in_flight = InFlight::new(at(0), 60 * MICROS_PER_SECOND);
        let mut closing = Closing::new(WindowRule::default());
        closing.plan(at(1), &in_flight, at(0), || Seq(3));
        assert_eq!(closing.target(), None, "no window closes yet");
        closing.plan(at(100), &in_flight, at(0), || Seq(3));
        closing.plan(at(200), &in_flight, at(0), || Seq(9));
        assert_eq!((closing.due(Seq(2)), closing.due(Seq(3))), (None, Some(at(100))), "what is planned stays");
        assert_eq!(closing.ended(Some(ErrorKind::Unavailable)), AfterClosing::NextRound);
        assert_eq!(closing.due(Seq(3)), None);
        closing.plan(at(200), &in_flight, at(0), || Seq(9));
        assert_eq!(closing.due(Seq(9)), Some(at(200)), "a failed closing is made up for by the next round");
        assert_eq!(closing.ended(Some(ErrorKind::Poisoned)), AfterClosing::Restart);
    }
}
