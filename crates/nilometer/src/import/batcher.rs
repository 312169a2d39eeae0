//! Puts rows into batches, on the thread that reads them. A batch is sent on when it is due, with the
//! range of the file that its rows come from, so that the checkpoint can say how far the file is done.

use domain::event::Candidate;
use domain::limits::REJECT_RAW_BYTES_MAX;
use domain::rejection::Rejection;
use domain::warning::Warning;
use tokio::sync::mpsc;

use super::input_reader::FilePosition;
use super::rejects::Reject;
use super::rows::{Row, RowSink};
use super::summary::{FindingKind, Findings, Place};

/// Refused rows after which a batch is sent on.
const REJECTS_MAX: usize = 4_096;
/// Rows after which a batch is sent on.
const ROWS_MAX: u64 = 65_536;

/// Makes batches for one destination.
pub(crate) trait Packer {
    /// A batch.
    type Packed: Send + 'static;

    /// Adds an event, which stood as `raw` on line `line`. Says what looks like a mistake in it.
    fn take<'c>(&mut self, candidate: &'c Candidate<'c>, line: u64, raw: &[u8]) -> Result<Vec<Warning<'c>>, Rejection>;

    /// Whether the batch is full.
    fn is_due(&self) -> bool;

    /// The batch, unless it is empty; the next event begins another one.
    fn pack(&mut self) -> Option<Self::Packed>;
}

/// Rows on their way to a destination: the admitted ones packed for it, and the refused ones.
#[derive(Debug)]
pub(crate) struct ImportBatch<P> {
    /// `None` when all rows are refused.
    pub(crate) packed: Option<P>,
    /// Rows read.
    pub(crate) rows: u64,
    /// Bytes of those rows.
    pub(crate) bytes: u64,
    /// Rows refused by reading or admission.
    pub(crate) rejects: Vec<Reject>,
    /// What is warned about of those rows and of the file.
    pub(crate) warnings: Findings,
    /// The number of the file.
    pub(crate) file: usize,
    /// Where its first row begins in the file.
    pub(crate) from: FilePosition,
    /// Where its last row ends in the file.
    pub(crate) after: FilePosition,
}

/// Reading must end, because the receiver of the batches is gone.
#[derive(Debug, thiserror::Error)]
#[error("stopped")]
pub(crate) struct Stopped;

/// Packs the rows of one file after the other.
#[derive(Debug)]
pub(crate) struct Batcher<'p, P: Packer> {
    packer: &'p mut P,
    out: mpsc::Sender<ImportBatch<P::Packed>>,
    file: usize,
    from: FilePosition,
    after: FilePosition,
    rows: u64,
    bytes: u64,
    rejects: Vec<Reject>,
    warnings: Findings,
}

impl<'p, P: Packer> Batcher<'p, P> {
    /// Sends what `packer` makes to `out`.
    pub(crate) fn new(packer: &'p mut P, out: mpsc::Sender<ImportBatch<P::Packed>>) -> Self {
        let (from, after) = Default::default();
        let (rejects, warnings) = Default::default();
        Self { packer, out, file: 0, from, after, rows: 0, bytes: 0, rejects, warnings }
    }

    /// Begins file number `file` at `from`.
    pub(crate) fn begin(&mut self, file: usize, from: FilePosition) {
        (self.file, self.from, self.after) = (file, from, from);
    }

    /// Sends what is there, at the end of a file.
    pub(crate) fn end(&mut self) -> Result<(), Stopped> {
        self.send()
    }

    /// Adds a generated event, which stands in no file.
    pub(crate) fn take_generated(&mut self, candidate: &Candidate<'_>, bytes: u64) -> Result<(), Stopped> {
        self.rows += 1;
        self.bytes += bytes;
        self.after.offset += 1;
        if let Err(why) = self.packer.take(candidate, self.after.offset, b"") {
            self.rejects.push(Reject::new(self.after.offset, &why, b""));
        }
        self.send_if_due()
    }

    fn send_if_due(&mut self) -> Result<(), Stopped> {
        if self.packer.is_due() || self.rejects.len() >= REJECTS_MAX || self.rows >= ROWS_MAX {
            self.send()?;
        }
        Ok(())
    }

    fn send(&mut self) -> Result<(), Stopped> {
        let batch = ImportBatch {
            packed: self.packer.pack(),
            rows: std::mem::take(&mut self.rows),
            bytes: std::mem::take(&mut self.bytes),
            rejects: std::mem::take(&mut self.rejects),
            warnings: std::mem::take(&mut self.warnings),
            file: self.file,
            from: std::mem::replace(&mut self.from, self.after),
            after: self.after,
        };
        self.out.blocking_send(batch).map_err(|_| Stopped)
    }
}

impl<P: Packer> RowSink for Batcher<'_, P> {
    fn take(&mut self, row: Row<'_, '_>) -> anyhow::Result<()> {
        let Row { line, raw, after, item } = row;
        self.rows += 1;
        self.bytes += raw.len() as u64;
        let raw = raw.trim_ascii_end();
        let refused = match item {
            Ok(candidate) => match self.packer.take(&candidate, line, raw) {
                Ok(warnings) => {
                    let place = Place { file: self.file, line };
                    warnings.iter().for_each(|warning| self.warnings.add_warning(warning, place));
                    None
                }
                Err(why) => Some(why),
            },
            Err((_, why)) => Some(why),
        };
        if let Some(why) = refused {
            self.rejects.push(Reject::new(line, &why, &raw[..raw.len().min(REJECT_RAW_BYTES_MAX)]));
        }
        self.after = after;
        Ok(self.send_if_due()?)
    }

    fn warn(&mut self, line: u64, code: &'static str, field: &str, message: &dyn Fn() -> String) {
        let place = Place { file: self.file, line };
        self.warnings.add(FindingKind::Warning, (code, field), place, message);
    }
}
