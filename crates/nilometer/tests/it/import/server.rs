//! Import and seed into a running server give what they give into its folder.

use std::io::Write;
use std::path::Path;
use std::process::{Child, ChildStdin, Output, Stdio};

use super::{BIG_ROWS, big_csv, counts, gzip, import, read, refused_lines, web_requests, write};
use crate::faults::server::WAIT_MAX;
use crate::faults::wait;
use crate::figures::check_every_figure;
use crate::harness::{Server, nilometer, run, stderr};
use crate::web_requests::verify;

fn into(url: &str, file: &Path, args: &[&str]) -> Output {
    nilometer(&["import", file.to_str().unwrap(), "--now", "--url", url]).args(args).output().unwrap()
}

#[test]
fn i1_i2_an_import_over_http_gives_every_expected_figure() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::with(data.path(), &["--batch-events-max", "700"]);
    let url = server.url();
    for wanted in [[10_000, 10_000, 0, 0], [10_000, 0, 10_000, 0]] {
        let output = into(&url, &web_requests(), &[]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert_eq!(counts(&output), wanted);
    }
    check_every_figure(&server);
    server.stop();
    verify(data.path());
}

#[test]
fn what_a_server_refuses_stands_in_the_reject_file_with_its_line() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    let (csv, rejects) = (data.path().join("f.csv"), data.path().join("r"));
    write(&csv, "time,type,tokens\n2026-01-01,a,1\n2026-01-01,a,x\nnever,a,1\n2026-01-01,b\n2026-01-01,a,1\n");
    let args = ["--rejects", rejects.to_str().unwrap()];
    let output = into(&server.url(), &csv, &args);
    assert_eq!(counts(&output), [5, 1, 1, 3], "{}", stderr(&output));
    let mut refused: Vec<_> = read(&rejects)
        .lines()
        .map(|line| {
            let reject: serde_json::Value = serde_json::from_str(line).unwrap();
            (reject["line"].as_u64().unwrap(), reject["raw"].as_str().unwrap().to_owned())
        })
        .collect();
    refused.sort();
    let wanted = [(3, "2026-01-01,a,x"), (4, "never,a,1"), (5, "2026-01-01,b")];
    assert_eq!(refused, wanted.map(|(line, raw)| (line, raw.to_owned())));
    // The same rows have the same ids in a folder.
    server.stop();
    assert_eq!(counts(&import(data.path(), &csv, &[]).output().unwrap()), [5, 0, 2, 3]);
}

#[test]
fn a_server_that_cannot_be_used_is_one_clear_error() {
    let data = tempfile::tempdir().unwrap();
    let csv = data.path().join("f.csv");
    write(&csv, "id\n1\n");
    for (url, reason) in [
        ("ftp://localhost:1", "http:// or https://"),
        ("localhost:1", "http:// or https://"),
        ("https://127.0.0.1:1", "failed to connect"),
        ("http://127.0.0.1:1", "failed to connect"),
    ] {
        let output = into(url, &csv, &[]);
        assert_ne!(output.status.code(), Some(0));
        assert!(stderr(&output).contains(reason), "{}", stderr(&output));
    }
    let server = Server::with(data.path(), &["--profile", "prod", "--api-keys", "acme:the-key-of-acme"]);
    let output = into(&server.url(), &csv, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("401"), "{}", stderr(&output));
    assert_eq!(counts(&into(&server.url(), &csv, &["--key", "the-key-of-acme"])), [1, 1, 0, 0]);
}

/// Starts an import of rows that never end, and gives it enough of them for one batch.
fn endless(url: &str, args: &[&str]) -> (Child, ChildStdin) {
    let mut command = nilometer(&["import", "-", "--now", "--url", url]);
    let command = command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"id,type,note\n").unwrap();
    send_rows(&mut input, "a");
    (child, input)
}

/// Sends rows for one batch and a few more, unless the import has ended.
fn send_rows(input: &mut ChildStdin, kind: &str) {
    let note = "x".repeat(190);
    let rows: String = (0..6_000).map(|row| format!("{kind}{row},{kind},{note}\n")).collect();
    let _ = input.write_all(rows.as_bytes());
}

/// What an import says that ends by itself, with more rows to come.
fn ended(mut child: Child, input: ChildStdin) -> String {
    let ended = wait::until(WAIT_MAX, || child.try_wait().unwrap().is_some());
    if !ended {
        child.kill().unwrap();
    }
    drop(input);
    let output = child.wait_with_output().unwrap();
    assert!(ended, "it goes on: {}", stderr(&output));
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    stderr(&output).to_owned()
}

#[test]
fn i9_an_import_that_is_refused_ends_at_once_and_not_with_its_input() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::with(data.path(), &["--profile", "prod", "--api-keys", "acme:the-key-of-acme"]);
    let (child, input) = endless(&server.url(), &["--key", "another-key"]);
    let message = ended(child, input);
    assert!(message.contains(&server.url()) && message.contains("401"), "{message}");
}

#[test]
fn i9_an_import_whose_server_is_gone_ends_at_once_and_not_with_its_input() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    let url = server.url();
    let (child, mut input) = endless(&url, &["--retry-sec", "1"]);
    let is_counted = || server.get("/v1/events?limit=1").1["data"] != serde_json::json!([]);
    assert!(wait::until(WAIT_MAX, is_counted));
    server.kill();
    send_rows(&mut input, "b");
    let message = ended(child, input);
    assert!(message.contains(&url) && message.contains("no acknowledgement within 1 s"), "{message}");
}

/// How many events a server counts.
#[cfg(feature = "failpoints")]
fn counted(server: &Server) -> u64 {
    let types = server.get("/stats/top-events").1["data"].as_array().unwrap().clone();
    types.iter().map(|kind| kind["count"].as_u64().unwrap()).sum()
}

#[cfg(feature = "failpoints")]
#[test]
fn i1_i2_an_import_whose_server_is_killed_goes_on_where_it_ended_when_the_server_is_back() {
    let data = tempfile::tempdir().unwrap();
    let (csv, rejects) = (data.path().join("big.csv"), data.path().join("rejects"));
    big_csv(&csv);
    let folder = data.path().join("data");
    // An address of this test alone, so that the port is free again.
    let serve = |address: &str| nilometer(&["serve", "--listen", address, "--data", folder.to_str().unwrap()]);
    let mut slow = serve("127.83.7.1:0");
    slow.env("FAILPOINTS", "worker::before_apply=sleep(200)");
    let server = Server::run(slow);
    let url = server.url();
    // Longer than a busy machine takes for an answer.
    let args = ["--retry-sec", "8", "--rejects", rejects.to_str().unwrap()];
    let mut command = nilometer(&["import", csv.to_str().unwrap(), "--now", "--url", &url]);
    let child = command.args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    assert!(wait::until(WAIT_MAX, || counted(&server) >= BIG_ROWS / 2));
    server.kill();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("no acknowledgement within 8 s"), "{}", stderr(&output));
    let done = counts(&output)[0];
    assert!(0 < done && done < BIG_ROWS, "{done}");

    let server = Server::run(serve(url.strip_prefix("http://").unwrap()));
    let output = into(&url, &csv, &args);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stderr(&output).contains("goes on at line"), "{}", stderr(&output));
    assert_eq!(counts(&output)[0], BIG_ROWS - done);
    assert_eq!(counted(&server), BIG_ROWS - BIG_ROWS / 100);
    assert_eq!(refused_lines(&rejects), (0..BIG_ROWS / 100).map(|nth| nth * 100 + 9).collect::<Vec<_>>());
}

#[cfg(feature = "failpoints")]
#[test]
fn i1_rows_that_a_server_cannot_apply_are_reported_and_tried_again() {
    let data = tempfile::tempdir().unwrap();
    let (csv, folder) = (data.path().join("f.csv"), data.path().join("data"));
    let rows: String = (0..15_000).map(|row| format!("e{row},a\n")).collect();
    write(&csv, format!("id,type\n{rows}"));
    // The answer does not wait; the second of three batches is refused by the ledger as often as it is tried.
    let mut command = nilometer(&["serve", "--listen", "127.0.0.1:0", "--data", folder.to_str().unwrap()]);
    command.args(["--wait-applied-ms-max", "1"]).env("FAILPOINTS", "ledger::before_decode=1*off->3*return->off");
    let server = Server::run(command);
    let output = into(&server.url(), &csv, &["--connections", "1"]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert_eq!(counts(&output), [15_000, 10_000, 0, 0]);
    for part in ["lines 5002 to 10001", "5000 rows", "as injected", "dead letters and not counted"] {
        assert!(stderr(&output).contains(part), "{part}: {}", stderr(&output));
    }
    assert_eq!(counts(&into(&server.url(), &csv, &[])), [15_000, 5_000, 10_000, 0]);
    assert_eq!(counted(&server), 15_000);
}

#[test]
fn i1_i5_an_import_for_another_key_or_server_skips_no_row() {
    let files = tempfile::tempdir().unwrap();
    let path = files.path().join("f.csv.gz");
    let rows: String = (0..10_000).map(|row| format!("{row},a\n")).collect();
    let whole = gzip(&format!("id,type\n{rows}"));
    // It breaks off, so that an import of it leaves a checkpoint.
    write(&path, &whole[..whole.len() - 20]);
    let rejects = files.path().join("rejects");
    let import = |server: &Server, key: &str| {
        let output = into(&server.url(), &path, &["--key", key, "--rejects", rejects.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
        assert!(stderr(&output).contains("failed to read"), "{}", stderr(&output));
        counts(&output)
    };
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let keys = ["--profile", "prod", "--api-keys", "acme:the-key-of-acme,other:the-key-of-other"];
    let servers = folders.each_ref().map(|folder| Server::with(folder.path(), &keys));
    let first = import(&servers[0], "the-key-of-acme");
    assert!(first[0] >= 5_000 && first[0] < 10_000 && first[1] == first[0], "{first:?}");
    assert_eq!(import(&servers[0], "the-key-of-other"), first);
    assert_eq!(import(&servers[1], "the-key-of-other"), first);
    // The last one is known and goes on.
    assert!(import(&servers[1], "the-key-of-other")[0] < first[0]);
}

#[test]
fn the_same_seed_gives_the_same_events_in_a_folder_and_over_http() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let plan = ["--events", "3000", "--users", "200", "--customers", "20", "--until", "2026-01-31"];
    let seed = |into: &[&str]| {
        let output = nilometer(&["seed"]).args(into).args(plan).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let counts = counts(&output);
        assert_eq!((counts[0], counts[3], counts[1] + counts[2]), (3_000, 0, 3_000));
        assert!(counts[2] > 0, "some come twice");
    };
    let folder = first.path().to_str().unwrap();
    seed(&["--data", folder]);
    let server = Server::start(second.path());
    seed(&["--url", &server.url()]);
    server.stop();
    let export = |folder: &str| {
        let exported = run(&["export", "--data", folder, "--format", "csv"]);
        let text = String::from_utf8(exported.stdout).unwrap();
        // All but when they were received, and the four columns behind that.
        let mut rows: Vec<_> = text.lines().map(|row| row.rsplitn(6, ',').last().unwrap().to_owned()).collect();
        rows.sort();
        rows
    };
    let events = export(folder);
    assert_eq!(events, export(second.path().to_str().unwrap()));
    let of = |customer: &str| events.iter().filter(|row| row.contains(customer)).count();
    let (whale, all) = (of(",acc_0001,"), events.len());
    assert!(whale * 13 > all && whale * 8 < all, "the whale has {whale} of {all}");
    verify(first.path());
}
