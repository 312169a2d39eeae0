//! `nilometer bench`: measures a server from outside, over HTTP, as a client would. Every number is
//! one of acknowledged and applied events whose count was checked afterwards; a run that loses or
//! doubles an event fails. Never touches a data folder that a server has open.

use anyhow::{Context, bail};

use super::args::{BenchArgs, BenchCommand};
use super::inside::Inside;
use super::{analytics, auth, encryption, erase, fairness, ingest, ledger, live, pair, query, restart, suite};

/// Runs the benchmark that `args` name and prints what it found; `inside` is what no request reaches.
///
/// # Errors
/// When the server cannot be reached or started, answers with an error, or counted wrongly, and when
/// it is interrupted; when a build that was compared, or what it costs to know who asks, breaks a bound.
pub async fn run(args: BenchArgs, inside: impl Inside) -> anyhow::Result<()> {
    tokio::select! {
        done = measure(args.command, &inside) => done,
        // Dropping the benchmark ends its server and removes its folder.
        interrupted = tokio::signal::ctrl_c() => {
            interrupted.context("failed to listen for signals")?;
            bail!("interrupted")
        }
    }
}

async fn measure(command: BenchCommand, inside: &impl Inside) -> anyhow::Result<()> {
    match command {
        BenchCommand::Ingest(args) => ingest::run(args).await,
        BenchCommand::Query(args) => query::run(args).await,
        BenchCommand::Analytics(args) => analytics::run(args).await,
        BenchCommand::Live(args) => live::run(args).await,
        BenchCommand::Restart(args) => restart::run(args).await,
        BenchCommand::Erase(args) => erase::run(args).await,
        BenchCommand::Auth(args) => auth::run(args, inside).await,
        BenchCommand::Fairness(args) => fairness::run(args).await,
        BenchCommand::Encryption(args) => encryption::run(args).await,
        BenchCommand::Ledger(args) => ledger::run(args, inside).await,
        BenchCommand::Dedup(args) => ledger::run_dedup(args, inside).await,
        BenchCommand::Pair(args) => pair::run(args).await,
        BenchCommand::All(args) => suite::run(args, inside).await,
    }
}
