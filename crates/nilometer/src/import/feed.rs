//! The bytes of a file as they are read: a window that slides over the content, and the place in the
//! file at which it stands. Holds one window and nothing else.

use std::io::{self, Read};

/// Bytes asked of the source at once.
const READ_BYTES: usize = 1 << 20;

/// A place in a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Place {
    /// Bytes before it, after decompression; for a table of rows without lines, rows.
    pub(crate) offset: u64,
    /// Lines before it.
    pub(crate) lines: u64,
}

/// Reads a file from front to back.
pub(super) struct Feed {
    source: Box<dyn Read + Send>,
    buffer: Vec<u8>,
    start: usize,
    place: Place,
    ended: bool,
    /// Why nothing can be read behind the bytes in sight.
    fault: Option<io::Error>,
}

impl Feed {
    /// Stands at the beginning of `source`.
    pub(super) fn new(source: Box<dyn Read + Send>) -> Self {
        Self { source, buffer: Vec::new(), start: 0, place: Place::default(), ended: false, fault: None }
    }

    /// The bytes in sight.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    /// Whether nothing comes behind the bytes in sight.
    pub(super) fn is_last(&self) -> bool {
        self.ended
    }

    /// Where the bytes in sight begin.
    pub(super) fn place(&self) -> Place {
        self.place
    }

    /// Brings more bytes in sight, if there are any. Bytes before a fault come in sight before it is told.
    pub(super) fn fill(&mut self) -> io::Result<()> {
        if let Some(fault) = self.fault.take() {
            return Err(fault);
        }
        self.buffer.drain(..self.start);
        self.start = 0;
        let held = self.buffer.len();
        self.buffer.resize(held + READ_BYTES, 0);
        let mut filled = held;
        while filled < self.buffer.len() && !self.ended {
            match self.source.read(&mut self.buffer[filled..]) {
                Ok(0) => self.ended = true,
                Ok(bytes) => filled += bytes,
                Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
                Err(why) => {
                    self.fault = Some(why);
                    break;
                }
            }
        }
        self.buffer.truncate(filled);
        if filled > held { Ok(()) } else { self.fault.take().map_or(Ok(()), Err) }
    }

    /// Goes on at `place`, which must lie in sight.
    pub(super) fn move_to(&mut self, place: Place) {
        let passed = usize::try_from(place.offset.saturating_sub(self.place.offset)).unwrap_or(usize::MAX);
        self.start = self.start.saturating_add(passed).min(self.buffer.len());
        self.place = place;
    }

    /// Goes on behind the next `bytes` bytes.
    pub(super) fn consume(&mut self, bytes: usize) {
        let end = (self.start + bytes).min(self.buffer.len());
        let passed = &self.buffer[self.start..end];
        self.place.offset += passed.len() as u64;
        self.place.lines += passed.iter().filter(|byte| **byte == b'\n').count() as u64;
        self.start = end;
    }

    /// Goes on at `place`, which must not lie before the present one.
    pub(super) fn skip_to(&mut self, place: Place) -> io::Result<()> {
        while self.place.offset < place.offset {
            if self.bytes().is_empty() {
                if self.ended {
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file is shorter than it was"));
                }
                self.fill()?;
            }
            let left = usize::try_from(place.offset - self.place.offset).unwrap_or(usize::MAX);
            self.consume(left.min(self.bytes().len()));
        }
        Ok(())
    }
}
