//! `nilometer doctor`: what an operator should know of a data folder before trusting it with anything. Looks, and
//! changes nothing: the folder, who else may read it, the master key, and whether the disk under it is encrypted.

mod disk;

use std::fmt;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::ExitCode;

use access::control::{needs_master, opens};

use super::destination::or_environment;
use crate::assemble::Engine;
use crate::cli::FolderArgs;
use crate::config::{CONFIG_VARIABLE, Config};
use crate::exit::Exit;
use crate::folder::{FolderError, IfCopy, MANIFEST_FILE, MASTER_KEY_FILE, is_copy, is_in_use};
use crate::secrets::read_master_key;
use disk::DiskEncryption;

/// What others than the owner can do with a file.
const OTHERS: u32 = 0o077;

/// How a finding is to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Grade {
    Fine,
    /// Nothing is broken, but it may not be as it is meant.
    Warning,
    /// The server does not start like this.
    Wrong,
}

impl fmt::Display for Grade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fine => "ok",
            Self::Warning => "warning",
            Self::Wrong => "wrong",
        })
    }
}

/// What was found: how it is to be taken, of what it is, and in words.
type Finding = (Grade, &'static str, String);

/// Prints a line for each finding. Fails when one is wrong.
pub(super) async fn doctor(args: FolderArgs) -> anyhow::Result<ExitCode> {
    let config = Config::of_folder(or_environment(None, CONFIG_VARIABLE)?.as_deref())?;
    let data = args.data()?;
    if !data.join(MANIFEST_FILE).is_file() {
        return Err(FolderError::Missing { folder: data }.into());
    }
    let named = config.access.master_key_file;
    let findings = [folder(&data)?, permissions(&data)?, master_key(&data, named.as_deref()).await, disk(&data)?];
    for (grade, what, words) in &findings {
        writeln!(std::io::stdout(), "{:<8} {what}: {words}", grade.to_string())?;
    }
    let is_wrong = findings.iter().any(|(grade, ..)| *grade == Grade::Wrong);
    Ok(if is_wrong { Exit::Failed.into() } else { ExitCode::SUCCESS })
}

fn folder(data: &Path) -> anyhow::Result<Finding> {
    let place = data.display();
    Ok(match (is_in_use(data), is_copy(data)?) {
        (true, _) => (Grade::Fine, "folder", format!("{place}, which a process holds")),
        (false, true) => {
            (Grade::Wrong, "folder", format!("{place} is a copy of one that was open; see --recover-copy of serve"))
        }
        (false, false) => (Grade::Fine, "folder", format!("{place}, which no process holds")),
    })
}

/// Whether others than the owner can do anything with the folder or what lies in it.
fn permissions(data: &Path) -> anyhow::Result<Finding> {
    let is_open = |path: &Path| Ok::<_, std::io::Error>(std::fs::metadata(path)?.permissions().mode() & OTHERS != 0);
    // Whoever cannot enter the folder reaches nothing in it.
    if !is_open(data)? {
        return Ok((Grade::Fine, "permissions", "nobody but the owner reaches the folder".to_owned()));
    }
    let mut open = Vec::new();
    for entry in std::fs::read_dir(data)? {
        let path = entry?.path();
        // What is gone meanwhile was a temporary file.
        if is_open(&path).unwrap_or(false) {
            open.push(path.file_name().unwrap_or_default().to_string_lossy().into_owned());
        }
    }
    open.sort();
    Ok(if open.is_empty() {
        (Grade::Fine, "permissions", "others reach the folder, and none of its files".to_owned())
    } else {
        (Grade::Warning, "permissions", format!("others than the owner can do something with {}", open.join(", ")))
    })
}

/// Whether the master key opens what the folder holds. Of a folder in use that is known: its server has looked.
async fn master_key(data: &Path, named: Option<&Path>) -> Finding {
    let path = named.map_or_else(|| data.join(MASTER_KEY_FILE), Path::to_owned);
    let place = path.display();
    let what = "master key";
    let exists = path.exists();
    let key = if exists { read_master_key(&path).map(Some) } else { Ok(None) };
    let key = match key {
        Ok(key) => key,
        Err(why) => return (Grade::Wrong, what, format!("{why:#}")),
    };
    if is_in_use(data) {
        return match key {
            Some(_) => {
                (Grade::Fine, what, format!("{place} can be read; the server that runs has looked whether it fits"))
            }
            None => (Grade::Wrong, what, format!("{place} is missing: the next start will be refused")),
        };
    }
    match fits(data, key.as_ref()).await {
        Ok(true) if key.is_some() => (Grade::Fine, what, format!("{place} opens what the folder holds")),
        Ok(true) => (Grade::Fine, what, "there is none yet, and nothing needs one".to_owned()),
        Ok(false) if key.is_some() => (Grade::Wrong, what, format!("{place} is not the one of this folder")),
        Ok(false) => (Grade::Wrong, what, format!("{place} is missing, though the folder holds what it opens")),
        Err(why) => (Grade::Wrong, what, format!("the folder does not open: {why:#}")),
    }
}

async fn fits(data: &Path, key: Option<&access::master_key::MasterKey>) -> anyhow::Result<bool> {
    let engine = Engine::open_existing(data, IfCopy::Refuse).await?;
    let store = engine.register_store();
    let fits = match key {
        Some(key) => opens(&*store, key).await,
        None => needs_master(&*store).await.map(|needs| !needs),
    };
    drop(store);
    engine.close().await?;
    Ok(fits?)
}

fn disk(data: &Path) -> anyhow::Result<Finding> {
    let what = "encryption of the disk";
    Ok(match DiskEncryption::of(data)? {
        DiskEncryption::Encrypted(by) => (Grade::Fine, what, format!("the folder is on {by}")),
        DiskEncryption::Plain(device) => {
            let words = format!(
                "the folder is on {device}, which the system does not encrypt; unless the volume is encrypted below the \
                 machine, put the folder on a LUKS device"
            );
            (Grade::Warning, what, words)
        }
        DiskEncryption::Unknown(why) => (Grade::Warning, what, format!("cannot be told: {why}")),
    })
}
