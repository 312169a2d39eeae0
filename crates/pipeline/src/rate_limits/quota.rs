//! What a rate comes to in a bucket: how much it holds, and in which time that comes back. And how a bucket stands, for
//! the client.

use std::time::Duration;

use domain::limits::RATE_BURST;
use domain::rate::{Rate, RateScope};

/// How long a client is told to wait that nothing is let through from: until then the limit may be another.
pub(super) const CLOSED_WAIT: Duration = Duration::from_secs(3_600);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// The limit of one scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Quota {
    pub(super) scope: RateScope,
    pub(super) rate: Rate,
}

impl Quota {
    /// The time that the rate is given for.
    const fn period(self) -> Duration {
        match self.scope {
            RateScope::Address => MINUTE,
            RateScope::Key | RateScope::Workspace | RateScope::Events => SECOND,
        }
    }

    /// The time in which an empty bucket is full again.
    pub(super) const fn window(self) -> Duration {
        match self.scope {
            RateScope::Address => MINUTE,
            RateScope::Key | RateScope::Workspace | RateScope::Events => RATE_BURST,
        }
    }

    /// What a full bucket holds; of requests at most as many as their buckets can count.
    pub(super) fn burst(self) -> u64 {
        let burst = u64::from(self.rate.get()) * (self.window().as_secs() / self.period().as_secs());
        match self.scope {
            RateScope::Address | RateScope::Key | RateScope::Workspace => burst.min(u64::from(u32::MAX)),
            RateScope::Events => burst,
        }
    }

    /// How long so many take to come back, rounded up; `None` when nothing does.
    pub(super) fn time_of(self, count: u64) -> Option<Duration> {
        let rate = u128::from(self.rate.get());
        let nanos = (u128::from(count) * self.period().as_nanos()).checked_add(rate.checked_sub(1)?)? / rate;
        Some(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
    }

    /// How many come back in a time, rounded down.
    pub(super) fn count_of(self, time: Duration) -> u64 {
        let count = time.as_nanos() * u128::from(self.rate.get()) / self.period().as_nanos();
        u64::try_from(count).unwrap_or(u64::MAX)
    }
}

/// What is left in a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Left {
    pub(super) count: u64,
    pub(super) full_in: Duration,
}

/// How a limit stands for a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateStanding {
    /// What is counted.
    pub scope: RateScope,
    /// The most that may come at once.
    pub quota: u64,
    /// The time in which that comes back, in seconds.
    pub window_s: u64,
    /// What may still come at once.
    pub remaining: u64,
    /// In how many seconds all of it is back; of a refusal, in how many the next may come.
    pub reset_s: u64,
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many {}: the limit is {rate} a {}", counted(.standing.scope), period_name(.standing.scope))]
pub struct RateRefusal {
    /// How the limit stands.
    pub standing: RateStanding,
    /// The limit, per second or, for an address, per minute.
    pub rate: Rate,
    /// In how many seconds the next may come, at least 1.
    pub retry_after_s: u64,
}

const fn counted(scope: RateScope) -> &'static str {
    match scope {
        RateScope::Address => "requests without a valid credential from this address",
        RateScope::Key => "requests with this credential",
        RateScope::Workspace => "requests of this workspace",
        RateScope::Events => "events of this workspace",
    }
}

const fn period_name(scope: RateScope) -> &'static str {
    match scope {
        RateScope::Address => "minute",
        RateScope::Key | RateScope::Workspace | RateScope::Events => "second",
    }
}

impl RateStanding {
    pub(super) fn new(quota: Quota, left: Left) -> Self {
        Self {
            scope: quota.scope,
            quota: quota.burst(),
            window_s: seconds(quota.time_of(quota.burst()).unwrap_or(quota.window())),
            remaining: left.count,
            reset_s: seconds(left.full_in),
        }
    }
}

impl RateRefusal {
    pub(super) fn new(quota: Quota, wait: Duration) -> Self {
        let retry_after_s = seconds(wait).max(1);
        let standing = RateStanding {
            reset_s: retry_after_s,
            ..RateStanding::new(quota, Left { count: 0, full_in: Duration::ZERO })
        };
        Self { standing, rate: quota.rate, retry_after_s }
    }
}

/// Rounded up, so that who waits as long is not refused again.
fn seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}
