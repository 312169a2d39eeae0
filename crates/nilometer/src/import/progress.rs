//! Shows how far an import is: a bar on a terminal, plain lines elsewhere, on standard error.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use clock::Stopwatch;

/// Time between two plain lines.
const LINE_INTERVAL: Duration = Duration::from_secs(5);
/// Draws of the bar per second, at most.
const DRAWS_PER_SEC: u8 = 10;

/// What the total is measured in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Total {
    /// So many bytes of files.
    Bytes(u64),
    /// So many rows.
    Rows(u64),
    /// The total is unknown.
    Unknown,
}

/// When a plain line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LineInterval {
    /// Every few seconds.
    Time,
    /// Every so many rows.
    Rows(u64),
}

/// The bar or the lines.
#[derive(Debug)]
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    total: Total,
    interval: LineInterval,
    since: Stopwatch,
    line: Stopwatch,
    reported: u64,
}

impl Progress {
    /// Begins.
    pub(super) fn start(total: Total, interval: LineInterval) -> Self {
        let bar = io::stderr().is_terminal().then(|| bar(total));
        Self { bar, total, interval, since: Stopwatch::start(), line: Stopwatch::start(), reported: 0 }
    }

    /// How long it has taken.
    pub(super) fn elapsed(&self) -> Duration {
        self.since.elapsed()
    }

    /// Shows that so many rows and bytes are done.
    pub(super) fn show(&mut self, rows: u64, bytes: u64) {
        let done = if matches!(self.total, Total::Rows(_)) { rows } else { bytes };
        let rate = rate(rows, self.elapsed());
        if let Some(bar) = &self.bar {
            bar.set_message(format!("{rows} rows, {rate:.0}/s"));
            bar.set_position(done);
            return;
        }
        let due = match self.interval {
            LineInterval::Time => self.line.elapsed() >= LINE_INTERVAL,
            LineInterval::Rows(step) => rows / step > self.reported / step,
        };
        if due {
            (self.line, self.reported) = (Stopwatch::start(), rows);
            let rest = match self.total {
                Total::Bytes(all) | Total::Rows(all) if all > 0 && done > 0 => {
                    let share = ratio(done, all).min(1.0);
                    let left = self.elapsed().as_secs_f64() * (1.0 - share) / share;
                    format!(", {:.0} %, {left:.0} s left", share * 100.0)
                }
                _ => String::new(),
            };
            let mib = ratio(bytes, 1 << 20);
            // Without a standard error the progress is shown nowhere, which harms nothing.
            let _ = writeln!(io::stderr(), "{rows} rows, {mib:.1} MiB, {rate:.0} rows/s{rest}");
        }
    }

    /// Writes a line of its own.
    pub(super) fn print_line(&self, line: &str) {
        let write = || {
            let _ = writeln!(io::stderr(), "{line}");
        };
        match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    /// Takes the bar away.
    pub(super) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Rows per second.
pub(super) fn rate(rows: u64, elapsed: Duration) -> f64 {
    ratio(rows, 1) / elapsed.as_secs_f64().max(1e-6)
}

#[expect(clippy::cast_precision_loss, reason = "shown with few digits")]
fn ratio(part: u64, total: u64) -> f64 {
    part as f64 / total as f64
}

fn bar(total: Total) -> ProgressBar {
    let (length, template) = match total {
        Total::Bytes(all) => (Some(all), "{bar:30} {percent}% {bytes}/{total_bytes}, {msg}, {eta} left"),
        Total::Rows(all) => (Some(all), "{bar:30} {percent}%, {msg}, {eta} left"),
        Total::Unknown => (None, "{spinner} {bytes}, {msg}, {elapsed}"),
    };
    let target = ProgressDrawTarget::stderr_with_hz(DRAWS_PER_SEC);
    let bar = ProgressBar::with_draw_target(length, target);
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
