//! `nilometer seed`: made events into a data folder or a running server.

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context, bail};
use bench::seed::{Generator, SeedPlan};
use clock::SystemClock;
use domain::time::{MICROS_PER_HOUR, Timestamp};
use ports::clock::Clock;

use super::destination::Destination;
use crate::cli::SeedArgs;
use crate::config::ConfigError;
use crate::import::batcher::{Batcher, Packer};
use crate::import::files::RowSource;
use crate::import::progress::LineInterval;
use crate::import::session::ImportSession;

/// Events between two lines of progress.
const LINE_EVENTS: u64 = 50_000;

/// Gives made events to an import, as a file gives its rows.
struct Seeding(Generator);

impl RowSource for Seeding {
    fn read_into<P: Packer>(self, batcher: &mut Batcher<'_, P>) -> anyhow::Result<()> {
        self.0.each(|candidate, bytes| batcher.take_generated(candidate, bytes))?;
        Ok(batcher.end()?)
    }
}

/// Makes events until the end, or until it is interrupted.
pub(super) async fn seed(args: SeedArgs) -> anyhow::Result<ExitCode> {
    tokio::select! {
        done = run(args) => done,
        interrupted = tokio::signal::ctrl_c() => {
            interrupted.context("failed to listen for signals")?;
            bail!("interrupted; with the same --until the same command counts nothing twice")
        }
    }
}

async fn run(args: SeedArgs) -> anyhow::Result<ExitCode> {
    let until = match &args.until {
        Some(text) => {
            let until = Timestamp::parse(text).map_err(|why| ConfigError::new(format!("--until is {why}")))?;
            until.floor_to(MICROS_PER_HOUR)
        }
        None => SystemClock.now().floor_to(MICROS_PER_HOUR),
    };
    let plan = SeedPlan {
        events: args.events,
        users: args.users,
        customers: args.customers,
        days: args.days,
        late: args.late,
        duplicates: args.duplicates,
        seed: args.seed,
        until,
    };
    let destination = Destination::open(args.into, false).await?;
    let mut session = ImportSession::for_generated(plan.events, LineInterval::Rows(LINE_EVENTS));
    let loaded = destination.load(Seeding(Generator::new(plan)), &mut session).await;
    let closed = destination.close().await;
    let summary = session.close(true)?;
    writeln!(std::io::stdout(), "seeded {summary}, until {until}")?;
    loaded?;
    closed?;
    summary.check()?;
    Ok(ExitCode::SUCCESS)
}
