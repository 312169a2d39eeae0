//! What outlives a process: the disk, the manifest's store and the clock. Makes trouble for the living
//! process and ends it as real ones end. Knows neither journal nor ledger.

use std::path::Path;
use std::sync::Arc;

use ports::testing::clock::ManualClock;
use ports::testing::ledger::records::at;
use ports::testing::manifest::{FaultPoint, MemoryManifest};
use vfs::Vfs;
use vfs::testing::{Call, Fault, SimVfs};

/// More than a run ever writes.
const PLENTY_BYTES: u64 = 1 << 40;

/// Something that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// The disk call that comes `after` this many others fails.
    Step {
        /// How many calls succeed before it.
        after: u64,
        /// How it fails.
        fault: Fault,
    },
    /// The next disk call of this kind fails.
    Next(Call, Fault),
    /// Every disk call of this kind fails until the trouble is over.
    Always(Call, Fault),
    /// The disk holds only this many bytes more until the trouble is over.
    Full {
        /// How many.
        room: u64,
    },
    /// The next write of the manifest fails.
    Commit(FaultPoint),
}

impl Trouble {
    fn is_crash(self) -> bool {
        matches!(self, Self::Step { fault: Fault::Crash, .. } | Self::Next(_, Fault::Crash))
    }
}

/// The machine that processes come and go on.
#[derive(Debug)]
pub struct World {
    /// The disk.
    pub disk: SimVfs,
    /// The time.
    pub clock: Arc<ManualClock>,
    manifest: Arc<MemoryManifest>,
    /// Whether there is trouble of the disk.
    disk_trouble: bool,
    /// Whether it lets calls fail on a machine that stays up.
    may_refuse: bool,
    /// Whether there is trouble of the manifest, which only a new process ends.
    commit_trouble: bool,
    /// Whether nothing could have gone wrong since the process began.
    calm: bool,
}

impl Default for World {
    fn default() -> Self {
        Self {
            disk: SimVfs::new(),
            clock: Arc::new(ManualClock::new(at(0))),
            manifest: Arc::new(MemoryManifest::new()),
            disk_trouble: false,
            may_refuse: false,
            commit_trouble: false,
            calm: true,
        }
    }
}

impl World {
    /// The manifest as the living process has opened it.
    pub fn manifest(&self) -> Arc<MemoryManifest> {
        Arc::clone(&self.manifest)
    }

    /// Whether the living process has no excuse for any failure.
    pub(crate) fn is_calm(&self) -> bool {
        self.calm
    }

    /// Whether nothing can go wrong any more, whatever has gone wrong before.
    pub(crate) fn is_healed(&self) -> bool {
        !self.disk_trouble && !self.commit_trouble
    }

    /// Whether a call may fail on a machine that stays up.
    pub(crate) fn may_refuse(&self) -> bool {
        self.may_refuse
    }

    /// Makes trouble.
    pub(crate) fn cause(&mut self, trouble: Trouble) {
        self.calm = false;
        self.commit_trouble |= matches!(trouble, Trouble::Commit(_));
        self.disk_trouble |= !matches!(trouble, Trouble::Commit(_));
        self.may_refuse |= !trouble.is_crash();
        match trouble {
            Trouble::Step { after, fault } => self.disk.fail_at(self.disk.steps() + after, fault),
            Trouble::Next(call, fault) => self.disk.fail_next(call, fault),
            Trouble::Always(call, fault) => self.disk.fail_always(call, fault),
            Trouble::Full { room } => {
                self.disk.set_capacity(Some(PLENTY_BYTES));
                let used = self.disk.free_bytes(Path::new("/")).map_or(0, |free| PLENTY_BYTES - free);
                self.disk.set_capacity(Some(used + room));
            }
            Trouble::Commit(point) => self.manifest.fail_next(point),
        }
    }

    /// Ends all trouble of the disk. What it did to the living process stays done.
    pub(crate) fn heal(&mut self) {
        self.disk.heal();
        self.disk.set_capacity(None);
        (self.disk_trouble, self.may_refuse) = (false, false);
    }

    /// Ends the process as `kill -9` does: what was written is there, synced or not.
    pub(crate) fn kill(&mut self) {
        self.disk.kill();
        self.next_process();
    }

    /// Ends the process with a power loss: what was not synced is lost, torn or kept as `seed` has it.
    pub(crate) fn cut_power(&mut self, seed: u64) {
        self.disk.crash(seed);
        self.next_process();
    }

    fn next_process(&mut self) {
        self.manifest = Arc::new(self.manifest.reopen());
        self.commit_trouble = false;
        self.calm = !self.disk_trouble;
    }
}
