//! How much `nilometer bench fairness` measures.

use std::time::Duration;

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FairnessSize {
    /// Pairs of runs with and without limits.
    pub(crate) pairs: u32,
    /// Length of each of these.
    pub(crate) run: Duration,
    /// Runs alone, and beside the flood.
    pub(crate) quiet_runs: u32,
    /// Length of each of these.
    pub(crate) quiet_run: Duration,
}

impl FairnessSize {
    /// What the numbers of the documents are measured with.
    pub(crate) const FULL: Self =
        Self { pairs: 12, run: Duration::from_secs(2), quiet_runs: 5, quiet_run: Duration::from_secs(10) };
    /// To see that everything works.
    pub(crate) const QUICK: Self =
        Self { pairs: 2, run: Duration::from_millis(500), quiet_runs: 2, quiet_run: Duration::from_secs(1) };
}
