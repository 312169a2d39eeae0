//! Opens the file the one way it may be opened: settings that make a commit durable, read back
//! before use; structure checked; schema brought up to date.
//!
//! A new file is built beside its place and renamed into it, so an empty or torn file at that place
//! is damage and never taken for a new file.
//!
//! What SQLite does not keep in memory while it works, as the copy of the whole file that VACUUM makes, goes into that
//! file's folder as well, and never into a folder for temporary files: that may be on a disk which is not encrypted, too
//! small, or missing.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use sea_orm::sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions, SqliteSynchronous};
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, SqlxSqliteConnector, Statement, sqlx,
};
use sea_orm_migration::MigratorTrait;
use sqlx::ConnectOptions;

use crate::failure::Failure;
use crate::place;

/// Longest wait for another process that holds the file, as somebody who looks into it.
const BUSY_TIMEOUT_MS: u32 = 5_000;
/// SQLite's way to files for one process alone: it locks a file once for as long as it is open, and keeps the index
/// of the write-ahead log in memory instead of a file beside it, for which a full disk has no room. The lock on the
/// data folder keeps other processes away anyway.
const ONE_PROCESS: &str = "unix-excl";
/// Prepared statements that each connection keeps.
const STATEMENTS_MAX: usize = 32;

/// What every connection must answer, so that `COMMIT` returns after the disk has it (I8), a
/// doctored schema runs nothing, and damaged pages are noticed.
const SETTINGS: [(&str, i64); 6] = [
    ("synchronous", 2),
    ("foreign_keys", 1),
    ("trusted_schema", 0),
    ("cell_size_check", 1),
    ("secure_delete", 1),
    ("busy_timeout", BUSY_TIMEOUT_MS as i64),
];

/// What a file holds: its tables, as steps that are applied in order when it is opened. A step that was
/// ever released is never changed.
#[async_trait]
pub trait Schema: MigratorTrait {
    /// What the file is called in errors: "failed to open the …".
    const NAME: &'static str;
    /// Reads of the file at once. Each has a connection, which is opened when it is first needed.
    const READS_MAX: usize = 4;

    /// Refuses a file that this program cannot carry on, before anything of it is changed: the program that
    /// made it must still be able to open it.
    ///
    /// # Errors
    /// The reason; or when the file cannot be read.
    async fn check(connection: &DatabaseConnection) -> Result<(), Failure>;
}

/// A new file while it is being filled, beside its place. Dropped before [`Draft::publish`], it leaves
/// nothing that counts.
#[derive(Debug)]
pub struct Draft {
    draft: PathBuf,
    writer: DatabaseConnection,
}

impl Draft {
    /// Begins a file that is to be at `path`, with its tables. As yet it has no write-ahead log, so it is whole
    /// by itself.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn begin<S: Schema>(path: &Path) -> Result<Self, Failure> {
        let draft = blocking(path, place::new_draft).await?;
        let writer = pool(options(&draft), 1).await?;
        migrate::<S>(&writer).await?;
        Ok(Self { draft, writer })
    }

    /// Where it is filled.
    pub fn writer(&self) -> &DatabaseConnection {
        &self.writer
    }

    /// Everything in it is on disk from here on, and it only has to be renamed.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn finish(&self) -> Result<(), Failure> {
        Ok(self.writer.close_by_ref().await?)
    }

    /// Puts it in its place, durably, instead of a file that is there.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub async fn publish(self, path: &Path) -> Result<(), Failure> {
        blocking(path, move |path| place::publish(&self.draft, path)).await
    }
}

/// Whether there is no file yet.
pub(crate) async fn is_vacant(path: &Path) -> Result<bool, Failure> {
    blocking(path, place::is_vacant).await
}

/// Whether something of it stands in its write-ahead log alone.
pub(crate) async fn has_log(path: &Path) -> Result<bool, Failure> {
    blocking(path, place::has_log).await
}

/// Opens the writing connection of a file that is there, and checks both. One that is refused is left as it
/// was.
pub(crate) async fn open<S: Schema>(path: &Path) -> Result<DatabaseConnection, Failure> {
    blocking(path, place::remove_temporary).await?;
    let writer = pool(options(path), 1).await?;
    closed_unless_ok(check::<S>(&writer).await, &writer).await?;
    Ok(writer)
}

/// Brings the schema up to date and opens the connections that read.
pub(crate) async fn migrate_and_read<S: Schema>(
    path: &Path,
    writer: &DatabaseConnection,
) -> Result<DatabaseConnection, Failure> {
    let opened = async {
        migrate::<S>(writer).await?;
        let reads = u32::try_from(S::READS_MAX).unwrap_or(u32::MAX);
        let readers = pool(options(path).read_only(true), reads).await?;
        check_settings(&readers).await?;
        Ok(readers)
    };
    closed_unless_ok(opened.await, writer).await
}

/// Opens a file as it lies there, to read it. Nothing is changed by that, neither in the file nor beside it, so what only
/// its write-ahead log holds is not seen.
pub(crate) async fn open_as_it_lies<S: Schema>(path: &Path) -> Result<DatabaseConnection, Failure> {
    let options = bare_options(path).pragma("temp_store", "MEMORY").read_only(true).immutable(true);
    let reader = pool(options, 1).await?;
    let checked = async {
        check_structure(&reader).await?;
        check_owner::<S>(&reader).await
    };
    closed_unless_ok(checked.await, &reader).await?;
    Ok(reader)
}

/// How many steps a file went through, and how many there are.
pub(crate) async fn steps<S: Schema>(connection: &DatabaseConnection) -> Result<(usize, usize), Failure> {
    let applied = S::get_applied_migrations_read_only(connection).await.map_err(unknown_step)?;
    Ok((applied.len(), S::migrations().len()))
}

async fn closed_unless_ok<T>(outcome: Result<T, Failure>, writer: &DatabaseConnection) -> Result<T, Failure> {
    if outcome.is_err() {
        // Why it was refused matters more than whether it closes.
        let _ = writer.close_by_ref().await;
    }
    outcome
}

async fn check<S: Schema>(writer: &DatabaseConnection) -> Result<(), Failure> {
    check_structure(writer).await?;
    check_owner::<S>(writer).await?;
    S::check(writer).await?;
    let _: String = pragma(writer, "journal_mode = wal").await?;
    check_settings(writer).await
}

fn options(path: &Path) -> SqliteConnectOptions {
    let folder = place::folder_of(path).to_string_lossy().replace('\'', "''");
    // It holds for the whole process, whose files are in one folder.
    bare_options(path).pragma("temp_store_directory", format!("'{folder}'"))
}

fn bare_options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .vfs(ONE_PROCESS)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(Duration::from_millis(BUSY_TIMEOUT_MS.into()))
        .pragma("trusted_schema", "OFF")
        .pragma("cell_size_check", "ON")
        .pragma("secure_delete", "ON")
        .statement_cache_capacity(STATEMENTS_MAX)
        .disable_statement_logging()
}

async fn pool(options: SqliteConnectOptions, connections: u32) -> Result<DatabaseConnection, Failure> {
    let pool = SqlitePoolOptions::new().max_connections(connections).idle_timeout(None).max_lifetime(None);
    Ok(SqlxSqliteConnector::from_sqlx_sqlite_pool(pool.connect_with(options).await?))
}

/// Reads the settings back, because SQLite ignores what it does not know or cannot do.
async fn check_settings(connection: &DatabaseConnection) -> Result<(), Failure> {
    let mode: String = pragma(connection, "journal_mode").await?;
    if mode != "wal" {
        return Err(io::Error::other(format!("its journal mode is {mode}, not wal")).into());
    }
    for (name, expected) in SETTINGS {
        let actual: i64 = pragma(connection, name).await?;
        if actual != expected {
            return Err(io::Error::other(format!("its setting {name} is {actual}, not {expected}")).into());
        }
    }
    let _: String = pragma(connection, "temp_store_directory").await?;
    Ok(())
}

/// Reads every page. Finds broken pages, pointers and types, but not a changed number.
async fn check_structure(connection: &DatabaseConnection) -> Result<(), Failure> {
    let answer: String = pragma(connection, "quick_check(1)").await?;
    if answer == "ok" { Ok(()) } else { Err(Failure::corrupt(answer)) }
}

/// Every file was published with its first steps applied; a database without any is another's.
async fn check_owner<S: Schema>(connection: &DatabaseConnection) -> Result<(), Failure> {
    let applied = S::get_applied_migrations_read_only(connection).await.map_err(unknown_step)?;
    if applied.is_empty() { Err(Failure::corrupt(format!("it is a database, but no {}", S::NAME))) } else { Ok(()) }
}

async fn migrate<S: Schema>(connection: &DatabaseConnection) -> Result<(), Failure> {
    S::up(connection, None).await.map_err(unknown_step)
}

fn unknown_step(error: DbErr) -> Failure {
    match error {
        // The only one of this sort: the file went through steps that this program does not know.
        DbErr::Custom(unknown) => Failure::unacceptable(format!("a newer program has written it: {unknown}")),
        error => error.into(),
    }
}

/// Writes the database anew: into a temporary file, and from there back in one transaction.
pub(crate) async fn vacuum(writer: &DatabaseConnection, path: &Path) -> Result<(), Failure> {
    blocking(path, place::check_room).await?;
    writer.execute_unprepared("VACUUM").await?;
    Ok(())
}

/// Empties the log, and takes back that the file is to be scrubbed; false when somebody still reads an old state in the
/// log.
pub(crate) async fn empty_log(writer: &DatabaseConnection) -> Result<bool, Failure> {
    let question = Statement::from_string(DbBackend::Sqlite, "PRAGMA wal_checkpoint(TRUNCATE)");
    let row = writer.query_one_raw(question).await?;
    let is_empty = row.map_or(Ok(1), |row| row.try_get_by_index::<i64>(0))? == 0;
    if is_empty && owes_scrub(writer).await? {
        writer.execute_unprepared("PRAGMA user_version = 0").await?;
    }
    Ok(is_empty)
}

/// Notes in a change that the file is to be scrubbed after it, whatever becomes of the process. The number that SQLite
/// leaves to its users for the version of the schema holds the note: which steps a file went through stands in a table.
///
/// # Errors
/// When it cannot be noted.
pub async fn owe_scrub(transaction: &DatabaseTransaction) -> Result<(), Failure> {
    transaction.execute_unprepared("PRAGMA user_version = 1").await?;
    Ok(())
}

/// Whether a change has noted that the file is to be scrubbed.
pub(crate) async fn owes_scrub(connection: &DatabaseConnection) -> Result<bool, Failure> {
    Ok(pragma::<i64>(connection, "user_version").await? != 0)
}

async fn pragma<T: sea_orm::TryGetable>(connection: &DatabaseConnection, name: &str) -> Result<T, Failure> {
    let question = Statement::from_string(DbBackend::Sqlite, format!("PRAGMA {name}"));
    let row = connection.query_one_raw(question).await?;
    let row = row.ok_or_else(|| io::Error::other(format!("it does not know the setting {name}")))?;
    Ok(row.try_get_by_index(0)?)
}

/// Runs calls to the file system where they may block.
async fn blocking<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce(&Path) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let path = path.to_owned();
    tokio::task::spawn_blocking(move || work(&path)).await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests;
