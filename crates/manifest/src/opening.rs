//! Opens the manifest's file, of this format or of the one before.

use std::path::Path;

use ports::PortError;
use sqlite::{Failure, PreparedFile};

use crate::format2::Format2Manifest;
use crate::migrations::Migrations;
use crate::sqlite_manifest::SqliteManifest;

/// A file that is a manifest.
#[derive(Debug)]
pub enum OpenedManifest {
    /// It is of this program's format, and in use.
    Current(SqliteManifest),
    /// It is of format 2, which held the catalog too: that has to move into its own file first.
    Format2(Format2Manifest),
}

impl SqliteManifest {
    /// Opens the file at `path`, creating it in its folder when it is not there, and brings its
    /// schema up to date.
    ///
    /// # Errors
    /// `Corrupt` when the file is damaged. `Unacceptable` when a newer program has written it, one so old that
    /// its events must be exported and imported, or one whose catalog has to move first, see
    /// [`SqliteManifest::open_any`]; the file is left as it was. `Full` or `Unavailable` when it cannot be read
    /// or written or the file system does not allow the settings that make a commit durable.
    pub async fn open(path: &Path) -> Result<Self, PortError> {
        match Self::open_any(path).await? {
            OpenedManifest::Current(manifest) => Ok(manifest),
            OpenedManifest::Format2(old) => {
                let why = "it is of format 2 and holds the catalog, which has to move into a file of its own";
                Err(old.file.failed("open the manifest", Failure::unacceptable(why)))
            }
        }
    }

    /// Whether a file is at `path`.
    ///
    /// # Errors
    /// `Corrupt` when only remains of one are there, `Unavailable` when that cannot be told.
    pub async fn exists(path: &Path) -> Result<bool, PortError> {
        PreparedFile::exists::<Migrations>(path).await
    }

    /// Opens the file at `path` as [`SqliteManifest::open`] does, also one of format 2.
    ///
    /// # Errors
    /// As [`SqliteManifest::open`].
    pub async fn open_any(path: &Path) -> Result<OpenedManifest, PortError> {
        let file = PreparedFile::open_or_create::<Migrations>(path).await?;
        match Format2Manifest::from_file(file).await? {
            Ok(old) => Ok(OpenedManifest::Format2(old)),
            Err(file) => Ok(OpenedManifest::Current(Self { file: file.migrate::<Migrations>().await? })),
        }
    }
}
