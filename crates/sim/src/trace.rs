//! What happened in a run, line by line: the evidence of a failure, the fingerprint of a seed, and the
//! count of what the run has put to the test.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, VecDeque};
use std::hash::{Hash, Hasher};
use std::ops::AddAssign;

/// Lines shown with a failure.
const LINES_MAX: usize = 60;

/// How often things happened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    counts: BTreeMap<&'static str, u64>,
}

impl Tally {
    /// How often this happened.
    pub fn of(&self, what: &str) -> u64 {
        self.counts.get(what).copied().unwrap_or_default()
    }

    /// It has happened once more.
    pub(crate) fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        for (what, count) in other.counts {
            *self.counts.entry(what).or_default() += count;
        }
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
