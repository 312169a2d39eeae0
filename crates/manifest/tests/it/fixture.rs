//! Stores of every format, kept for ever: whatever is added later, the newest opens and says the same,
//! and what cannot be carried on is refused and left as it was.

#![expect(clippy::disallowed_methods, reason = "a test works on its own copy")]

use std::fs;
use std::path::Path;
use std::sync::Arc;

use domain::admit::Dimension;
use domain::aggregate::Totals;
use domain::calendar::{Day, DayRange, WeekStart, Zone};
use domain::position::Seq;
use domain::reference::ReferenceTable;
use domain::rollup::{Rollup, RollupKey};
use domain::tenant::{TenantId, TenantScope};
use domain::time::{MICROS_PER_HOUR, TimeRange, Timestamp};
use domain::users::UserNumber;
use domain::window::WindowRule;
use manifest::SqliteManifest;
use ports::catalog::{Catalog, TenantSettings};
use ports::manifest::{
    Activity, ActivityFilter, Commit, DeadLetter, FileKind, FileMeta, Identity, Manifest, Name, NewUsers, SegmentMeta,
};
use ports::references::References;
use ports::{ErrorKind, PortError};

use crate::Outcome;
use crate::place::Folder;

/// Its segments do not know the numbers of their users.
const FORMAT_1: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/fixtures/manifest-v1.sqlite");
const FORMAT_2: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/fixtures/manifest-v2.sqlite");

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

fn rollups() -> Vec<Rollup> {
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

fn zone() -> Zone {
    Zone::parse("Europe/Berlin").unwrap_or_else(|_| Zone::utc())
}

fn settings() -> TenantSettings {
    TenantSettings { week_start: WeekStart::Sunday, max_lateness_sec: Some(86_400) }
}

fn reference(generation: u64) -> Arc<ReferenceTable> {
    let known = |plan: &str| Arc::new([("plan".to_owned(), plan.to_owned())].into_iter().collect());
    let users = [("u-1".to_owned(), known("free")), ("u-2".to_owned(), known("pro"))].into_iter().collect();
    Arc::new(ReferenceTable { generation, ts: at(1_431_857_000), users })
}

/// Writes a store with something in every table, whole in one file.
pub(crate) async fn write(path: &Path) -> Result<(), PortError> {
    let store = SqliteManifest::open(path).await?;
    store.load(&identity()).await?;
    let change = Commit {
        cursor: Some((Seq(0), Seq(42))),
        add: segments(),
        rollups: rollups(),
        names: names(),
        users: users(),
        activity: activity(),
        zone: Some((tenant("acme"), zone())),
        closed_through: Some(at(1_431_857_160)),
        retention_floor: Some(at(-5)),
        ..Commit::default()
    };
    store.commit(&change).await?;
    store.store_dead_letter(&letter()).await?;
    store.ensure_tenants(&[tenant("acme")], at(1_400_000_000)).await?;
    let scope = TenantScope::for_operator(tenant("acme"));
    store.store_settings(&scope, &settings(), at(1_400_000_001)).await?;
    store.store_reference(&scope, &reference(1)).await?;
    store.store_reference(&scope, &reference(2)).await?;
    store.close().await
}

#[tokio::test]
#[ignore = "writes the fixture; run it for a new format, under a new name"]
async fn write_the_fixture() -> Outcome {
    Ok(write(Path::new(FORMAT_2)).await?)
}

#[tokio::test]
async fn a_store_of_format_2_opens_for_ever() -> Outcome {
    let folder = Folder::new()?;
    fs::copy(FORMAT_2, folder.file())?;
    let store = folder.store().await?;
    let state = store.load(&Identity { key: [0; 16], rule: WindowRule::default() }).await?;
    assert_eq!(state.identity, identity());
    assert_eq!(state.segments, segments());
    assert_eq!(state.cursor, Seq(42));
    assert_eq!((state.closed_through, state.retention_floor), (at(1_431_857_160), at(-5)));
    assert_eq!(state.names, names());
    assert_eq!(state.dead_letters, 1);
    assert_eq!(state.users, [(tenant("acme"), users()[0].names.clone())]);
    assert_eq!(state.zones, [(tenant("acme"), zone())]);
    let scope = TenantScope::for_operator(tenant("acme"));
    assert_eq!(store.rollups(&scope, TimeRange::ALL).await?.1, rollups());
    assert_eq!(store.dead_letter(&scope, Seq(17)).await?, Some(letter()));
    for Activity { filter, .. } in activity() {
        let days = activity().into_iter().filter(|of| of.filter == filter).map(|of| (of.day, of.users));
        let stored = store.activity(&scope, &filter, DayRange::ALL).await?.1;
        assert_eq!(stored, days.collect::<Vec<_>>());
    }
    assert_eq!(store.settings().await?, [(tenant("acme"), settings())]);
    assert_eq!(store.reference_tables().await?, [(tenant("acme"), reference(2))]);
    let tenants = store.tenants().await?;
    assert_eq!(
        tenants.iter().map(|known| (&known.id, known.created)).collect::<Vec<_>>(),
        [(&tenant("acme"), at(1_400_000_000))]
    );

    // And it goes on from there; opening again migrates nothing twice.
    store.commit(&Commit { cursor: Some((Seq(42), Seq(43))), ..Commit::default() }).await?;
    drop(store);
    assert_eq!(folder.store().await?.load(&identity()).await?.cursor, Seq(43));
    Ok(())
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
