//! A store of schema version 1, kept for ever: whatever is added later, it opens and says the same.

#![expect(clippy::disallowed_methods, reason = "a test works on its own copy")]

use std::fs;
use std::path::Path;

use domain::admit::Dimension;
use domain::aggregate::Totals;
use domain::position::Seq;
use domain::rollup::{Rollup, RollupKey};
use domain::tenant::{TenantId, TenantScope};
use domain::time::{MICROS_PER_HOUR, TimeRange, Timestamp};
use domain::window::WindowRule;
use ports::PortError;
use ports::catalog::Catalog;
use ports::manifest::{Commit, DeadLetter, FileKind, FileMeta, Identity, Manifest, Name, SegmentMeta};
use store::SqliteStore;

use crate::Outcome;
use crate::place::Folder;

const VERSION_1: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/fixtures/manifest-v1.sqlite");

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
        buried_at: at(1_500_000_000),
        payload: vec![0, 255],
    }
}

/// Writes a store with something in every table, whole in one file.
pub(crate) async fn write(path: &Path) -> Result<(), PortError> {
    let store = SqliteStore::open(path).await?;
    store.load(&identity()).await?;
    let change = Commit {
        cursor: Some((Seq(0), Seq(42))),
        add: segments(),
        rollups: rollups(),
        names: names(),
        closed_through: Some(at(1_431_857_160)),
        retention_floor: Some(at(-5)),
        ..Commit::default()
    };
    store.commit(&change).await?;
    store.bury(&letter()).await?;
    store.ensure_tenants(&[tenant("acme")], at(1_400_000_000)).await?;
    store.close().await
}

#[tokio::test]
#[ignore = "writes the fixture; run it for a new schema version, under a new name"]
async fn write_the_fixture() -> Outcome {
    Ok(write(Path::new(VERSION_1)).await?)
}

#[tokio::test]
async fn a_store_of_version_1_opens_for_ever() -> Outcome {
    let folder = Folder::new()?;
    fs::copy(VERSION_1, folder.file())?;
    let store = folder.store().await?;
    let state = store.load(&Identity { key: [0; 16], rule: WindowRule::default() }).await?;
    assert_eq!(state.identity, identity());
    assert_eq!(state.segments, segments());
    assert_eq!(state.cursor, Seq(42));
    assert_eq!((state.closed_through, state.retention_floor), (at(1_431_857_160), at(-5)));
    assert_eq!(state.names, names());
    assert_eq!(state.dead_letters, 1);
    let scope = TenantScope::for_operator(tenant("acme"));
    assert_eq!(store.rollups(&scope, TimeRange::ALL).await?.1, rollups());
    assert_eq!(store.dead_letter(&scope, Seq(17)).await?, Some(letter()));
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
