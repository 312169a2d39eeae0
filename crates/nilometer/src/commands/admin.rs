//! `nilometer admin`: what an operator tells a running server.

use std::io::Write;
use std::process::ExitCode;

use anyhow::bail;

use crate::admin;
use crate::cli::{AdminCommand, FolderArgs};
use crate::folder::{FolderError, MANIFEST_FILE, is_in_use};

/// Runs one of them.
pub(super) fn admin(command: AdminCommand) -> anyhow::Result<ExitCode> {
    match command {
        AdminCommand::AcceptClock(folder) => accept_clock(&folder),
    }
}

fn accept_clock(FolderArgs { data }: &FolderArgs) -> anyhow::Result<ExitCode> {
    if !data.join(MANIFEST_FILE).is_file() {
        return Err(FolderError::Missing { folder: data.clone() }.into());
    }
    if !is_in_use(data) {
        bail!("no server runs on {}: start it first", data.display());
    }
    let answer = admin::accept_clock(data)?;
    writeln!(std::io::stdout(), "{}", answer.told())?;
    Ok(ExitCode::SUCCESS)
}
