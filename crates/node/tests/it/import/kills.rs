//! An import that is killed anywhere and run again counts every row once, and refuses every bad row
//! once in the reject file.

use std::path::Path;
use std::time::Duration;

use super::{import, imported, read, write};
use crate::harness::{run, stderr, stdout};
use crate::web_requests::verify;

/// Rows of the file; every hundredth of them is refused.
const ROWS: u64 = 60_000;

fn big_csv(path: &Path) {
    let mut text = String::from("event_id,time,type,customer,user,tokens\n");
    for row in 0..ROWS {
        let tokens = if row % 100 == 7 { "many".to_owned() } else { row.to_string() };
        text.push_str(&format!("e{row},{},t{},c{},u{},{tokens}\n", 1_700_000_000 + row, row % 5, row % 50, row % 999));
    }
    write(path, text);
}

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
    assert_eq!(events(&data) as u64, ROWS - ROWS / 100);
    verify(&data);
    // A finished import leaves nothing to go on with: the next one reads everything.
    assert!(!data.join("import.checkpoint").exists());
    assert_eq!(imported(&data, &csv, &args), [ROWS, 0, ROWS - ROWS / 100, ROWS / 100]);
    let refused = read(&rejects);
    let lines: Vec<u64> = refused
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["line"].as_u64().unwrap())
        .collect();
    assert_eq!(lines, (0..ROWS / 100).map(|nth| nth * 100 + 9).collect::<Vec<_>>());
}

#[test]
fn an_import_goes_on_behind_its_checkpoint_and_repeats_no_refusal() {
    let files = tempfile::tempdir().unwrap();
    let (csv, rejects, data) = (files.path().join("f.csv"), files.path().join("r"), files.path().join("data"));
    big_csv(&csv);
    let args = ["--rejects", rejects.to_str().unwrap()];
    // Broken in the middle: what stands before the fault is done.
    let text = read(&csv);
    let middle = text.len() / 2;
    let gzip = |bytes: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut encoder, bytes).unwrap();
        encoder.finish().unwrap()
    };
    let broken = [gzip(&text.as_bytes()[..middle]), gzip(&text.as_bytes()[middle..])].concat();
    let (broken, whole) = (&broken[..broken.len() - 20], &broken);
    let path = files.path().join("f.csv.gz");
    write(&path, broken);
    let failed = import(&data, &path, &args).output().unwrap();
    assert_eq!(failed.status.code(), Some(1), "{}", stdout(&failed));
    assert!(stderr(&failed).contains("failed to read"), "{}", stderr(&failed));
    let done = super::counts(&failed);
    assert!(done[0] > ROWS / 3 && done[0] < ROWS, "{done:?}");
    // The same file again goes on where it ended, and fails again.
    let again = super::counts(&import(&data, &path, &args).output().unwrap());
    assert!(again[0] < done[0] && again[1] == 0, "{again:?}");
    // Another file is begun at its front.
    write(&path, whole);
    assert_eq!(imported(&data, &path, &args)[0], ROWS);
    assert_eq!(events(&data) as u64, ROWS - ROWS / 100);
}
