//! Receive times, and up to when all of them are settled. A request takes a [`Stamp`] before its
//! events are checked and lets go of it when the journal has answered. Does no IO; the time is an
//! argument.
//!
//! Invariants, which `closing` builds on:
//! - stamps never decrease, whatever the clock does;
//! - after [`InFlight::low_watermark`] has returned `low`, every request stamped before `low` is
//!   settled, and no later one is ever stamped before `low`.
//!
//! The second holds because both the watermark and the stamps are drawn under one lock, and a
//! watermark raises the floor of all later stamps.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::record::ReceiptTimes;
use domain::time::Timestamp;
use parking_lot::Mutex;
use ports::ErrorKind;

/// The requests whose outcome in the journal is not known yet, by receive time.
#[derive(Debug)]
pub struct InFlight {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// No later stamp lies before this.
    floor: Timestamp,
    outstanding: BTreeMap<Timestamp, usize>,
    /// The earliest stamp of a record whose append failed without telling whether it is durable. It
    /// is outstanding, and holds the watermark for all such records: only the earliest is kept.
    unknown: Option<Timestamp>,
}

impl State {
    fn settle(&mut self, at: Timestamp) {
        if let Some(count) = self.outstanding.get_mut(&at) {
            *count -= 1;
            if *count == 0 {
                self.outstanding.remove(&at);
            }
        }
    }

    fn leave_unknown(&mut self, at: Timestamp) {
        match self.unknown.replace(at) {
            None => {}
            Some(earlier) if earlier <= at => {
                self.unknown = Some(earlier);
                self.settle(at);
            }
            Some(later) => self.settle(later),
        }
    }
}

impl InFlight {
    /// An empty registry that stamps nothing before `floor`: up to there, windows are closed.
    pub fn new(floor: Timestamp) -> Arc<Self> {
        Arc::new(Self { state: Mutex::new(State { floor, outstanding: BTreeMap::new(), unknown: None }) })
    }

    /// Stamps a request that arrives at `now`.
    pub fn enter(self: &Arc<Self>, now: Timestamp) -> Stamp {
        let mut state = self.state.lock();
        state.floor = state.floor.max(now);
        let at = state.floor;
        *state.outstanding.entry(at).or_default() += 1;
        drop(state);
        Stamp { at, registry: Arc::clone(self), in_flight: true }
    }

    /// Up to when every request is settled, as of `now`.
    pub fn low_watermark(&self, now: Timestamp) -> Timestamp {
        let mut state = self.state.lock();
        state.floor = state.floor.max(now);
        state.outstanding.first_key_value().map_or(state.floor, |(first, _)| *first)
    }
}

/// A receive time; its request counts as in flight until this is dropped.
#[derive(Debug)]
pub struct Stamp {
    at: Timestamp,
    registry: Arc<InFlight>,
    /// Whether dropping this settles the request.
    in_flight: bool,
}

impl Stamp {
    /// The receive time.
    pub fn received_at(&self) -> Timestamp {
        self.at
    }

    /// Both stamps of admission.
    pub fn times(&self) -> ReceiptTimes {
        ReceiptTimes { received_at: self.at, watermark: self.at }
    }

    /// The request's record is handed to the journal now.
    pub fn begin_append(mut self) -> Appending {
        self.in_flight = false;
        let registry = Arc::clone(&self.registry);
        let earlier = registry.state.lock().unknown.take();
        Appending { at: self.at, earlier, registry }
    }
}

impl Drop for Stamp {
    fn drop(&mut self) {
        if self.in_flight {
            self.registry.state.lock().settle(self.at);
        }
    }
}

/// A record that was handed to the journal. Until it is known whether the record is durable, no window
/// may close past its stamp: it could still be read back and change the window without a new revision
/// (I10). So dropping this settles nothing.
///
/// Records whose outcome stayed unknown before this append was called are settled when it succeeds:
/// whatever there is of them has a lower number (see `ports::journal::OrderedJournal`).
#[derive(Debug)]
#[must_use = "what is never answered holds the watermark for ever"]
pub struct Appending {
    at: Timestamp,
    earlier: Option<Timestamp>,
    registry: Arc<InFlight>,
}

impl Appending {
    /// The journal has answered; `refusal` is why it has not taken the record, if so.
    pub fn answered(self, refusal: Option<ErrorKind>) {
        let mut state = self.registry.state.lock();
        match self.earlier {
            Some(earlier) if refusal.is_none() => state.settle(earlier),
            Some(earlier) => state.leave_unknown(earlier),
            None => {}
        }
        if leaves_unknown(refusal) { state.leave_unknown(self.at) } else { state.settle(self.at) }
    }
}

/// Whether the record may be durable or not: after any other answer it certainly is, or never will be.
fn leaves_unknown(refusal: Option<ErrorKind>) -> bool {
    matches!(refusal, Some(ErrorKind::Unavailable | ErrorKind::Poisoned | ErrorKind::Corrupt))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(micros: i64) -> Timestamp {
        Timestamp::from_micros(micros)
    }

    #[derive(Debug, Clone)]
    enum Step {
        Enter,
        /// Settles the n-th outstanding request.
        Settle(usize),
        Watermark,
        /// Sets the clock, backwards too.
        Clock(i64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => Just(Step::Enter),
            3 => (0_usize..8).prop_map(Step::Settle),
            3 => Just(Step::Watermark),
            2 => (-50_i64..200).prop_map(Step::Clock),
        ]
    }

    proptest! {
        /// I10: what `close_through` promises holds for every watermark ever given.
        #[test]
        fn no_request_is_ever_in_flight_before_a_watermark(steps in proptest::collection::vec(step(), 1..80)) {
            let registry = InFlight::new(at(10));
            let (mut now, mut low, mut last) = (at(0), at(10), at(10));
            let mut outstanding: Vec<Stamp> = Vec::new();
            for step in steps {
                match step {
                    Step::Enter => {
                        let stamp = registry.enter(now);
                        prop_assert!(stamp.received_at() >= low, "stamped before a watermark");
                        prop_assert!(stamp.received_at() >= last, "stamps went back");
                        prop_assert!(stamp.received_at() >= now);
                        last = stamp.received_at();
                        outstanding.push(stamp);
                    }
                    Step::Settle(index) if index < outstanding.len() => drop(outstanding.remove(index)),
                    Step::Settle(_) => {}
                    Step::Watermark => {
                        let given = registry.low_watermark(now);
                        prop_assert!(given >= low, "the watermark went back");
                        prop_assert!(outstanding.iter().all(|stamp| stamp.received_at() >= given));
                        if outstanding.is_empty() {
                            prop_assert!(given >= now, "an idle registry follows the clock");
                        }
                        low = given;
                    }
                    Step::Clock(micros) => now = at(micros),
                }
            }
        }
    }

    #[test]
    fn the_earliest_unknown_outcome_holds_the_watermark_for_all() {
        let registry = InFlight::new(at(0));
        let appends = [20, 30].map(|now| registry.enter(at(now)).begin_append());
        let in_flight = registry.enter(at(40));
        appends.into_iter().rev().for_each(|append| append.answered(Some(ErrorKind::Unavailable)));
        assert_eq!(registry.low_watermark(at(100)), at(20));
        assert_eq!(registry.state.lock().outstanding.len(), 2, "I6: one of the unknown ones and one in flight");
        in_flight.begin_append().answered(None);
        assert_eq!(registry.low_watermark(at(100)), at(100), "a later append that succeeds settles them");
    }

    #[test]
    fn only_an_append_that_is_called_later_and_succeeds_settles_an_unknown_outcome() {
        let registry = InFlight::new(at(0));
        let (unknown, earlier) = (registry.enter(at(5)).begin_append(), registry.enter(at(6)).begin_append());
        unknown.answered(Some(ErrorKind::Poisoned));
        earlier.answered(None);
        assert_eq!(registry.low_watermark(at(100)), at(5), "it was called before the other had failed");
        for refusal in [ErrorKind::Overloaded, ErrorKind::Unavailable, ErrorKind::Full] {
            registry.enter(at(100)).begin_append().answered(Some(refusal));
            assert_eq!(registry.low_watermark(at(200)), at(5), "{refusal:?}");
        }
        registry.enter(at(300)).begin_append().answered(None);
        assert_eq!(registry.low_watermark(at(300)), at(300));
    }

    #[test]
    fn an_append_without_an_answer_holds_the_watermark_for_ever() {
        let registry = InFlight::new(at(0));
        drop(registry.enter(at(5)).begin_append());
        assert_eq!(registry.low_watermark(at(100)), at(5));
        let other = InFlight::new(at(0));
        other.enter(at(5)).begin_append().answered(Some(ErrorKind::Overloaded));
        assert_eq!(other.low_watermark(at(100)), at(100), "a refused record is never durable");
    }
}
