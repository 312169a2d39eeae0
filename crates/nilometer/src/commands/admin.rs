//! `nilometer admin`: what an operator tells a running server, and the register of workspaces, people and keys.

mod register;

use std::io::Write;
use std::process::ExitCode;

use anyhow::bail;

use crate::admin;
use crate::cli::{AdminCommand, FolderArgs};
use crate::folder::{FolderError, MANIFEST_FILE, is_in_use};

/// Runs one of them.
pub(super) async fn admin(command: AdminCommand) -> anyhow::Result<ExitCode> {
    match command {
        AdminCommand::AcceptClock(folder) => accept_clock(&folder),
        AdminCommand::Register(command) => register::run(*command).await,
    }
}

fn accept_clock(folder: &FolderArgs) -> anyhow::Result<ExitCode> {
    let data = folder.data()?;
    if !data.join(MANIFEST_FILE).is_file() {
        return Err(FolderError::Missing { folder: data }.into());
    }
    if !is_in_use(&data) {
        bail!("no server runs on {}: start it first", data.display());
    }
    let answer = admin::accept_clock(&data)?;
    writeln!(std::io::stdout(), "{}", answer.told())?;
    Ok(ExitCode::SUCCESS)
}
