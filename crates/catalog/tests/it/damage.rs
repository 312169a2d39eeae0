//! Catalogs that are not what was written (F11): damage is told, and never taken for less data.

#![expect(clippy::disallowed_methods, reason = "these tests make damaged files")]

use std::fs;
use std::path::Path;

use ports::ErrorKind;
use ports::catalog::Catalog;
use ports::references::References;
use sea_orm::sqlx;

use crate::Outcome;
use crate::fixture;
use crate::place::{Folder, kind};

/// What each of the reads answers.
async fn read(folder: &Folder) -> Result<[Option<ErrorKind>; 4], ports::PortError> {
    let catalog = folder.catalog().await?;
    Ok([
        kind(catalog.tenants().await),
        kind(catalog.settings().await),
        kind(catalog.wanted_zones().await),
        kind(catalog.reference_tables().await),
    ])
}

#[tokio::test]
async fn f11_a_row_is_checked_when_it_is_read() -> Outcome {
    for (damage, place) in [
        ("UPDATE tenant SET id = 'not a tenant'", 0),
        ("UPDATE tenant_settings SET max_lateness_sec = 1", 1),
        ("UPDATE tenant_settings SET max_lateness_sec = NULL", 1),
        ("UPDATE tenant_settings SET week_start = 'friday'", 1),
        ("UPDATE tenant_settings SET min_time_us = min_time_us + 1", 1),
        ("UPDATE tenant_settings SET min_time_us = NULL", 1),
        ("UPDATE wanted_zone SET zone = 'Europe/Paris'", 2),
        ("UPDATE wanted_zone SET version = version + 1", 2),
        ("UPDATE wanted_zone SET tenant = 'acne'", 2),
        ("UPDATE reference_table SET generation = 1", 3),
        ("UPDATE reference_table SET body = CAST(replace(body, 'free', 'paid') AS BLOB)", 3),
        ("UPDATE reference_table SET body = x''", 3),
        ("UPDATE reference_table SET tenant = 'acne'", 3),
    ] {
        let folder = Folder::new()?;
        fixture::write(&folder.file()).await?;
        sql(&folder.file(), damage).await?;
        let mut expected = [None; 4];
        expected[place] = Some(ErrorKind::Corrupt);
        assert_eq!(read(&folder).await?, expected, "{damage}");
    }
    Ok(())
}

#[tokio::test]
async fn a_manifest_in_the_place_of_a_catalog_is_refused_and_left_alone() -> Outcome {
    let folder = Folder::new()?;
    manifest::SqliteManifest::open(&folder.file()).await?.close().await?;
    let before = fs::read(folder.file())?;
    assert_eq!(kind(folder.catalog().await), Some(ErrorKind::Unacceptable));
    assert_eq!(fs::read(folder.file())?, before);
    Ok(())
}

/// Runs a statement on a file behind the program's back.
pub(crate) async fn sql(path: &Path, statement: &str) -> Outcome {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
    let pool = sqlx::SqlitePool::connect_with(options).await?;
    sqlx::raw_sql(sqlx::AssertSqlSafe(statement.to_owned())).execute(&pool).await?;
    pool.close().await;
    Ok(())
}
