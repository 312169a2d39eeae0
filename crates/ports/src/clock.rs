//! The time. Nothing else in the product may ask the machine for it.

use std::time::Duration;

use async_trait::async_trait;
use domain::time::Timestamp;

/// A source of the current time.
#[async_trait]
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// The current time in UTC. May step backwards when the machine's clock is set.
    fn now(&self) -> Timestamp;

    /// Time since some fixed instant of this process. Never steps back, whatever is done to the
    /// machine's clock: the difference of two readings is how long something took.
    fn monotonic(&self) -> Duration;

    /// Returns after about `duration`.
    async fn sleep(&self, duration: Duration);
}
