//! How a command ends. Each outcome that a script or a supervisor treats apart has a code of its own;
//! `docs/operations.md` and `--help` list them.

use std::process::ExitCode;

#[cfg(feature = "cluster")]
use crate::assemble::DatabaseAway;
use crate::config::ConfigError;
use crate::folder::FolderError;

/// What `--help` says of the codes.
pub(crate) const EXIT_CODES_HELP: &str = "\
Exit codes:
   0  done; verify, move: no difference
   1  failed
   2  the command line, a setting or the environment makes no sense
   3  verify, move: a difference; import: no row was taken
   4  the data folder is in use by another process
   5  there is no data folder
   6  the data folder is a copy of one that was open; see --recover-copy of verify and serve
   7  the database of postgres_url does not answer
  70  serve: it stopped itself, because a sync failed or stored data is not what was written";

/// An outcome other than success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It was not done.
    Failed,
    /// The command line, a setting or the environment makes no sense.
    Usage,
    /// An aggregate is not what the raw events say.
    Difference,
    /// Another process holds the folder.
    FolderInUse,
    /// An import took no row.
    NothingTaken,
    /// There is no folder.
    NoFolder,
    /// The folder is a copy of one that was open.
    Copy,
    /// The database does not answer.
    #[cfg(feature = "cluster")]
    NoDatabase,
    /// The server stopped itself, because it could not keep its promises any more.
    Stopped,
}

impl Exit {
    /// The outcome of a command that failed for this reason.
    pub(crate) fn of(error: &anyhow::Error) -> Self {
        match error.downcast_ref() {
            Some(FolderError::InUse { .. }) => Self::FolderInUse,
            Some(FolderError::Missing { .. }) => Self::NoFolder,
            Some(FolderError::Copy { .. }) => Self::Copy,
            Some(FolderError::OtherLedger { .. }) => Self::Usage,
            None if error.is::<ConfigError>() => Self::Usage,
            #[cfg(feature = "cluster")]
            None if error.is::<DatabaseAway>() => Self::NoDatabase,
            None => Self::Failed,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Difference | Exit::NothingTaken => 3,
            Exit::FolderInUse => 4,
            Exit::NoFolder => 5,
            Exit::Copy => 6,
            #[cfg(feature = "cluster")]
            Exit::NoDatabase => 7,
            Exit::Stopped => 70_u8,
        })
    }
}
