//! `nilometer verify`: every aggregate against the raw events (I3), and the audit log against its own hashes.

mod audit;

use ports::register::Revision;
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
    let difference = verify_folder(&args.folder.data()?, if_copy).await?;
    Ok(difference.map_or(ExitCode::SUCCESS, ExitCode::from))
}

/// Does the same with `data`; says whether there is a difference. A copy without one is a folder like any other from
/// then on.
pub(super) async fn verify_folder(data: &Path, if_copy: IfCopy) -> anyhow::Result<Option<Exit>> {
    let engine = Engine::open_existing(data, if_copy).await?;
    engine.catch_up().await?;
    let mut written = Ok(());
    let mut tell = |difference: String| {
        if written.is_ok() {
            written = writeln!(std::io::stdout(), "{difference}");
        }
    };
    let summary = engine.ledger.verify(&mut |difference| tell(difference.to_string())).await?;
    // Every record has a checksum, which is held against it on the way.
    engine.register_store().load(Revision::default(), &mut |_| ()).await?;
    let log = audit::follow_chains(&*engine.register_store(), &mut tell).await?;
    written?;
    let differences = summary.differences + log.differences;
    let is_whole = differences == 0;
    if is_whole {
        engine.close().await?
    } else {
        engine.close_unproven().await?
    }
    writeln!(
        std::io::stdout(),
        "verified {} events: {} windows, {} hours, {} customers, {} rollups, {} audit entries{}, {} differences",
        summary.events,
        summary.windows,
        summary.hours,
        summary.customers,
        summary.rollups,
        log.entries,
        if log.erased == 0 { String::new() } else { format!(" ({} erased)", log.erased) },
        differences,
    )?;
    Ok(if is_whole { None } else { Some(Exit::Difference) })
}
