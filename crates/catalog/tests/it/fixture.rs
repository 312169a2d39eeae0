//! Catalogs of every format, kept for ever, and the catalog inside a manifest of format 2: whatever is added
//! later, the newest opens and says the same.

#![expect(clippy::disallowed_methods, reason = "a test works on its own copy")]

use std::fs;
use std::path::Path;
use std::sync::Arc;

use catalog::SqliteCatalog;
use domain::access::audit::{AuditHead, Cause};
use domain::access::record::{Record, Workspace, WorkspaceStatus};
use domain::calendar::{WeekStart, Zone};
use domain::quota::{CarriedPeriods, Measure, QuotaKey, QuotaPeriod, QuotaTerms, VersionedQuota};
use domain::reference::ReferenceTable;
use domain::tenant::{TenantId, TenantScope};
use domain::time::{TimeRange, Timestamp};
use manifest::{OpenedManifest, SqliteManifest};
use ports::active_users::VersionedZone;
use ports::catalog::{Catalog, TenantSettings};
use ports::references::References;
use ports::register::{AuditLog, Register, RegisterCommit, Revision};
use ports::{ErrorKind, PortError};

use crate::Outcome;
use crate::place::{Folder, audit, kind};
use crate::records::{encryption, of_every_kind, profile, sorted};

const FORMAT_1: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/fixtures/catalog-v1.sqlite");
const FORMAT_3: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/fixtures/catalog-v3.sqlite");
/// The first with quotas, encryption, limits, and details of the audit log apart from the chain.
const FORMAT_9: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/fixtures/catalog-v9.sqlite");
const FORMAT_2: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/fixtures/catalog-v2.sqlite");
/// Before the catalog had a file of its own.
const MANIFEST_2: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../manifest/tests/it/fixtures/manifest-v2.sqlite");

pub(crate) fn acme() -> TenantId {
    TenantId::parse("acme").unwrap_or_else(|_| TenantId::default_tenant())
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

/// What format 1 can hold of them.
fn settings_of_1() -> TenantSettings {
    TenantSettings { week_start: WeekStart::Sunday, max_lateness_sec: Some(86_400), ..TenantSettings::default() }
}

fn settings() -> TenantSettings {
    TenantSettings { min_time: Some(at(946_684_800)), ..settings_of_1() }
}

fn zone(version: u64) -> VersionedZone {
    VersionedZone { zone: Zone::parse("Europe/Berlin").unwrap_or_else(|_| Zone::utc()), version }
}

fn reference(generation: u64) -> Arc<ReferenceTable> {
    let known = |plan: &str| Arc::new([("plan".to_owned(), plan.to_owned())].into_iter().collect());
    let users = [("u-1".to_owned(), known("free")), ("u-2".to_owned(), known("pro"))].into_iter().collect();
    Arc::new(ReferenceTable { generation, ts: at(1_431_857_000), users })
}

fn carried() -> CarriedPeriods {
    let range = |days: i64| TimeRange::new(at(1_399_939_200), at(1_399_939_200 + days * 86_400));
    CarriedPeriods { day: range(1).unwrap_or(TimeRange::ALL), month: range(31).unwrap_or(TimeRange::ALL) }
}

fn quota() -> VersionedQuota {
    let key = QuotaKey { customer: Some("c-1".to_owned()), measure: Measure::Tokens, period: QuotaPeriod::Month };
    VersionedQuota { key, terms: Some(QuotaTerms { limit: 5_000, is_hard: true }), version: 1 }
}

/// Writes a catalog with something in every table, whole in one file.
pub(crate) async fn write(path: &Path) -> Outcome {
    let catalog = SqliteCatalog::open_or_create(path).await?;
    catalog.ensure_tenants(&[acme()], at(1_400_000_000), &Cause::server()).await?;
    let scope = TenantScope::for_operator(acme());
    catalog.store_settings(&scope, &settings(), &audit(&scope, at(1_400_000_001))).await?;
    catalog.store_wanted_zone(&scope, &zone(3), &carried(), &audit(&scope, at(1_400_000_002))).await?;
    catalog.store_quota(&scope, &quota(), &audit(&scope, at(1_400_000_002))).await?;
    catalog.store_reference(&scope, &reference(1), &audit(&scope, at(1_400_000_003))).await?;
    catalog.store_reference(&scope, &reference(2), &audit(&scope, at(1_400_000_003))).await?;
    let records = [of_every_kind(&acme())?, vec![Record::Customer(profile(&acme()))]].concat();
    let server = Cause::command().draft(None, at(1_400_000_004), "workspace.change", "workspace:acme");
    let server = server.changing(Some("{}".to_owned()), Some(r#"{"name":"Acme Inc."}"#.to_owned()));
    catalog
        .commit(&RegisterCommit {
            records,
            audit: vec![audit(&scope, at(1_400_000_004)), server],
            ..RegisterCommit::default()
        })
        .await?;
    Ok(catalog.close().await?)
}

/// Adds what has come after format 3: what is encrypted, and a member who sees that.
pub(crate) async fn add_encryption(path: &Path) -> Outcome {
    let catalog = SqliteCatalog::open(path).await?;
    let records = encryption(&acme())?;
    catalog.commit(&RegisterCommit { records, ..RegisterCommit::default() }).await?;
    Ok(catalog.close().await?)
}

/// What a catalog older than format 3 holds of the register.
fn workspace() -> Workspace {
    Workspace::new(acme(), "acme", at(1_400_000_000))
}

/// Everything in the register.
async fn register(catalog: &SqliteCatalog) -> Result<(Vec<Record>, Revision), PortError> {
    let mut records = Vec::new();
    let revision = catalog.load(Revision(0), &mut |record| records.push(record)).await?;
    Ok((sorted(records), revision))
}

/// Compares a catalog that is older than format 3 with what was written then, and goes on from there.
async fn check_old(catalog: &SqliteCatalog, wanted: VersionedZone, settings: TenantSettings) -> Outcome {
    assert_eq!(catalog.tenants().await?, [workspace()]);
    assert_eq!(register(catalog).await?, (vec![Record::Workspace(workspace())], Revision(0)));
    assert_eq!(catalog.audit_heads().await?, []);
    check(catalog, wanted, settings).await?;
    let versioned = workspace().versioned.next(at(1_400_000_009));
    let renamed = Workspace { name: "Acme Inc.".to_owned(), versioned, ..workspace() };
    let commit = RegisterCommit { records: vec![Record::Workspace(renamed.clone())], ..RegisterCommit::default() };
    assert_eq!(catalog.commit(&commit).await?, Revision(1));
    assert_eq!(register(catalog).await?, (vec![Record::Workspace(renamed)], Revision(1)));
    Ok(())
}

/// Compares what a tenant has decided with what [`write`] wrote, or wrote when it was older, and goes on from there.
async fn check(catalog: &SqliteCatalog, wanted: VersionedZone, settings: TenantSettings) -> Outcome {
    assert_eq!(catalog.settings().await?, [(acme(), settings)]);
    assert_eq!(catalog.wanted_zones().await?, [(acme(), wanted)]);
    assert_eq!(catalog.reference_tables().await?, [(acme(), reference(2))]);
    let scope = TenantScope::for_operator(acme());
    catalog.store_reference(&scope, &reference(3), &audit(&scope, at(1_400_000_003))).await?;
    let later = TenantSettings { min_time: Some(at(-1)), ..settings };
    catalog.store_settings(&scope, &later, &audit(&scope, at(1_400_000_003))).await?;
    assert_eq!(catalog.settings().await?, [(acme(), later)]);
    Ok(())
}

#[tokio::test]
#[ignore = "writes the fixture; run it for a new format, under a new name"]
async fn write_the_fixture() -> Outcome {
    write(Path::new(FORMAT_9)).await?;
    add_encryption(Path::new(FORMAT_9)).await
}

#[tokio::test]
async fn a_catalog_of_format_1_opens_for_ever() -> Outcome {
    let folder = Folder::new()?;
    fs::copy(FORMAT_1, folder.file())?;
    check_old(&SqliteCatalog::open(&folder.file()).await?, zone(3), settings_of_1()).await?;
    assert_eq!(folder.catalog().await?.reference_tables().await?, [(acme(), reference(3))], "it is migrated once only");
    Ok(())
}

#[tokio::test]
async fn a_catalog_of_format_2_opens_for_ever() -> Outcome {
    let folder = Folder::new()?;
    fs::copy(FORMAT_2, folder.file())?;
    check_old(&SqliteCatalog::open(&folder.file()).await?, zone(3), settings()).await?;
    assert_eq!(folder.catalog().await?.reference_tables().await?, [(acme(), reference(3))], "it is migrated once only");
    Ok(())
}

#[tokio::test]
async fn a_catalog_of_format_3_opens_for_ever() -> Outcome {
    let folder = Folder::new()?;
    fs::copy(FORMAT_3, folder.file())?;
    let catalog = SqliteCatalog::open(&folder.file()).await?;
    assert_eq!(register(&catalog).await?, (sorted(of_every_kind(&acme())?), Revision(2)));
    let scope = TenantScope::for_operator(acme());
    assert_eq!(catalog.customer_profiles(&scope, &["c-1".to_owned()]).await?, [profile(&acme())]);
    assert_eq!(followed(&catalog).await?, [(None, 1), (Some(acme()), 5)]);
    check(&catalog, zone(3), settings()).await
}

/// Follows the chain of every log: how many entries each has.
async fn followed(catalog: &SqliteCatalog) -> Result<Vec<(Option<TenantId>, u64)>, PortError> {
    let mut seqs = Vec::new();
    for (workspace, head) in catalog.audit_heads().await? {
        let mut last = AuditHead::default();
        for entry in catalog.audit_chain(workspace.as_ref(), 0, usize::MAX).await? {
            assert!(entry.follows(last), "{entry:?}");
            last = entry.head();
        }
        assert_eq!(last, head);
        seqs.push((workspace, head.seq));
    }
    Ok(seqs)
}

#[tokio::test]
async fn a_catalog_of_format_9_opens_for_ever() -> Outcome {
    let folder = Folder::new()?;
    fs::copy(FORMAT_9, folder.file())?;
    let catalog = SqliteCatalog::open(&folder.file()).await?;
    let records = [of_every_kind(&acme())?, encryption(&acme())?].concat();
    assert_eq!(register(&catalog).await?.0, sorted(records));
    assert_eq!(catalog.quotas().await?, [(acme(), quota())]);
    assert_eq!(catalog.carried_periods().await?, [(acme(), carried())]);
    let logs = followed(&catalog).await?;
    assert!(logs.len() == 2 && logs.iter().all(|(_, entries)| *entries > 0), "{logs:?}");
    check(&catalog, zone(3), settings()).await
}

/// A row of a tenant that was there before rows had checksums.
#[tokio::test]
async fn a_tenant_that_was_not_active_is_suspended() -> Outcome {
    let folder = Folder::new()?;
    fs::copy(FORMAT_2, folder.file())?;
    crate::damage::sql(&folder.file(), "UPDATE tenant SET active = 0").await?;
    let suspended = Workspace { status: WorkspaceStatus::Suspended, ..workspace() };
    assert_eq!(SqliteCatalog::open(&folder.file()).await?.tenants().await?, [suspended]);
    Ok(())
}

/// The manifest of format 2 in this folder.
async fn old(folder: &Folder) -> Result<Vec<(TenantId, Zone)>, Box<dyn std::error::Error>> {
    match SqliteManifest::open_any(&folder.manifest()).await? {
        OpenedManifest::Format2(old) => Ok(old.zones().await?),
        OpenedManifest::Current(_) => Err("it is of format 2".into()),
    }
}

#[tokio::test]
async fn the_catalog_in_a_manifest_of_format_2_moves_out_as_often_as_it_takes() -> Outcome {
    let folder = Folder::new()?;
    fs::copy(MANIFEST_2, folder.manifest())?;
    let zones = old(&folder).await?;
    // A file that an upgrade has left which was killed, with a log that belongs to it.
    fs::write(folder.file(), b"half a catalog")?;
    fs::write(folder.file().with_extension("sqlite-wal"), b"half a log")?;
    for _ in 0..2 {
        SqliteCatalog::create_from_manifest(&folder.file(), &folder.manifest(), &zones).await?;
        check_old(&SqliteCatalog::open(&folder.file()).await?, zone(1), settings_of_1()).await?;
        assert_eq!(old(&folder).await?, zones, "the manifest is as it was");
    }
    Ok(())
}

#[tokio::test]
async fn f11_a_damaged_row_of_the_old_catalog_stops_the_move() -> Outcome {
    for damage in [
        "UPDATE tenant SET id = 'not a tenant'",
        "UPDATE tenant_settings SET max_lateness_sec = 1",
        "UPDATE reference_table SET body = x''",
    ] {
        let folder = Folder::new()?;
        fs::copy(MANIFEST_2, folder.manifest())?;
        crate::damage::sql(&folder.manifest(), damage).await?;
        let zones = old(&folder).await?;
        let moved = SqliteCatalog::create_from_manifest(&folder.file(), &folder.manifest(), &zones).await;
        assert_eq!(kind(moved), Some(ErrorKind::Corrupt), "{damage}");
        assert!(!folder.file().exists(), "{damage}");
    }
    Ok(())
}

#[tokio::test]
async fn a_catalog_that_must_be_there_is_not_made_anew() -> Outcome {
    let folder = Folder::new()?;
    assert_eq!(kind(SqliteCatalog::open(&folder.file()).await), Some(ErrorKind::Corrupt));
    assert!(!folder.file().exists());
    Ok(())
}
