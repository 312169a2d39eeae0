//! A count of requests: the generic cell rate algorithm of `governor`, which takes one at a time and never goes into
//! debt.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::Clock as GovernorClock;
use governor::middleware::StateInformationMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota as GovernorQuota, RateLimiter};
use ports::clock::Clock;

use super::buckets::Bucket;
use super::quota::{CLOSED_WAIT, Left, Quota};

/// The clock's reading that never steps back.
#[derive(Debug, Clone)]
struct Monotonic(Arc<dyn Clock>);

impl GovernorClock for Monotonic {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.monotonic()
    }
}

type Limiter = RateLimiter<NotKeyed, InMemoryState, Monotonic, StateInformationMiddleware>;

/// A count of requests.
#[derive(Debug)]
pub(super) struct RequestBucket {
    quota: Quota,
    clock: Arc<dyn Clock>,
    /// None when nothing passes.
    limiter: Option<Limiter>,
    /// In which time one comes back.
    each: Duration,
    /// When it will be full again, as the limiter has it, which takes and cannot be asked.
    full_at: Duration,
}

impl RequestBucket {
    /// A full one.
    pub(super) fn new(quota: Quota, clock: Arc<dyn Clock>) -> Self {
        let limiter = quota.time_of(1).and_then(GovernorQuota::with_period).map(|each| {
            let burst = NonZeroU32::new(u32::try_from(quota.burst()).unwrap_or(u32::MAX)).unwrap_or(NonZeroU32::MIN);
            let limiter = RateLimiter::direct_with_clock(each.allow_burst(burst), Monotonic(Arc::clone(&clock)));
            limiter.with_middleware::<StateInformationMiddleware>()
        });
        let each = quota.time_of(1).unwrap_or_default();
        Self { quota, clock, limiter, each, full_at: Duration::ZERO }
    }

    /// Whether there is one. Takes nothing.
    ///
    /// # Errors
    /// How long until there is.
    pub(super) fn check(&self, now: Duration) -> Result<(), Duration> {
        let burst = u32::try_from(self.quota.burst()).unwrap_or(u32::MAX);
        let missing = self.full_at.saturating_sub(now).saturating_add(self.each);
        match missing.saturating_sub(self.each.saturating_mul(burst)) {
            Duration::ZERO => Ok(()),
            wait => Err(wait),
        }
    }

    /// Takes one request.
    ///
    /// # Errors
    /// How long until there is one.
    pub(super) fn take(&mut self) -> Result<Left, Duration> {
        let Some(limiter) = &self.limiter else { return Err(CLOSED_WAIT) };
        match limiter.check() {
            Ok(state) => {
                self.full_at = self.full_at.max(self.clock.monotonic()).saturating_add(self.each);
                let count = u64::from(state.remaining_burst_capacity());
                let full_in = self.quota.time_of(self.quota.burst().saturating_sub(count)).unwrap_or_default();
                Ok(Left { count, full_in })
            }
            Err(not_until) => Err(not_until.wait_time_from(self.clock.monotonic())),
        }
    }
}

impl Bucket for RequestBucket {
    fn quota(&self) -> Quota {
        self.quota
    }

    fn change(&mut self, quota: Quota, _now: Duration) {
        *self = Self::new(quota, Arc::clone(&self.clock));
    }

    /// A count that has had no request for as long as counts are kept is full.
    fn owes_nothing(&self, _now: Duration) -> bool {
        true
    }
}
