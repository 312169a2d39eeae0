//! `nilometer import`, `export` and `seed` against the answers that another engine computed, against
//! kills, and against files as people have them.

mod answers;
mod bad_files;
mod kills;
mod round_trip;
mod server;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use crate::harness::{nilometer, stderr, stdout};

/// The file of real web requests.
fn web_requests() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testdata/web-requests/web-requests.csv")
}

#[expect(clippy::disallowed_methods, reason = "our own test data")]
fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|why| panic!("{}: {why}", path.display()))
}

#[expect(clippy::disallowed_methods, reason = "a file for a test, which survives nothing")]
fn write(path: &Path, content: impl AsRef<[u8]>) {
    std::fs::write(path, content).unwrap();
}

fn import(data: &Path, file: &Path, args: &[&str]) -> Command {
    let mut command = nilometer(&["import", file.to_str().unwrap(), "--data", data.to_str().unwrap()]);
    command.args(args);
    command
}

/// The counts of the summary: rows, accepted, duplicates, rejected.
fn counts(output: &Output) -> [u64; 4] {
    let line = stdout(output).lines().last().unwrap_or_default();
    let number = |before: &str| {
        let digits = line.split(before).next().unwrap().split_whitespace().last().unwrap_or_default();
        digits.parse::<u64>().unwrap_or_else(|_| panic!("no count before {before:?} in {line:?}: {}", stderr(output)))
    };
    [number(" rows:"), number(" accepted"), number(" duplicates"), number(" rejected")]
}

/// Imports a file that is taken; returns the counts.
fn imported(data: &Path, file: &Path, args: &[&str]) -> [u64; 4] {
    let output = import(data, file, args).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    counts(&output)
}

/// The rows of a CSV file without line breaks in fields, shuffled, under its header.
fn shuffled(text: &str, seed: u64) -> String {
    let mut lines = text.lines();
    let header = lines.next().unwrap();
    let mut rows: Vec<_> = lines.collect();
    rows.shuffle(&mut StdRng::seed_from_u64(seed));
    format!("{header}\n{}\n", rows.join("\n"))
}
