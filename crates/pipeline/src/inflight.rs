//! Receive times, and up to when all of them are settled. A request takes a [`Stamp`] before its
//! events are checked and lets go of it when the journal has answered.
//!
//! Invariants, which `closer` builds on:
//! - stamps never decrease, whatever the clock does;
//! - after [`InFlight::low_watermark`] has returned `low`, every request stamped before `low` is
//!   settled, and no later one is ever stamped before `low`.
//!
//! The second holds because both the watermark and the stamps are drawn under one lock, and a
//! watermark raises the floor of all later stamps.

use std::collections::BTreeMap;
use std::mem::ManuallyDrop;
use std::sync::Arc;

use domain::time::Timestamp;
use parking_lot::Mutex;

/// The requests whose outcome in the journal is not known yet, by receive time.
#[derive(Debug)]
pub(crate) struct InFlight {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// No later stamp lies before this.
    floor: Timestamp,
    outstanding: BTreeMap<Timestamp, usize>,
}

impl InFlight {
    /// An empty registry that stamps nothing before `floor`: up to there, windows are closed.
    pub(crate) fn new(floor: Timestamp) -> Arc<Self> {
        Arc::new(Self { state: Mutex::new(State { floor, outstanding: BTreeMap::new() }) })
    }

    /// Stamps a request that arrives at `now`.
    pub(crate) fn enter(self: &Arc<Self>, now: Timestamp) -> Stamp {
        let mut state = self.state.lock();
        state.floor = state.floor.max(now);
        let at = state.floor;
        *state.outstanding.entry(at).or_default() += 1;
        drop(state);
        Stamp { at, registry: Arc::clone(self) }
    }

    /// Up to when every request is settled, as of `now`.
    pub(crate) fn low_watermark(&self, now: Timestamp) -> Timestamp {
        let mut state = self.state.lock();
        state.floor = state.floor.max(now);
        state.outstanding.first_key_value().map_or(state.floor, |(first, _)| *first)
    }
}

/// A receive time; its request counts as in flight until this is dropped.
#[derive(Debug)]
pub(crate) struct Stamp {
    at: Timestamp,
    registry: Arc<InFlight>,
}

impl Stamp {
    /// The receive time.
    pub(crate) fn received_at(&self) -> Timestamp {
        self.at
    }

    /// This stamp, but in flight for ever unless it is settled on purpose.
    pub(crate) fn until_settled(self) -> UnsettledStamp {
        UnsettledStamp(ManuallyDrop::new(self))
    }
}

impl Drop for Stamp {
    fn drop(&mut self) {
        let mut state = self.registry.state.lock();
        if let Some(count) = state.outstanding.get_mut(&self.at) {
            *count -= 1;
            if *count == 0 {
                state.outstanding.remove(&self.at);
            }
        }
    }
}

/// The stamp of a record that was handed to the journal. While nobody knows whether the record is
/// durable, no window may close past it: it could still be read back and change the window
/// without a new revision (I10). So dropping this settles nothing.
#[derive(Debug)]
pub(crate) struct UnsettledStamp(ManuallyDrop<Stamp>);

impl UnsettledStamp {
    /// It is known whether the record is durable.
    pub(crate) fn settle(self) {
        drop(ManuallyDrop::into_inner(self.0));
    }
}

/// The records whose append failed without telling whether they are durable. Their outcome is
/// settled by the next append that is called later and succeeds: whatever there is of them has a
/// lower number. Only the earliest is kept, since it holds the watermark for all.
#[derive(Debug, Default)]
pub(crate) struct Unknown {
    earliest: Mutex<Option<UnsettledStamp>>,
}

impl Unknown {
    /// Adds one.
    pub(crate) fn add(&self, stamp: UnsettledStamp) {
        let mut earliest = self.earliest.lock();
        let later = match earliest.take() {
            Some(known) if known.0.at <= stamp.0.at => {
                *earliest = Some(known);
                Some(stamp)
            }
            known => {
                *earliest = Some(stamp);
                known
            }
        };
        if let Some(later) = later {
            later.settle();
        }
    }

    /// Takes what failed before now, to settle or add it again when an append has been answered.
    pub(crate) fn take(&self) -> Option<UnsettledStamp> {
        self.earliest.lock().take()
    }
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
        let stamps = [20, 30].map(|now| registry.enter(at(now)).until_settled());
        let in_flight = registry.enter(at(40));
        let unknown = Unknown::default();
        stamps.into_iter().rev().for_each(|stamp| unknown.add(stamp));
        assert_eq!(registry.low_watermark(at(100)), at(20));
        assert_eq!(registry.state.lock().outstanding.len(), 2, "I6: one of the unknown ones and one in flight");
        if let Some(stamp) = unknown.take() {
            stamp.settle();
        }
        assert_eq!(registry.low_watermark(at(100)), at(40));
        drop(in_flight);
        assert_eq!(registry.low_watermark(at(100)), at(100));
        assert!(unknown.take().is_none());
    }

    #[test]
    fn an_unknown_outcome_holds_the_watermark_for_ever() {
        let registry = InFlight::new(at(0));
        let _ = registry.enter(at(5)).until_settled();
        assert_eq!(registry.low_watermark(at(100)), at(5));
        let other = InFlight::new(at(0));
        other.enter(at(5)).until_settled().settle();
        assert_eq!(other.low_watermark(at(100)), at(100));
    }
}
