//! An open file: one writer at a time, readers beside it, and the rule that after a failed write
//! nothing more is written until the file is opened again (I8).
//!
//! SQLite on its own would go on: after a failed sync the kernel may have dropped what was not
//! written, and the next commit on the same connection would report success over the gap.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use ports::{ErrorKind, PortError};
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, SqliteTransactionMode, TransactionOptions,
    TransactionTrait,
};
use tokio::runtime::Handle;
use tokio::sync::{Mutex, MutexGuard};

use crate::connection::{self, Draft, Schema};
use crate::failure::Failure;

/// A file that is checked and can be written, but whose schema is not yet brought up to date.
#[derive(Debug)]
pub struct PreparedFile {
    name: &'static str,
    path: PathBuf,
    writer: DatabaseConnection,
}

impl PreparedFile {
    /// Opens the file at `path`.
    ///
    /// # Errors
    /// `Corrupt` when the file is damaged or missing, `Unacceptable` when a newer program has written it or
    /// one that is too old; the file is left as it was. `Full` or `Unavailable` when it cannot be read or
    /// written or the file system does not allow the settings that make a commit durable.
    pub async fn open<S: Schema>(path: &Path) -> Result<Self, PortError> {
        let opened = async {
            if connection::is_vacant(path).await? {
                return Err(Failure::corrupt("it is missing"));
            }
            connection::open::<S>(path).await
        };
        Self::opened::<S>(path, opened.await)
    }

    /// Opens the file at `path`, creating it in its folder when it is not there.
    ///
    /// # Errors
    /// As [`PreparedFile::open`].
    pub async fn open_or_create<S: Schema>(path: &Path) -> Result<Self, PortError> {
        let opened = async {
            if connection::is_vacant(path).await? {
                let draft = Draft::begin::<S>(path).await?;
                draft.finish().await?;
                draft.publish(path).await?;
            }
            connection::open::<S>(path).await
        };
        Self::opened::<S>(path, opened.await)
    }

    /// Whether a file is at `path`.
    ///
    /// # Errors
    /// `Corrupt` when only remains of one are there, `Unavailable` when that cannot be told.
    pub async fn exists<S: Schema>(path: &Path) -> Result<bool, PortError> {
        let vacant = connection::is_vacant(path).await;
        vacant.map(|vacant| !vacant).map_err(|failure| report(&format!("open the {}", S::NAME), path, failure))
    }

    fn opened<S: Schema>(path: &Path, opened: Result<DatabaseConnection, Failure>) -> Result<Self, PortError> {
        let writer = opened.map_err(|failure| report(&format!("open the {}", S::NAME), path, failure))?;
        Ok(Self { name: S::NAME, path: path.to_owned(), writer })
    }

    /// The connection that writes.
    pub fn writer(&self) -> &DatabaseConnection {
        &self.writer
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Brings the schema up to date; from then on the file can be used.
    ///
    /// # Errors
    /// As [`PreparedFile::open`].
    pub async fn migrate<S: Schema>(self) -> Result<SqliteFile, PortError> {
        let Self { name, path, writer } = self;
        let readers = connection::migrate_and_read::<S>(&path, &writer).await;
        let readers = readers.map_err(|failure| report(&format!("open the {name}"), &path, failure))?;
        let (writer, poison, runtime) = (Mutex::new(writer), OnceLock::new(), Handle::current());
        Ok(SqliteFile { name, path, writer, readers, poison, runtime })
    }

    /// Says that this could not be done, and why.
    pub fn failed(&self, what: &'static str, failure: Failure) -> PortError {
        report(what, &self.path, failure)
    }
}

/// A file that is read as it lies on disk. No writer may have it open; nothing is changed by reading it, also beside it.
#[derive(Debug)]
pub struct FileAsItLies {
    name: &'static str,
    path: PathBuf,
    connection: DatabaseConnection,
    steps: (usize, usize),
    has_log: bool,
}

impl FileAsItLies {
    /// Opens the file at `path`.
    ///
    /// # Errors
    /// `Corrupt` when the file is damaged or missing, `Unacceptable` when a newer program has written it, `Unavailable`
    /// when it cannot be read.
    pub async fn open<S: Schema>(path: &Path) -> Result<Self, PortError> {
        let opened = async {
            if connection::is_vacant(path).await? {
                return Err(Failure::corrupt("it is missing"));
            }
            let connection = connection::open_as_it_lies::<S>(path).await?;
            let (steps, has_log) = (connection::steps::<S>(&connection).await?, connection::has_log(path).await?);
            Ok(Self { name: S::NAME, path: path.to_owned(), connection, steps, has_log })
        };
        opened.await.map_err(|failure| report(&format!("open the {}", S::NAME), path, failure))
    }

    /// The format of the file, and the newest one: how many steps of the schema it went through, and how many there are.
    pub fn formats(&self) -> (usize, usize) {
        self.steps
    }

    /// Whether its last changes are in its write-ahead log, as after a crash, and not seen here.
    pub fn has_log(&self) -> bool {
        self.has_log
    }

    /// What it holds.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn snapshot(&self) -> Result<DatabaseTransaction, Failure> {
        Ok(self.connection.begin().await?)
    }

    /// Closes the file.
    ///
    /// # Errors
    /// `Unavailable` when it cannot be closed.
    pub async fn close(self) -> Result<(), PortError> {
        let closed = self.connection.close_by_ref().await.map_err(Failure::from);
        closed.map_err(|failure| report(&format!("close the {}", self.name), &self.path, failure))
    }

    /// Says that this could not be done, and why.
    pub fn failed(&self, what: &'static str, failure: Failure) -> PortError {
        report(what, &self.path, failure)
    }
}

fn report(what: &str, path: &Path, failure: Failure) -> PortError {
    PortError::new(failure.kind(), format!("{what} {}", path.display())).because(failure)
}

/// An open SQLite file.
#[derive(Debug)]
pub struct SqliteFile {
    name: &'static str,
    path: PathBuf,
    writer: Mutex<DatabaseConnection>,
    readers: DatabaseConnection,
    /// Why nothing may be written any more.
    poison: OnceLock<String>,
    /// Where a connection finds its way back from a write. The writer's own runtime may stand still
    /// in long work right afterwards, and with it the next one that waits for the connection.
    runtime: Handle,
}

impl SqliteFile {
    /// Waits for the write under way and closes the file, with everything in it and no log beside
    /// it. Without this, the next open finds the rest in the log; nothing is lost.
    ///
    /// # Errors
    /// `Unavailable` when the file cannot be closed.
    pub async fn close(&self) -> Result<(), PortError> {
        let turn = self.writer.lock().await;
        for connection in [&self.readers, &*turn] {
            let closed = connection.close_by_ref().await.map_err(Failure::from);
            closed.map_err(|failure| report(&format!("close the {}", self.name), &self.path, failure))?;
        }
        Ok(())
    }

    /// A read transaction: everything read through it is of one moment.
    ///
    /// # Errors
    /// When it cannot begin.
    pub async fn snapshot(&self) -> Result<DatabaseTransaction, Failure> {
        Ok(self.readers.begin().await?)
    }

    /// Where single statements read.
    pub fn readers(&self) -> &DatabaseConnection {
        &self.readers
    }

    /// Why nothing may be written any more before the file is opened again, if that is so.
    pub fn poisoned(&self) -> Option<&str> {
        self.poison.get().map(String::as_str)
    }

    /// Writes the file anew without anything that was removed from it, and empties its write-ahead log. What was
    /// removed before is zeroed already (`secure_delete`); this also reaches the log, and what was in pages before
    /// that setting was. Readers go on; a reader that keeps an old state for long makes this fail, to be tried again.
    ///
    /// # Errors
    /// `Full` without space and `Unavailable` when it cannot be written anew or others read an old state: all that was
    /// committed is there, and writes go on. `Poisoned` after a failed write or sync.
    pub async fn scrub(&self, what: &'static str) -> Result<(), PortError> {
        let turn = self.writer.lock().await;
        if let Some(reason) = self.poison.get() {
            let context = format!("{what} {}, which has to be opened again", self.path.display());
            return Err(PortError::new(ErrorKind::Poisoned, context).because(reason.clone()));
        }
        let (writer, path) = (turn.clone(), self.path.clone());
        let scrubbing = self.runtime.spawn(async move {
            match connection::vacuum(&writer, &path).await {
                Ok(()) => Ok(connection::empty_log(&writer).await),
                Err(failure) => Err(failure),
            }
        });
        let reported = match scrubbing.await {
            Ok(Ok(emptied)) => emptied.map_err(|failure| self.failed_write(what, failure)),
            Ok(Err(failure)) if failure.is_undone_vacuum() => Err(self.report(what, failure.kind(), failure)),
            Ok(Err(failure)) => Err(self.failed_write(what, failure)),
            Err(error) => Err(self.failed_write(what, io::Error::other(error).into())),
        };
        drop(turn);
        match reported? {
            true => Ok(()),
            false => {
                let busy = io::Error::other("its log cannot be emptied while an old state is read");
                Err(self.report(what, ErrorKind::Unavailable, busy.into()))
            }
        }
    }

    /// Whether a change has noted that with [`crate::owe_scrub`], and the file was not scrubbed since, however often it was opened again.
    ///
    /// # Errors
    /// `Unavailable` when it cannot be read.
    pub async fn owes_scrub(&self, what: &'static str) -> Result<bool, PortError> {
        connection::owes_scrub(&self.readers).await.map_err(|failure| self.failed(what, failure))
    }

    /// Begins a change, when its turn has come. It counts only with [`Write::finish`].
    ///
    /// # Errors
    /// `Poisoned` after a failed write, `Unavailable` when the file cannot be written.
    pub async fn begin(&self, what: &'static str) -> Result<Write<'_>, PortError> {
        let turn = self.writer.lock().await;
        if let Some(reason) = self.poison.get() {
            let context = format!("{what} {}, which has to be opened again", self.path.display());
            return Err(PortError::new(ErrorKind::Poisoned, context).because(reason.clone()));
        }
        let immediate = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        let begun = turn.begin_with_options(immediate).await;
        let transaction = begun.map_err(|error| self.failed(what, error.into()))?;
        Ok(Write { file: self, what, transaction, turn })
    }

    /// Reports a failure before anything was written.
    pub fn failed(&self, what: &'static str, failure: Failure) -> PortError {
        if failure.is_fatal() {
            self.poison(&failure);
        }
        self.report(what, failure.kind(), failure)
    }

    /// Reports a failure of a write.
    pub fn failed_write(&self, what: &'static str, failure: Failure) -> PortError {
        if !failure.is_refusal() {
            self.poison(&failure);
        }
        self.report(what, failure.kind_of_write(), failure)
    }

    fn poison(&self, failure: &Failure) {
        self.poison.get_or_init(|| failure.to_string());
    }

    fn report(&self, what: &'static str, kind: ErrorKind, failure: Failure) -> PortError {
        PortError::new(kind, format!("{what} {}", self.path.display())).because(failure)
    }
}

/// A change under way. Dropped without [`Write::finish`], it never happened.
#[derive(Debug)]
pub struct Write<'a> {
    file: &'a SqliteFile,
    what: &'static str,
    transaction: DatabaseTransaction,
    turn: MutexGuard<'a, DatabaseConnection>,
}

impl Write<'_> {
    /// Where its statements run.
    pub fn transaction(&self) -> &DatabaseTransaction {
        &self.transaction
    }

    /// Commits the change if its statements went well, else takes it back. Durable on `Ok`.
    ///
    /// # Errors
    /// The failure of the statements. `Conflict`, `Full` and what else the statements refused have
    /// changed nothing; after `Poisoned` the outcome is unknown and nothing more is written to the file.
    pub async fn finish(self, outcome: Result<(), Failure>) -> Result<(), PortError> {
        let Self { file, what, transaction, turn } = self;
        let outcome = file
            .runtime
            .spawn(end(transaction, outcome))
            .await
            .unwrap_or_else(|error| Err(io::Error::other(error).into()));
        let reported = outcome.map_err(|failure| file.failed_write(what, failure));
        // Only now, when the poison is known, may the next one begin.
        drop(turn);
        reported
    }
}

/// Ends a transaction and sees to it that SQLite and the pool agree on that: out of space, SQLite
/// takes a transaction back by itself, even in its commit, and the pool would count it as open for
/// ever. So it is ended by hand, and the pool gets an empty one to take back.
async fn end(transaction: DatabaseTransaction, outcome: Result<(), Failure>) -> Result<(), Failure> {
    let outcome = match outcome {
        Ok(()) => transaction.execute_unprepared("COMMIT").await.map(drop).map_err(Failure::from),
        failed => failed,
    };
    // Fails when there still is one, which is then the one to take back.
    let _ = transaction.execute_unprepared("BEGIN").await;
    match (transaction.rollback().await, &outcome) {
        (Err(error), Err(failure)) if failure.is_refusal() => Err(error.into()),
        _ => outcome,
    }
}

#[cfg(test)]
pub(crate) mod tests;
