//! The manifest's file.

use ports::PortError;
use sqlite::SqliteFile;

/// The manifest in an SQLite file of its own.
#[derive(Debug)]
pub struct SqliteManifest {
    pub(crate) file: SqliteFile,
}

impl SqliteManifest {
    /// Waits for the write under way and closes the file, with everything in it and no log beside
    /// it. Without this, the next open finds the rest in the log; nothing is lost.
    ///
    /// # Errors
    /// `Unavailable` when the file cannot be closed.
    pub async fn close(&self) -> Result<(), PortError> {
        self.file.close().await
    }
}

#[cfg(test)]
mod tests;
