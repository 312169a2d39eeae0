//! Writes the last segment anew, so that no record that is appended later stands behind bytes that only the page
//! cache holds. Each attempt makes a new file and changes the old one in nothing, so it can be repeated.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use domain::position::Seq;
use ports::{ErrorKind, PortError};
use vfs::{Publisher, Vfs};

use crate::failure::{Failure, file_error, kind_of};
use crate::reader::{ReadError, SegmentReader, corrupt};
use crate::record;
use crate::segment::{self, Active, Header};

/// A segment that is to be written anew.
#[derive(Debug)]
pub(crate) struct Renewal {
    first: Seq,
    last: Seq,
    /// Room that it needs at most.
    pub(crate) bytes: u64,
}

/// Why a segment was not written anew. The old one is as it was, or the new one has taken its place.
#[derive(Debug)]
pub(crate) enum RenewalError {
    /// Nothing has happened.
    Unchanged(ReadError),
    /// What is on disk is unknown, but for a disk that was full.
    Unknown(io::Error),
}

impl Renewal {
    /// For the segment that begins with record `first`, up to and with record `last`.
    pub(crate) fn new(vfs: &dyn Vfs, dir: &Path, first: Seq, last: Seq) -> io::Result<Self> {
        Ok(Self { first, last, bytes: vfs.open_read(&segment::path(dir, first))?.len() })
    }

    /// Writes it, durably, and opens it at its end.
    pub(crate) fn run(&self, vfs: &Arc<dyn Vfs>, dir: &Path) -> Result<Active, RenewalError> {
        let header = Header::new(self.first);
        let publisher = self.copy(vfs, dir, &header).map_err(RenewalError::Unchanged)?;
        publisher.finish().map_err(RenewalError::Unknown)?;
        Active::open(vfs, dir, &header).map_err(|why| RenewalError::Unchanged(why.into()))
    }

    fn copy(&self, vfs: &Arc<dyn Vfs>, dir: &Path, header: &Header) -> Result<Publisher, ReadError> {
        let mut reader = SegmentReader::open(&**vfs, dir, self.first)?;
        let mut publisher = segment::begin(vfs, dir, header)?;
        let mut bytes = Vec::new();
        while reader.expected() <= self.last {
            let record = reader.next()?.ok_or(record::Flaw::CutShort)?;
            bytes.clear();
            record::encode(&mut bytes, header.id, record.seq, 0, record.payload);
            publisher.write_all(&bytes)?;
        }
        Ok(publisher)
    }
}

impl RenewalError {
    /// Whether only room was missing.
    pub(crate) fn is_full(&self) -> bool {
        let (Self::Unchanged(ReadError::Io(why)) | Self::Unknown(why)) = self else { return false };
        kind_of(why) == ErrorKind::Full
    }

    /// What it means to whoever opens the journal.
    pub(crate) fn into_error(self, dir: &Path, first: Seq) -> PortError {
        match self {
            Self::Unchanged(ReadError::Io(why)) | Self::Unknown(why) => {
                file_error("renew", &segment::path(dir, first), why)
            }
            Self::Unchanged(why) => corrupt(first, 0, why),
        }
    }
}

/// What it means to those whose records wait.
impl From<RenewalError> for Failure {
    fn from(error: RenewalError) -> Self {
        let is_full = error.is_full();
        match error {
            RenewalError::Unknown(why) if is_full => Self::refused(why),
            RenewalError::Unchanged(ReadError::Io(why)) => Self::refused(why),
            RenewalError::Unchanged(why) => Self::Poisoned(format!("write the last segment anew: {why}")),
            RenewalError::Unknown(why) => Self::Poisoned(format!("write the last segment anew: {why}")),
        }
    }
}
