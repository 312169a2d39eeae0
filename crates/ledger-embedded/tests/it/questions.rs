//! The suites of questions, over the manifest in memory and the one in SQLite, on a disk in memory
//! and a real one.

#![expect(clippy::expect_used, reason = "for tests, which fail loudly")]

use std::sync::Arc;

use domain::window::WindowRule;
use ledger_embedded::{EmbeddedLedger, LedgerOptions};
use manifest::SqliteManifest;
use ports::PortError;
use ports::testing::clock::ManualClock;
use ports::testing::ledger::conformance::{
    Home, active_users_conformance, analytics_conformance, questions_conformance,
};
use ports::testing::ledger::records::at;
use tempfile::TempDir;
use vfs::DiskVfs;

use crate::folder::{TestFolder, small};

impl Home for TestFolder {
    type Ledger = EmbeddedLedger;

    async fn open(&self) -> Arc<EmbeddedLedger> {
        TestFolder::open(self, small(WindowRule::default())).await
    }

    async fn maintain(&self, ledger: &EmbeddedLedger) -> Result<(), PortError> {
        ledger.maintain().await
    }
}

/// A folder as the binary keeps it, with the threads of the ledger.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    async fn open_with(&self, options: LedgerOptions) -> Arc<EmbeddedLedger> {
        let store = SqliteManifest::open(&self.0.path().join("manifest.sqlite")).await.expect("a manifest");
        let clock = Arc::new(ManualClock::new(at(0)));
        let dir = self.0.path().join("segments");
        EmbeddedLedger::open(Arc::new(DiskVfs), dir, Arc::new(store), clock, options).await.expect("the ledger opens")
    }
}

impl Home for Folder {
    type Ledger = EmbeddedLedger;

    async fn open(&self) -> Arc<EmbeddedLedger> {
        self.open_with(small(WindowRule::default())).await
    }

    async fn maintain(&self, ledger: &EmbeddedLedger) -> Result<(), PortError> {
        ledger.maintain().await
    }
}

async fn in_memory(rule: WindowRule) -> Arc<EmbeddedLedger> {
    TestFolder::new().open(small(rule)).await
}

async fn with_threads_on_disk(rule: WindowRule) -> Arc<EmbeddedLedger> {
    let folder = Folder::new();
    let ledger = folder.open_with(LedgerOptions { background: true, ..small(rule) }).await;
    // The ledger outlives this function, and so must its folder.
    let _ = folder.0.keep();
    ledger
}

#[tokio::test]
async fn active_users_are_those_of_every_ledger() {
    active_users_conformance(in_memory).await;
}

// The store needs a thread of the runtime while the ledger waits for it in its end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_threads_on_disk_active_users_are_those_of_every_ledger() {
    active_users_conformance(with_threads_on_disk).await;
}

#[tokio::test]
async fn sums_are_those_of_every_ledger() {
    analytics_conformance(in_memory).await;
}

// The store needs a thread of the runtime while the ledger waits for it in its end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_threads_on_disk_sums_are_those_of_every_ledger() {
    analytics_conformance(with_threads_on_disk).await;
}

#[tokio::test]
async fn i3_random_questions_have_the_oracles_answers() {
    questions_conformance(1..=10, async || TestFolder::new()).await;
}

#[tokio::test]
async fn i3_on_disk_random_questions_have_the_oracles_answers() {
    questions_conformance(1..=2, async || Folder::new()).await;
}
