//! The bytes of a journal segment, read and written here by the book (`docs/formats/journal-record.md`)
//! and not by the product's own code.

use std::ops::Range;
use std::path::{Path, PathBuf};

use super::files;

const HEADER_BYTES: usize = 40;
const FRAME_BYTES: usize = 24;
const MAGIC: [u8; 4] = [0xf5, b'N', b'r', 0xfb];

/// A segment file.
pub(crate) struct JournalFile {
    pub(crate) path: PathBuf,
    pub(crate) bytes: Vec<u8>,
    /// Where each record stands, in order.
    pub(crate) records: Vec<Range<usize>>,
}

impl JournalFile {
    /// The last segment of the journal in a data folder.
    pub(crate) fn last_of(data: &Path) -> Self {
        let path = files::with_suffix(&data.join("journal"), ".journal").pop().unwrap();
        let bytes = files::read(&path);
        let mut records = Vec::new();
        let mut at = HEADER_BYTES;
        while at < bytes.len() {
            assert_eq!(bytes[at..at + 4], MAGIC, "{} at {at}", path.display());
            let length = u32::from_le_bytes(bytes[at + 4..at + 8].try_into().unwrap());
            let end = at + FRAME_BYTES + usize::try_from(length).unwrap();
            records.push(at..end);
            at = end;
        }
        Self { path, bytes, records }
    }

    /// Appends a record with this payload, framed as the writer would.
    pub(crate) fn append(&self, payload: &[u8]) {
        let last = self.records.last().unwrap();
        let number = u64::from_le_bytes(self.bytes[last.start + 12..last.start + 20].try_into().unwrap()) + 1;
        let length = u32::try_from(payload.len()).unwrap();
        let id = &self.bytes[12..28];
        let index = 0_u32;
        let covered = [id, &number.to_le_bytes(), &length.to_le_bytes(), &index.to_le_bytes(), payload].concat();
        let checksum = crc32c(0x6e69_6c6f, &covered).rotate_right(15).wrapping_add(0xa282_ead8);
        let frame = [
            &MAGIC[..],
            &length.to_le_bytes(),
            &checksum.to_le_bytes(),
            &number.to_le_bytes(),
            &index.to_le_bytes(),
            payload,
        ];
        files::write(&self.path, &[&self.bytes[..], &frame.concat()].concat());
    }
}

/// CRC-32C, going on from `seed`.
fn crc32c(seed: u32, bytes: &[u8]) -> u32 {
    let step = |crc: u32| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
    !bytes.iter().fold(!seed, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc)))
}
