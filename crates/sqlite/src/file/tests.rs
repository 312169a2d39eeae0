//! What a refused statement, a failed write and a write that is given up leave of a file.

use super::*;
use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use sea_orm::{DbBackend, Statement};
use sea_orm_migration::MigratorTrait;
use sea_orm_migration::prelude::{DbErr, MigrationName, MigrationTrait, SchemaManager};

/// A file with one table of numbers.
pub(crate) struct Numbers;

struct Step;

impl MigrationName for Step {
    fn name(&self) -> &str {
        "n0001_numbers"
    }
}

#[async_trait]
impl MigrationTrait for Step {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let table = "CREATE TABLE number (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, size INTEGER CHECK (size > \
                     0), half INTEGER REFERENCES number (id) DEFERRABLE INITIALLY DEFERRED) STRICT";
        manager.get_connection().execute_unprepared(table).await.map(drop)
    }
}

impl MigratorTrait for Numbers {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(Step)]
    }
}

#[async_trait]
impl Schema for Numbers {
    const NAME: &'static str = "numbers";

    async fn check(_: &DatabaseConnection) -> Result<(), Failure> {
        Ok(())
    }
}

async fn open(path: &Path) -> Result<SqliteFile, PortError> {
    PreparedFile::open_or_create::<Numbers>(path).await?.migrate::<Numbers>().await
}

async fn write(file: &SqliteFile, statement: &str) -> Result<(), PortError> {
    let write = file.begin("write to").await?;
    let outcome = write.transaction().execute_unprepared(statement).await.map(drop).map_err(Failure::from);
    write.finish(outcome).await
}

async fn count(file: &SqliteFile) -> Result<i64, Box<dyn Error>> {
    let count = Statement::from_string(DbBackend::Sqlite, "SELECT count(*) FROM number");
    let row = file.readers().query_one_raw(count).await?.ok_or("no row")?;
    Ok(row.try_get_by_index(0)?)
}

fn kind(outcome: Result<(), PortError>) -> Option<ErrorKind> {
    outcome.err().map(|error| error.kind())
}

/// An "e-mail already taken" is the caller's to answer, and no reason to stop writing.
#[tokio::test]
async fn a_constraint_violation_is_a_conflict_and_poisons_nothing() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let file = open(&folder.path().join("numbers.sqlite")).await?;
    write(&file, "INSERT INTO number VALUES (1, 'one', 1, NULL)").await?;
    for violation in [
        "INSERT INTO number VALUES (2, 'one', 1, NULL)",
        "INSERT INTO number VALUES (1, 'uno', 1, NULL)",
        "INSERT INTO number VALUES (2, NULL, 1, NULL)",
        "INSERT INTO number VALUES (2, 'two', 0, NULL)",
        // Noticed by the commit only.
        "INSERT INTO number VALUES (2, 'two', 1, 7)",
    ] {
        assert_eq!(kind(write(&file, violation).await), Some(ErrorKind::Conflict), "{violation}");
        assert_eq!(count(&file).await?, 1, "{violation}");
    }
    write(&file, "INSERT INTO number VALUES (2, 'two', 2, 1)").await?;
    assert_eq!(count(&file).await?, 2);
    Ok(())
}

#[tokio::test]
async fn i8_any_other_failure_poisons_until_the_file_is_opened_again() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("numbers.sqlite");
    let file = open(&path).await?;
    let write_failed = file.begin("write to").await?;
    let failed = write_failed.finish(Err(io::Error::other("injected").into())).await;
    assert_eq!(kind(failed), Some(ErrorKind::Poisoned));
    let insert = "INSERT INTO number VALUES (1, 'one', 1, NULL)";
    assert_eq!(kind(write(&file, insert).await), Some(ErrorKind::Poisoned));
    drop(file);
    write(&open(&path).await?, insert).await?;
    Ok(())
}

/// Found in November 2026: without a folder for its temporary files VACUUM failed, the file took no writes any more and the
/// process ended, again at each start, since what it was to be written anew for was still to be done.
#[tokio::test]
async fn i8_a_file_that_cannot_be_written_anew_is_as_it_was_and_takes_writes() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let file = open(&folder.path().join("numbers.sqlite")).await?;
    write(&file, "INSERT INTO number VALUES (1, 'one', 1, NULL)").await?;
    let writer = file.writer.lock().await.clone();
    // Inside of a transaction SQLite refuses it.
    writer.execute_unprepared("BEGIN").await?;
    assert_eq!(kind(file.scrub("scrub").await), Some(ErrorKind::Unavailable));
    writer.execute_unprepared("ROLLBACK").await?;
    assert_eq!(file.poisoned(), None);
    write(&file, "INSERT INTO number VALUES (2, 'two', 2, NULL)").await?;
    file.scrub("scrub").await?;
    assert_eq!(count(&file).await?, 2);
    Ok(())
}

/// Notes which temporary files of SQLite this process has open, until `is_over`.
fn watch_temporary(is_over: &AtomicBool, seen: &std::sync::Mutex<BTreeSet<PathBuf>>) {
    while !is_over.load(Ordering::Relaxed) {
        let open = fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
        let open = open.filter_map(|entry| fs::read_link(entry.path()).ok());
        let temporary = open.filter(|path| path.to_string_lossy().contains("etilqs_"));
        seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner).extend(temporary);
    }
}

/// Found in November 2026: the copy that VACUUM makes of the file, names and all, stood in the machine's folder for
/// temporary files, which may be on a disk that is not encrypted.
#[tokio::test]
async fn what_vacuum_copies_stays_in_the_folder_of_the_file() -> Result<(), Box<dyn Error>> {
    if !Path::new("/proc/self/fd").exists() {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let file = open(&folder.path().join("numbers.sqlite")).await?;
    // More than SQLite keeps in memory.
    let many = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 16) \
                INSERT INTO number SELECT n, hex(randomblob(500000)), 1, NULL FROM n";
    write(&file, many).await?;
    let (is_over, seen) = (Arc::new(AtomicBool::new(false)), Arc::new(std::sync::Mutex::<BTreeSet<_>>::default()));
    let watching = {
        let (is_over, seen) = (Arc::clone(&is_over), Arc::clone(&seen));
        std::thread::spawn(move || watch_temporary(&is_over, &seen))
    };
    let found = || seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
    for _ in 0..50 {
        file.scrub("scrub").await?;
        if !found().is_empty() {
            break;
        }
    }
    is_over.store(true, Ordering::Relaxed);
    watching.join().map_err(|_| "it panicked")?;
    let (found, place) = (found(), folder.path().canonicalize()?);
    assert!(!found.is_empty(), "it was never seen");
    assert!(found.iter().all(|path| path.starts_with(&place)), "{found:?}");
    Ok(())
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "what a process that died has left")]
async fn a_temporary_file_that_a_process_has_left_goes_when_the_file_is_opened() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("numbers.sqlite");
    let left = ["etilqs_8a3f01", "other"].map(|name| folder.path().join(name));
    for left in &left {
        fs::write(left, "a name")?;
    }
    open(&path).await?;
    assert_eq!(left.map(|left| left.exists()), [false, true]);
    Ok(())
}

#[tokio::test]
async fn a_scrub_that_a_change_has_noted_is_owed_until_it_is_made() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("numbers.sqlite");
    let file = open(&path).await?;
    assert!(!file.owes_scrub("ask").await?);
    for outcome in [Err(Failure::conflict("taken back")), Ok(())] {
        let is_made = outcome.is_ok();
        let write = file.begin("write to").await?;
        connection::owe_scrub(write.transaction()).await?;
        assert_eq!(write.finish(outcome).await.is_ok(), is_made);
        assert_eq!(file.owes_scrub("ask").await?, is_made);
    }
    drop(file);
    let file = open(&path).await?;
    assert!(file.owes_scrub("ask").await?, "after a restart");
    file.scrub("scrub").await?;
    assert!(!file.owes_scrub("ask").await?);
    Ok(())
}

#[tokio::test]
async fn a_file_that_must_be_there_is_not_made_anew() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("numbers.sqlite");
    let error = PreparedFile::open::<Numbers>(&path).await.err().ok_or("it opened what is not there")?;
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(!path.exists());
    Ok(())
}
