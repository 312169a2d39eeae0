//! An import that is killed anywhere and run again counts every row once, and refuses every bad row
//! once in the reject file.

use std::path::Path;
use std::time::Duration;

use super::{BIG_ROWS, big_csv, gzip, import, imported, read, refused_lines, write};
use crate::harness::{run, stderr, stdout};
use crate::web_requests::verify;

fn events(data: &Path) -> usize {
    let exported = run(&["export", "--data", data.to_str().unwrap()]);
    assert_eq!(exported.status.code(), Some(0), "{}", stderr(&exported));
    stdout(&exported).lines().count()
}

#[test]
fn i1_i2_i4_an_import_killed_at_any_moment_goes_on_and_counts_once() {
    let files = tempfile::tempdir().unwrap();
    let (csv, rejects) = (files.path().join("big.csv"), files.path().join("rejects.ndjson"));
    big_csv(&csv);
    let data = files.path().join("data");
    let args = ["--rejects", rejects.to_str().unwrap()];
    // Other moments on every machine; the result may not depend on any.
    for wait_ms in [30, 300, 700, 1_100, 1_600, 2_200] {
        let mut child = import(&data, &csv, &args).stdout(std::process::Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(wait_ms));
        let _ = child.kill();
        child.wait().unwrap();
    }
    let output = import(&data, &csv, &args).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(events(&data) as u64, BIG_ROWS - BIG_ROWS / 100);
    verify(&data);
    // A finished import leaves nothing to go on with: the next one reads everything.
    assert!(!data.join("import.checkpoint").exists());
    assert_eq!(imported(&data, &csv, &args), [BIG_ROWS, 0, BIG_ROWS - BIG_ROWS / 100, BIG_ROWS / 100]);
    assert_eq!(refused_lines(&rejects), (0..BIG_ROWS / 100).map(|nth| nth * 100 + 9).collect::<Vec<_>>());
}

#[test]
fn an_import_goes_on_behind_its_checkpoint_and_repeats_no_refusal() {
    let files = tempfile::tempdir().unwrap();
    let (csv, rejects, data) = (files.path().join("f.csv"), files.path().join("r"), files.path().join("data"));
    big_csv(&csv);
    let args = ["--rejects", rejects.to_str().unwrap()];
    // Broken in the middle: what stands before the fault is done.
    let whole = gzip(&read(&csv));
    let path = files.path().join("f.csv.gz");
    write(&path, &whole[..whole.len() - 20]);
    let failed = import(&data, &path, &args).output().unwrap();
    assert_eq!(failed.status.code(), Some(1), "{}", stdout(&failed));
    assert!(stderr(&failed).contains("failed to read"), "{}", stderr(&failed));
    let done = super::counts(&failed);
    assert!(done[0] > BIG_ROWS / 3 && done[0] < BIG_ROWS, "{done:?}");
    // The same file again goes on where it ended, and fails again.
    let again = super::counts(&import(&data, &path, &args).output().unwrap());
    assert!(again[0] < done[0] && again[1] == 0, "{again:?}");
    // Another file is begun at its front.
    write(&path, whole);
    assert_eq!(imported(&data, &path, &args)[0], BIG_ROWS);
    assert_eq!(events(&data) as u64, BIG_ROWS - BIG_ROWS / 100);
}

#[test]
fn what_is_imported_in_between_takes_no_refusal_out_of_the_reject_file() {
    let files = tempfile::tempdir().unwrap();
    let data = files.path().join("data");
    // Both break off, so that each import leaves a checkpoint.
    let broken = |name: &str, text: &str| {
        let (path, whole) = (files.path().join(name), gzip(text));
        write(&path, &whole[..whole.len() - 20]);
        path
    };
    let clean: String = (0..5_000).map(|row| format!("c{row},a\n")).collect();
    let clean = broken("clean.csv.gz", &format!("event_id,type\n{clean}"));
    big_csv(&files.path().join("big.csv"));
    let big = broken("big.csv.gz", &read(&files.path().join("big.csv")));
    let refused = |file: &Path| {
        let rejects = file.with_extension("rejects");
        let output = import(&data, file, &["--rejects", rejects.to_str().unwrap()]).output().unwrap();
        assert!(stderr(&output).contains("failed to read"), "{}", stderr(&output));
        refused_lines(&rejects)
    };
    let first = refused(&big);
    assert!(first.len() > 300, "{first:?}");
    assert_eq!(refused(&clean), Vec::<u64>::new());
    assert_eq!(refused(&big), first);
    assert_eq!(refused(&big), first);
}

#[cfg(feature = "failpoints")]
#[test]
fn i1_rows_that_cannot_be_applied_are_reported_and_tried_again() {
    let files = tempfile::tempdir().unwrap();
    let (csv, data) = (files.path().join("f.csv"), files.path().join("data"));
    let rows: String = (0..30_000).map(|row| format!("e{row},a\n")).collect();
    write(&csv, format!("id,type\n{rows}"));
    // The second of three batches is refused by the ledger as often as it is tried.
    let mut command = import(&data, &csv, &[]);
    let output = command.env("FAILPOINTS", "ledger::before_decode=1*off->3*return->off").output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert_eq!(super::counts(&output), [30_000, 20_000, 0, 0]);
    assert!(stdout(&output).contains("10000 dead-lettered"), "{}", stdout(&output));
    let message = stderr(&output);
    for part in ["lines 10002 to 20001", "10000 rows", "as injected", "dead letters and not counted"] {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert_eq!(events(&data), 20_000);
    assert_eq!(imported(&data, &csv, &[]), [30_000, 10_000, 20_000, 0]);
    assert_eq!(events(&data), 30_000);
    verify(&data);
}

#[cfg(feature = "failpoints")]
#[test]
fn i1_an_import_that_ends_behind_rows_that_cannot_be_applied_skips_none_of_them() {
    let files = tempfile::tempdir().unwrap();
    let (path, data) = (files.path().join("f.csv.gz"), files.path().join("data"));
    let rows: String = (0..60_000).map(|row| format!("e{row},a\n")).collect();
    let whole = gzip(&format!("id,type\n{rows}"));
    write(&path, &whole[..whole.len() - 20]);
    let mut command = import(&data, &path, &[]);
    let output = command.env("FAILPOINTS", "ledger::before_decode=1*off->3*return->off").output().unwrap();
    let [read, accepted, ..] = super::counts(&output);
    assert_eq!((output.status.code(), accepted), (Some(1), read - 10_000), "{}", stderr(&output));
    // The file breaks off for this one too.
    let again = super::counts(&import(&data, &path, &[]).output().unwrap());
    assert_eq!((again[1], again[1] + again[2]), (10_000, again[0]), "{again:?}");
}
