//! One count for each caller, as many as there is room for; all further callers share one. Those that were not used
//! for a while and owe nothing are forgotten, which gives nothing away: a new one is full.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use domain::limits::RATE_IDLE;
use parking_lot::Mutex;

use super::quota::{Left, Quota};

/// How often idle counts are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// How often they are looked for when there is no room.
const SWEEP_FULL_EVERY: Duration = Duration::from_secs(10);
/// How often the log says that a caller is refused.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// A count of requests or events against a limit.
pub(super) trait Bucket {
    /// The limit in force.
    fn quota(&self) -> Quota;

    /// Has another limit from now on.
    fn change(&mut self, quota: Quota, now: Duration);

    /// Whether one that is idle is as good as a new one.
    fn owes_nothing(&self, now: Duration) -> bool;
}

/// Why nothing was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Empty {
    /// How long until something may be.
    pub(super) wait: Duration,
    /// Whether the log is to say so.
    pub(super) is_told: bool,
}

/// The counts of one scope.
pub(super) struct Buckets<K, B> {
    counts: Mutex<Counts<K, B>>,
    max: usize,
}

struct Counts<K, B> {
    by_key: HashMap<K, Count<B>>,
    /// The count that all share for whom there is no room.
    shared: Option<Count<B>>,
    swept_at: Duration,
}

struct Count<B> {
    bucket: B,
    used_at: Duration,
    told_at: Option<Duration>,
}

impl<K: Hash + Eq, B: Bucket> Buckets<K, B> {
    pub(super) fn new(max: usize) -> Self {
        let counts = Counts { by_key: HashMap::new(), shared: None, swept_at: Duration::ZERO };
        Self { counts: Mutex::new(counts), max }
    }

    /// Uses the count of `key`, which is made if there is none.
    pub(super) fn run(
        &self,
        key: K,
        quota: Quota,
        now: Duration,
        make: impl FnOnce() -> B,
        run: impl FnOnce(&mut B) -> Result<Left, Duration>,
    ) -> Result<Left, Empty> {
        let mut counts = self.counts.lock();
        counts.sweep(self.max, now);
        let new = || Count { bucket: make(), used_at: now, told_at: None };
        let has_room = counts.by_key.len() < self.max;
        let Counts { by_key, shared, .. } = &mut *counts;
        let count = if has_room || by_key.contains_key(&key) {
            let own = by_key.entry(key).or_insert_with(new);
            if own.bucket.quota() != quota {
                own.bucket.change(quota, now);
            }
            own
        } else {
            // Has the limit of the first, or it would begin anew with each other one.
            shared.get_or_insert_with(new)
        };
        count.used_at = now;
        run(&mut count.bucket).map_err(|wait| {
            let is_told = count.told_at.is_none_or(|at| now.saturating_sub(at) >= TOLD_EVERY);
            if is_told {
                count.told_at = Some(now);
            }
            Empty { wait, is_told }
        })
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.counts.lock().by_key.len()
    }
}

impl<K: Hash + Eq, B: Bucket> Counts<K, B> {
    fn sweep(&mut self, max: usize, now: Duration) {
        let every = if self.by_key.len() < max { SWEEP_EVERY } else { SWEEP_FULL_EVERY };
        if now.saturating_sub(self.swept_at) < every {
            return;
        }
        self.swept_at = now;
        let is_idle = |used_at: Duration| now.saturating_sub(used_at) >= RATE_IDLE;
        self.by_key.retain(|_, count| !is_idle(count.used_at) || !count.bucket.owes_nothing(now));
        if self.by_key.capacity() > 4 * self.by_key.len().max(1_024) {
            self.by_key.shrink_to_fit();
        }
    }
}
