//! How far an unfinished import had come: per file the position behind the last batch that is applied. A
//! later run skips what is before it. It only saves time: ids make a repetition count nothing, so a lost,
//! old or unreadable checkpoint changes no number. Removed when an import has finished.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use vfs::{DiskVfs, Publisher, Vfs};

use super::files::Input;
use super::input_reader::FilePosition;

/// The version this code writes; another one is not read.
const VERSION: u32 = 1;
/// Longest checkpoint that is read, in bytes.
const BYTES_MAX: u64 = 4 << 20;

/// The content of the file.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct SavedState {
    version: u32,
    /// By identity of the file.
    files: BTreeMap<String, FilePosition>,
    /// Bytes of the reject file that belong to what is done.
    rejects: u64,
    /// Rows that were taken, those known before among them.
    #[serde(default)]
    taken: u64,
}

/// The checkpoint file of an import.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    path: PathBuf,
    saved: SavedState,
}

impl Checkpoint {
    /// The checkpoint at `path` of an import of `inputs`; `resume` says whether what stands there is
    /// used. What stands there of other imports is forgotten, because their refused rows are not here.
    pub(crate) fn open(path: PathBuf, resume: bool, inputs: &[Input]) -> Self {
        let read = if resume { read(&path).filter(|saved| saved.version == VERSION) } else { None };
        let mut saved = read.unwrap_or_default();
        saved.version = VERSION;
        saved.files.retain(|identity, _| inputs.iter().any(|input| input.identity.as_ref() == Some(identity)));
        Self { path, saved }
    }

    /// Where the reading of `input` begins: behind what is done, or at its front.
    pub(crate) fn resume_point(&self, input: &Input) -> FilePosition {
        let done = input.identity.as_ref().and_then(|identity| self.saved.files.get(identity));
        done.copied().unwrap_or_default()
    }

    /// Bytes of the reject file to keep; `None` when there is nothing to resume.
    pub(super) fn rejects(&self) -> Option<u64> {
        (!self.saved.files.is_empty()).then_some(self.saved.rejects)
    }

    /// How many rows earlier runs of this import have taken.
    pub(super) fn taken(&self) -> u64 {
        if self.saved.files.is_empty() { 0 } else { self.saved.taken }
    }

    /// Notes that a file is done up to `position`.
    pub(super) fn note(&mut self, identity: &str, position: FilePosition) {
        self.saved.files.insert(identity.to_owned(), position);
    }

    /// Makes what was noted durable, with the length of the reject file and how many rows are taken.
    pub(super) fn save(&mut self, rejects: u64, taken: u64) -> anyhow::Result<()> {
        (self.saved.rejects, self.saved.taken) = (rejects, taken);
        let failed = || format!("failed to write the checkpoint {}", self.path.display());
        let name = self.path.file_name().and_then(|name| name.to_str()).with_context(failed)?;
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut publisher = Publisher::create(Arc::new(DiskVfs), folder, name).with_context(failed)?;
        publisher.write_all(&serde_json::to_vec(&self.saved)?).with_context(failed)?;
        publisher.finish().with_context(failed)?;
        Ok(())
    }

    /// Removes the file: everything is done.
    pub(super) fn finish(self) -> anyhow::Result<()> {
        match DiskVfs.remove(&self.path) {
            Err(why) if why.kind() != ErrorKind::NotFound => {
                Err(why).with_context(|| format!("failed to remove the checkpoint {}", self.path.display()))
            }
            _ => Ok(()),
        }
    }
}

fn read(path: &Path) -> Option<SavedState> {
    let mut bytes = Vec::new();
    #[expect(clippy::disallowed_methods, reason = "bounded by the take")]
    File::open(path).ok()?.take(BYTES_MAX).read_to_end(&mut bytes).ok()?;
    serde_json::from_slice(&bytes).ok()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed test may panic")]

    use super::*;

    #[test]
    fn the_rows_taken_before_are_those_of_the_same_import() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("f.csv");
        #[expect(clippy::disallowed_methods, reason = "our own test data")]
        std::fs::write(&file, "id\n1\n").unwrap();
        let inputs = |purpose: &str| vec![Input::find(file.to_str().unwrap(), purpose).unwrap()];
        let path = folder.path().join("checkpoint");
        let mut checkpoint = Checkpoint::open(path.clone(), true, &inputs("a"));
        assert_eq!(checkpoint.taken(), 0);
        checkpoint.note(inputs("a")[0].identity.as_ref().unwrap(), FilePosition { offset: 3, lines: 1 });
        checkpoint.save(5, 7).unwrap();
        assert_eq!(Checkpoint::open(path.clone(), true, &inputs("a")).taken(), 7);
        assert_eq!(Checkpoint::open(path.clone(), true, &inputs("b")).taken(), 0);
        assert_eq!(Checkpoint::open(path, false, &inputs("a")).taken(), 0);
    }
}
