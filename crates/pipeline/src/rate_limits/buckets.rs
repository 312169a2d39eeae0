//! One count for each caller, as many as there is room for; all further callers share one. Those that were not used
//! for a while and owe nothing are forgotten, which gives nothing away: a new one is full.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use domain::limits::RATE_IDLE;
use parking_lot::Mutex;

use super::quota::{CLOSED_WAIT, Quota};

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

impl<B> Count<B> {
    const fn new(bucket: B, now: Duration) -> Self {
        Self { bucket, used_at: now, told_at: None }
    }

    /// What a refusal says, and whether the log is to say it.
    fn told(&mut self, wait: Duration, now: Duration) -> Empty {
        let is_told = self.told_at.is_none_or(|at| now.saturating_sub(at) >= TOLD_EVERY);
        if is_told {
            self.told_at = Some(now);
        }
        Empty { wait, is_told }
    }
}

impl<K: Hash + Eq, B: Bucket> Buckets<K, B> {
    pub(super) fn new(max: usize) -> Self {
        let counts = Counts { by_key: HashMap::new(), shared: None, swept_at: Duration::ZERO };
        Self { counts: Mutex::new(counts), max }
    }

    /// Uses the count of `key`, which is made if there is none. `of_all` is the server's limit, which holds for the count
    /// that those share for whom there is no room.
    pub(super) fn run<T>(
        &self,
        key: K,
        (quota, of_all): (Quota, Option<Quota>),
        now: Duration,
        make: impl FnOnce(Quota) -> B,
        run: impl FnOnce(&mut B) -> Result<T, Duration>,
    ) -> Result<T, Empty> {
        let mut counts = self.counts.lock();
        counts.sweep(self.max, now);
        let has_room = counts.by_key.len() < self.max;
        let Counts { by_key, shared, .. } = &mut *counts;
        let (count, quota) = if has_room || by_key.contains_key(&key) {
            (by_key.entry(key).or_insert_with(|| Count::new(make(quota), now)), quota)
        } else if quota.rate.get() == 0 {
            return Err(Empty { wait: CLOSED_WAIT, is_told: false });
        } else {
            // Without a limit of the server's the largest holds: with each one's own, the count would begin anew.
            let former = shared.as_ref().map(|count| count.bucket.quota());
            let of_all = of_all.unwrap_or_else(|| former.filter(|former| former.rate > quota.rate).unwrap_or(quota));
            (shared.get_or_insert_with(|| Count::new(make(of_all), now)), of_all)
        };
        if count.bucket.quota() != quota {
            count.bucket.change(quota, now);
        }
        count.used_at = now;
        run(&mut count.bucket).map_err(|wait| count.told(wait, now))
    }

    /// Uses the count of `key` if it is counted already, alone or with others.
    pub(super) fn look<T>(
        &self,
        key: &K,
        now: Duration,
        look: impl FnOnce(&mut B) -> Result<T, Duration>,
    ) -> Option<Result<T, Empty>> {
        let mut counts = self.counts.lock();
        let has_room = counts.by_key.len() < self.max;
        let Counts { by_key, shared, .. } = &mut *counts;
        let count = by_key.get_mut(key).or_else(|| shared.as_mut().filter(|_| !has_room))?;
        Some(look(&mut count.bucket).map_err(|wait| count.told(wait, now)))
    }

    #[cfg(test)]
    pub(super) fn has_shared(&self) -> bool {
        self.counts.lock().shared.is_some()
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
        let is_kept =
            |count: &Count<B>| now.saturating_sub(count.used_at) < RATE_IDLE || !count.bucket.owes_nothing(now);
        self.by_key.retain(|_, count| is_kept(count));
        self.shared = self.shared.take().filter(is_kept);
        if self.by_key.capacity() > 4 * self.by_key.len().max(1_024) {
            self.by_key.shrink_to_fit();
        }
    }
}
