//! Other commands of this same executable, run to their end.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

use super::server::own_executable;

/// The format of a file of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileKind {
    /// Comma-separated values.
    Csv,
    /// One JSON document per line.
    Ndjson,
}

impl FileKind {
    /// What options call it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Ndjson => "ndjson",
        }
    }

    /// A file of that format.
    pub(super) fn file_name(self) -> PathBuf {
        PathBuf::from(format!("events.{}", self.name()))
    }
}

/// Fills the folder `data` with generated events; returns what the command said last.
pub(super) async fn seed(data: &Path, events: u64) -> anyhow::Result<String> {
    run_own(&["seed", "--events", &events.to_string()], &[], data).await
}

/// Runs a command on the folder `data`; returns the last line it printed.
pub(super) async fn run_own(words: &[&str], paths: &[&Path], data: &Path) -> anyhow::Result<String> {
    let mut words: Vec<OsString> = words.iter().map(OsString::from).collect();
    words.extend(paths.iter().map(|path| path.as_os_str().to_owned()));
    words.extend([OsString::from("--data"), data.as_os_str().to_owned()]);
    let name = words.first().map(|word| word.to_string_lossy().into_owned()).unwrap_or_default();
    let run = move || Command::new(own_executable()?).args(words).output().context("failed to start a command");
    let output = tokio::task::spawn_blocking(run).await.context("failed to wait for a command")??;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    ensure!(output.status.success(), "{name} ended with {}: {said}", output.status);
    Ok(said.lines().last().unwrap_or_default().to_owned())
}
