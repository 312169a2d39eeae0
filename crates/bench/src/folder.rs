//! The data folder of a benchmark's own server: one that the caller names and keeps, or one that is
//! removed at the end. It lies in the current folder and not in the system's one for temporary
//! files, because that is often held in memory, where nothing is durable and every number is wrong.

use std::path::{Path, PathBuf};

use anyhow::Context;
use tempfile::TempDir;

/// A data folder.
#[derive(Debug)]
pub(super) enum Folder {
    /// The caller's.
    Kept(PathBuf),
    /// Removed when dropped.
    Temporary(TempDir),
}

impl Folder {
    /// The folder `named`, or a temporary one in the current folder.
    pub(super) fn open(named: Option<PathBuf>) -> anyhow::Result<Self> {
        named.map_or_else(|| Self::temporary(Path::new(".")), |path| Ok(Self::Kept(path)))
    }

    /// A temporary folder in `parent`.
    pub(super) fn temporary(parent: &Path) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix(".nilometer-bench-").tempdir_in(parent);
        folder.map(Self::Temporary).with_context(|| format!("failed to make a folder in {}", parent.display()))
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Kept(path) => path,
            Self::Temporary(folder) => folder.path(),
        }
    }
}
