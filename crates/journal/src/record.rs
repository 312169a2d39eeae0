//! The frame of one record in a segment. The checksum covers the segment's id, so that bytes of
//! another file are never taken for a record, and neither a frame of zeros nor a torn one is valid.
//! Decoding any bytes gives a record or a [`Flaw`], never a panic.
//!
//! ```text
//! record  magic u32 | len u32 | crc32c u32 | seq u64 | index u32 | len × payload byte
//! crc32c  masked, over: segment id [16] | seq | len | index | payload
//! ```
//! Integers are little-endian. `index` counts the records of the same group, made durable by one
//! sync, that stand before this one: everything before its group was durable when it was written.

use std::ops::Range;

use domain::position::Seq;

use crate::checksum::mask;
use crate::segment::SegmentId;

/// Bytes of a frame before its payload.
pub(crate) const FRAME_BYTES: usize = 24;
/// Largest payload, in bytes.
pub(crate) const PAYLOAD_BYTES_MAX: usize = 256 << 20;
/// Begins every record. No text in UTF-8 holds these bytes.
pub(crate) const MAGIC: [u8; 4] = [0xf5, b'N', b'r', 0xfb];

/// Bytes of a record with a payload of this length.
pub(crate) const fn record_bytes(payload_bytes: usize) -> usize {
    FRAME_BYTES + payload_bytes
}

/// The fixed part of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) seq: Seq,
    pub(crate) index: u32,
    len: u32,
    crc: u32,
}

impl Frame {
    /// Reads a frame; only [`Frame::check`] tells whether it is to be believed.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Flaw> {
        let bytes: &[u8; FRAME_BYTES] = bytes.first_chunk().ok_or(Flaw::CutShort)?;
        let [magic, len, crc] = [0, 4, 8].map(|at| [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        if magic != MAGIC {
            return Err(Flaw::Magic);
        }
        let mut seq = [0; 8];
        seq.copy_from_slice(&bytes[12..20]);
        let index = [bytes[20], bytes[21], bytes[22], bytes[23]];
        let frame = Self {
            seq: Seq(u64::from_le_bytes(seq)),
            index: u32::from_le_bytes(index),
            len: u32::from_le_bytes(len),
            crc: u32::from_le_bytes(crc),
        };
        if frame.payload_bytes() > PAYLOAD_BYTES_MAX {
            return Err(Flaw::Length);
        }
        Ok(frame)
    }

    /// Length of the payload that the frame promises.
    pub(crate) fn payload_bytes(&self) -> usize {
        self.len as usize
    }

    /// Where the payload lies, counted from the beginning of the record.
    pub(crate) fn payload(&self) -> Range<usize> {
        FRAME_BYTES..record_bytes(self.payload_bytes())
    }

    /// The first record of its group.
    pub(crate) fn group_first(&self) -> Seq {
        Seq(self.seq.0.saturating_sub(u64::from(self.index)))
    }

    /// Checks the frame and its payload.
    pub(crate) fn check(&self, segment: SegmentId, payload: &[u8]) -> Result<(), Flaw> {
        if self.crc == checksum(segment, self.seq, self.index, payload) { Ok(()) } else { Err(Flaw::Checksum) }
    }
}

/// Appends a record to `out`.
pub(crate) fn encode(out: &mut Vec<u8>, segment: SegmentId, seq: Seq, index: u32, payload: &[u8]) {
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&len_of(payload).to_le_bytes());
    out.extend_from_slice(&checksum(segment, seq, index, payload).to_le_bytes());
    out.extend_from_slice(&seq.0.to_le_bytes());
    out.extend_from_slice(&index.to_le_bytes());
    out.extend_from_slice(payload);
}

/// The length as stored. Appends refuse what is longer than [`PAYLOAD_BYTES_MAX`].
fn len_of(payload: &[u8]) -> u32 {
    u32::try_from(payload.len()).unwrap_or(u32::MAX)
}

fn checksum(segment: SegmentId, seq: Seq, index: u32, payload: &[u8]) -> u32 {
    let mut head = [0; 16];
    head[..8].copy_from_slice(&seq.0.to_le_bytes());
    head[8..12].copy_from_slice(&len_of(payload).to_le_bytes());
    head[12..].copy_from_slice(&index.to_le_bytes());
    let crc = crc32c::crc32c_append(segment.checksum_seed(), &head);
    mask(crc32c::crc32c_append(crc, payload))
}

/// Why bytes are no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Flaw {
    #[error("the file ends before the record does")]
    CutShort,
    #[error("no record begins here")]
    Magic,
    #[error("the record's length is impossible")]
    Length,
    #[error("the record's checksum does not match")]
    Checksum,
    #[error("the record has the number {found} instead of {expected}")]
    Number { found: Seq, expected: Seq },
}

#[cfg(test)]
mod tests;
