//! What a refused statement, a failed write and a write that is given up leave of a file.

use super::*;
use std::error::Error;

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

#[tokio::test]
async fn a_file_that_must_be_there_is_not_made_anew() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("numbers.sqlite");
    let error = PreparedFile::open::<Numbers>(&path).await.err().ok_or("it opened what is not there")?;
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(!path.exists());
    Ok(())
}
