//! `nilometer import`, `export` and `seed` against the answers that another engine computed, against
//! kills, and against files as people have them.

mod answers;
mod bad_files;
mod client;
mod cut_files;
mod formats;
mod kills;
mod round_trip;
mod server;
mod tables;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use serde_json::Value;

use crate::faults::server::WAIT_MAX;
use crate::faults::wait;
use crate::figures::path_of;
use crate::harness::{nilometer, run, stderr, stdout};

/// Rows of a big file; every hundredth of them is refused.
const BIG_ROWS: u64 = 60_000;

/// The file of real web requests.
fn web_requests() -> PathBuf {
    path_of("web-requests.csv")
}

/// Writes a big file.
fn big_csv(path: &Path) {
    let mut text = String::from("event_id,time,type,customer,user,tokens\n");
    for row in 0..BIG_ROWS {
        let tokens = if row % 100 == 7 { "many".to_owned() } else { row.to_string() };
        text.push_str(&format!("e{row},{},t{},c{},u{},{tokens}\n", 1_700_000_000 + row, row % 5, row % 50, row % 999));
    }
    write(path, text);
}

#[expect(clippy::disallowed_methods, reason = "our own test data")]
fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|why| panic!("{}: {why}", path.display()))
}

#[expect(clippy::disallowed_methods, reason = "a file for a test, which survives nothing")]
fn write(path: &Path, content: impl AsRef<[u8]>) {
    std::fs::write(path, content).unwrap();
}

/// The text as gzip of two members; without its last bytes it breaks off in the second half.
fn gzip(text: &str) -> Vec<u8> {
    let (first, second) = text.as_bytes().split_at(text.len() / 2);
    [gzip_bytes(first), gzip_bytes(second)].concat()
}

/// The bytes as one member of gzip.
fn gzip_bytes(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, bytes.as_ref()).unwrap();
    encoder.finish().unwrap()
}

/// The command that imports a file. Many of the files here are about something else than times and have none.
fn import(data: &Path, file: &Path, args: &[&str]) -> Command {
    let mut command = nilometer(&["import", file.to_str().unwrap(), "--now", "--data", data.to_str().unwrap()]);
    command.args(args);
    command
}

/// The counts of the summary: rows, accepted, duplicates, rejected.
pub(crate) fn counts(output: &Output) -> [u64; 4] {
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

/// Exports a folder to a file, in the format of its name.
fn export(data: &Path, file: &Path) {
    let exported = run(&["export", "--data", data.to_str().unwrap(), "--output", file.to_str().unwrap()]);
    assert_eq!(exported.status.code(), Some(0), "{}", stderr(&exported));
}

/// The lines of the refused rows of a reject file.
fn refused_lines(rejects: &Path) -> Vec<u64> {
    let line = |line: &str| serde_json::from_str::<Value>(line).unwrap()["line"].as_u64().unwrap();
    read(rejects).lines().map(line).collect()
}

/// Starts a command that is held up at failpoints, and kills it when `reached` says that it got there.
#[cfg(feature = "failpoints")]
fn killed_at(mut command: Command, failpoints: &str, reached: impl FnMut() -> bool) {
    use std::os::unix::process::ExitStatusExt;
    use std::process::Stdio;

    let mut child = command.env("FAILPOINTS", failpoints).stdout(Stdio::null()).spawn().unwrap();
    let came = wait::until(WAIT_MAX, reached);
    child.kill().unwrap();
    let status = child.wait().unwrap();
    assert!(came && status.signal() == Some(9), "{failpoints}: {came}, {status}");
}

/// The rows of a CSV file without line breaks in fields, shuffled, under its header.
fn shuffled(text: &str, seed: u64) -> String {
    let mut lines = text.lines();
    let header = lines.next().unwrap();
    let mut rows: Vec<_> = lines.collect();
    rows.shuffle(&mut StdRng::seed_from_u64(seed));
    format!("{header}\n{}\n", rows.join("\n"))
}
