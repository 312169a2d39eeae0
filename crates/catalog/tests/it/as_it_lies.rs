//! A catalog that is read as it lies on disk: nothing is changed by that, in the file or beside it.

#![expect(clippy::disallowed_methods, reason = "a test works on its own copy")]

use std::fs;
use std::path::{Path, PathBuf};

use catalog::{CatalogAsItLies, SqliteCatalog};
use domain::access::record::Record;
use domain::tenant::TenantScope;
use domain::time::Timestamp;
use ports::ErrorKind;
use ports::register::{Register, RegisterCommit, Revision};

use crate::Outcome;
use crate::damage::sql;
use crate::fixture::{self, acme};
use crate::place::{Folder, audit, kind};

/// The names and bytes of all files.
fn files(catalog: &Path) -> std::io::Result<Vec<(PathBuf, Vec<u8>)>> {
    let folder = catalog.parent().unwrap_or(catalog);
    let mut all = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let bytes = fs::read(&path)?;
        all.push((path, bytes));
    }
    all.sort();
    Ok(all)
}

/// What is read, with everything of the folder as it was.
async fn read(path: &Path) -> Result<(Result<CatalogAsItLies, ports::PortError>, Vec<Record>), std::io::Error> {
    let before = files(path)?;
    let mut records = Vec::new();
    let read = SqliteCatalog::read_as_it_lies(path, &mut |record| records.push(record)).await;
    assert!(files(path)? == before, "reading has changed the folder");
    Ok((read, records))
}

#[tokio::test]
async fn i8_reading_a_catalog_as_it_lies_changes_nothing_and_says_what_cannot_be_read() -> Outcome {
    let folder = Folder::new()?;
    fixture::write(&folder.file()).await?;
    let mut expected = Vec::new();
    let open = folder.catalog().await?;
    open.load(Revision(0), &mut |record| expected.push(record)).await?;
    open.close().await?;
    let (told, records) = read(&folder.file()).await?;
    assert_eq!((told?, records == expected), (CatalogAsItLies::Read { has_log: false }, true));

    // As after a crash: the last change is in the log alone.
    let open = folder.catalog().await?;
    let scope = TenantScope::for_operator(acme());
    let audit = vec![audit(&scope, Timestamp::from_micros(7))];
    open.commit(&RegisterCommit { audit, ..RegisterCommit::default() }).await?;
    let crashed = Folder::new()?;
    for name in ["", "-wal"] {
        let with = |path: PathBuf| PathBuf::from(format!("{}{name}", path.display()));
        fs::copy(with(folder.file()), with(crashed.file()))?;
    }
    open.close().await?;
    let (told, records) = read(&crashed.file()).await?;
    assert_eq!((told?, records == expected), (CatalogAsItLies::Read { has_log: true }, true));

    // A newer program has written it.
    let later = "INSERT INTO seaql_migrations (version, applied_at) VALUES ('c9999_later', 0)";
    sql(&folder.file(), later).await?;
    assert_eq!(kind(read(&folder.file()).await?.0), Some(ErrorKind::Unacceptable));
    let missing = Folder::new()?;
    assert_eq!(kind(read(&missing.file()).await?.0), Some(ErrorKind::Corrupt));
    Ok(())
}

#[tokio::test]
async fn a_catalog_of_an_older_format_is_told_and_not_brought_up_to_date() -> Outcome {
    let folder = Folder::new()?;
    fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/fixtures/catalog-v1.sqlite"), folder.file())?;
    for _ in 0..2 {
        let (told, records) = read(&folder.file()).await?;
        assert!(matches!(told?, CatalogAsItLies::Older { format: 1, newest } if newest >= 8));
        assert!(records.is_empty(), "{records:?}");
    }
    folder.catalog().await?.close().await?;
    assert_eq!(read(&folder.file()).await?.0?, CatalogAsItLies::Read { has_log: false });
    Ok(())
}
