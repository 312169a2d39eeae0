//! `nilometer verify`: every aggregate against the raw events (I3).

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use crate::assemble::Engine;
use crate::cli::VerifyArgs;
use crate::exit::Exit;
use crate::folder::IfCopy;

/// Prints each difference and a summary line.
pub(super) async fn verify(args: VerifyArgs) -> anyhow::Result<ExitCode> {
    let if_copy = if args.recover_copy { IfCopy::Recover } else { IfCopy::Refuse };
    let difference = verify_folder(&args.folder.data, if_copy).await?;
    Ok(difference.map_or(ExitCode::SUCCESS, ExitCode::from))
}

/// Does the same with `data`; says whether there is a difference. A copy without one is a folder like any other from
/// then on.
pub(super) async fn verify_folder(data: &Path, if_copy: IfCopy) -> anyhow::Result<Option<Exit>> {
    let engine = Engine::open_existing(data, if_copy).await?;
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
    let is_whole = summary.differences == 0;
    if is_whole {
        engine.close().await?
    } else {
        engine.close_unproven().await?
    }
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
    Ok(if is_whole { None } else { Some(Exit::Difference) })
}
