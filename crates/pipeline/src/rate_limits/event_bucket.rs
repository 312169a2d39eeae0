//! A count of events, which may go into debt by one batch. It keeps the time at which it will be full again, as the
//! generic cell rate algorithm does: a batch puts that off by the time that its events take to come back. `governor`
//! has the same arithmetic but refuses what is more than is there.

use std::time::Duration;

use super::buckets::Bucket;
use super::quota::{CLOSED_WAIT, Left, Quota};

/// The least that time passes.
const LEAST: Duration = Duration::from_nanos(1);

/// What one batch has taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Charge {
    quota: Quota,
    /// When it begins to come back.
    from: Duration,
    /// When all of it is back.
    until: Duration,
}

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
    pub(super) fn take(&mut self, events: usize, now: Duration) -> Result<Charge, Duration> {
        self.check(now)?;
        let cost = self.quota.time_of(events as u64).ok_or(CLOSED_WAIT)?;
        let from = self.full_at.max(now);
        self.full_at = from.saturating_add(cost);
        Ok(Charge { quota: self.quota, from, until: self.full_at })
    }

    /// Gives back what of a batch has not come back by itself: never more than is missing for it.
    pub(super) fn give_back(&mut self, charge: Charge, now: Duration) {
        if charge.quota == self.quota {
            self.full_at = self.full_at.saturating_sub(charge.until.saturating_sub(charge.from.max(now)));
        }
    }
}

impl Bucket for EventBucket {
    fn quota(&self) -> Quota {
        self.quota
    }

    /// What is used of all that comes at once stays used, as a part of it: less comes at once of a lower limit, so that
    /// the same number would be a debt that nobody has made. A debt stays as many events, which the new limit pays back.
    fn change(&mut self, quota: Quota, now: Duration) {
        let missing = self.full_at.saturating_sub(now);
        let used = missing.min(self.quota.window());
        let debt = self.quota.count_of(missing.saturating_sub(used));
        // Comes back in a time that is the same for all limits.
        debug_assert_eq!(self.quota.window(), quota.window());
        self.quota = quota;
        self.full_at = now.saturating_add(used).saturating_add(quota.time_of(debt).unwrap_or_default());
    }

    fn owes_nothing(&self, now: Duration) -> bool {
        self.full_at <= now
    }
}
