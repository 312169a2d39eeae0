//! One load with a key and without one, in turns on two servers that stay. Each run goes to one tenant, so that
//! all that differs is finding out whose the events are.

use std::time::Duration;

use anyhow::Context;
use serde::Serialize;

use super::pairs::{Compared, Pairs};
use super::servers::Servers;
use crate::ingest::{self, IngestReport};
use crate::output::Output;
use crate::pair::order;
use crate::plan::IngestPlan;
use crate::server::Server;
use crate::workload::Mix;

/// Distinct customers of a run: few, since all of all runs are listed after each.
const CUSTOMERS: u32 = 100;

/// What is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Batches of 100 on 8 connections.
    Batches,
    /// Single events on 64 connections.
    Singles,
}

impl Kind {
    /// What it is called.
    const fn name(self) -> &'static str {
        match self {
            Self::Batches => "batches of 100",
            Self::Singles => "single events",
        }
    }

    /// The load, for so long.
    pub(crate) fn plan(self, run: Duration) -> IngestPlan {
        let (batch, connections) = match self {
            Self::Batches => (100, 8),
            Self::Singles => (1, 64),
        };
        let mix = Mix { customers: CUSTOMERS, ..Mix::STANDARD };
        IngestPlan { duration_max: Some(run), ..IngestPlan::of(mix, batch, connections) }
    }
}

/// What the load without a key and with one came to.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct KeyLoad {
    /// Events per second, durable and applied.
    pub(crate) throughput: Compared,
    /// The server's processor time for one event, in microseconds; none where the system does not tell.
    pub(crate) processor: Option<Compared>,
}

impl KeyLoad {
    /// Takes turns on both servers.
    pub(crate) async fn measure(
        servers: &Servers,
        kind: Kind,
        pairs: u32,
        time: Duration,
        output: Output,
    ) -> anyhow::Result<Self> {
        let (mut throughput, mut processor) = (Pairs::default(), Pairs::default());
        let both = [&servers.empty, &servers.full];
        for pair in 0..pairs {
            let mut reports = [None, None];
            for side in order(pair) {
                reports[side] = Some(run(both[side], &kind.plan(time)).await?);
            }
            if let [Some(without), Some(with)] = &reports {
                throughput.add(per_second(without), per_second(with));
                processor.add(each_us(without), each_us(with));
            }
            output.line(format_args!("{}: pair {} of {}", kind.name(), pair + 1, pairs))?;
        }
        let throughput = throughput.compared().context("nothing was taken")?;
        Ok(Self { throughput, processor: processor.compared() })
    }
}

/// One run, whose counts have to be right.
pub(crate) async fn run(server: &Server, plan: &IngestPlan) -> anyhow::Result<IngestReport> {
    let report = ingest::measure(server, plan).await?;
    report.check.ensure_exact()?;
    Ok(report)
}

/// Events per second, durable and applied.
#[expect(clippy::cast_precision_loss, reason = "a ratio is taken of it")]
pub(crate) fn per_second(report: &IngestReport) -> f64 {
    report.applied_per_s as f64
}

/// Processor time of the server for an event, in microseconds; 0 when it is not known.
#[expect(clippy::cast_precision_loss, reason = "a ratio is taken of it")]
pub(crate) fn each_us(report: &IngestReport) -> f64 {
    let used = report.server_before.zip(report.server_after).map(|(before, after)| after.cpu_s - before.cpu_s);
    used.unwrap_or(0.0) * 1e6 / report.events.max(1) as f64
}
