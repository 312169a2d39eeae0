//! `nilometer bench encryption`: what it costs to encrypt two properties of every event. The same load, in turns, on a
//! server that encrypts them and on one that does not; events of both carry them. A bound that does not hold is shown and
//! is no failure; a wrong count is one.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde::Serialize;

use super::args::EncryptionArgs;
use super::auth::key_load::{each_us, per_second, run as run_exactly};
use super::auth::pairs::{Compared, Pairs};
use super::folder::Folder;
use super::machine::Machine;
use super::measure::{Measure, Unit, table};
use super::output::Output;
use super::pair::order;
use super::plan::IngestPlan;
use super::server::{Server, verify};
use super::workload::Mix;
use crate::http::connection::Connection;

/// Throughput with two encrypted properties against that without, in thousandths.
const KEPT: u64 = 850;
/// Distinct customers of a run: few, since all of all runs are listed after each.
const CUSTOMERS: u32 = 100;
/// The properties of [`Mix::personal`].
const PATHS: &str = r#"{"paths":[{"path":"email"},{"path":"phone"}]}"#;

/// What the load without encryption and with it came to.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct EncryptionReport {
    /// Events per second, durable and applied.
    throughput: Compared,
    /// The server's processor time for one event, in microseconds; none where the system does not tell.
    processor: Option<Compared>,
}

impl EncryptionReport {
    fn measures(&self) -> Vec<Measure> {
        let kept = self.throughput.kept_thousandths();
        vec![Measure::bounded("ingest with two encrypted properties, of that without", Unit::RatioKept, KEPT, kept)]
    }
}

/// What was found, what it was found on, and the bound.
#[derive(Debug, Serialize)]
struct Judged<'r> {
    machine: Machine,
    measures: Vec<Measure>,
    #[serde(flatten)]
    report: &'r EncryptionReport,
}

/// Runs the command.
pub(super) async fn run(args: EncryptionArgs) -> anyhow::Result<()> {
    let parent = args.data.clone().unwrap_or_else(|| PathBuf::from("."));
    let output = Output::new(args.json);
    let machine = Machine::inspect(&parent);
    output.line(format_args!("{machine}\n"))?;
    let report = measure(&parent, args.pairs, args.seconds, output).await?;
    let judged = Judged { machine, measures: report.measures(), report: &report };
    output.result(&report, &judged)
}

async fn measure(parent: &Path, pairs: u32, length: Duration, output: Output) -> anyhow::Result<EncryptionReport> {
    let folders = [Folder::temporary(parent)?, Folder::temporary(parent)?];
    let [plain, encrypting] = &folders;
    let (plain, _) = Server::start(plain.path(), &[]).await?;
    let (encrypting, _) = Server::start(encrypting.path(), &[]).await?;
    encrypt(&encrypting).await?;
    let mix = Mix { customers: CUSTOMERS, personal: true, ..Mix::STANDARD };
    let plan = IngestPlan { duration_max: Some(length), ..IngestPlan::of(mix, 100, 8) };
    let (mut throughput, mut processor) = (Pairs::default(), Pairs::default());
    let both = [&plain, &encrypting];
    for pair in 0..pairs {
        let mut reports = [None, None];
        for side in order(pair) {
            reports[side] = Some(run_exactly(both[side], &plan).await?);
        }
        if let [Some(without), Some(with)] = &reports {
            throughput.add(per_second(without), per_second(with));
            processor.add(each_us(without), each_us(with));
        }
        output.line(format_args!("pair {} of {pairs}", pair + 1))?;
    }
    plain.stop().await?;
    encrypting.stop().await?;
    for folder in &folders {
        output.line(format_args!("verify: {}", verify(folder.path().to_owned()).await?))?;
    }
    let throughput = throughput.compared().context("nothing was taken")?;
    Ok(EncryptionReport { throughput, processor: processor.compared() })
}

/// Has a server encrypt the two properties.
async fn encrypt(server: &Server) -> anyhow::Result<()> {
    let target = server.target();
    let mut connection = Connection::new(Arc::clone(target));
    let request = target.change_openly("PATCH", "/v1/settings/encryption", PATHS);
    let response = connection.exchange(&request).await.context("failed to ask for encryption")?;
    ensure!(response.status == 200, "the request for encryption was answered {}", response.status);
    Ok(())
}

impl fmt::Display for EncryptionReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Compared { first, second, .. } = &self.throughput;
        writeln!(f, "\nbatches     {first:.0} events/s in plain text, {second:.0} encrypted: {}", self.throughput)?;
        if let Some(processor) = &self.processor {
            let Compared { first, second, .. } = processor;
            writeln!(f, "            {first:.2} us of the server an event, {second:.2} encrypted: {processor}")?;
        }
        write!(f, "\n{}", table(&self.measures()))
    }
}
