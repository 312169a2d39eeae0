//! How far a run of a load is: gives out its requests, each when it is due, until its end.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use clock::Stopwatch;
use domain::time::Timestamp;
use tokio::sync::Semaphore;

use crate::schedule::Schedule;

/// One request that a connection has to send.
#[derive(Debug, Clone, Copy)]
pub(super) struct DueRequest {
    pub(super) events: u64,
    /// When it is due, in microseconds since the start of the run.
    pub(super) due_us: u64,
}

/// How far a run is; shared by its connections.
#[derive(Debug)]
pub(super) struct Progress {
    pub(super) schedule: Schedule,
    began: Timestamp,
    pub(super) watch: Stopwatch,
    next: AtomicU64,
    /// The requests of an open loop that are due and not taken yet.
    pub(super) released: Semaphore,
    stopped: AtomicBool,
}

impl Progress {
    /// A run that begins now, at `began` by the clock.
    pub(super) fn new(schedule: Schedule, began: Timestamp) -> Self {
        Self {
            schedule,
            began,
            watch: Stopwatch::start(),
            next: AtomicU64::new(0),
            released: Semaphore::new(0),
            stopped: AtomicBool::new(false),
        }
    }

    /// The next request once it is due; `None` at the end of the run.
    pub(super) async fn next_request(&self) -> Option<DueRequest> {
        if self.is_stopped() || self.schedule.is_over(self.watch.elapsed()) {
            return None;
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let events = self.schedule.events_of(number);
        if events == 0 {
            return None;
        }
        let due_us = match self.schedule.pace {
            None => self.watch.elapsed_us(),
            Some(pace) => {
                self.released.acquire().await.ok()?.forget();
                u64::try_from(pace.due(number).as_micros()).unwrap_or(u64::MAX)
            }
        };
        Some(DueRequest { events, due_us })
    }

    /// The present time by the clock of the run's beginning.
    pub(super) fn now(&self) -> Timestamp {
        self.began.plus_micros(i64::try_from(self.watch.elapsed_us()).unwrap_or(i64::MAX))
    }

    /// Ends the run: no further request is given out.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        self.released.close();
    }

    /// Whether the run was ended.
    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }
}
