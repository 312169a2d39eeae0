//! Files that end before their end: the import says so and exits with 1, whatever the format; what stands
//! before counts, and counts once when the whole file comes.

use std::path::Path;
use std::process::Output;

use super::{counts, export, gzip, import, imported, read, write};
use crate::harness::{Server, nilometer, stderr};
use crate::web_requests::verify;

/// Rows of a file, without the last end of line.
const ROWS: u64 = 2_000;

fn csv() -> String {
    let rows: Vec<_> =
        (0..ROWS).map(|row| format!("e{row},{},t,\"note, {row}\",last {row}", 1_700_000_000 + row)).collect();
    format!("id,time,type,note,plan\n{}\n", rows.join("\n"))
}

fn ndjson() -> String {
    let rows: Vec<_> =
        (0..ROWS).map(|row| format!("{{\"id\":\"e{row}\",\"time\":{},\"type\":\"t\"}}", 1_700_000_000 + row)).collect();
    format!("{}\n", rows.join("\n"))
}

fn is_cut(output: &Output) {
    assert_eq!(output.status.code(), Some(1), "{}", stderr(output));
    assert!(stderr(output).contains("seems to be cut short"), "{}", stderr(output));
}

/// Imports a file cut to `cut` as `name`, twice, and then the whole one.
fn check(name: &str, cut: &[u8], whole: &[u8], before: u64) {
    let files = tempfile::tempdir().unwrap();
    let (path, data) = (files.path().join(name), files.path().join("data"));
    let rejects = files.path().join("rejects");
    let args = ["--rejects", rejects.to_str().unwrap()];
    write(&path, cut);
    let first = import(&data, &path, &args).output().unwrap();
    is_cut(&first);
    assert_eq!(counts(&first), [before, before, 0, 0], "{name}");
    assert!(stderr(&first).contains("the rows before it are taken"), "{}", stderr(&first));
    // The file that has not changed goes on behind its rows, and is as short as before.
    let again = import(&data, &path, &args).output().unwrap();
    is_cut(&again);
    assert_eq!(counts(&again), [0; 4], "{name}");
    write(&path, whole);
    assert_eq!(imported(&data, &path, &args), [ROWS, ROWS - before, before, 0], "{name}");
    assert_eq!(read(&rejects), "", "{name}");
    verify(&data);
}

/// The text up to the first `part` behind row `row`, with it.
fn up_to<'t>(text: &'t str, row: u64, part: &str) -> &'t str {
    let start = text.find(&format!("e{row}")).unwrap();
    let end = start + text[start..].find(part).unwrap() + part.len();
    &text[..end]
}

#[test]
fn i1_i2_a_csv_that_ends_within_a_row_is_told_and_counts_once_when_it_is_whole() {
    let text = csv();
    for (row, part) in [(1_500, "note"), (1_500, ",170000"), (0, "e0"), (1_999, "note, 1999\"")] {
        check("cut.csv", up_to(&text, row, part).as_bytes(), text.as_bytes(), row);
    }
    // The header and a row that is a character short.
    let text = text.replace("last", "é");
    check("cut.csv", &up_to(&text, 700, "é").as_bytes()[..up_to(&text, 700, "é").len() - 1], text.as_bytes(), 700);
}

#[test]
fn i1_i2_lines_of_json_that_end_within_an_object_are_told_and_count_once_when_they_are_whole() {
    let text = ndjson();
    for (row, part) in [(1_500, "\"ti"), (1_500, ":17000"), (7, "e7\",\"time\":"), (1_999, "\"t\"")] {
        check("cut.ndjson", up_to(&text, row, part).as_bytes(), text.as_bytes(), row);
    }
}

#[test]
fn i1_i2_compressed_files_that_end_early_are_told_and_count_once_when_they_are_whole() {
    let text = csv();
    let files = tempfile::tempdir().unwrap();
    let zstd = zstd::encode_all(text.as_bytes(), 1).unwrap();
    for (name, whole) in [("cut.csv.gz", gzip(&text)), ("cut.csv.zst", zstd)] {
        for length in [whole.len() - 1, whole.len() / 2, 11] {
            let (path, data) = (files.path().join(name), files.path().join(format!("{name}-{length}")));
            write(&path, &whole[..length]);
            let output = import(&data, &path, &[]).output().unwrap();
            is_cut(&output);
            let [before, accepted, ..] = counts(&output);
            assert!(accepted == before && before <= ROWS, "{name}: {before}");
            write(&path, &whole);
            assert_eq!(imported(&data, &path, &[]), [ROWS, ROWS - before, before, 0], "{name}");
        }
    }
}

#[test]
fn i1_a_parquet_file_that_ends_early_is_told() {
    let files = tempfile::tempdir().unwrap();
    let (csv_path, path, data) =
        (files.path().join("f.csv"), files.path().join("f.parquet"), files.path().join("data"));
    write(&csv_path, csv());
    imported(&data, &csv_path, &[]);
    export(&data, &path);
    #[expect(clippy::disallowed_methods, reason = "our own test data")]
    let whole = std::fs::read(&path).unwrap();
    for length in [whole.len() - 1, whole.len() / 2, 7, 4] {
        write(&path, &whole[..length]);
        let output = import(&files.path().join("other"), &path, &[]).output().unwrap();
        is_cut(&output);
        assert_eq!(counts(&output), [0; 4]);
    }
    write(&path, &whole);
    assert_eq!(imported(&files.path().join("other"), &path, &[]), [ROWS, ROWS, 0, 0]);
}

#[test]
fn i1_i2_a_cut_file_is_told_over_http_and_from_standard_input_too() {
    let files = tempfile::tempdir().unwrap();
    let text = csv();
    let path = files.path().join("cut.csv");
    write(&path, up_to(&text, 900, "note"));
    let server = Server::start(&files.path().join("data"));
    let into = |path: &Path| nilometer(&["import", path.to_str().unwrap(), "--url", &server.url()]).output().unwrap();
    let output = into(&path);
    is_cut(&output);
    assert_eq!(counts(&output), [900, 900, 0, 0]);
    let mut command = nilometer(&["import", "-", "--url", &server.url()]);
    let output = command.stdin(std::fs::File::open(&path).unwrap()).output().unwrap();
    is_cut(&output);
    assert_eq!(counts(&output), [900, 0, 900, 0]);
    write(&path, text);
    assert_eq!(counts(&into(&path)), [ROWS, ROWS - 900, 900, 0]);
}

#[test]
fn a_last_row_that_is_whole_counts_without_an_end_of_line_and_a_warning_says_so() {
    let files = tempfile::tempdir().unwrap();
    for (name, content, warned) in [
        ("f.csv", "id,time\na,2026-01-01", true),
        ("f.csv", "id,time\na,2026-01-01\n", false),
        ("f.csv", "id,time\na,\"2026-01-01\"", true),
        ("f.csv", "id,time\na,2026-01-01\r", false),
        ("f.ndjson", "{\"id\":\"a\",\"time\":1700000000}", false),
    ] {
        let path = files.path().join(name);
        write(&path, content);
        let output = import(&files.path().join("data"), &path, &[]).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert_eq!(counts(&output)[0], 1);
        assert_eq!(stderr(&output).contains("1 x no_last_line_break"), warned, "{content:?}: {}", stderr(&output));
    }
}

#[test]
fn a_quote_left_open_before_more_than_a_row_may_hold_is_told_too() {
    let files = tempfile::tempdir().unwrap();
    let (path, data) = (files.path().join("f.csv"), files.path().join("data"));
    let rows: String = (0..200_000).map(|row| format!("r{row},t\n")).collect();
    write(&path, format!("id,type\na,t\nb,\"open\n{rows}"));
    let output = import(&data, &path, &[]).output().unwrap();
    is_cut(&output);
    assert_eq!(counts(&output), [1, 1, 0, 0]);
    assert!(stderr(&output).contains("in line 3"), "{}", stderr(&output));
}
