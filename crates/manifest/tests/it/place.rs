//! A folder with a store in it.

#![expect(clippy::disallowed_methods, reason = "a test works on its own copy")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use manifest::SqliteManifest;
use ports::manifest::Manifest;
use ports::testing::manifest::Place;
use ports::{ErrorKind, PortError};
use tempfile::TempDir;

/// A folder that ends with the test.
pub(crate) struct Folder(TempDir);

impl Folder {
    /// A new one.
    pub(crate) fn new() -> std::io::Result<Self> {
        tempfile::tempdir().map(Self)
    }

    /// Where its store is.
    pub(crate) fn file(&self) -> PathBuf {
        self.0.path().join("manifest.sqlite")
    }

    /// Opens its store.
    pub(crate) async fn store(&self) -> Result<SqliteManifest, PortError> {
        SqliteManifest::open(&self.file()).await
    }

    /// A new folder with what the file system holds of the store in `path` at this very moment, as a
    /// kill would leave it.
    pub(crate) fn copy_of(path: &Path) -> std::io::Result<Self> {
        let copy = Self::new()?;
        for suffix in ["", "-wal"] {
            let with_suffix = |path: &Path| PathBuf::from(format!("{}{suffix}", path.display()));
            if with_suffix(path).exists() {
                std::fs::copy(with_suffix(path), with_suffix(&copy.file()))?;
            }
        }
        Ok(copy)
    }
}

#[async_trait]
impl Place<dyn Manifest> for Folder {
    async fn open(&self) -> Result<Arc<dyn Manifest>, PortError> {
        Ok(Arc::new(self.store().await?))
    }
}

/// What went wrong, if anything.
pub(crate) fn kind<T>(result: Result<T, PortError>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}
