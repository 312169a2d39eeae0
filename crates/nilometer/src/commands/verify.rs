//! `nilometer verify`: every aggregate against the raw events (I3).

use std::io::Write;
use std::process::ExitCode;

use crate::assemble::Engine;
use crate::cli::FolderArgs;

/// Prints each difference and a summary line.
pub(super) async fn verify(folder: FolderArgs) -> anyhow::Result<ExitCode> {
    let engine = Engine::open_existing(&folder.data).await?;
    engine.catch_up().await?;
    let mut written = Ok(());
    let summary = engine
        .ledger
        .verify(&mut |difference| {
            if written.is_ok() {
                written = writeln!(std::io::stdout(), "{difference}");
            }
        })
        .await?;
    written?;
    engine.close().await?;
    writeln!(
        std::io::stdout(),
        "verified {} events: {} windows, {} hours, {} customers, {} rollups, {} differences",
        summary.events,
        summary.windows,
        summary.hours,
        summary.customers,
        summary.rollups,
        summary.differences,
    )?;
    Ok(if summary.differences == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
