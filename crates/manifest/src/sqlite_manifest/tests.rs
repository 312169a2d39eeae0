//! What failed and unfinished writes leave. Failpoints belong to the process, so these tests run one after
//! the other, by holding a `FailScenario`.

use super::*;
use std::error::Error;

use domain::calendar::{Day, DayRange, Zone};
use domain::position::Seq;
use domain::tenant::{TenantId, TenantScope};
use domain::time::Timestamp;
use domain::users::UserNumber;
use domain::window::WindowRule;
use fail::FailScenario;
use ports::ErrorKind;
use ports::active_users::VersionedZone;
use ports::manifest::{Activity, ActivityFilter, Commit, DeadLetter, Identity, Manifest, ManifestState, NewUsers};
use sea_orm::ConnectionTrait;
use sqlite::Failure;

fn identity() -> Identity {
    Identity { key: [7; 16], rule: WindowRule::default() }
}

fn moved(from: u64, to: u64) -> Commit {
    Commit { cursor: Some((Seq(from), Seq(to))), ..Commit::default() }
}

fn letter(seq: u64, bytes: usize) -> DeadLetter {
    let payload = vec![1; bytes];
    DeadLetter { seq: Seq(seq), tenant: None, reason: "r".into(), dead_lettered_at: Timestamp::MIN, payload }
}

/// A change with something in every table of users.
fn counted(from: u64, to: u64, bits: u32) -> Commit {
    let tenant = TenantId::default_tenant();
    let names = (0..bits).map(|number| format!("user {number}")).collect();
    let users = (0..bits).map(|number| UserNumber(number << 16)).collect();
    let (filter, day) = (ActivityFilter::All, Day::from_number(1));
    Commit {
        users: vec![NewUsers { tenant: tenant.clone(), first: 0, names }],
        activity: vec![Activity { tenant: tenant.clone(), filter, day, users }],
        zone: Some((tenant, VersionedZone { zone: Zone::utc(), version: 1 })),
        ..moved(from, to)
    }
}

async fn active(store: &SqliteManifest) -> Result<u64, PortError> {
    let scope = TenantScope::for_operator(TenantId::default_tenant());
    let days = store.activity(&scope, &ActivityFilter::All, DayRange::ALL).await?.1;
    Ok(days.iter().map(|(_, users)| users.len()).sum())
}

async fn state(store: &SqliteManifest) -> Result<ManifestState, PortError> {
    store.load(&identity()).await
}

/// Lets the file grow up to so many pages.
async fn limit_pages(store: &SqliteManifest, count: u32) -> Result<(), Box<dyn Error>> {
    let write = store.file.begin("test").await?;
    let outcome = write.transaction().execute_unprepared(&format!("PRAGMA max_page_count = {count}")).await;
    Ok(write.finish(outcome.map(drop).map_err(Failure::from)).await?)
}

#[tokio::test]
async fn i7_a_full_disk_is_told_and_heals_when_there_is_space() -> Result<(), Box<dyn Error>> {
    let _turn = FailScenario::setup();
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("manifest.sqlite");
    let store = SqliteManifest::open(&path).await?;
    state(&store).await?;
    store.commit(&moved(0, 1)).await?;
    let before = state(&store).await?;
    limit_pages(&store, 1).await?;

    let full = store.store_dead_letter(&letter(9, 1 << 20)).await.err().map(|error| error.kind());
    assert_eq!(full, Some(ErrorKind::Full));
    let again = store.store_dead_letter(&letter(9, 1 << 20)).await.err().map(|error| error.kind());
    assert_eq!(again, Some(ErrorKind::Full));
    let full = store.commit(&counted(1, 2, 60_000)).await.err().map(|error| error.kind());
    assert_eq!(full, Some(ErrorKind::Full));
    assert_eq!(state(&store).await?, before, "reads go on");
    assert_eq!(active(&store).await?, 0);

    limit_pages(&store, 1_000_000).await?;
    assert_eq!(state(&store).await?, before);
    store.store_dead_letter(&letter(9, 1 << 20)).await?;
    store.commit(&counted(1, 2, 60_000)).await?;
    assert_eq!(active(&store).await?, 60_000);
    Ok(())
}

#[tokio::test]
async fn a_write_that_is_dropped_before_its_end_never_happened() -> Result<(), Box<dyn Error>> {
    let _turn = FailScenario::setup();
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("manifest.sqlite");
    let store = SqliteManifest::open(&path).await?;
    let before = state(&store).await?;
    let write = store.file.begin("test").await?;
    write.transaction().execute_unprepared("UPDATE meta SET cursor = 5").await?;
    drop(write);
    assert_eq!(state(&store).await?, before);
    store.commit(&moved(0, 1)).await?;
    drop(store);
    assert_eq!(state(&SqliteManifest::open(&path).await?).await?.cursor, Seq(1));
    Ok(())
}

#[tokio::test]
async fn a_number_that_has_no_place_is_refused_and_nothing_is_poisoned() -> Result<(), Box<dyn Error>> {
    let _turn = FailScenario::setup();
    let folder = tempfile::tempdir()?;
    let store = SqliteManifest::open(&folder.path().join("manifest.sqlite")).await?;
    state(&store).await?;
    let refused = store.commit(&moved(0, u64::MAX)).await.err().map(|error| error.kind());
    assert_eq!(refused, Some(ErrorKind::Unacceptable));
    store.commit(&moved(0, 1)).await?;
    Ok(())
}

/// What the caller is told, what it is told next, and the cursor and the active users when the store
/// is opened again.
async fn after_a_failure_at(
    failpoint: &str,
) -> Result<(Option<ErrorKind>, Option<ErrorKind>, Seq, u64), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("manifest.sqlite");
    let store = SqliteManifest::open(&path).await?;
    state(&store).await?;
    fail::cfg(failpoint, "1*return")?;
    let told = store.commit(&counted(0, 1, 5)).await.err().map(|error| error.kind());
    let next = store.commit(&moved(0, 1)).await.err().map(|error| error.kind());
    drop(store);
    let store = SqliteManifest::open(&path).await?;
    let found = state(&store).await?;
    let (cursor, active) = (found.cursor, active(&store).await?);
    assert_eq!(found.users.iter().map(|(_, names)| names.len() as u64).sum::<u64>(), active);
    assert_eq!(found.zones.len() as u64, cursor.0);
    store.commit(&moved(cursor.0, 9)).await?;
    Ok((told, next, cursor, active))
}

#[tokio::test]
async fn i8_a_failure_at_either_edge_poisons_until_opened_again() -> Result<(), Box<dyn Error>> {
    let _turn = FailScenario::setup();
    let poisoned = Some(ErrorKind::Poisoned);
    assert_eq!(after_a_failure_at("manifest::before_commit").await?, (poisoned, poisoned, Seq(0), 0));
    assert_eq!(after_a_failure_at("manifest::after_commit").await?, (poisoned, poisoned, Seq(1), 5));
    Ok(())
}
