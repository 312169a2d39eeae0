//! Tenants that keep their raw events for another time than the server.

#![expect(clippy::expect_used, reason = "for tests, which fail loudly")]

mod disk;
mod waits;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use domain::calendar::Zone;
use domain::tenant::TenantId;
use domain::time::TimeRange;
use domain::window::WindowRule;
use ledger_embedded::{EmbeddedLedger, LedgerOptions};
use ports::ErrorKind;
use ports::active_users::{ActiveUsers, VersionedZone};
use ports::ledger::Ledger;
use ports::manifest::{FileKind, FileMeta};
use ports::reports::{EventFilter, EventQuery, Order, Reports};
use ports::testing::clock::ManualClock;
use ports::testing::ledger::conformance::{RetentionHome, SERVER_DAYS, retention_conformance};
use ports::testing::ledger::records::{at, event, record, scope};

use crate::folder::{TestFolder, small};

const DAY: Duration = Duration::from_secs(86_400);
const HOUR: Duration = Duration::from_secs(3_600);

fn keeps(server: Option<u32>, tenants: &[(&str, u32)]) -> LedgerOptions {
    let own = tenants.iter().map(|(tenant, days)| (scope(tenant).tenant().clone(), *days)).collect();
    LedgerOptions { retention_days: server, tenant_retention_days: own, ..small(WindowRule::default()) }
}

/// The ids of the raw events that a tenant is shown.
async fn shown(ledger: &impl Reports, tenant: &str) -> BTreeSet<String> {
    let all = EventQuery {
        filter: EventFilter::default(),
        order: Order::Descending,
        after: None,
        limit: 10_000,
        bytes_max: usize::MAX,
    };
    ledger.events(&scope(tenant), &all).await.expect("events").rows.into_iter().map(|event| event.id).collect()
}

async fn differences(ledger: &EmbeddedLedger) -> Vec<String> {
    let mut differences = Vec::new();
    ledger.verify(&mut |difference| differences.push(difference.to_string())).await.expect("verify");
    differences
}

/// One event of each day and tenant, a segment for every two days.
async fn filled(options: LedgerOptions, days: i64) -> (TestFolder, Arc<EmbeddedLedger>) {
    let folder = TestFolder::new();
    let ledger = folder.open(options).await;
    for day in 0..days {
        folder.clock.set(at(day * 86_400 + 10));
        for (n, tenant) in (1..).zip(["a", "b"]) {
            let id = format!("{tenant}{day}");
            let events = [event(&id, day * 86_400 + 5).customer("c").user(&id)];
            let seq = u64::try_from(day * 2).expect("a day") + n;
            let applied = ledger.apply(&[record(seq, &scope(tenant), at(day * 86_400 + 10), &events)]).await;
            assert!(applied.failed.is_none());
        }
        if day % 2 == 1 {
            ledger.flush().await.expect("flush");
        }
    }
    (folder, ledger)
}

fn ids(tenant: &str, days: std::ops::Range<i64>) -> BTreeSet<String> {
    days.map(|day| format!("{tenant}{day}")).collect()
}

#[tokio::test]
async fn a_shorter_retention_of_one_tenant_waits_a_day_and_hides_nobody_elses_events() {
    let (folder, ledger) = filled(keeps(None, &[]), 10).await;
    ledger.set_retention(&scope("a"), Some(3));
    ledger.maintain().await.expect("maintain");
    assert_eq!(shown(&*ledger, "a").await, ids("a", 0..10), "it waits");
    let notice = ledger.retention_of(&scope("a"));
    assert_eq!((notice.kept_since, notice.waiting), (None, Some((at(6 * 86_400), DAY))));
    folder.clock.advance(HOUR * 20);
    ledger.maintain().await.expect("maintain");
    ledger.flush().await.expect("flush");
    drop(ledger);
    // The wait goes on over a restart; while nothing runs, nothing is waited.
    let ledger = folder.open(keeps(None, &[("a", 3)])).await;
    ledger.maintain().await.expect("maintain");
    assert_eq!(ledger.retention_of(&scope("a")).waiting.map(|(_, due_in)| due_in), Some(HOUR * 4));
    folder.clock.advance(HOUR * 4);
    ledger.maintain().await.expect("maintain");
    assert_eq!(shown(&*ledger, "a").await, ids("a", 7..10), "before the tenth day less three");
    assert_eq!(shown(&*ledger, "b").await, ids("b", 0..10));
    assert_eq!(ledger.retention_of(&scope("a")).kept_since, Some(at(7 * 86_400)));
    assert_eq!(ledger.retention_of(&scope("b")), Default::default());
    assert_eq!(differences(&ledger).await, Vec::<String>::new());
    // A day of another zone is counted from raw events, which are no longer all there.
    let zone = VersionedZone { zone: Zone::parse("Asia/Tokyo").expect("a zone"), version: 1 };
    let again = ledger.recount(&scope("a"), &zone).await.map_err(|why| why.kind());
    assert_eq!(again, Err(ErrorKind::Gone));
    ledger.recount(&scope("b"), &zone).await.expect("all of its events are there");
}

#[tokio::test]
async fn what_retention_hides_of_a_shared_segment_goes_when_it_is_merged() {
    let options = LedgerOptions { retention_delay: Duration::ZERO, compact_fan_in: 5, ..keeps(None, &[]) };
    let (folder, ledger) = filled(options.clone(), 10).await;
    ledger.set_retention(&scope("a"), Some(3));
    // The floor moves after the merge of this look.
    let before = LedgerOptions { compact_fan_in: 99, ..options.clone() };
    drop(ledger);
    let own = keeps(None, &[("a", 3)]).tenant_retention_days;
    let ledger = folder.open(LedgerOptions { tenant_retention_days: own.clone(), ..before }).await;
    ledger.maintain().await.expect("maintain");
    assert_eq!((ledger.stats().segments, ledger.stats().flushed_events), (5, 20), "hidden, and still there");
    drop(ledger);
    let ledger = folder.open(LedgerOptions { tenant_retention_days: own, ..options }).await;
    ledger.maintain().await.expect("maintain");
    assert_eq!((ledger.stats().segments, ledger.stats().flushed_events), (1, 14), "six days of one tenant went");
    assert_eq!(shown(&*ledger, "a").await, ids("a", 6..10));
    assert_eq!(shown(&*ledger, "b").await, ids("b", 0..10));
    assert_eq!(differences(&ledger).await, Vec::<String>::new());
    let totals = ledger.usage(&scope("a"), "c", at(0), TimeRange::ALL).await.expect("usage").expect("known");
    assert_eq!(totals.customer.total.totals.calls, 10, "sums stay");
    let again = [event("a0", 5).customer("c").user("a0")];
    let again = ledger.apply(&[record(99, &scope("a"), at(10 * 86_400), &again)]).await;
    let outcomes: Vec<_> = again.applied.into_iter().flat_map(|applied| applied.outcomes).collect();
    assert_ne!(outcomes, [ports::ledger::Outcome::Fresh], "I2: an id outlives its event");
}

#[tokio::test]
async fn a_longer_retention_keeps_what_the_server_drops_and_files_go_when_nobody_keeps_them() {
    let options = LedgerOptions { retention_delay: Duration::ZERO, ..keeps(Some(2), &[("a", 6)]) };
    let (folder, ledger) = filled(LedgerOptions { compact_fan_in: 99, ..options }, 10).await;
    ledger.maintain().await.expect("maintain");
    assert_eq!(shown(&*ledger, "a").await, ids("a", 3..10));
    assert_eq!(shown(&*ledger, "b").await, ids("b", 7..10));
    assert_eq!(ledger.stats().flushed_events, 16, "of one segment nobody keeps anything");
    // For ever; what is gone does not come back.
    ledger.set_retention(&scope("a"), Some(0));
    folder.clock.advance(DAY * 30);
    ledger.maintain().await.expect("maintain");
    assert_eq!(shown(&*ledger, "a").await, ids("a", 3..10));
    assert_eq!(shown(&*ledger, "b").await, ids("b", 0..0));
    // As the server again.
    ledger.set_retention(&scope("a"), None);
    ledger.maintain().await.expect("maintain");
    assert_eq!(shown(&*ledger, "a").await, ids("a", 0..0));
    assert_eq!(ledger.stats().flushed_events, 0);
    assert_eq!(differences(&ledger).await, Vec::<String>::new());
}

/// A folder whose ledger keeps raw events as the suite of all ledgers asks.
struct Keeping(TestFolder);

impl RetentionHome for Keeping {
    type Ledger = EmbeddedLedger;

    fn clock(&self) -> &ManualClock {
        &self.0.clock
    }

    async fn open(&self, own: HashMap<TenantId, u32>) -> Arc<EmbeddedLedger> {
        let options = LedgerOptions { tenant_retention_days: own, ..keeps(Some(SERVER_DAYS), &[]) };
        self.0.open(options).await
    }

    async fn maintain(&self, ledger: &EmbeddedLedger) {
        ledger.maintain().await.expect("maintain");
    }

    async fn verify(&self, ledger: &EmbeddedLedger) {
        assert_eq!(differences(ledger).await, Vec::<String>::new());
    }
}

#[tokio::test]
async fn i5_every_tenant_is_shown_what_its_own_retention_keeps() {
    retention_conformance(1..=80, async || Keeping(TestFolder::new())).await;
}
