//! What a failed write or sync means for those who wait, and errors of files as errors of the port.

use std::io;
use std::path::Path;
use std::sync::Arc;

use ports::{ErrorKind, PortError};

/// Why a group of records did not become durable.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Nothing was kept; a later group may succeed.
    Refused(ErrorKind, Arc<io::Error>),
    /// What is on disk is unknown. Nothing may ever be written or synced again.
    Poisoned(String),
}

impl Failure {
    pub(crate) fn refused(why: io::Error) -> Self {
        Self::Refused(kind_of(&why), Arc::new(why))
    }

    /// What one waiter is told.
    pub(crate) fn answer(&self) -> PortError {
        match self {
            Self::Refused(kind, why) => append_error(*kind).because(Arc::clone(why)),
            Self::Poisoned(reason) => append_error(ErrorKind::Poisoned).because(reason.clone()),
        }
    }
}

/// An append that failed.
pub(crate) fn append_error(kind: ErrorKind) -> PortError {
    PortError::new(kind, "append to the journal")
}

/// What an error of the file system allows the caller to do.
pub(crate) fn kind_of(why: &io::Error) -> ErrorKind {
    match why.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => ErrorKind::Full,
        _ => ErrorKind::Unavailable,
    }
}

/// A failure to do `what` with the journal's folder or one of its files.
pub(crate) fn file_error(what: &str, path: &Path, why: io::Error) -> PortError {
    PortError::new(kind_of(&why), format!("{what} {}", path.display())).because(why)
}
