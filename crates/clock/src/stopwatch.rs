//! Measures how long things take, on the monotonic clock. The only place of the program that
//! asks the machine for it; never the source of an event's time.

use std::time::{Duration, Instant};

/// Started once, read often.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts now.
    #[expect(clippy::disallowed_methods, reason = "the one stopwatch of the program; it only measures durations")]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// The time since the start.
    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }

    /// The time since the start in whole microseconds.
    pub fn elapsed_us(self) -> u64 {
        u64::try_from(self.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}
