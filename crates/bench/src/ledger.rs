//! `nilometer bench ledger` and `bench dedup`: the transaction of a ledger in a database, batch by batch in turns with
//! COPY of those of its events that counted into a bare logged table. Then what the database is left with: until nothing
//! is left to be vacuumed, sizes, locks. Refuses a ledger that has events.

pub(crate) mod args;
mod events;
mod report;

use anyhow::{Context, bail, ensure};
use clock::{Stopwatch, SystemClock};
use ports::clock::Clock;
use ports::journal::Delivery;
use ports::ledger::{Applied, Ledger, Outcome};

use super::inside::{Asked, Inside, SharedLedger};
use super::output::Output;
use args::{DedupArgs, LedgerArgs};
use events::{Batches, EventPlan};
use report::{LedgerReport, Turn};

/// Batches during which locks are counted, which are not timed.
const LOOKED_AT: u64 = 5;

/// Runs `bench ledger`.
///
/// # Errors
/// When the ledger has events, something fails, or an event counts more or less than once.
pub(super) async fn run(args: LedgerArgs, inside: &impl Inside) -> anyhow::Result<()> {
    let output = Output::new(args.json);
    let shared = inside.open_shared(&args.database.urls(), 0).await?;
    let report = measure(shared, args.plan(), args.warm_up, args.batches, output).await?;
    output.result(&report, &report)
}

/// Runs `bench dedup`: as [`run`], live, with ids of other events in place.
///
/// # Errors
/// As [`run`].
pub(super) async fn run_dedup(args: DedupArgs, inside: &impl Inside) -> anyhow::Result<()> {
    let output = Output::new(args.json);
    let since = Stopwatch::start();
    let shared = inside.open_shared(&args.database.urls(), args.ids).await?;
    output.line(format_args!("{} ids made in {:.0} s", args.ids, since.elapsed().as_secs_f64()))?;
    let report = measure(shared, EventPlan::LIVE, args.warm_up, args.batches, output).await?;
    output.result(&report, &report)
}

async fn measure(
    mut shared: impl SharedLedger,
    plan: EventPlan,
    warm_up: u64,
    batches: u64,
    output: Output,
) -> anyhow::Result<LedgerReport> {
    let ledger = shared.ledger();
    ensure!(ledger.stats().flushed_events == 0, "the ledger has events: name a database of its own");
    let (mut made, mut turns, mut counted) = (Batches::new(plan), Vec::new(), 0);
    for number in 0..warm_up + batches {
        let records = made.next(SystemClock.now())?;
        let before = shared.ask(Asked::LogBytes).await?;
        let since = Stopwatch::start();
        let applied = apply(&*ledger, &records).await?;
        let took = since.elapsed();
        let log_bytes = shared.ask(Asked::LogBytes).await? - before;
        let (bare, events) = shared.copy_bare(&records, &applied).await?;
        counted += events;
        if number < warm_up {
            continue;
        }
        let turn = Turn { events, took, bare, log_bytes };
        if (turns.len() as u64).is_multiple_of(batches.div_ceil(10)) {
            output.line(format_args!("{number:>6}  {turn}"))?;
        }
        turns.push(turn);
    }
    let since = Stopwatch::start();
    shared.vacuum().await?;
    let vacuumed = since.elapsed();
    let (locks, more) = locks(&mut shared, &*ledger, &mut made).await?;
    counted += more;
    let stored = ledger.stats().flushed_events;
    ensure!(stored == counted, "{stored} events count in place of {counted}");
    let connections = shared.ask(Asked::Connections).await?;
    let report = LedgerReport::of(&turns, vacuumed, locks, connections, stored, shared.sizes().await?);
    shared.close().await?;
    Ok(report)
}

/// The most locks that a transaction has, and how many events have counted meanwhile.
async fn locks(shared: &mut impl SharedLedger, ledger: &dyn Ledger, made: &mut Batches) -> anyhow::Result<(u64, u64)> {
    let (mut most, mut counted) = (0, 0);
    for _ in 0..LOOKED_AT {
        let records = made.next(SystemClock.now())?;
        let applying = apply(ledger, &records);
        tokio::pin!(applying);
        let applied = loop {
            tokio::select! {
                biased;
                applied = &mut applying => break applied?,
                found = shared.ask(Asked::Locks) => most = most.max(found?),
            }
        };
        let outcomes = applied.iter().flat_map(|applied| &applied.outcomes);
        counted += outcomes.filter(|outcome| **outcome == Outcome::Fresh).count() as u64;
    }
    Ok((most, counted))
}

async fn apply(ledger: &dyn Ledger, records: &[Delivery]) -> anyhow::Result<Vec<Applied>> {
    let applied = ledger.apply(records).await;
    match applied.failed {
        Some(why) => Err(why).context("failed to apply a batch"),
        None if applied.applied.len() == records.len() => Ok(applied.applied),
        None => bail!("{} of {} records were applied", applied.applied.len(), records.len()),
    }
}
