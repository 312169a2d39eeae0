//! The catalog's file.

use std::path::Path;

use domain::calendar::Zone;
use domain::tenant::TenantId;
use ports::{ErrorKind, PortError};
use sea_orm::DatabaseTransaction;
use sqlite::{Failure, PreparedFile, SqliteFile};

use crate::migrations::Migrations;
use crate::upgrade;

/// The catalog in an SQLite file of its own.
#[derive(Debug)]
pub struct SqliteCatalog {
    pub(crate) file: SqliteFile,
}

impl SqliteCatalog {
    /// Whether a file is at `path`.
    ///
    /// # Errors
    /// `Corrupt` when only remains of one are there, `Unavailable` when that cannot be told.
    pub async fn exists(path: &Path) -> Result<bool, PortError> {
        PreparedFile::exists::<Migrations>(path).await
    }

    /// Opens the file at `path`, which has to be there, and brings its schema up to date.
    ///
    /// # Errors
    /// `Corrupt` when the file is damaged or missing, `Unacceptable` when a newer program has written it; the
    /// file is left as it was. `Full` or `Unavailable` when it cannot be read or written or the file system does
    /// not allow the settings that make a commit durable.
    pub async fn open(path: &Path) -> Result<Self, PortError> {
        let file = PreparedFile::open::<Migrations>(path).await?;
        Ok(Self { file: file.migrate::<Migrations>().await? })
    }

    /// Opens the file at `path`, creating it in its folder when it is not there.
    ///
    /// # Errors
    /// As [`SqliteCatalog::open`].
    pub async fn open_or_create(path: &Path) -> Result<Self, PortError> {
        let file = PreparedFile::open_or_create::<Migrations>(path).await?;
        Ok(Self { file: file.migrate::<Migrations>().await? })
    }

    /// Makes the file at `path`, in place of one that is there, with what a manifest of format 2 holds in its
    /// tables of tenants, settings and reference tables, and with the zones that it counts days in as the
    /// wanted ones. Durable on return; the manifest stays as it is.
    ///
    /// # Errors
    /// `Corrupt` when the manifest is damaged, `Full` or `Unavailable` when it cannot be read or the file
    /// written.
    pub async fn create_from_manifest(
        path: &Path,
        manifest: &Path,
        zones: &[(TenantId, Zone)],
    ) -> Result<(), PortError> {
        upgrade::copy(path, manifest, zones).await.map_err(|failure| {
            let context = format!("move the catalog out of {} into {}", manifest.display(), path.display());
            PortError::new(failure.kind(), context).because(failure)
        })
    }

    /// Waits for the write under way and closes the file, with everything in it and no log beside
    /// it. Without this, the next open finds the rest in the log; nothing is lost.
    ///
    /// # Errors
    /// `Unavailable` when the file cannot be closed.
    pub async fn close(&self) -> Result<(), PortError> {
        self.file.close().await
    }

    /// Makes one change: all of it is durable on return, or nothing has changed.
    pub(crate) async fn write<T>(
        &self,
        what: &'static str,
        change: impl AsyncFnOnce(&DatabaseTransaction) -> Result<T, Failure>,
    ) -> Result<T, PortError> {
        let write = self.file.begin(what).await?;
        let mut made = None;
        let outcome = change(write.transaction()).await.and_then(|change| {
            made = Some(change);
            before_commit()
        });
        write.finish(outcome).await?;
        after_commit().map_err(|failure| self.file.failed_write(what, failure))?;
        made.ok_or_else(|| PortError::new(ErrorKind::Unavailable, what))
    }
}

/// Where tests stop or fail a change of which nothing counts yet.
fn before_commit() -> Result<(), Failure> {
    fail::fail_point!("catalog::before_commit", |_| Err(std::io::Error::other("injected before the commit").into()));
    Ok(())
}

/// Where tests stop or fail a change that counts already.
fn after_commit() -> Result<(), Failure> {
    fail::fail_point!("catalog::after_commit", |_| Err(std::io::Error::other("injected after the commit").into()));
    Ok(())
}

#[cfg(test)]
mod tests;
