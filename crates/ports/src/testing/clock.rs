//! A clock that stands still until a test moves it.

use std::time::Duration;

use async_trait::async_trait;
use domain::time::Timestamp;
use domain::trusted_time::ClockDoubt;
use tokio::sync::watch;

use crate::clock::Clock;

/// A clock that only its owner moves, forwards or backwards.
#[derive(Debug)]
pub struct ManualClock {
    shown: watch::Sender<Shown>,
}

/// What the clock shows.
#[derive(Debug, Clone, Copy)]
struct Shown {
    now: Timestamp,
    /// The time that has passed, which setting the clock leaves alone.
    monotonic: Duration,
    in_doubt: bool,
}

impl ManualClock {
    /// A clock that shows `now`.
    pub fn new(now: Timestamp) -> Self {
        Self { shown: watch::Sender::new(Shown { now, monotonic: Duration::ZERO, in_doubt: false }) }
    }

    /// Sets the clock, as an operator would. No time passes, so no sleep ends.
    pub fn set(&self, now: Timestamp) {
        self.shown.send_modify(|shown| shown.now = now);
    }

    /// Says from now on whether what it shows is in doubt.
    pub fn doubt_it(&self, in_doubt: bool) {
        self.shown.send_modify(|shown| shown.in_doubt = in_doubt);
    }

    /// Lets time pass; sleeps that are over end.
    pub fn advance(&self, duration: Duration) {
        self.shown.send_modify(|shown| {
            shown.now = later(shown.now, duration);
            shown.monotonic += duration;
        });
    }
}

#[async_trait]
impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.shown.borrow().now
    }

    fn doubt(&self) -> Option<ClockDoubt> {
        let Shown { now, in_doubt, .. } = *self.shown.borrow();
        let (lasted, corrected_in) = (Duration::ZERO, Duration::MAX);
        in_doubt.then_some(ClockDoubt { wall: now, trusted: now, lasted, corrected_in })
    }

    fn monotonic(&self) -> Duration {
        self.shown.borrow().monotonic
    }

    async fn sleep(&self, duration: Duration) {
        let mut shown = self.shown.subscribe();
        let wake_at = shown.borrow().monotonic.saturating_add(duration);
        // Fails only when the sender is gone, which `self` holds.
        let _ = shown.wait_for(|shown| shown.monotonic >= wake_at).await;
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
        clock.set(at(9_000));
        tokio::task::yield_now().await;
        assert!(!sleeper.is_finished(), "setting the clock is no time that passes");
        clock.set(at(101));
        clock.advance(SECOND);
        assert!(sleeper.await.is_ok());
        assert_eq!((clock.now(), clock.monotonic()), (at(102), SECOND * 2));
    }

    #[tokio::test]
    async fn time_may_step_back_and_a_sleep_of_nothing_is_over() {
        let clock = ManualClock::new(at(100));
        clock.set(at(50));
        assert_eq!((clock.now(), clock.monotonic()), (at(50), Duration::ZERO));
        clock.sleep(Duration::ZERO).await;
    }
}
