//! What retention remembers from one look at the time to the next.

use std::time::Duration;

use domain::retention::RetentionWait;

/// Where retention stands between two looks.
#[derive(Debug)]
pub(crate) struct RetentionRun {
    /// When the last look was, on the monotonic clock.
    pub(crate) looked: Option<Duration>,
    pub(crate) wait: RetentionWait,
    /// The wait as the manifest has it.
    pub(crate) stored: RetentionWait,
    /// Whether what is due at the first look goes without a wait.
    pub(crate) now: bool,
    /// Whether this run has looked and done what came of it, so that `wait` is its own.
    pub(crate) is_settled: bool,
}

impl RetentionRun {
    pub(crate) fn new(stored: RetentionWait, now: bool) -> Self {
        Self { looked: None, wait: stored, stored, now, is_settled: false }
    }
}
