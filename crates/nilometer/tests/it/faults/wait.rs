//! Waiting that ends: the only place of these tests that reads the machine's time.

use std::time::{Duration, Instant};

/// Pause between two checks.
const PAUSE: Duration = Duration::from_millis(5);

/// Looks again and again until `done` or `within` is over; says which.
pub(crate) fn until(within: Duration, mut done: impl FnMut() -> bool) -> bool {
    let end = Deadline::after(within);
    loop {
        if done() {
            return true;
        }
        if end.is_over() {
            return false;
        }
        std::thread::sleep(PAUSE);
    }
}

/// When to stop at the latest.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    #[expect(clippy::disallowed_methods, reason = "bounds how long a test may wait; nothing is decided by it")]
    pub(crate) fn after(duration: Duration) -> Self {
        Self(Instant::now() + duration)
    }

    #[expect(clippy::disallowed_methods, reason = "bounds how long a test may wait; nothing is decided by it")]
    pub(crate) fn is_over(self) -> bool {
        Instant::now() >= self.0
    }
}
