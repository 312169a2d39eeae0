//! A server's folder: private, short enough for the path of a Unix socket, and of the account that the server runs as.
//! Removes nothing: the watcher does, so that there is one way to end.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use rustix::fs::statvfs;
use tempfile::TempDir;

use crate::account::Account;
use crate::error::Error;

/// For the owner alone.
const PRIVATE: u32 = 0o700;

/// Longest path of the folder of temporary files: a Unix socket's path ends at 107 bytes.
const BASE_BYTES_MAX: usize = 60;

/// Room that memory must have to be used: several times what the servers of a run hold.
const MEMORY_BYTES_MIN: u64 = 8 << 30;

/// How much of the end of a log is read.
const LOG_BYTES_MAX: u64 = 256 * 1_024;

/// The folder of one server, and whose it is.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// The folder.
    pub(crate) folder: PathBuf,
    /// The account of all that is in it.
    pub(crate) account: Account,
}

impl Place {
    /// Makes an empty one. It goes away with the guard, if that is not kept.
    pub(crate) fn make(account: Account) -> Result<(Self, TempDir), Error> {
        let what = "failed to make a temporary folder";
        let mut builder = tempfile::Builder::new();
        builder.prefix("nilometer-").permissions(Permissions::from_mode(PRIVATE));
        let guard = builder.tempdir_in(base(account)?).map_err(Error::machine(what))?;
        own(guard.path(), account)?;
        Ok((Self { folder: guard.path().to_owned(), account }, guard))
    }

    /// A path in it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Adds text to a file in it, which is made when there is none.
    pub(crate) fn add(&self, name: &str, text: &str) -> Result<PathBuf, Error> {
        let path = self.path(name);
        let mut file = open(&path, OpenOptions::new().append(true))?;
        file.write_all(text.as_bytes()).map_err(Error::machine(format!("failed to write {}", path.display())))?;
        own(&path, self.account)?;
        Ok(path)
    }

    /// Makes a file in it, or empties the one that is there.
    pub(crate) fn make_file(&self, name: &str) -> Result<File, Error> {
        let path = self.path(name);
        let file = open(&path, OpenOptions::new().write(true).truncate(true))?;
        own(&path, self.account)?;
        Ok(file)
    }

    /// The end of a file in it; empty when there is none.
    pub(crate) fn end_of(&self, name: &str) -> String {
        let mut bytes = Vec::new();
        let Ok(mut file) = File::open(self.path(name)) else { return String::new() };
        let length = file.metadata().map_or(0, |it| it.len());
        // A file that cannot be read is as good as empty: it is shown, never decided by.
        let _ = file.seek(SeekFrom::Start(length.saturating_sub(LOG_BYTES_MAX)));
        #[expect(clippy::disallowed_methods, reason = "limited to LOG_BYTES_MAX")]
        let _ = file.take(LOG_BYTES_MAX).read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// The folder of temporary files: `TMPDIR`, if set; else the system's memory, if that has room, since a sync takes no
/// time there and a killed process loses nothing of it; else `/tmp`. Passed over when its path is too long for sockets
/// or the account may not make and remove folders there.
pub(crate) fn base(account: Account) -> Result<PathBuf, Error> {
    let chosen = std::env::var_os("TMPDIR").map(PathBuf::from).filter(|folder| folder.is_absolute());
    let memory = Some(PathBuf::from("/dev/shm")).filter(|folder| has_room(folder));
    let folders: Vec<PathBuf> = [chosen, memory, Some(PathBuf::from("/tmp"))].into_iter().flatten().collect();
    let fits = |folder: &&PathBuf| folder.is_dir() && folder.as_os_str().len() <= BASE_BYTES_MAX;
    let found = folders.iter().filter(fits).find(|folder| !account.is_other || is_open_to_all(folder));
    found.cloned().ok_or_else(|| Error::Refused {
        what: "no folder for temporary files of the user that servers run as".to_owned(),
        said: format!("too long, or not open to all: {folders:?}"),
    })
}

/// Makes a private folder of the account.
pub(crate) fn make_private(path: &Path, account: Account) -> Result<(), Error> {
    let made = DirBuilder::new().mode(PRIVATE).create(path);
    made.map_err(Error::machine(format!("failed to make {}", path.display())))?;
    own(path, account)
}

fn own(path: &Path, account: Account) -> Result<(), Error> {
    if !account.is_other {
        return Ok(());
    }
    let what = format!("failed to give {} to user {}", path.display(), account.uid);
    chown(path, Some(account.uid), Some(account.gid)).map_err(Error::machine(what))
}

fn open(path: &Path, options: &mut OpenOptions) -> Result<File, Error> {
    #[expect(clippy::disallowed_methods, reason = "a file of a test's own, which no crash has to leave whole")]
    let opened = options.create(true).mode(0o600).open(path);
    opened.map_err(Error::machine(format!("failed to open {}", path.display())))
}

fn has_room(folder: &Path) -> bool {
    statvfs(folder).is_ok_and(|it| it.f_bavail.saturating_mul(it.f_frsize) >= MEMORY_BYTES_MIN)
}

/// Whether any user may reach the folder, and make and remove entries in it.
fn is_open_to_all(folder: &Path) -> bool {
    let allows = |path: &Path, bits: u32| path.metadata().is_ok_and(|it| it.mode() & bits == bits);
    allows(folder, 0o003) && folder.ancestors().all(|path| path.as_os_str().is_empty() || allows(path, 0o001))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use super::is_open_to_all;

    #[test]
    fn a_private_folder_and_what_is_below_it_is_not_open_to_all() {
        let outer = tempfile::tempdir().unwrap();
        let inner = tempfile::tempdir_in(outer.path()).unwrap();
        let set = |path: &Path, mode| set_permissions(path, Permissions::from_mode(mode)).unwrap();
        for (outer_mode, inner_mode, expected) in
            [(0o755, 0o1777, true), (0o755, 0o755, false), (0o700, 0o1777, false), (0o744, 0o1777, false)]
        {
            set(outer.path(), outer_mode);
            set(inner.path(), inner_mode);
            assert_eq!(is_open_to_all(inner.path()), expected, "{outer_mode:o} {inner_mode:o}");
        }
        set(outer.path(), 0o700);
        set(inner.path(), 0o700);
    }
}
