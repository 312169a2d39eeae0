//! Any sequence of changes, restarts between them included, has the same effect on SQLite as on the
//! memory twin.

use std::sync::Arc;

use domain::calendar::{WeekStart, Zone};
use domain::reference::ReferenceTable;
use domain::tenant::{TenantId, TenantScope};
use domain::time::Timestamp;
use ports::active_users::VersionedZone;
use ports::catalog::{Catalog, TenantSettings};
use ports::references::References;
use ports::testing::catalog::MemoryCatalog;
use ports::{ErrorKind, PortError};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use crate::place::{Folder, kind};

const TENANTS: [&str; 3] = ["a", "b", "ä"];

#[derive(Debug, Clone)]
enum Step {
    Register(Vec<usize>, Timestamp),
    Settle(usize, TenantSettings),
    Move(usize, VersionedZone),
    Refer(usize, Arc<ReferenceTable>),
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
    (week_start, any::<Option<u32>>(), proptest::option::of(instant()))
        .prop_map(|(week_start, max_lateness_sec, min_time)| TenantSettings { week_start, max_lateness_sec, min_time })
}

fn zone() -> impl Strategy<Value = VersionedZone> {
    (proptest::sample::select(vec!["UTC", "Europe/Berlin", "Asia/Kathmandu"]), 0_u64..6)
        .prop_map(|(name, version)| VersionedZone { zone: Zone::parse(name).unwrap_or_else(|_| Zone::utc()), version })
}

fn reference() -> impl Strategy<Value = Arc<ReferenceTable>> {
    let known = btree_map("[ab]", "\\PC{0,2}", 0..3).prop_map(Arc::new);
    (0_u64..4, instant(), btree_map("\\PC{0,2}", known, 0..4))
        .prop_map(|(generation, ts, users)| Arc::new(ReferenceTable { generation, ts, users }))
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let of = 0..TENANTS.len();
    let step = prop_oneof![
        1 => (vec(of.clone(), 0..4), instant()).prop_map(|(tenants, now)| Step::Register(tenants, now)),
        1 => (of.clone(), settings()).prop_map(|(of, settings)| Step::Settle(of, settings)),
        2 => (of.clone(), zone()).prop_map(|(of, zone)| Step::Move(of, zone)),
        2 => (of, reference()).prop_map(|(of, table)| Step::Refer(of, table)),
        1 => Just(Step::Reopen),
    ];
    vec(step, 1..16)
}

/// What a step answered.
async fn take(store: &(impl Catalog + References), step: &Step) -> Option<ErrorKind> {
    let scope = |of: usize| TenantScope::for_operator(tenant(of));
    match step {
        Step::Register(tenants, now) => {
            let tenants: Vec<_> = tenants.iter().map(|of| tenant(*of)).collect();
            kind(store.ensure_tenants(&tenants, *now).await)
        }
        Step::Settle(of, settings) => kind(store.store_settings(&scope(*of), settings, Timestamp::MIN).await),
        Step::Move(of, zone) => kind(store.store_wanted_zone(&scope(*of), zone, Timestamp::MIN).await),
        Step::Refer(of, table) => kind(store.store_reference(&scope(*of), table).await),
        Step::Reopen => None,
    }
}

async fn agree(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let folder = Folder::new()?;
    let twin = MemoryCatalog::new();
    let mut store = folder.catalog().await.map_err(fail)?;
    for step in steps {
        prop_assert_eq!(take(&store, &step).await, take(&twin, &step).await, "{:?}", step);
        if matches!(step, Step::Reopen) {
            drop(store);
            store = folder.catalog().await.map_err(fail)?;
        }
        prop_assert_eq!(store.tenants().await.map_err(fail)?, twin.tenants().await.map_err(fail)?);
        prop_assert_eq!(store.settings().await.map_err(fail)?, twin.settings().await.map_err(fail)?);
        prop_assert_eq!(store.wanted_zones().await.map_err(fail)?, twin.wanted_zones().await.map_err(fail)?);
        prop_assert_eq!(store.reference_tables().await.map_err(fail)?, twin.reference_tables().await.map_err(fail)?);
    }
    Ok(())
}

fn fail(error: PortError) -> TestCaseError {
    TestCaseError::fail(error.to_string())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn i3_sqlite_does_what_the_twin_does(steps in steps()) {
        tokio::runtime::Runtime::new()?.block_on(agree(steps))?;
    }
}
