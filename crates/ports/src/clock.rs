//! The time. Nothing else in the product may ask the machine for it.

use std::time::Duration;

use async_trait::async_trait;
use domain::time::Timestamp;
use domain::trusted_time::ClockDoubt;

/// A source of the current time.
#[async_trait]
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// The current time in UTC. May step backwards when the machine's clock is set.
    fn now(&self) -> Timestamp;

    /// Why [`Clock::now`] is not certain, if it is not: the time is then the likeliest, and nothing that cannot
    /// be undone is to be decided by it.
    fn doubt(&self) -> Option<ClockDoubt> {
        None
    }

    /// Time since some fixed instant of this process, also while the machine was suspended. Never steps back,
    /// whatever is done to the machine's clock: the difference of two readings is how long something took.
    fn monotonic(&self) -> Duration;

    /// Returns after about `duration`.
    async fn sleep(&self, duration: Duration);
}
