//! `nilometer bench ingest`: load, drain, check. Throughput counts an event only once it is durable
//! *and* applied, so the time to drain is part of it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::args::{IngestArgs, ServerArgs};
use super::check::Check;
use super::client::Client;
use super::folder::Folder;
use super::latency::Percentiles;
use super::load::Load;
use super::machine::Usage;
use super::output::Output;
use super::plan::IngestPlan;
use super::server::Server;
use clock::Stopwatch;

/// What a load measured. Memory and processor time of the server are known only for one of the
/// benchmark's own.
#[derive(Debug, Clone, Serialize)]
pub(super) struct IngestReport {
    /// Events in one request.
    pub(super) batch: u64,
    /// Connections.
    pub(super) connections: u16,
    /// Events acknowledged, repetitions included.
    pub(super) events: u64,
    /// Requests acknowledged.
    pub(super) requests: u64,
    /// From the first request to the last acknowledgement, in seconds.
    pub(super) load_s: f64,
    /// From the last acknowledgement until everything was applied, in seconds.
    pub(super) drain_s: f64,
    /// Events acknowledged per second of load.
    pub(super) acknowledged_per_s: u64,
    /// Events durable and applied per second of load and drain.
    pub(super) applied_per_s: u64,
    /// Requests acknowledged per second of load.
    pub(super) requests_per_s: u64,
    /// From the instant a request was due to its acknowledgement.
    pub(super) latency: Percentiles,
    /// From an acknowledgement to the event's visibility.
    pub(super) visibility: Option<Percentiles>,
    /// Events the server called accepted.
    pub(super) accepted: u64,
    /// Events the server called duplicates.
    pub(super) duplicates: u64,
    /// Requests refused with 429 or 503 and sent again.
    pub(super) refused: u64,
    /// Requests sent again because their answer was lost.
    pub(super) reconnects: u64,
    /// Stored against acknowledged.
    pub(super) check: Check,
    /// The server before the load.
    pub(super) server_before: Option<Usage>,
    /// The server after the drain.
    pub(super) server_after: Option<Usage>,
    /// Processor time of the generator, in seconds.
    pub(super) generator_cpu_s: Option<f64>,
}

/// Runs the command.
pub(super) async fn run(args: IngestArgs) -> anyhow::Result<()> {
    let output = Output::new(args.json);
    let (_folder, server) = open(&args.server, output).await?;
    let report = measure(&server, &args.plan()).await?;
    server.stop().await?;
    output.result(&report, &report)?;
    report.check.ensure_exact()
}

/// The server that `args` name, ready, and the folder it works on, which has to outlive it.
pub(super) async fn open(args: &ServerArgs, output: Output) -> anyhow::Result<(Option<Folder>, Server)> {
    if let Some(url) = &args.url {
        return Ok((None, Server::connect(url, args.key.clone()).await?));
    }
    let folder = Folder::open(args.data.clone())?;
    let (server, _) = Server::start(folder.path(), &[]).await?;
    output.line(format_args!(
        "started a server on {} with data in {}",
        server.target().url(),
        folder.path().display()
    ))?;
    Ok((Some(folder), server))
}

/// Loads `server` as planned, waits until everything is applied, and compares the counts.
pub(super) async fn measure(server: &Server, plan: &IngestPlan) -> anyhow::Result<IngestReport> {
    let server_before = server.usage();
    let generator_before = Usage::of_self();
    let load_plan = plan.begin(server);
    let workload = Arc::clone(&load_plan.workload);
    let outcome = Load::start(load_plan).finish().await?;
    let generator_after = Usage::of_self();
    let drain = Stopwatch::start();
    let mut client = Client::new(server.target());
    client.wait_applied(&outcome.tally.receipts).await?;
    let drained = drain.elapsed();
    let server_after = server.usage();
    let tally = outcome.tally;
    let check = Check::compare(&workload, &tally.calls, &client.customers().await?);
    Ok(IngestReport {
        batch: plan.batch,
        connections: plan.connections,
        events: tally.events,
        requests: tally.requests,
        load_s: outcome.elapsed.as_secs_f64(),
        drain_s: drained.as_secs_f64(),
        acknowledged_per_s: per_second(tally.events, outcome.elapsed),
        applied_per_s: per_second(tally.events, outcome.elapsed + drained),
        requests_per_s: per_second(tally.requests, outcome.elapsed),
        latency: tally.latencies.summary(),
        visibility: plan.visibility.then(|| tally.visible.summary()),
        accepted: tally.accepted,
        duplicates: tally.duplicates,
        refused: tally.refused,
        reconnects: tally.reconnects,
        check,
        server_before,
        server_after,
        generator_cpu_s: generator_before.zip(generator_after).map(|(before, after)| after.cpu_s - before.cpu_s),
    })
}

/// `count` per second of `elapsed`.
fn per_second(count: u64, elapsed: Duration) -> u64 {
    let per_second = u128::from(count) * 1_000_000 / elapsed.as_micros().max(1);
    u64::try_from(per_second).unwrap_or(u64::MAX)
}

impl fmt::Display for IngestReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { events, requests, batch, connections, load_s, drain_s, .. } = self;
        writeln!(f, "sent        {events} events in {requests} requests of {batch} on {connections} connections")?;
        writeln!(f, "time        load {load_s:.2} s, drain {drain_s:.3} s")?;
        writeln!(
            f,
            "throughput  {} events/s durable and applied, {} events/s and {} requests/s acknowledged",
            self.applied_per_s, self.acknowledged_per_s, self.requests_per_s
        )?;
        writeln!(f, "latency     {}", self.latency)?;
        if let Some(visibility) = &self.visibility {
            writeln!(f, "visible     {visibility}")?;
        }
        let Self { accepted, duplicates, refused, reconnects, .. } = self;
        writeln!(
            f,
            "answers     accepted {accepted}, duplicates {duplicates}; \
             refused and sent again {refused}, connections lost {reconnects}"
        )?;
        if let (Some(before), Some(after)) = (self.server_before, self.server_after) {
            let [idle, now, peak] = [before.resident_kib, after.resident_kib, after.peak_kib].map(|kib| kib / 1_024);
            writeln!(f, "memory      before {idle} MiB, after {now} MiB, peak {peak} MiB")?;
            write!(f, "processor   server {:.1} s", after.cpu_s - before.cpu_s)?;
            if let Some(generator) = self.generator_cpu_s {
                write!(f, ", generator {generator:.1} s")?;
            }
            writeln!(f)?;
        }
        write!(f, "counts      {}", self.check)
    }
}
