//! A count of events, which may go into debt by one batch. It keeps the time at which it will be full again, as the
//! generic cell rate algorithm does: a batch puts that off by the time that its events take to come back. `governor`
//! has the same arithmetic but refuses what is more than is there.

use std::time::Duration;

use super::buckets::Bucket;
use super::quota::{CLOSED_WAIT, Left, Quota};

/// The least that time passes.
const LEAST: Duration = Duration::from_nanos(1);

/// A count of events.
#[derive(Debug)]
pub(super) struct EventBucket {
    quota: Quota,
    full_at: Duration,
}

impl EventBucket {
    /// A full one.
    pub(super) const fn new(quota: Quota) -> Self {
        Self { quota, full_at: Duration::ZERO }
    }

    /// What is left, none in debt.
    pub(super) fn left(&self, now: Duration) -> Left {
        let full_in = self.full_at.saturating_sub(now);
        Left { count: self.quota.count_of(self.quota.window().saturating_sub(full_in)), full_in }
    }

    /// What is left, if anything is.
    ///
    /// # Errors
    /// How long until it is above zero.
    pub(super) fn check(&self, now: Duration) -> Result<Left, Duration> {
        if self.quota.rate.get() == 0 {
            return Err(CLOSED_WAIT);
        }
        match self.full_at.saturating_sub(now).checked_sub(self.quota.window()) {
            None => Ok(self.left(now)),
            // When the debt is paid back, there is nothing yet.
            Some(debt) => Err(debt.saturating_add(LEAST)),
        }
    }

    /// Takes a batch, whatever is left afterwards.
    ///
    /// # Errors
    /// As [`EventBucket::check`]; nothing is taken then.
    pub(super) fn take(&mut self, events: usize, now: Duration) -> Result<Left, Duration> {
        let left = self.check(now)?;
        let cost = self.quota.time_of(events as u64).ok_or(CLOSED_WAIT)?;
        self.full_at = self.full_at.max(now).saturating_add(cost);
        Ok(left)
    }
}

impl Bucket for EventBucket {
    fn quota(&self) -> Quota {
        self.quota
    }

    /// What is missing stays missing, and comes back at the new rate.
    fn change(&mut self, quota: Quota, now: Duration) {
        let missing = self.quota.count_of(self.full_at.saturating_sub(now));
        self.quota = quota;
        self.full_at = now.saturating_add(quota.time_of(missing).unwrap_or_default());
    }

    fn owes_nothing(&self, now: Duration) -> bool {
        self.full_at <= now
    }
}
