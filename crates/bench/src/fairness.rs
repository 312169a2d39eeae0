//! `nilometer bench fairness`: what limits and quotas cost, and what limits are good for. First taking events without
//! any and with limits and quotas that are never reached, in turns on two servers that stay. Then one workspace that
//! sends a little, alone and beside one that floods at many times its limit: how long the quiet one waits for its
//! acknowledgements. A bound that does not hold is shown and is no failure; a wrong count is one.

mod flood;
mod report;
pub(super) mod size;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde::Serialize;
use serde_json::json;

use super::args::FairnessArgs;
use super::auth::{KeyLoad, Kind, Servers};
use super::folder::Folder;
use super::ingest;
use super::machine::Machine;
use super::measure::Measure;
use super::output::Output;
use super::pair::order;
use super::plan::IngestPlan;
use super::server::{Server, verify};
use super::workload::Mix;
use crate::http::connection::Connection;
use flood::{Answers, Flood, FloodPlan};
pub(super) use report::FairnessReport;
use report::QuietRun;
use size::FairnessSize;

/// Events a second of the quiet workspace, one in a request.
const QUIET_RATE: u64 = 500;
const QUIET_CONNECTIONS: u16 = 8;
/// The limit of each workspace, in events a second.
const LIMIT: u64 = 2_000;
/// How many times its limit the flood sends.
const FLOOD_FACTOR: u64 = 50;
/// Customers of a run: few, since all of all runs are listed after each.
const CUSTOMERS: u32 = 50;
/// Customers with a quota of their own.
const CUSTOMERS_WITH_QUOTA: u32 = 10;
/// The keys of both, of one length.
const QUIET_KEY: &str = "key-of-the-quiet-one-0000";
const FLOOD_KEY: &str = "key-of-the-flood-00000000";

#[derive(Debug, Serialize)]
struct Judged<'r> {
    machine: Machine,
    measures: Vec<Measure>,
    #[serde(flatten)]
    report: &'r FairnessReport,
}

/// Runs the command.
pub(super) async fn run(args: FairnessArgs) -> anyhow::Result<()> {
    let parent = args.data.clone().unwrap_or_else(|| PathBuf::from("."));
    let output = Output::new(args.json);
    let machine = Machine::inspect(&parent);
    output.line(format_args!("{machine}\n"))?;
    let report = measure(&parent, args.size(), output).await?;
    let judged = Judged { machine, measures: report.measures(), report: &report };
    output.result(&report, &judged)
}

/// Measures everything, in folders of its own in `parent`.
pub(super) async fn measure(parent: &Path, size: FairnessSize, output: Output) -> anyhow::Result<FairnessReport> {
    let (batches, singles) = cost(parent, size, output).await?;
    let keys = format!("quiet:{QUIET_KEY},flood:{FLOOD_KEY}");
    let limit = LIMIT.to_string();
    let folder = Folder::temporary(parent)?;
    let settings = [("NILOMETER_API_KEYS", &*keys), ("NILOMETER_WORKSPACE_EVENTS_PER_SEC", &limit)];
    let (server, _) = Server::start(folder.path(), &settings).await?;
    let server = server.presenting(vec![QUIET_KEY.to_owned()])?;
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    let mut answers = Answers::default();
    for run in 0..size.quiet_runs {
        for side in order(run) {
            if side == 0 {
                alone.push(quiet(&server, size.quiet_run).await?);
            } else {
                let flood = Flood::start(flood_plan(&server)?);
                beside.push(quiet(&server, size.quiet_run).await?);
                answers.add(flood.stop().await?);
            }
        }
        output.line(format_args!("a quiet workspace and a flood: run {} of {}", run + 1, size.quiet_runs))?;
    }
    server.stop().await?;
    output.line(format_args!("verify: {}", verify(folder.path().to_owned()).await?))?;
    Ok(FairnessReport { batches, singles, quiet_rate: QUIET_RATE, limit: LIMIT, alone, beside, flood: answers })
}

/// Taking events without limits and quotas, and with all of them and none ever reached.
async fn cost(parent: &Path, size: FairnessSize, output: Output) -> anyhow::Result<(KeyLoad, KeyLoad)> {
    const MOST: &str = "1000000000";
    let keys = format!("quiet:{QUIET_KEY}");
    let keyed = ("NILOMETER_API_KEYS", &*keys);
    let limits = [
        keyed,
        ("NILOMETER_ADDRESS_REQUESTS_PER_MIN", MOST),
        ("NILOMETER_KEY_REQUESTS_PER_SEC", MOST),
        ("NILOMETER_WORKSPACE_REQUESTS_PER_SEC", MOST),
        ("NILOMETER_WORKSPACE_EVENTS_PER_SEC", MOST),
    ];
    let folders = [Folder::temporary(parent)?, Folder::temporary(parent)?];
    let (without, _) = Server::start(folders[0].path(), &[keyed]).await?;
    let (with, _) = Server::start(folders[1].path(), &limits).await?;
    set_quotas(&with).await?;
    let servers = Servers {
        empty: without.presenting(vec![QUIET_KEY.to_owned()])?,
        full: with.presenting(vec![QUIET_KEY.to_owned()])?,
    };
    let batches = KeyLoad::measure(&servers, Kind::Batches, size.pairs, size.run, output).await?;
    let singles = KeyLoad::measure(&servers, Kind::Singles, size.pairs, size.run, output).await?;
    let Servers { empty, full } = servers;
    empty.stop().await?;
    full.stop().await?;
    Ok((batches, singles))
}

/// Holds the workspace of the load to hard quotas of every measure and period. Its customers are others in each run, so
/// that those with a quota of their own are looked up for every event and send none.
async fn set_quotas(server: &Server) -> anyhow::Result<()> {
    const MOST: u64 = 1_000_000_000_000_000;
    let target = server.target();
    let mut connection = Connection::new(Arc::clone(target));
    let whole = ["events", "tokens", "calls"].into_iter().flat_map(|measure| {
        ["day", "month"].map(|period| json!({"measure": measure, "period": period, "limit": MOST}))
    });
    let of_customers = (0..CUSTOMERS_WITH_QUOTA).map(
        |number| json!({"customer": format!("c-{number}"), "measure": "events", "period": "month", "limit": MOST}),
    );
    for quota in whole.chain(of_customers) {
        let request = target.change_openly("PUT", "/v1/workspaces/quiet/quotas", &quota.to_string());
        let response = connection.exchange(&request).await.context("failed to set a quota")?;
        ensure!(response.status == 200, "a quota was answered {}", response.status);
    }
    Ok(())
}

/// One run of the quiet workspace, whose counts have to be right.
async fn quiet(server: &Server, time: Duration) -> anyhow::Result<QuietRun> {
    let mix = Mix { customers: CUSTOMERS, ..Mix::STANDARD };
    let plan = IngestPlan {
        duration_max: Some(time),
        rate: Some(QUIET_RATE),
        visibility: true,
        ..IngestPlan::of(mix, 1, QUIET_CONNECTIONS)
    };
    let report = ingest::measure(server, &plan).await?;
    report.check.ensure_exact()?;
    let visible_p99_us = report.visibility.map(|visible| visible.p99_us);
    Ok(QuietRun {
        p50_us: report.latency.p50_us,
        p99_us: report.latency.p99_us,
        refused: report.refused,
        visible_p99_us,
    })
}

fn flood_plan(server: &Server) -> anyhow::Result<FloodPlan> {
    let target = server.target().with_keys(vec![FLOOD_KEY.to_owned()])?;
    Ok(FloodPlan { target: target.into(), events_per_s: LIMIT * FLOOD_FACTOR })
}
