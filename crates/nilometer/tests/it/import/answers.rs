//! Ten thousand real web requests, imported: every figure that another engine computed for them, from
//! the HTTP API; whatever the order, the repetitions, the kills, the form of the file and the way in.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tempfile::TempDir;

use super::{export, gzip, import, imported, read, shuffled, web_requests, write};
use crate::figures::check_every_figure;
use crate::harness::Server;
use crate::web_requests::verify;

/// All rows are counted.
const ALL_FRESH: [u64; 4] = [10_000, 10_000, 0, 0];
/// All rows are known.
const ALL_KNOWN: [u64; 4] = [10_000, 0, 10_000, 0];

/// Asks a server on the folder, then verifies the folder.
fn check(data: &Path) {
    let server = Server::start(data);
    check_every_figure(&server);
    server.stop();
    verify(data);
}

/// The header and the rows of the file, in an order of their own.
fn shuffled_rows(seed: u64) -> (String, Vec<String>) {
    let text = shuffled(&read(&web_requests()), seed);
    let mut lines = text.lines().map(str::to_owned);
    (lines.next().unwrap(), lines.collect())
}

fn csv(folder: &TempDir, name: &str, header: &str, rows: &[String]) -> PathBuf {
    let path = folder.path().join(name);
    write(&path, format!("{header}\n{}\n", rows.join("\n")));
    path
}

#[test]
fn i3_an_imported_file_gives_every_expected_figure() {
    let data = tempfile::tempdir().unwrap();
    assert_eq!(imported(data.path(), &web_requests(), &[]), ALL_FRESH);
    check(data.path());
}

#[test]
fn i2_a_file_imported_twice_gives_every_expected_figure() {
    let data = tempfile::tempdir().unwrap();
    assert_eq!(imported(data.path(), &web_requests(), &[]), ALL_FRESH);
    assert_eq!(imported(data.path(), &web_requests(), &[]), ALL_KNOWN);
    check(data.path());
}

#[test]
fn i2_i3_a_shuffled_file_gives_every_expected_figure_alone_and_behind_the_other() {
    let (data, files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (header, rows) = shuffled_rows(7);
    let other = csv(&files, "shuffled.csv", &header, &rows);
    assert_eq!(imported(data.path(), &other, &[]), ALL_FRESH);
    check(data.path());
    assert_eq!(imported(data.path(), &web_requests(), &[]), ALL_KNOWN);
    check(data.path());
}

/// A row of the file is in the journal.
#[cfg(feature = "failpoints")]
fn is_journaled(data: &Path, row: &str) -> bool {
    use crate::faults::files;
    let journal = data.join("journal");
    let id = row.split(',').next().unwrap().as_bytes();
    journal.exists()
        && files::with_suffix(&journal, ".journal")
            .iter()
            .any(|path| files::read(path).windows(id.len()).any(|bytes| bytes == id))
}

#[cfg(feature = "failpoints")]
#[test]
fn i1_i2_i3_a_file_in_two_halves_whose_imports_are_killed_gives_every_expected_figure() {
    use crate::faults::files::with_suffix;
    let (data, files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (header, rows) = shuffled_rows(3);
    let (first_rows, second_rows) = rows.split_at(5_000);
    let first = csv(&files, "first.csv", &header, first_rows);
    let second = csv(&files, "second.csv", &header, second_rows);
    // The first import dies before its flush counts, the second one before it knows what is durable.
    let segments = data.path().join("segments");
    let has_files = || segments.exists() && !with_suffix(&segments, ".parquet").is_empty();
    super::killed_at(import(data.path(), &first, &[]), "flush::before_commit=sleep(600000)", has_files);
    let last = second_rows.last().unwrap();
    let is_written = || is_journaled(data.path(), last);
    super::killed_at(import(data.path(), &second, &[]), "journal::after_sync=sleep(600000)", is_written);
    for half in [&first, &second] {
        assert_eq!(imported(data.path(), half, &[]), [5_000, 0, 5_000, 0]);
    }
    check(data.path());
}

#[cfg(feature = "failpoints")]
#[test]
fn i1_i2_i3_a_file_whose_import_is_killed_half_way_and_goes_on_gives_every_expected_figure() {
    let (data, files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    // Every row twice, so that one half is one batch.
    let (header, rows) = shuffled_rows(5);
    let (first, second) = rows.split_at(5_000);
    let twice = [first, first, second, second].concat();
    let path = csv(&files, "twice.csv", &header, &twice);
    // Slow enough for a checkpoint behind the first batch; the second one is never written.
    let slow = "journal::before_write=1*sleep(1500)->sleep(600000)";
    let checkpoint = data.path().join("import.checkpoint");
    super::killed_at(import(data.path(), &path, &[]), slow, || checkpoint.exists());
    assert_eq!(imported(data.path(), &path, &[]), [10_000, 5_000, 5_000, 0]);
    check(data.path());
}

#[test]
fn i3_compressed_files_give_every_expected_figure() {
    let text = read(&web_requests());
    for (name, content) in [("f.csv.gz", gzip(&text)), ("f.csv.zst", zstd::encode_all(text.as_bytes(), 1).unwrap())] {
        let (data, files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let path = files.path().join(name);
        write(&path, content);
        assert_eq!(imported(data.path(), &path, &[]), ALL_FRESH, "{name}");
        check(data.path());
    }
}

#[test]
fn i3_standard_input_gives_every_expected_figure() {
    let data = tempfile::tempdir().unwrap();
    let mut command = import(data.path(), Path::new("-"), &[]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(read(&web_requests()).as_bytes()).unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), super::counts(&output)), (Some(0), ALL_FRESH));
    check(data.path());
}

#[test]
fn i3_exports_in_every_format_give_every_expected_figure() {
    let (first, files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    imported(first.path(), &web_requests(), &[]);
    for name in ["f.parquet", "f.csv", "f.ndjson"] {
        let data = tempfile::tempdir().unwrap();
        let path = files.path().join(name);
        export(first.path(), &path);
        assert_eq!(imported(data.path(), &path, &[]), ALL_FRESH, "{name}");
        check(data.path());
    }
}
