//! `nilometer bench erase`: how long a customer with few of many events takes to be gone, and how much slower events
//! are taken meanwhile; then `verify` on the folder.

use std::fmt;
use std::time::Duration;

use anyhow::{Context, ensure};
use clock::Stopwatch;
use serde::Serialize;

use super::args::EraseArgs;
use super::client::Client;
use super::folder::Folder;
use super::load::{Load, LoadOutcome};
use super::output::Output;
use super::plan::IngestPlan;
use super::query::fill_plan;
use super::server::{Server, verify};
use super::workload::Mix;

/// How long events are taken without an erasure, to compare with.
const ALONE: Duration = Duration::from_secs(10);
/// Events of the customer that is erased, about.
const CALLS: u64 = 5_000;

/// What an erasure took.
#[derive(Debug, Serialize)]
struct EraseReport {
    /// Events stored before.
    stored: u64,
    /// Events that were erased.
    erased: u64,
    /// From the request to the end, in seconds.
    erased_s: f64,
    /// Events per second taken alone.
    alone_per_s: f64,
    /// Events per second taken meanwhile.
    meanwhile_per_s: f64,
    /// The second by the first.
    ratio: f64,
    /// What `verify` said.
    verified: String,
}

impl fmt::Display for EraseReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stored, erased, erased_s, alone_per_s, meanwhile_per_s, ratio, verified } = self;
        writeln!(f, "erase       {erased} of {stored} events gone in {erased_s:.2} s")?;
        writeln!(f, "ingest      {meanwhile_per_s:.0} events/s meanwhile, {alone_per_s:.0} alone: {ratio:.2}")?;
        write!(f, "verify      {}", verified.trim())
    }
}

/// Runs the command.
pub(super) async fn run(args: EraseArgs) -> anyhow::Result<()> {
    let output = Output::new(args.json);
    let folder = Folder::open(args.data)?;
    let (server, _) = Server::start(folder.path(), &[]).await?;
    // As in a filled folder of other measures, but every customer has the same share, which of 5 M events is 5,000.
    let fill = fill_plan(args.events);
    let fill = IngestPlan { mix: Mix { whale: None, ..fill.mix }, ..fill };
    let tally = Load::start(fill.begin(&server)).finish().await?.tally;
    let mut client = Client::new(server.target());
    client.wait_applied(&tally.receipts).await?;
    let plan = IngestPlan::of(Mix::STANDARD, 100, 4);
    let alone = IngestPlan { duration_max: Some(ALONE), ..IngestPlan::of(Mix::STANDARD, 100, 4) };
    let alone_per_s = rate(&Load::start(alone.begin(&server)).finish().await?);
    let customers = client.customers().await?;
    let customer = customers.iter().min_by_key(|customer| customer.calls.abs_diff(CALLS));
    let customer = customer.context("no customer has any events")?;
    let load = Load::start(plan.begin(&server));
    let since = Stopwatch::start();
    let erased = client.erase(&customer.id).await?;
    let erased_s = since.elapsed().as_secs_f64();
    let meanwhile_per_s = rate(&load.stop().await?);
    server.stop().await?;
    let verified = verify(folder.path().to_owned()).await?;
    let ratio = meanwhile_per_s / alone_per_s;
    let stored = tally.events;
    let report = EraseReport { stored, erased, erased_s, alone_per_s, meanwhile_per_s, ratio, verified };
    output.result(&report, &report)?;
    // Some more may have come meanwhile.
    ensure!(erased >= customer.calls, "{} events were to be erased, {erased} were", customer.calls);
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "counts of events are far below 2^52")]
fn rate(outcome: &LoadOutcome) -> f64 {
    outcome.tally.events as f64 / outcome.elapsed.as_secs_f64()
}
