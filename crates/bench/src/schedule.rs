//! When each request of a run is due, decided before the run begins. In an open loop a request
//! that starts late because the server stalled is still measured from the instant it was due, so a
//! stall shows up in as many samples as it delayed requests (no coordinated omission). Pure: reads
//! no clock, sends nothing.

use std::time::Duration;

const NANOS_PER_SECOND: u128 = 1_000_000_000;

/// A constant rate of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pace {
    events_per_second: u64,
    events_per_request: u64,
}

impl Pace {
    /// `events_per_second` in requests of `events_per_request`; zero counts as one.
    pub(super) fn new(events_per_second: u64, events_per_request: u64) -> Self {
        Self { events_per_second: events_per_second.max(1), events_per_request: events_per_request.max(1) }
    }

    /// When request `number` (from 0) is due, since the start of the run.
    pub(super) fn due(self, number: u64) -> Duration {
        let events = u128::from(number) * u128::from(self.events_per_request);
        let nanos = (events * NANOS_PER_SECOND).div_ceil(u128::from(self.events_per_second));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// How many requests are due once `elapsed` has passed.
    pub(super) fn released(self, elapsed: Duration) -> u64 {
        let events = elapsed.as_nanos() * u128::from(self.events_per_second) / NANOS_PER_SECOND;
        let before = events / u128::from(self.events_per_request);
        u64::try_from(before).unwrap_or(u64::MAX - 1) + 1
    }

    /// How many requests are due before `end`.
    pub(super) fn requests_before(self, end: Duration) -> u64 {
        end.checked_sub(Duration::from_nanos(1)).map_or(0, |last| self.released(last))
    }
}

/// When a run ends, and how its requests are spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Schedule {
    /// Events in one request.
    pub(super) batch: u64,
    /// The run ends after this many events.
    pub(super) events_max: Option<u64>,
    /// The run ends after this long.
    pub(super) duration_max: Option<Duration>,
    /// The rate of an open loop; in a closed loop each connection sends when its last request is
    /// answered.
    pub(super) pace: Option<Pace>,
}

impl Schedule {
    /// How many events request `number` (from 0) carries; 0 when the run has no such request.
    pub(super) fn events_of(&self, number: u64) -> u64 {
        let first = number.saturating_mul(self.batch);
        let by_events = self.events_max.map_or(self.batch, |max| max.saturating_sub(first).min(self.batch));
        match self.requests_max() {
            Some(max) if number >= max => 0,
            _ => by_events,
        }
    }

    /// How many requests an open loop sends; `None` for a closed loop or without an end.
    fn requests_max(&self) -> Option<u64> {
        let pace = self.pace?;
        self.duration_max.map(|duration| pace.requests_before(duration))
    }

    /// Whether a closed loop stops sending once `elapsed` has passed.
    pub(super) fn is_over(&self, elapsed: Duration) -> bool {
        self.pace.is_none() && self.duration_max.is_some_and(|max| elapsed >= max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_request_is_released_exactly_when_it_is_due(
            rate in 1_u64..1_000_000, batch in 1_u64..1_000, number in 0_u64..1_000_000
        ) {
            let pace = Pace::new(rate, batch);
            let due = pace.due(number);
            prop_assert!(pace.released(due) > number);
            if let Some(before) = due.checked_sub(Duration::from_nanos(1)) {
                prop_assert!(pace.released(before) <= number);
            }
        }

        #[test]
        fn requests_carry_exactly_the_events_asked_for(events in 0_u64..5_000, batch in 1_u64..300) {
            let schedule = Schedule { batch, events_max: Some(events), duration_max: None, pace: None };
            let total: u64 = (0..=events).map(|number| schedule.events_of(number)).sum();
            prop_assert_eq!(total, events);
        }
    }

    #[test]
    fn an_open_loop_sends_rate_times_duration() {
        let pace = Some(Pace::new(10_000, 10));
        let schedule = Schedule { batch: 10, events_max: None, duration_max: Some(Duration::from_secs(20)), pace };
        let total: u64 = (0..30_000).map(|number| schedule.events_of(number)).sum();
        assert_eq!(total, 200_000);
    }

    /// One connection, 1,000 requests/s, 1 ms each, and one stall of a second: a closed loop would
    /// see a single slow request; measured from when they were due, about a thousand are slow.
    #[test]
    fn a_stall_is_seen_by_every_request_it_delays() {
        let pace = Pace::new(1_000, 1);
        let mut free_at = Duration::ZERO;
        let mut slow = 0;
        for number in 0..3_000 {
            let service = Duration::from_micros(if number == 1_000 { 1_000_000 } else { 500 });
            let started = free_at.max(pace.due(number));
            free_at = started + service;
            slow += u32::from(free_at - pace.due(number) > Duration::from_millis(100));
        }
        assert!((1_500..=2_000).contains(&slow), "{slow} slow requests");
    }
}
