//! Opens the file the one way it may be opened: settings that make a commit durable, read back
//! before use; structure checked; schema brought up to date.
//!
//! A new file is built beside its place and renamed into it, so an empty or torn file at that place
//! is damage and never taken for a new store.

use std::io;
use std::path::Path;
use std::time::Duration;

use domain::limits::MANIFEST_READS_MAX;
use sea_orm::sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions, SqliteSynchronous};
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DbBackend, DbErr, EntityTrait, SqlxSqliteConnector, Statement, sqlx,
};
use sea_orm_migration::MigratorTrait;
use sqlx::ConnectOptions;

use crate::entities::meta;
use crate::failure::Failure;
use crate::migrations::Migrations;
use crate::place;

/// Longest wait for another process that holds the file, as for a backup.
const BUSY_TIMEOUT_MS: u32 = 5_000;
/// Prepared statements that each connection keeps.
const STATEMENTS_MAX: usize = 32;

/// What every connection must answer, so that `COMMIT` returns after the disk has it (I8), a
/// doctored schema runs nothing, and damaged pages are noticed.
const SETTINGS: [(&str, i64); 5] = [
    ("synchronous", 2),
    ("foreign_keys", 1),
    ("trusted_schema", 0),
    ("cell_size_check", 1),
    ("busy_timeout", BUSY_TIMEOUT_MS as i64),
];

/// The one connection that writes, and the ones that read.
pub(crate) struct Connections {
    pub(crate) writer: DatabaseConnection,
    pub(crate) readers: DatabaseConnection,
}

/// Opens the file, creating it when it is not there. One that is refused is left as it was.
pub(crate) async fn open(path: &Path) -> Result<Connections, Failure> {
    if blocking(path, place::is_vacant).await? {
        create(path).await?;
    }
    let writer = pool(options(path), 1).await?;
    match prepare(path, &writer).await {
        Ok(readers) => Ok(Connections { writer, readers }),
        Err(failure) => {
            // Why it was refused matters more than whether it closes.
            let _ = writer.close_by_ref().await;
            Err(failure)
        }
    }
}

/// Builds the file beside its place. As yet it has no write-ahead log, so it is whole by itself.
async fn create(path: &Path) -> Result<(), Failure> {
    let draft = blocking(path, place::new_draft).await?;
    let writer = pool(options(&draft), 1).await?;
    migrate(&writer).await?;
    writer.close().await?;
    blocking(path, move |path| place::publish(&draft, path)).await
}

async fn prepare(path: &Path, writer: &DatabaseConnection) -> Result<DatabaseConnection, Failure> {
    check_structure(writer).await?;
    check_owner(writer).await?;
    check_format(writer).await?;
    let _: String = pragma(writer, "journal_mode = wal").await?;
    check_settings(writer).await?;
    migrate(writer).await?;
    // Each is opened when it is first needed.
    let connections = u32::try_from(MANIFEST_READS_MAX).unwrap_or(u32::MAX);
    let readers = pool(options(path).read_only(true), connections).await?;
    check_settings(&readers).await?;
    Ok(readers)
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(Duration::from_millis(BUSY_TIMEOUT_MS.into()))
        .pragma("trusted_schema", "OFF")
        .pragma("cell_size_check", "ON")
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
    Ok(())
}

/// Reads every page. Finds broken pages, pointers and types, but not a changed number.
async fn check_structure(connection: &DatabaseConnection) -> Result<(), Failure> {
    let answer: String = pragma(connection, "quick_check(1)").await?;
    if answer == "ok" { Ok(()) } else { Err(Failure::corrupt(answer)) }
}

/// Every store was published with its first steps applied; a database without any is another's.
async fn check_owner(connection: &DatabaseConnection) -> Result<(), Failure> {
    let applied = Migrations::get_applied_migrations_read_only(connection).await.map_err(unknown_step)?;
    if applied.is_empty() { Err(Failure::corrupt("it is a database, but no manifest")) } else { Ok(()) }
}

/// Refuses what this program cannot carry on before anything of it is changed: the program that made
/// it must still be able to open it. A store that was never loaded has no format yet.
async fn check_format(connection: &DatabaseConnection) -> Result<(), Failure> {
    let meta = meta::Entity::find().one(connection).await?;
    meta.map_or(Ok(()), |meta| meta.verified().map(drop))
}

async fn migrate(connection: &DatabaseConnection) -> Result<(), Failure> {
    Migrations::up(connection, None).await.map_err(unknown_step)
}

fn unknown_step(error: DbErr) -> Failure {
    match error {
        // The only one of this sort: the file went through steps that this program does not know.
        DbErr::Custom(unknown) => Failure::unacceptable(format!("a newer program has written it: {unknown}")),
        error => error.into(),
    }
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
