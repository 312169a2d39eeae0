//! `nilometer bench all`: every number of docs/benchmarks.md, each on a fresh server, so that none
//! profits or suffers from the one before; then `verify` on each folder. Fails when a count is
//! wrong or `verify` finds a difference, not when a number misses its floor: that depends on the
//! machine, and the table shows it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use tokio::time::sleep;

use super::analytics;
use super::args::AllArgs;
use super::auth;
use super::auth::size::AuthSize;
use super::fairness;
use super::fairness::size::FairnessSize;
use super::folder::Folder;
use super::ingest::{self, IngestReport};
use super::inside::Inside;
use super::live;
use super::machine::{Machine, Usage};
use super::measure::{Measure, Unit, table};
use super::output::Output;
use super::plan::IngestPlan;
use super::process::seed;
use super::query::{self, RouteReport};
use super::restart;
use super::server::{Server, verify};
use super::workload::Mix;

/// Rest between the start of a server and the reading of its idle memory.
const SETTLE: Duration = Duration::from_secs(2);

/// How long each part takes.
#[derive(Debug, Clone, Copy)]
struct Size {
    batch_s: u64,
    single_s: u64,
    paced_s: u64,
    stored_events: u64,
    queries: u32,
    unflushed_events: u64,
    seeded_events: u64,
    live_s: u64,
    auth: AuthSize,
    fairness: FairnessSize,
}

const FULL: Size = Size {
    batch_s: 60,
    single_s: 20,
    paced_s: 20,
    stored_events: 5_000_000,
    queries: 1_000,
    unflushed_events: 1_000_000,
    seeded_events: 5_000_000,
    live_s: 300,
    auth: AuthSize::FULL,
    fairness: FairnessSize::FULL,
};
const QUICK: Size = Size {
    batch_s: 3,
    single_s: 3,
    paced_s: 3,
    stored_events: 200_000,
    queries: 200,
    unflushed_events: 50_000,
    seeded_events: 200_000,
    live_s: 5,
    auth: AuthSize::QUICK,
    fairness: FairnessSize::QUICK,
};

/// All numbers, and what they were measured on.
#[derive(Debug, Serialize)]
struct SuiteReport {
    machine: Machine,
    command: String,
    measures: Vec<Measure>,
}

/// Runs the command.
pub(super) async fn run(args: AllArgs, inside: &impl Inside) -> anyhow::Result<()> {
    let parent = args.data.unwrap_or_else(|| PathBuf::from("."));
    let machine = Machine::inspect(&parent);
    let command = format!("nilometer {}", std::env::args().skip(1).collect::<Vec<_>>().join(" "));
    let mut suite = Suite {
        size: if args.quick { QUICK } else { FULL },
        parent,
        output: Output::new(args.json),
        measures: Vec::new(),
    };
    suite.output.line(format_args!("{machine}\n"))?;
    suite.batches().await?;
    suite.singles().await?;
    suite.paced().await?;
    suite.stored().await?;
    suite.restarted().await?;
    suite.analytics().await?;
    suite.live().await?;
    suite.auth(inside).await?;
    suite.fairness().await?;
    let Suite { output, measures, .. } = suite;
    let text = format!("`{command}` on {machine}\n\n{}", table(&measures));
    output.result(text, &SuiteReport { machine, command, measures })
}

struct Suite {
    size: Size,
    parent: PathBuf,
    output: Output,
    measures: Vec<Measure>,
}

impl Suite {
    /// Events in batches of 100, as fast as they are acknowledged.
    async fn batches(&mut self) -> anyhow::Result<()> {
        let plan = IngestPlan { duration_max: seconds(self.size.batch_s), ..IngestPlan::of(Mix::STANDARD, 100, 8) };
        let report = self.ingest(&format!("batches of 100 for {} s", self.size.batch_s), plan).await?;
        let (unit, bounds) = (Unit::EventsPerSecond, (150_000, 400_000));
        self.add(Measure::new("ingest in batches of 100, durable and applied", unit, bounds, report.applied_per_s));
        self.add(Measure::unjudged("its acknowledgement, p99", Unit::Microseconds, report.latency.p99_us));
        Ok(())
    }

    /// One event per request, as fast as they are acknowledged.
    async fn singles(&mut self) -> anyhow::Result<()> {
        let plan = IngestPlan { duration_max: seconds(self.size.single_s), ..IngestPlan::of(Mix::STANDARD, 1, 64) };
        let report = self.ingest(&format!("single events for {} s", self.size.single_s), plan).await?;
        let (unit, bounds) = (Unit::RequestsPerSecond, (20_000, 60_000));
        self.add(Measure::new("ingest, one event per request, 64 connections", unit, bounds, report.applied_per_s));
        self.add(Measure::unjudged("its acknowledgement, p99", Unit::Microseconds, report.latency.p99_us));
        Ok(())
    }

    /// A fixed rate, for latencies.
    async fn paced(&mut self) -> anyhow::Result<()> {
        let rate = Some(10_000);
        let plan = IngestPlan {
            duration_max: seconds(self.size.paced_s),
            rate,
            visibility: true,
            ..IngestPlan::of(Mix::STANDARD, 10, 16)
        };
        let report = self.ingest(&format!("10,000 events/s offered for {} s", self.size.paced_s), plan).await?;
        let (unit, bounds) = (Unit::Microseconds, (20_000, 5_000));
        self.add(Measure::new("acknowledgement at 10,000 events/s offered, p99", unit, bounds, report.latency.p99_us));
        let visible_us = report.visibility.map_or(u64::MAX, |visibility| visibility.p99_us);
        self.add(Measure::new("accepted to visible, p99", unit, (1_000_000, 250_000), visible_us));
        Ok(())
    }

    /// Memory while many events arrive, and reading once they are stored.
    async fn stored(&mut self) -> anyhow::Result<()> {
        let events = self.size.stored_events;
        self.output.line(format_args!("## {events} events stored, then read\n"))?;
        let folder = Folder::temporary(&self.parent)?;
        let (server, _) = Server::start(folder.path(), &[]).await?;
        sleep(SETTLE).await;
        let idle = server.usage();
        let report = ingest::measure(&server, &query::fill_plan(events)).await?;
        self.output.line(format_args!("{report}\n"))?;
        report.check.ensure_exact()?;
        let read = query::measure(&server, self.size.queries, None).await?;
        self.output.line(format_args!("{read}\n"))?;
        let peak = server.usage();
        server.stop().await?;
        self.verify(folder.path()).await?;
        self.add_memory("resident memory, idle", (120, 60), idle.map(|usage| usage.resident_kib));
        self.add_memory("resident memory, peak under load", (600, 400), peak.map(|usage: Usage| usage.peak_kib));
        for route in &read.routes {
            let (name, unit, p99_us) = (format!("{}, p99", route.name), Unit::Microseconds, route.latency.p99_us);
            self.add(match route.name {
                query::WINDOWS_OF_CUSTOMER => Measure::new(name, unit, (5_000, 2_000), p99_us),
                _ => Measure::unjudged(name, unit, p99_us),
            });
        }
        Ok(())
    }

    /// A crash before anything was flushed.
    async fn restarted(&mut self) -> anyhow::Result<()> {
        let events = self.size.unflushed_events;
        self.output.line(format_args!("## restart with {events} unflushed events\n"))?;
        let folder = Folder::temporary(&self.parent)?;
        let report = restart::measure(folder.path(), events).await?;
        self.output.line(format_args!("{report}\n"))?;
        report.check.ensure_exact()?;
        self.verify(folder.path()).await?;
        let ready_us = u64::try_from(Duration::from_secs_f64(report.ready_s).as_micros()).unwrap_or(u64::MAX);
        let (unit, bounds) = (Unit::Microseconds, (10_000_000, 2_000_000));
        self.add(Measure::new(format!("restart with {events} unflushed events to ready"), unit, bounds, ready_us));
        Ok(())
    }

    /// The analytical questions on generated events, and moving those out and in.
    async fn analytics(&mut self) -> anyhow::Result<()> {
        let events = self.size.seeded_events;
        self.output.line(format_args!("## questions about {events} generated events\n"))?;
        let folder = Folder::temporary(&self.parent)?;
        self.output.line(format_args!("{}\n", seed(folder.path(), events).await?))?;
        let report = analytics::measure(folder.path(), self.size.queries).await?;
        self.output.line(format_args!("{report}\n"))?;
        let scratch = Folder::temporary(&self.parent)?;
        let moved = analytics::transfer(folder.path(), scratch.path()).await?;
        self.output.line(format_args!("{moved}\n"))?;
        self.verify(folder.path()).await?;
        for RouteReport { name, latency, .. } in &report.routes {
            self.add(Measure::new(format!("{name}, p99"), Unit::Microseconds, (10_000, 2_000), latency.p99_us));
        }
        let name = format!("query of {events} events by one property, p50");
        self.add(Measure::new(name, Unit::Microseconds, (500_000, 200_000), report.grouping.p50_us));
        for (format, rate) in &moved.import_per_s {
            let bounds = (200_000, 500_000);
            self.add(Measure::new(format!("import of {format}, rows as events"), Unit::EventsPerSecond, bounds, *rate));
        }
        Ok(())
    }

    /// The live view under load.
    async fn live(&mut self) -> anyhow::Result<()> {
        let (rate, warm_up_s) = (50_000, self.size.live_s);
        self.output.line(format_args!("## live view under {rate} events/s\n"))?;
        let folder = Folder::temporary(&self.parent)?;
        let (server, _) = Server::start(folder.path(), &[]).await?;
        let report = live::measure(&server, rate, warm_up_s, self.size.queries).await?;
        server.stop().await?;
        self.output.line(format_args!("{report}\n"))?;
        self.verify(folder.path()).await?;
        for (RouteReport { name, latency, .. }, bounds) in report.windows.iter().zip([(5_000, 2_000), (20_000, 5_000)])
        {
            self.add(Measure::new(format!("{name}, p99"), Unit::Microseconds, bounds, latency.p99_us));
        }
        let (name, p99_us) = ("replace 100,000 reference users, p99", report.replacement.p99_us);
        self.add(Measure::new(name, Unit::Microseconds, (200_000, 100_000), p99_us));
        let meanwhile = report.while_replacing.p99_us;
        self.add(Measure::unjudged("live 300 s meanwhile, p99", Unit::Microseconds, meanwhile));
        Ok(())
    }

    /// What it costs to know who asks.
    async fn auth(&mut self, inside: &impl Inside) -> anyhow::Result<()> {
        self.output.line("## keys, tokens and logins\n")?;
        let report = auth::measure(&self.parent, self.size.auth, inside, self.output).await?;
        self.output.line(format_args!("{report}\n"))?;
        self.measures.extend(report.measures());
        Ok(())
    }

    /// What limits cost, and what they are good for.
    async fn fairness(&mut self) -> anyhow::Result<()> {
        self.output.line("## limits\n")?;
        let report = fairness::measure(&self.parent, self.size.fairness, self.output).await?;
        self.output.line(format_args!("{report}\n"))?;
        self.measures.extend(report.measures());
        Ok(())
    }

    /// A load on a fresh server, checked and verified.
    async fn ingest(&self, title: &str, plan: IngestPlan) -> anyhow::Result<IngestReport> {
        self.output.line(format_args!("## {title}\n"))?;
        let folder = Folder::temporary(&self.parent)?;
        let (server, _) = Server::start(folder.path(), &[]).await?;
        let report = ingest::measure(&server, &plan).await?;
        server.stop().await?;
        self.output.line(format_args!("{report}\n"))?;
        report.check.ensure_exact()?;
        self.verify(folder.path()).await?;
        Ok(report)
    }

    async fn verify(&self, folder: &Path) -> anyhow::Result<()> {
        let summary = verify(folder.to_owned()).await?;
        self.output.line(format_args!("verify: {summary}\n"))
    }

    fn add(&mut self, measure: Measure) {
        self.measures.push(measure);
    }

    fn add_memory(&mut self, name: &str, (floor_mib, goal_mib): (u64, u64), found_kib: Option<u64>) {
        if let Some(found_kib) = found_kib {
            self.add(Measure::new(name, Unit::Kib, (floor_mib * 1_024, goal_mib * 1_024), found_kib));
        }
    }
}

fn seconds(seconds: u64) -> Option<Duration> {
    Some(Duration::from_secs(seconds))
}
