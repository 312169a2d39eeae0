//! One simulated file: the bytes that readers see, the bytes on the platter, and what was done in
//! between. Knows no names, no steps and no faults.

use std::io;
use std::ops::Range;

use rand::RngExt;
use rand::rngs::StdRng;

/// A file.
#[derive(Debug, Default)]
pub(super) struct Image {
    seen: Vec<u8>,
    durable: Vec<u8>,
    /// Done since the last sync.
    changes: Vec<Change>,
    /// Ranges that a failed sync has marked clean: seen, but never written.
    lost: Vec<Range<usize>>,
}

#[derive(Debug)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Truncate { len: usize },
}

impl Image {
    /// A durable file.
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self { seen: bytes.to_vec(), durable: bytes.to_vec(), ..Self::default() }
    }

    pub(super) fn seen(&self) -> &[u8] {
        &self.seen
    }

    pub(super) fn append(&mut self, bytes: &[u8]) {
        self.changes.push(Change::Write { offset: self.seen.len(), bytes: bytes.to_vec() });
        self.seen.extend_from_slice(bytes);
    }

    pub(super) fn truncate(&mut self, len: usize) {
        self.changes.push(Change::Truncate { len });
        self.seen.resize(len, 0);
        self.lost.retain_mut(|range| {
            range.end = range.end.min(len);
            range.start < range.end
        });
    }

    /// Makes what is seen durable, but for what an earlier failure has marked clean.
    pub(super) fn sync(&mut self) {
        let touched = self.changes.iter().map(|change| match change {
            Change::Write { offset, .. } => *offset,
            Change::Truncate { len } => *len,
        });
        let same = touched.min().unwrap_or(self.seen.len()).min(self.durable.len());
        if !self.changes.is_empty() {
            self.durable.truncate(same);
            self.durable.extend_from_slice(&self.seen[same..]);
        }
        for range in &self.lost {
            let end = range.end.min(self.durable.len());
            if let Some(bytes) = self.durable.get_mut(range.start..end) {
                bytes.fill(0);
            }
        }
        self.changes.clear();
    }

    /// Marks everything clean without writing it, as Linux does when a writeback fails.
    pub(super) fn fail_sync(&mut self) {
        for change in self.changes.drain(..) {
            if let Change::Write { offset, bytes } = change {
                self.lost.push(offset..(offset + bytes.len()).min(self.seen.len()));
            }
        }
    }

    /// Keeps what is durable, and of the rest what chance has it.
    pub(super) fn crash(&mut self, rng: &mut StdRng) {
        let mut left = std::mem::take(&mut self.durable);
        for change in self.changes.drain(..) {
            match change {
                Change::Write { offset, bytes } => survive(&mut left, offset, &bytes, rng),
                Change::Truncate { len } if rng.random_bool(0.5) => left.truncate(len),
                Change::Truncate { .. } => {}
            }
        }
        self.lost.clear();
        self.seen.clone_from(&left);
        self.durable = left;
    }

    pub(super) fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let bytes = self.seen.get(start..).and_then(|rest| rest.get(..buffer.len()));
        buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    pub(super) fn flip_bit(&mut self, bit: u64) -> io::Result<()> {
        let byte = usize::try_from(bit / 8).unwrap_or(usize::MAX);
        *self.seen.get_mut(byte).ok_or(io::ErrorKind::UnexpectedEof)? ^= 1 << (bit % 8);
        if let Some(durable) = self.durable.get_mut(byte) {
            *durable ^= 1 << (bit % 8);
        }
        Ok(())
    }
}

/// Writes to the platter what a power cut leaves of an unsynced append.
fn survive(left: &mut Vec<u8>, offset: usize, bytes: &[u8], rng: &mut StdRng) {
    let (kept, zeroed) = match rng.random_range(0..5) {
        0 => return,
        1 | 2 => (bytes.len(), bytes.len()),
        3 => {
            let kept = rng.random_range(0..=bytes.len());
            (kept, kept)
        }
        _ => {
            let kept = rng.random_range(0..=bytes.len());
            (kept, rng.random_range(kept..=bytes.len()))
        }
    };
    let end = offset + zeroed;
    if left.len() < end {
        left.resize(end, 0);
    }
    left[offset..offset + kept].copy_from_slice(&bytes[..kept]);
    left[offset + kept..end].fill(0);
}
