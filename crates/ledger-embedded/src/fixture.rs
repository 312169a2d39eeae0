//! A ledger over a disk and a manifest in memory, for the tests beside the code.

#![expect(clippy::expect_used, reason = "tests")]

use std::path::PathBuf;
use std::sync::Arc;

use ports::testing::clock::ManualClock;
use ports::testing::manifest::MemoryManifest;
use vfs::testing::SimVfs;

use crate::{EmbeddedLedger, LedgerOptions};

/// Opens an empty ledger.
pub(crate) async fn open(options: LedgerOptions, clock: Arc<ManualClock>) -> Arc<EmbeddedLedger> {
    let (vfs, manifest) = (Arc::new(SimVfs::new()), Arc::new(MemoryManifest::new()));
    EmbeddedLedger::open(vfs, PathBuf::from("/segments"), manifest, clock, options).await.expect("the ledger opens")
}
