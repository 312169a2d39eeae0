//! Opens the folder after whatever ended the process before: finds where the journal ends, refuses
//! what is corrupt, and makes the end trustworthy. Never skips a record, never invents one.
//!
//! - Segments that hold only flushed records are deleted unread.
//! - In any but the last segment every record up to the next segment's first must be good. Bytes
//!   behind them are leftovers of refused appends.
//! - In the last segment reading ends at the first bad record. If a later group follows it, the bad
//!   one was durable: corruption. Otherwise it is the torn end of a group that was never
//!   acknowledged. A bit flipped within the last group cannot be told from that.
//! - The page cache may show bytes that a failed sync has lost. So the last segment's good records
//!   are written to a new file that takes its place, and only that one is appended to. On a disk
//!   that is full this is put off, so that everything can be read; until it is done nothing is appended.
//! - The last segment stays until there is a later one, even if all of it is flushed: a ledger that
//!   has lost commits finds their records in it, or a gap, but never an empty journal.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::path::Path;
use std::sync::Arc;

use domain::position::Seq;
use domain::record::RecordView;
use domain::time::Timestamp;
use ports::PortError;
use vfs::{TEMPORARY_SUFFIX, Vfs};

use crate::failure::file_error;
use crate::folder::oldest_flushed;
use crate::reader::{ReadError, SegmentReader, corrupt, unreadable};
use crate::record::{self, record_bytes};
use crate::renewal::Renewal;
use crate::segment::{self, Active, HEADER_BYTES};

/// The journal as it was found.
#[derive(Debug)]
pub(crate) struct Recovered {
    /// The first record of each segment.
    pub(crate) segments: BTreeSet<Seq>,
    /// The last durable record.
    pub(crate) last: Seq,
    /// When the last record that is still there was received, as it says.
    pub(crate) last_stamp: Option<Timestamp>,
    /// Bytes of each record after the one that is applied.
    pub(crate) sizes: VecDeque<u32>,
    /// Where to go on appending, if there is a segment with room for it.
    pub(crate) active: Option<Active>,
    /// What has to be done before anything is appended, because the disk had no room for it.
    pub(crate) put_off: Option<Renewal>,
}

/// Recovers the journal in `dir`, whose records up to `after` are durable elsewhere.
pub(crate) fn recover(vfs: &Arc<dyn Vfs>, dir: &Path, after: Seq) -> Result<Recovered, PortError> {
    let folder = RecoveryFolder { vfs, dir, after };
    vfs.create_dir_all(dir).map_err(|why| file_error("create", dir, why))?;
    let mut segments = folder.segments()?;
    folder.remove_flushed(&mut segments)?;
    folder.remove_unborn(&mut segments)?;
    let scan = folder.scan(&segments)?;
    if scan.last <= after {
        folder.keep_last(&mut segments)?;
        let last_stamp = scan.last_stamp;
        let sizes = VecDeque::new();
        return Ok(Recovered { segments, last: after, last_stamp, sizes, active: None, put_off: None });
    }
    folder.refuse_gap(&segments)?;
    let (active, put_off) = folder.renew_last(&mut segments, scan.last)?;
    Ok(Recovered { segments, last: scan.last, last_stamp: scan.last_stamp, sizes: scan.sizes, active, put_off })
}

struct RecoveryFolder<'a> {
    vfs: &'a Arc<dyn Vfs>,
    dir: &'a Path,
    after: Seq,
}

/// What was read.
struct Scan {
    last: Seq,
    last_stamp: Option<Timestamp>,
    sizes: VecDeque<u32>,
}

impl RecoveryFolder<'_> {
    /// All segments; unfinished files are removed, others left alone.
    fn segments(&self) -> Result<BTreeSet<Seq>, PortError> {
        let names = self.vfs.list(self.dir).map_err(|why| file_error("list", self.dir, why))?;
        for name in names.iter().filter(|name| name.ends_with(TEMPORARY_SUFFIX)) {
            let path = self.dir.join(name);
            self.vfs.remove(&path).map_err(|why| file_error("remove", &path, why))?;
        }
        Ok(names.iter().filter_map(|name| segment::first_of(name)).collect())
    }

    /// Removes segments that end before the first record that is needed. A crash may have brought
    /// some of them back, so they need not be contiguous.
    fn remove_flushed(&self, segments: &mut BTreeSet<Seq>) -> Result<(), PortError> {
        while let Some(first) = oldest_flushed(segments, self.after) {
            self.remove(segments, first)?;
        }
        Ok(())
    }

    /// Removes a last segment that a crash left without a header, hence without records.
    fn remove_unborn(&self, segments: &mut BTreeSet<Seq>) -> Result<(), PortError> {
        while let Some(last) = segments.last().copied() {
            let path = segment::path(self.dir, last);
            if !self.is_blank(&path).map_err(|why| file_error("read", &path, why))? {
                break;
            }
            self.remove(segments, last)?;
        }
        Ok(())
    }

    /// Whether the file is shorter than a header or holds nothing but zeros.
    fn is_blank(&self, path: &Path) -> io::Result<bool> {
        let file = self.vfs.open_read(path)?;
        let mut chunk = vec![0; 1 << 16];
        let mut offset = 0;
        while file.len() >= HEADER_BYTES as u64 && offset < file.len() {
            let len = usize::try_from(file.len() - offset).unwrap_or(usize::MAX).min(chunk.len());
            file.read_exact_at(offset, &mut chunk[..len])?;
            if chunk[..len].iter().any(|byte| *byte != 0) {
                return Ok(false);
            }
            offset += len as u64;
        }
        Ok(true)
    }

    /// Reads every segment to its end.
    fn scan(&self, segments: &BTreeSet<Seq>) -> Result<Scan, PortError> {
        let mut scan = Scan { last: Seq::ZERO, last_stamp: None, sizes: VecDeque::new() };
        let mut later = segments.iter().skip(1);
        for first in segments.iter().copied() {
            let through = later.next().map(|next| Seq(next.0 - 1));
            self.scan_segment(first, through, &mut scan)?;
        }
        Ok(scan)
    }

    /// Reads a segment up to and with record `through`, which must be there; the last one, which
    /// has none, as far as it is good.
    fn scan_segment(&self, first: Seq, through: Option<Seq>, scan: &mut Scan) -> Result<(), PortError> {
        let at_header = |why| unreadable(self.dir, first, 0, why);
        let mut reader = SegmentReader::open(&**self.vfs, self.dir, first).map_err(at_header)?;
        scan.last = Seq(first.0.saturating_sub(1));
        while through.is_none_or(|through| scan.last < through) {
            let offset = reader.offset();
            match reader.next() {
                Ok(Some(record)) => {
                    scan.last = record.seq;
                    scan.last_stamp = RecordView::parse(record.payload).ok().map(|view| view.received_at());
                    if record.seq > self.after {
                        let bytes = record_bytes(record.payload.len());
                        scan.sizes.push_back(u32::try_from(bytes).unwrap_or(u32::MAX));
                    }
                }
                Ok(None) if through.is_none() => break,
                Ok(None) => return Err(corrupt(first, offset, record::Flaw::CutShort)),
                Err(ReadError::Record(flaw)) if through.is_none() => {
                    return self.accept_torn_tail(first, reader, flaw);
                }
                Err(why) => return Err(unreadable(self.dir, first, offset, why)),
            }
        }
        Ok(())
    }

    fn accept_torn_tail(&self, first: Seq, mut reader: SegmentReader, flaw: record::Flaw) -> Result<(), PortError> {
        let offset = reader.offset();
        let later = reader.find_later_group().map_err(|why| unreadable(self.dir, first, offset, why.into()))?;
        if later.is_some() {
            return Err(corrupt(first, offset, flaw));
        }
        let segment = segment::file_name(first);
        tracing::warn!(segment, offset, reason = %flaw, "the journal's last group is torn and was not acknowledged");
        Ok(())
    }

    fn refuse_gap(&self, segments: &BTreeSet<Seq>) -> Result<(), PortError> {
        match segments.first() {
            Some(first) if *first > self.after.next() => {
                let why = format!("records {} to {} are missing", self.after.next(), first.0 - 1);
                Err(corrupt(*first, HEADER_BYTES as u64, why))
            }
            _ => Ok(()),
        }
    }

    /// Writes the last segment anew with its records up to `last`, or removes it if it has none. Says what is
    /// left to do when there is no room for that.
    fn renew_last(
        &self,
        segments: &mut BTreeSet<Seq>,
        last: Seq,
    ) -> Result<(Option<Active>, Option<Renewal>), PortError> {
        let Some(first) = segments.last().copied() else { return Ok((None, None)) };
        if first > last {
            self.remove(segments, first)?;
            return Ok((None, None));
        }
        let path = segment::path(self.dir, first);
        let renewal = Renewal::new(&**self.vfs, self.dir, first, last).map_err(|why| file_error("read", &path, why))?;
        match renewal.run(self.vfs, self.dir) {
            Ok(active) => Ok((Some(active), None)),
            Err(why) if why.is_full() => {
                tracing::warn!("the disk is full: everything can be read, and nothing is taken until there is room");
                Ok((None, Some(renewal)))
            }
            Err(why) => Err(why.into_error(self.dir, first)),
        }
    }

    /// Removes all segments but the last one.
    fn keep_last(&self, segments: &mut BTreeSet<Seq>) -> Result<(), PortError> {
        while let Some(first) = segments.first().copied().filter(|_| segments.len() > 1) {
            self.remove(segments, first)?;
        }
        Ok(())
    }

    fn remove(&self, segments: &mut BTreeSet<Seq>, first: Seq) -> Result<(), PortError> {
        let path = segment::path(self.dir, first);
        self.vfs.remove(&path).map_err(|why| file_error("remove", &path, why))?;
        segments.remove(&first);
        Ok(())
    }
}
