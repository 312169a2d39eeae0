//! `nilometer verify`: every aggregate against the raw events (I3), and the audit log against its own hashes.

mod audit;
mod verified;
#[cfg(feature = "cluster")]
mod postgres;

use std::path::Path;
use std::process::ExitCode;

use ports::register::Revision;

use crate::assemble::Engine;
use crate::cli::VerifyArgs;
use crate::exit::Exit;
use crate::folder::IfCopy;
#[cfg(feature = "cluster")]
pub(super) use postgres::verify_database;
use verified::{Differences, Verified};

/// Prints each difference and a summary line.
pub(super) async fn verify(args: VerifyArgs) -> anyhow::Result<ExitCode> {
    let difference = if let Some(url) = args.postgres {
        database(url, args.worker_url).await?
    } else {
        let if_copy = if args.recover_copy { IfCopy::Recover } else { IfCopy::Refuse };
        verify_folder(&args.folder.data()?, if_copy).await?
    };
    Ok(difference.map_or(ExitCode::SUCCESS, ExitCode::from))
}

#[cfg(feature = "cluster")]
async fn database(app_url: String, worker_url: Option<String>) -> anyhow::Result<Option<Exit>> {
    let worker_url = super::migrate::address(worker_url, "postgres_worker_url", "--worker-url")?;
    let verified = verify_database(&app_url, &worker_url).await?;
    verified.tell()?;
    Ok(verified.exit())
}

#[cfg(not(feature = "cluster"))]
async fn database(_: String, _: Option<String>) -> anyhow::Result<Option<Exit>> {
    anyhow::bail!(super::migrate::NOT_BUILT)
}

/// Does the same with `data`; says whether there is a difference. A copy without one is a folder like any other from
/// then on.
pub(super) async fn verify_folder(data: &Path, if_copy: IfCopy) -> anyhow::Result<Option<Exit>> {
    let engine = Engine::open_existing(data, if_copy).await?;
    engine.catch_up().await?;
    let verified = verify_engine(&engine).await?;
    if verified.differences() == 0 {
        engine.close().await?;
    } else {
        engine.close_unproven().await?;
    }
    verified.tell()?;
    Ok(verified.exit())
}

/// Verifies an open folder, and prints each difference.
pub(super) async fn verify_engine(engine: &Engine) -> anyhow::Result<Verified> {
    let mut differences = Differences::default();
    let ledger = engine.embedded()?.verify(&mut |difference| differences.tell(&difference.to_string())).await?;
    // Every record has a checksum, which is held against it on the way.
    engine.register_store().load(Revision::default(), &mut |_| ()).await?;
    let log = audit::follow_chains(&*engine.register_store(), &mut |line| differences.tell(&line)).await?;
    differences.written?;
    Ok(Verified { ledger, log })
}
