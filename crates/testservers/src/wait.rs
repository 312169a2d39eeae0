//! Waiting that ends. The only place of this crate that reads the machine's time.

use std::time::{Duration, Instant};

/// Longest wait for a server to start or to end: more than a loaded machine needs for a recovery.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(90);

/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(10);

/// Looks again and again until there is something or `WAIT_MAX` is over.
#[expect(clippy::disallowed_methods, reason = "bounds how long a test may wait; nothing is decided by it")]
pub(crate) fn until<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let begun = Instant::now();
    loop {
        let found = look();
        if found.is_some() || begun.elapsed() > WAIT_MAX {
            return found;
        }
        std::thread::sleep(PAUSE);
    }
}
