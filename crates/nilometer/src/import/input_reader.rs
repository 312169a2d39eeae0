//! Reads the bytes of a file through a window that slides over the content and knows its position. Holds
//! one window and nothing else.

use std::io::{self, Read};

/// Bytes asked of the source at once.
const READ_BYTES: usize = 1 << 20;

/// A position in a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct FilePosition {
    /// Bytes before the position, after decompression; for a table of rows without lines, rows.
    pub(crate) offset: u64,
    /// Lines before the position.
    pub(crate) lines: u64,
}

/// Reads a file from front to back.
pub(super) struct InputReader {
    source: Box<dyn Read + Send>,
    buffer: Vec<u8>,
    start: usize,
    position: FilePosition,
    ended: bool,
    /// Why nothing can be read behind the window.
    fault: Option<io::Error>,
}

impl InputReader {
    /// Stands at the beginning of `source`.
    pub(super) fn new(source: Box<dyn Read + Send>) -> Self {
        Self { source, buffer: Vec::new(), start: 0, position: FilePosition::default(), ended: false, fault: None }
    }

    /// The bytes in the window.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    /// Whether the window reaches the end of the file.
    pub(super) fn is_last(&self) -> bool {
        self.ended
    }

    /// Where the window begins.
    pub(super) fn position(&self) -> FilePosition {
        self.position
    }

    /// Reads more bytes into the window, if there are any. Bytes before a fault are given before the fault.
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

    /// Goes on at `position`, which must lie in the window.
    pub(super) fn move_to(&mut self, position: FilePosition) {
        let passed = usize::try_from(position.offset.saturating_sub(self.position.offset)).unwrap_or(usize::MAX);
        self.start = self.start.saturating_add(passed).min(self.buffer.len());
        self.position = position;
    }

    /// Goes on behind the next `bytes` bytes.
    pub(super) fn consume(&mut self, bytes: usize) {
        let end = (self.start + bytes).min(self.buffer.len());
        let passed = &self.buffer[self.start..end];
        self.position.offset += passed.len() as u64;
        self.position.lines += passed.iter().filter(|byte| **byte == b'\n').count() as u64;
        self.start = end;
    }

    /// Goes on at `position`, which must not lie before the present one.
    pub(super) fn skip_to(&mut self, position: FilePosition) -> io::Result<()> {
        while self.position.offset < position.offset {
            if self.bytes().is_empty() {
                if self.ended {
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file is shorter than it was"));
                }
                self.fill()?;
            }
            let left = usize::try_from(position.offset - self.position.offset).unwrap_or(usize::MAX);
            self.consume(left.min(self.bytes().len()));
        }
        Ok(())
    }
}
