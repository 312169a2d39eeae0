//! What applying, flushing, compaction and all readers share: the visible state, the files, the manifest,
//! and the locks under which each of them is changed. The core depends on none of these parts; each adds
//! its own methods.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

use domain::position::Seq;
use parking_lot::{Mutex, RwLock};
use ports::ErrorKind;
use ports::clock::Clock;
use ports::manifest::{Identity, Manifest, Name};
use tokio::sync::{Notify, Semaphore};

use crate::dedup::IdHasher;
use crate::memtable::Memtable;
use crate::options::LedgerOptions;
use crate::query_runtime::QueryRuntime;
use crate::retention_run::RetentionRun;
use crate::segment::SegmentDir;
use crate::sightings::SightingReads;
use crate::state::{Snapshot, State};

/// The state and the resources that the ledger's callers and threads share.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) dir: SegmentDir,
    pub(crate) manifest: Arc<dyn Manifest>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) options: LedgerOptions,
    pub(crate) identity: Identity,
    /// What was received is counted of records after this one.
    pub(crate) received_after: Seq,
    pub(crate) hasher: IdHasher,
    pub(crate) state: RwLock<State>,
    pub(crate) names: Mutex<BTreeSet<Name>>,
    /// Held while the active memtable is filled or frozen.
    pub(crate) writer: tokio::sync::Mutex<()>,
    /// Held while the frozen memtable becomes a segment.
    pub(crate) flushing: tokio::sync::Mutex<()>,
    /// Held while segments are replaced.
    pub(crate) merging: tokio::sync::Mutex<()>,
    /// What retention waits for.
    pub(crate) retention: Mutex<RetentionRun>,
    /// Why the last flush failed, when only a restart can help.
    pub(crate) broken: Mutex<Option<ErrorKind>>,
    /// Bounds the reads that block a thread and whose callers hold nothing, which are the server's own. First
    /// come, first served: how much else runs at once, and whose, is decided above this crate.
    pub(crate) own_reads: Arc<Semaphore>,
    /// Bounds the requests that look event ids up in files.
    pub(crate) sighting_reads: SightingReads,
    /// Held while a tenant's days are counted again, for the memory that takes.
    pub(crate) recounting: tokio::sync::Mutex<()>,
    /// Runs structured queries.
    pub(crate) query_runtime: QueryRuntime,
    pub(crate) wake_flush: Notify,
    pub(crate) wake_merge: Notify,
    /// Whether an erasure was asked for that nobody has begun to make yet.
    pub(crate) merge_gives_way: AtomicBool,
    /// Whether the last merge ended early for an erasure.
    pub(crate) merge_gave_way: AtomicBool,
    pub(crate) room: Notify,
    /// Whether the last flush found no room on the disk.
    pub(crate) disk_full: AtomicBool,
    pub(crate) stopping: AtomicBool,
    pub(crate) dead_letters: AtomicU64,
}

impl Core {
    /// The state, with what `look` finds in the memtable being filled: both of one instant.
    pub(crate) fn view<T>(&self, look: impl FnOnce(&Memtable) -> T) -> (Snapshot, T) {
        let state = self.state.read();
        (state.snapshot(), look(&state.active))
    }
}
