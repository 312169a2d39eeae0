//! The ports behind the gate: which call waits for which, and for how long a permit is held.

use std::future::Future;
use std::sync::Arc;

use async_trait::async_trait;
use domain::calendar::Zone;
use domain::limits::{
    QUERIES_AT_ONCE_MAX, QUERIES_OF_TENANT_MAX, READS_AT_ONCE_MAX, READS_OF_TENANT_MAX, STATISTICS_OF_TENANT_MAX,
};
use domain::query::{Query, UncheckedAggregation, UncheckedQuery};
use domain::tenant::TenantScope;
use domain::time::TimeRange;
use domain::window::WindowRule;
use parking_lot::Mutex;
use pipeline::{FairLimiter, Gated, ReadPorts, WorkClass};
use ports::PortError;
use ports::active_users::{ActiveUsers, ActiveUsersQuery};
use ports::analytics::Analytics;
use ports::queries::{Queries, QueryAnswer};
use ports::reports::Reports;
use ports::testing::ledger::records::scope;
use ports::testing::ledger::{MemoryLedger, set_zone};
use tokio::sync::Semaphore;

use crate::world::{START, eventually, within};

fn reads() -> (Arc<MemoryLedger>, ReadPorts) {
    let ledger = Arc::new(MemoryLedger::new(WindowRule::default()));
    let reads = ReadPorts::of(&ledger, &FairLimiter::new());
    (ledger, reads)
}

fn days(zone: Zone) -> ActiveUsersQuery {
    ActiveUsersQuery { range: TimeRange::ALL, zone, project: None, kind: None, named_only: false }
}

/// Whether a call still waits after it was polled once.
pub(crate) async fn waits<F: Future + Unpin>(call: &mut F) -> bool {
    tokio::select! {
        biased;
        _ = call => false,
        () = std::future::ready(()) => true,
    }
}

#[tokio::test]
async fn i6_what_reads_no_files_and_what_the_server_asks_wait_for_no_reader() {
    let (ledger, reads) = reads();
    let (one, other, asks) = (scope("one"), scope("other"), scope("asks"));
    let mut permits = Vec::new();
    for number in 0..READS_AT_ONCE_MAX {
        let of = if number < READS_OF_TENANT_MAX { &one } else { &other };
        permits.push(reads.limiter.admit(WorkClass::Read, of.tenant()).await.unwrap());
    }
    let kolkata = Zone::parse("Asia/Kolkata").unwrap();
    within("days", reads.active_users.active_users(&asks, &days(Zone::utc()))).await.unwrap();
    within("a change of zone", set_zone(&reads.active_users, &asks, &kolkata)).await.unwrap();
    within("days of the new zone", reads.active_users.active_users(&asks, &days(kolkata))).await.unwrap();
    within("whole hours", reads.analytics.top_types(&asks, TimeRange::ALL, None, 1)).await.unwrap();
    let mut raw = reads.reports.customers(&asks, None, 1);
    assert!(waits(&mut raw).await, "a reader waits for readers");
    let parts = TimeRange::new(START.plus_micros(1), START.plus_micros(2)).unwrap();
    let mut counted = reads.analytics.top_types(&asks, parts, None, 1);
    assert!(waits(&mut counted).await, "parts of hours are read from files");
    within("what the server asks", ledger.customers(&one, None, 1)).await.unwrap();
    drop(permits);
    within("the reader", raw).await.unwrap();
    within("the parts of hours", counted).await.unwrap();
}

/// Queries that end only when they are let, and that keep the order in which they began.
#[derive(Debug)]
struct Held {
    ends: Semaphore,
    begun: Mutex<Vec<String>>,
}

#[async_trait]
impl Queries for Held {
    async fn query(&self, scope: &TenantScope, _: &Query) -> Result<QueryAnswer, PortError> {
        self.begun.lock().push(scope.tenant().to_string());
        self.ends.acquire().await.unwrap().forget();
        Ok(QueryAnswer::default())
    }
}

#[tokio::test]
async fn i6_one_tenants_queries_do_not_keep_anothers_waiting() {
    const MANY: usize = 60;
    let held = Arc::new(Held { ends: Semaphore::new(0), begun: Mutex::default() });
    let limiter = FairLimiter::new();
    let queries: Gated<dyn Queries> = Gated::new(held.clone(), limiter.clone());
    let unchecked = UncheckedQuery {
        range: TimeRange::ALL,
        bucket: None,
        aggregations: vec![UncheckedAggregation { op: "count".to_owned(), ..UncheckedAggregation::default() }],
        group_by: Vec::new(),
        filter: None,
        order_by: Vec::new(),
        limit: None,
    };
    let query = Arc::new(unchecked.check().unwrap());
    let ask = |tenant: &'static str| {
        let (queries, query) = (queries.clone(), Arc::clone(&query));
        tokio::spawn(async move { queries.query(&scope(tenant), &query).await.unwrap() })
    };
    let mut asked: Vec<_> = (0..MANY).map(|_| ask("one")).collect();
    let waiting = async |count: usize| {
        let so_much_waits = || (limiter.load(WorkClass::Query).waiting == count).then_some(());
        eventually("so much waits", so_much_waits).await;
    };
    waiting(MANY - QUERIES_OF_TENANT_MAX).await;
    asked.extend((QUERIES_OF_TENANT_MAX..QUERIES_AT_ONCE_MAX).map(|_| ask("third")));
    eventually("all that may run runs", || (held.begun.lock().len() == QUERIES_AT_ONCE_MAX).then_some(())).await;
    asked.push(ask("other"));
    waiting(MANY - QUERIES_OF_TENANT_MAX + 1).await;
    held.ends.add_permits(2);
    eventually("two more run", || (held.begun.lock().len() == QUERIES_AT_ONCE_MAX + 2).then_some(())).await;
    let begun = held.begun.lock().split_off(QUERIES_AT_ONCE_MAX);
    assert!(begun.contains(&"other".to_owned()), "one query of the flood goes before it at most: {begun:?}");
    held.ends.add_permits(MANY);
    for one in asked {
        one.await.unwrap();
    }
}

#[tokio::test]
async fn i6_sets_of_users_are_held_with_a_permit_until_they_are_counted() {
    let (_, reads) = reads();
    let (one, other) = (scope("one"), scope("other"));
    let utc = days(Zone::utc());
    let mut held = Vec::new();
    for _ in 0..STATISTICS_OF_TENANT_MAX {
        held.push(reads.active_users.active_users_with_permit(&one, &utc).await.unwrap());
    }
    let mut further = Box::pin(reads.active_users.active_users_with_permit(&one, &utc));
    assert!(waits(&mut further).await);
    within("another tenant's", reads.active_users.active_users_with_permit(&other, &utc)).await.unwrap();
    held.pop();
    within("the further one", further).await.unwrap();
    drop(held);
    let load = reads.limiter.load(WorkClass::Statistics);
    assert_eq!((load.running, load.waiting), (0, 0), "each permit is given back");
}
