//! The move, stage by stage. How far it is stands in the database, so that the same command goes on with it.

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context, ensure};
use catalog::postgres::{PostgresCatalog, PostgresLimits};
use ledger_embedded::LedgerParts;
use ledger_postgres::Intake;
use ports::catalog::Catalog;
use ports::clock::Clock;
use ports::moving::{MoveStage, MovedTenant};

use super::comparison;
use super::stages::move_stage;
use crate::assemble::Engine;
use crate::cli::MoveArgs;
use crate::commands::migrate::address;
use crate::commands::verify::{verify_database, verify_engine};
use crate::exit::Exit;
use crate::folder::IfCopy;

/// The addresses of the two logins.
struct Urls {
    app: String,
    worker: String,
}

/// Moves the folder.
pub(crate) async fn run(args: MoveArgs) -> anyhow::Result<ExitCode> {
    let urls = Urls {
        app: address(args.to, "postgres_url", "--to")?,
        worker: address(args.worker_url, "postgres_worker_url", "--worker-url")?,
    };
    let engine = Engine::open_existing(&args.from, IfCopy::Refuse).await?;
    // What a server that was killed has left in the journal is part of the folder.
    engine.catch_up().await?;
    let moved = move_folder(&engine, &urls).await;
    engine.close().await?;
    Ok(moved?.map_or(ExitCode::SUCCESS, ExitCode::from))
}

async fn move_folder(engine: &Engine, urls: &Urls) -> anyhow::Result<Option<Exit>> {
    let folder = engine.folder_catalog()?;
    let parts = engine.embedded()?.parts().await?;
    let workspaces = folder.tenants().await?;
    ensure!(!workspaces.is_empty(), "the folder has no workspace: there is nothing to be moved");
    let tenants = parts.tenants(workspaces.into_iter().map(|workspace| workspace.id));
    let catalog = PostgresCatalog::open(&urls.app, &PostgresLimits::default()).await?;
    // Looked at before anything is written.
    let has_catalog = catalog.has_taken_in(folder).await?;
    let mut intake = Intake::open(&urls.worker, &parts.ledger(), &tenants).await?;
    let moved = async {
        ensure!(
            !has_catalog || intake.stage() >= MoveStage::Catalog,
            "the database has the workspaces of this folder, and not from a move of it"
        );
        while intake.stage() < MoveStage::Verify {
            next(engine, &parts, &tenants, &catalog, &mut intake).await?;
        }
        if intake.stage() == MoveStage::Done {
            writeln!(std::io::stdout(), "the folder has been moved before")?;
            return Ok(None);
        }
        let exit = prove(engine, &parts, &tenants, &intake, urls).await?;
        if exit.is_none() {
            intake.finish(MoveStage::Verify).await?;
        }
        Ok(exit)
    };
    let moved = moved.await;
    // Whatever went wrong, what was taken in stands, and others need not wait for the end of a lease.
    let closed = intake.close().await;
    catalog.close().await?;
    let exit = moved?;
    closed?;
    Ok(exit)
}

/// Moves what is next, and says so.
async fn next(
    engine: &Engine,
    parts: &LedgerParts,
    tenants: &[MovedTenant],
    catalog: &PostgresCatalog,
    intake: &mut Intake,
) -> anyhow::Result<()> {
    let stage = intake.stage();
    if stage == MoveStage::Catalog {
        let folder = engine.folder_catalog()?;
        // Nobody knows whether it counted, if the answer to its commit was lost.
        if !catalog.has_taken_in(folder).await? {
            catalog.take_in(folder, engine.clock.now()).await?;
        }
    } else {
        let moved = move_stage(parts, tenants, intake).await;
        moved.with_context(|| format!("failed to move {}; run the command again to go on", stage.name()))?;
    }
    let count = if stage == MoveStage::Catalog { tenants.len() as u64 } else { intake.taken() };
    intake.finish(stage).await?;
    writeln!(std::io::stdout(), "moved {:<22} {count}", stage.name())?;
    Ok(())
}

/// Verifies both sides and compares them.
async fn prove(
    engine: &Engine,
    parts: &LedgerParts,
    tenants: &[MovedTenant],
    intake: &Intake,
    urls: &Urls,
) -> anyhow::Result<Option<Exit>> {
    let folder = verify_engine(engine).await?;
    folder.tell()?;
    let database = verify_database(&urls.app, &urls.worker).await?;
    database.tell()?;
    let compared = comparison::compare(parts, tenants, intake).await?;
    writeln!(
        std::io::stdout(),
        "compared {} windows and {} customers of the folder and the database, {} differences",
        compared.windows,
        compared.customers,
        compared.differences
    )?;
    let differences = folder.differences() + database.differences() + compared.differences;
    Ok((differences > 0).then_some(Exit::Difference))
}
