//! What verification finds when somebody has written into the store.

#![expect(clippy::expect_used, reason = "for tests, which fail loudly")]
#![expect(clippy::disallowed_methods, reason = "this test writes into a database by hand")]

use std::fs;
use std::path::Path;
use std::sync::Arc;

use domain::event::{EventId, IdScheme};
use domain::position::Seq;
use domain::window::WindowRule;
use ledger_embedded::EmbeddedLedger;
use manifest::SqliteManifest;
use ports::journal::Delivery;
use ports::ledger::Ledger;
use ports::testing::clock::ManualClock;
use ports::testing::ledger::records::{admitted_under, at, event, record, request_key, scope};
use vfs::DiskVfs;

use crate::folder::small;

/// A number that nothing else in a database looks like.
const TOKENS: u64 = 987_654_321_012;

async fn open(folder: &Path) -> (Arc<SqliteManifest>, Arc<EmbeddedLedger>) {
    let store = Arc::new(SqliteManifest::open(&folder.join("manifest.sqlite")).await.expect("a store"));
    let clock = Arc::new(ManualClock::new(at(0)));
    let (segments, options) = (folder.join("segments"), small(WindowRule::default()));
    let ledger =
        EmbeddedLedger::open(Arc::new(DiskVfs), segments, store.clone(), clock, options).await.expect("a ledger");
    (store, ledger)
}

async fn differences(folder: &Path) -> Vec<String> {
    let (store, ledger) = open(folder).await;
    let mut found = Vec::new();
    ledger.verify(&mut |one| found.push(one.to_string())).await.expect("verified");
    drop(ledger);
    store.close().await.expect("closed");
    found
}

/// As SQLite writes numbers of that size.
fn stored(number: u64) -> [u8; 6] {
    let [_, _, bytes @ ..] = number.to_be_bytes();
    bytes
}

#[tokio::test]
async fn i3_a_sum_of_a_day_that_its_hours_do_not_give_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, ledger) = open(folder.path()).await;
    let record = |hour: i64| {
        let event = event(&format!("e{hour}"), hour * 3_600).kind("k").tokens(TOKENS, 0);
        record(hour.unsigned_abs(), &scope("t"), at(10_000 + hour * 1_000), &[event])
    };
    assert!(ledger.apply(&[1, 2].map(record)).await.failed.is_none());
    ledger.flush().await.expect("flush");
    drop(ledger);
    store.close().await.expect("closed");
    assert_eq!(differences(folder.path()).await, Vec::<String>::new());

    // Only the day has both: they were received in two quarters of an hour.
    let file = folder.path().join("manifest.sqlite");
    let mut bytes = fs::read(&file).expect("a database");
    let places: Vec<_> = (0..bytes.len() - 6).filter(|at| bytes[*at..*at + 6] == stored(2 * TOKENS)).collect();
    assert_eq!(places.len(), 2, "tokens and input tokens");
    bytes[places[0]..places[0] + 6].copy_from_slice(&stored(2 * TOKENS + 1));
    fs::write(&file, bytes).expect("a database");
    let told = differences(folder.path()).await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("I3 tenant t type \"k\", days against hours"), "{told:?}");
}

#[tokio::test]
async fn i3_keys_of_requests_are_found_after_flushes_merges_and_restarts_and_are_no_difference() {
    let folder = tempfile::tempdir().expect("a folder");
    let tenant = scope("t");
    let (store, ledger) = open(folder.path()).await;
    let keys: Vec<String> = (1..=20).map(|seq| format!("k{seq}")).collect();
    for (seq, key) in (1_u64..).zip(&keys) {
        let events = [event(&format!("e{seq}"), 0), event(&format!("f{seq}"), 0)];
        let admitted = admitted_under(Some(request_key(key, seq)), &tenant, at(1), &events);
        let delivery = Delivery { id: Seq(seq).into(), payload: admitted.payload().clone() };
        assert!(ledger.apply(&[delivery]).await.failed.is_none());
        if seq % 2 == 0 {
            ledger.flush().await.expect("flush");
            ledger.maintain().await.expect("a merge");
        }
    }
    let found = async |ledger: &EmbeddedLedger| {
        let ids: Vec<_> = keys.iter().map(|text| EventId { scheme: IdScheme::Request, text }).collect();
        let found = ledger.seen_exactly(&tenant, &ids).await.expect("a lookup");
        found.into_iter().map(|seen| seen.map(|seen| (seen.seq.0, seen.payload.hash))).collect::<Vec<_>>()
    };
    let expected: Vec<_> = (1..=20).map(|seq| Some((seq, seq))).collect();
    assert!(ledger.stats().segments < 10, "some are merged");
    assert_eq!(found(&ledger).await, expected);
    drop(ledger);
    store.close().await.expect("closed");
    assert_eq!(differences(folder.path()).await, Vec::<String>::new());
    let (store, ledger) = open(folder.path()).await;
    assert_eq!(found(&ledger).await, expected);
    assert_eq!(ledger.stats().flushed_events, 40, "a key is no event");
    drop(ledger);
    store.close().await.expect("closed");
}
