//! The store: one writer at a time, readers beside it, and the rule that after a failed write
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

use crate::connection::{self, Connections};
use crate::failure::Failure;

/// The manifest and the catalog in one SQLite file.
#[derive(Debug)]
pub struct SqliteStore {
    path: PathBuf,
    writer: Mutex<DatabaseConnection>,
    readers: DatabaseConnection,
    /// Why nothing may be written any more.
    poison: OnceLock<String>,
    /// Where a connection finds its way back from a write. The writer's own runtime may stand still
    /// in long work right afterwards, and with it whoever waits for the connection.
    runtime: Handle,
}

impl SqliteStore {
    /// Opens the file at `path`, creating it in its folder when it is not there, and brings its
    /// schema up to date.
    ///
    /// # Errors
    /// `Corrupt` when the file is damaged, `Unacceptable` when a newer program has written it or one
    /// so old that its events must be exported and imported; the file is left as it was. `Full` or
    /// `Unavailable` when it cannot be read or written or the file system does not allow the settings
    /// that make a commit durable.
    pub async fn open(path: &Path) -> Result<Self, PortError> {
        let opened = connection::open(path).await.map_err(|failure| {
            PortError::new(failure.kind(), format!("open the manifest {}", path.display())).because(failure)
        });
        let Connections { writer, readers } = opened?;
        let (writer, poison, runtime) = (Mutex::new(writer), OnceLock::new(), Handle::current());
        Ok(Self { path: path.to_owned(), writer, readers, poison, runtime })
    }

    /// Waits for the write under way and closes the file, with everything in it and no log beside
    /// it. Without this, the next open finds the rest in the log; nothing is lost.
    ///
    /// # Errors
    /// `Unavailable` when the file cannot be closed.
    pub async fn close(&self) -> Result<(), PortError> {
        let turn = self.writer.lock().await;
        for connection in [&self.readers, &*turn] {
            connection.close_by_ref().await.map_err(|error| self.failed("close the manifest", error.into()))?;
        }
        Ok(())
    }

    /// A read transaction: everything read through it is of one moment.
    pub(crate) async fn snapshot(&self) -> Result<DatabaseTransaction, Failure> {
        Ok(self.readers.begin().await?)
    }

    /// Where single statements read.
    pub(crate) fn readers(&self) -> &DatabaseConnection {
        &self.readers
    }

    /// Begins a change, when its turn has come. It counts only with [`Write::finish`].
    pub(crate) async fn begin(&self, what: &'static str) -> Result<Write<'_>, PortError> {
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
        Ok(Write { store: self, what, transaction, turn })
    }

    /// Reports a failure before anything was written.
    pub(crate) fn failed(&self, what: &'static str, failure: Failure) -> PortError {
        if failure.is_fatal() {
            self.poison(&failure);
        }
        self.report(what, failure.kind(), failure)
    }

    /// Reports a failure of a write.
    pub(crate) fn failed_write(&self, what: &'static str, failure: Failure) -> PortError {
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
pub(crate) struct Write<'a> {
    store: &'a SqliteStore,
    what: &'static str,
    transaction: DatabaseTransaction,
    turn: MutexGuard<'a, DatabaseConnection>,
}

impl Write<'_> {
    /// Where its statements run.
    pub(crate) fn transaction(&self) -> &DatabaseTransaction {
        &self.transaction
    }

    /// Commits the change if its statements went well, else takes it back. Durable on `Ok`.
    pub(crate) async fn finish(self, outcome: Result<(), Failure>) -> Result<(), PortError> {
        let Self { store, what, transaction, turn } = self;
        let outcome = store
            .runtime
            .spawn(end(transaction, outcome))
            .await
            .unwrap_or_else(|error| Err(io::Error::other(error).into()));
        let reported = outcome.map_err(|failure| store.failed_write(what, failure));
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
mod tests;
