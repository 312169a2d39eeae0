//! Stores of every format, kept for ever: whatever is added later, the newest opens and says the same,
//! and what cannot be carried on is refused and left as it was.

#![expect(clippy::disallowed_methods, reason = "a test works on its own copy")]

use std::fs;
use std::path::Path;
use std::time::Duration;

use domain::admit::Dimension;
use domain::aggregate::Totals;
use domain::calendar::{Day, DayRange, Zone};
use domain::erasure::{ErasedSoFar, Erasure, SubjectKind};
use domain::position::Seq;
use domain::quota::{Amounts, QUARTER_US};
use domain::retention::RetentionWait;
use domain::rollup::{Rollup, RollupKey};
use domain::tenant::{TenantId, TenantScope};
use domain::time::{MICROS_PER_HOUR, TimeRange, Timestamp};
use domain::users::UserNumber;
use domain::window::WindowRule;
use manifest::{OpenedManifest, SqliteManifest};
use ports::active_users::VersionedZone;
use ports::manifest::{
    Activity, ActivityFilter, Commit, DeadLetter, FileKind, FileMeta, Identity, Manifest, Name, NewUsers, ReceivedSum,
    SegmentMeta, StoredErasure, TenantRetention,
};
use ports::{ErrorKind, PortError};
use sea_orm::sqlx;

use crate::Outcome;
use crate::place::Folder;

/// Its segments do not know the numbers of their users.
const FORMAT_1: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/fixtures/manifest-v1.sqlite");
/// It holds the catalog's tables too.
const FORMAT_2: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/fixtures/manifest-v2.sqlite");
/// Its rollups do not know the parts of tokens.
const FORMAT_3: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/fixtures/manifest-v3.sqlite");
const FORMAT_4: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/fixtures/manifest-v4.sqlite");

/// A file of format 4 with what the steps after it have added: floors of tenants, what was received, erasures.
const ERASED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/fixtures/manifest-v4-erased.sqlite");

pub(crate) fn identity() -> Identity {
    Identity { key: *b"nilometer-v1-key", rule: WindowRule::new(60, 7).unwrap_or_default() }
}

fn tenant(id: &str) -> TenantId {
    TenantId::parse(id).unwrap_or_else(|_| TenantId::default_tenant())
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

fn segments() -> Vec<SegmentMeta> {
    let segment = |id: &str, first, last, kinds: &[FileKind]| SegmentMeta {
        id: id.to_owned(),
        level: 2,
        first_seq: Seq(first),
        last_seq: Seq(last),
        time_min: at(-10),
        time_max: at(1_431_857_103),
        files: kinds
            .iter()
            .map(|&kind| FileMeta {
                kind,
                name: format!("{id}.{}", kind.as_str()),
                bytes: 12_345,
                blake3: [0xab; 32],
                rows: 678,
            })
            .collect(),
    };
    vec![
        segment("s1", 1, 40, &[FileKind::Events, FileKind::Windows, FileKind::Ids]),
        segment("s2", 41, 42, &[FileKind::Windows, FileKind::Ids]),
    ]
}

/// The rollups of a file of `format`.
fn rollups(format: i64) -> Vec<Rollup> {
    let part = |tokens| if format < 4 { 0 } else { tokens };
    let rollup = |hour: i64| Rollup {
        key: RollupKey {
            tenant: tenant("acme"),
            project: "p".into(),
            kind: "api_call".into(),
            hour: Timestamp::from_micros(hour * MICROS_PER_HOUR),
        },
        totals: Totals {
            calls: 7,
            tokens: 60,
            input_tokens: 20,
            output_tokens: 40,
            cache_read_tokens: part(11),
            cache_write_tokens: part(5),
            reasoning_tokens: part(31),
            latency_us: i64::MAX as u64,
            latency_calls: 6,
            late: 1,
        },
    };
    vec![rollup(-1), rollup(0), rollup(397_738)]
}

fn names() -> Vec<Name> {
    Dimension::ALL
        .into_iter()
        .map(|dimension| Name { tenant: tenant("acme"), dimension, name: format!("a {}", dimension.field()) })
        .collect()
}

fn letter() -> DeadLetter {
    DeadLetter {
        seq: Seq(17),
        tenant: Some(tenant("acme")),
        reason: "no record".into(),
        dead_lettered_at: at(1_500_000_000),
        payload: vec![0, 255],
    }
}

fn users() -> Vec<NewUsers> {
    let user = |number: u32| format!("user {number} of \u{e4}cme");
    vec![NewUsers { tenant: tenant("acme"), first: 0, names: (0..1_100).map(user).collect() }]
}

fn activity() -> Vec<Activity> {
    let filters = [ActivityFilter::All, ActivityFilter::Project("p".into()), ActivityFilter::Type("api_call".into())];
    let of = |filter: ActivityFilter, day: i32| Activity {
        tenant: tenant("acme"),
        filter,
        day: Day::from_number(day),
        users: (0..1_100).step_by(3).map(UserNumber).collect(),
    };
    filters.into_iter().flat_map(|filter| [-1, 16_572].map(|day| of(filter.clone(), day))).collect()
}

/// Format 2 had no versions; its zones get the first one.
fn zone(version: u64) -> VersionedZone {
    VersionedZone { zone: Zone::parse("Europe/Berlin").unwrap_or_else(|_| Zone::utc()), version }
}

/// Writes a store with something in every table, whole in one file.
pub(crate) async fn write(path: &Path) -> Result<(), PortError> {
    let store = SqliteManifest::open(path).await?;
    store.load(&identity()).await?;
    let change = Commit {
        cursor: Some((Seq(0), Seq(42))),
        add: segments(),
        rollups: rollups(4),
        names: names(),
        users: users(),
        activity: activity(),
        zone: Some((tenant("acme"), zone(3))),
        closed_through: Some(at(1_431_857_160)),
        retention_floor: Some(at(-5)),
        retention_wait: Some(RetentionWait { floor: at(5), waited: Duration::from_secs(9) }),
        ..Commit::default()
    };
    store.commit(&change).await?;
    store.store_dead_letter(&letter()).await?;
    store.close().await
}

fn received() -> Vec<ReceivedSum> {
    let sum = |customer: &str, quarter: i64| ReceivedSum {
        tenant: tenant("acme"),
        customer: customer.to_owned(),
        start: Timestamp::from_micros(quarter * QUARTER_US),
        amounts: Amounts { events: 5, tokens: 60, calls: 4 },
    };
    vec![sum("", 1_590_000), sum("c-1", 1_590_000)]
}

fn retained() -> TenantRetention {
    TenantRetention {
        tenant: tenant("acme"),
        floor: at(-3),
        wait: RetentionWait { floor: at(6), waited: Duration::from_secs(8) },
    }
}

fn erasure() -> StoredErasure {
    StoredErasure {
        tenant: tenant("acme"),
        subject: Some("c-2".to_owned()),
        subject_hash: 7,
        erasure: Erasure {
            id: "e-1".to_owned(),
            kind: SubjectKind::Customer,
            blocks: true,
            through: Seq(40),
            requested_at: at(1_500_000_001),
            by: "user:u".to_owned(),
            zone: "Europe/Berlin".to_owned(),
            gone: ErasedSoFar { events: 1, segments: 2, users: 3, dead_letters: 4 },
            finished_at: None,
        },
    }
}

/// Adds to what [`write`] writes what has come after it within its format.
async fn write_erased(path: &Path) -> Result<(), PortError> {
    write(path).await?;
    let store = SqliteManifest::open(path).await?;
    let change = Commit {
        received: received(),
        metered: vec![(tenant("acme"), "c-1".to_owned())],
        tenant_retention: vec![retained()],
        erasures: vec![erasure()],
        erased_activity: activity()[..1].to_vec(),
        ..Commit::default()
    };
    store.commit(&change).await?;
    store.close().await
}

#[tokio::test]
async fn a_store_with_erasures_opens_for_ever() -> Outcome {
    let folder = Folder::new()?;
    fs::copy(ERASED, folder.file())?;
    let store = folder.store().await?;
    let state = store.load(&identity()).await?;
    assert_eq!(state.erasures, [erasure()]);
    assert_eq!(state.tenant_retention, [retained()]);
    assert_eq!(state.metered, [(tenant("acme"), "c-1".to_owned())]);
    let scope = TenantScope::for_operator(tenant("acme"));
    assert_eq!(store.received(&scope, TimeRange::ALL).await?.1, received());
    assert_eq!(store.erased_activity(&scope).await?, activity()[..1]);
    check(store, 4, zone(3)).await
}

#[tokio::test]
#[ignore = "writes the fixture; run it for a new format, under a new name"]
async fn write_the_fixture() -> Outcome {
    Ok(write_erased(Path::new(ERASED)).await?)
}

/// Compares everything in a store with what [`write`] wrote in `format`, and goes on from there.
async fn check(store: SqliteManifest, format: i64, zone: VersionedZone) -> Outcome {
    let state = store.load(&Identity { key: [0; 16], rule: WindowRule::default() }).await?;
    assert_eq!(state.identity, identity());
    assert_eq!(state.segments, segments());
    assert_eq!(state.cursor, Seq(42));
    assert_eq!((state.closed_through, state.retention_floor), (at(1_431_857_160), at(-5)));
    assert_eq!(state.names, names());
    assert_eq!(state.dead_letters, 1);
    assert_eq!(state.users, [(tenant("acme"), users()[0].names.clone())]);
    assert_eq!(state.zones, [(tenant("acme"), zone)]);
    let scope = TenantScope::for_operator(tenant("acme"));
    assert_eq!(store.rollups(&scope, TimeRange::ALL).await?.1, rollups(format));
    let mut sum = Totals::default();
    rollups(format).iter().for_each(|rollup| sum.merge(&rollup.totals));
    assert_eq!(store.type_sums(&scope, TimeRange::ALL, None).await?.1, [("api_call".to_owned(), sum)]);
    assert_eq!(store.dead_letter(&scope, Seq(17)).await?, Some(letter()));
    for Activity { filter, .. } in activity() {
        let days = activity().into_iter().filter(|of| of.filter == filter).map(|of| (of.day, of.users));
        let stored = store.activity(&scope, &filter, DayRange::ALL).await?.1;
        assert_eq!(stored, days.collect::<Vec<_>>());
    }
    let more = rollups(4);
    store.commit(&Commit { cursor: Some((Seq(42), Seq(43))), rollups: more.clone(), ..Commit::default() }).await?;
    let added = rollups(format).into_iter().zip(more).map(|(mut old, new)| {
        old.totals.merge(&new.totals);
        old
    });
    assert_eq!(store.rollups(&scope, TimeRange::ALL).await?.1, added.collect::<Vec<_>>());
    Ok(())
}

#[tokio::test]
async fn a_store_of_format_3_or_4_opens_for_ever() -> Outcome {
    for (format, file) in [(3, FORMAT_3), (4, FORMAT_4)] {
        let folder = Folder::new()?;
        fs::copy(file, folder.file())?;
        check(folder.store().await?, format, zone(3)).await?;
        assert_eq!(folder.store().await?.load(&identity()).await?.cursor, Seq(43), "it is migrated once only");
        assert_eq!(number(&folder, "SELECT format FROM meta").await?, 4);
    }
    Ok(())
}

#[tokio::test]
async fn a_store_of_format_2_opens_once_its_catalog_has_moved() -> Outcome {
    let folder = Folder::new()?;
    fs::copy(FORMAT_2, folder.file())?;
    let refused = folder.store().await.err().ok_or("opened a store with a catalog in it")?;
    assert_eq!(refused.kind(), ErrorKind::Unacceptable);
    let OpenedManifest::Format2(old) = SqliteManifest::open_any(&folder.file()).await? else {
        return Err("it is of format 2".into());
    };
    assert_eq!(old.zones().await?, [(tenant("acme"), zone(1).zone)]);
    check(old.without_catalog().await?, 2, zone(1)).await?;
    assert_eq!(folder.store().await?.load(&identity()).await?.cursor, Seq(43), "it is migrated once only");
    for table in ["tenant", "tenant_settings", "reference_table"] {
        assert_eq!(number(&folder, &format!("SELECT count(*) FROM sqlite_master WHERE name = '{table}'")).await?, 0);
    }
    Ok(())
}

/// A program opens files up to its own format whose steps it knows: that of format 2 knew three, that of
/// format 3 four.
#[tokio::test]
async fn a_program_of_an_earlier_format_refuses_a_store_of_format_4() -> Outcome {
    let upgraded = Folder::new()?;
    fs::copy(FORMAT_2, upgraded.file())?;
    if let OpenedManifest::Format2(old) = SqliteManifest::open_any(&upgraded.file()).await? {
        old.without_catalog().await?;
    }
    let carried_on = Folder::new()?;
    fs::copy(FORMAT_3, carried_on.file())?;
    carried_on.store().await?.close().await?;
    let new = Folder::new()?;
    fs::copy(FORMAT_4, new.file())?;
    for folder in [upgraded, carried_on, new] {
        assert_eq!(number(&folder, "SELECT format FROM meta").await?, 4);
        let known = "'m0001_manifest', 'm0002_catalog', 'm0003_analytics'";
        for (known, unknown) in [(known.to_owned(), 2), (format!("{known}, 'm0004_catalog_apart'"), 1)] {
            let others = format!("SELECT count(*) FROM seaql_migrations WHERE version NOT IN ({known})");
            assert!(number(&folder, &others).await? >= unknown);
        }
    }
    Ok(())
}

async fn number(folder: &Folder, question: &str) -> Result<i64, Box<dyn std::error::Error>> {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(folder.file());
    let pool = sqlx::SqlitePool::connect_with(options).await?;
    let number = sqlx::query_scalar(sqlx::AssertSqlSafe(question.to_owned())).fetch_one(&pool).await?;
    pool.close().await;
    Ok(number)
}

#[tokio::test]
async fn a_store_of_format_1_is_refused_and_left_as_it_was() -> Outcome {
    let folder = Folder::new()?;
    fs::copy(FORMAT_1, folder.file())?;
    for _ in 0..2 {
        let error = folder.store().await.err().ok_or("opened a store of format 1")?;
        assert_eq!(error.kind(), ErrorKind::Unacceptable);
        let reason = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        assert!(reason.contains("older version") && reason.contains("export"), "{reason}");
        assert_eq!(fs::read(folder.file())?, fs::read(FORMAT_1)?, "its own program still opens it");
    }
    Ok(())
}
