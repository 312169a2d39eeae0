//! Usage windows: where they lie, when an event is late for one, and what state one is in.
//! Lateness compares two stamps that are kept in the journal and reads no clock, so replay and
//! every instance decide alike.

use serde::Serialize;

use crate::time::{MICROS_PER_HOUR, MICROS_PER_SECOND, Timestamp};

/// Length and grace of the windows of one store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowRule {
    length_us: i64,
    grace_us: i64,
}

impl Default for WindowRule {
    /// 30 seconds with a grace of 5.
    fn default() -> Self {
        Self { length_us: 30 * MICROS_PER_SECOND, grace_us: 5 * MICROS_PER_SECOND }
    }
}

impl WindowRule {
    /// Windows of `length_sec` seconds, closed `grace_sec` seconds after their end.
    ///
    /// # Errors
    /// When the length does not divide an hour, or the grace exceeds an hour.
    pub fn new(length_sec: u32, grace_sec: u32) -> Result<Self, InvalidWindow> {
        let length_us = i64::from(length_sec) * MICROS_PER_SECOND;
        let grace_us = i64::from(grace_sec) * MICROS_PER_SECOND;
        if length_us == 0 || MICROS_PER_HOUR % length_us != 0 || grace_us > MICROS_PER_HOUR {
            return Err(InvalidWindow);
        }
        Ok(Self { length_us, grace_us })
    }

    /// Length in microseconds.
    pub const fn length_us(self) -> i64 {
        self.length_us
    }

    /// Grace in microseconds.
    pub const fn grace_us(self) -> i64 {
        self.grace_us
    }

    /// Start of the window that `time` lies in.
    pub fn start_of(self, time: Timestamp) -> Timestamp {
        time.floor_to(self.length_us)
    }

    /// First instant after the window that starts at `start`.
    pub fn end_of(self, start: Timestamp) -> Timestamp {
        start.plus_micros(self.length_us)
    }

    /// Whether an event of `time`, received at `received_at`, came after its window's grace.
    pub fn is_late(self, time: Timestamp, received_at: Timestamp) -> bool {
        received_at >= self.closes_at(self.start_of(time))
    }

    /// When the window that starts at `start` closes.
    pub fn closes_at(self, start: Timestamp) -> Timestamp {
        self.end_of(start).plus_micros(self.grace_us)
    }

    /// The first start of windows that are open when every event received before `closed_through` has been
    /// applied: as [`WindowRule::state`] says it.
    pub fn open_from(self, closed_through: Timestamp) -> Timestamp {
        if closed_through == Timestamp::MAX {
            return closed_through;
        }
        closed_through.plus_micros(1 - self.length_us - self.grace_us)
    }

    /// The state of the window that starts at `start`, with `late` late events, when every event
    /// received before `closed_through` has been applied.
    pub fn state(self, start: Timestamp, late: u64, closed_through: Timestamp) -> WindowState {
        // Records are applied in the order of durability, so a late event may come before one that was
        // in time: until the window closes, its numbers may still change without a revision (I10).
        if self.closes_at(start) > closed_through {
            WindowState::Open
        } else if late > 0 {
            WindowState::Revised
        } else {
            WindowState::Closed
        }
    }
}

/// The revision of a window with `late` late events: 1, and one more for each.
pub const fn revision(late: u64) -> u64 {
    late.saturating_add(1)
}

/// Where a window stands in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum WindowState {
    /// Events may still arrive in time.
    Open,
    /// Every event received in time has been applied.
    Closed,
    /// Late events have made a higher revision.
    Revised,
}

impl WindowState {
    /// Reads a state's name.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "open" => Some(Self::Open),
            "closed" => Some(Self::Closed),
            "revised" => Some(Self::Revised),
            _ => None,
        }
    }
}

/// The length or grace is impossible.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a window's length must divide an hour (1 to 3600 s) and its grace be at most 3600 s")]
pub struct InvalidWindow;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * MICROS_PER_SECOND)
    }

    #[test]
    fn an_event_is_late_from_the_end_of_grace_on() {
        let rule = WindowRule::default();
        assert!(!rule.is_late(at(59), at(64)));
        assert!(!rule.is_late(at(59), Timestamp::from_micros(64_999_999)));
        assert!(rule.is_late(at(59), at(65)));
        assert!(rule.is_late(at(30), at(65)));
    }

    #[test]
    fn a_window_opens_closes_and_is_revised() {
        let rule = WindowRule::default();
        assert_eq!(rule.state(at(30), 0, at(64)), WindowState::Open);
        assert_eq!(rule.state(at(30), 0, at(65)), WindowState::Closed);
        assert_eq!(rule.state(at(30), 2, at(65)), WindowState::Revised);
        assert_eq!(rule.state(at(30), 2, at(64)), WindowState::Open, "I10: what was in time may still come");
        assert_eq!(revision(2), 3);
    }

    #[test]
    fn windows_are_open_from_one_start_on() {
        let rule = WindowRule::default();
        let (first, last) = (Timestamp::MIN, Timestamp::MAX.floor_to(rule.length_us()));
        for closed in [Timestamp::MIN, first.plus_micros(34_999_999), at(64), at(65), at(66), Timestamp::MAX] {
            for start in [first, first.plus_micros(rule.length_us()), at(0), at(30), at(60), last] {
                let is_open = rule.state(start, 0, closed) == WindowState::Open;
                assert_eq!(start >= rule.open_from(closed), is_open, "{start:?} {closed:?}");
            }
        }
    }

    #[test]
    fn lengths_divide_an_hour() {
        assert!(WindowRule::new(60, 0).is_ok());
        for length in [0, 7, 7_200] {
            assert_eq!(WindowRule::new(length, 5), Err(InvalidWindow), "{length}");
        }
    }
}
