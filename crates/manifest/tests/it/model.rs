//! Any sequence of changes, restarts between them included, has the same effect on SQLite as on the
//! memory twin; and what one tenant sees does not depend on the others (I5).

use std::collections::HashMap;
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
use domain::users::{UserNumber, UserSet};
use domain::window::WindowRule;
use ports::active_users::VersionedZone;
use ports::manifest::{
    Activity, ActivityFilter, Commit, DeadLetter, FileKind, FileMeta, Identity, Manifest, Name, NewUsers, ReceivedSum,
    SegmentMeta, StoredErasure, TenantRetention,
};
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
    Commit(Box<Commit>),
    DeadLetter(DeadLetter),
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
    proptest::array::uniform10(number).prop_map(|n| Totals {
        calls: n[0],
        tokens: n[1],
        input_tokens: n[2],
        output_tokens: n[3],
        latency_us: n[4],
        latency_calls: n[5],
        late: n[6],
        cache_read_tokens: n[7],
        cache_write_tokens: n[8],
        reasoning_tokens: n[9],
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
    let kinds = proptest::sample::subsequence(FileKind::ALL.to_vec(), 0..=4);
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

/// Stands for the number that fits.
const NEXT: u32 = u32::MAX;

/// New users, at times under a number that does not fit.
fn new_users() -> impl Strategy<Value = NewUsers> {
    let first = prop_oneof![15 => Just(NEXT), 1 => 0_u32..9];
    let count = prop_oneof![3 => Just(3_usize), 1 => Just(1_027), 1 => Just(0), 1 => 0_usize..5];
    (0..TENANTS.len(), first, count, "\\PC{0,2}").prop_map(|(of, first, count, name)| NewUsers {
        tenant: tenant(of),
        first,
        names: (0..count).map(|number| format!("{name}{number}")).collect(),
    })
}

/// The change with the numbers that fit after what is stored.
async fn numbered(commit: &Commit, store: &dyn Manifest) -> Result<Commit, PortError> {
    let users = store.load(&IDENTITY()).await?.users.into_iter();
    let mut known: HashMap<_, _> = users.map(|(tenant, names)| (tenant, names.len())).collect();
    // What is left of a tenant that is erased is nothing.
    known.retain(|tenant, _| !commit.erased_tenants.contains(tenant));
    let mut commit = commit.clone();
    for new in &mut commit.users {
        let known = known.entry(new.tenant.clone()).or_default();
        if new.first == NEXT {
            new.first = u32::try_from(*known).unwrap_or(NEXT);
        }
        *known += new.names.len();
    }
    Ok(commit)
}

fn filter() -> impl Strategy<Value = ActivityFilter> {
    prop_oneof![
        Just(ActivityFilter::All),
        "[pP]?".prop_map(ActivityFilter::Project),
        "[pP]".prop_map(ActivityFilter::Type),
    ]
}

fn activity() -> impl Strategy<Value = Activity> {
    let user = prop_oneof![4 => 0_u32..9, 1 => 65_530_u32..65_540, 1 => any::<u32>()];
    (0..TENANTS.len(), filter(), -2..2, vec(user, 0..5)).prop_map(|(of, filter, day, users)| Activity {
        tenant: tenant(of),
        filter,
        day: Day::from_number(day),
        users: users.into_iter().map(UserNumber).collect(),
    })
}

fn zone() -> impl Strategy<Value = (TenantId, VersionedZone)> {
    let name = proptest::sample::select(vec!["UTC", "Europe/Berlin", "Asia/Kathmandu"]);
    (0..TENANTS.len(), name, 0_u64..9).prop_map(|(of, name, version)| {
        (tenant(of), VersionedZone { zone: Zone::parse(name).unwrap_or_else(|_| Zone::utc()), version })
    })
}

fn wait() -> impl Strategy<Value = RetentionWait> {
    let parts = (instant(), 0_u64..1 << 50);
    parts.prop_map(|(floor, waited)| RetentionWait { floor, waited: Duration::from_micros(waited) })
}

fn received() -> impl Strategy<Value = ReceivedSum> {
    let edge = i64::MAX as u64;
    let number = || prop_oneof![3 => 0_u64..1_000, 1 => Just(edge), 1 => edge - 1_000..edge];
    (0..TENANTS.len(), "[cC]?", -2_i64..2, number(), number(), number()).prop_map(
        |(of, customer, quarter, events, tokens, calls)| ReceivedSum {
            tenant: tenant(of),
            customer,
            start: Timestamp::from_micros(quarter * QUARTER_US),
            amounts: Amounts { events, tokens, calls },
        },
    )
}

fn metered() -> impl Strategy<Value = (TenantId, String)> {
    (0..TENANTS.len(), "[cC]").prop_map(|(of, customer)| (tenant(of), customer))
}

fn tenant_retention() -> impl Strategy<Value = TenantRetention> {
    (0..TENANTS.len(), instant(), wait()).prop_map(|(of, floor, wait)| TenantRetention {
        tenant: tenant(of),
        floor,
        wait,
    })
}

fn erasure() -> impl Strategy<Value = StoredErasure> {
    let kind = proptest::sample::select(SubjectKind::ALL.to_vec());
    let done = (proptest::option::of("[ab]"), proptest::option::of(instant()), 0_u64..5);
    (0..TENANTS.len(), "[ab]", kind, any::<bool>(), done).prop_map(|(of, id, kind, blocks, done)| StoredErasure {
        tenant: tenant(of),
        subject: done.0,
        subject_hash: u128::from(done.2),
        erasure: Erasure {
            // Ids are given once over all tenants.
            id: format!("{of}{id}"),
            kind,
            blocks,
            through: Seq(done.2),
            requested_at: Timestamp::from_micros(7),
            by: "user:a".to_owned(),
            zone: "UTC".to_owned(),
            gone: ErasedSoFar { events: done.2, ..ErasedSoFar::default() },
            finished_at: done.1,
        },
    })
}

type ErasedParts = (
    Vec<TenantId>,
    Vec<(TenantId, String)>,
    Vec<StoredErasure>,
    Vec<(TenantId, Vec<UserNumber>)>,
    Vec<Activity>,
    Vec<Seq>,
);

fn erased() -> impl Strategy<Value = ErasedParts> {
    let tenants = proptest::option::weighted(0.1, (0..TENANTS.len()).prop_map(tenant));
    let number = prop_oneof![4 => 0_u32..9, 1 => 1_020_u32..1_030].prop_map(UserNumber);
    let users = (0..TENANTS.len(), vec(number, 0..4)).prop_map(|(of, numbers)| (tenant(of), numbers));
    let letters = vec((0_u64..4).prop_map(Seq), 0..2);
    (tenants, vec(metered(), 0..2), vec(erasure(), 0..2), vec(users, 0..2), vec(activity(), 0..3), letters).prop_map(
        |(tenants, customers, erasures, users, days, letters)| {
            (tenants.into_iter().collect(), customers, erasures, users, days, letters)
        },
    )
}

fn commit() -> impl Strategy<Value = Commit> {
    let cursor = proptest::option::weighted(0.3, (0_u64..3, 0_u64..3).prop_map(|(from, to)| (Seq(from), Seq(to))));
    let mark = || proptest::option::of(instant());
    let segments = (vec(segment(), 0..3), vec(segment_id(), 0..2), vec(segment_id(), 0..2));
    let sums = (vec(rollup(), 0..9), vec(name(), 0..4), vec(received(), 0..9), vec(metered(), 0..3));
    let users = (vec(new_users(), 0..3), vec(activity(), 0..9), proptest::option::weighted(0.2, zone()));
    let marks = (mark(), mark(), mark(), proptest::option::weighted(0.2, wait()), vec(tenant_retention(), 0..3));
    (cursor, segments, sums, users, marks, erased()).prop_map(
        |(
            cursor,
            (add, remove, forget_events),
            (rollups, names, received, metered),
            users,
            (closed_through, retention_floor, reopen_after, retention_wait, tenant_retention),
            (erased_tenants, erased_customers, erasures, erased_users, erased_activity, emptied_letters),
        )| Commit {
            cursor,
            add,
            remove,
            forget_events,
            rollups,
            names,
            received,
            metered,
            reopen_after,
            closed_through,
            retention_floor,
            retention_wait,
            tenant_retention,
            users: users.0,
            activity: users.1,
            zone: users.2,
            erased_tenants,
            erased_customers,
            erasures,
            erased_users,
            erased_activity,
            emptied_letters,
        },
    )
}

fn letter() -> impl Strategy<Value = DeadLetter> {
    let of = proptest::option::of(0..TENANTS.len());
    (0_u64..4, of, "\\PC{0,3}", instant(), vec(any::<u8>(), 0..4)).prop_map(
        |(seq, of, reason, dead_lettered_at, payload)| DeadLetter {
            seq: Seq(seq),
            tenant: of.map(tenant),
            reason,
            dead_lettered_at,
            payload,
        },
    )
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => commit().prop_map(|commit| Step::Commit(Box::new(commit))),
        2 => letter().prop_map(Step::DeadLetter),
        1 => Just(Step::Reopen),
    ];
    vec(step, 1..16)
}

/// What a step answered.
async fn take(store: &impl Manifest, step: &Step) -> Option<ErrorKind> {
    match step {
        Step::Commit(commit) => kind(store.commit(commit).await),
        Step::DeadLetter(letter) => kind(store.store_dead_letter(letter).await),
        Step::Reopen => None,
    }
}

/// Everything that one tenant can see.
#[derive(Debug, PartialEq)]
struct View {
    rollups: Vec<Rollup>,
    letters: Vec<DeadLetter>,
    sums: Vec<Vec<(String, Totals)>>,
    active: Vec<Vec<(Day, UserSet)>>,
    erased: Vec<Activity>,
    users: Vec<Option<String>>,
    zone: Option<VersionedZone>,
    received: Vec<Vec<ReceivedSum>>,
    metered: Vec<String>,
}

async fn view(store: &dyn Manifest, of: usize) -> Result<View, PortError> {
    let scope = TenantScope::for_operator(tenant(of));
    let (mut sums, mut active) = (Vec::new(), Vec::new());
    let hour = |hours: i64| Timestamp::from_micros(hours * MICROS_PER_HOUR);
    let some = TimeRange::new(hour(-1), hour(1)).unwrap_or(TimeRange::ALL);
    for (range, project) in [(TimeRange::ALL, None), (TimeRange::ALL, Some("p")), (some, None), (some, Some(""))] {
        sums.push(store.type_sums(&scope, range, project).await?.1);
    }
    let of_p = |name: &str| [ActivityFilter::Project(name.to_owned()), ActivityFilter::Type(name.to_owned())];
    for filter in [ActivityFilter::All].into_iter().chain(["p", "P", ""].into_iter().flat_map(of_p)) {
        for last in [0, 1] {
            let days = DayRange { first: Day::from_number(-2 + last), last: Day::from_number(last) };
            active.push(store.activity(&scope, &filter, days).await?.1);
        }
    }
    let numbers: Vec<_> = (0..9).chain([1_023, 1_024, 1_030, 5_000]).map(UserNumber).collect();
    let users = store.user_names(&scope, &numbers).await?;
    let state = store.load(&IDENTITY()).await?;
    let (zones, metered) = (state.zones, state.metered.into_iter());
    let metered = metered.filter(|(whose, _)| whose == scope.tenant()).map(|(_, customer)| customer).collect();
    let quarters = TimeRange::new(Timestamp::from_micros(-QUARTER_US), Timestamp::from_micros(QUARTER_US));
    let received = [
        store.received(&scope, TimeRange::ALL).await?.1,
        store.received(&scope, quarters.unwrap_or(TimeRange::ALL)).await?.1,
    ];
    let zone = zones.into_iter().find(|(whose, _)| whose == scope.tenant()).map(|(_, zone)| zone);
    let mut letters = Vec::new();
    for seq in 0..4 {
        letters.extend(store.dead_letter(&scope, Seq(seq)).await?);
    }
    Ok(View {
        rollups: store.rollups(&scope, TimeRange::ALL).await?.1,
        letters,
        sums,
        active,
        erased: store.erased_activity(&scope).await?,
        users,
        zone,
        received: received.into(),
        metered,
    })
}

async fn agree(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let folder = Folder::new()?;
    let twin = MemoryManifest::new();
    let mut store = folder.store().await.map_err(fail)?;
    twin.load(&IDENTITY()).await.map_err(fail)?;
    store.load(&IDENTITY()).await.map_err(fail)?;
    for step in steps {
        let step = match step {
            Step::Commit(commit) => Step::Commit(Box::new(numbered(&commit, &twin).await.map_err(fail)?)),
            other => other,
        };
        prop_assert_eq!(take(&store, &step).await, take(&twin, &step).await, "{:?}", step);
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
    commit.received.retain(|sum| sum.tenant == *mine);
    commit.metered.retain(|(tenant, _)| tenant == mine);
    commit.users.retain(|new| new.tenant == *mine);
    commit.activity.retain(|active| active.tenant == *mine);
    commit.zone = commit.zone.filter(|(of, _)| of == mine);
    commit.erased_tenants.retain(|of| of == mine);
    commit.erased_customers.retain(|(of, _)| of == mine);
    commit.erasures.retain(|stored| stored.tenant == *mine);
    commit.erased_users.retain(|(of, _)| of == mine);
    commit.erased_activity.retain(|active| active.tenant == *mine);
    commit
}

async fn stay_apart(commits: Vec<Commit>) -> Result<(), TestCaseError> {
    let folders = (Folder::new()?, Folder::new()?);
    let together = folders.0.store().await.map_err(fail)?;
    let alone = folders.1.store().await.map_err(fail)?;
    for store in [&together, &alone] {
        store.load(&IDENTITY()).await.map_err(fail)?;
    }
    for mut commit in commits {
        // A wrong number of one tenant would refuse the whole change.
        commit.users.iter_mut().for_each(|new| new.first = NEXT);
        let commit = numbered(&commit, &together).await.map_err(fail)?;
        let mine = without_others(&commit, &tenant(0));
        let answers = (kind(together.commit(&commit).await), kind(alone.commit(&mine).await));
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
