//! A clock that stands still until a test moves it.

use std::time::Duration;

use async_trait::async_trait;
use domain::time::Timestamp;
use tokio::sync::watch;

use crate::clock::Clock;

/// A clock that only its owner moves, forwards or backwards.
#[derive(Debug)]
pub struct ManualClock {
    now: watch::Sender<Timestamp>,
}

impl ManualClock {
    /// A clock that shows `now`.
    pub fn new(now: Timestamp) -> Self {
        Self { now: watch::Sender::new(now) }
    }

    /// Sets the clock, as an operator would; whoever sleeps until then or earlier wakes.
    pub fn set(&self, now: Timestamp) {
        self.now.send_replace(now);
    }

    /// Lets time pass; whoever sleeps until then or earlier wakes.
    pub fn advance(&self, duration: Duration) {
        self.now.send_modify(|now| *now = later(*now, duration));
    }
}

#[async_trait]
impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.now.borrow()
    }

    async fn sleep(&self, duration: Duration) {
        let mut now = self.now.subscribe();
        let wake_at = later(*now.borrow(), duration);
        // Fails only when the sender is gone, which `self` holds.
        let _ = now.wait_for(|now| *now >= wake_at).await;
    }
}

fn later(now: Timestamp, duration: Duration) -> Timestamp {
    now.plus_micros(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    #[tokio::test]
    async fn a_sleeper_wakes_when_its_time_has_come_and_not_before() {
        let clock = Arc::new(ManualClock::new(at(100)));
        let sleeper = tokio::spawn({
            let clock = Arc::clone(&clock);
            async move { clock.sleep(SECOND * 2).await }
        });
        tokio::task::yield_now().await;
        clock.advance(SECOND);
        tokio::task::yield_now().await;
        assert!(!sleeper.is_finished());
        clock.set(at(102));
        assert!(sleeper.await.is_ok());
        assert_eq!(clock.now(), at(102));
    }

    #[tokio::test]
    async fn time_may_step_back_and_a_sleep_of_nothing_is_over() {
        let clock = ManualClock::new(at(100));
        clock.set(at(50));
        assert_eq!(clock.now(), at(50));
        clock.sleep(Duration::ZERO).await;
    }
}
