//! Memtable → segment. Writes the three files, each durable under its name, then makes everything
//! count in one manifest commit: segment, rollups, names, users, their days and cursor. A crash before
//! the commit leaves unknown files and a journal that is replayed; after it, nothing is left to do.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use domain::admit::Dimension;
use domain::aggregate::Totals;
use domain::position::Seq;
use domain::quota::Amounts;
use domain::rollup::{Rollup, RollupKey};
use domain::tenant::TenantId;
use hashbrown::HashSet;
use ports::manifest::{Activity, Commit, FileKind, FileMeta, Name, NewUsers, ReceivedSum, SegmentMeta};
use ports::{ErrorKind, PortError};
use tokio::runtime::{Handle, RuntimeFlavor};

use crate::activity::DayUsers;
use crate::core::Core;
use crate::dedup::{IdRecord, IdRunWriter};
use crate::memtable::{GroupView, Memtable, WindowView, WindowsSum};
use crate::segment::events::{self, EventBuilder};
use crate::segment::grain::Grain;
use crate::segment::row_writer::RowWriter;
use crate::segment::sums::{self, SumBuilder, SumKey};
use crate::segment::{SegmentDir, SegmentFile, io_error, segment_id};

/// Rows built in memory before they are encoded.
const BATCH_ROWS: usize = 8_192;
/// Niceness of the thread that merges.
const MERGE_NICENESS: i32 = 10;
/// Longest pause after a failure.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// How long applying waits for a flush that makes room before it fails.
const ROOM_TIMEOUT: Duration = Duration::from_secs(5);
/// How often the background threads look around without being woken.
const TICK: Duration = Duration::from_millis(500);

impl Core {
    /// Starts the threads that flush and that merge.
    pub(crate) fn start_threads(core: &Arc<Self>) -> Result<Vec<JoinHandle<()>>, PortError> {
        let spawn = |name: &str, merges: bool| {
            let core = Arc::clone(core);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
            let runtime = runtime.map_err(|why| io_error("start a runtime".into(), why))?;
            let work = move || {
                if merges {
                    yield_to_others();
                }
                let run = AssertUnwindSafe(|| runtime.block_on(core.run(merges)));
                if std::panic::catch_unwind(run).is_err() {
                    core.give_up(ErrorKind::Corrupt);
                }
            };
            std::thread::Builder::new()
                .name(name.into())
                .spawn(work)
                .map_err(|why| io_error(format!("start {name}"), why))
        };
        Ok(vec![spawn("ledger-flush", false)?, spawn("ledger-merge", true)?])
    }

    async fn run(&self, merges: bool) {
        let mut pause = TICK;
        while !self.stopping.load(Ordering::Acquire) && self.broken.lock().is_none() {
            let done = match merges {
                false => self.noting_space(self.flush_due().await),
                true => self.upkeep_due().await,
            };
            pause = match done {
                Ok(()) => TICK,
                Err(why) => {
                    self.note_failure(&why);
                    (pause * 2).min(PAUSE_MAX)
                }
            };
            let woken = if merges { &self.wake_merge } else { &self.wake_flush };
            tokio::select! {
                () = woken.notified() => {}
                () = self.clock.sleep(pause) => {}
            }
        }
    }

    /// What is neither flushed nor applied: erasures first, since they wait for no merge. One that fails, as for want of
    /// space, stops neither merges nor the retention that may free it; the first failure is told.
    pub(crate) async fn upkeep_due(&self) -> Result<(), PortError> {
        let erased = self.erase_due().await;
        if erased.as_ref().is_err_and(ends_the_ledger) {
            return erased;
        }
        let merged = self.merge_due().await;
        if merged.as_ref().is_err_and(ends_the_ledger) {
            return merged;
        }
        erased.and(merged).and(self.retain_due().await)
    }

    /// Notes whether a flush found room on the disk.
    fn noting_space(&self, flushed: Result<(), PortError>) -> Result<(), PortError> {
        let full = flushed.as_ref().is_err_and(|why| why.kind() == ErrorKind::Full);
        self.disk_full.store(full, Ordering::Release);
        if full {
            self.room.notify_waiters();
        }
        flushed
    }

    /// Whether the next record is taken though there is no room for it and none can be made: the journal holds it,
    /// and until it is applied nothing is answered.
    fn replays_without_room(&self, applied: Seq) -> bool {
        self.disk_full.load(Ordering::Acquire) && applied < self.options.replay_through
    }

    fn note_failure(&self, why: &PortError) {
        let cause = std::error::Error::source(why).map(ToString::to_string).unwrap_or_default();
        tracing::error!(error = %why, cause, "ledger maintenance failed, trying again");
        if ends_the_ledger(why) {
            self.give_up(why.kind());
        }
    }

    /// Nothing more is written until a restart.
    pub(crate) fn give_up(&self, kind: ErrorKind) {
        *self.broken.lock() = Some(kind);
        self.room.notify_waiters();
    }

    /// Waits until the active memtable takes another record; the caller holds `writer`.
    pub(crate) async fn make_room(&self) -> Result<(), PortError> {
        loop {
            let room = self.room.notified();
            if let Some(kind) = *self.broken.lock() {
                return Err(PortError::new(kind, "flush: the ledger needs a restart"));
            }
            let (full, frozen, applied) = {
                let state = self.state.read();
                let full =
                    state.active.len() >= self.options.flush_rows || state.active.bytes() >= self.options.flush_bytes;
                (full, state.frozen.is_some(), state.applied)
            };
            match (full, frozen) {
                (false, _) => return Ok(()),
                (true, false) => self.freeze(),
                (true, true) if self.replays_without_room(applied) => return Ok(()),
                (true, true) if self.options.background => {
                    self.wake_flush.notify_one();
                    tokio::select! {
                        () = room => {}
                        () = self.clock.sleep(ROOM_TIMEOUT) => {
                            return Err(PortError::new(ErrorKind::Unavailable, "apply: the flush before takes long"));
                        }
                    }
                }
                (true, true) => {}
            }
            if self.options.background {
                self.wake_flush.notify_one();
            } else {
                self.flush_frozen().await?;
            }
        }
    }

    /// Sets the active memtable aside for flushing; the caller holds `writer`, and none is set aside.
    pub(crate) fn freeze(&self) {
        let mut state = self.state.write();
        debug_assert!(state.frozen.is_none());
        let next = Memtable::after(&state.active);
        state.frozen = Some(Arc::new(std::mem::replace(&mut state.active, next)));
        state.active_since = None;
    }

    /// Flushes what is set aside, and what has been unflushed for too long.
    pub(crate) async fn flush_due(&self) -> Result<(), PortError> {
        self.flush_frozen().await?;
        let (now, age) = (self.clock.monotonic(), self.options.flush_age);
        let is_old = |core: &Self| core.state.read().active_since.is_some_and(|since| since.saturating_add(age) <= now);
        if !is_old(self) {
            return Ok(());
        }
        // Applying goes on while this is written.
        match self.writer.try_lock() {
            Ok(_writer) if is_old(self) && self.state.read().frozen.is_none() => self.freeze(),
            _ => return Ok(()),
        }
        self.flush_frozen().await
    }

    /// Flushes everything applied; the caller holds `writer`.
    pub(crate) async fn flush_all(&self) -> Result<Seq, PortError> {
        loop {
            self.flush_frozen().await?;
            if self.state.read().active.span().is_none() {
                return Ok(self.state.read().cursor);
            }
            self.freeze();
        }
    }

    /// Turns the memtable that is set aside into a segment.
    pub(crate) async fn flush_frozen(&self) -> Result<(), PortError> {
        let _flushing = self.flushing.lock().await;
        let Some(frozen) = self.state.read().frozen.clone() else { return Ok(()) };
        let Some((first, last)) = frozen.span() else { return Ok(()) };
        let segment = match frozen.times() {
            Some((time_min, time_max)) => {
                let id = segment_id(first, last, 0);
                let files = apart(|| write_files(&self.dir, &id, &frozen))?;
                Some(SegmentMeta { id, level: 0, first_seq: first, last_seq: last, time_min, time_max, files })
            }
            None => None,
        };
        let names = self.new_names(&frozen);
        let commit = Commit {
            cursor: Some((self.state.read().cursor, last)),
            add: segment.iter().cloned().collect(),
            rollups: rollups_of(&frozen),
            received: received_of(&frozen),
            names: names.clone(),
            users: users_of(&frozen),
            activity: activity_of(&frozen),
            ..Commit::default()
        };
        fail::fail_point!("flush::before_commit");
        self.manifest.commit(&commit).await?;
        fail::fail_point!("flush::after_commit");
        let opened = segment.map(|meta| self.dir.open(meta, false)).transpose()?;
        self.names.lock().extend(names);
        {
            let mut state = self.state.write();
            if let Some(opened) = opened {
                Arc::make_mut(&mut state.segments).push(Arc::new(opened));
            }
            state.frozen = None;
            state.cursor = last;
        }
        self.room.notify_waiters();
        self.wake_merge.notify_one();
        Ok(())
    }

    /// Names in a memtable that no segment has.
    pub(crate) fn new_names(&self, table: &Memtable) -> Vec<Name> {
        let known = self.names.lock();
        let distinct: HashSet<_> = names_of(table).collect();
        let name = |(tenant, dimension, name): (&str, Dimension, &str)| {
            Some(Name { tenant: tenant_of(tenant)?, dimension, name: name.to_owned() })
        };
        let mut names: Vec<_> = distinct.into_iter().filter_map(name).filter(|name| !known.contains(name)).collect();
        names.sort();
        names
    }
}

/// Runs long work where no other task waits for the thread, if others run on it: an erasure that is asked for flushes on
/// those of the server.
fn apart<T>(work: impl FnOnce() -> T) -> T {
    let has_others = Handle::try_current().is_ok_and(|on| on.runtime_flavor() == RuntimeFlavor::MultiThread);
    if has_others { tokio::task::block_in_place(work) } else { work() }
}

/// Whether only a restart can help.
fn ends_the_ledger(why: &PortError) -> bool {
    matches!(why.kind(), ErrorKind::Poisoned | ErrorKind::Corrupt | ErrorKind::Conflict)
}

/// Merging can wait; requests, applying and flushing cannot. On Linux this concerns the calling thread
/// alone.
fn yield_to_others() {
    if let Err(why) = rustix::process::setpriority_process(None, MERGE_NICENESS) {
        tracing::debug!(error = %why, "merging at normal priority");
    }
}

fn tenant_of(stored: &str) -> Option<TenantId> {
    TenantId::parse(stored).ok()
}

/// Types and projects stand in the rollups, endpoints and models in the windows; some come twice.
fn names_of(table: &Memtable) -> impl Iterator<Item = (&str, Dimension, &str)> {
    let of_rollups = table.rollups().flat_map(|(tenant, project, kind, _, _)| {
        [(tenant, Dimension::Project, project), (tenant, Dimension::Type, kind)]
    });
    of_rollups.chain(table.breakdown_names()).filter(|(_, _, name)| !name.is_empty())
}

fn rollups_of(table: &Memtable) -> Vec<Rollup> {
    let rollup = |(tenant, project, kind, hour, totals): (&str, &str, &str, _, &Totals)| {
        let (project, kind) = (project.to_owned(), kind.to_owned());
        tenant_of(tenant).map(|tenant| Rollup { key: RollupKey { tenant, project, kind, hour }, totals: *totals })
    };
    let mut rollups: Vec<_> = table.rollups().filter_map(rollup).collect();
    rollups.sort_by(|left, right| left.key.cmp(&right.key));
    rollups
}

fn received_of(table: &Memtable) -> Vec<ReceivedSum> {
    let sum = |(tenant, customer, start, amounts): (&str, &str, _, &Amounts)| {
        let customer = customer.to_owned();
        tenant_of(tenant).map(|tenant| ReceivedSum { tenant, customer, start, amounts: *amounts })
    };
    let mut sums: Vec<_> = table.received().filter_map(sum).collect();
    sums.sort_by(|left, right| {
        (&left.tenant, left.start, &left.customer).cmp(&(&right.tenant, right.start, &right.customer))
    });
    sums
}

fn users_of(table: &Memtable) -> Vec<NewUsers> {
    let new = |(tenant, first, names): (&str, u32, _)| {
        let names: Vec<String> = Iterator::map(names, str::to_owned).collect();
        tenant_of(tenant).map(|tenant| NewUsers { tenant, first, names })
    };
    let mut users: Vec<_> = table.new_users().filter_map(new).collect();
    users.sort_by(|left, right| left.tenant.cmp(&right.tenant));
    users
}

fn activity_of(table: &Memtable) -> Vec<Activity> {
    let of_tenant = |(tenant, users): (&str, &DayUsers)| Some(users.activity(&tenant_of(tenant)?, table.interner()));
    table.day_users().filter_map(of_tenant).flatten().collect()
}

fn write_files(dir: &SegmentDir, id: &str, table: &Memtable) -> Result<Vec<FileMeta>, PortError> {
    let groups = table.sorted_groups();
    Ok(vec![write_events(dir, id, &groups)?, write_sums(dir, id, table, &groups)?, write_ids(dir, id, table)?])
}

fn write_events(dir: &SegmentDir, id: &str, groups: &[GroupView<'_>]) -> Result<FileMeta, PortError> {
    let mut writer = RowWriter::create(dir, id, FileKind::Events, events::schema(), events::properties())?;
    let mut rows = EventBuilder::default();
    for group in groups {
        for event in group.sorted_events() {
            rows.push(group.tenant(), &event);
            if rows.rows() == BATCH_ROWS {
                writer.write(&rows.finish())?;
            }
        }
    }
    writer.write(&rows.finish())?;
    writer.finish()
}

fn write_sums(dir: &SegmentDir, id: &str, table: &Memtable, groups: &[GroupView<'_>]) -> Result<FileMeta, PortError> {
    let mut writer = RowWriter::create(dir, id, FileKind::Windows, sums::schema(), sums::properties())?;
    let (mut rows, mut sum) = (SumBuilder::default(), WindowsSum::default());
    for of_tenant in groups.chunk_by(|left, right| left.tenant() == right.tenant()) {
        let windows: Vec<_> = of_tenant.iter().map(GroupView::sorted_windows).collect();
        for grain in Grain::ALL {
            for (group, windows) in of_tenant.iter().zip(&windows) {
                let start_of = |window: &WindowView<'_>| grain.start_of(window.start());
                for alike in windows.chunk_by(|left, right| start_of(left) == start_of(right)) {
                    let (tenant, customer) = (group.tenant(), group.customer());
                    sum.set(alike);
                    let key = SumKey { tenant, grain, customer, start: start_of(&alike[0]) };
                    rows.push(&key, &sum.numbers, sum.by_endpoint(table), sum.by_model(table));
                    if rows.rows() == BATCH_ROWS {
                        writer.write(&rows.finish())?;
                    }
                }
            }
        }
    }
    writer.write(&rows.finish())?;
    writer.finish()
}

fn write_ids(dir: &SegmentDir, id: &str, table: &Memtable) -> Result<FileMeta, PortError> {
    let ids = table.sorted_ids();
    let file = dir.create(id, FileKind::Ids)?;
    let write = || -> std::io::Result<SegmentFile> {
        let mut writer = IdRunWriter::new(file, ids.len() as u64, table.holds_former_ids())?;
        for (hash, seen) in &ids {
            writer.push(&IdRecord { hash: *hash, seen: *seen })?;
        }
        writer.finish()
    };
    write().map_err(|why| io_error(format!("write the ids of {id}"), why))?.finish(ids.len() as u64)
}
