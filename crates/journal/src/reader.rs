//! Reads one segment from its beginning, a chunk at a time. Says where and why reading ends and
//! leaves it to the caller whether that is the end, a torn tail or corruption.

use std::io;
use std::path::Path;
use std::sync::Arc;

use domain::position::Seq;
use ports::{ErrorKind, PortError};
use vfs::{ReadFile, Vfs};

use crate::failure::file_error;
use crate::record::{FRAME_BYTES, Flaw, Frame, MAGIC, record_bytes};
use crate::segment::{self, HEADER_BYTES, Header, HeaderFlaw};

/// Bytes read at once; more for a larger record.
const CHUNK_BYTES: usize = 1 << 20;

/// A segment being read.
#[derive(Debug)]
pub(crate) struct SegmentReader {
    header: Header,
    window: Window,
    offset: u64,
    expected: Seq,
}

/// A record that was read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Record<'r> {
    pub(crate) seq: Seq,
    pub(crate) payload: &'r [u8],
}

/// Why a segment cannot be read on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Header(#[from] HeaderFlaw),
    #[error(transparent)]
    Record(#[from] Flaw),
}

impl SegmentReader {
    /// Opens the segment that begins with record `first`.
    pub(crate) fn open(vfs: &dyn Vfs, dir: &Path, first: Seq) -> Result<Self, ReadError> {
        let mut window = Window::new(vfs.open_read(&segment::path(dir, first))?);
        let bytes = window.at(0, HEADER_BYTES)?.first_chunk().ok_or(HeaderFlaw::CutShort)?;
        let header = Header::decode(bytes)?;
        if header.first != first {
            return Err(HeaderFlaw::First(header.first).into());
        }
        Ok(Self { header, window, offset: HEADER_BYTES as u64, expected: first })
    }

    /// The record that the segment begins with.
    pub(crate) fn first(&self) -> Seq {
        self.header.first
    }

    /// Where the next record begins.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// The number of the next record.
    pub(crate) fn expected(&self) -> Seq {
        self.expected
    }

    /// The next record, or `None` at the end of the file. After an error it is not to be used again,
    /// but for [`SegmentReader::find_later_group`].
    pub(crate) fn next(&mut self) -> Result<Option<Record<'_>>, ReadError> {
        if self.offset == self.window.file_bytes() {
            return Ok(None);
        }
        let expected = self.expected;
        let (frame, bytes) = record_at(&mut self.window, &self.header, self.offset)?;
        if frame.seq != expected {
            return Err(Flaw::Number { found: frame.seq, expected }.into());
        }
        self.offset += bytes.len() as u64;
        self.expected = expected.next();
        Ok(Some(Record { seq: frame.seq, payload: &bytes[frame.payload()] }))
    }

    /// After a flaw: where, behind it, a record of a later group stands. That group was begun when
    /// the flawed record was durable already, so the flaw is not a torn tail.
    pub(crate) fn find_later_group(&mut self) -> io::Result<Option<u64>> {
        let mut offset = self.offset + 1;
        while let Some(found) = self.window.find_magic(offset)? {
            offset = match record_at(&mut self.window, &self.header, found) {
                Ok((frame, _)) if frame.group_first() > self.expected => return Ok(Some(found)),
                Ok((_, bytes)) => found + bytes.len() as u64,
                Err(ReadError::Io(why)) => return Err(why),
                Err(_) => found + 1,
            };
        }
        Ok(None)
    }
}

/// The record at `offset`: its frame and all its bytes.
fn record_at<'w>(window: &'w mut Window, header: &Header, offset: u64) -> Result<(Frame, &'w [u8]), ReadError> {
    let frame = Frame::parse(window.at(offset, FRAME_BYTES)?)?;
    let len = record_bytes(frame.payload_bytes());
    let bytes = window.at(offset, len)?;
    if bytes.len() < len {
        return Err(Flaw::CutShort.into());
    }
    frame.check(header.id, &bytes[frame.payload()])?;
    Ok((frame, bytes))
}

/// Stored bytes that are not what was written.
pub(crate) fn corrupt(first: Seq, offset: u64, why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> PortError {
    let name = segment::file_name(first);
    PortError::new(ErrorKind::Corrupt, format!("read the journal segment {name} at byte {offset}")).because(why)
}

/// A failure to read the segment that begins with record `first`.
pub(crate) fn unreadable(dir: &Path, first: Seq, offset: u64, why: ReadError) -> PortError {
    match why {
        ReadError::Io(why) => file_error("read", &segment::path(dir, first), why),
        why => corrupt(first, offset, why),
    }
}

/// The part of a file that is in memory.
#[derive(Debug)]
struct Window {
    file: Arc<dyn ReadFile>,
    start: u64,
    bytes: Vec<u8>,
}

impl Window {
    fn new(file: Arc<dyn ReadFile>) -> Self {
        Self { file, start: 0, bytes: Vec::new() }
    }

    fn file_bytes(&self) -> u64 {
        self.file.len()
    }

    /// `len` bytes from `offset`, fewer where the file ends before.
    fn at(&mut self, offset: u64, len: usize) -> io::Result<&[u8]> {
        let left = usize::try_from(self.file_bytes().saturating_sub(offset)).unwrap_or(usize::MAX);
        let len = len.min(left);
        if self.from(offset).len() < len {
            self.bytes.resize(len.max(CHUNK_BYTES.min(left)), 0);
            self.start = offset;
            let read = self.file.read_exact_at(offset, &mut self.bytes);
            read.inspect_err(|_| self.bytes.clear())?;
        }
        Ok(&self.from(offset)[..len])
    }

    /// What is in memory from `offset` on.
    fn from(&self, offset: u64) -> &[u8] {
        let skip = offset.checked_sub(self.start).and_then(|skip| usize::try_from(skip).ok());
        skip.and_then(|skip| self.bytes.get(skip..)).unwrap_or_default()
    }

    /// Where, from `offset` on, a record might begin.
    fn find_magic(&mut self, mut offset: u64) -> io::Result<Option<u64>> {
        while self.at(offset, MAGIC.len())?.len() == MAGIC.len() {
            let bytes = self.from(offset);
            if let Some(skip) = bytes.windows(MAGIC.len()).position(|window| window == MAGIC) {
                return Ok(Some(offset + skip as u64));
            }
            offset += (bytes.len() - MAGIC.len() + 1) as u64;
        }
        Ok(None)
    }
}
