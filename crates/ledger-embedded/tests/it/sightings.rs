//! What looking event ids up costs: no read of a file for new ids, few for known ones, and none on the
//! thread that asks.

#![expect(clippy::expect_used, reason = "for tests, which fail loudly")]

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::{self, ThreadId};

use domain::event::EventId;
use domain::tenant::TenantScope;
use domain::window::WindowRule;
use ledger_embedded::{EmbeddedLedger, LedgerOptions};
use ports::ledger::Ledger;
use ports::testing::clock::ManualClock;
use ports::testing::ledger::records::{at, event, record, scope};
use ports::testing::manifest::MemoryManifest;
use vfs::testing::SimVfs;
use vfs::{ReadFile, Vfs, WriteFile};

use crate::folder::{TestFolder, small};

/// A disk that notes which thread makes each read.
#[derive(Debug, Clone, Default)]
struct WatchedDisk {
    disk: SimVfs,
    reads: Arc<Mutex<Vec<ThreadId>>>,
}

impl WatchedDisk {
    /// The threads of all reads since the last call.
    fn take_reads(&self) -> Vec<ThreadId> {
        std::mem::take(&mut self.reads.lock().expect("no panic"))
    }
}

#[derive(Debug)]
struct WatchedFile {
    file: Arc<dyn ReadFile>,
    reads: Arc<Mutex<Vec<ThreadId>>>,
}

impl ReadFile for WatchedFile {
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.reads.lock().expect("no panic").push(thread::current().id());
        self.file.read_exact_at(offset, buffer)
    }

    fn len(&self) -> u64 {
        self.file.len()
    }
}

impl Vfs for WatchedDisk {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.disk.create_dir_all(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.disk.list(dir)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn WriteFile>> {
        self.disk.create(path)
    }

    fn open_append(&self, path: &Path) -> io::Result<Box<dyn WriteFile>> {
        self.disk.open_append(path)
    }

    fn open_read(&self, path: &Path) -> io::Result<Arc<dyn ReadFile>> {
        let file = self.disk.open_read(path)?;
        Ok(Arc::new(WatchedFile { file, reads: Arc::clone(&self.reads) }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.sync_dir(dir)
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        self.disk.free_bytes(dir)
    }
}

const IDS: usize = 10_000;

fn ids(prefix: &str) -> Vec<String> {
    (0..IDS).map(|n| format!("{prefix}{n}")).collect()
}

async fn seen(ledger: &EmbeddedLedger, tenant: &TenantScope, ids: &[String]) -> usize {
    let ids: Vec<_> = ids.iter().map(|id| EventId::native(id)).collect();
    let found = ledger.seen(tenant, &ids).await;
    assert_eq!(found.len(), ids.len());
    found.into_iter().flatten().count()
}

/// Defect 2 of November 2026: 10,000 flushed ids took 10,000 reads on the request's thread.
#[tokio::test]
async fn known_ids_are_read_by_the_page_and_never_on_the_thread_that_asks() {
    let (disk, tenant) = (WatchedDisk::default(), scope("acme"));
    let manifest = Arc::new(MemoryManifest::new());
    let options = LedgerOptions { flush_rows: 100_000, ..small(WindowRule::default()) };
    let vfs: Arc<dyn Vfs> = Arc::new(disk.clone());
    let clock = Arc::new(ManualClock::new(at(0)));
    let ledger = EmbeddedLedger::open(vfs, TestFolder::dir(), manifest, clock, options).await.expect("a ledger");
    let events: Vec<_> = ids("known").iter().map(|id| event(id, 0)).collect();
    assert!(ledger.apply(&[record(1, &tenant, at(1), &events)]).await.failed.is_none());
    disk.take_reads();
    assert_eq!(seen(&ledger, &tenant, &ids("known")).await, IDS);
    assert_eq!(disk.take_reads(), [], "what is not flushed is known from memory");
    ledger.flush().await.expect("a flush");
    disk.take_reads();
    assert_eq!(seen(&ledger, &tenant, &ids("known")).await, IDS);
    let reads = disk.take_reads();
    let pages = IDS.div_ceil(128);
    assert!((1..=2 * pages).contains(&reads.len()), "{} reads of {pages} pages", reads.len());
    assert!(reads.iter().all(|thread| *thread != thread::current().id()), "a read blocked the runtime");
    assert_eq!(seen(&ledger, &tenant, &ids("new")).await, 0);
    let reads = disk.take_reads();
    assert!(reads.len() <= IDS / 50, "{} reads for ids that the filter rules out", reads.len());
    assert!(reads.iter().all(|thread| *thread != thread::current().id()), "a read blocked the runtime");
    assert_eq!(seen(&ledger, &tenant, &ids("new")[..1]).await, 0);
}
