//! The time that a jump of the machine's clock does not move. A pure machine: it is handed what the clock
//! shows and how long the machine has run, suspended time included, and says what time it is. Reads no clock
//! and logs nothing.
//!
//! Expected is the time last trusted and what has passed since. While the clock shows that within
//! [`TrustedTime::start`]'s bound, it is believed. Otherwise the expected time stands, and the time is in
//! doubt: nothing that cannot be undone is to be decided by it. The doubt ends when the clock is back, when it
//! has been off by the same for [`CLOCK_HELD_FOR`], or when an operator accepts it.
//!
//! Small steps are believed at once and become the expectation after the same time. So without a correction the
//! time never lies more than three bounds before any it was, which [`is_of_corrected_clock`] builds on.

use std::time::Duration;

use crate::limits::CLOCK_HELD_FOR;
use crate::time::Timestamp;

/// What the machine shows at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MachineTime {
    /// Its clock.
    pub wall: Timestamp,
    /// How long it has run since some fixed instant, suspended time included.
    pub uptime: Duration,
}

/// A turn in what is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClockChange {
    /// The clock is off, and is not believed from now on.
    Doubted(ClockDoubt),
    /// It is back.
    Recovered {
        /// How long it was off.
        after: Duration,
    },
    /// What it shows is believed after all.
    Corrected {
        /// The time that was trusted until now.
        from: Timestamp,
        /// The time from now on.
        to: Timestamp,
        /// Whether an operator said so; otherwise it had held for long enough.
        accepted: bool,
    },
}

/// Why the time is in doubt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockDoubt {
    /// What the clock shows.
    pub wall: Timestamp,
    /// What is trusted instead.
    pub trusted: Timestamp,
    /// For how long it has been in doubt.
    pub lasted: Duration,
    /// When it will be believed, if it goes on as it does now.
    pub corrected_in: Duration,
}

/// What an operator's word has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AcceptedClock {
    /// The time that was trusted until then.
    pub before: Timestamp,
    /// The time from then on.
    pub now: Timestamp,
    /// Whether the time was in doubt.
    pub was_in_doubt: bool,
}

/// What time it is.
#[derive(Debug)]
pub struct TrustedTime {
    drift_us_max: i64,
    trusted: Timestamp,
    /// The uptime at which `trusted` was the time.
    at: Duration,
    doubt: Option<Doubt>,
}

#[derive(Debug, Clone, Copy)]
struct Doubt {
    since: Duration,
    /// By how much the clock is off, since when.
    offset_us: i64,
    held_since: Duration,
}

impl TrustedTime {
    /// Begins with what the clock shows, which may differ by `drift_us_max` from what is expected; in doubt
    /// when it shows a time before the last one that is known to have been, `last_stamp`.
    pub fn start(machine: MachineTime, last_stamp: Option<Timestamp>, drift_us_max: i64) -> Self {
        let trusted = match last_stamp {
            Some(stamp) if offset_us(machine.wall, stamp) < -drift_us_max => stamp,
            _ => machine.wall,
        };
        Self { drift_us_max, trusted, at: machine.uptime, doubt: None }
    }

    /// The time, and what has changed with this look at the machine. Whoever is not told of the same change
    /// by another look is told by this one.
    pub fn observe(&mut self, machine: MachineTime) -> (Timestamp, Option<ClockChange>) {
        let expected = self.expected(machine.uptime);
        let offset_us = offset_us(machine.wall, expected);
        if offset_us.unsigned_abs() <= self.drift_us_max.unsigned_abs() {
            if machine.uptime.saturating_sub(self.at) >= CLOCK_HELD_FOR {
                self.believe(machine);
            }
            let recovered = |doubt: Doubt| ClockChange::Recovered { after: machine.uptime.saturating_sub(doubt.since) };
            return (machine.wall, self.doubt.take().map(recovered));
        }
        let Some(doubt) = &mut self.doubt else {
            self.doubt = Some(Doubt { since: machine.uptime, offset_us, held_since: machine.uptime });
            return (expected, self.doubt_of(machine).map(ClockChange::Doubted));
        };
        if doubt.offset_us.saturating_sub(offset_us).unsigned_abs() > self.drift_us_max.unsigned_abs() {
            (doubt.offset_us, doubt.held_since) = (offset_us, machine.uptime);
        }
        if machine.uptime.saturating_sub(doubt.held_since) < CLOCK_HELD_FOR {
            return (expected, None);
        }
        self.believe(machine);
        self.doubt = None;
        (machine.wall, Some(ClockChange::Corrected { from: expected, to: machine.wall, accepted: false }))
    }

    /// Believes what the clock shows, whatever was expected.
    pub fn accept(&mut self, machine: MachineTime) -> AcceptedClock {
        let (before, _) = self.observe(machine);
        let was_in_doubt = self.doubt.take().is_some();
        self.believe(machine);
        AcceptedClock { before, now: machine.wall, was_in_doubt }
    }

    /// Why the time is in doubt, as of the last [`TrustedTime::observe`]; `None` when it is not.
    pub fn doubt_of(&self, machine: MachineTime) -> Option<ClockDoubt> {
        let doubt = self.doubt?;
        Some(ClockDoubt {
            wall: machine.wall,
            trusted: self.expected(machine.uptime),
            lasted: machine.uptime.saturating_sub(doubt.since),
            corrected_in: CLOCK_HELD_FOR.saturating_sub(machine.uptime.saturating_sub(doubt.held_since)),
        })
    }

    fn believe(&mut self, machine: MachineTime) {
        (self.trusted, self.at) = (machine.wall, machine.uptime);
    }

    fn expected(&self, uptime: Duration) -> Timestamp {
        let passed = uptime.saturating_sub(self.at).as_micros();
        self.trusted.plus_micros(i64::try_from(passed).unwrap_or(i64::MAX))
    }
}

impl ClockDoubt {
    /// By how much the clock is ahead of what is trusted, in seconds; negative when it is behind.
    pub fn offset_sec(&self) -> i64 {
        offset_us(self.wall, self.trusted) / 1_000_000
    }
}

/// Whether `mark`, a time that was once reached, can only be of a clock that has been corrected since, as it is
/// now `now`.
pub fn is_of_corrected_clock(mark: Timestamp, now: Timestamp, drift_us_max: i64) -> bool {
    mark > now.plus_micros(drift_us_max.saturating_mul(3))
}

/// By how much `wall` is ahead of `expected`, in microseconds; both lie in years 1 to 9999.
fn offset_us(wall: Timestamp, expected: Timestamp) -> i64 {
    wall.micros() - expected.micros()
}

#[cfg(test)]
mod tests;
