//! What can go wrong with a file, and what that means to the caller and to the writes after it.

use std::io;
use std::sync::Arc;

use ports::ErrorKind;
use sea_orm::{ConnAcquireErr, DbErr, RuntimeErr, sqlx};

/// SQLite's result codes, <https://sqlite.org/rescode.html>: primary ones, and of failed syncs the extended ones.
const SQLITE_IOERR: i64 = 10;
const SQLITE_IOERR_FSYNC: i64 = SQLITE_IOERR | (4 << 8);
const SQLITE_IOERR_DIR_FSYNC: i64 = SQLITE_IOERR | (5 << 8);
const SQLITE_CORRUPT: i64 = 11;
const SQLITE_FULL: i64 = 13;
const SQLITE_CONSTRAINT: i64 = 19;
const SQLITE_NOTADB: i64 = 26;

/// Why an operation was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The change does not fit what is stored, or can never be stored. Nothing has changed.
    #[error("{reason}")]
    Refused {
        /// What the caller can do.
        kind: ErrorKind,
        /// Why.
        reason: String,
    },
    /// A stored value is not what was written.
    #[error("{0}")]
    Corrupt(String),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DbErr),
    /// The file system failed.
    #[error(transparent)]
    Files(#[from] io::Error),
}

/// What a failure says about the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// The file is as it was.
    Refused(ErrorKind),
    /// There is no space: a write failed, never a sync, so the transaction did not count.
    Full,
    /// It is damaged.
    Corrupt,
    /// It could not be read, written or synced.
    Broken,
    /// It is not known to have suffered: busy, out of memory, a timeout.
    Unknown,
}

impl Failure {
    /// A change that does not fit what is stored.
    pub fn conflict(reason: impl Into<String>) -> Self {
        Self::Refused { kind: ErrorKind::Conflict, reason: reason.into() }
    }

    /// A change that can never be stored, or a file that this program cannot carry on.
    pub fn unacceptable(reason: impl Into<String>) -> Self {
        Self::Refused { kind: ErrorKind::Unacceptable, reason: reason.into() }
    }

    /// A question whose answer is too large.
    pub fn exhausted(reason: impl Into<String>) -> Self {
        Self::Refused { kind: ErrorKind::Exhausted, reason: reason.into() }
    }

    /// A stored value that is not what was written.
    pub fn corrupt(reason: impl Into<String>) -> Self {
        Self::Corrupt(reason.into())
    }

    /// Whether nothing was written and the file is as it was: the input is to blame, or the disk is
    /// full.
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(self.verdict(), Verdict::Refused(_) | Verdict::Full)
    }

    /// Whether nothing may be written any more, whatever was being done with the file.
    pub(crate) fn is_fatal(&self) -> bool {
        matches!(self.verdict(), Verdict::Corrupt | Verdict::Broken)
    }

    /// Whether a VACUUM that ended so has left the file as it was: it works in temporary files, and takes the result over in
    /// one transaction. After a failed sync nobody knows what the disk has.
    pub(crate) fn is_undone_vacuum(&self) -> bool {
        let is_sync = |code: i64| matches!(code, SQLITE_IOERR_FSYNC | SQLITE_IOERR_DIR_FSYNC);
        match self {
            // Before it began.
            Self::Refused { .. } | Self::Files(_) => true,
            Self::Corrupt(_) => false,
            Self::Database(error) => {
                self.verdict() != Verdict::Corrupt && code_of(error).is_some_and(|code| !is_sync(code))
            }
        }
    }

    /// What a caller is told that opened, read or asked to write, when nothing was written yet.
    pub fn kind(&self) -> ErrorKind {
        match self.verdict() {
            Verdict::Refused(kind) => kind,
            Verdict::Full => ErrorKind::Full,
            Verdict::Corrupt => ErrorKind::Corrupt,
            Verdict::Broken | Verdict::Unknown => ErrorKind::Unavailable,
        }
    }

    /// What a caller is told that wrote: with any failure of the file the outcome is unknown.
    pub(crate) fn kind_of_write(&self) -> ErrorKind {
        match self.kind() {
            ErrorKind::Unavailable => ErrorKind::Poisoned,
            kind => kind,
        }
    }

    fn verdict(&self) -> Verdict {
        match self {
            Self::Refused { kind, .. } => Verdict::Refused(*kind),
            Self::Corrupt(_) => Verdict::Corrupt,
            Self::Files(error) if error.kind() == io::ErrorKind::StorageFull => Verdict::Full,
            Self::Files(_) => Verdict::Broken,
            Self::Database(error) => verdict_of(error),
        }
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(DbErr::Conn(RuntimeErr::SqlxError(Arc::new(error))))
    }
}

/// The extended result code of SQLite, if it is the one that failed.
fn code_of(error: &DbErr) -> Option<i64> {
    let (DbErr::Conn(cause) | DbErr::Exec(cause) | DbErr::Query(cause)) = error else { return None };
    let RuntimeErr::SqlxError(cause) = cause else { return None };
    let sqlx::Error::Database(cause) = cause.as_ref() else { return None };
    cause.code()?.parse().ok()
}

fn verdict_of(error: &DbErr) -> Verdict {
    if let DbErr::ConnectionAcquire(ConnAcquireErr::ConnectionClosed) = error {
        return Verdict::Refused(ErrorKind::Closed);
    }
    let (DbErr::Conn(cause) | DbErr::Exec(cause) | DbErr::Query(cause)) = error else {
        let undecodable = matches!(error, DbErr::Type(_) | DbErr::TryIntoErr { .. });
        return if undecodable { Verdict::Corrupt } else { Verdict::Unknown };
    };
    let RuntimeErr::SqlxError(cause) = cause else { return Verdict::Unknown };
    match cause.as_ref() {
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => Verdict::Corrupt,
        sqlx::Error::Io(_) => Verdict::Broken,
        _ => match code_of(error).map(|code| code & 0xff) {
            Some(SQLITE_FULL) => Verdict::Full,
            Some(SQLITE_CORRUPT | SQLITE_NOTADB) => Verdict::Corrupt,
            Some(SQLITE_IOERR) => Verdict::Broken,
            Some(SQLITE_CONSTRAINT) => Verdict::Refused(ErrorKind::Conflict),
            _ => Verdict::Unknown,
        },
    }
}
