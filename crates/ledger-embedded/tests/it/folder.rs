//! A data folder in memory that a ledger can be opened in again and again.

#![expect(clippy::expect_used, reason = "for tests, which fail loudly")]

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use domain::window::WindowRule;
use ledger_embedded::{EmbeddedLedger, LedgerOptions};
use ports::PortError;
use ports::testing::clock::ManualClock;
use ports::testing::ledger::records::at;
use ports::testing::manifest::{FaultPoint, MemoryManifest};
use vfs::Vfs;
use vfs::testing::SimVfs;

/// Small, so that a few events flush and a few flushes merge.
pub(crate) fn small(rule: WindowRule) -> LedgerOptions {
    LedgerOptions {
        flush_rows: 7,
        flush_age: Duration::from_secs(3_600),
        compact_fan_in: 3,
        rule,
        seed_key: [9; 16],
        background: false,
        ..LedgerOptions::default()
    }
}

pub(crate) struct TestFolder {
    pub(crate) vfs: SimVfs,
    pub(crate) manifest: MemoryManifest,
    opened: Mutex<Arc<MemoryManifest>>,
    pub(crate) clock: Arc<ManualClock>,
}

impl TestFolder {
    pub(crate) fn new() -> Self {
        Self {
            vfs: SimVfs::new(),
            manifest: MemoryManifest::new(),
            opened: Mutex::default(),
            clock: Arc::new(ManualClock::new(at(0))),
        }
    }

    pub(crate) fn dir() -> PathBuf {
        PathBuf::from("/segments")
    }

    pub(crate) async fn try_open(&self, options: LedgerOptions) -> Result<Arc<EmbeddedLedger>, PortError> {
        let vfs: Arc<dyn Vfs> = Arc::new(self.vfs.clone());
        let manifest = Arc::new(self.manifest.reopen());
        *self.opened.lock().expect("no panic") = Arc::clone(&manifest);
        let clock: Arc<ManualClock> = Arc::clone(&self.clock);
        EmbeddedLedger::open(vfs, Self::dir(), manifest, clock, options).await
    }

    /// Lets the next write to the manifest opened last fail.
    pub(crate) fn fail_next(&self, point: FaultPoint) {
        self.opened.lock().expect("no panic").fail_next(point);
    }

    pub(crate) async fn open(&self, options: LedgerOptions) -> Arc<EmbeddedLedger> {
        self.try_open(options).await.expect("the ledger opens")
    }
}
