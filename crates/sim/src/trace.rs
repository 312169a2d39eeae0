//! What happened in a run, line by line: the evidence of a failure, the fingerprint of a seed, and the
//! count of what the run has put to the test.

use std::collections::VecDeque;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::ops::AddAssign;

/// Lines shown with a failure.
const LINES_MAX: usize = 60;

/// How often things happened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each says what it counts")]
pub struct Tally {
    pub acknowledged: u64,
    pub refused: u64,
    pub poisoned: u64,
    pub applied: u64,
    pub closings: u64,
    pub closed_windows_seen: u64,
    pub failures: u64,
    pub kills: u64,
    pub power_losses: u64,
    pub failed_starts: u64,
    pub checks: u64,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        let Self { acknowledged, refused, poisoned, applied, closings, closed_windows_seen, .. } = other;
        self.acknowledged += acknowledged;
        self.refused += refused;
        self.poisoned += poisoned;
        self.applied += applied;
        self.closings += closings;
        self.closed_windows_seen += closed_windows_seen;
        self.failures += other.failures;
        self.kills += other.kills;
        self.power_losses += other.power_losses;
        self.failed_starts += other.failed_starts;
        self.checks += other.checks;
    }
}

/// The trace of one run.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    hasher: DefaultHasher,
    last: VecDeque<String>,
    pub(crate) tally: Tally,
}

impl Trace {
    /// Adds a line.
    pub(crate) fn note(&mut self, line: impl Into<String>) {
        let line = line.into();
        line.hash(&mut self.hasher);
        if self.last.len() == LINES_MAX {
            self.last.pop_front();
        }
        self.last.push_back(line);
    }

    /// The fingerprint of all lines.
    pub(crate) fn fingerprint(&self) -> u64 {
        self.hasher.finish()
    }

    /// The last lines.
    pub(crate) fn tail(&self) -> String {
        let lines: Vec<&str> = self.last.iter().map(String::as_str).collect();
        lines.join("\n")
    }
}
