//! The data folder as a whole: one process holds it, nobody but its owner reads it, and while it is open a mark in
//! it tells, so that a copy made meanwhile is not taken for the folder.

mod error;
mod layout;
mod lock;
mod mark;
mod permissions;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use vfs::{DiskVfs, Vfs};

pub(crate) use error::FolderError;
use layout::LOCK_FILE;
pub(crate) use layout::{
    CATALOG_FILE, IMPORT_CHECKPOINT_FILE, JOURNAL_FOLDER, JOURNAL_ID_FILE, MANIFEST_FILE, MASTER_KEY_FILE,
    NEXT_MASTER_KEY_FILE, SEGMENTS_FOLDER,
};
use lock::FolderLock;
use mark::Mark;

/// What to do with a copy of a folder that was open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IfCopy {
    /// Refuse it.
    Refuse,
    /// Open it, to find out whether it is whole. It stays marked until [`HeldFolder::release`].
    Recover,
}

/// A data folder that this process holds.
#[derive(Debug)]
pub(crate) struct HeldFolder {
    vfs: Arc<dyn Vfs>,
    /// Those in the folder, this process's own among them.
    marks: Vec<PathBuf>,
    /// Whether the mark goes when this is dropped: nothing was opened yet, and nothing was open before.
    is_new: bool,
    /// Whether they say that it is a copy.
    is_copy: bool,
    _lock: FolderLock,
}

impl HeldFolder {
    /// Locks `data`, which is made when it is not there, and marks it as open.
    ///
    /// # Errors
    /// [`FolderError`] when another process holds it or it is a copy; or when it cannot be written.
    pub(crate) fn open(data: &Path, if_copy: IfCopy) -> anyhow::Result<Self> {
        let vfs: Arc<dyn Vfs> = Arc::new(DiskVfs);
        vfs.create_dir_all(data).with_context(|| format!("failed to create the data folder {}", data.display()))?;
        let lock = FolderLock::acquire(data)?;
        let found = marks_in(&*vfs, data)?;
        let copied = found.iter().find(|mark| mark.is_copied());
        if let Some(mark) = copied.filter(|_| if_copy == IfCopy::Refuse) {
            return Err(FolderError::Copy { folder: data.to_owned(), origin: mark.origin() }.into());
        }
        // A link to the folder is not the folder, whose mode it is about.
        permissions::tighten(&*vfs, &std::fs::canonicalize(data).unwrap_or_else(|_| data.to_owned()));
        let is_new = found.is_empty();
        let mut marks: Vec<_> = found.iter().map(|mark| mark.path(data)).collect();
        // A copy keeps what says so until it is known to be whole.
        if copied.is_none() {
            marks = mark::renew(&*vfs, data, marks)?;
        }
        Ok(Self { vfs, marks, is_new, is_copy: copied.is_some(), _lock: lock })
    }

    /// What changes its files.
    pub(crate) fn vfs(&self) -> &Arc<dyn Vfs> {
        &self.vfs
    }

    /// Whether a process had it open that has ended and not closed it. Not said of a copy.
    #[cfg(feature = "cluster")]
    pub(crate) fn was_left_open(&self) -> bool {
        !self.is_new && !self.is_copy
    }

    /// From here on its files are open: only [`HeldFolder::release`] takes the mark away.
    pub(crate) fn opened(&mut self) {
        self.is_new = false;
    }

    /// As [`HeldFolder::release`], but a copy stays marked as one.
    pub(crate) fn release_unproven(self) -> anyhow::Result<()> {
        if self.is_copy { Ok(()) } else { self.release() }
    }

    /// Takes the mark away: everything in the folder is closed.
    pub(crate) fn release(mut self) -> anyhow::Result<()> {
        self.remove_marks().context("failed to remove the mark of a folder that is open")
    }

    fn remove_marks(&mut self) -> std::io::Result<()> {
        self.marks.drain(..).try_for_each(|mark| self.vfs.remove(&mark))
    }
}

impl Drop for HeldFolder {
    fn drop(&mut self) {
        if self.is_new {
            // One that stays harms nothing but copies.
            let _ = self.remove_marks();
        }
    }
}

/// Whether another process holds the folder.
pub(crate) fn is_in_use(data: &Path) -> bool {
    data.join(LOCK_FILE).is_file()
        && FolderLock::acquire(data).is_err_and(|why| matches!(why.downcast_ref(), Some(FolderError::InUse { .. })))
}

/// Whether the folder is a copy of one that was open when it was made.
pub(crate) fn is_copy(data: &Path) -> anyhow::Result<bool> {
    Ok(data.is_dir() && marks_in(&DiskVfs, data)?.iter().any(Mark::is_copied))
}

fn marks_in(vfs: &dyn Vfs, data: &Path) -> anyhow::Result<Vec<Mark>> {
    mark::find(vfs, data).with_context(|| format!("failed to look for marks in {}", data.display()))
}
