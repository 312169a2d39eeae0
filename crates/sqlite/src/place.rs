//! The file's place on disk: whether one is there, and how a new one gets there whole.
//! SQLite opens files by itself, so they lie on a real disk and not behind `vfs`.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// The smallest page that SQLite has.
const FILE_BYTES_MIN: u64 = 512;
/// Mode of the file; SQLite gives the log beside it the same.
const OWNER_ONLY: u32 = 0o600;
/// What the names of SQLite's own temporary files begin with.
const TEMPORARY_PREFIX: &str = "etilqs_";
/// Free space that writing a file anew leaves to everything else on the disk, in bytes.
const SPACE_LEFT_BYTES: u64 = 256 << 20;

/// The folder that a file is in.
pub(crate) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Removes temporary files of SQLite from a file's folder. It takes each out of the folder as soon as it is open, so only
/// those are left at whose making a process died.
pub(crate) fn remove_temporary(path: &Path) -> Result<(), Failure> {
    for entry in fs::read_dir(folder_of(path))? {
        let entry = entry?;
        if entry.file_name().as_encoded_bytes().starts_with(TEMPORARY_PREFIX.as_bytes()) {
            remove(&entry.path())?;
        }
    }
    Ok(())
}

/// Refuses to write a file anew without room for the copy, for the log through which it comes back, and for all that
/// others need meanwhile.
pub(crate) fn check_room(path: &Path) -> Result<(), Failure> {
    let log = fs::metadata(with_suffix(path, "-wal")).map_or(0, |log| log.len());
    let needed = (fs::metadata(path)?.len() + log).saturating_mul(2).saturating_add(SPACE_LEFT_BYTES);
    let disk = rustix::fs::statvfs(path).map_err(io::Error::from)?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    if free >= needed {
        return Ok(());
    }
    let message = format!("{free} bytes are free and {needed} needed");
    Err(io::Error::new(io::ErrorKind::StorageFull, message).into())
}

/// Whether there is no file yet. The remains of one are damage, never a new file.
pub(crate) fn is_vacant(path: &Path) -> Result<bool, Failure> {
    let has_log = with_suffix(path, "-wal").exists();
    match File::open(path) {
        Ok(file) => check_length(&file, has_log).map(|()| false),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
        // SQLite would replay the log into the new file.
        Err(_) if has_log => Err(Failure::corrupt("only its write-ahead log is there")),
        Err(_) => Ok(true),
    }
}

/// Whether something of the file stands in its write-ahead log alone, as after a crash.
pub(crate) fn has_log(path: &Path) -> Result<bool, Failure> {
    match fs::metadata(with_suffix(path, "-wal")) {
        Ok(log) => Ok(log.len() > 0),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Refuses a file that was cut: SQLite would read zeros behind its end. The log, if there is one,
/// may hold the end.
fn check_length(mut file: &File, has_log: bool) -> Result<(), Failure> {
    let length = file.metadata()?.len();
    if length < FILE_BYTES_MIN {
        return Err(Failure::corrupt(format!("it has {length} bytes only")));
    }
    let mut header = [0; 32];
    file.read_exact(&mut header)?;
    // https://sqlite.org/fileformat.html#the_database_header
    let page_bytes = u64::from(u16::from_be_bytes([header[16], header[17]]));
    let pages = u64::from(u32::from_be_bytes([header[28], header[29], header[30], header[31]]));
    if has_log || page_bytes * pages <= length {
        return Ok(());
    }
    Err(Failure::corrupt(format!("it has {length} bytes, but {pages} pages of {page_bytes}")))
}

/// An empty file to build the new one in, beside its place. Only its owner may read it: the manifest holds
/// the folder's secret key. Replaces what a crash left there.
#[expect(clippy::disallowed_methods, reason = "what is lost here is made anew: nothing counts before `publish`")]
pub(crate) fn new_draft(path: &Path) -> Result<PathBuf, Failure> {
    let draft = with_suffix(path, ".new");
    remove(&draft)?;
    remove(&with_suffix(&draft, "-journal"))?;
    OpenOptions::new().write(true).create_new(true).mode(OWNER_ONLY).open(&draft)?;
    Ok(draft)
}

/// Puts the finished draft into its place, durably. SQLite has synced the draft itself. A log of a file
/// that was there before goes first: SQLite would replay it into the new one.
#[expect(clippy::disallowed_methods, reason = "a failure leaves no open file that could be written over")]
pub(crate) fn publish(draft: &Path, path: &Path) -> Result<(), Failure> {
    remove(&with_suffix(path, "-wal"))?;
    remove(&with_suffix(path, "-shm"))?;
    fs::rename(draft, path)?;
    File::open(folder_of(path))?.sync_all()?;
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "none counts: a draft, a temporary file, or what a new file replaces")]
fn remove(path: &Path) -> Result<(), Failure> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// `path` with `suffix` behind its name.
fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}
