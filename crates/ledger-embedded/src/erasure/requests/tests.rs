//! What shows only from inside of a ledger.

#![expect(clippy::expect_used, reason = "tests")]

use std::path::PathBuf;

use domain::time::Timestamp;
use ports::testing::clock::ManualClock;
use ports::testing::ledger::records::scope;
use ports::testing::manifest::MemoryManifest;
use vfs::testing::SimVfs;

use super::*;
use crate::options::LedgerOptions;

/// Found in November 2026: it waited without an end, and the requests of the workspace with it, for as long as somebody
/// counted what a customer had brought.
#[tokio::test]
async fn i6_an_erasure_that_is_asked_for_waits_for_the_store_a_while_and_no_longer() {
    let clock = Arc::new(ManualClock::new(Timestamp::MIN));
    let options = LedgerOptions { background: false, ..LedgerOptions::default() };
    let (vfs, manifest) = (Arc::new(SimVfs::new()), Arc::new(MemoryManifest::new()));
    let ledger = EmbeddedLedger::open(vfs, PathBuf::from("/segments"), manifest, clock.clone(), options).await;
    let ledger = ledger.expect("the ledger opens");
    let (id, by) = ("e".to_owned(), "user:a".to_owned());
    let asked = ErasureRequest { id, subject: Subject::User("u".to_owned()), blocks: true, by };
    let busy = ledger.core.writer.lock().await;
    let tenant = scope("a");
    let both = async {
        tokio::join!(ledger.erase(&tenant, &asked), async {
            for _ in 0..100 {
                tokio::task::yield_now().await;
                clock.advance(Duration::from_millis(100));
            }
        })
        .0
    };
    let refused = tokio::time::timeout(Duration::from_secs(20), both).await.expect("an answer");
    assert_eq!(refused.map_err(|why| why.kind()), Err(ErrorKind::Overloaded));
    drop(busy);
    assert_eq!(ledger.erasures(&tenant), [], "nothing is erased");
    ledger.erase(&tenant, &asked).await.expect("an erasure");
}
