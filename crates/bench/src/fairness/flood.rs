//! One who sends far more than may be sent: batches at a fixed rate, whatever they are answered and whatever the answers
//! ask for. On a thread of its own, as the load is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use clock::{Stopwatch, SystemClock};
use ports::clock::Clock;
use serde::Serialize;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{MissedTickBehavior, interval};

use crate::http::connection::{Connection, PostRequest, Target};
use crate::http::delivery::excerpt;
use crate::workload::{EventWriter, Mix, Workload};

const PATH: &str = "/v1/events";
const CONNECTIONS: u16 = 8;
/// Events of one batch.
const BATCH: u64 = 100;

/// What is sent, where and how fast.
#[derive(Debug, Clone)]
pub(super) struct FloodPlan {
    pub(super) target: Arc<Target>,
    pub(super) events_per_s: u64,
}

/// How it was answered, in requests.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Answers {
    /// 202.
    pub(super) taken: u64,
    /// 429.
    pub(super) limited: u64,
    /// 503.
    pub(super) busy: u64,
    /// For how long, in seconds.
    pub(super) seconds: f64,
}

impl Answers {
    /// Adds others.
    pub(super) fn add(&mut self, other: Self) {
        self.taken += other.taken;
        self.limited += other.limited;
        self.busy += other.busy;
        self.seconds += other.seconds;
    }

    /// All of them.
    pub(super) fn all(&self) -> u64 {
        self.taken + self.limited + self.busy
    }
}

/// A flood that goes on until it is stopped or dropped.
#[derive(Debug)]
pub(super) struct Flood {
    over: Arc<AtomicBool>,
    answers: JoinHandle<anyhow::Result<Answers>>,
}

impl Flood {
    /// Starts one.
    pub(super) fn start(plan: FloodPlan) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let its_over = Arc::clone(&over);
        let answers = tokio::task::spawn_blocking(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.context("failed to start the runtime of the flood")?.block_on(rage(&plan, &its_over))
        });
        Self { over, answers }
    }

    /// Ends it.
    pub(super) async fn stop(mut self) -> anyhow::Result<Answers> {
        self.over.store(true, Ordering::Relaxed);
        (&mut self.answers).await.context("the thread of the flood failed")?
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

async fn rage(plan: &FloodPlan, over: &Arc<AtomicBool>) -> anyhow::Result<Answers> {
    let since = Stopwatch::start();
    let workload = Arc::new(Workload::new(rand::random(), Mix::STANDARD, SystemClock.now()));
    let mut all = JoinSet::new();
    for stream in 0..CONNECTIONS {
        all.spawn(send(plan.clone(), EventWriter::new(Arc::clone(&workload), stream), Arc::clone(over)));
    }
    let mut answers = Answers::default();
    while let Some(ended) = all.join_next().await {
        answers.add(ended.context("a connection of the flood failed")??);
    }
    answers.seconds = since.elapsed().as_secs_f64();
    Ok(answers)
}

async fn send(plan: FloodPlan, mut writer: EventWriter, over: Arc<AtomicBool>) -> anyhow::Result<Answers> {
    let each = Duration::from_secs(u64::from(CONNECTIONS) * BATCH).checked_div(u32::try_from(plan.events_per_s)?);
    let mut due = interval(each.unwrap_or_default().max(Duration::from_nanos(1)));
    // What could not be sent in time is sent at once: a flood does not slow down.
    due.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut connection = Connection::new(Arc::clone(&plan.target));
    let mut request = PostRequest::new(&plan.target, PATH, "application/json");
    let mut answers = Answers::default();
    while !over.load(Ordering::Relaxed) {
        due.tick().await;
        request.fill(|out| writer.write_body(out, BATCH, SystemClock.now()));
        let response = connection.exchange(request.bytes()).await.context("failed to send a batch of the flood")?;
        match response.status {
            202 => answers.taken += 1,
            429 => answers.limited += 1,
            503 => answers.busy += 1,
            other => bail!("{PATH} answered {other}: {}", excerpt(connection.body(&response))),
        }
    }
    Ok(answers)
}
