//! A folder with a catalog in it.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use catalog::SqliteCatalog;
use domain::access::audit::{AuditDraft, Cause};
use domain::tenant::TenantScope;
use domain::time::Timestamp;
use ports::catalog::Catalog;
use ports::references::References;
use ports::testing::catalog::WholeCatalog;
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

    /// Where its catalog is.
    pub(crate) fn file(&self) -> PathBuf {
        self.0.path().join("catalog.sqlite")
    }

    /// Where its manifest is.
    pub(crate) fn manifest(&self) -> PathBuf {
        self.0.path().join("manifest.sqlite")
    }

    /// Opens its catalog.
    pub(crate) async fn catalog(&self) -> Result<SqliteCatalog, PortError> {
        SqliteCatalog::open_or_create(&self.file()).await
    }
}

#[async_trait]
impl Place<dyn Catalog> for Folder {
    async fn open(&self) -> Result<Arc<dyn Catalog>, PortError> {
        Ok(Arc::new(self.catalog().await?))
    }
}

#[async_trait]
impl Place<dyn References> for Folder {
    async fn open(&self) -> Result<Arc<dyn References>, PortError> {
        Ok(Arc::new(self.catalog().await?))
    }
}

#[async_trait]
impl Place<dyn WholeCatalog> for Folder {
    async fn open(&self) -> Result<Arc<dyn WholeCatalog>, PortError> {
        Ok(Arc::new(self.catalog().await?))
    }
}

/// What is written about a change of one tenant's.
pub(crate) fn audit(scope: &TenantScope, at: Timestamp) -> AuditDraft {
    Cause::server().draft(Some(scope.tenant()), at, "test.change", "test")
}

/// What went wrong, if anything.
pub(crate) fn kind<T>(result: Result<T, PortError>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}
