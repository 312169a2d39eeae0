//! The state of a running import: counts of what was read, counted and refused, the reject file, the
//! checkpoint and the progress shown. The reject file is always written before the checkpoint.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::ensure;

use super::batcher::ImportBatch;
use super::checkpoint::Checkpoint;
use super::files::Input;
use super::progress::{LineInterval, Progress, Total, rate};
use super::rejects::{Reject, RejectFile};
use super::summary::{FindingKind, Findings, Place};
use clock::Stopwatch;

/// Time between two checkpoints.
const SAVE_INTERVAL: Duration = Duration::from_secs(1);
/// Refused rows that are shown when there is no reject file.
const SHOWN_MAX: u64 = 5;

/// Counts of the outcomes of all rows.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Summary {
    pub(crate) rows: u64,
    pub(crate) accepted: u64,
    pub(crate) duplicates: u64,
    pub(crate) rejected: u64,
    /// Rows that were accepted and could not be applied.
    pub(crate) dead_lettered: u64,
    pub(crate) warnings: u64,
    /// Rows that earlier runs of the same import have taken.
    taken_before: u64,
    pub(crate) elapsed: Duration,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rows, accepted, duplicates, rejected, dead_lettered, warnings, taken_before: _, elapsed } = self;
        write!(f, "{rows} rows: {accepted} accepted, {duplicates} duplicates, {rejected} rejected")?;
        if *dead_lettered > 0 {
            write!(f, ", {dead_lettered} dead-lettered")?;
        }
        if *warnings > 0 {
            write!(f, ", {warnings} warnings")?;
        }
        write!(f, " in {:.2} s ({:.0} rows/s)", elapsed.as_secs_f64(), rate(*rows, *elapsed))
    }
}

impl Summary {
    /// Whether no row was taken, now or in an earlier run of the same import.
    pub(crate) fn took_nothing(&self) -> bool {
        self.taken() + self.dead_lettered == 0
    }

    fn taken(&self) -> u64 {
        self.taken_before + self.accepted + self.duplicates
    }

    /// Checks that every accepted row is counted.
    ///
    /// # Errors
    /// When there are dead letters.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let rows = self.dead_lettered;
        ensure!(rows == 0, "{rows} rows are dead letters and not counted; the same command tries them again");
        Ok(())
    }
}

/// A running import. Batches are settled in the order of the files.
#[derive(Debug)]
pub(crate) struct ImportSession {
    files: Vec<Input>,
    rejects: Option<RejectFile>,
    checkpoint: Option<Checkpoint>,
    saved: Stopwatch,
    progress: Progress,
    /// Bytes read from files; `None` for generated events.
    meter: Option<Arc<AtomicU64>>,
    bytes: u64,
    summary: Summary,
    findings: Findings,
}

impl ImportSession {
    /// An import of `rows` generated events.
    pub(crate) fn for_generated(rows: u64, interval: LineInterval) -> Self {
        Self::new(Vec::new(), None, Progress::start(Total::Rows(rows), interval))
    }

    /// An import of `files` with `bytes` bytes together; `meter` counts the bytes read.
    pub(crate) fn for_files(files: Vec<Input>, bytes: Option<u64>, meter: Arc<AtomicU64>) -> Self {
        let whole = bytes.map_or(Total::Unknown, Total::Bytes);
        Self::new(files, Some(meter), Progress::start(whole, LineInterval::Time))
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
            findings: Findings::default(),
        }
    }

    /// Keeps `checkpoint`, and prints where each file resumes.
    pub(crate) fn keep_checkpoint(&mut self, checkpoint: Checkpoint) {
        for file in &self.files {
            if file.from.offset > 0 {
                let line = file.from.lines + 1;
                self.progress
                    .print_line(&format!("{}: goes on at line {line}, the rest is imported already", file.name));
            }
        }
        self.summary.taken_before = checkpoint.taken();
        self.checkpoint = Some(checkpoint);
    }

    /// Writes refused rows to the file at `path`.
    pub(crate) fn keep_rejects(&mut self, path: &Path) -> anyhow::Result<()> {
        let keep = self.checkpoint.as_ref().and_then(Checkpoint::rejects);
        self.rejects = Some(RejectFile::open(path, keep)?);
        Ok(())
    }

    /// Notes that the outcome of every row of `batch` is known.
    pub(crate) fn settled<P>(&mut self, batch: &ImportBatch<P>) -> anyhow::Result<()> {
        self.refuse(batch.file, &batch.rejects)?;
        self.findings.merge(&batch.warnings);
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

    /// Adds refused rows of file number `file`.
    pub(crate) fn refuse(&mut self, file: usize, rejects: &[Reject]) -> anyhow::Result<()> {
        for Reject { line, code, field, message, .. } in rejects {
            let (place, field) = (Place { file, line: *line }, field.as_deref().unwrap_or_default());
            self.findings.add(FindingKind::Rejected, (code, field), place, || message.clone());
        }
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
                    self.progress.print_line(&format!("rejected: {name} {reject}{more}"));
                }
            }
        }
        self.summary.rejected += rejects.len() as u64;
        Ok(())
    }

    /// Adds accepted and duplicate rows.
    pub(crate) fn counted(&mut self, accepted: u64, duplicates: u64) {
        self.summary.accepted += accepted;
        self.summary.duplicates += duplicates;
    }

    /// Reports that no batch was finished for a while.
    pub(crate) fn report_silence(&self, since: Duration, retry_timeout: Duration) {
        let (since, retry_timeout) = (since.as_secs(), retry_timeout.as_secs());
        self.progress.print_line(&format!(
            "no batch was finished for {since} s: the server is slow or gone; each is tried for up to {retry_timeout} s"
        ));
    }

    /// Adds `rows` rows of `batch` that became dead letters.
    pub(crate) fn dead_lettered<P>(&mut self, batch: &ImportBatch<P>, rows: u64, reason: &str) {
        self.summary.dead_lettered += rows;
        let place = self
            .files
            .get(batch.file)
            .map(|file| format!("{} lines {} to {}: ", file.name, batch.from.lines + 1, batch.after.lines));
        self.progress.print_line(&format!("dead-lettered: {}{rows} rows: {reason}", place.unwrap_or_default()));
    }

    /// Ends the import: with everything done, or so that a later run can resume it. Prints what was refused
    /// and warned about, by code and field.
    pub(crate) fn close(mut self, done: bool) -> anyhow::Result<Summary> {
        self.save()?;
        self.progress.end();
        for line in self.findings.lines(|file| self.files.get(file).map_or("", |file| file.name.as_str())) {
            self.progress.print_line(&line);
        }
        self.summary.warnings = self.findings.warnings();
        if let Some(checkpoint) = self.checkpoint.take().filter(|_| done) {
            checkpoint.finish()?;
        }
        Ok(Summary { elapsed: self.progress.elapsed(), ..self.summary })
    }

    fn save(&mut self) -> anyhow::Result<()> {
        let rejects = self.rejects.as_mut().map(RejectFile::sync).transpose()?;
        // A later run sends dead letters again, so nothing behind one may ever be skipped.
        if let Some(checkpoint) = self.checkpoint.as_mut().filter(|_| self.summary.dead_lettered == 0) {
            checkpoint.save(rejects.unwrap_or(0), self.summary.taken())?;
        }
        self.saved = Stopwatch::start();
        Ok(())
    }
}
