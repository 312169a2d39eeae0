//! Work that was given up counts against its tenant until it has ended (I6): with the real engine behind
//! the gate, over a disk whose reads wait, and with a port whose reads end when the test says.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};

use async_trait::async_trait;
use domain::limits::{QUERIES_OF_TENANT_MAX, READS_OF_TENANT_MAX};
use domain::query::{Query, UncheckedAggregation, UncheckedQuery, Value};
use domain::series::{SeriesPoint, SeriesQuery};
use domain::tenant::TenantScope;
use domain::time::TimeRange;
use ledger_embedded::{EmbeddedLedger, LedgerOptions};
use parking_lot::{Condvar, Mutex};
use pipeline::{FairLimiter, Gated, ReadPorts, WorkClass};
use ports::analytics::{Analytics, Summary};
use ports::ledger::Ledger;
use ports::queries::Queries;
use ports::testing::clock::ManualClock;
use ports::testing::ledger::records::{event, record, scope};
use ports::testing::manifest::MemoryManifest;
use ports::{PortError, held};
use tokio::sync::oneshot;
use vfs::testing::SimVfs;
use vfs::{ReadFile, Vfs, WriteFile};

use crate::gate::waits;
use crate::world::{START, eventually, within};

/// A disk whose reads wait while it is closed.
#[derive(Debug, Clone, Default)]
struct ClosableDisk {
    disk: SimVfs,
    door: Arc<Door>,
}

#[derive(Debug, Default)]
struct Door {
    state: Mutex<DoorState>,
    opened: Condvar,
}

#[derive(Debug, Default)]
struct DoorState {
    closed: bool,
    waiting: usize,
}

impl Door {
    fn pass(&self) {
        let mut state = self.state.lock();
        state.waiting += 1;
        while state.closed {
            self.opened.wait(&mut state);
        }
        state.waiting -= 1;
    }

    fn waiting(&self) -> usize {
        self.state.lock().waiting
    }
}

/// The disk is closed until this is dropped, also by a test that fails.
struct Closed(Arc<Door>);

impl Closed {
    fn new(disk: &ClosableDisk) -> Self {
        disk.door.state.lock().closed = true;
        Self(Arc::clone(&disk.door))
    }
}

impl Drop for Closed {
    fn drop(&mut self) {
        self.0.state.lock().closed = false;
        self.0.opened.notify_all();
    }
}

#[derive(Debug)]
struct ClosableFile {
    file: Arc<dyn ReadFile>,
    door: Arc<Door>,
}

impl ReadFile for ClosableFile {
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.door.pass();
        self.file.read_exact_at(offset, buffer)
    }

    fn len(&self) -> u64 {
        self.file.len()
    }
}

impl Vfs for ClosableDisk {
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
        Ok(Arc::new(ClosableFile { file, door: Arc::clone(&self.door) }))
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

fn distinct_ids() -> Query {
    let unique = UncheckedAggregation { op: "unique".to_owned(), field: Some("id".to_owned()), name: None };
    let draft = UncheckedQuery {
        range: TimeRange::ALL,
        bucket: None,
        aggregations: vec![unique],
        group_by: Vec::new(),
        filter: None,
        order_by: Vec::new(),
        limit: None,
    };
    draft.check().unwrap()
}

#[tokio::test]
async fn i6_one_tenants_abandoned_queries_do_not_keep_anothers_waiting() {
    let (disk, one, other) = (ClosableDisk::default(), scope("one"), scope("other"));
    let (vfs, manifest, clock) =
        (Arc::new(disk.clone()), Arc::new(MemoryManifest::new()), Arc::new(ManualClock::new(START)));
    let options = LedgerOptions { background: false, ..LedgerOptions::default() };
    let ledger = EmbeddedLedger::open(vfs, PathBuf::from("/segments"), manifest, clock, options).await.unwrap();
    let (stored, unflushed) = ([event("1", 0), event("2", 0)], [event("1", 0)]);
    assert!(ledger.apply(&[record(1, &one, START, &stored)]).await.failed.is_none());
    ledger.flush().await.unwrap();
    assert!(ledger.apply(&[record(2, &other, START, &unflushed)]).await.failed.is_none());

    let limiter = FairLimiter::new();
    let queries = ReadPorts::of(&ledger, &limiter).queries;
    let (query, closed) = (Arc::new(distinct_ids()), Closed::new(&disk));
    for number in 1..=QUERIES_OF_TENANT_MAX {
        let (queries, query, one) = (queries.clone(), Arc::clone(&query), one.clone());
        let abandoned = tokio::spawn(async move { queries.query(&one, &query).await });
        eventually("the query reads", || (disk.door.waiting() == number).then_some(())).await;
        abandoned.abort();
        assert!(abandoned.await.unwrap_err().is_cancelled());
    }
    for _ in 0..60 {
        assert!(waits(&mut queries.query(&one, &query)).await);
    }
    let mut further = queries.query(&one, &query);
    assert!(waits(&mut further).await, "all that the tenant may run runs still");
    let answer = within("the other tenant's turn", queries.query(&other, &query)).await.unwrap();
    assert_eq!(answer.rows, [[Value::Number(1_i64.into())]]);
    assert_eq!(limiter.load(WorkClass::Query).running, QUERIES_OF_TENANT_MAX, "abandoned work counts until it ends");
    drop(closed);
    assert_eq!(within("the tenant's own turn", further).await.unwrap().rows, [[Value::Number(2_i64.into())]]);
    eventually("each permit is given back", || (limiter.load(WorkClass::Query).running == 0).then_some(())).await;
}

/// A port whose reads go on when they are given up, each on a thread that ends when the test says.
#[derive(Debug, Default)]
struct LingeringReads {
    ends: Mutex<Vec<mpsc::Sender<()>>>,
}

#[async_trait]
impl Analytics for LingeringReads {
    async fn top_types(
        &self,
        _: &TenantScope,
        _: TimeRange,
        _: Option<&str>,
        _: usize,
    ) -> Result<Vec<(String, u64)>, PortError> {
        let (held, (end, ended), (answer, answered)) = (held::current(), mpsc::channel(), oneshot::channel());
        self.ends.lock().push(end);
        std::thread::spawn(move || {
            let _held = held;
            let _ = ended.recv();
            let _ = answer.send(Vec::new());
        });
        Ok(answered.await.unwrap())
    }

    async fn summary(&self, _: &TenantScope, _: &str, _: TimeRange, _: usize) -> Result<Option<Summary>, PortError> {
        Ok(None)
    }

    async fn series(&self, _: &TenantScope, _: &SeriesQuery) -> Result<Vec<SeriesPoint>, PortError> {
        Ok(Vec::new())
    }
}

#[tokio::test]
async fn i6_an_abandoned_read_keeps_its_tenants_permit_until_it_has_ended() {
    let (port, limiter) = (Arc::new(LingeringReads::default()), FairLimiter::new());
    let reads: Gated<dyn Analytics> = Gated::new(port.clone(), limiter.clone());
    let (one, other) = (scope("one"), scope("other"));
    // Parts of hours are read from files.
    let parts = TimeRange::new(START.plus_micros(1), START.plus_micros(2)).unwrap();
    for _ in 0..READS_OF_TENANT_MAX {
        assert!(waits(&mut reads.top_types(&one, parts, None, 1)).await);
    }
    let load = || (limiter.load(WorkClass::Read).running, port.ends.lock().len());
    assert_eq!(load(), (READS_OF_TENANT_MAX, READS_OF_TENANT_MAX), "the callers have left, the reads have not ended");
    let mut further = reads.top_types(&one, parts, None, 1);
    assert!(waits(&mut further).await);
    assert_eq!(load().1, READS_OF_TENANT_MAX, "a further read of the tenant does not begin");
    let mut others = reads.top_types(&other, parts, None, 1);
    assert!(waits(&mut others).await);
    assert_eq!(load().1, READS_OF_TENANT_MAX + 1, "another tenant's begins");
    drop(port.ends.lock().remove(0));
    let ended = || (limiter.load(WorkClass::Read).waiting == 0).then_some(());
    eventually("the further read has its turn when one has ended", ended).await;
    assert!(waits(&mut further).await);
    assert_eq!(load(), (READS_OF_TENANT_MAX + 1, READS_OF_TENANT_MAX + 1), "one ended, one more has begun");
    port.ends.lock().clear();
    within("the further read", further).await.unwrap();
    within("the other tenant's", others).await.unwrap();
    eventually("each permit is given back", || (load().0 == 0).then_some(())).await;
}
