//! `nilometer bench pair` and `bench auth` with the real binary: that they run, and what they print. What they make
//! of numbers is tested where that is pure, in crate `bench`.

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

#[test]
fn keys_tokens_logins_and_memory_are_measured_and_held_against_their_bounds() {
    let folder = tempfile::tempdir().unwrap();
    let sizes = [
        "--keys",
        "200",
        "--workspaces",
        "20",
        "--pairs",
        "1",
        "--seconds",
        "1",
        "--single-seconds",
        "1",
        "--clients",
        "4",
    ];
    let mut command =
        nilometer(&["bench", "auth", "--settle", "0", "--json", "--data", folder.path().to_str().unwrap()]);
    let output = command.args(sizes).output().unwrap();
    // One pair breaks no bound; the hundred rounds of tokens do in a build that is not optimized, and say so.
    let told = stderr(&output);
    let is_broken =
        output.status.code() == Some(1) && told.contains("bounds are broken: token that is not remembered\n");
    assert!(is_broken || output.status.code() == Some(0), "{told}");
    assert_eq!(folder.path().read_dir().unwrap().count(), 0, "every folder is removed");
    let report: Value = serde_json::from_str(stdout(&output)).unwrap();
    let anew = &report["tokens"]["anew"]["interval"]["low"];
    assert_eq!(is_broken, anew.as_f64().unwrap() > 1.5, "{anew}");
    assert_eq!((&report["keys"], &report["presented"]), (&200.into(), &20.into()));
    assert_eq!(report["password"]["parameters"], "argon2id v=19 m=19456,t=2,p=1");
    for compared in [
        &report["batches"]["throughput"],
        &report["singles"]["throughput"],
        &report["tokens"]["anew"],
        &report["storm"]["one_address"]["throughput"],
        &report["storm"]["many_addresses"]["throughput"],
    ] {
        assert!(compared["ratio"].as_f64().unwrap() > 0.0, "{compared}");
    }
    for storm in ["one_address", "many_addresses"] {
        let answers = &report["storm"][storm]["answers"];
        let all = ["checked", "throttled", "busy"].map(|answer| answers[answer].as_u64().unwrap());
        assert!(all.iter().sum::<u64>() > 0, "{answers}");
    }
    assert_eq!(report["held"]["requests"], 20);
    let bounds = |measure: &Value| measure["floor"].as_u64();
    let measures = report["measures"].as_array().unwrap();
    let bounds: Vec<_> = measures.iter().filter_map(bounds).collect();
    assert_eq!(bounds, [970, 970, 1_500, 600, 600, 60 << 10]);
}

#[test]
fn limits_are_measured_and_held_against_their_bounds() {
    let folder = tempfile::tempdir().unwrap();
    let sizes = ["--pairs", "1", "--seconds", "1", "--runs", "1", "--quiet-seconds", "1"];
    let mut command = nilometer(&["bench", "fairness", "--json", "--data", folder.path().to_str().unwrap()]);
    let output = command.args(sizes).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(folder.path().read_dir().unwrap().count(), 0, "every folder is removed");
    let report: Value = serde_json::from_str(stdout(&output)).unwrap();
    for compared in [&report["batches"]["throughput"], &report["singles"]["throughput"]] {
        assert!(compared["ratio"].as_f64().unwrap() > 0.0, "{compared}");
    }
    let flood = &report["flood"];
    let [taken, limited] = ["taken", "limited"].map(|answer| flood[answer].as_u64().unwrap());
    assert!(taken > 0 && limited > taken, "{flood}");
    for side in ["alone", "beside"] {
        assert_eq!(report[side][0]["refused"], 0, "{report}");
    }
    let bounds: Vec<_> =
        report["measures"].as_array().unwrap().iter().map(|measure| measure["floor"].is_u64()).collect();
    assert_eq!(bounds, [true, true, false, true, false]);
}
