//! Writes a whole file so that after any crash it is either absent or complete under its name:
//! temp → sync → rename → sync of the folder.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::{Vfs, WriteFile};

/// Ends the name of a file that is still being written; recovery deletes such files.
pub const TEMPORARY_SUFFIX: &str = ".tmp";

/// Bytes gathered before they are handed to the file.
const BUFFER_BYTES: usize = 256 << 10;

/// A file on its way to publication. Dropped unfinished, it deletes its temporary file; recovery
/// deletes the one that a crash leaves behind.
#[derive(Debug)]
pub struct Publisher {
    vfs: Arc<dyn Vfs>,
    file: Box<dyn WriteFile>,
    dir: PathBuf,
    name: String,
    buffer: Vec<u8>,
    finished: bool,
}

impl Drop for Publisher {
    fn drop(&mut self) {
        if !self.finished {
            let _ = self.vfs.remove(&self.temporary());
        }
    }
}

impl Publisher {
    /// Begins writing `name` in `dir`, replacing what an earlier attempt left behind.
    ///
    /// # Errors
    /// When the temporary file cannot be created.
    pub fn create(vfs: Arc<dyn Vfs>, dir: &Path, name: &str) -> io::Result<Self> {
        let temporary = dir.join(format!("{name}{TEMPORARY_SUFFIX}"));
        let file = match vfs.create(&temporary) {
            Err(why) if why.kind() == io::ErrorKind::AlreadyExists => {
                vfs.remove(&temporary)?;
                vfs.create(&temporary)?
            }
            created => created?,
        };
        let buffer = Vec::with_capacity(BUFFER_BYTES);
        Ok(Self { vfs, file, dir: dir.to_owned(), name: name.to_owned(), buffer, finished: false })
    }

    /// Makes the file durable under its name; returns its length in bytes.
    ///
    /// # Errors
    /// When any step fails; the file then does not count, whatever its name.
    pub fn finish(mut self) -> io::Result<u64> {
        self.hand_over()?;
        fail::fail_point!("publish::before_sync");
        self.file.sync()?;
        fail::fail_point!("publish::before_rename");
        self.vfs.rename(&self.temporary(), &self.dir.join(&self.name))?;
        self.finished = true;
        fail::fail_point!("publish::before_sync_dir");
        self.vfs.sync_dir(&self.dir)?;
        fail::fail_point!("publish::after_sync_dir");
        Ok(self.file.len())
    }

    fn temporary(&self) -> PathBuf {
        self.dir.join(format!("{}{TEMPORARY_SUFFIX}", self.name))
    }

    fn hand_over(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        self.file.append(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}

impl io::Write for Publisher {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= BUFFER_BYTES {
            self.hand_over()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.hand_over()
    }
}
