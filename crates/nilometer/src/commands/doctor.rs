//! `nilometer doctor`: what an operator should know of a data folder before trusting it with anything. Looks, and
//! changes nothing, so that it can be asked of a folder whose server is not to be started: the folder, who else may read
//! it, the master key, and whether the disk under it is encrypted. Files are read as they lie there.

mod disk;

use std::fmt;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::ExitCode;

use access::control::MasterFit;
use access::master_key::MasterKey;
use domain::access::record::Record;

use super::destination::or_environment;
use crate::assemble::{CatalogAsItLies, read_register};
use crate::cli::FolderArgs;
use crate::config::{CONFIG_VARIABLE, Config};
use crate::exit::Exit;
use crate::folder::{
    CATALOG_FILE, FolderError, MANIFEST_FILE, MASTER_KEY_FILE, NEXT_MASTER_KEY_FILE, is_copy, is_in_use,
};
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
    match fits(data, named, key.as_ref()).await {
        Ok((grade, words)) => (grade, what, words),
        Err(why) => (Grade::Wrong, what, format!("what the folder holds cannot be read: {why:#}")),
    }
}

/// How the master key fits the catalog of a folder that no process holds: read as it lies there, since opening it as a
/// start does would bring its format up to date, renew marks and tidy up.
async fn fits(data: &Path, named: Option<&Path>, key: Option<&MasterKey>) -> anyhow::Result<(Grade, String)> {
    let path = named.map_or_else(|| data.join(MASTER_KEY_FILE), Path::to_owned);
    let place = path.display();
    if !data.join(CATALOG_FILE).exists() {
        let words =
            format!("{CATALOG_FILE} is not there: the next start makes it if the folder is of a release before it");
        return Ok((Grade::Warning, format!("{words}, and is refused otherwise")));
    }
    // A change that was interrupted; the next start ends it.
    let next = data.join(NEXT_MASTER_KEY_FILE);
    let next_key = if named.is_none() && next.exists() { Some(read_master_key(&next)?) } else { None };
    let (mut fit, mut fit_of_next) = (MasterFit::default(), MasterFit::default());
    let mut count = |record: Record| {
        fit.count(&record, key);
        fit_of_next.count(&record, next_key.as_ref());
    };
    let has_log = match read_register(data, &mut count).await? {
        CatalogAsItLies::Read { has_log } => has_log,
        CatalogAsItLies::Older { format, newest } => {
            let words = format!("{CATALOG_FILE} has format {format}, and this version reads {newest}");
            return Ok((Grade::Warning, format!("{words}: after the next start it can be told whether {place} fits")));
        }
    };
    let (grade, words) = if fit_of_next.opened > 0 {
        (Grade::Warning, format!("a change of it was interrupted, and the next start ends it: {} fits", next.display()))
    } else if key.is_some() && fit.fits() {
        (Grade::Fine, format!("{place} opens what the folder holds"))
    } else if key.is_some() {
        let (sealed, first) = (fit.sealed.len(), fit.sealed.first().map_or("", String::as_str));
        let told = format!("{place} is not the one of this folder: it does not open {first}");
        (Grade::Wrong, if sealed > 1 { format!("{told} and {} more", sealed - 1) } else { told })
    } else if fit.needs_one {
        (Grade::Wrong, format!("{place} is missing, though the folder holds what it opens"))
    } else {
        (Grade::Fine, "there is none yet, and nothing needs one".to_owned())
    };
    if !has_log {
        return Ok((grade, words));
    }
    // The last changes may be that of the key itself.
    Ok((Grade::Warning, format!("{words}, without the last changes, which only a start reads after a crash")))
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
