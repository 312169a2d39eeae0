//! The traits: a file system, a file being appended to, a file being read. They promise nothing about
//! durability beyond what each method says; [`crate::Publisher`] builds on them.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// A file system, as far as the journal and the segments need one. Calls block.
pub trait Vfs: Send + Sync + fmt::Debug {
    /// Creates the folder and its missing parents, durably.
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;

    /// Names of the files in the folder, sorted. Folders are left out.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// Creates a file that must not exist yet. It is durable only after its own `sync` and a
    /// `sync_dir` of its folder.
    fn create(&self, path: &Path) -> io::Result<Box<dyn WriteFile>>;

    /// Opens an existing file for appending at its end.
    fn open_append(&self, path: &Path) -> io::Result<Box<dyn WriteFile>>;

    /// Opens an existing file for reading at any offset.
    fn open_read(&self, path: &Path) -> io::Result<Arc<dyn ReadFile>>;

    /// Renames a file within its folder, replacing the target. Durable after `sync_dir`.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file. Durable after `sync_dir`.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes the folder's entries durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Bytes that may still be written to the file system that holds `dir`.
    fn free_bytes(&self, dir: &Path) -> io::Result<u64>;
}

/// A file being appended to. After any failed `sync` the caller must never sync this file again:
/// the kernel may have dropped the unwritten pages and would report success (rule I8).
pub trait WriteFile: Send + fmt::Debug {
    /// Appends all of `bytes`, or fails with an unknown part of them written.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Makes everything appended durable (`fdatasync`).
    fn sync(&mut self) -> io::Result<()>;

    /// Cuts the file to `len` bytes; the next append goes there.
    fn truncate(&mut self, len: u64) -> io::Result<()>;

    /// Bytes in the file, counting what is not yet durable.
    fn len(&self) -> u64;

    /// Whether the file has no bytes.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A file being read; shared by threads, has no cursor.
pub trait ReadFile: Send + Sync + fmt::Debug {
    /// Fills `buffer` from `offset`, or fails with `UnexpectedEof` when the file ends before.
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;

    /// Fills `buffer` from `offset` if the kernel holds those bytes in memory, so that nothing waits for a
    /// disk. `false` when it does not, or when that cannot be told; `buffer` then holds anything.
    fn read_cached_at(&self, _offset: u64, _buffer: &mut [u8]) -> io::Result<bool> {
        Ok(false)
    }

    /// Bytes in the file when it was opened.
    fn len(&self) -> u64;

    /// Whether the file has no bytes.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
