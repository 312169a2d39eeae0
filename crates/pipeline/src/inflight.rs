//! Receive times, and up to when all of them are settled. A request takes a [`Stamp`] before its
//! events are checked and lets go of it when the journal has answered. Does no IO; the time is an
//! argument.
//!
//! A stamp is the time of receipt and the closing watermark of that moment. An event is late from the later
//! of both on, so that is what a stamp stands for here. Invariants, which `closing` builds on:
//! - the watermark never goes back, unless it was drawn by a clock that has been corrected since;
//! - after [`InFlight::draw`] has returned `low`, every request late from before `low` is settled, and no
//!   later one is ever late from before `low`, whatever the clock does.
//!
//! The second holds because both the watermark and the stamps are drawn under one lock, and every stamp
//! carries the watermark. So a record's own two stamps decide alike whenever it is applied, and it does not
//! matter in which order the journal takes records that were stamped on both sides of a closing.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::record::ReceiptTimes;
use domain::time::Timestamp;
use domain::trusted_time::is_of_corrected_clock;
use parking_lot::Mutex;
use ports::ErrorKind;

/// The requests whose outcome in the journal is not known yet, by what their events are late from.
#[derive(Debug)]
pub struct InFlight {
    drift_us_max: i64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Up to when windows may be closed.
    watermark: Timestamp,
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
    /// An empty registry: windows are closed up to `watermark`, by a clock that is believed within
    /// `drift_us_max`.
    pub fn new(watermark: Timestamp, drift_us_max: i64) -> Arc<Self> {
        let state = Mutex::new(State { watermark, outstanding: BTreeMap::new(), unknown: None });
        Arc::new(Self { drift_us_max, state })
    }

    /// Stamps a request that arrives at `now`.
    pub fn enter(self: &Arc<Self>, now: Timestamp) -> Stamp {
        let mut state = self.state.lock();
        self.cap(&mut state, now);
        let times = ReceiptTimes { received_at: now, watermark: state.watermark };
        *state.outstanding.entry(times.late_from()).or_default() += 1;
        drop(state);
        Stamp { times, registry: Arc::clone(self), in_flight: true }
    }

    /// Up to when every request is settled, as of `now`, if `closes` says that a window closes by then: it
    /// becomes the watermark.
    pub fn draw(&self, now: Timestamp, closes: impl FnOnce(Timestamp) -> bool) -> Option<Timestamp> {
        let mut state = self.state.lock();
        self.cap(&mut state, now);
        let idle = now.max(state.watermark);
        let low = state.outstanding.first_key_value().map_or(idle, |(first, _)| idle.min(*first));
        if !closes(low) {
            return None;
        }
        state.watermark = state.watermark.max(low);
        Some(low)
    }

    /// When windows closed through `closed` by a clock that has been corrected since: up to when they stay
    /// closed, as of `now`.
    pub fn reopens(&self, closed: Timestamp, now: Timestamp) -> Option<Timestamp> {
        is_of_corrected_clock(closed, now, self.drift_us_max).then_some(now)
    }

    fn cap(&self, state: &mut State, now: Timestamp) {
        if is_of_corrected_clock(state.watermark, now, self.drift_us_max) {
            state.watermark = now;
        }
    }
}

/// When a request was received; it counts as in flight until this is dropped.
#[derive(Debug)]
pub struct Stamp {
    times: ReceiptTimes,
    registry: Arc<InFlight>,
    /// Whether dropping this settles the request.
    in_flight: bool,
}

impl Stamp {
    /// The receive time.
    pub fn received_at(&self) -> Timestamp {
        self.times.received_at
    }

    /// Both stamps of admission.
    pub fn times(&self) -> ReceiptTimes {
        self.times
    }

    /// The request's record is handed to the journal now.
    pub fn begin_append(mut self) -> Appending {
        self.in_flight = false;
        let registry = Arc::clone(&self.registry);
        let earlier = registry.state.lock().unknown.take();
        Appending { at: self.times.late_from(), earlier, registry }
    }
}

impl Drop for Stamp {
    fn drop(&mut self) {
        if self.in_flight {
            self.registry.state.lock().settle(self.times.late_from());
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
pub(crate) fn leaves_unknown(refusal: Option<ErrorKind>) -> bool {
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
        /// Looks whether a window closes, and none does.
        Look,
        /// Sets the clock, backwards too.
        Clock(i64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => Just(Step::Enter),
            3 => (0_usize..8).prop_map(Step::Settle),
            3 => Just(Step::Watermark),
            1 => Just(Step::Look),
            2 => (-50_i64..200).prop_map(Step::Clock),
        ]
    }

    const DRIFT_US: i64 = 60 * 1_000_000;

    fn closed_to(watermark: i64) -> Arc<InFlight> {
        InFlight::new(at(watermark), DRIFT_US)
    }

    /// Closes whatever can be closed.
    fn low(registry: &InFlight, now: i64) -> Timestamp {
        registry.draw(at(now), |_| true).unwrap_or(Timestamp::MIN)
    }

    proptest! {
        /// I10: what `close_through` promises holds for every watermark ever given.
        #[test]
        fn no_request_is_ever_in_flight_before_a_watermark(steps in proptest::collection::vec(step(), 1..80)) {
            let registry = closed_to(10);
            let (mut now, mut low, mut watermark) = (at(0), at(10), at(10));
            let mut outstanding: Vec<Stamp> = Vec::new();
            for step in steps {
                match step {
                    Step::Enter => {
                        let stamp = registry.enter(now);
                        prop_assert_eq!(stamp.received_at(), now, "it is stamped with the time that it is");
                        prop_assert!(stamp.times().late_from() >= low, "late from before a watermark");
                        prop_assert!(stamp.times().watermark >= watermark, "watermarks went back");
                        watermark = stamp.times().watermark;
                        outstanding.push(stamp);
                    }
                    Step::Settle(index) if index < outstanding.len() => drop(outstanding.remove(index)),
                    Step::Settle(_) => {}
                    Step::Look => prop_assert_eq!(registry.draw(now, |_| false), None),
                    Step::Watermark => {
                        let given = registry.draw(now, |_| true);
                        let given = given.unwrap_or(Timestamp::MIN);
                        prop_assert!(given >= low, "the watermark went back");
                        prop_assert!(outstanding.iter().all(|stamp| stamp.times().late_from() >= given));
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
    fn f16_a_watermark_of_a_corrected_clock_is_capped_at_now() {
        let (hour, now) = (3_600 * 1_000_000, 1_000);
        let registry = closed_to(hour);
        assert_eq!(registry.reopens(at(hour), at(now)), Some(at(now)));
        assert_eq!(registry.reopens(at(3 * DRIFT_US), at(now)), None, "a step back within the bound");
        let stamp = registry.enter(at(now));
        assert_eq!(stamp.times(), ReceiptTimes { received_at: at(now), watermark: at(now) });
        drop(stamp);
        assert_eq!(low(&registry, now + 5), at(now + 5), "windows close again");
    }

    #[test]
    fn a_look_that_closes_nothing_makes_nothing_late() {
        let registry = closed_to(0);
        assert_eq!(registry.draw(at(500), |_| false), None);
        assert_eq!(registry.enter(at(400)).times().late_from(), at(400));
        assert_eq!(low(&registry, 500), at(500));
        assert_eq!(registry.enter(at(400)).times(), ReceiptTimes { received_at: at(400), watermark: at(500) });
    }

    #[test]
    fn the_earliest_unknown_outcome_holds_the_watermark_for_all() {
        let registry = closed_to(0);
        let appends = [20, 30].map(|now| registry.enter(at(now)).begin_append());
        let in_flight = registry.enter(at(40));
        appends.into_iter().rev().for_each(|append| append.answered(Some(ErrorKind::Unavailable)));
        assert_eq!(low(&registry, 100), at(20));
        assert_eq!(registry.state.lock().outstanding.len(), 2, "I6: one of the unknown ones and one in flight");
        in_flight.begin_append().answered(None);
        assert_eq!(low(&registry, 100), at(100), "a later append that succeeds settles them");
    }

    #[test]
    fn only_an_append_that_is_called_later_and_succeeds_settles_an_unknown_outcome() {
        let registry = closed_to(0);
        let (unknown, earlier) = (registry.enter(at(5)).begin_append(), registry.enter(at(6)).begin_append());
        unknown.answered(Some(ErrorKind::Poisoned));
        earlier.answered(None);
        assert_eq!(low(&registry, 100), at(5), "it was called before the other had failed");
        for refusal in [ErrorKind::Overloaded, ErrorKind::Unavailable, ErrorKind::Full] {
            registry.enter(at(100)).begin_append().answered(Some(refusal));
            assert_eq!(low(&registry, 200), at(5), "{refusal:?}");
        }
        registry.enter(at(300)).begin_append().answered(None);
        assert_eq!(low(&registry, 300), at(300));
    }

    #[test]
    fn an_append_without_an_answer_holds_the_watermark_for_ever() {
        let registry = closed_to(0);
        drop(registry.enter(at(5)).begin_append());
        assert_eq!(low(&registry, 100), at(5));
        let other = closed_to(0);
        other.enter(at(5)).begin_append().answered(Some(ErrorKind::Overloaded));
        assert_eq!(low(&other, 100), at(100), "a refused record is never durable");
    }
}
