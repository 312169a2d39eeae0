//! The ports behind the gate: which call waits for which, and for how long a permit is held.

use std::future::Future;
use std::sync::Arc;

use domain::calendar::Zone;
use domain::limits::{READS_AT_ONCE_MAX, READS_OF_TENANT_MAX, STATISTICS_OF_TENANT_MAX};
use domain::time::TimeRange;
use domain::window::WindowRule;
use pipeline::{FairLimiter, Questions, WorkClass};
use ports::active_users::{ActiveUsers, ActiveUsersQuery};
use ports::analytics::Analytics;
use ports::reports::Reports;
use ports::testing::ledger::MemoryLedger;
use ports::testing::ledger::records::scope;

use crate::world::{START, within};

fn questions() -> (Arc<MemoryLedger>, Questions) {
    let ledger = Arc::new(MemoryLedger::new(WindowRule::default()));
    let questions = Questions::of(&ledger, &FairLimiter::new());
    (ledger, questions)
}

fn days(zone: Zone) -> ActiveUsersQuery {
    ActiveUsersQuery { range: TimeRange::ALL, zone, project: None, kind: None }
}

/// Whether a call still waits after it was polled once.
async fn waits<F: Future + Unpin>(call: &mut F) -> bool {
    tokio::select! {
        biased;
        _ = call => false,
        () = std::future::ready(()) => true,
    }
}

#[tokio::test]
async fn i6_what_reads_no_files_and_what_the_server_asks_wait_for_no_reader() {
    let (ledger, questions) = questions();
    let (one, other, asks) = (scope("one"), scope("other"), scope("asks"));
    let mut reads = Vec::new();
    for number in 0..READS_AT_ONCE_MAX {
        let of = if number < READS_OF_TENANT_MAX { &one } else { &other };
        reads.push(questions.limiter.admit(WorkClass::Read, of.tenant()).await.unwrap());
    }
    let kolkata = Zone::parse("Asia/Kolkata").unwrap();
    within("days", questions.active_users.active_users(&asks, &days(Zone::utc()))).await.unwrap();
    within("a change of zone", questions.active_users.set_zone(&asks, &kolkata)).await.unwrap();
    within("days of the new zone", questions.active_users.active_users(&asks, &days(kolkata))).await.unwrap();
    within("whole hours", questions.analytics.top_types(&asks, TimeRange::ALL, None, 1)).await.unwrap();
    let mut raw = questions.reports.customers(&asks, None, 1);
    assert!(waits(&mut raw).await, "a reader waits for readers");
    let parts = TimeRange::new(START.plus_micros(1), START.plus_micros(2)).unwrap();
    let mut counted = questions.analytics.top_types(&asks, parts, None, 1);
    assert!(waits(&mut counted).await, "parts of hours are read from files");
    within("what the server asks", ledger.customers(&one, None, 1)).await.unwrap();
    drop(reads);
    within("the reader", raw).await.unwrap();
    within("the parts of hours", counted).await.unwrap();
}

#[tokio::test]
async fn i6_sets_of_users_are_held_with_a_permit_until_they_are_counted() {
    let (_, questions) = questions();
    let (one, other) = (scope("one"), scope("other"));
    let utc = days(Zone::utc());
    let mut held = Vec::new();
    for _ in 0..STATISTICS_OF_TENANT_MAX {
        held.push(questions.active_users.held(&one, &utc).await.unwrap());
    }
    let mut further = Box::pin(questions.active_users.held(&one, &utc));
    assert!(waits(&mut further).await);
    within("another tenant's", questions.active_users.held(&other, &utc)).await.unwrap();
    held.pop();
    within("the further one", further).await.unwrap();
    drop(held);
    let load = questions.limiter.load(WorkClass::Statistics);
    assert_eq!((load.running, load.waiting), (0, 0), "each permit is given back");
}
