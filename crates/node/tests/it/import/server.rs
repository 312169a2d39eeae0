//! Import and seed into a running server give what they give into its folder.

use super::{counts, import, read, web_requests, write};
use crate::harness::{Server, nilometer, run, stderr};
use crate::web_requests::{compare, file, verify};

fn into(url: &str, file: &std::path::Path, args: &[&str]) -> std::process::Output {
    nilometer(&["import", file.to_str().unwrap(), "--url", url]).args(args).output().unwrap()
}

#[test]
fn i1_i2_an_import_over_http_gives_the_expected_answers() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::with(data.path(), &["--batch-events-max", "700"]);
    let url = server.url();
    for wanted in [[10_000, 10_000, 0, 0], [10_000, 0, 10_000, 0]] {
        let output = into(&url, &web_requests(), &[]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert_eq!(counts(&output), wanted);
    }
    compare(&server, &serde_json::from_str(&file("web-requests.expected.json")).unwrap());
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
    let output = into("https://localhost:1", &csv, &[]);
    assert_ne!(output.status.code(), Some(0));
    assert!(stderr(&output).contains("http://"), "{}", stderr(&output));
    let server = Server::with(data.path(), &["--profile", "prod", "--api-keys", "acme:the-key-of-acme"]);
    let output = into(&server.url(), &csv, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("401"), "{}", stderr(&output));
    assert_eq!(counts(&into(&server.url(), &csv, &["--key", "the-key-of-acme"])), [1, 1, 0, 0]);
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
        let mut rows: Vec<_> = text.lines().map(|row| row.rsplit_once(',').unwrap().0.to_owned()).collect();
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
