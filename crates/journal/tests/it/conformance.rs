//! The suite of the port, on the simulated and on the real disk.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use domain::position::Seq;
use journal::{JournalOptions, LocalJournal};
use ports::PortError;
use ports::journal::OrderedJournal;
use ports::testing::journal::{BACKLOG_BYTES_MAX, JournalPlace, journal_conformance};
use tempfile::TempDir;
use vfs::testing::SimVfs;
use vfs::{DiskVfs, Vfs};

struct Folder {
    vfs: Arc<dyn Vfs>,
    dir: PathBuf,
    segment_bytes: u64,
    _temporary: Option<TempDir>,
}

#[async_trait]
impl JournalPlace for Folder {
    async fn open(&self, after: Seq) -> Result<Arc<dyn OrderedJournal>, PortError> {
        let options = JournalOptions {
            segment_bytes: self.segment_bytes,
            backlog_bytes_max: usize::try_from(BACKLOG_BYTES_MAX).unwrap(),
            reserve_bytes: 0,
            ..JournalOptions::default()
        };
        Ok(Arc::new(LocalJournal::open(Arc::clone(&self.vfs), self.dir.clone(), after, options)?))
    }
}

fn simulated(segment_bytes: u64) -> Folder {
    Folder { vfs: Arc::new(SimVfs::new()), dir: PathBuf::from("/data/journal"), segment_bytes, _temporary: None }
}

#[tokio::test]
async fn the_journal_conforms_with_one_segment() -> Result<(), PortError> {
    journal_conformance(|| simulated(1 << 20)).await
}

#[tokio::test]
async fn the_journal_conforms_with_many_segments() -> Result<(), PortError> {
    journal_conformance(|| simulated(1)).await?;
    journal_conformance(|| simulated(200)).await
}

#[tokio::test]
async fn the_journal_conforms_on_the_real_disk() -> Result<(), PortError> {
    let real = || {
        let temporary = tempfile::tempdir().unwrap();
        let dir = temporary.path().join("deep/journal");
        Folder { vfs: Arc::new(DiskVfs), dir, segment_bytes: 300, _temporary: Some(temporary) }
    };
    journal_conformance(real).await
}
