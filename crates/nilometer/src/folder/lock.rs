//! One process per data folder: an exclusive lock on its `LOCK` file, which the kernel lets go of
//! when the process ends in any way.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::Context;

use super::error::FolderError;
use super::layout::LOCK_FILE;

/// Mode of the file.
const OWNER_ONLY: u32 = 0o600;

/// The lock; held until dropped.
#[derive(Debug)]
pub(super) struct FolderLock(#[expect(dead_code, reason = "the open file is the lock")] File);

impl FolderLock {
    /// Locks `folder`, which must exist.
    pub(super) fn acquire(folder: &Path) -> anyhow::Result<Self> {
        let path = folder.join(LOCK_FILE);
        #[expect(clippy::disallowed_methods, reason = "the file is empty: there is nothing to make durable")]
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(OWNER_ONLY).open(&path);
        let file = file.with_context(|| format!("failed to open {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(FolderError::InUse { folder: folder.to_owned() }.into()),
            Err(TryLockError::Error(why)) => Err(why).with_context(|| format!("failed to lock {}", path.display())),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_folder_is_locked_once_and_free_again_afterwards() {
        let folder = tempfile::tempdir().unwrap();
        let held = FolderLock::acquire(folder.path()).unwrap();
        let second = FolderLock::acquire(folder.path()).unwrap_err();
        assert!(second.to_string().contains("in use by another process"), "{second}");
        drop(held);
        assert!(FolderLock::acquire(folder.path()).is_ok());
    }
}
