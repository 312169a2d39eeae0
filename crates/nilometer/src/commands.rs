//! The commands, one file each.

mod admin;
mod destination;
mod doctor;
mod erasures;
mod events;
mod export;
mod import;
mod inside;
mod shared;
mod migrate;
mod moving;
mod seed;
mod serve;
mod verify;

use std::future::Future;
use std::io;
use std::num::NonZeroUsize;
use std::process::ExitCode;

use anyhow::Context;
use clap::CommandFactory;

use crate::cli::{Cli, Command};
use crate::config::Config;
use crate::logging;

/// Runs one command to its end.
pub(crate) fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Serve(args) => {
            let mut config = Config::load(args.config.as_deref(), args.settings)?;
            config.engine.ledger.retention_now = args.retention_now;
            if args.new_journal {
                config.begin_new_journal()?;
            }
            logging::start(&config.log)?;
            let threads = config.worker_threads;
            block_on(threads, serve::serve(config, args.recover_copy))
        }
        Command::Verify(args) => block_on(None, verify::verify(args)),
        Command::Import(args) => block_on(None, import::import(args)),
        Command::Seed(args) => block_on(None, seed::seed(args)),
        Command::Export(args) => block_on(None, export::export(args)),
        Command::Events(command) => block_on(None, events::events(command)),
        Command::Bench(args) => block_on(None, bench::run(args, inside::OfThisProgram)).map(|()| ExitCode::SUCCESS),
        Command::Admin(command) => block_on(None, admin::admin(command)),
        Command::Migrate(command) => block_on(None, migrate::migrate(command)),
        Command::Move(args) => block_on(None, moving::run(args)),
        Command::Maintain(args) => block_on(None, migrate::maintain(args)),
        Command::Doctor(folder) => block_on(None, doctor::doctor(folder)),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "nilometer", &mut io::stdout().lock());
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Runs `task` on a runtime with so many threads, or one per core.
fn block_on<T>(threads: Option<NonZeroUsize>, task: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if let Some(threads) = threads {
        runtime.worker_threads(threads.get());
    }
    let runtime = runtime.enable_all().build().context("failed to start the runtime")?;
    let outcome = runtime.block_on(task);
    // A task that still hangs must not keep a process that is done.
    runtime.shutdown_background();
    outcome
}
