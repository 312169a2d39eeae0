//! When raw events may be dropped because they are old. A pure machine: it is handed how far retention
//! reaches and how much time has passed, and says what may go.
//!
//! Everything before a floor is gone. As time passes, the floor follows it from hour to hour. Whatever else moves
//! it further, a setting that is new or shorter or a clock that is ahead, waits first: for that may be a
//! mistake, and what is dropped never comes back. Waiting is counted while the server runs, on the
//! boot-time clock, and goes on over restarts.

use std::time::Duration;

use crate::time::{MICROS_PER_DAY, MICROS_PER_HOUR, Timestamp};

/// Where the floor belongs at `now`: at the start of the hour that lies `days` before it.
#[must_use]
pub fn floor_at(now: Timestamp, days: u32) -> Timestamp {
    now.plus_micros(-i64::from(days) * MICROS_PER_DAY).floor_to(MICROS_PER_HOUR)
}

/// What will be dropped after a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetentionWait {
    /// The floor that is waited for: nothing is when it is not after the one in force.
    pub floor: Timestamp,
    /// How long has been waited.
    pub waited: Duration,
}

impl RetentionWait {
    /// Nothing is waited for.
    pub const NONE: Self = Self { floor: Timestamp::MIN, waited: Duration::ZERO };
}

impl Default for RetentionWait {
    fn default() -> Self {
        Self::NONE
    }
}

/// What is known when it is decided.
#[derive(Debug, Clone, Copy)]
pub struct RetentionLook {
    /// The floor in force.
    pub floor: Timestamp,
    /// What is waited for.
    pub wait: RetentionWait,
    /// Where the floor belongs by the setting and the time.
    pub target: Timestamp,
    /// How much time has passed since the last look of this process.
    pub elapsed: Duration,
    /// How long a wait is.
    pub delay: Duration,
}

/// What comes of a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetentionStep {
    /// Nothing is to be dropped, and nothing is waited for.
    Keep,
    /// What lies before this floor goes.
    Drop(Timestamp),
    /// What lies before the floor of this wait goes later.
    Wait(RetentionWait),
}

impl RetentionLook {
    /// Whether something is waited for already.
    pub fn is_waiting(self) -> bool {
        self.wait.floor > self.floor
    }

    /// Decides.
    pub fn step(self) -> RetentionStep {
        let Self { floor, wait, target, elapsed, delay } = self;
        if target <= floor {
            return RetentionStep::Keep;
        }
        let passed_us = i64::try_from(elapsed.as_micros()).unwrap_or(i64::MAX);
        // A floor is the beginning of an hour, so one hour may be due at any moment.
        let by_itself = floor.plus_micros(passed_us).plus_micros(MICROS_PER_HOUR);
        if target <= by_itself || delay.is_zero() {
            return RetentionStep::Drop(target);
        }
        if !self.is_waiting() {
            return RetentionStep::Wait(RetentionWait { floor: target, waited: Duration::ZERO });
        }
        // What is waited for moves on as time passes; what lies beyond waits for itself afterwards.
        let waited = wait.waited.saturating_add(elapsed);
        let floor = wait.floor.plus_micros(passed_us).min(target);
        if waited >= delay {
            RetentionStep::Drop(floor.floor_to(MICROS_PER_HOUR))
        } else {
            RetentionStep::Wait(RetentionWait { floor, waited })
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::panic, reason = "tests")]

    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);
    const DAY: Duration = Duration::from_secs(24 * 3_600);

    fn day(days: i64) -> Timestamp {
        Timestamp::from_micros(days * MICROS_PER_DAY)
    }

    #[test]
    fn the_floor_is_a_whole_hour() {
        let now = day(10).plus_micros(5 * MICROS_PER_HOUR + 17);
        assert_eq!(floor_at(now, 3), day(7).plus_micros(5 * MICROS_PER_HOUR));
    }

    fn hours(hours: i64) -> Timestamp {
        Timestamp::from_micros(hours * MICROS_PER_HOUR)
    }

    fn look(floor: Timestamp, wait: RetentionWait, target: Timestamp, elapsed: Duration) -> RetentionStep {
        RetentionLook { floor, wait, target, elapsed, delay: DAY }.step()
    }

    #[test]
    fn the_floor_follows_time_from_hour_to_hour() {
        assert_eq!(look(hours(9), RetentionWait::NONE, hours(9), HOUR), RetentionStep::Keep);
        assert_eq!(look(hours(9), RetentionWait::NONE, hours(10), Duration::ZERO), RetentionStep::Drop(hours(10)));
        assert_eq!(look(hours(9), RetentionWait::NONE, hours(14), HOUR * 4), RetentionStep::Drop(hours(14)));
    }

    #[test]
    fn a_new_or_a_shorter_retention_waits_a_day_of_uptime() {
        for floor in [Timestamp::MIN, day(10)] {
            let first = look(floor, RetentionWait::NONE, day(30), Duration::ZERO);
            let mut wait = RetentionWait { floor: day(30), waited: Duration::ZERO };
            assert_eq!(first, RetentionStep::Wait(wait));
            for n in 1..24 {
                let target = day(30).plus_micros(n * MICROS_PER_HOUR);
                // A restart in between takes nothing away and adds nothing.
                assert_eq!(look(floor, wait, target, Duration::ZERO), RetentionStep::Wait(wait));
                let RetentionStep::Wait(next) = look(floor, wait, target, HOUR) else { panic!("hour {n}") };
                assert_eq!((next.floor, next.waited), (target, wait.waited + HOUR));
                wait = next;
            }
            assert_eq!(look(floor, wait, day(31), HOUR), RetentionStep::Drop(day(31)));
        }
    }

    #[test]
    fn a_longer_retention_ends_the_wait_and_one_less_short_goes_on_with_it() {
        let wait = RetentionWait { floor: day(30), waited: HOUR };
        assert_eq!(look(day(10), wait, day(9), HOUR), RetentionStep::Keep);
        let less = RetentionWait { floor: day(20), waited: HOUR * 2 };
        assert_eq!(look(day(10), wait, day(20), HOUR), RetentionStep::Wait(less));
    }

    #[test]
    fn f16_what_a_jump_would_add_to_a_wait_waits_for_itself() {
        let almost = RetentionWait { floor: day(20), waited: DAY - HOUR };
        let step = look(day(10), almost, day(27_000), HOUR);
        assert_eq!(step, RetentionStep::Drop(hours(20 * 24 + 1)));
        let after = look(hours(20 * 24 + 1), almost, day(27_000), HOUR);
        assert_eq!(after, RetentionStep::Wait(RetentionWait { floor: day(27_000), waited: Duration::ZERO }));
    }

    #[test]
    fn without_a_delay_nothing_waits() {
        let look = RetentionLook {
            floor: day(1),
            wait: RetentionWait::NONE,
            target: day(9),
            elapsed: Duration::ZERO,
            delay: Duration::ZERO,
        };
        assert_eq!(look.step(), RetentionStep::Drop(day(9)));
    }
}
