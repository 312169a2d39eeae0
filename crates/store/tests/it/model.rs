//! Any sequence of changes, restarts between them included, has the same effect on SQLite as on the
//! memory twin; and what one tenant sees does not depend on the others (I5).

use domain::admit::Dimension;
use domain::aggregate::Totals;
use domain::position::Seq;
use domain::rollup::{Rollup, RollupKey};
use domain::tenant::{TenantId, TenantScope};
use domain::time::{MICROS_PER_HOUR, TimeRange, Timestamp};
use domain::window::WindowRule;
use ports::manifest::{Commit, DeadLetter, FileKind, FileMeta, Identity, Manifest, Name, SegmentMeta};
use ports::testing::manifest::MemoryManifest;
use ports::{ErrorKind, PortError};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use crate::place::{Folder, kind};

const IDENTITY: fn() -> Identity = || Identity { key: [3; 16], rule: WindowRule::default() };
const TENANTS: [&str; 3] = ["a", "b", "ä"];

#[derive(Debug, Clone)]
enum Step {
    Commit(Commit),
    Bury(DeadLetter),
    Reopen,
}

fn tenant(index: usize) -> TenantId {
    TenantId::parse(TENANTS[index]).unwrap_or_else(|_| TenantId::default_tenant())
}

fn instant() -> impl Strategy<Value = Timestamp> {
    (-3_i64..3).prop_map(|hours| Timestamp::from_micros(hours * MICROS_PER_HOUR))
}

fn totals() -> impl Strategy<Value = Totals> {
    let edge = i64::MAX as u64;
    let number = prop_oneof![3 => 0_u64..1_000, 1 => Just(edge), 1 => edge - 1_000..edge, 1 => Just(u64::MAX)];
    proptest::array::uniform7(number).prop_map(|n| Totals {
        calls: n[0],
        tokens: n[1],
        input_tokens: n[2],
        output_tokens: n[3],
        latency_us: n[4],
        latency_calls: n[5],
        late: n[6],
    })
}

fn rollup() -> impl Strategy<Value = Rollup> {
    (0..TENANTS.len(), "[pP]?", "[kK]", instant(), totals()).prop_map(|(of, project, kind, hour, totals)| Rollup {
        key: RollupKey { tenant: tenant(of), project, kind, hour },
        totals,
    })
}

fn name() -> impl Strategy<Value = Name> {
    (0..TENANTS.len(), 0..Dimension::ALL.len(), "\\PC{0,2}|\u{0}a?").prop_map(|(of, dimension, name)| Name {
        tenant: tenant(of),
        dimension: Dimension::ALL[dimension],
        name,
    })
}

fn segment_id() -> impl Strategy<Value = String> {
    (0..6).prop_map(|number| format!("s{number}"))
}

fn segment() -> impl Strategy<Value = SegmentMeta> {
    let kinds = proptest::sample::subsequence(vec![FileKind::Events, FileKind::Windows, FileKind::Ids], 0..=3);
    (segment_id(), 0_u32..3, 0_u64..9, instant(), instant(), kinds, any::<[u8; 32]>()).prop_map(
        |(id, level, seq, time_min, time_max, kinds, blake3)| SegmentMeta {
            level,
            first_seq: Seq(seq * 100 + id.bytes().map(u64::from).sum::<u64>()),
            last_seq: Seq(seq * 100 + 900),
            time_min,
            time_max,
            files: kinds
                .into_iter()
                .rev()
                .map(|kind| FileMeta {
                    kind,
                    name: format!("{id}.{}", kind.as_str()),
                    bytes: seq,
                    blake3,
                    rows: 1 << 40,
                })
                .collect(),
            id,
        },
    )
}

fn commit() -> impl Strategy<Value = Commit> {
    let cursor = proptest::option::weighted(0.3, (0_u64..3, 0_u64..3).prop_map(|(from, to)| (Seq(from), Seq(to))));
    let mark = || proptest::option::of(instant());
    let segments = (vec(segment(), 0..3), vec(segment_id(), 0..2), vec(segment_id(), 0..2));
    (cursor, segments, vec(rollup(), 0..9), vec(name(), 0..4), mark(), mark()).prop_map(
        |(cursor, (add, remove, forget_events), rollups, names, closed_through, retention_floor)| Commit {
            cursor,
            add,
            remove,
            forget_events,
            rollups,
            names,
            closed_through,
            retention_floor,
            ..Commit::default()
        },
    )
}

fn letter() -> impl Strategy<Value = DeadLetter> {
    let of = proptest::option::of(0..TENANTS.len());
    (0_u64..4, of, "\\PC{0,3}", instant(), vec(any::<u8>(), 0..4)).prop_map(|(seq, of, reason, buried_at, payload)| {
        DeadLetter { seq: Seq(seq), tenant: of.map(tenant), reason, buried_at, payload }
    })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => commit().prop_map(Step::Commit),
        2 => letter().prop_map(Step::Bury),
        1 => Just(Step::Reopen),
    ];
    vec(step, 1..16)
}

/// What a step answered.
async fn take(store: &dyn Manifest, step: &Step) -> Option<ErrorKind> {
    match step {
        Step::Commit(commit) => kind(store.commit(commit).await),
        Step::Bury(letter) => kind(store.bury(letter).await),
        Step::Reopen => None,
    }
}

/// Everything that one tenant can see.
async fn view(store: &dyn Manifest, of: usize) -> Result<(Vec<Rollup>, Vec<DeadLetter>), PortError> {
    let scope = TenantScope::for_operator(tenant(of));
    let mut letters = Vec::new();
    for seq in 0..4 {
        letters.extend(store.dead_letter(&scope, Seq(seq)).await?);
    }
    Ok((store.rollups(&scope, TimeRange::ALL).await?.1, letters))
}

async fn agree(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let folder = Folder::new()?;
    let twin = MemoryManifest::new();
    let mut store = folder.store().await.map_err(fail)?;
    twin.load(&IDENTITY()).await.map_err(fail)?;
    store.load(&IDENTITY()).await.map_err(fail)?;
    for step in &steps {
        prop_assert_eq!(take(&store, step).await, take(&twin, step).await, "{:?}", step);
        if matches!(step, Step::Reopen) {
            drop(store);
            store = folder.store().await.map_err(fail)?;
        }
        prop_assert_eq!(store.load(&IDENTITY()).await.map_err(fail)?, twin.load(&IDENTITY()).await.map_err(fail)?);
    }
    for of in 0..TENANTS.len() {
        prop_assert_eq!(view(&store, of).await.map_err(fail)?, view(&twin, of).await.map_err(fail)?);
    }
    Ok(())
}

/// The change without what belongs to others than `mine`.
fn without_others(commit: &Commit, mine: &TenantId) -> Commit {
    let mut commit = commit.clone();
    commit.rollups.retain(|rollup| rollup.key.tenant == *mine);
    commit.names.retain(|name| name.tenant == *mine);
    commit
}

async fn stay_apart(commits: Vec<Commit>) -> Result<(), TestCaseError> {
    let folders = (Folder::new()?, Folder::new()?);
    let together = folders.0.store().await.map_err(fail)?;
    let alone = folders.1.store().await.map_err(fail)?;
    for store in [&together, &alone] {
        store.load(&IDENTITY()).await.map_err(fail)?;
    }
    for commit in &commits {
        let answers =
            (kind(together.commit(commit).await), kind(alone.commit(&without_others(commit, &tenant(0))).await));
        prop_assert_eq!(answers.0, answers.1);
    }
    prop_assert_eq!(view(&together, 0).await.map_err(fail)?, view(&alone, 0).await.map_err(fail)?);
    Ok(())
}

fn fail(error: PortError) -> TestCaseError {
    TestCaseError::fail(error.to_string())
}

fn run(future: impl Future<Output = Result<(), TestCaseError>>) -> Result<(), TestCaseError> {
    tokio::runtime::Runtime::new()?.block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn i3_sqlite_does_what_the_twin_does(steps in steps()) {
        run(agree(steps))?;
    }

    #[test]
    fn i5_a_tenant_sees_what_it_would_see_alone(commits in vec(commit(), 1..6)) {
        run(stay_apart(commits))?;
    }
}
