//! Drives the server: many connections on one thread of their own, in a closed or an open loop,
//! until the schedule ends. Counts only what the server acknowledged. A refused request (429, 503)
//! or one whose answer was lost is sent again unchanged, so that the count stays exact.

mod plan;
mod tally;
mod progress;
mod pacer;
mod sender;
mod visibility;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::task::{JoinHandle, JoinSet};

pub(super) use plan::LoadPlan;
use progress::Progress;
use sender::Sender;
pub(super) use tally::Tally;

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
    progress: Arc<Progress>,
    outcome: JoinHandle<anyhow::Result<LoadOutcome>>,
}

impl Load {
    /// Starts a run on a thread of its own.
    pub(super) fn start(plan: LoadPlan) -> Self {
        let progress = Arc::new(Progress::new(plan.schedule, plan.now));
        let its_progress = Arc::clone(&progress);
        let outcome = tokio::task::spawn_blocking(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.context("failed to start the load's runtime")?.block_on(drive(&plan, &its_progress))
        });
        Self { progress, outcome }
    }

    /// Waits for the end of the run.
    pub(super) async fn finish(mut self) -> anyhow::Result<LoadOutcome> {
        (&mut self.outcome).await.context("the load's thread failed")?
    }

    /// Ends the run now: requests under way are still answered and counted.
    pub(super) async fn stop(self) -> anyhow::Result<LoadOutcome> {
        self.progress.stop();
        self.finish().await
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.progress.stop();
    }
}

/// The whole run, on the load's own thread.
async fn drive(plan: &LoadPlan, progress: &Arc<Progress>) -> anyhow::Result<LoadOutcome> {
    let pacer = pacer::start(Arc::clone(progress))?;
    let outcome = send_all(plan, progress).await;
    progress.stop();
    pacer.join().map_err(|_| anyhow::anyhow!("the load's pacer failed"))?;
    outcome
}

async fn send_all(plan: &LoadPlan, progress: &Arc<Progress>) -> anyhow::Result<LoadOutcome> {
    let mut workers = JoinSet::new();
    for stream in 0..plan.connections {
        workers.spawn(send_requests(Sender::new(plan, stream)?, Arc::clone(progress)));
    }
    let mut sampler = JoinSet::new();
    if plan.visibility {
        sampler.spawn(visibility::sample(Sender::new(plan, plan.connections)?, Arc::clone(progress)));
    }
    let mut tally = Tally::new(plan.workload.customers().len())?;
    while let Some(ended) = workers.join_next().await {
        tally.merge(ended.context("a connection failed")??)?;
    }
    let elapsed = progress.watch.elapsed();
    progress.stop();
    while let Some(ended) = sampler.join_next().await {
        tally.merge(ended.context("the visibility sampler failed")??)?;
    }
    Ok(LoadOutcome { tally, elapsed })
}

async fn send_requests(mut sender: Sender, progress: Arc<Progress>) -> anyhow::Result<Tally> {
    while let Some(request) = progress.next_request().await {
        sender.send(request.events, progress.now()).await?;
        sender.record_latency(progress.watch.elapsed_us().saturating_sub(request.due_us));
    }
    Ok(sender.into_tally())
}

#[cfg(test)]
mod tests;
