//! The only door to files on the path of an event: a narrow trait with a disk adapter and, behind
//! feature `testing`, a twin that crashes, tears writes, loses what was not synced and fails at any
//! step. Durable publication (temp, sync, rename, sync of the folder) lives here once.

mod file;
mod disk;
mod publish;
#[cfg(feature = "testing")]
pub mod testing;

pub use disk::{DiskVfs, UserFilesVfs};
pub use file::{ReadFile, Vfs, WriteFile};
pub use publish::{Publisher, TEMPORARY_SUFFIX};
