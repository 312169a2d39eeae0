//! The folder of segments while the journal is open: the writer adds segments, trimming removes them,
//! the consumer reads them.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use domain::position::Seq;
use parking_lot::Mutex;
use ports::PortError;
use vfs::Vfs;

use crate::failure::{Failure, file_error};
use crate::reader::{ReadError, SegmentReader, unreadable};
use crate::renewal::Renewal;
use crate::segment::{self, Active};

/// The segments, by their first records. The last one may be written to.
#[derive(Debug)]
pub(crate) struct Folder {
    vfs: Arc<dyn Vfs>,
    dir: PathBuf,
    segments: Mutex<BTreeSet<Seq>>,
}

impl Folder {
    pub(crate) fn new(vfs: Arc<dyn Vfs>, dir: PathBuf, segments: BTreeSet<Seq>) -> Self {
        Self { vfs, dir, segments: Mutex::new(segments) }
    }

    /// Begins a segment with record `first`.
    pub(crate) fn create(&self, first: Seq) -> Result<Active, Failure> {
        let active = Active::create(&self.vfs, &self.dir, first)?;
        self.segments.lock().insert(first);
        Ok(active)
    }

    /// Writes the last segment anew. Who reads the old one reads on in it, which holds the same records.
    pub(crate) fn renew(&self, renewal: &Renewal) -> Result<Active, Failure> {
        Ok(renewal.run(&self.vfs, &self.dir)?)
    }

    /// Opens the segment that holds record `seq`, or the oldest one if that has been removed. Says
    /// with it where the next segment begins, if there is one.
    pub(crate) fn open(&self, seq: Seq) -> Result<Option<(SegmentReader, Option<Seq>)>, PortError> {
        // Held while opening, so that the file is not removed in between.
        let segments = self.segments.lock();
        let holder = segments.range(..=seq).next_back().or_else(|| segments.first());
        let Some(first) = holder.copied() else { return Ok(None) };
        let reader = SegmentReader::open(&*self.vfs, &self.dir, first);
        let reader = reader.map_err(|why| unreadable(&self.dir, first, 0, why))?;
        Ok(Some((reader, segments.range(first.next()..).next().copied())))
    }

    /// A failure to read an open segment.
    pub(crate) fn unreadable(&self, reader: &SegmentReader, why: ReadError) -> PortError {
        unreadable(&self.dir, reader.first(), reader.offset(), why)
    }

    /// Removes segments whose records are all among those up to `flushed`. Not synced: what a crash
    /// brings back is removed again at the next start.
    pub(crate) fn trim(&self, flushed: Seq) -> Result<(), PortError> {
        let mut segments = self.segments.lock();
        while let Some(first) = oldest_flushed(&segments, flushed) {
            let path = segment::path(&self.dir, first);
            self.vfs.remove(&path).map_err(|why| file_error("remove", &path, why))?;
            segments.remove(&first);
        }
        Ok(())
    }

    /// The first record of the oldest segment.
    pub(crate) fn first(&self) -> Option<Seq> {
        self.segments.lock().first().copied()
    }

    /// Whether the segment that is written to begins behind this record.
    pub(crate) fn last_begins_after(&self, seq: Seq) -> bool {
        self.segments.lock().last().is_none_or(|last| *last > seq)
    }

    /// Bytes that may still be written.
    pub(crate) fn free_bytes(&self) -> io::Result<u64> {
        self.vfs.free_bytes(&self.dir)
    }
}

/// The oldest segment, if all its records are among those up to `flushed`: if another one begins
/// no later than right behind them.
pub(crate) fn oldest_flushed(segments: &BTreeSet<Seq>, flushed: Seq) -> Option<Seq> {
    let mut oldest = segments.iter().copied();
    let first = oldest.next()?;
    oldest.next().filter(|next| *next <= flushed.next()).map(|_| first)
}
