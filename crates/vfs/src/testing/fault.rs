//! Which call fails, and how.

use std::collections::BTreeMap;

/// `errno` of an input or output error.
pub const EIO: i32 = 5;
/// `errno` of too many open files.
pub const EMFILE: i32 = 24;
/// `errno` of a file that would outgrow its limit.
pub const EFBIG: i32 = 27;
/// `errno` of a full disk.
pub const ENOSPC: i32 = 28;

/// A call of [`crate::Vfs`], [`crate::WriteFile`] or [`crate::ReadFile`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is named after its method")]
pub enum Call {
    CreateDirAll,
    List,
    Create,
    OpenAppend,
    OpenRead,
    Rename,
    Remove,
    SyncDir,
    FreeBytes,
    Append,
    Sync,
    Truncate,
    Read,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The call fails with this `errno` and has no effect; but after a failed sync the file counts as
    /// clean, so that later syncs succeed without what this one should have saved.
    Error(i32),
    /// An append writes the first half and fails with [`ENOSPC`]. Nothing, on any other call.
    ShortWrite,
    /// The power goes during the call: it fails, and so does every later one until the crash.
    Crash,
}

/// The faults to come.
#[derive(Debug, Default)]
pub(super) struct FaultPlan {
    at: BTreeMap<u64, Fault>,
    next: BTreeMap<Call, Fault>,
    always: BTreeMap<Call, Fault>,
}

impl FaultPlan {
    pub(super) fn fail_at(&mut self, step: u64, fault: Fault) {
        self.at.insert(step, fault);
    }

    pub(super) fn fail_next(&mut self, call: Call, fault: Fault) {
        self.next.insert(call, fault);
    }

    pub(super) fn fail_always(&mut self, call: Call, fault: Fault) {
        self.always.insert(call, fault);
    }

    /// The fault of this call; planned for one call, it is used up.
    pub(super) fn take(&mut self, step: u64, call: Call) -> Option<Fault> {
        let once = self.at.remove(&step).or_else(|| self.next.remove(&call));
        once.or_else(|| self.always.get(&call).copied())
    }
}
