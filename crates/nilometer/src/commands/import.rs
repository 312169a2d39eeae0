//! `nilometer import`: files into a data folder or a running server.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};

use super::destination::Destination;
use crate::cli::ImportArgs;
use crate::exit::Exit;
use crate::folder::IMPORT_CHECKPOINT_FILE;
use crate::import::checkpoint::Checkpoint;
use crate::import::files::{Input, Reading};
use crate::import::options::TableOptions;
use crate::import::rows::EmptyFile;
use crate::import::session::{ImportSession, Summary};

/// Imports until the end, or until it is interrupted.
pub(super) async fn import(args: ImportArgs) -> anyhow::Result<ExitCode> {
    tokio::select! {
        done = run(args) => done,
        interrupted = tokio::signal::ctrl_c() => {
            interrupted.context("failed to listen for signals")?;
            bail!("interrupted; the same command goes on where this one ended")
        }
    }
}

async fn run(args: ImportArgs) -> anyhow::Result<ExitCode> {
    let ImportArgs { files, into, format, map, now, null, delimiter, rejects, no_resume, strict } = args;
    // Before anything is opened: a name that is wrong shall not make a folder.
    for file in &files {
        Input::find(file, "")?;
        if rejects.as_ref().is_some_and(|rejects| is_same(rejects, Path::new(file))) {
            bail!("--rejects {file} is one of the files to import");
        }
    }
    let destination = Destination::open(into, strict).await?;
    let purpose =
        format!("{} {format:?} {map:?} {null:?} {delimiter:?} {rejects:?} {strict} {now}", destination.identity());
    let mut inputs = files.iter().map(|file| Input::find(file, &purpose)).collect::<anyhow::Result<Vec<_>>>()?;
    let beside_rejects = || rejects.as_ref().map(|path| with_suffix(path, ".checkpoint"));
    let path = destination.folder().map(|folder| folder.join(IMPORT_CHECKPOINT_FILE)).or_else(beside_rejects);
    let checkpoint = path.map(|path| Checkpoint::open(path, !no_resume, &inputs));
    if let Some(checkpoint) = &checkpoint {
        inputs.iter_mut().for_each(|input| input.from = checkpoint.resume_point(input));
    }
    let meter = Arc::default();
    let tables = TableOptions { delimiter, mapping: map, nulls: null, now };
    let reading =
        Reading { inputs: inputs.clone(), format, tables, limits: destination.limits(), meter: Arc::clone(&meter) };
    let mut session = ImportSession::for_files(inputs, reading.bytes(), meter);
    if let Some(checkpoint) = checkpoint {
        session.keep_checkpoint(checkpoint);
    }
    if let Some(path) = &rejects {
        session.keep_rejects(path)?;
    }
    let loaded = destination.load(reading, &mut session).await;
    let closed = destination.close().await;
    let summary = session.close(loaded.is_ok() && closed.is_ok())?;
    writeln!(std::io::stdout(), "imported {summary}")?;
    if closed.is_ok()
        && let Some(why) = nothing_taken(&summary, &loaded)
    {
        writeln!(std::io::stderr(), "error: no row was taken: {why}")?;
        return Ok(Exit::NothingTaken.into());
    }
    loaded?;
    closed?;
    summary.check()?;
    Ok(if strict && summary.rejected > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Why no row was taken, when that is for the rows alone.
fn nothing_taken(summary: &Summary, loaded: &anyhow::Result<()>) -> Option<String> {
    if !summary.took_nothing() {
        return None;
    }
    match loaded {
        Err(why) if why.is::<EmptyFile>() => Some(format!("{why:#}")),
        Err(_) => None,
        Ok(()) if summary.rows == 0 => Some("no file holds one".to_owned()),
        Ok(()) => Some("each is refused".to_owned()),
    }
}

/// Whether both paths lead to one file.
fn is_same(left: &Path, right: &Path) -> bool {
    left == right || left.canonicalize().ok().zip(right.canonicalize().ok()).is_some_and(|(left, right)| left == right)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
