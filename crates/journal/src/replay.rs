//! Hands out the records that were durable before the journal was opened: reads the segments again,
//! lazily, a few megabytes at a time.

use std::sync::Arc;

use bytes::Bytes;
use domain::position::Seq;
use ports::PortError;
use ports::journal::Delivery;

use crate::folder::Folder;
use crate::queue::HAND_OUT_BYTES_MAX;
use crate::reader::{SegmentReader, corrupt};
use crate::record::Flaw;

/// The records from `next` to `last`.
#[derive(Debug)]
pub(crate) struct Replay {
    folder: Arc<Folder>,
    next: Seq,
    last: Seq,
    open: Option<OpenSegment>,
}

/// The segment that holds `next`.
#[derive(Debug)]
struct OpenSegment {
    reader: SegmentReader,
    /// The first record of the next segment: what stands here behind the one before it is no record.
    end: Option<Seq>,
}

impl Replay {
    /// A replay of the records after `after`, up to and with `last`.
    pub(crate) fn new(folder: Arc<Folder>, after: Seq, last: Seq) -> Self {
        Self { folder, next: after.next(), last, open: None }
    }

    /// The next records; empty when all are handed out. Trimmed ones are left out.
    pub(crate) fn next_records(&mut self) -> Result<Vec<Delivery>, PortError> {
        let mut deliveries = Vec::new();
        let mut bytes = 0;
        while self.next <= self.last && bytes < HAND_OUT_BYTES_MAX {
            match self.next_record() {
                Ok(Some((seq, payload))) => {
                    bytes += payload.len();
                    self.next = seq.next();
                    deliveries.push(Delivery { id: seq.into(), payload });
                }
                Ok(None) => self.next = self.last.next(),
                // Give what was read; the next call meets the error again.
                Err(_) if !deliveries.is_empty() => break,
                Err(why) => return Err(why),
            }
        }
        Ok(deliveries)
    }

    /// The record `next`, or the first one after it that has not been trimmed.
    fn next_record(&mut self) -> Result<Option<(Seq, Bytes)>, PortError> {
        loop {
            let Some(OpenSegment { mut reader, end }) = self.segment()? else { return Ok(None) };
            let seq = reader.expected();
            let payload = match reader.next() {
                Ok(Some(record)) => Bytes::copy_from_slice(record.payload),
                Ok(None) => return Err(corrupt(reader.first(), reader.offset(), Flaw::CutShort)),
                Err(why) => return Err(self.folder.unreadable(&reader, why)),
            };
            self.open = Some(OpenSegment { reader, end });
            if seq >= self.next {
                return Ok(Some((seq, payload)));
            }
        }
    }

    /// Takes the segment to read from; it is put back when it can be read on.
    fn segment(&mut self) -> Result<Option<OpenSegment>, PortError> {
        let holds_next = |open: &OpenSegment| open.end.is_none_or(|end| self.next < end);
        if let Some(open) = self.open.take().filter(holds_next) {
            return Ok(Some(open));
        }
        let found = self.folder.open(self.next)?;
        Ok(found.map(|(reader, end)| OpenSegment { reader, end }).filter(|open| open.reader.first() <= self.last))
    }
}
