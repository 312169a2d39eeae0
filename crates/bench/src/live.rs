//! `nilometer bench live`: times the live view and the replacement of a large reference table while
//! events arrive at a fixed rate.

use std::fmt;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use ports::clock::Clock;
use serde::Serialize;
use tokio::time::sleep;

use clock::SystemClock;

use super::args::LiveArgs;
use super::folder::Folder;
use super::latency::{Latencies, Percentiles};
use super::load::Load;
use super::output::Output;
use super::plan::IngestPlan;
use super::query::{self, RouteReport};
use super::server::Server;
use super::workload::Mix;
use crate::http::connection::{Connection, PostRequest, Target};
use clock::Stopwatch;

/// Users of the load, all of them in the reference table.
const USERS: u32 = 100_000;
/// How often the table is replaced.
const REPLACEMENTS: u32 = 20;

/// What the live view took.
#[derive(Debug, Clone, Serialize)]
pub(super) struct LiveReport {
    /// Events per second offered meanwhile.
    rate: u64,
    /// Seconds of load before the first question.
    warm_up_s: u64,
    /// Window by window.
    pub(super) windows: Vec<RouteReport>,
    /// Replacing the reference table of 100,000 users.
    pub(super) replacement: Percentiles,
    /// The live view over 300 s while that goes on.
    pub(super) while_replacing: Percentiles,
}

impl fmt::Display for LiveReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "live view while {} events/s are offered, after {} s", self.rate, self.warm_up_s)?;
        for RouteReport { name, latency, .. } in &self.windows {
            write!(f, "\n{name:<28} {latency}")?;
        }
        write!(f, "\n{:<28} {}", "replace 100,000 users", self.replacement)?;
        write!(f, "\n{:<28} {}", "live 300 s meanwhile", self.while_replacing)
    }
}

/// Runs the command.
pub(super) async fn run(args: LiveArgs) -> anyhow::Result<()> {
    let output = Output::new(args.json);
    let folder = Folder::open(args.data.clone())?;
    let (server, _) = Server::start(folder.path(), &[]).await?;
    let report = measure(&server, args.rate, args.warm_up, args.requests).await?;
    server.stop().await?;
    output.result(&report, &report)
}

/// Offers `rate` events per second, waits `warm_up_s` seconds, then times the questions.
pub(super) async fn measure(server: &Server, rate: u64, warm_up_s: u64, requests: u32) -> anyhow::Result<LiveReport> {
    let mut table = Table::new(server);
    table.replace().await?;
    let mix = Mix { users: USERS, ..Mix::STANDARD };
    let load = Load::start(IngestPlan { rate: Some(rate), ..IngestPlan::of(mix, 100, 8) }.begin(server));
    sleep(Duration::from_secs(warm_up_s)).await;
    let mut windows = Vec::new();
    for (name, path) in [("live 300 s", "/metrics?window=300"), ("live 1,800 s", "/metrics?window=1800")] {
        windows.push(query::time_route(server, name, &[path.to_owned()], requests).await?);
    }
    let replacing = tokio::spawn(async move {
        let mut latencies = Latencies::new()?;
        for _ in 0..REPLACEMENTS {
            latencies.record(table.replace().await?);
        }
        anyhow::Ok(latencies.summary())
    });
    let path = ["/metrics?window=300".to_owned()];
    let reader = query::time_route(server, "live 300 s", &path, requests);
    let (replacement, meanwhile) = tokio::join!(replacing, reader);
    load.stop().await?;
    Ok(LiveReport { rate, warm_up_s, windows, replacement: replacement??, while_replacing: meanwhile?.latency })
}

/// A reference table that is sent again and again, each time with a later version.
struct Table {
    target: Arc<Target>,
    connection: Connection,
    request: PostRequest,
    users: Vec<u8>,
}

impl Table {
    fn new(server: &Server) -> Self {
        let mut users = String::from("{\"user_metadata\":{");
        for number in 0..USERS {
            let plan = ["free", "pro", "team"][(number % 3) as usize];
            let region = ["eu", "us"][(number % 2) as usize];
            let comma = if number == 0 { "" } else { "," };
            // Writing to a string cannot fail.
            let _ = write!(users, "{comma}\"user-{number}\":{{\"plan\":\"{plan}\",\"region\":\"{region}\"}}");
        }
        Self {
            target: Arc::clone(server.target()),
            connection: Connection::new(Arc::clone(server.target())),
            request: PostRequest::with_method(server.target(), "PUT", "/reference/users", "application/json"),
            users: users.into_bytes(),
        }
    }

    /// Returns how long it took, in microseconds.
    async fn replace(&mut self) -> anyhow::Result<u64> {
        let users = &self.users;
        self.request.fill(|out| {
            out.extend_from_slice(users);
            out.extend_from_slice(format!("}},\"ts\":\"{}\"}}", SystemClock.now()).as_bytes());
        });
        // A connection that was silent through the warm-up has been closed by the server.
        self.connection = Connection::new(Arc::clone(&self.target));
        let watch = Stopwatch::start();
        let response = self.connection.exchange(self.request.bytes()).await?;
        let took_us = watch.elapsed_us();
        ensure!(response.status == 200, "the reference table answered {}", response.status);
        Ok(took_us)
    }
}
