//! Why a data folder is not opened, as far as that has an exit code of its own.

use std::path::PathBuf;

/// Why a data folder is not opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FolderError {
    /// Another process holds it.
    #[error("the data folder {} is in use by another process", .folder.display())]
    InUse {
        /// Which one.
        folder: PathBuf,
    },
    /// There is none.
    #[error("{} is no data folder: it holds no {}", .folder.display(), super::layout::MANIFEST_FILE)]
    Missing {
        /// Where it should be.
        folder: PathBuf,
    },
    /// It is a copy, made while the folder was open or after the process that had it open was killed.
    #[error(
        "{} is a copy of a folder that was open or not closed tidily ({origin}), so its files may be of different \
         moments. `nilometer verify --recover-copy --data {}` finds out whether it is whole; `nilometer serve \
         --recover-copy` does so before it serves. A copy made while nothing runs on the folder needs neither",
        .folder.display(), .folder.display()
    )]
    Copy {
        /// Which one.
        folder: PathBuf,
        /// What the mark says of the folder that was copied.
        origin: String,
    },
    /// What it holds does not go with the ledger that the settings name.
    #[error("data: {}: {why}", .folder.display())]
    OtherLedger {
        /// Which one.
        folder: PathBuf,
        /// What it holds, and what to do.
        why: String,
    },
}
