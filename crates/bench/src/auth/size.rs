//! How much `nilometer bench auth` measures.

use std::time::Duration;

use crate::inside::RegisterPlan;

/// One of so many keys of the register belongs to the workspace that the load goes to, and is presented.
const KEYS_PER_PRESENTED: u32 = 10;

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AuthSize {
    /// Keys in the register.
    pub(crate) keys: u32,
    /// Workspaces that have them.
    pub(crate) workspaces: u32,
    /// Pairs of runs of each kind of load.
    pub(crate) pairs: u32,
    /// Length of each run.
    pub(crate) run: Duration,
    /// Length of each run of single events, which differ by more from one to the next.
    pub(crate) singles_run: Duration,
    /// Clients that log in.
    pub(crate) clients: u16,
    /// Rest before memory is read.
    pub(crate) settle: Duration,
}

impl AuthSize {
    /// What the numbers of the documents are measured with.
    pub(crate) const FULL: Self = Self {
        keys: 100_000,
        workspaces: 10_000,
        pairs: 20,
        run: Duration::from_secs(2),
        singles_run: Duration::from_secs(10),
        clients: 64,
        settle: Duration::from_secs(12),
    };
    /// To see that everything works.
    pub(crate) const QUICK: Self = Self {
        keys: 2_000,
        workspaces: 200,
        pairs: 2,
        run: Duration::from_millis(500),
        singles_run: Duration::from_millis(500),
        clients: 16,
        settle: Duration::from_secs(1),
    };

    /// The register: a tenth of the keys are presented, so that no cache holds what a request needs.
    pub(super) fn register(&self) -> RegisterPlan {
        let of_first = self.keys.div_ceil(KEYS_PER_PRESENTED);
        RegisterPlan { keys: self.keys, workspaces: self.workspaces, of_first }
    }
}
