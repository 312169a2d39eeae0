//! Files that are not what was written (F11): damage is told, and never taken for less data.

#![expect(clippy::disallowed_methods, reason = "these tests make damaged files")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use domain::calendar::{Day, DayRange};
use domain::position::Seq;
use domain::tenant::{TenantId, TenantScope};
use domain::users::UserNumber;
use manifest::SqliteManifest;
use ports::ErrorKind;
use ports::manifest::{Activity, ActivityFilter, Commit, Manifest, ManifestState, NewUsers};
use proptest::prelude::*;
use sea_orm::sqlx;

use crate::Outcome;
use crate::fixture::{self, identity};
use crate::place::{Folder, kind};

const PAGE_BYTES: usize = 4_096;

/// The bytes of a store with something in every table.
async fn healthy() -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    let folder = Folder::new()?;
    fixture::write(&folder.file()).await?;
    Ok(fs::read(folder.file())?)
}

async fn opened_with(bytes: &[u8]) -> Result<Result<ManifestState, ports::PortError>, std::io::Error> {
    let folder = Folder::new()?;
    fs::write(folder.file(), bytes)?;
    Ok(load(&folder.file()).await)
}

async fn load(path: &Path) -> Result<ManifestState, ports::PortError> {
    SqliteManifest::open(path).await?.load(&identity()).await
}

#[tokio::test]
async fn f11_a_file_that_is_no_database_is_corrupt_and_named() -> Outcome {
    let folder = Folder::new()?;
    fs::write(folder.file(), b"this is no database, but it is long enough to be looked at".repeat(100))?;
    let error = folder.store().await.err().ok_or("opened a text")?;
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("manifest.sqlite"), "{error}");
    Ok(())
}

#[tokio::test]
async fn f11_a_file_of_zeros_is_corrupt() -> Outcome {
    for length in [512, 4_096, 65_536] {
        assert_eq!(kind(opened_with(&vec![0; length]).await?), Some(ErrorKind::Corrupt), "{length}");
    }
    Ok(())
}

#[tokio::test]
async fn another_programs_database_is_refused_and_left_alone() -> Outcome {
    let folder = Folder::new()?;
    fs::File::create(folder.file())?;
    sql(&folder.file(), "CREATE TABLE theirs (id INTEGER)").await?;
    let before = fs::read(folder.file())?;
    assert_eq!(kind(folder.store().await), Some(ErrorKind::Corrupt));
    assert_eq!(fs::read(folder.file())?, before);
    Ok(())
}

#[tokio::test]
async fn f11_a_file_cut_anywhere_is_corrupt() -> Outcome {
    let bytes = healthy().await?;
    let pages = (0..bytes.len()).step_by(PAGE_BYTES);
    let odd = [1, 15, 16, 99, 100, 101, 511, 512, 513, 4_095, 4_097, bytes.len() - 1];
    for length in pages.chain(odd) {
        let result = opened_with(&bytes[..length]).await?;
        assert_eq!(kind(result), Some(ErrorKind::Corrupt), "cut at {length} of {}", bytes.len());
    }
    Ok(())
}

#[tokio::test]
async fn f11_a_page_that_was_lost_is_corrupt() -> Outcome {
    let bytes = healthy().await?;
    for page in 0..bytes.len() / PAGE_BYTES {
        for garbage in [0, 0xff] {
            let mut damaged = bytes.clone();
            damaged[page * PAGE_BYTES..][..PAGE_BYTES].fill(garbage);
            assert_eq!(kind(opened_with(&damaged).await?), Some(ErrorKind::Corrupt), "page {page} is all {garbage}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn f11_a_log_without_its_file_is_corrupt() -> Outcome {
    let folder = Folder::new()?;
    fs::write(folder.file().with_extension("sqlite-wal"), b"anything")?;
    assert_eq!(kind(folder.store().await), Some(ErrorKind::Corrupt));
    Ok(())
}

#[tokio::test]
async fn f11_a_missing_folder_is_no_damage() -> Outcome {
    let folder = Folder::new()?;
    let missing = folder.file().join("manifest.sqlite");
    assert_eq!(kind(SqliteManifest::open(&missing).await), Some(ErrorKind::Unavailable));
    Ok(())
}

#[tokio::test]
async fn a_crash_while_a_store_is_made_leaves_none() -> Outcome {
    let folder = Folder::new()?;
    fs::write(folder.file().with_extension("sqlite.new"), b"half a draft")?;
    fs::write(folder.file().with_extension("sqlite.new-journal"), b"half a journal")?;
    folder.store().await?.load(&identity()).await?;
    Ok(())
}

#[tokio::test]
async fn only_its_owner_may_read_the_key() -> Outcome {
    let folder = Folder::new()?;
    let store = folder.store().await?;
    store.load(&identity()).await?;
    for file in [folder.file(), folder.file().with_extension("sqlite-wal")] {
        assert_eq!(fs::metadata(file)?.permissions().mode() & 0o777, 0o600);
    }
    Ok(())
}

#[tokio::test]
async fn a_store_of_a_newer_program_is_refused() -> Outcome {
    let folder = Folder::new()?;
    drop(folder.store().await?);
    sql(&folder.file(), "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m9999_future', 0)").await?;
    assert_eq!(kind(folder.store().await), Some(ErrorKind::Unacceptable));
    Ok(())
}

#[tokio::test]
async fn f11_a_changed_or_lost_row_is_corrupt() -> Outcome {
    for damage in [
        "UPDATE meta SET cursor = cursor + 1",
        "UPDATE meta SET retention_floor_us = 0",
        "UPDATE meta SET window_sec = 30",
        "UPDATE retention_wait SET waited_us = waited_us + 1",
        "DELETE FROM meta",
        "UPDATE segment SET time_max_us = time_max_us - 1 WHERE id = 's1'",
        "UPDATE segment_file SET bytes = bytes + 1 WHERE segment_id = 's1' AND kind = 'ids'",
        "DELETE FROM segment_file WHERE segment_id = 's2' AND kind = 'windows'",
        "PRAGMA foreign_keys = OFF; DELETE FROM segment WHERE id = 's1'",
        "UPDATE name SET tenant = 'not a tenant'",
        "UPDATE tenant_users SET users = users - 1",
        "UPDATE tenant_users SET users = 1024",
        "UPDATE tenant_users SET tenant = 'acne'",
        "UPDATE tenant_users SET zone = 'Europe/Paris'",
        "UPDATE tenant_users SET zone = NULL",
        "UPDATE tenant_users SET zone_version = zone_version + 1",
        "DELETE FROM tenant_users",
        "DELETE FROM user_page WHERE page = 0",
        "DELETE FROM user_page WHERE page = 1",
        "DELETE FROM user_page",
        "UPDATE user_page SET page = page + 1 WHERE page = 1",
        "UPDATE user_page SET tenant = 'acne' WHERE page = 1",
        "UPDATE user_page SET names = CAST(replace(names, 'user 7 ', 'user 8 ') AS BLOB)",
    ] {
        let folder = Folder::new()?;
        fixture::write(&folder.file()).await?;
        sql(&folder.file(), damage).await?;
        assert_eq!(kind(load(&folder.file()).await), Some(ErrorKind::Corrupt), "{damage}");
    }
    Ok(())
}

/// What each of the reads that `load` does not do answers.
async fn read(path: &Path) -> Result<[Option<ErrorKind>; 2], ports::PortError> {
    let store = SqliteManifest::open(path).await?;
    let scope = TenantScope::for_operator(TenantId::parse("acme").unwrap_or_else(|_| TenantId::default_tenant()));
    let users: Vec<_> = (0..1_100).map(UserNumber).collect();
    Ok([
        kind(store.activity(&scope, &ActivityFilter::All, DayRange::ALL).await),
        kind(store.user_names(&scope, &users).await),
    ])
}

#[tokio::test]
async fn f11_a_row_that_is_read_later_is_checked_then() -> Outcome {
    for (damage, place) in [
        ("UPDATE activity SET day = day + 1 WHERE day = -1", 0),
        ("UPDATE activity SET users = CAST(substr(users, 1, 40) AS BLOB)", 0),
        ("UPDATE activity SET users = CAST(users || x'00' AS BLOB)", 0),
        ("DELETE FROM user_page WHERE page = 1", 1),
        ("UPDATE user_page SET names = CAST(replace(names, 'user 7 ', 'user 8 ') AS BLOB)", 1),
        ("UPDATE tenant_users SET users = users - 1", 1),
    ] {
        let folder = Folder::new()?;
        fixture::write(&folder.file()).await?;
        sql(&folder.file(), damage).await?;
        let mut expected = [None; 2];
        if let Some(answer) = expected.get_mut(place) {
            *answer = Some(ErrorKind::Corrupt);
        }
        assert_eq!(read(&folder.file()).await?, expected, "{damage}");
    }
    Ok(())
}

#[tokio::test]
async fn f11_what_is_damaged_is_not_added_to() -> Outcome {
    let acme = TenantId::parse("acme")?;
    let of_all = |day: i32| Activity {
        tenant: acme.clone(),
        filter: ActivityFilter::All,
        day: Day::from_number(day),
        users: [UserNumber(1)].into_iter().collect(),
    };
    let more = NewUsers { tenant: acme.clone(), first: 1_100, names: vec!["more".to_owned()] };
    let activity = Commit { activity: vec![of_all(-1)], ..Commit::default() };
    for (damage, change) in [
        ("UPDATE activity SET users = CAST(users || x'00' AS BLOB)", activity),
        ("UPDATE user_page SET seal = seal + 1", Commit { users: vec![more.clone()], ..Commit::default() }),
        ("DELETE FROM user_page", Commit { users: vec![more.clone()], ..Commit::default() }),
        ("UPDATE tenant_users SET zone = NULL", Commit { users: vec![more], ..Commit::default() }),
    ] {
        let folder = Folder::new()?;
        fixture::write(&folder.file()).await?;
        sql(&folder.file(), damage).await?;
        let store = folder.store().await?;
        assert_eq!(kind(store.commit(&change).await), Some(ErrorKind::Corrupt), "{damage}");
        let next = Commit { cursor: Some((Seq(42), Seq(43))), ..Commit::default() };
        assert_eq!(kind(store.commit(&next).await), Some(ErrorKind::Poisoned), "{damage}");
    }
    Ok(())
}

async fn sql(path: &Path, statement: &str) -> Outcome {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
    let pool = sqlx::SqlitePool::connect_with(options).await?;
    sqlx::raw_sql(sqlx::AssertSqlSafe(statement.to_owned())).execute(&pool).await?;
    pool.close().await;
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1, failure_persistence: None, ..ProptestConfig::default() })]

    /// One flipped bit is refused, or what decides about counting is untouched.
    #[test]
    fn f11_a_flipped_bit_never_changes_what_counts(places in proptest::collection::vec((any::<prop::sample::Index>(), 0..8), 300)) {
        let runtime = tokio::runtime::Runtime::new()?;
        let bytes = runtime.block_on(healthy()).map_err(|error| TestCaseError::fail(error.to_string()))?;
        let decides = |state: ManifestState| ManifestState { names: vec![], dead_letters: 0, ..state };
        let expected = decides(runtime.block_on(opened_with(&bytes))?.map_err(|error| TestCaseError::fail(error.to_string()))?);
        let mut refused = 0;
        for (place, bit) in places {
            let mut damaged = bytes.clone();
            let offset = place.index(bytes.len());
            damaged[offset] ^= 1_u8 << bit;
            match runtime.block_on(opened_with(&damaged))? {
                Ok(state) => prop_assert_eq!(&decides(state), &expected, "bit {} of byte {}", bit, offset),
                Err(_) => refused += 1,
            }
        }
        prop_assert!(refused > 0);
    }
}
