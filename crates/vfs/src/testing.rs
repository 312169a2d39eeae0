//! The crashing twin of the disk: files in memory, each with what the running system sees and what
//! a power loss leaves behind. Every call is a numbered step that can be made to fail, to write
//! short, or to cut the power. Models the worst that Linux file systems do, not the average.
//!
//! | what was done | after a crash |
//! |---|---|
//! | append, truncate, then `sync` | there |
//! | append without `sync` | there, torn at any byte, extended with zeros, or gone; later ones may survive earlier ones |
//! | append before a failed `sync` | gone, or zeros under what is synced later, though reads still see it |
//! | create, rename, remove, then `sync_dir` | done |
//! | create, rename, remove without `sync_dir` | done or not |
//! | `create_dir_all` | done |

mod fault;
mod image;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Condvar, Mutex, MutexGuard};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

pub use fault::{Call, EFBIG, EIO, EMFILE, ENOSPC, Fault};

use self::fault::FaultPlan;
use self::image::Image;
use crate::{ReadFile, Vfs, WriteFile};

/// What [`Vfs::free_bytes`] says without a capacity.
const UNLIMITED_BYTES: u64 = 1 << 40;

/// A simulated disk. Clones are the same disk.
#[derive(Debug, Clone, Default)]
pub struct SimVfs {
    disk: Arc<Disk>,
}

/// Keeps every `sync` of a file waiting until it is dropped.
#[derive(Debug)]
#[must_use = "syncs go on when this is dropped"]
pub struct SyncHold {
    disk: Arc<Disk>,
}

impl SyncHold {
    /// Returns when a `sync` is waiting, or when the power is off.
    pub fn reached(&self) {
        let mut state = self.disk.state.lock();
        self.disk.changed.wait_while(&mut state, |state| state.waiting == 0 && !state.down);
    }
}

impl Drop for SyncHold {
    fn drop(&mut self) {
        self.disk.state.lock().holds -= 1;
        self.disk.changed.notify_all();
    }
}

impl SimVfs {
    /// An empty disk that never fails.
    pub fn new() -> Self {
        Self::default()
    }

    /// Calls made so far: the number of the next one.
    pub fn steps(&self) -> u64 {
        self.disk.state.lock().steps
    }

    /// Calls of this kind made so far.
    pub fn calls(&self, call: Call) -> u64 {
        self.disk.state.lock().calls.get(&call).copied().unwrap_or(0)
    }

    /// Plans a fault for the call with this number, see [`SimVfs::steps`].
    pub fn fail_at(&self, step: u64, fault: Fault) {
        self.disk.state.lock().faults.fail_at(step, fault);
    }

    /// Plans a fault for the next call of this kind.
    pub fn fail_next(&self, call: Call, fault: Fault) {
        self.disk.state.lock().faults.fail_next(call, fault);
    }

    /// Makes every call of this kind fail until [`SimVfs::heal`].
    pub fn fail_always(&self, call: Call, fault: Fault) {
        self.disk.state.lock().faults.fail_always(call, fault);
    }

    /// Forgets all planned faults.
    pub fn heal(&self) {
        self.disk.state.lock().faults = FaultPlan::default();
    }

    /// Keeps every `sync` of a file waiting, as a slow disk does, until the answer is dropped.
    pub fn hold_syncs(&self) -> SyncHold {
        self.disk.state.lock().holds += 1;
        SyncHold { disk: Arc::clone(&self.disk) }
    }

    /// Lets the disk hold this many bytes in files, or any number.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.disk.state.lock().capacity = bytes;
    }

    /// Whether a [`Fault::Crash`] has struck and every call fails.
    pub fn is_down(&self) -> bool {
        self.disk.state.lock().down
    }

    /// Cuts the power and starts again: what was not synced is lost, torn or kept as `seed` has it.
    /// Open files are gone. Planned faults stay.
    pub fn crash(&self, seed: u64) {
        self.disk.state.lock().crash(&mut StdRng::seed_from_u64(seed));
    }

    /// Ends the process and starts another, as `kill -9` does: all that was written is there, synced
    /// or not. Open files are gone. Planned faults stay.
    pub fn kill(&self) {
        self.disk.state.lock().restart();
    }

    /// The bytes of a file as a reader sees them now. Not a step.
    ///
    /// # Errors
    /// `NotFound` when there is no such file.
    pub fn contents(&self, path: &Path) -> io::Result<Vec<u8>> {
        Ok(self.disk.state.lock().file(path)?.lock().seen().to_vec())
    }

    /// Puts a durable file with these bytes in place, whatever was there. Not a step.
    pub fn put(&self, path: &Path, bytes: &[u8]) {
        let mut state = self.disk.state.lock();
        let ancestors = path.ancestors().skip(1).map(Path::to_owned);
        state.dirs.extend(ancestors);
        let file = Arc::new(Mutex::new(Image::of(bytes)));
        state.seen.insert(path.to_owned(), Arc::clone(&file));
        state.durable.insert(path.to_owned(), file);
    }

    /// Flips one bit of a file, counted from its beginning, as a failing disk does. Not a step.
    ///
    /// # Errors
    /// `NotFound` when there is no such file, `UnexpectedEof` when it is shorter.
    pub fn flip_bit(&self, path: &Path, bit: u64) -> io::Result<()> {
        self.disk.state.lock().file(path)?.lock().flip_bit(bit)
    }
}

impl Vfs for SimVfs {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        let mut step = self.disk.begin(Call::CreateDirAll)?;
        step.state.dirs.extend(dir.ancestors().map(Path::to_owned));
        step.finish(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let step = self.disk.begin(Call::List)?;
        if !step.state.dirs.contains(dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let inside = step.state.seen.keys().filter(|path| path.parent() == Some(dir));
        let names = inside.filter_map(|path| path.file_name()).map(|name| name.to_string_lossy().into_owned());
        let names = names.collect();
        step.finish(names)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn WriteFile>> {
        let mut step = self.disk.begin(Call::Create)?;
        if !path.parent().is_some_and(|dir| step.state.dirs.contains(dir)) {
            return Err(io::ErrorKind::NotFound.into());
        }
        if step.state.seen.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let image = Arc::new(Mutex::new(Image::default()));
        step.state.change(DirChange::Link(path.to_owned(), Arc::clone(&image)));
        let file = self.disk.handle(image, &step.state);
        step.finish(Box::new(file))
    }

    fn open_append(&self, path: &Path) -> io::Result<Box<dyn WriteFile>> {
        let step = self.disk.begin(Call::OpenAppend)?;
        let file = self.disk.handle(step.state.file(path)?, &step.state);
        step.finish(Box::new(file))
    }

    fn open_read(&self, path: &Path) -> io::Result<Arc<dyn ReadFile>> {
        let step = self.disk.begin(Call::OpenRead)?;
        let file = self.disk.handle(step.state.file(path)?, &step.state);
        step.finish(Arc::new(file))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut step = self.disk.begin(Call::Rename)?;
        let image = step.state.file(from)?;
        step.state.change(DirChange::Rename(from.to_owned(), to.to_owned(), image));
        step.finish(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut step = self.disk.begin(Call::Remove)?;
        step.state.file(path)?;
        step.state.change(DirChange::Unlink(path.to_owned()));
        step.finish(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut step = self.disk.begin_call(Call::SyncDir, None)?;
        let state = &mut *step.state;
        if !state.dirs.contains(dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        if matches!(step.fault, Some(Fault::Crash)) {
            return step.finish(());
        }
        let (synced, others) = std::mem::take(&mut state.changes).into_iter().partition(|change| change.is_in(dir));
        state.changes = others;
        if let Some(Fault::Error(code)) = step.fault {
            return Err(io::Error::from_raw_os_error(code));
        }
        for change in synced {
            DirChange::apply(change, &mut state.durable);
        }
        step.finish(())
    }

    fn free_bytes(&self, _: &Path) -> io::Result<u64> {
        let step = self.disk.begin(Call::FreeBytes)?;
        let free = step.state.room();
        step.finish(free)
    }
}

#[derive(Debug, Default)]
struct Disk {
    state: Mutex<State>,
    /// Wakes those who wait for a sync to be reached or released.
    changed: Condvar,
}

type Entries = BTreeMap<PathBuf, Arc<Mutex<Image>>>;

#[derive(Debug, Default)]
struct State {
    dirs: BTreeSet<PathBuf>,
    /// The files that the running system sees.
    seen: Entries,
    /// The files that a crash leaves for certain.
    durable: Entries,
    /// What was done to the folders since they were synced.
    changes: Vec<DirChange>,
    faults: FaultPlan,
    steps: u64,
    calls: BTreeMap<Call, u64>,
    capacity: Option<u64>,
    /// How many [`SyncHold`]s there are.
    holds: usize,
    /// How many syncs they keep waiting.
    waiting: usize,
    down: bool,
    /// Counts restarts, so that files opened before one stay closed.
    boot: u64,
}

impl State {
    fn file(&self, path: &Path) -> io::Result<Arc<Mutex<Image>>> {
        self.seen.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn change(&mut self, change: DirChange) {
        change.clone().apply(&mut self.seen);
        self.changes.push(change);
    }

    fn room(&self) -> u64 {
        let Some(capacity) = self.capacity else { return UNLIMITED_BYTES };
        let used: u64 = self.seen.values().map(|file| file.lock().seen().len() as u64).sum();
        capacity.saturating_sub(used)
    }

    fn restart(&mut self) {
        self.boot += 1;
        self.down = false;
    }

    fn crash(&mut self, rng: &mut StdRng) {
        for change in std::mem::take(&mut self.changes) {
            if rng.random_bool(0.5) {
                change.apply(&mut self.durable);
            }
        }
        self.seen.clone_from(&self.durable);
        for file in self.seen.values() {
            file.lock().crash(rng);
        }
        self.restart();
    }
}

#[derive(Debug, Clone)]
enum DirChange {
    Link(PathBuf, Arc<Mutex<Image>>),
    Unlink(PathBuf),
    Rename(PathBuf, PathBuf, Arc<Mutex<Image>>),
}

impl DirChange {
    fn is_in(&self, dir: &Path) -> bool {
        let (Self::Link(path, _) | Self::Unlink(path) | Self::Rename(path, _, _)) = self;
        path.parent() == Some(dir)
    }

    fn apply(self, entries: &mut Entries) {
        match self {
            Self::Link(path, file) => {
                entries.insert(path, file);
            }
            Self::Unlink(path) => {
                entries.remove(&path);
            }
            Self::Rename(from, to, file) => {
                entries.remove(&from);
                entries.insert(to, file);
            }
        }
    }
}

/// One call, under way.
#[derive(Debug)]
struct Step<'a> {
    disk: &'a Disk,
    state: MutexGuard<'a, State>,
    fault: Option<Fault>,
}

impl Step<'_> {
    /// Ends the call, whose effect a power cut may or may not keep.
    fn finish<T>(mut self, value: T) -> io::Result<T> {
        if matches!(self.fault, Some(Fault::Crash)) {
            self.state.down = true;
            self.disk.changed.notify_all();
            return Err(down());
        }
        Ok(value)
    }
}

impl Disk {
    /// Begins a call on which an error has no effect.
    fn begin(&self, call: Call) -> io::Result<Step<'_>> {
        let step = self.begin_call(call, None)?;
        match step.fault {
            Some(Fault::Error(code)) => Err(io::Error::from_raw_os_error(code)),
            _ => Ok(step),
        }
    }

    /// Begins a call, on a file opened in `boot` if any, that sees to its fault itself.
    fn begin_call(&self, call: Call, boot: Option<u64>) -> io::Result<Step<'_>> {
        let mut state = self.state.lock();
        if call == Call::Sync {
            state.waiting += 1;
            self.changed.notify_all();
            self.changed.wait_while(&mut state, |state| state.holds > 0 && !state.down);
            state.waiting -= 1;
        }
        if state.down {
            return Err(down());
        }
        if boot.is_some_and(|boot| boot != state.boot) {
            return Err(io::Error::other("the file was opened before the restart"));
        }
        let number = state.steps;
        state.steps += 1;
        *state.calls.entry(call).or_default() += 1;
        let fault = state.faults.take(number, call);
        Ok(Step { disk: self, state, fault })
    }

    fn handle(self: &Arc<Self>, image: Arc<Mutex<Image>>, state: &State) -> SimFile {
        let len = image.lock().seen().len() as u64;
        SimFile { disk: Arc::clone(self), image, boot: state.boot, len }
    }
}

fn down() -> io::Error {
    io::Error::other("the simulated machine is down")
}

/// An open file.
#[derive(Debug)]
struct SimFile {
    disk: Arc<Disk>,
    image: Arc<Mutex<Image>>,
    boot: u64,
    len: u64,
}

impl WriteFile for SimFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let step = self.disk.begin_call(Call::Append, Some(self.boot))?;
        let room = usize::try_from(step.state.room()).unwrap_or(usize::MAX);
        let (taken, error) = match step.fault {
            Some(Fault::Error(code)) => (0, Some(code)),
            Some(Fault::ShortWrite) => (bytes.len() / 2, Some(ENOSPC)),
            _ if room < bytes.len() => (room, Some(ENOSPC)),
            _ => (bytes.len(), None),
        };
        let mut image = self.image.lock();
        image.append(&bytes[..taken]);
        self.len = image.seen().len() as u64;
        step.finish(())?;
        error.map_or(Ok(()), |code| Err(io::Error::from_raw_os_error(code)))
    }

    fn sync(&mut self) -> io::Result<()> {
        let step = self.disk.begin_call(Call::Sync, Some(self.boot))?;
        match step.fault {
            Some(Fault::Crash) => {}
            Some(Fault::Error(code)) => {
                self.image.lock().fail_sync();
                return Err(io::Error::from_raw_os_error(code));
            }
            _ => self.image.lock().sync(),
        }
        step.finish(())
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        let step = self.disk.begin_call(Call::Truncate, Some(self.boot))?;
        if let Some(Fault::Error(code)) = step.fault {
            return Err(io::Error::from_raw_os_error(code));
        }
        self.image.lock().truncate(usize::try_from(len).unwrap_or(usize::MAX));
        self.len = len;
        step.finish(())
    }

    fn len(&self) -> u64 {
        self.len
    }
}

impl ReadFile for SimFile {
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let step = self.disk.begin_call(Call::Read, Some(self.boot))?;
        if let Some(Fault::Error(code)) = step.fault {
            return Err(io::Error::from_raw_os_error(code));
        }
        self.image.lock().read(offset, buffer)?;
        step.finish(())
    }

    fn len(&self) -> u64 {
        self.len
    }
}

#[cfg(test)]
mod tests;
