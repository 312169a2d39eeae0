//! What a caller holds while a port works for it, such as the permit of a gate. It goes with the work
//! and not with the future: a future that is dropped leaves work behind on threads and runtimes of the
//! adapter, and as long as that runs, it counts against the caller.
//!
//! The contract of every port: work that outlives the future of a call keeps what [`current`] gave when
//! it was started, and drops it when it has ended. What is held is not passed on to other threads and
//! tasks by itself. This module decides nothing and waits for nothing.

use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;

tokio::task_local! {
    static CURRENT: Held;
}

/// What a caller holds for one call; let go of when the last clone is dropped.
#[derive(Debug, Clone, Default)]
pub struct Held(Option<Arc<dyn Debug + Send + Sync>>);

impl Held {
    /// Holds `what`.
    pub fn new(what: Arc<dyn Debug + Send + Sync>) -> Self {
        Self(Some(what))
    }

    /// Whether nothing is held: nothing above bounds how much of such work runs.
    pub fn is_nothing(&self) -> bool {
        self.0.is_none()
    }
}

/// Runs the call of a port with `held`.
pub async fn during<F: Future>(held: Held, call: F) -> F::Output {
    CURRENT.scope(held, call).await
}

/// What is held for the call that is being polled; nothing outside of [`during`].
#[must_use]
pub fn current() -> Held {
    CURRENT.try_with(Held::clone).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::sync::Weak;

    use super::*;

    #[tokio::test]
    async fn i6_what_is_held_ends_with_the_work_and_not_with_the_call() {
        let permit: Arc<dyn Debug + Send + Sync> = Arc::new("a permit");
        let alive: Weak<_> = Arc::downgrade(&permit);
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let work = during(Held::new(permit), async {
            let held = current();
            std::thread::spawn(move || {
                ended.recv().unwrap();
                assert!(current().is_nothing(), "another thread has only what is moved into it");
                drop(held);
            })
        });
        let work = work.await;
        assert!(current().is_nothing());
        assert_eq!(alive.strong_count(), 1, "the call has ended, the work has not");
        end.send(()).unwrap();
        work.join().unwrap();
        assert_eq!(alive.strong_count(), 0);
    }
}
