//! Twins with switches: a journal whose appends can be held, a ledger that can refuse, hold or
//! panic, and a live view that fails; both keep a log of what they were asked.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

use async_trait::async_trait;
use domain::access::audit::Cause;
use domain::admit::{Admitted, Dimension};
use domain::encryption::{Binding, EncryptedPaths, FieldCipher, FieldEncryption, NoDataKey};
use domain::event::EventId;
use domain::position::{EventPosition, RecordId, Seq};
use domain::property_path::PropertyPath;
use domain::reference::ReferenceTable;
use domain::tenant::{TenantId, TenantScope};
use domain::time::{TimeRange, Timestamp};
use live::MemoryLive;
use parking_lot::Mutex;
use ports::encryption::Encryption;
use ports::journal::{Backlog, Delivery, Journal, JournalHealth, OrderedJournal};
use ports::ledger::{AppliedRecords, Ledger, LedgerStats, Received, Sighting};
use ports::live::{Live, LiveEvent, LiveWindow};
use ports::testing::journal::MemoryJournal;
use ports::testing::ledger::MemoryLedger;
use ports::{ErrorKind, PortError};
use tokio::sync::Semaphore;

/// Milliseconds that a ledger waits for a worker that has perhaps not been started.
const POSITION_WAITS_MAX: usize = 200;
/// More appends than any test makes.
const UNHELD: usize = 1 << 30;

/// A journal that appends only as often as it is let.
#[derive(Debug)]
pub(crate) struct GatedJournal {
    inner: MemoryJournal,
    permits: Semaphore,
    waiting: AtomicUsize,
}

impl GatedJournal {
    pub(crate) fn open_to_all(inner: MemoryJournal) -> Self {
        Self { inner, permits: Semaphore::new(UNHELD), waiting: AtomicUsize::new(0) }
    }

    pub(crate) fn inner(&self) -> &MemoryJournal {
        &self.inner
    }

    /// Appends that are held.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Holds every further append.
    pub(crate) fn hold(&self) {
        self.permits.forget_permits(usize::MAX);
    }

    /// Lets one append that is held go on.
    pub(crate) fn release_one(&self) {
        self.permits.add_permits(1);
    }

    /// Ends [`GatedJournal::hold`].
    pub(crate) fn release(&self) {
        self.permits.add_permits(UNHELD);
    }
}

#[async_trait]
impl Journal for GatedJournal {
    async fn append(&self, admitted: &Admitted) -> Result<RecordId, PortError> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        self.permits.acquire().await.unwrap().forget();
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        self.inner.append(admitted).await
    }

    async fn next(&self) -> Result<Vec<Delivery>, PortError> {
        self.inner.next().await
    }

    async fn ack(&self, ids: &[RecordId]) {
        self.inner.ack(ids).await;
    }

    async fn backlog(&self) -> Backlog {
        self.inner.backlog().await
    }

    async fn settle(&self) -> Result<(), PortError> {
        self.inner.settle().await
    }

    async fn health(&self) -> JournalHealth {
        self.inner.health().await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}

#[async_trait]
impl OrderedJournal for GatedJournal {
    fn last_durable(&self) -> Seq {
        self.inner.last_durable()
    }

    fn acked_through(&self) -> Seq {
        self.inner.acked_through()
    }

    async fn part_after(&self, through: Seq) -> Result<(), PortError> {
        self.inner.part_after(through).await
    }

    fn first_kept(&self) -> Seq {
        self.inner.first_kept()
    }

    async fn trim(&self, flushed: Seq) -> Result<(), PortError> {
        self.inner.trim(flushed).await
    }
}

/// How look-ups fare that must not miss anything.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) enum ExactLookups {
    #[default]
    Work,
    Fail,
    Hang,
}

/// What a [`FaultyLedger`] does wrong.
#[derive(Debug, Clone, Default)]
pub(crate) struct LedgerFaults {
    /// Every apply fails like this.
    pub(crate) refuse: Option<ErrorKind>,
    /// These records can never be applied.
    pub(crate) poison: BTreeSet<Seq>,
    /// Storing a dead letter fails.
    pub(crate) refuse_dead_letters: Option<ErrorKind>,
    /// Where the ledger stands is told only after something was applied, or after a while.
    pub(crate) position_waits_for_apply: bool,
    /// Looking this id up takes until [`FaultyLedger::release_lookup`].
    pub(crate) hold_lookup_of: Option<&'static str>,
    /// A look-up in haste finds nothing.
    pub(crate) misses_in_haste: bool,
    /// How look-ups fare that must not miss anything.
    pub(crate) exact_lookups: ExactLookups,
    /// The next apply panics.
    pub(crate) panic: bool,
    /// It says of itself that only a restart can help.
    pub(crate) broken: Option<ErrorKind>,
    /// At most this many records are applied per call.
    pub(crate) at_once_max: Option<usize>,
}

/// A ledger with faults; without any it is the ledger it was made from.
#[derive(Debug)]
pub(crate) struct FaultyLedger {
    inner: Arc<MemoryLedger>,
    faults: Mutex<LedgerFaults>,
    /// Records that were handed in again after they had been refused for their own sake.
    attempts: Mutex<Vec<Seq>>,
    /// Each closing, with what was applied at that moment.
    closings: Mutex<Vec<(Timestamp, Seq)>>,
    /// Permits to look up ids that are held.
    lookups: Semaphore,
    /// Times that ids were looked up.
    looked_up: AtomicUsize,
    /// Times that ids were looked up and must not be missed.
    looked_up_exactly: AtomicUsize,
    /// Dead letters that were not stored.
    refused_letters: AtomicUsize,
}

impl FaultyLedger {
    pub(crate) fn over(inner: Arc<MemoryLedger>) -> Self {
        Self {
            inner,
            faults: Mutex::default(),
            attempts: Mutex::default(),
            closings: Mutex::default(),
            lookups: Semaphore::new(0),
            looked_up: AtomicUsize::new(0),
            looked_up_exactly: AtomicUsize::new(0),
            refused_letters: AtomicUsize::new(0),
        }
    }

    pub(crate) fn set(&self, faults: LedgerFaults) {
        *self.faults.lock() = faults;
    }

    /// Lets one lookup that is held go on.
    pub(crate) fn release_lookup(&self) {
        self.lookups.add_permits(1);
    }

    /// Times that ids were looked up, those of one request together.
    pub(crate) fn looked_up(&self) -> usize {
        self.looked_up.load(Ordering::Relaxed)
    }

    /// Times that ids were looked up and must not be missed.
    pub(crate) fn looked_up_exactly(&self) -> usize {
        self.looked_up_exactly.load(Ordering::Relaxed)
    }

    /// Dead letters that were not stored.
    pub(crate) fn refused_letters(&self) -> usize {
        self.refused_letters.load(Ordering::Relaxed)
    }

    /// Attempts at poison records.
    pub(crate) fn attempts(&self) -> Vec<Seq> {
        self.attempts.lock().clone()
    }

    pub(crate) fn closings(&self) -> Vec<(Timestamp, Seq)> {
        self.closings.lock().clone()
    }
}

#[async_trait]
impl Ledger for FaultyLedger {
    fn cursor(&self) -> Seq {
        self.inner.cursor()
    }

    fn applied(&self) -> Seq {
        self.inner.applied()
    }

    async fn apply(&self, entries: &[Delivery]) -> AppliedRecords {
        let faults = self.faults.lock().clone();
        assert!(!faults.panic, "asked to panic");
        if let Some(kind) = faults.refuse {
            return AppliedRecords {
                applied: Vec::new(),
                dead: Vec::new(),
                failed: Some(PortError::new(kind, "apply, as asked")),
            };
        }
        let entries = &entries[..entries.len().min(faults.at_once_max.unwrap_or(usize::MAX))];
        let healthy = entries.iter().take_while(|entry| !faults.poison.contains(&Seq::of_record(entry.id))).count();
        let mut batch = self.inner.apply(&entries[..healthy]).await;
        if let Some(poison) = entries.get(healthy) {
            self.attempts.lock().push(Seq::of_record(poison.id));
            batch.failed = Some(PortError::new(ErrorKind::Unacceptable, "read the record").because("it is poison"));
        }
        batch
    }

    async fn dead_letter(&self, entry: &Delivery, reason: &str) -> Result<(), PortError> {
        if let Some(kind) = self.faults.lock().refuse_dead_letters {
            self.refused_letters.fetch_add(1, Ordering::Relaxed);
            return Err(PortError::new(kind, "store a dead letter, as asked"));
        }
        self.inner.dead_letter(entry, reason).await
    }

    async fn seen(&self, scope: &TenantScope, ids: &[EventId<'_>]) -> Vec<Option<Sighting>> {
        self.looked_up.fetch_add(1, Ordering::Relaxed);
        if self.faults.lock().hold_lookup_of.is_some_and(|held| ids.contains(&EventId::native(held))) {
            self.lookups.acquire().await.unwrap().forget();
        }
        if self.faults.lock().misses_in_haste {
            return vec![None; ids.len()];
        }
        self.inner.seen(scope, ids).await
    }

    async fn seen_exactly(&self, scope: &TenantScope, ids: &[EventId<'_>]) -> Result<Vec<Option<Sighting>>, PortError> {
        self.looked_up_exactly.fetch_add(1, Ordering::Relaxed);
        let faring = self.faults.lock().exact_lookups;
        match faring {
            ExactLookups::Work => {}
            ExactLookups::Fail => return Err(PortError::new(ErrorKind::Overloaded, "look ids up, as asked")),
            ExactLookups::Hang => std::future::pending().await,
        }
        self.inner.seen_exactly(scope, ids).await
    }

    fn holds_former_ids(&self) -> bool {
        self.inner.holds_former_ids()
    }

    fn applied_position(&self) -> EventPosition {
        let before = self.inner.applied();
        let waits = self.faults.lock().position_waits_for_apply;
        for _ in 0..if waits { POSITION_WAITS_MAX } else { 0 } {
            if self.inner.applied() > before {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        self.inner.applied_position()
    }

    async fn close_through(&self, through: Timestamp) -> Result<(), PortError> {
        self.closings.lock().push((through, self.inner.applied()));
        self.inner.close_through(through).await
    }

    async fn reopen_after(&self, closed: Timestamp) -> Result<(), PortError> {
        self.inner.reopen_after(closed).await
    }

    fn closed_through(&self) -> Timestamp {
        self.inner.closed_through()
    }

    async fn flush(&self) -> Result<Seq, PortError> {
        self.inner.flush().await
    }

    fn refuses(&self, scope: &TenantScope, customer: Option<&str>, user: Option<&str>) -> bool {
        self.inner.refuses(scope, customer, user)
    }

    fn erased_through(&self) -> Seq {
        self.inner.erased_through()
    }

    async fn received(&self, scope: &TenantScope, range: TimeRange) -> Result<Received, PortError> {
        self.inner.received(scope, range).await
    }

    async fn meter_customer(&self, scope: &TenantScope, customer: &str) -> Result<(), PortError> {
        self.inner.meter_customer(scope, customer).await
    }

    fn names(&self) -> Vec<(TenantId, Dimension, String)> {
        self.inner.names()
    }

    fn failure(&self) -> Option<ErrorKind> {
        self.faults.lock().broken
    }

    fn stats(&self) -> LedgerStats {
        self.inner.stats()
    }
}

/// A live view that can fail after it has counted, as one behind a network can.
#[derive(Debug)]
pub(crate) struct FaultyLive {
    inner: MemoryLive,
    fails: AtomicBool,
    /// The users of all events that it was ever handed.
    handed: Mutex<Vec<String>>,
}

impl FaultyLive {
    pub(crate) fn new(retention_sec: u32) -> Self {
        Self { inner: MemoryLive::new(retention_sec), fails: AtomicBool::new(false), handed: Mutex::default() }
    }

    /// Makes every counting fail from now on, or succeed again.
    pub(crate) fn set_failing(&self, fails: bool) {
        self.fails.store(fails, Ordering::Relaxed);
    }

    pub(crate) fn handed(&self) -> Vec<String> {
        self.handed.lock().clone()
    }
}

#[async_trait]
impl Live for FaultyLive {
    fn retention_sec(&self) -> u32 {
        self.inner.retention_sec()
    }

    async fn record(&self, tenant: &TenantId, now: Timestamp, events: &[LiveEvent<'_>]) -> Result<(), PortError> {
        self.handed.lock().extend(events.iter().filter_map(|event| event.user.map(str::to_owned)));
        self.inner.record(tenant, now, events).await?;
        let failed = self.fails.load(Ordering::Relaxed);
        if failed { Err(PortError::new(ErrorKind::Unavailable, "count, as asked")) } else { Ok(()) }
    }

    async fn window(&self, scope: &TenantScope, now: Timestamp, seconds: u32) -> Result<LiveWindow, PortError> {
        self.inner.window(scope, now, seconds).await
    }

    async fn set_reference(&self, tenant: &TenantId, table: Arc<ReferenceTable>) -> Result<(), PortError> {
        self.inner.set_reference(tenant, table).await
    }

    fn bytes(&self) -> u64 {
        self.inner.bytes()
    }
}

/// What tenants encrypt: answers are taken one after the other, and the last one stays.
#[derive(Debug, Default)]
pub(crate) struct ScriptedEncryption(Mutex<VecDeque<Option<Arc<FieldEncryption>>>>);

impl ScriptedEncryption {
    pub(crate) fn answer(&self, with: impl IntoIterator<Item = Option<Arc<FieldEncryption>>>) {
        *self.0.lock() = with.into_iter().collect();
    }
}

#[async_trait]
impl Encryption for ScriptedEncryption {
    fn of(&self, _: &TenantScope) -> Option<Arc<FieldEncryption>> {
        let mut answers = self.0.lock();
        if answers.len() > 1 { answers.pop_front().flatten() } else { answers.front().cloned().flatten() }
    }

    async fn destroy_data_key(&self, _: &TenantScope, _: &Cause) -> Result<(), PortError> {
        Ok(())
    }
}

/// Hides nothing: writes 40 zeros before each value in hexadecimal. Waits for a word before each value while it is held.
#[derive(Debug, Default)]
pub(crate) struct LongCipher {
    held: Option<Mutex<mpsc::Receiver<()>>>,
    /// Values that it does not wait for.
    free: AtomicUsize,
}

impl LongCipher {
    /// Encrypts what stands at `path`, and after so many values nothing before `go` is dropped.
    pub(crate) fn held_at(path: &str, after: usize) -> (Arc<FieldEncryption>, mpsc::Sender<()>) {
        let (go, held) = mpsc::channel();
        (Self { held: Some(Mutex::new(held)), free: AtomicUsize::new(after) }.over(path), go)
    }

    /// Encrypts what stands at `path`.
    pub(crate) fn at(path: &str) -> Arc<FieldEncryption> {
        Self::default().over(path)
    }

    fn over(self, path: &str) -> Arc<FieldEncryption> {
        let paths = EncryptedPaths::default().replaced(&[(PropertyPath::parse(path).unwrap(), false)]).unwrap();
        Arc::new(FieldEncryption::new(paths, Arc::new(self)))
    }
}

impl FieldCipher for LongCipher {
    fn encrypt(&self, _: Binding<'_>, plain: &str, out: &mut String) -> Result<(), NoDataKey> {
        let is_free = self.free.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |free| free.checked_sub(1)).is_ok();
        if let Some(held) = self.held.as_ref().filter(|_| !is_free) {
            // Fails at once when its sender is dropped.
            let _ = held.lock().recv();
        }
        out.push_str(&"0".repeat(40));
        out.extend(plain.bytes().map(|byte| format!("{byte:02x}")));
        Ok(())
    }

    fn decrypt(&self, _: Binding<'_>, _: &str) -> Option<String> {
        None
    }

    fn keyed(&self, hash: u64) -> u64 {
        !hash
    }
}
