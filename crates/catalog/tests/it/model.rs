//! Any sequence of changes, restarts between them included, has the same effect on SQLite, and on PostgreSQL, as on the
//! memory twin.

mod records;

use std::sync::Arc;

use domain::access::audit::{AuditDetail, AuditDraft, AuditHead, Cause, ERASURE_ACTION, erasure_target};
use domain::access::ids::KeyId;
use domain::access::record::Record;
use domain::calendar::{WeekStart, Zone};
use domain::erasure::Subject;
use domain::quota::{CarriedPeriods, Measure, QUOTA_LIMIT_MAX, QuotaKey, QuotaPeriod, QuotaTerms, VersionedQuota};
use domain::reference::ReferenceTable;
use domain::tenant::{TenantId, TenantScope};
use domain::time::{TimeRange, Timestamp};
use ports::active_users::VersionedZone;
use ports::catalog::{Catalog, TenantSettings};
use ports::references::References;
use ports::register::{AuditLog, Register, RegisterCommit, Revision};
use ports::testing::catalog::{MemoryCatalog, WholeCatalog};
use ports::{ErrorKind, PortError};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use crate::place::{Folder, audit, kind};
use crate::records::sorted;

const TENANTS: [&str; 3] = ["a", "b", "ä"];

#[derive(Debug, Clone)]
enum Step {
    Register(Vec<usize>, Timestamp),
    Settle(usize, TenantSettings),
    Move(usize, VersionedZone, i64),
    Limit(usize, VersionedQuota),
    Refer(usize, Arc<ReferenceTable>),
    /// Records and what the log says; whether each version is raised to what fits at best.
    Commit(RegisterCommit, bool),
    Touch(Vec<(KeyId, Timestamp)>),
    Forget(usize, Subject),
    ForgetWorkspace(usize),
    Reopen,
}

fn tenant(index: usize) -> TenantId {
    TenantId::parse(TENANTS[index]).unwrap_or_else(|_| TenantId::default_tenant())
}

fn instant() -> impl Strategy<Value = Timestamp> {
    (-3_i64..3).prop_map(Timestamp::from_micros)
}

fn settings() -> impl Strategy<Value = TenantSettings> {
    let week_start = proptest::sample::select(vec![WeekStart::Monday, WeekStart::Sunday, WeekStart::Saturday]);
    (week_start, any::<Option<u32>>(), proptest::option::of(instant()), any::<Option<u32>>()).prop_map(
        |(week_start, max_lateness_sec, min_time, retention_days)| TenantSettings {
            week_start,
            max_lateness_sec,
            min_time,
            retention_days,
        },
    )
}

fn zone() -> impl Strategy<Value = VersionedZone> {
    (proptest::sample::select(vec!["UTC", "Europe/Berlin", "Asia/Kathmandu"]), 0_u64..6)
        .prop_map(|(name, version)| VersionedZone { zone: Zone::parse(name).unwrap_or_else(|_| Zone::utc()), version })
}

/// Periods that are told apart by a number.
fn periods(number: i64) -> CarriedPeriods {
    let range = |length| TimeRange::new(Timestamp::from_micros(number), Timestamp::from_micros(number + length));
    CarriedPeriods { day: range(1).unwrap_or(TimeRange::ALL), month: range(30).unwrap_or(TimeRange::ALL) }
}

fn quota() -> impl Strategy<Value = VersionedQuota> {
    let measure = proptest::sample::select(Measure::ALL.to_vec());
    let period = proptest::sample::select(QuotaPeriod::ALL.to_vec());
    let terms = proptest::option::of((0..=QUOTA_LIMIT_MAX, any::<bool>()));
    (proptest::option::of("[cC]"), measure, period, terms, 1_u64..4).prop_map(
        |(customer, measure, period, terms, version)| VersionedQuota {
            key: QuotaKey { customer, measure, period },
            terms: terms.map(|(limit, is_hard)| QuotaTerms { limit, is_hard }),
            version,
        },
    )
}

fn reference() -> impl Strategy<Value = Arc<ReferenceTable>> {
    let known = btree_map("[ab]", "\\PC{0,2}", 0..3).prop_map(Arc::new);
    (0_u64..4, instant(), btree_map("\\PC{0,2}", known, 0..4))
        .prop_map(|(generation, ts, users)| Arc::new(ReferenceTable { generation, ts, users }))
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let of = 0..TENANTS.len();
    let name = || proptest::sample::select(vec!["a", "aaaaaaaaaaaa"]).prop_map(str::to_owned);
    let subject =
        prop_oneof![name().prop_map(Subject::Customer), name().prop_map(Subject::User), Just(Subject::Workspace),];
    let step = prop_oneof![
        1 => (of.clone(), subject).prop_map(|(of, subject)| Step::Forget(of, subject)),
        1 => of.clone().prop_map(Step::ForgetWorkspace),
        1 => (vec(of.clone(), 0..4), instant()).prop_map(|(tenants, now)| Step::Register(tenants, now)),
        1 => (of.clone(), settings()).prop_map(|(of, settings)| Step::Settle(of, settings)),
        2 => (of.clone(), zone(), -3_i64..3).prop_map(|(of, zone, carried)| Step::Move(of, zone, carried)),
        3 => (of.clone(), quota()).prop_map(|(of, quota)| Step::Limit(of, quota)),
        2 => (of, reference()).prop_map(|(of, table)| Step::Refer(of, table)),
        8 => (commit(), any::<bool>()).prop_map(|(commit, fits)| Step::Commit(commit, fits)),
        1 => vec((key(), instant()), 0..3).prop_map(Step::Touch),
        1 => Just(Step::Reopen),
    ];
    vec(step, 1..24)
}

fn commit() -> impl Strategy<Value = RegisterCommit> {
    let draft = (
        proptest::option::of(0..TENANTS.len()),
        instant(),
        "[ab]",
        proptest::option::of("\\PC{0,3}|\\{\"user\":\"a\"\\}"),
    );
    let draft = draft.prop_map(|(of, at, action, after)| {
        let target = format!("{}:{action}", if action == "a" { "customer" } else { "key" });
        Cause::server().draft(of.map(tenant).as_ref(), at, &action, target).changing(None, after)
    });
    (vec(records::record(), 0..4), vec(records::removal(), 0..3), vec(draft, 0..3))
        .prop_map(|(records, removals, audit)| RegisterCommit { records, removals, audit })
}

fn key() -> impl Strategy<Value = KeyId> {
    let ids = ["aaaaaaaaaaaa", "AAAAAAAAAAAA", "cccccccccccc"].map(KeyId::parse);
    proptest::sample::select(ids.into_iter().filter_map(Result::ok).collect::<Vec<_>>())
}

/// The commit, with every record in the lowest version that the store takes, if it takes any.
async fn fitting(store: &MemoryCatalog, commit: &RegisterCommit) -> RegisterCommit {
    let mut fitted = commit.clone();
    for record in &mut fitted.records {
        for version in 1..8 {
            records::set_version(record, version);
            // Tried on a copy: what is asked for must not be stored yet.
            let records = vec![record.clone()];
            if store.fork().commit(&RegisterCommit { records, ..RegisterCommit::default() }).await.is_ok() {
                break;
            }
        }
    }
    fitted
}

/// What a step answered.
async fn take(store: &impl WholeCatalog, step: &Step) -> Option<ErrorKind> {
    let scope = |of: usize| TenantScope::for_operator(tenant(of));
    let draft = |of: usize| audit(&scope(of), Timestamp::MIN);
    match step {
        Step::Register(tenants, now) => {
            let tenants: Vec<_> = tenants.iter().map(|of| tenant(*of)).collect();
            kind(store.ensure_tenants(&tenants, *now, &Cause::server()).await)
        }
        Step::Settle(of, settings) => kind(store.store_settings(&scope(*of), settings, &draft(*of)).await),
        Step::Move(of, zone, carried) => {
            kind(store.store_wanted_zone(&scope(*of), zone, &periods(*carried), &draft(*of)).await)
        }
        Step::Limit(of, quota) => kind(store.store_quota(&scope(*of), quota, &draft(*of)).await),
        Step::Refer(of, table) => kind(store.store_reference(&scope(*of), table, &draft(*of)).await),
        Step::Commit(commit, _) => kind(store.commit(commit).await),
        Step::Touch(used) => kind(store.touch_keys(used).await),
        Step::Forget(of, subject) => {
            let (action, target) = (ERASURE_ACTION.to_owned(), erasure_target("1"));
            let entry = AuditDraft { action, target, ..draft(*of) };
            let noted = RegisterCommit { audit: vec![entry], ..RegisterCommit::default() };
            match store.commit(&noted).await {
                Ok(_) => kind(store.forget(&scope(*of), subject, "1").await),
                refused => kind(refused),
            }
        }
        Step::ForgetWorkspace(of) => kind(store.forget_workspace(&scope(*of)).await),
        Step::Reopen => None,
    }
}

/// Runs the steps on the twin and on what `open` opens, as often as the steps say.
async fn agree<S: WholeCatalog>(
    steps: Vec<Step>,
    open: impl AsyncFn() -> Result<S, PortError>,
) -> Result<(), TestCaseError> {
    let twin = MemoryCatalog::new();
    let mut store = open().await.map_err(fail)?;
    for mut step in steps {
        if let Step::Commit(commit, true) = &mut step {
            *commit = fitting(&twin, commit).await;
        }
        prop_assert_eq!(take(&store, &step).await, take(&twin, &step).await, "{:?}", step);
        if matches!(step, Step::Reopen) {
            drop(store);
            store = open().await.map_err(fail)?;
        }
        prop_assert_eq!(store.tenants().await.map_err(fail)?, twin.tenants().await.map_err(fail)?);
        prop_assert_eq!(store.settings().await.map_err(fail)?, twin.settings().await.map_err(fail)?);
        prop_assert_eq!(store.wanted_zones().await.map_err(fail)?, twin.wanted_zones().await.map_err(fail)?);
        prop_assert_eq!(store.carried_periods().await.map_err(fail)?, twin.carried_periods().await.map_err(fail)?);
        prop_assert_eq!(store.quotas().await.map_err(fail)?, twin.quotas().await.map_err(fail)?);
        prop_assert_eq!(store.reference_tables().await.map_err(fail)?, twin.reference_tables().await.map_err(fail)?);
        same_register(&store, &twin).await?;
    }
    Ok(())
}

async fn same_register(store: &impl WholeCatalog, twin: &MemoryCatalog) -> Result<(), TestCaseError> {
    let (all, newest) = since(twin, Revision(0)).await?;
    prop_assert_eq!(since(store, Revision(0)).await?, (all, newest));
    for back in 1..3 {
        let after = Revision(newest.0.saturating_sub(back));
        prop_assert_eq!(since(store, after).await?, since(twin, after).await?);
    }
    // Salts differ, and so do hashes.
    let last = |heads: Vec<(Option<TenantId>, AuditHead)>| -> Vec<_> {
        heads.into_iter().map(|(workspace, head)| (workspace, head.seq)).collect()
    };
    let heads = last(twin.audit_heads().await.map_err(fail)?);
    prop_assert_eq!(&last(store.audit_heads().await.map_err(fail)?), &heads);
    for (workspace, _) in heads {
        let told = chain(store, workspace.as_ref()).await?;
        prop_assert_eq!(told, chain(twin, workspace.as_ref()).await?);
    }
    let customers = ["aaaaaaaaaaaa", "bbbbbbbbbbbb"].map(str::to_owned);
    for of in 0..TENANTS.len() {
        let scope = TenantScope::for_operator(tenant(of));
        let profiles = twin.customer_profiles(&scope, &customers).await.map_err(fail)?;
        prop_assert_eq!(store.customer_profiles(&scope, &customers).await.map_err(fail)?, profiles);
    }
    Ok(())
}

/// What each entry of a chain tells, and by which its detail was erased. Each follows the one before.
async fn chain(
    store: &impl WholeCatalog,
    of: Option<&TenantId>,
) -> Result<Vec<(AuditDraft, Option<u64>)>, TestCaseError> {
    let (mut told, mut last) = (Vec::new(), AuditHead::default());
    for entry in store.audit_chain(of, 0, usize::MAX).await.map_err(fail)? {
        prop_assert!(entry.follows(last), "{:?}", entry);
        last = entry.head();
        let by = match entry.detail {
            AuditDetail::Erased { by, .. } => Some(by),
            AuditDetail::InChain | AuditDetail::Apart(_) | AuditDetail::Missing { .. } => None,
        };
        told.push((entry.draft, by));
    }
    Ok(told)
}

async fn since(store: &impl WholeCatalog, after: Revision) -> Result<(Vec<Record>, Revision), TestCaseError> {
    let mut found = Vec::new();
    let revision = store.load(after, &mut |record| found.push(record)).await.map_err(fail)?;
    Ok((sorted(found), revision))
}

fn fail(error: PortError) -> TestCaseError {
    TestCaseError::fail(error.to_string())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn i3_sqlite_does_what_the_twin_does(steps in steps()) {
        let folder = Folder::new()?;
        tokio::runtime::Runtime::new()?.block_on(agree(steps, async || folder.catalog().await))?;
    }
}

/// On one database that is emptied in between.
#[cfg(feature = "postgres")]
#[test]
fn i3_postgresql_does_what_the_twin_does() -> crate::Outcome {
    let Some(base) = crate::postgres::Base::new()? else { return Ok(()) };
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(base.migrate())?;
    base.sql("CREATE TABLE public.first AS SELECT * FROM nilometer.register_revision")?;
    let config = ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() };
    proptest::test_runner::TestRunner::new(config).run(&steps(), |steps| {
        base.empty().map_err(|error| TestCaseError::fail(error.to_string()))?;
        runtime.block_on(agree(steps, async || base.open().await))
    })?;
    Ok(())
}
