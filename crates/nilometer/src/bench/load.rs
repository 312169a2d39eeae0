//! Drives the server: many connections on one thread of their own, in a closed or an open loop,
//! until the schedule ends. Counts only what the server acknowledged. A refused request (429, 503)
//! or one whose answer was lost is sent again unchanged, so that the count stays exact.

mod pacer;
mod sender;
mod visibility;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;
use domain::time::Timestamp;
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};

use super::latency::Latencies;
use super::schedule::Schedule;
use super::workload::Workload;
use crate::http::connection::Target;
use crate::stopwatch::Stopwatch;
use sender::Sender;

/// What to send, where and how fast.
#[derive(Debug, Clone)]
pub(super) struct LoadPlan {
    /// The server.
    pub(super) target: Arc<Target>,
    /// The events.
    pub(super) workload: Arc<Workload>,
    /// How many connections send them.
    pub(super) connections: u16,
    /// When.
    pub(super) schedule: Schedule,
    /// The time at which the run begins, for the events' own times.
    pub(super) now: Timestamp,
    /// Whether to sample how long an accepted event takes to become visible.
    pub(super) visibility: bool,
}

/// What a run's connections sent and what the server said to it.
#[derive(Debug, Clone)]
pub(super) struct Tally {
    /// From the instant a request was due to its acknowledgement.
    pub(super) latencies: Latencies,
    /// From an acknowledgement to the event's visibility, when sampled.
    pub(super) visible: Latencies,
    /// Requests acknowledged.
    pub(super) requests: u64,
    /// Events in them.
    pub(super) events: u64,
    /// Events the server called accepted.
    pub(super) accepted: u64,
    /// Events the server called duplicates.
    pub(super) duplicates: u64,
    /// Requests answered with 429 or 503 and sent again.
    pub(super) refused: u64,
    /// Requests whose answer was lost, sent again on a new connection.
    pub(super) reconnects: u64,
    /// Distinct events acknowledged, per customer.
    pub(super) calls: Vec<u64>,
    /// The last receipt of every connection.
    pub(super) receipts: Vec<String>,
}

impl Tally {
    /// Nothing yet, for `customers` customers.
    pub(super) fn new(customers: usize) -> anyhow::Result<Self> {
        Ok(Self {
            latencies: Latencies::new()?,
            visible: Latencies::new()?,
            requests: 0,
            events: 0,
            accepted: 0,
            duplicates: 0,
            refused: 0,
            reconnects: 0,
            calls: vec![0; customers],
            receipts: Vec::new(),
        })
    }

    /// Adds another connection's.
    pub(super) fn merge(&mut self, other: Self) -> anyhow::Result<()> {
        self.latencies.merge(&other.latencies)?;
        self.visible.merge(&other.visible)?;
        self.requests += other.requests;
        self.events += other.events;
        self.accepted += other.accepted;
        self.duplicates += other.duplicates;
        self.refused += other.refused;
        self.reconnects += other.reconnects;
        for (sum, more) in self.calls.iter_mut().zip(&other.calls) {
            *sum += more;
        }
        self.receipts.extend(other.receipts);
        Ok(())
    }
}

/// A finished run.
#[derive(Debug)]
pub(super) struct LoadOutcome {
    /// What was sent and acknowledged.
    pub(super) tally: Tally,
    /// From the start to the last acknowledgement.
    pub(super) elapsed: Duration,
}

/// A run in progress; dropping it stops the run.
#[derive(Debug)]
pub(super) struct Load {
    course: Arc<Course>,
    outcome: JoinHandle<anyhow::Result<LoadOutcome>>,
}

impl Load {
    /// Starts a run on a thread of its own.
    pub(super) fn start(plan: LoadPlan) -> Self {
        let course = Arc::new(Course::new(plan.schedule, plan.now));
        let its_course = Arc::clone(&course);
        let outcome = tokio::task::spawn_blocking(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.context("failed to start the load's runtime")?.block_on(drive(&plan, &its_course))
        });
        Self { course, outcome }
    }

    /// Waits for the end of the run.
    pub(super) async fn finish(mut self) -> anyhow::Result<LoadOutcome> {
        (&mut self.outcome).await.context("the load's thread failed")?
    }

    /// Ends the run now: requests under way are still answered and counted.
    pub(super) async fn stop(self) -> anyhow::Result<LoadOutcome> {
        self.course.stop();
        self.finish().await
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.course.stop();
    }
}

/// One request that a connection has to send.
#[derive(Debug, Clone, Copy)]
struct Turn {
    events: u64,
    due_us: u64,
}

/// How far a run is; shared by its connections.
#[derive(Debug)]
struct Course {
    schedule: Schedule,
    began: Timestamp,
    watch: Stopwatch,
    next: AtomicU64,
    released: Semaphore,
    stopped: AtomicBool,
}

impl Course {
    fn new(schedule: Schedule, began: Timestamp) -> Self {
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
    async fn next_turn(&self) -> Option<Turn> {
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
        Some(Turn { events, due_us })
    }

    fn now(&self) -> Timestamp {
        self.began.plus_micros(i64::try_from(self.watch.elapsed_us()).unwrap_or(i64::MAX))
    }

    fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        self.released.close();
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }
}

/// The whole run, on the load's own thread.
async fn drive(plan: &LoadPlan, course: &Arc<Course>) -> anyhow::Result<LoadOutcome> {
    let pacer = pacer::start(Arc::clone(course))?;
    let outcome = send_all(plan, course).await;
    course.stop();
    pacer.join().map_err(|_| anyhow::anyhow!("the load's pacer failed"))?;
    outcome
}

async fn send_all(plan: &LoadPlan, course: &Arc<Course>) -> anyhow::Result<LoadOutcome> {
    let mut workers = JoinSet::new();
    for stream in 0..plan.connections {
        workers.spawn(send_turns(Sender::new(plan, stream)?, Arc::clone(course)));
    }
    let mut sampler = JoinSet::new();
    if plan.visibility {
        sampler.spawn(visibility::sample(Sender::new(plan, plan.connections)?, Arc::clone(course)));
    }
    let mut tally = Tally::new(plan.workload.customers().len())?;
    while let Some(ended) = workers.join_next().await {
        tally.merge(ended.context("a connection failed")??)?;
    }
    let elapsed = course.watch.elapsed();
    course.stop();
    while let Some(ended) = sampler.join_next().await {
        tally.merge(ended.context("the visibility sampler failed")??)?;
    }
    Ok(LoadOutcome { tally, elapsed })
}

async fn send_turns(mut sender: Sender, course: Arc<Course>) -> anyhow::Result<Tally> {
    while let Some(turn) = course.next_turn().await {
        sender.send(turn.events, course.now()).await?;
        sender.record_latency(course.watch.elapsed_us().saturating_sub(turn.due_us));
    }
    Ok(sender.into_tally())
}

#[cfg(test)]
mod tests;
