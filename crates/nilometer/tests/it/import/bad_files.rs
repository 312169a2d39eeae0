//! Files as people have them: every one ends in rows, clear refusals or one clear error, never in a
//! crash, and the good rows beside the bad ones are counted.

use std::path::Path;

use serde_json::Value;

use super::{counts, import, imported, read, write};
use crate::harness::{nilometer, run, stderr, stdout};

/// The counts, and the lines and codes of the refusals.
type Outcome = ([u64; 4], Vec<(u64, String)>);

/// Imports `content` as a file called `name`; the counts, the codes of the refusals with their lines.
fn try_import(name: &str, content: impl AsRef<[u8]>, args: &[&str]) -> Result<Outcome, String> {
    let folder = tempfile::tempdir().unwrap();
    let (file, rejects) = (folder.path().join(name), folder.path().join("rejects"));
    write(&file, content);
    let mut command = import(&folder.path().join("data"), &file, args);
    let output = command.args(["--rejects", rejects.to_str().unwrap()]).output().unwrap();
    if output.status.code() != Some(0) {
        assert!(matches!(output.status.code(), Some(1 | 3)), "{}", stderr(&output));
        return Err(stderr(&output).lines().last().unwrap_or_default().to_owned());
    }
    let refused = read(&rejects);
    let refused = refused.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let refused = refused.map(|r| (r["line"].as_u64().unwrap(), r["code"].as_str().unwrap().to_owned())).collect();
    Ok((counts(&output), refused))
}

fn refused(rows: &[(u64, &str)]) -> Vec<(u64, String)> {
    rows.iter().map(|(line, code)| (*line, (*code).to_owned())).collect()
}

#[test]
fn i9_csv_with_every_habit_of_its_writers_is_read() {
    for (name, content, rows) in [
        ("bom.csv", "\u{feff}id,type\n1,a\n".to_owned(), 1),
        ("crlf.csv", "id,type\r\n1,a\r\n2,b\r\n".to_owned(), 2),
        ("cr.csv", "id,type\r1,a\r2,b\r".to_owned(), 2),
        ("no-end.csv", "id,type\n1,a\n2,b".to_owned(), 2),
        ("semicolon.csv", "ID;Type;Note\n1;a;\"x;y\"\n".to_owned(), 1),
        ("tab.tsv", "id\ttype\n1\ta,b\n".to_owned(), 1),
        ("blank-lines.csv", "\n\nid,type\n\n1,a\n\n\n2,b\n\n".to_owned(), 2),
        ("quotes.csv", "id,note\n1,\"line one\nline \"\"two\"\"\r\n, three\"\n2,5\" pipe\n".to_owned(), 2),
    ] {
        let found = try_import(name, content, &[]).unwrap();
        assert_eq!(found, ([rows, rows, 0, 0], Vec::new()), "{name}");
    }
    assert_eq!(try_import("pipe.csv", "id|type\n1|a\n", &["--delimiter", "|"]).unwrap().0, [1, 1, 0, 0]);
}

#[test]
fn i9_a_bad_row_is_refused_by_itself_with_its_line_and_reason() {
    let mut bytes = b"id,time,properties\n".to_vec();
    for row in [
        &b"a,2026-01-01,{}"[..],
        b"b",
        b"c,2026-01-01,{},d",
        b"d,\xff\xfe,{}",
        b"e,caf\xe9,{}",
        b"f,2026-02-30,{}",
        b"g,2026-01-01,{\"\"a\"\":}",
        b"h,2026-01-01,\"[1]\"",
        b"i,2999-01-01,{}",
        b",,",
        b"\"j\nk\",2026-01-01,{}",
        b"l,2026-01-01,\"{\"\"a\"\":1}\"",
        b"m\0,2026-01-01,{}",
    ] {
        bytes.extend_from_slice(row);
        bytes.push(b'\n');
    }
    let (counts, found) = try_import("mixed.csv", bytes, &[]).unwrap();
    assert_eq!(counts, [13, 2, 0, 11]);
    let wanted = [
        (3, "invalid_row"),
        (4, "invalid_row"),
        (5, "invalid_row"),
        (6, "invalid_row"),
        (7, "invalid_time"),
        (8, "invalid_json"),
        (9, "invalid_type"),
        (10, "time_in_future"),
        (11, "invalid_row"),
        (12, "invalid_value"),
        (15, "invalid_value"),
    ];
    assert_eq!(found, refused(&wanted));
}

#[test]
fn i9_a_quote_that_is_never_closed_ends_the_import_with_the_line_it_opens_in() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("open.csv");
    write(&file, "id,note\n1,a\n\n2,\"two\nlines\"\n3,\"open\n4,b\n5,c\n");
    let output = import(&folder.path().join("data"), &file, &[]).output().unwrap();
    assert_eq!((output.status.code(), counts(&output)), (Some(1), [2, 2, 0, 0]), "{}", stderr(&output));
    assert!(stderr(&output).contains("a quote opened in line 6 is never closed"), "{}", stderr(&output));
    assert!(try_import("header.csv", "id,\"note\n1,a\n", &[]).unwrap_err().contains("quote in the header"));
}

#[test]
fn i9_what_is_no_table_of_events_is_one_clear_error() {
    let utf16: Vec<u8> = "\u{feff}id,type\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (name, content, reason) in [
        ("empty.csv", Vec::new(), "is empty"),
        ("empty.ndjson", Vec::new(), "is empty"),
        ("bom-only.csv", "\u{feff}".into(), "is empty"),
        ("spaces.csv", b"\n\n\n".to_vec(), "no header"),
        ("utf16.csv", utf16, "UTF-16"),
        ("header-only.csv", b"id,type\n".to_vec(), "no row was taken"),
        ("no-field.csv", b"colour,size\nred,1\n".to_vec(), "no column has the name of a field"),
        ("twice.csv", b"id,plan,plan\n1,a,b\n".to_vec(), "\"plan\""),
        ("array.json", b"[{\"id\":1}]".to_vec(), "JSON array"),
        ("broken.csv.gz", vec![0x1f, 0x8b, 8, 0, 1, 2, 3], "failed to read"),
        ("wide.csv", "x,".repeat(5_000).into_bytes(), "header is too long"),
        ("not.parquet", b"PAR1 but no more".to_vec(), "Parquet"),
    ] {
        let why = try_import(name, content, &[]).unwrap_err();
        assert!(why.starts_with("error: ") && why.contains(reason), "{name}: {why}");
    }
    let why = try_import("x.csv", "id,when\n1,2\n", &["--map", "time=at"]).unwrap_err();
    assert!(why.contains("\"at\"") && why.contains("\"when\""), "{why}");
    let missing = run(&["import", "/no/such/file.csv", "--data", "/no/such/folder"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(stderr(&missing).contains("/no/such/file.csv"), "{}", stderr(&missing));
}

#[test]
fn i1_every_whole_row_before_a_fault_of_the_file_counts() {
    let folder = tempfile::tempdir().unwrap();
    let rows: String = (0..20_000).map(|row| format!("e{row},a\n")).collect();
    let whole = super::gzip(&format!("id,type\n{rows}"));
    let broken = &whole[..whole.len() - 20];
    write(&folder.path().join("f.csv.gz"), broken);
    let mut before = Vec::new();
    #[expect(clippy::disallowed_methods, reason = "our own test data")]
    let mut bytes = std::io::Read::bytes(flate2::bufread::MultiGzDecoder::new(broken));
    while let Some(Ok(byte)) = bytes.next() {
        before.push(byte);
    }
    let rows = before.iter().filter(|byte| **byte == b'\n').count() as u64 - 1;
    assert!(rows > 10_000 && rows < 20_000, "{rows}");
    let output = import(&folder.path().join("data"), &folder.path().join("f.csv.gz"), &[]).output().unwrap();
    assert_eq!((output.status.code(), counts(&output)), (Some(1), [rows, rows, 0, 0]), "{}", stderr(&output));
}

#[test]
fn i6_a_field_of_a_hundred_megabytes_is_one_refused_row() {
    let folder = tempfile::tempdir().unwrap();
    let field = "x".repeat(100 << 20);
    let file = folder.path().join("long.csv");
    write(&file, format!("id,type,note\n1,a,b\n2,a,\"{field}\"\n3,a,{field}\n4,a,b\n"));
    let rejects = folder.path().join("rejects");
    let args = ["--rejects", rejects.to_str().unwrap()];
    assert_eq!(imported(&folder.path().join("data"), &file, &args), [4, 2, 0, 2]);
    let refused = read(&rejects);
    assert!(refused.len() < 10_000 && refused.matches("too_long").count() == 2, "{} bytes", refused.len());
    // The same in lines of JSON.
    let file = folder.path().join("long.ndjson");
    write(&file, format!("{{\"id\":\"a\"}}\n{{\"id\":\"b\",\"data\":{{\"x\":\"{field}\"}}}}\n{{\"id\":\"c\"}}"));
    assert_eq!(imported(&folder.path().join("data"), &file, &args), [3, 2, 0, 1]);
}

#[test]
fn i9_bad_lines_of_json_are_refused_by_themselves() {
    let lines = b"\xEF\xBB\xBF{\"id\":\"a\"}\r\n\n{\"id\":\n[]\n{\"id\":\"b\"\xff}\n{\"colour\":1}\n{\"id\":\"a\"}\n{\"id\":{}}\n{}\n";
    let (counts, found) = try_import("mixed.ndjson", lines, &[]).unwrap();
    assert_eq!(counts, [8, 1, 1, 6]);
    let codes: Vec<_> = found.iter().map(|(line, code)| (*line, code.as_str())).collect();
    assert_eq!(
        codes,
        [
            (3, "invalid_json"),
            (4, "invalid_json"),
            (5, "invalid_json"),
            (6, "invalid_value"),
            (8, "invalid_type"),
            (9, "invalid_value")
        ]
    );
}

#[test]
fn i2_rows_without_an_id_count_once_whatever_the_format_and_the_order_of_columns() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let file = |name: &str, content: &str| {
        let path = folder.path().join(name);
        write(&path, content);
        path
    };
    let csv = file("a.csv", "time,type,user\n2026-01-01,a,u\n2026-01-01,b,u\n2026-01-01,a,u\n");
    assert_eq!(imported(&data, &csv, &[]), [3, 2, 1, 0]);
    let other = file("b.csv", "user;ts;event\nu;1767225600;b\nu;1767225600;c\n");
    assert_eq!(imported(&data, &other, &[]), [2, 1, 1, 0]);
    let lines = file("c.ndjson", "{\"user\":\"u\",\"time\":\"2026-01-01T00:00:00Z\",\"type\":\"c\"}\n");
    assert_eq!(imported(&data, &lines, &[]), [1, 0, 1, 0]);
}

#[test]
fn i6_the_limits_of_requests_hold_for_imports() {
    let folder = tempfile::tempdir().unwrap();
    let rows: String = (0..10).map(|row| format!("{row},t{row},u\n")).collect();
    write(&folder.path().join("f.csv"), format!("id,type,user\n{rows}"));
    let mut command = import(&folder.path().join("data"), &folder.path().join("f.csv"), &[]);
    let output = command.env("NILOMETER_TYPES_MAX", "4").output().unwrap();
    assert_eq!(counts(&output), [10, 4, 0, 6]);
    assert!(stderr(&output).contains("cardinality_limit"), "{}", stderr(&output));
    let mut strict = import(&folder.path().join("data"), &folder.path().join("f.csv"), &["--strict"]);
    assert_eq!(strict.env("NILOMETER_TYPES_MAX", "4").output().unwrap().status.code(), Some(1));
    // The past is what imports are for.
    write(&folder.path().join("old.csv"), "id,time\nold,1999-01-01\n");
    let mut old = import(&folder.path().join("data"), &folder.path().join("old.csv"), &[]);
    assert_eq!(counts(&old.env("NILOMETER_MAX_LATENESS_SEC", "60").output().unwrap()), [1, 1, 0, 0]);
}

#[test]
fn a_folder_in_use_is_left_alone_and_standard_input_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let server = crate::harness::Server::start(folder.path());
    write(&folder.path().join("f.csv"), "id\n1\n");
    let refused = import(folder.path(), &folder.path().join("f.csv"), &[]).output().unwrap();
    assert_eq!(refused.status.code(), Some(4));
    assert!(stderr(&refused).contains("in use by another process"), "{}", stderr(&refused));
    server.stop();
    let mut command = nilometer(&["import", "-", "--now", "--data", folder.path().to_str().unwrap()]);
    let open = std::fs::File::open(Path::new(&folder.path().join("f.csv"))).unwrap();
    let output = command.stdin(open).output().unwrap();
    assert_eq!(counts(&output), [1, 1, 0, 0], "{}", stdout(&output));
}

#[test]
fn a_file_to_import_is_never_taken_for_the_reject_file() {
    let folder = tempfile::tempdir().unwrap();
    let (file, other) = (folder.path().join("f.csv"), folder.path().join("g.csv"));
    let content = "id\n1\nbad,row\n";
    write(&file, content);
    write(&other, "id\n2\n");
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&file, &link).unwrap();
    let data = folder.path().join("data");
    for rejects in [file.clone(), link, folder.path().join("./f.csv")] {
        let mut command = import(&data, &other, &[file.to_str().unwrap(), "--rejects", rejects.to_str().unwrap()]);
        let refused = command.output().unwrap();
        assert_ne!(refused.status.code(), Some(0));
        assert_eq!(read(&file), content, "{}", rejects.display());
        assert!(!data.exists());
    }
}

#[cfg(feature = "failpoints")]
#[test]
fn i6_rows_of_parquet_make_no_larger_batches_than_those_of_other_files() {
    let folder = tempfile::tempdir().unwrap();
    let (lines, table) = (folder.path().join("f.ndjson"), folder.path().join("f.parquet"));
    let text = "x".repeat(60 << 10);
    let rows: String = (0..300).map(|row| format!("{{\"id\":{row},\"data\":{{\"x\":\"{text}\"}}}}\n")).collect();
    write(&lines, rows);
    imported(&folder.path().join("first"), &lines, &[]);
    super::export(&folder.path().join("first"), &table);
    for (file, name) in [(&lines, "of-lines"), (&table, "of-table")] {
        let data = folder.path().join(name);
        let killed = import(&data, file, &[]).env("FAILPOINTS", "flush::before_commit=panic").output().unwrap();
        assert!(!killed.status.success());
        let journal = crate::faults::journal_file::JournalFile::last_of(&data);
        let largest = journal.records.iter().map(|record| record.end - record.start).max().unwrap();
        assert!(largest > 1 << 20 && largest < 5 << 20, "{name}: {largest} bytes");
    }
}
