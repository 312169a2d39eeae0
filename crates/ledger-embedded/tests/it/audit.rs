//! What verification finds when somebody has written into the store.

#![expect(clippy::expect_used, reason = "for tests, which fail loudly")]
#![expect(clippy::disallowed_methods, reason = "this test writes into a database by hand")]

use std::fs;
use std::path::Path;
use std::sync::Arc;

use domain::window::WindowRule;
use ledger_embedded::EmbeddedLedger;
use manifest::SqliteManifest;
use ports::ledger::Ledger;
use ports::testing::clock::ManualClock;
use ports::testing::ledger::records::{at, event, record, scope};
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
    let events = [1, 2].map(|hour| event(&format!("e{hour}"), hour * 3_600).kind("k").tokens(TOKENS, 0));
    assert!(ledger.apply(&[record(1, &scope("t"), at(10_000), &events)]).await.failed.is_none());
    ledger.flush().await.expect("flush");
    drop(ledger);
    store.close().await.expect("closed");
    assert_eq!(differences(folder.path()).await, Vec::<String>::new());

    // Only the day has both.
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
