//! `nilometer bench pair` with the real binary on both sides: that it runs, and what it prints. What it
//! makes of numbers is tested where that is pure, in crate `bench`.

use std::collections::BTreeSet;
use std::process::Output;

use serde_json::Value;

use crate::harness::{nilometer, run, stderr, stdout};

fn pair(args: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let build = env!("CARGO_BIN_EXE_nilometer");
    let mut command = nilometer(&["bench", "pair", build, build, "--pairs", "2", "--seconds", "1"]);
    let sizes = ["--events", "20000", "--requests", "5", "--data", folder.path().to_str().unwrap()];
    let output = command.args(sizes).args(args).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(folder.path().read_dir().unwrap().count(), 0, "every folder is removed");
    output
}

#[test]
fn a_pair_of_builds_is_measured_in_every_part() {
    let output = pair(&["--json"]);
    let report: Value = serde_json::from_str(stdout(&output)).unwrap();
    let rows = report["rows"].as_array().unwrap();
    let measures: BTreeSet<_> = rows.iter().map(|row| row["measure"].as_str().unwrap()).collect();
    for measure in [
        "ingest, durable and applied",
        "ingest, processor time per event",
        "ingest, p50",
        "ingest, p99",
        "ingest, peak memory",
        "import, rows",
        "import, processor time per row",
        "import, peak memory",
        "dau, 30 days, p99",
        "top events, 30 days, p50",
        "weekly retention, all, p99",
        "summary 7 days, customer, p50",
        "summary 7 days, whale, p99",
        "hourly series, whale, p50",
    ] {
        assert!(measures.contains(measure), "{measure} of {measures:?}");
    }
    for row in rows {
        assert_eq!(row["ratios"].as_array().unwrap().len(), 2, "{row}");
        assert_eq!(row["verdict"], "too_few_pairs", "{row}");
        assert!(row["interval"].is_null() && row["ratio"].as_f64().unwrap() > 0.0, "{row}");
    }
}

#[test]
fn one_part_alone_is_printed_as_a_table() {
    let output = pair(&["--only", "import"]);
    let rows: Vec<_> = stdout(&output).lines().filter(|line| line.starts_with("| ")).collect();
    assert_eq!(rows.len(), 4, "a head and three measures: {rows:?}");
    assert!(rows[0].contains("B/A") && rows[1..].iter().all(|row| row.starts_with("| import, ")), "{rows:?}");
}

#[test]
fn a_build_that_is_not_there_is_one_clear_error() {
    let output = run(&["bench", "pair", "/nowhere/a", "/nowhere/b"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("failed to find the executable /nowhere/a"), "{}", stderr(&output));
}
