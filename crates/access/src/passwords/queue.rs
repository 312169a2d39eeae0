//! A short queue of work whose askers may leave: what nobody waits for any more is neither done nor in the way.

use std::collections::VecDeque;
use std::fmt;

use parking_lot::{Condvar, Mutex};

/// Work that someone waits for, or no longer.
pub(super) trait Wanted {
    /// Whether someone still waits.
    fn is_wanted(&self) -> bool;
}

/// Why work is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// As much waits as may.
    Full,
    /// Nobody will do it.
    Closed,
}

/// Work in the order in which it came.
pub(super) struct Queue<J> {
    state: Mutex<State<J>>,
    came: Condvar,
    waiting_max: usize,
}

struct State<J> {
    jobs: VecDeque<J>,
    is_closed: bool,
}

impl<J: Wanted> Queue<J> {
    pub(super) fn new(waiting_max: usize) -> Self {
        let state = State { jobs: VecDeque::with_capacity(waiting_max), is_closed: false };
        Self { state: Mutex::new(state), came: Condvar::new(), waiting_max }
    }

    /// Adds work at the end, in the place of what nobody waits for if need be.
    pub(super) fn push(&self, job: J) -> Result<(), Refused> {
        let mut state = self.state.lock();
        if state.is_closed {
            return Err(Refused::Closed);
        }
        if state.jobs.len() >= self.waiting_max {
            state.jobs.retain(J::is_wanted);
        }
        if state.jobs.len() >= self.waiting_max {
            return Err(Refused::Full);
        }
        state.jobs.push_back(job);
        drop(state);
        self.came.notify_one();
        Ok(())
    }

    /// The oldest work that someone waits for, as soon as there is some; `None` once the queue is closed.
    pub(super) fn take(&self) -> Option<J> {
        let mut state = self.state.lock();
        loop {
            if state.is_closed {
                return None;
            }
            match state.jobs.pop_front() {
                Some(job) if job.is_wanted() => return Some(job),
                Some(_) => {}
                None => self.came.wait(&mut state),
            }
        }
    }

    /// Takes no more work and drops what waits.
    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        state.is_closed = true;
        let left = std::mem::take(&mut state.jobs);
        drop(state);
        self.came.notify_all();
        drop(left);
    }
}

impl<J> fmt::Debug for Queue<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("waiting_max", &self.waiting_max).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail loudly")]

    use std::sync::{Arc, Weak};

    use super::*;

    struct Number(u32, Weak<()>);

    impl Wanted for Number {
        fn is_wanted(&self) -> bool {
            self.1.strong_count() > 0
        }
    }

    #[test]
    fn more_than_may_wait_are_refused() {
        let (queue, waits) = (Queue::new(3), Arc::new(()));
        for number in 0..3 {
            assert_eq!(queue.push(Number(number, Arc::downgrade(&waits))), Ok(()));
        }
        assert_eq!(queue.push(Number(3, Arc::downgrade(&waits))), Err(Refused::Full));
        assert_eq!(queue.take().map(|it| it.0), Some(0));
        assert_eq!(queue.push(Number(4, Arc::downgrade(&waits))), Ok(()));
        assert_eq!((queue.take().map(|it| it.0), queue.take().map(|it| it.0)), (Some(1), Some(2)));
        assert_eq!(queue.take().map(|it| it.0), Some(4));
    }

    #[test]
    fn what_nobody_waits_for_is_neither_done_nor_in_the_way() {
        let (queue, stays) = (Queue::new(3), Arc::new(()));
        let leaves = Arc::new(());
        assert_eq!(queue.push(Number(0, Arc::downgrade(&leaves))), Ok(()));
        assert_eq!(queue.push(Number(1, Arc::downgrade(&stays))), Ok(()));
        assert_eq!(queue.push(Number(2, Arc::downgrade(&leaves))), Ok(()));
        drop(leaves);
        // Each of the two that left makes room for one.
        assert_eq!(queue.push(Number(3, Arc::downgrade(&stays))), Ok(()));
        assert_eq!(queue.push(Number(4, Arc::downgrade(&stays))), Ok(()));
        assert_eq!(queue.push(Number(5, Arc::downgrade(&stays))), Err(Refused::Full));
        let taken: Vec<_> = (0..3).filter_map(|_| queue.take()).map(|it| it.0).collect();
        assert_eq!(taken, [1, 3, 4]);
    }

    #[test]
    fn work_whose_asker_left_is_passed_over() {
        let (queue, stays, leaves) = (Queue::new(3), Arc::new(()), Arc::new(()));
        assert_eq!(queue.push(Number(0, Arc::downgrade(&leaves))), Ok(()));
        assert_eq!(queue.push(Number(1, Arc::downgrade(&stays))), Ok(()));
        drop(leaves);
        assert_eq!(queue.take().map(|it| it.0), Some(1));
    }

    #[test]
    fn a_closed_queue_frees_all_who_wait() {
        let (queue, waits) = (Arc::new(Queue::new(3)), Arc::new(()));
        let other = Arc::clone(&queue);
        let worker = std::thread::spawn(move || other.take().is_none());
        queue.close();
        assert!(worker.join().unwrap(), "the worker got work from a closed queue");
        assert_eq!(queue.push(Number(0, Arc::downgrade(&waits))), Err(Refused::Closed));
        assert_eq!(Arc::weak_count(&waits), 0, "a closed queue keeps work");
    }
}
