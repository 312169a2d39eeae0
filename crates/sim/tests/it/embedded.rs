//! The subject: the local journal and the embedded ledger over one simulated disk, with limits so small
//! that a few requests fill a segment, a few records flush, and a few flushes merge.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use journal::{JournalOptions, LocalJournal};
use lake::{Lake, LakeOptions};
use ports::PortError;
use ports::journal::Journal;
use ports::ledger::Ledger;
use ports::reports::Reports;
use sim::{Subject, World};
use vfs::Vfs;

#[derive(Debug)]
pub(crate) struct Embedded {
    journal: LocalJournal,
    lake: Arc<Lake>,
}

impl Subject for Embedded {
    async fn open(world: &World) -> Result<Self, PortError> {
        let vfs: Arc<dyn Vfs> = Arc::new(world.disk.clone());
        let lake = LakeOptions {
            flush_rows: 9,
            flush_age: Duration::from_secs(120),
            compact_fan_in: 2,
            segment_rows_max: 60,
            seed_key: [7; 16],
            background: false,
            ..LakeOptions::default()
        };
        let journal =
            JournalOptions { segment_bytes: 1_500, backlog_bytes_max: 8_000, reserve_bytes: 0, ..Default::default() };
        let clock = Arc::clone(&world.clock);
        let lake = Lake::open(Arc::clone(&vfs), PathBuf::from("/data/segments"), world.manifest(), clock, lake).await?;
        let journal = LocalJournal::open(vfs, PathBuf::from("/data/journal"), lake.cursor(), journal)?;
        Ok(Self { journal, lake })
    }

    fn journal(&self) -> &dyn Journal {
        &self.journal
    }

    fn ledger(&self) -> &dyn Ledger {
        &*self.lake
    }

    fn reports(&self) -> &dyn Reports {
        &*self.lake
    }

    async fn maintain(&self) -> Result<(), PortError> {
        self.lake.maintain().await
    }

    async fn verify(&self) -> Result<Vec<String>, PortError> {
        let mut differences = Vec::new();
        self.lake.verify(&mut |difference| differences.push(difference.to_string())).await?;
        Ok(differences)
    }
}

/// A runtime on this thread alone, so that a seed gives one order of steps.
pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime")
}
