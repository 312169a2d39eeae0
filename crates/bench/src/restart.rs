//! `nilometer bench restart`: how long a server takes to be ready again after a crash, with many
//! events that only the journal holds; then checks that none of them is missing or doubled.

use std::fmt;
use std::path::Path;

use serde::Serialize;

use super::args::RestartArgs;
use super::check::Check;
use super::client::Client;
use super::folder::Folder;
use super::load::Load;
use super::machine::Usage;
use super::output::Output;
use super::query::fill_plan;
use super::server::Server;

/// Settings under which nothing is flushed: the most rows, bytes and milliseconds that can be set.
const NEVER_FLUSH: [(&str, &str); 3] = [
    ("NILOMETER_FLUSH_ROWS", "100000000"),
    ("NILOMETER_FLUSH_BYTES", "68719476736"),
    ("NILOMETER_FLUSH_AGE_MS", "86400000"),
];

/// What a restart took.
#[derive(Debug, Clone, Serialize)]
pub(super) struct RestartReport {
    /// Events that were not flushed at the crash.
    pub(super) events: u64,
    /// From the start of the process to its readiness, in seconds.
    pub(super) ready_s: f64,
    /// Stored against acknowledged, after the restart.
    pub(super) check: Check,
    /// The server after the restart.
    pub(super) server_after: Option<Usage>,
}

impl fmt::Display for RestartReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "restart     ready {:.2} s after a crash with {} unflushed events", self.ready_s, self.events)?;
        write!(f, "counts      {}", self.check)
    }
}

/// Runs the command.
pub(super) async fn run(args: RestartArgs) -> anyhow::Result<()> {
    let output = Output::new(args.json);
    let folder = Folder::open(args.data)?;
    let report = measure(folder.path(), args.events).await?;
    output.result(&report, &report)?;
    report.check.ensure_exact()
}

/// Fills a new server on `data`, crashes it, starts it again.
pub(super) async fn measure(data: &Path, events: u64) -> anyhow::Result<RestartReport> {
    let (server, _) = Server::start(data, &NEVER_FLUSH).await?;
    let plan = fill_plan(events).begin(&server);
    let workload = plan.workload.clone();
    let tally = Load::start(plan).finish().await?.tally;
    Client::new(server.target()).wait_applied(&tally.receipts).await?;
    server.kill().await?;
    let (server, ready) = Server::start(data, &NEVER_FLUSH).await?;
    let stored = Client::new(server.target()).customers().await?;
    let server_after = server.usage();
    server.stop().await?;
    let check = Check::compare(&workload, &tally.calls, &stored);
    Ok(RestartReport { events: tally.events, ready_s: ready.as_secs_f64(), check, server_after })
}
