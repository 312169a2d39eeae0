//! `nilometer bench pair A B`: two builds in alternation, so that what the machine does meanwhile meets
//! both alike, and by how much B differs from A. Uses of a build only what versions have in common:
//! `serve --data --listen`, `import FILE --data`, the line of the log with the address, and routes.

pub(crate) mod comparison;
pub(crate) mod interval;
mod questions;
mod runs;

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Serialize;

use super::args::{PairArgs, Part};
use super::folder::Folder;
use super::machine::Machine;
use super::output::Output;
use super::process::{FileKind, run_own, seed};
use comparison::{Bounds, Comparison, Row, conclude, table};
use questions::Questions;

/// What a comparison found, and how.
#[derive(Debug, Serialize)]
struct PairReport {
    machine: Machine,
    a: PathBuf,
    b: PathBuf,
    pairs: u32,
    seconds: f64,
    events: u64,
    bounds: Bounds,
    rows: Vec<Row>,
}

impl fmt::Display for PairReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { machine, a, b, pairs, .. } = self;
        writeln!(f, "A {}\nB {}\n{pairs} pairs on {machine}\n", a.display(), b.display())?;
        f.write_str(&table(&self.rows))
    }
}

/// Runs the command.
///
/// # Errors
/// When a run fails or counts wrongly, and when a bound is broken.
pub(super) async fn run(args: PairArgs) -> anyhow::Result<()> {
    let output = Output::new(args.json);
    let builds = [found(&args.a)?, found(&args.b)?];
    let parent = args.data.clone().unwrap_or_else(|| PathBuf::from("."));
    let pair = Pair { builds: builds.each_ref().map(PathBuf::as_path), parent: &parent, args: &args, output };
    let rows = pair.compare().await?.rows(&args.bounds());
    let machine = Machine::inspect(&parent);
    let [a, b] = builds;
    let (seconds, bounds) = (args.seconds.as_secs_f64(), args.bounds());
    let report = PairReport { machine, a, b, pairs: args.pairs, seconds, events: args.events, bounds, rows };
    output.result(&report, &report)?;
    conclude(&report.rows)
}

/// The executable at `path`, however the current folder changes.
fn found(path: &Path) -> anyhow::Result<PathBuf> {
    path.canonicalize().with_context(|| format!("failed to find the executable {}", path.display()))
}

/// A file of events for both builds.
struct Events {
    file: PathBuf,
    rows: u64,
    _folder: Folder,
}

struct Pair<'p> {
    builds: [&'p Path; 2],
    parent: &'p Path,
    args: &'p PairArgs,
    output: Output,
}

impl Pair<'_> {
    async fn compare(&self) -> anyhow::Result<Comparison> {
        let mut comparison = Comparison::default();
        if self.args.has(Part::Ingest) {
            self.ingest(&mut comparison).await?;
        }
        if self.args.has(Part::Import) || self.args.has(Part::Questions) {
            let events = self.events().await?;
            if self.args.has(Part::Import) {
                self.import(&events, &mut comparison).await?;
            }
            if self.args.has(Part::Questions) {
                self.questions(&events, &mut comparison).await?;
            }
        }
        Ok(comparison)
    }

    async fn ingest(&self, comparison: &mut Comparison) -> anyhow::Result<()> {
        for pair in 0..self.args.pairs {
            let mut values = [Vec::new(), Vec::new()];
            for side in order(pair) {
                values[side] = runs::ingest(self.builds[side], self.parent, self.args.seconds).await?;
            }
            comparison.add(&values[0], &values[1]);
            self.progress("ingest", pair)?;
        }
        Ok(())
    }

    async fn import(&self, events: &Events, comparison: &mut Comparison) -> anyhow::Result<()> {
        for pair in 0..self.args.pairs {
            let mut values = [Vec::new(), Vec::new()];
            for side in order(pair) {
                values[side] = runs::import(self.builds[side], self.parent, &events.file, events.rows).await?;
            }
            comparison.add(&values[0], &values[1]);
            self.progress("import", pair)?;
        }
        Ok(())
    }

    async fn questions(&self, events: &Events, comparison: &mut Comparison) -> anyhow::Result<()> {
        let Events { file, rows, .. } = events;
        let questions = Questions::open(self.builds, self.parent, file, *rows, self.args.requests).await?;
        for pair in 0..self.args.pairs {
            questions.ask(order(pair)[0], comparison).await?;
            self.progress("questions", pair)?;
        }
        questions.close().await
    }

    /// Makes the file of events, with this same executable.
    async fn events(&self) -> anyhow::Result<Events> {
        let folder = Folder::temporary(self.parent)?;
        let (data, file) = (folder.path().join("data"), folder.path().join(FileKind::Ndjson.file_name()));
        seed(&data, self.args.events).await?;
        let summary = run_own(&["export", "--format", "ndjson", "--output"], &[&file], &data).await?;
        let rows = summary.split(' ').nth(1).and_then(|rows| rows.parse().ok());
        let rows = rows.with_context(|| format!("failed to read the count of exported rows in: {summary}"))?;
        Ok(Events { file, rows, _folder: folder })
    }

    fn progress(&self, part: &str, pair: u32) -> anyhow::Result<()> {
        self.output.line(format_args!("{part}: pair {} of {}", pair + 1, self.args.pairs))
    }
}

/// Which build runs first in a pair and which second: A B, B A, A B, … so that a drift of the machine
/// favours neither.
pub(crate) fn order(pair: u32) -> [usize; 2] {
    if pair.is_multiple_of(2) { [0, 1] } else { [1, 0] }
}
