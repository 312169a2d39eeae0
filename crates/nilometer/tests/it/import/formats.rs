//! Files of formats that are not read, or not so, are named as what they are; what can be read beside it is.

use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;

use super::{counts, gzip, import, imported, write};
use crate::harness::{run, stderr, stdout};

/// A file of the tests' own, made by another writer.
fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/fixtures/import").join(name)
}

fn import_as(name: &str, content: impl AsRef<[u8]>) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    write(&path, content);
    import(&folder.path().join("data"), &path, &[]).output().unwrap()
}

#[test]
fn i9_files_of_other_formats_are_named_as_what_they_are() {
    let wide = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
    let big = |text: &str| text.encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<_>>();
    let zip = |name: &str| [b"PK\x03\x04\x14\0\0\0\x08\0", &[0; 16][..], name.as_bytes(), &[1; 40]].concat();
    let mut tar = vec![0; 512];
    tar[..5].copy_from_slice(b"f.csv");
    tar[257..262].copy_from_slice(b"ustar");
    for (name, content, said) in [
        ("f.zip", zip("f.csv"), "zip archive"),
        ("f.csv", zip("f.csv"), "zip archive"),
        ("f.xlsx", zip("[Content_Types].xml"), "xlsx"),
        ("f.csv", zip("xl/workbook.xml"), "xlsx"),
        ("f.xls", [b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1", &[0; 64][..]].concat(), "(xls)"),
        ("f.csv", wide("\u{feff}id,time\n"), "UTF-16"),
        ("f.csv", big("\u{feff}id,time\n"), "UTF-16"),
        ("f.csv", wide("id,time\n"), "UTF-16"),
        ("f.ndjson", big("{\"id\":1}\n"), "UTF-16"),
        ("f.csv.bz2", b"BZh91AY&SY\0\0\0\0".to_vec(), "bzip2"),
        ("f.csv.xz", b"\xFD7zXZ\0\0\x04".to_vec(), "xz"),
        ("f.tar", tar.clone(), "tar"),
        ("f.avro", b"Obj\x01\x02\x16avro".to_vec(), "Avro"),
        ("f.html", b"\n<!DOCTYPE html><html>".to_vec(), "HTML"),
        ("f.pdf", b"%PDF-1.7\n".to_vec(), "PDF"),
        ("f.db", b"SQLite format 3\0\x10\0".to_vec(), "SQLite"),
        ("f.csv.gz", super::gzip_bytes(&tar), "tar"),
        ("f.csv.gz", super::gzip_bytes(gzip("id,time\na,1\n")), "within another compression"),
        ("f.csv.gz", super::gzip_bytes(wide("\u{feff}id,time\n")), "UTF-16"),
    ] {
        let output = import_as(name, content);
        assert_eq!((output.status.code(), counts(&output)), (Some(1), [0; 4]), "{name}, {said}: {}", stderr(&output));
        let last = stderr(&output).lines().last().unwrap();
        assert!(last.starts_with("error: ") && last.contains(said), "{name}, {said}: {last}");
    }
}

#[test]
fn i9_an_object_over_several_lines_is_one_hint_and_not_an_error_a_line() {
    let pretty = "{\n  \"id\": \"a\",\n  \"time\": \"2026-01-01\",\n  \"data\": {\n    \"x\": [1]\n  }\n}\n";
    for content in [pretty.to_owned(), format!("\n{pretty}{pretty}"), format!("\u{feff}{pretty}")] {
        let output = import_as("f.ndjson", content);
        assert_eq!((output.status.code(), counts(&output)), (Some(1), [0; 4]), "{}", stderr(&output));
        assert!(
            stderr(&output).contains("over several lines") && stderr(&output).contains("jq -c"),
            "{}",
            stderr(&output)
        );
        assert_eq!(stderr(&output).lines().count(), 1, "{}", stderr(&output));
    }
    // Larger than what is looked at at once.
    let long = format!("{{\n  \"data\": [\n{}  0]\n}}\n", "    1,\n".repeat(300_000));
    let output = import_as("f.json", long);
    assert_eq!(output.status.code(), Some(1));
    // Between others it is one refused row.
    let line = |id: &str| format!("{{\"id\":\"{id}\"}}\n");
    let output = import_as("f.ndjson", format!("{}{pretty}{}{{\"id\":\n{}", line("b"), line("c"), line("d")));
    assert_eq!(counts(&output), [5, 3, 0, 2], "{}", stderr(&output));
    assert!(stderr(&output).contains("line 2: an object goes over several lines"), "{}", stderr(&output));
    assert!(stderr(&output).contains("line 10: "), "{}", stderr(&output));
}

#[test]
fn i6_lines_that_open_what_no_line_closes_take_time_in_proportion_to_their_bytes() {
    let output = import_as("f.ndjson", format!("{{\"id\":\"a\"}}\n{}", "{\"a\":\n".repeat(400_000)));
    assert_eq!(counts(&output), [400_001, 1, 0, 400_000], "{}", stderr(&output));
}

#[test]
fn parquet_with_pages_of_gzip_and_brotli_and_nested_columns_is_read_without_those() {
    for compression in ["gzip", "brotli", "snappy", "zstd"] {
        let data = tempfile::tempdir().unwrap();
        let path = fixture(&format!("nested.{compression}.parquet"));
        let output = import(data.path(), &path, &[]).output().unwrap();
        assert_eq!((output.status.code(), counts(&output)), (Some(0), [3, 3, 0, 0]), "{}", stderr(&output));
        for (column, kind) in [("tags", "List"), ("properties", "Struct"), ("labels", "Map"), ("blob", "Binary")] {
            let line = format!("warning: 1 x column_not_read {column}, ");
            let found = stderr(&output).lines().find(|found| found.starts_with(&line));
            assert!(found.is_some_and(|found| found.contains(kind)), "{column}: {}", stderr(&output));
        }
        assert!(stderr(&output).contains("warning: 1 x null_text customer"), "{}", stderr(&output));
        let exported = run(&["export", "--data", data.path().to_str().unwrap()]);
        let first: Value = serde_json::from_str(stdout(&exported).lines().next().unwrap()).unwrap();
        assert_eq!((&first["event_id"], &first["user"]), (&"p1".into(), &"u1".into()), "{first}");
        assert_eq!(first["properties"], serde_json::json!({"plan": "pro"}), "{first}");
    }
}

#[test]
fn i9_parquet_without_a_time_or_with_a_field_that_is_nested_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let output = import(data.path(), &fixture("nested.gzip.parquet"), &["--map", "user=tags"]).output().unwrap();
    assert_eq!((output.status.code(), counts(&output)), (Some(1), [0; 4]));
    assert!(stderr(&output).contains("\"tags\" is of type List"), "{}", stderr(&output));
    let path = fixture("no-time.parquet");
    let output =
        crate::harness::nilometer(&["import", path.to_str().unwrap(), "--data"]).arg(data.path()).output().unwrap();
    assert_eq!((output.status.code(), counts(&output)), (Some(1), [0; 4]));
    assert!(stderr(&output).contains("\"created_at\" looks like one"), "{}", stderr(&output));
    assert_eq!(imported(data.path(), &path, &["--map", "time=created_at"]), [1, 1, 0, 0]);
}
