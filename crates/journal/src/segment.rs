//! A segment file: its name, its header, and how a new one comes to be. It exists under its name
//! only with a durable header, before the first record.
//!
//! ```text
//! name    first_seq as 20 digits, ".journal"
//! file    header | record…
//! header  magic [8] | version u32 = 1 | id [16] | first_seq u64 | crc32c u32, masked, over all before
//! ```
//! Integers are little-endian. The id is random and never used again.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use domain::position::Seq;
use vfs::{Publisher, Vfs, WriteFile};

use crate::checksum::mask;
use crate::failure::Failure;

/// Bytes of a segment before its first record.
pub(crate) const HEADER_BYTES: usize = 40;
const MAGIC: [u8; 8] = *b"NILOJRNL";
const VERSION: u32 = 1;
const NAME_SUFFIX: &str = ".journal";
/// Makes the checksum of nothing but zeros differ from zero.
const CHECKSUM_SEED: u32 = 0x6e69_6c6f;

/// Tells the records of one segment from those of any other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentId([u8; 16]);

impl SegmentId {
    pub(crate) fn random() -> Self {
        Self(rand::random())
    }

    /// The checksum of the id, which that of every record goes on from.
    pub(crate) fn checksum_seed(self) -> u32 {
        crc32c::crc32c_append(CHECKSUM_SEED, &self.0)
    }
}

/// What a segment says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) id: SegmentId,
    pub(crate) first: Seq,
}

impl Header {
    /// The header of a new segment.
    pub(crate) fn new(first: Seq) -> Self {
        Self { id: SegmentId::random(), first }
    }

    pub(crate) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..28].copy_from_slice(&self.id.0);
        bytes[28..36].copy_from_slice(&self.first.0.to_le_bytes());
        let crc = checksum(&bytes[..36]);
        bytes[36..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8; HEADER_BYTES]) -> Result<Self, HeaderFlaw> {
        if bytes[..8] != MAGIC {
            return Err(HeaderFlaw::Magic);
        }
        if bytes[36..] != checksum(&bytes[..36]).to_le_bytes() {
            return Err(HeaderFlaw::Checksum);
        }
        let version = u32::from_le_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]);
        if version != VERSION {
            return Err(HeaderFlaw::Version(version));
        }
        let mut id = [0; 16];
        id.copy_from_slice(&bytes[12..28]);
        let mut first = [0; 8];
        first.copy_from_slice(&bytes[28..36]);
        Ok(Self { id: SegmentId(id), first: Seq(u64::from_le_bytes(first)) })
    }
}

fn checksum(bytes: &[u8]) -> u32 {
    mask(crc32c::crc32c_append(CHECKSUM_SEED, bytes))
}

/// Why a file's beginning is no header of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HeaderFlaw {
    #[error("the file ends before its header does")]
    CutShort,
    #[error("the file does not begin like a journal segment")]
    Magic,
    #[error("the header's checksum does not match")]
    Checksum,
    #[error("version {0} of the journal is not known to this program")]
    Version(u32),
    #[error("the header says that the file begins with record {0}")]
    First(Seq),
}

/// The name of the segment that begins with record `first`.
pub(crate) fn file_name(first: Seq) -> String {
    format!("{:020}{NAME_SUFFIX}", first.0)
}

/// The path of the segment that begins with record `first`.
pub(crate) fn path(dir: &Path, first: Seq) -> PathBuf {
    dir.join(file_name(first))
}

/// The record that the segment with this name begins with; `None` when it is no segment's name.
pub(crate) fn first_of(name: &str) -> Option<Seq> {
    let digits = name.strip_suffix(NAME_SUFFIX)?;
    let first = digits.parse().ok().map(Seq)?;
    (file_name(first) == name).then_some(first)
}

/// The segment that records are appended to. All its bytes up to `len` are good.
#[derive(Debug)]
pub(crate) struct Active {
    pub(crate) file: Box<dyn WriteFile>,
    pub(crate) id: SegmentId,
    pub(crate) len: u64,
}

impl Active {
    /// Begins a segment with record `first`. A leftover without records under its name is replaced.
    pub(crate) fn create(vfs: &Arc<dyn Vfs>, dir: &Path, first: Seq) -> Result<Self, Failure> {
        let header = Header::new(first);
        let publisher = begin(vfs, dir, &header).map_err(Failure::refused)?;
        publisher.finish().map_err(|why| Failure::Poisoned(format!("begin a segment: {why}")))?;
        Self::open(vfs, dir, &header).map_err(Failure::refused)
    }

    /// Opens a published segment at its end.
    pub(crate) fn open(vfs: &Arc<dyn Vfs>, dir: &Path, header: &Header) -> io::Result<Self> {
        let file = vfs.open_append(&path(dir, header.first))?;
        let len = file.len();
        Ok(Self { file, id: header.id, len })
    }

    /// Whether there is a record in it.
    pub(crate) fn has_records(&self) -> bool {
        self.len > HEADER_BYTES as u64
    }
}

/// A segment on its way to publication, with its header handed to the disk.
pub(crate) fn begin(vfs: &Arc<dyn Vfs>, dir: &Path, header: &Header) -> io::Result<Publisher> {
    let mut publisher = Publisher::create(Arc::clone(vfs), dir, &file_name(header.first))?;
    publisher.write_all(&header.encode())?;
    publisher.flush()?;
    Ok(publisher)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail loudly")]

    use super::*;

    #[test]
    fn a_header_is_read_back_and_any_flipped_bit_is_noticed() {
        let header = Header::new(Seq(17));
        let bytes = header.encode();
        assert_eq!(Header::decode(&bytes), Ok(header));
        for bit in 0..HEADER_BYTES * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            Header::decode(&flipped).unwrap_err();
        }
        assert_eq!(Header::decode(&[0; HEADER_BYTES]), Err(HeaderFlaw::Magic));
    }

    #[test]
    fn a_newer_version_says_so() {
        let mut bytes = Header::new(Seq(1)).encode();
        bytes[8] = 2;
        let crc = checksum(&bytes[..36]).to_le_bytes();
        bytes[36..].copy_from_slice(&crc);
        assert_eq!(Header::decode(&bytes), Err(HeaderFlaw::Version(2)));
    }

    #[test]
    fn only_its_own_names_are_segments() {
        assert_eq!(first_of(&file_name(Seq(17))), Some(Seq(17)));
        assert_eq!(first_of(&file_name(Seq(u64::MAX))), Some(Seq(u64::MAX)));
        for name in
            ["17.journal", "00000000000000000017", "00000000000000000017.journal.tmp", "+0000000000000000017.journal"]
        {
            assert_eq!(first_of(name), None, "{name}");
        }
    }
}
