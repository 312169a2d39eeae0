//! The ledger itself: opening and applying. Applying reads top to bottom: decode → dedup → fold → publish
//! the applied position.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use async_trait::async_trait;
use domain::admit::Dimension;
use domain::event::{EventId, IdScheme};
use domain::limits::SERVER_READS_MAX;
use domain::position::{EventPosition, Position, Seq};
use domain::record::{RecordError, RecordView};
use domain::tenant::{TenantId, TenantScope};
use domain::time::{MICROS_PER_SECOND, TimeRange, Timestamp};
use domain::window::WindowRule;
use hashbrown::{HashMap, HashSet};
use parking_lot::{Mutex, RwLock};
use ports::clock::Clock;
use ports::erasures::{KnownErasures, RefusedSubjects};
use ports::journal::Delivery;
use ports::ledger::{
    Applied, AppliedRecords, Ledger, LedgerStats, Outcome, Received, RetentionNotice, Sighting, TenantNotice,
};
use ports::manifest::{Commit, DeadLetter, FileKind, Identity, Manifest};
use ports::{ErrorKind, PortError};
use tokio::sync::{Notify, Semaphore};
use vfs::Vfs;

use crate::core::Core;
use crate::dedup::{FirstSeen, IdHasher};
use crate::memtable::{FreshEvent, FreshRecord, Memtable, RequestEntry};
use crate::options::LedgerOptions;
use crate::query_runtime::QueryRuntime;
use crate::retention_run::{RetentionRun, TenantRun};
use crate::segment::{Segment, SegmentDir, corrupt, io_error};
use crate::sightings::{SightingReads, Sightings};
use crate::state::{Floors, Snapshot, State};
use crate::users::Users;

/// The embedded ledger. Dropping it stops its threads; what is not flushed is in the journal.
#[derive(Debug)]
pub struct EmbeddedLedger {
    pub(crate) core: Arc<Core>,
    threads: Vec<JoinHandle<()>>,
}

impl EmbeddedLedger {
    /// Opens the ledger in `dir`, which only this process may use: reads the manifest, checks every
    /// segment file against it, deletes files it does not know, and starts the background threads.
    ///
    /// # Errors
    /// `Corrupt` when a file is missing or is not what was written, `Conflict` when the folder was
    /// made with other windows, `Unavailable` when it cannot be read.
    pub async fn open(
        vfs: Arc<dyn Vfs>,
        dir: PathBuf,
        manifest: Arc<dyn Manifest>,
        clock: Arc<dyn Clock>,
        options: LedgerOptions,
    ) -> Result<Arc<Self>, PortError> {
        let found = manifest.load(&Identity { key: options.seed_key, rule: options.rule }).await?;
        check_rule(options.rule, found.identity.rule)?;
        vfs.create_dir_all(&dir).map_err(|why| io_error("create the segments folder".into(), why))?;
        let dir = SegmentDir { vfs, path: dir };
        let open = |meta| dir.open(meta, true).map(Arc::new);
        let segments = found.segments.into_iter().map(open).collect::<Result<Vec<Arc<Segment>>, _>>()?;
        // Only now that everything known is there and whole.
        dir.remove_unknown(&segments)?;
        let hasher = IdHasher::new(&found.identity.key);
        let own = found.tenant_retention.iter().map(|one| (one.tenant.clone(), one.floor)).collect();
        let tenants = TenantRun::new(options.tenant_retention_days.clone(), &found.tenant_retention);
        let state = State {
            segments: Arc::new(segments),
            frozen: None,
            active: Memtable::default(),
            active_since: None,
            users: Users::load(&found.users, &hasher),
            applied: found.cursor,
            cursor: found.cursor,
            closed_through: found.closed_through,
            floors: Arc::new(Floors { server: found.retention_floor, own }),
            zones: Arc::new(found.zones.into_iter().collect()),
            metered: Arc::new(by_tenant(found.metered)),
            recounts: 0,
            erasures: Arc::new(KnownErasures::new(&found.erasures)),
        };
        let core = Arc::new(Core {
            dir,
            manifest,
            clock,
            hasher,
            identity: found.identity,
            received_after: found.received_after,
            state: RwLock::new(state),
            names: Mutex::new(found.names.into_iter().collect()),
            writer: tokio::sync::Mutex::new(()),
            flushing: tokio::sync::Mutex::new(()),
            merging: tokio::sync::Mutex::new(()),
            retention: Mutex::new(RetentionRun::new(found.retention_wait, options.retention_now, tenants)),
            broken: Mutex::new(None),
            own_reads: Arc::new(Semaphore::new(SERVER_READS_MAX)),
            recounting: tokio::sync::Mutex::new(()),
            query_runtime: QueryRuntime::default(),
            sighting_reads: SightingReads::default(),
            wake_flush: Notify::new(),
            wake_merge: Notify::new(),
            merge_gives_way: AtomicBool::new(false),
            merge_gave_way: AtomicBool::new(false),
            room: Notify::new(),
            disk_full: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            dead_letters: AtomicU64::new(found.dead_letters),
            options,
        });
        let threads = if core.options.background { Core::start_threads(&core)? } else { Vec::new() };
        Ok(Arc::new(Self { core, threads }))
    }

    /// What was fixed when the folder was first opened.
    pub fn identity(&self) -> Identity {
        self.core.identity
    }

    /// Flushes what is due, erases what is asked for, merges segments, drops what is too old:
    /// what the background threads do all the time.
    ///
    /// # Errors
    /// The first failure; what failed stays as it was and can be tried again.
    pub async fn maintain(&self) -> Result<(), PortError> {
        self.core.flush_due().await?;
        self.core.upkeep_due().await
    }
}

impl Drop for EmbeddedLedger {
    fn drop(&mut self) {
        self.core.stopping.store(true, Ordering::Release);
        self.core.wake_flush.notify_one();
        self.core.wake_merge.notify_one();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a ledger thread panicked");
            }
        }
    }
}

/// The customers that are counted by receive time.
fn by_tenant(metered: Vec<(TenantId, String)>) -> HashMap<TenantId, HashSet<String>> {
    metered.into_iter().fold(HashMap::new(), |mut all, (tenant, customer)| {
        all.entry(tenant).or_default().insert(customer);
        all
    })
}

/// What a caller is told of sightings.
fn told(found: Vec<Option<FirstSeen>>) -> Vec<Option<Sighting>> {
    let sighting = |seen: FirstSeen| Sighting { seq: seen.position.seq(), payload: seen.payload };
    found.into_iter().map(|seen| seen.map(sighting)).collect()
}

/// A folder keeps the windows that it was made with.
fn check_rule(asked: WindowRule, made_with: WindowRule) -> Result<(), PortError> {
    if asked == made_with {
        return Ok(());
    }
    let told = |rule: WindowRule| (rule.length_us() / MICROS_PER_SECOND, rule.grace_us() / MICROS_PER_SECOND);
    let ((length, grace), (old_length, old_grace)) = (told(asked), told(made_with));
    let message = format!(
        "open the data folder with windows of {length} s and a grace of {grace} s (window_length_sec, \
         window_grace_sec): it was made with {old_length} s and {old_grace} s"
    );
    Err(PortError::new(ErrorKind::Conflict, message))
}

impl Core {
    /// Applies one record, whole or not at all.
    fn apply_record(&self, delivery: &Delivery) -> Result<Applied, PortError> {
        let (seq, applied) = (Seq::of_record(delivery.id), self.state.read().applied);
        if seq <= applied {
            return Ok(Applied { seq, outcomes: Vec::new() });
        }
        if seq != applied.next() {
            let message = format!("apply record {seq}: the next one is {}", applied.next());
            return Err(PortError::new(ErrorKind::Conflict, message));
        }
        fail::fail_point!("ledger::before_decode", |_| {
            Err(PortError::new(ErrorKind::Unacceptable, "decode a record, as injected"))
        });
        let unacceptable =
            |why: RecordError| PortError::new(ErrorKind::Unacceptable, format!("decode record {seq}")).because(why);
        let view = RecordView::parse(&delivery.payload).map_err(unacceptable)?;
        let events = self.decode(&view).map_err(unacceptable)?;
        let earlier = self.flushed_sightings(&events)?;
        let request = self.new_request(&view)?;
        let (tenant, times) = (view.tenant(), view.times());
        // It changes only while nothing is applied.
        let metered = Arc::clone(&self.state.read().metered);
        let metered = metered.get(tenant);
        let record = FreshRecord { seq, tenant, times, payload: &delivery.payload, request, metered };
        let outcomes = self.fold(&record, &events, &earlier);
        Ok(Applied { seq, outcomes })
    }

    fn decode<'r>(&self, view: &RecordView<'r>) -> Result<Vec<FreshEvent<'r>>, RecordError> {
        let hasher = self.hasher.of_tenant(view.tenant());
        let mut events = Vec::with_capacity(view.count() as usize);
        for (index, body) in (0..=u16::MAX).zip(view.bodies()) {
            let body = body?;
            let (event, identity) = body.event_with_identity()?;
            let hash = hasher.hash_id(EventId { scheme: event.id_scheme, text: event.id });
            let former = identity.former.map(|former| hasher.hash(former.id));
            let user = event.user.map(|user| hasher.hash(user));
            let (offset, len) = (body.offset, body.bytes.len());
            events.push(FreshEvent { index, offset, len, hash, former, identity, user, event });
        }
        Ok(events)
    }

    /// Earlier sightings in all that no longer changes, looked up without holding the lock.
    fn flushed_sightings(&self, events: &[FreshEvent<'_>]) -> Result<Vec<Option<FirstSeen>>, PortError> {
        let snapshot = self.state.read().snapshot();
        let hashes: Vec<_> = events.iter().map(|event| event.hash).collect();
        let with_former = |(event, seen): (&FreshEvent<'_>, Option<FirstSeen>)| match event.former {
            Some(former) if seen.is_none() => Ok(snapshot.find_id(former)?.filter(|seen| event.was(seen))),
            _ => Ok(seen),
        };
        let found = snapshot.find_ids(&hashes);
        let found = found.and_then(|found| events.iter().zip(found).map(with_former).collect());
        found.map_err(|why| corrupt("an id run", why))
    }

    /// The key of a record, unless an earlier record that no longer changes has left it.
    fn new_request(&self, view: &RecordView<'_>) -> Result<Option<RequestEntry>, PortError> {
        let Some(key) = view.request() else { return Ok(None) };
        let id = EventId { scheme: IdScheme::Request, text: key.text };
        let hash = self.hasher.of_tenant(view.tenant()).hash_id(id);
        let earlier = self.state.read().snapshot().find_id(hash).map_err(|why| corrupt("an id run", why))?;
        Ok(earlier.is_none().then_some(RequestEntry { hash, body: key.body }))
    }

    /// The only place where an event becomes counted.
    fn fold(&self, record: &FreshRecord<'_>, events: &[FreshEvent<'_>], earlier: &[Option<FirstSeen>]) -> Vec<Outcome> {
        let mut guard = self.state.write();
        let state = &mut *guard;
        let mut in_record = HashMap::with_capacity(events.len());
        let mut outcomes = Vec::with_capacity(events.len());
        let erasures = Arc::clone(&state.erasures);
        let refused = erasures.refused_of(record.tenant);
        for (event, flushed) in events.iter().zip(earlier) {
            let former = || event.former.and_then(|hash| state.active.find_id(hash)).filter(|seen| event.was(seen));
            let known = flushed.or_else(|| state.active.find_id(event.hash)).or_else(former).map(|seen| seen.payload);
            let known = known.or_else(|| in_record.get(&event.hash).copied());
            outcomes.push(match known {
                Some(payload) => Outcome::of_known(payload, event.identity.payload),
                None if refused.is_some_and(|refused| self.is_refused(refused, record.tenant, event)) => {
                    Outcome::Refused
                }
                None => {
                    in_record.insert(event.hash, event.identity.payload);
                    Outcome::Fresh
                }
            });
        }
        let zone = state.zones.get(record.tenant).map(|applied| &applied.zone);
        let fresh = events.iter().zip(&outcomes).filter(|(_, outcome)| **outcome == Outcome::Fresh);
        state.active.fold(record, fresh.map(|(event, _)| event), self.identity.rule, &mut state.users, zone);
        self.cover(state, record.seq);
        outcomes
    }

    /// Whether an erasure refuses an event that nobody has seen.
    fn is_refused(&self, refused: &RefusedSubjects, tenant: &TenantId, event: &FreshEvent<'_>) -> bool {
        let customer = event.event.customer.map(|customer| self.hasher.of_tenant(tenant).hash(customer));
        refused.refuse(customer, event.user)
    }

    /// What memory says of ids, and the files that may know more.
    fn look_in_memory(&self, scope: &TenantScope, ids: &[EventId<'_>]) -> (Sightings, Snapshot) {
        let hasher = self.hasher.of_tenant(scope.tenant());
        let hashes: Vec<_> = ids.iter().map(|id| hasher.hash_id(*id)).collect();
        let (snapshot, active) =
            self.view(|active| hashes.iter().map(|hash| active.find_id(*hash)).collect::<Vec<_>>());
        (Sightings::in_memory(&hashes, active, &snapshot), snapshot)
    }

    fn cover(&self, state: &mut State, seq: Seq) {
        state.active.cover(seq);
        state.applied = seq;
        if state.active_since.is_none() {
            state.active_since = Some(self.clock.monotonic());
        }
    }
}

#[async_trait]
impl Ledger for EmbeddedLedger {
    fn cursor(&self) -> Seq {
        self.core.state.read().cursor
    }

    fn applied(&self) -> Seq {
        self.core.state.read().applied
    }

    async fn apply(&self, deliveries: &[Delivery]) -> AppliedRecords {
        let _writer = self.core.writer.lock().await;
        let mut records = AppliedRecords::default();
        for delivery in deliveries {
            let applied = match self.core.make_room().await {
                Ok(()) => self.core.apply_record(delivery),
                Err(why) => Err(why),
            };
            match applied {
                Ok(applied) => records.applied.push(applied),
                Err(why) => {
                    records.failed = Some(why);
                    break;
                }
            }
        }
        records
    }

    async fn dead_letter(&self, delivery: &Delivery, reason: &str) -> Result<(), PortError> {
        let _writer = self.core.writer.lock().await;
        let seq = Seq::of_record(delivery.id);
        if seq <= self.applied() {
            return Ok(());
        }
        let tenant = RecordView::parse(&delivery.payload).ok().map(|record| record.tenant().clone());
        let dead_lettered_at = self.core.clock.now();
        let payload = delivery.payload.to_vec();
        self.core
            .manifest
            .store_dead_letter(&DeadLetter { seq, tenant, reason: reason.to_owned(), dead_lettered_at, payload })
            .await?;
        self.core.dead_letters.fetch_add(1, Ordering::Relaxed);
        self.core.cover(&mut self.core.state.write(), seq);
        Ok(())
    }

    async fn seen(&self, scope: &TenantScope, ids: &[EventId<'_>]) -> Vec<Option<Sighting>> {
        let (sightings, snapshot) = self.core.look_in_memory(scope, ids);
        told(sightings.complete(snapshot, &self.core.sighting_reads).await)
    }

    async fn seen_exactly(&self, scope: &TenantScope, ids: &[EventId<'_>]) -> Result<Vec<Option<Sighting>>, PortError> {
        let (sightings, snapshot) = self.core.look_in_memory(scope, ids);
        sightings.complete_exactly(snapshot, &self.core.sighting_reads).await.map(told)
    }

    fn holds_former_ids(&self) -> bool {
        let state = self.core.state.read();
        let tables = [Some(&state.active), state.frozen.as_deref()];
        tables.into_iter().flatten().any(Memtable::holds_former_ids)
            || state.segments.iter().any(|segment| segment.ids().holds_former_ids())
    }

    fn applied_position(&self) -> EventPosition {
        Position::new(self.applied(), u16::MAX).into()
    }

    async fn close_through(&self, through: Timestamp) -> Result<(), PortError> {
        if through <= self.closed_through() {
            return Ok(());
        }
        self.core.manifest.commit(&Commit { closed_through: Some(through), ..Commit::default() }).await?;
        let mut state = self.core.state.write();
        state.closed_through = state.closed_through.max(through);
        Ok(())
    }

    async fn reopen_after(&self, closed: Timestamp) -> Result<(), PortError> {
        if closed >= self.closed_through() {
            return Ok(());
        }
        self.core.manifest.commit(&Commit { reopen_after: Some(closed), ..Commit::default() }).await?;
        let mut state = self.core.state.write();
        state.closed_through = state.closed_through.min(closed);
        Ok(())
    }

    fn closed_through(&self) -> Timestamp {
        self.core.state.read().closed_through
    }

    async fn flush(&self) -> Result<Seq, PortError> {
        let _writer = self.core.writer.lock().await;
        let cursor = self.core.flush_all().await?;
        self.core.store_waited().await?;
        Ok(cursor)
    }

    fn names(&self) -> Vec<(TenantId, Dimension, String)> {
        let mut names = self.core.names.lock().clone();
        let (snapshot, active) = self.core.view(|active| self.core.new_names(active));
        names.extend(active);
        names.extend(snapshot.frozen.iter().flat_map(|frozen| self.core.new_names(frozen)));
        names.into_iter().map(|name| (name.tenant, name.dimension, name.name)).collect()
    }

    fn retention_notice(&self) -> Option<RetentionNotice> {
        self.core.retention_notice()
    }

    fn set_retention(&self, scope: &TenantScope, days: Option<u32>) {
        self.core.set_tenant_days(scope.tenant(), days);
    }

    fn retention_of(&self, scope: &TenantScope) -> TenantNotice {
        self.core.tenant_notice(scope.tenant())
    }

    fn refuses(&self, scope: &TenantScope, customer: Option<&str>, user: Option<&str>) -> bool {
        self.core.refuses_subject(scope, customer, user)
    }

    fn erased_through(&self) -> Seq {
        self.core.state.read().erasures.erased_through()
    }

    async fn received(&self, scope: &TenantScope, range: TimeRange) -> Result<Received, PortError> {
        self.core.received(scope, range).await
    }

    async fn meter_customer(&self, scope: &TenantScope, customer: &str) -> Result<(), PortError> {
        self.core.meter_customer(scope, customer).await
    }

    fn failure(&self) -> Option<ErrorKind> {
        *self.core.broken.lock()
    }

    fn stats(&self) -> LedgerStats {
        let state = self.core.state.read();
        let frozen = state.frozen.as_ref().map_or(0, |frozen| frozen.len());
        let files = || state.segments.iter().flat_map(|segment| &segment.meta().files);
        LedgerStats {
            unflushed_events: (state.active.len() + frozen) as u64,
            segments: state.segments.len() as u64,
            flushed_events: files().filter(|file| file.kind == FileKind::Events).map(|file| file.rows).sum(),
            flushed_bytes: files().map(|file| file.bytes).sum(),
            dead_letters: self.core.dead_letters.load(Ordering::Relaxed),
        }
    }
}
