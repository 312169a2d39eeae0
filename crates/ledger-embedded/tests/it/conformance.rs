//! The suites that every ledger runs.

#![expect(clippy::expect_used, reason = "for tests, which fail loudly")]

use std::sync::Arc;

use domain::window::WindowRule;
use ledger_embedded::{EmbeddedLedger, LedgerOptions};
use ports::testing::clock::ManualClock;
use ports::testing::ledger::conformance::{ledger_conformance, reports_conformance};
use ports::testing::ledger::records::at;
use ports::testing::manifest::MemoryManifest;
use vfs::DiskVfs;

use crate::folder::{TestFolder, small};

async fn flushing_often(rule: WindowRule) -> Arc<EmbeddedLedger> {
    TestFolder::new().open(small(rule)).await
}

async fn on_disk_with_threads(rule: WindowRule) -> Arc<EmbeddedLedger> {
    let dir = tempfile::tempdir().expect("a folder").keep();
    let options = LedgerOptions { background: true, ..small(rule) };
    let clock = Arc::new(ManualClock::new(at(0)));
    EmbeddedLedger::open(Arc::new(DiskVfs), dir, Arc::new(MemoryManifest::new()), clock, options)
        .await
        .expect("the ledger opens")
}

#[tokio::test]
async fn the_ledger_counts_as_every_ledger() {
    ledger_conformance(flushing_often).await;
}

#[tokio::test]
async fn the_ledger_answers_as_every_ledger() {
    reports_conformance(flushing_often).await;
}

#[tokio::test]
async fn with_threads_on_disk_it_counts_as_every_ledger() {
    ledger_conformance(on_disk_with_threads).await;
}

#[tokio::test]
async fn with_threads_on_disk_it_answers_as_every_ledger() {
    reports_conformance(on_disk_with_threads).await;
}
