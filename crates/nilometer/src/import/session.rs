//! Keeps the account of an import: what was read, counted and refused; writes the reject file and the
//! checkpoint, the first always before the second.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::ensure;

use super::batcher::ImportBatch;
use super::checkpoint::Checkpoint;
use super::files::Input;
use super::progress::{Pace, Progress, Whole, rate};
use super::rejects::{Reject, RejectFile};
use clock::Stopwatch;

/// Time between two checkpoints.
const SAVE_INTERVAL: Duration = Duration::from_secs(1);
/// Refused rows that are shown when there is no reject file.
const SHOWN_MAX: u64 = 5;

/// What became of all rows.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Summary {
    pub(crate) rows: u64,
    pub(crate) accepted: u64,
    pub(crate) duplicates: u64,
    pub(crate) rejected: u64,
    /// Rows that were taken and could not be applied.
    pub(crate) dead_lettered: u64,
    pub(crate) elapsed: Duration,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rows, accepted, duplicates, rejected, dead_lettered, elapsed } = self;
        write!(f, "{rows} rows: {accepted} accepted, {duplicates} duplicates, {rejected} rejected")?;
        if *dead_lettered > 0 {
            write!(f, ", {dead_lettered} dead-lettered")?;
        }
        write!(f, " in {:.2} s ({:.0} rows/s)", elapsed.as_secs_f64(), rate(*rows, *elapsed))
    }
}

impl Summary {
    /// That every row which was taken is counted.
    ///
    /// # Errors
    /// When there are dead letters.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let rows = self.dead_lettered;
        ensure!(rows == 0, "{rows} rows are dead letters and not counted; the same command tries them again");
        Ok(())
    }
}

/// The account.
#[derive(Debug)]
pub(crate) struct ImportSession {
    files: Vec<Input>,
    rejects: Option<RejectFile>,
    checkpoint: Option<Checkpoint>,
    saved: Stopwatch,
    progress: Progress,
    /// Bytes read from files; `None` when rows are made and not read.
    meter: Option<Arc<AtomicU64>>,
    bytes: u64,
    summary: Summary,
}

impl ImportSession {
    /// The account of rows that are made here.
    pub(crate) fn of_made(rows: u64, pace: Pace) -> Self {
        Self::new(Vec::new(), None, Progress::start(Whole::Rows(rows), pace))
    }

    /// The account of `files` of so many bytes, of which `meter` counts those read.
    pub(crate) fn of_files(files: Vec<Input>, bytes: Option<u64>, meter: Arc<AtomicU64>) -> Self {
        let whole = bytes.map_or(Whole::Unknown, Whole::Bytes);
        Self::new(files, Some(meter), Progress::start(whole, Pace::Time))
    }

    fn new(files: Vec<Input>, meter: Option<Arc<AtomicU64>>, progress: Progress) -> Self {
        Self {
            files,
            rejects: None,
            checkpoint: None,
            saved: Stopwatch::start(),
            progress,
            meter,
            bytes: 0,
            summary: Summary::default(),
        }
    }

    /// Keeps a checkpoint, and says where files are gone on with.
    pub(crate) fn keep_checkpoint(&mut self, checkpoint: Checkpoint) {
        for file in &self.files {
            if file.from.offset > 0 {
                let line = file.from.lines + 1;
                self.progress.say(&format!("{}: goes on at line {line}, the rest is imported already", file.name));
            }
        }
        self.checkpoint = Some(checkpoint);
    }

    /// Writes refused rows to the file at `path`.
    pub(crate) fn keep_rejects(&mut self, path: &Path) -> anyhow::Result<()> {
        let keep = self.checkpoint.as_ref().and_then(Checkpoint::rejects);
        self.rejects = Some(RejectFile::open(path, keep)?);
        Ok(())
    }

    /// Notes that it is known what became of every row of `batch`.
    pub(crate) fn settled<P>(&mut self, batch: &ImportBatch<P>) -> anyhow::Result<()> {
        self.refuse(batch.file, &batch.rejects)?;
        self.summary.rows += batch.rows;
        self.bytes += batch.bytes;
        let file = self.files.get(batch.file).and_then(|file| file.identity.as_deref());
        if let (Some(checkpoint), Some(identity)) = (&mut self.checkpoint, file) {
            checkpoint.note(identity, batch.after);
        }
        if self.saved.elapsed() >= SAVE_INTERVAL {
            self.save()?;
        }
        let bytes = self.meter.as_ref().map_or(self.bytes, |meter| meter.load(Ordering::Relaxed));
        self.progress.show(self.summary.rows, bytes);
        Ok(())
    }

    /// Notes rows that the admission of the destination refused.
    pub(crate) fn refuse(&mut self, file: usize, rejects: &[Reject]) -> anyhow::Result<()> {
        let name = self.files.get(file).map_or("", |file| file.name.as_str());
        match &mut self.rejects {
            Some(file) => file.push(name, rejects)?,
            None => {
                for (number, reject) in (self.summary.rejected..SHOWN_MAX).zip(rejects) {
                    let more = if number + 1 == SHOWN_MAX {
                        " (further ones are not shown; --rejects FILE keeps all)"
                    } else {
                        ""
                    };
                    self.progress.say(&format!("rejected: {name} {reject}{more}"));
                }
            }
        }
        self.summary.rejected += rejects.len() as u64;
        Ok(())
    }

    /// Notes what became of rows that were taken.
    pub(crate) fn counted(&mut self, accepted: u64, duplicates: u64) {
        self.summary.accepted += accepted;
        self.summary.duplicates += duplicates;
    }

    /// Says that no batch was finished for a while.
    pub(crate) fn silent(&self, since: Duration, retry_timeout: Duration) {
        let (since, retry_timeout) = (since.as_secs(), retry_timeout.as_secs());
        self.progress.say(&format!(
            "no batch was finished for {since} s: the server is slow or gone; each is tried for up to {retry_timeout} s"
        ));
    }

    /// Notes that so many rows of `batch` became dead letters.
    pub(crate) fn dead_lettered<P>(&mut self, batch: &ImportBatch<P>, rows: u64, reason: &str) {
        self.summary.dead_lettered += rows;
        let place = self
            .files
            .get(batch.file)
            .map(|file| format!("{} lines {} to {}: ", file.name, batch.from.lines + 1, batch.after.lines));
        self.progress.say(&format!("dead-lettered: {}{rows} rows: {reason}", place.unwrap_or_default()));
    }

    /// Ends the account: with everything done, or so that a later run can go on.
    pub(crate) fn close(mut self, done: bool) -> anyhow::Result<Summary> {
        self.save()?;
        self.progress.end();
        if let Some(checkpoint) = self.checkpoint.take().filter(|_| done) {
            checkpoint.finish()?;
        }
        Ok(Summary { elapsed: self.progress.elapsed(), ..self.summary })
    }

    fn save(&mut self) -> anyhow::Result<()> {
        let rejects = self.rejects.as_mut().map(RejectFile::sync).transpose()?;
        // A dead letter is to be tried again, so that nothing behind it is ever skipped.
        if let Some(checkpoint) = self.checkpoint.as_mut().filter(|_| self.summary.dead_lettered == 0) {
            checkpoint.save(rejects.unwrap_or(0))?;
        }
        self.saved = Stopwatch::start();
        Ok(())
    }
}
