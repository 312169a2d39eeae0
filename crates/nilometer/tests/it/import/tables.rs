//! Tables as spreadsheets and databases write them: which column is the time, what stands for nothing,
//! which separator there is, and what the summary at the end says of it all.

use std::path::Path;
use std::process::Output;

use serde_json::Value;

use super::{counts, imported, write};
use crate::harness::{Server, nilometer, run, stderr, stdout};

/// Imports `content` as a file called `name` into a folder of its own.
fn import_as(name: &str, content: impl AsRef<[u8]>, args: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    write(&path, content);
    into(&folder.path().join("data"), &path, args)
}

/// Imports a file, with no other argument than `args`.
fn into(data: &Path, file: &Path, args: &[&str]) -> Output {
    nilometer(&["import", file.to_str().unwrap(), "--data", data.to_str().unwrap()]).args(args).output().unwrap()
}

/// The events of an import of `content`, by their ids.
fn events_of(name: &str, content: &str, args: &[&str]) -> Vec<Value> {
    let folder = tempfile::tempdir().unwrap();
    let (path, data) = (folder.path().join(name), folder.path().join("data"));
    write(&path, content);
    let output = into(&data, &path, args);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let exported = run(&["export", "--data", data.to_str().unwrap()]);
    let mut events: Vec<Value> = stdout(&exported).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    events.sort_by_key(|event| event["event_id"].as_str().unwrap().to_owned());
    events
}

#[test]
fn i9_a_table_of_which_no_column_is_the_time_is_refused_before_any_row_is_read() {
    for (header, named) in [
        ("id,created_at,type", &["\"created_at\" looks like one", "--map 'time=created_at'", "--now"][..]),
        ("id,Date,occurred", &["\"Date\"", "\"occurred\"", "look like one"]),
        ("id,createdAt,$timestamp,properties.time", &["\"createdAt\"", "\"$timestamp\"", "\"properties.time\""]),
        ("id,type", &["--map time=COLUMN", "--now"]),
        ("id,received_at", &["\"received_at\""]),
    ] {
        let output = import_as("f.csv", format!("{header}\n{}\n", header.replace("id", "1")), &[]);
        assert_eq!((output.status.code(), counts(&output)), (Some(1), [0; 4]), "{header}");
        for part in named.iter().chain(&["no column is the time"]) {
            assert!(stderr(&output).contains(part), "{part} of {header}: {}", stderr(&output));
        }
    }
}

#[test]
fn a_table_without_the_name_of_the_time_is_taken_with_map_or_now() {
    let text = "id,created_at\na,2026-01-01T00:00:00Z\n";
    let mapped = events_of("f.csv", text, &["--map", "time=created_at"]);
    assert_eq!((&mapped[0]["time"], &mapped[0]["properties"]), (&"2026-01-01T00:00:00Z".into(), &Value::Null));
    let now = events_of("f.csv", text, &["--now"]);
    assert_eq!(now[0]["time"], now[0]["received_at"]);
    assert_eq!(now[0]["properties"]["created_at"], "2026-01-01T00:00:00Z");
    // A column that is the time may have rows without one, and lines of JSON have no columns.
    assert_eq!(events_of("f.csv", "id,ts\na,\n", &[]).len(), 1);
    assert_eq!(events_of("f.ndjson", "{\"id\":\"a\"}\n", &[]).len(), 1);
}

#[test]
fn an_import_that_takes_no_row_exits_with_3_and_says_so() {
    for (name, content, reason) in [
        ("f.csv", "", "is empty"),
        ("f.ndjson", "", "is empty"),
        ("f.csv", "\u{feff}", "is empty"),
        ("f.csv", "\n\n", "no header"),
        ("f.csv", "id,time\n", "no file holds one"),
        ("f.ndjson", "\n\n", "no file holds one"),
        ("f.csv", "id,time\na,never\nb\n", "each is refused"),
        ("f.ndjson", "{\"id\":{}}\n", "each is refused"),
        ("f.csv", "tenant,time\nother,2026-01-01\n", "each is refused"),
    ] {
        for args in [&[][..], &["--strict"]] {
            let output = import_as(name, content, args);
            assert_eq!(output.status.code(), Some(3), "{content:?}: {}", stderr(&output));
            assert_eq!(counts(&output)[1..3], [0, 0]);
            let last = stderr(&output).lines().last().unwrap();
            assert!(last.starts_with("error: no row was taken: ") && last.contains(reason), "{last}");
        }
    }
    // One row that is taken is enough; one that is known was taken.
    let folder = tempfile::tempdir().unwrap();
    let (path, data) = (folder.path().join("f.csv"), folder.path().join("data"));
    write(&path, "id,time\na,2026-01-01\nb,never\n");
    for known in [0, 1] {
        assert_eq!(imported(&data, &path, &[]), [2, 1 - known, known, 1]);
    }
    write(&path, "");
    let output = into(&data, &path, &[]);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    // The same over HTTP.
    let server = Server::start(&data);
    write(&path, "id,time\nc,never\nd,2999-01-01\n");
    let output = nilometer(&["import", path.to_str().unwrap(), "--url", &server.url()]).output().unwrap();
    assert_eq!((output.status.code(), counts(&output)), (Some(3), [2, 0, 0, 2]), "{}", stderr(&output));
}

#[test]
fn an_import_ends_with_a_summary_by_code_and_field_with_the_first_row_of_each() {
    let text = "id,time,tokens,user\na,2026-01-01,1,NULL\nb,never,1,u\nc,2026-01-01,x,NULL\nd,2026-01-01\ne,nope,1,u\n";
    let folder = tempfile::tempdir().unwrap();
    let output = import_as("f.csv", text, &["--rejects", folder.path().join("rejects").to_str().unwrap()]);
    assert_eq!((output.status.code(), counts(&output)), (Some(0), [5, 1, 0, 4]), "{}", stderr(&output));
    for line in [
        "rejected: 2 x invalid_time time, first ",
        "rejected: 1 x invalid_number tokens, first ",
        "rejected: 1 x invalid_row, first ",
        "warning: 2 x null_text user, first ",
        // Of the row that is taken, since that is what its user is called now.
        "warning: 1 x placeholder_value user, first ",
    ] {
        assert_eq!(stderr(&output).matches(line).count(), 1, "{line}: {}", stderr(&output));
    }
    assert!(stderr(&output).contains("f.csv line 3: "), "{}", stderr(&output));
    assert!(stdout(&output).contains("4 rejected, 3 warnings in "), "{}", stdout(&output));
}

#[test]
fn i4_an_import_that_goes_on_sums_no_row_again() {
    let folder = tempfile::tempdir().unwrap();
    let (path, data) = (folder.path().join("f.csv"), folder.path().join("data"));
    let rows: String = (0..500).map(|row| format!("e{row},{},NULL\n", if row % 5 == 0 { "x" } else { "1" })).collect();
    write(&path, format!("id,time,user\n{}e500,2026", rows.replace(",1,", ",2026-01-01,")));
    let first = into(&data, &path, &[]);
    assert_eq!((first.status.code(), counts(&first)), (Some(1), [500, 400, 0, 100]), "{}", stderr(&first));
    assert!(stderr(&first).contains("warning: 500 x null_text user, "), "{}", stderr(&first));
    assert!(stderr(&first).contains("rejected: 100 x invalid_time time, "), "{}", stderr(&first));
    let again = into(&data, &path, &[]);
    assert_eq!((again.status.code(), counts(&again)), (Some(1), [0; 4]), "{}", stderr(&again));
    assert!(!stderr(&again).contains(" x "), "{}", stderr(&again));
}

#[test]
fn a_text_that_stands_for_nothing_is_warned_about_and_absent_when_it_is_named() {
    let text = "id,time,user,customer,model,plan\n\
                a,2026-01-01,NULL,\\N,None,NULL\nb,2026-01-01,u,NULL,,N/A\nc,2026-01-01,u,\\N,m,pro\n";
    let output = import_as("f.csv", text, &[]);
    assert_eq!(counts(&output), [3, 3, 0, 0]);
    for (line, option) in [
        ("warning: 1 x null_text user, ", "--null 'NULL'"),
        ("warning: 3 x null_text customer, ", "--null '\\N'"),
        ("warning: 1 x null_text model, ", "--null 'None'"),
        ("warning: 1 x null_text plan, ", "--null 'NULL'"),
    ] {
        let found = stderr(&output).lines().find(|found| found.starts_with(line));
        assert!(found.is_some_and(|found| found.contains(option)), "{line}: {}", stderr(&output));
    }
    let plain = events_of("f.csv", text, &[]);
    assert_eq!((&plain[0]["user"], &plain[0]["properties"]["plan"]), (&"NULL".into(), &"NULL".into()), "{plain:?}");
    let nulls = events_of("f.csv", text, &["--null", "NULL", "--null", "\\N", "--null", "None"]);
    for (event, member) in [(0, "user"), (0, "customer"), (0, "model"), (0, "properties"), (1, "customer")] {
        assert_eq!(nulls[event][member], Value::Null, "{member}: {nulls:?}");
    }
    assert_eq!((&nulls[1]["properties"]["plan"], &nulls[2]["model"]), (&"N/A".into(), &"m".into()));
    let output = import_as("f.csv", text, &["--null=NULL", "--null=\\N", "--null=None"]);
    assert!(!stderr(&output).contains("null_text"), "{}", stderr(&output));
    // A time that is nothing is no wrong one.
    let output = import_as("f.csv", "id,time\na,NULL\n", &["--null", "NULL"]);
    assert_eq!(counts(&output), [1, 1, 0, 0]);
    // Words that are values are left alone.
    let output = import_as("f.csv", "id,time,user,plan\na,2026-01-01,Nonette,none\nb,2026-01-01,nullable,NA\n", &[]);
    assert!(!stderr(&output).contains("warning"), "{}", stderr(&output));
}

#[test]
fn the_separator_is_the_one_that_the_file_says_or_that_makes_columns_of_its_header() {
    for text in [
        "sep=;\r\nid;time;note\r\na;2026-01-01;x,y\r\n",
        "\u{feff}sep=;\r\nid;time;note\r\na;2026-01-01;x,y\r\n",
        "sep=|\nid|time|note\na|2026-01-01|x,y\n",
        "id|time|note\na|2026-01-01|x,y\n",
        "id;time;note\na;2026-01-01;x,y\n",
        "id\ttime\tnote\na\t2026-01-01\tx,y\n",
        // More commas than separators in the names of columns that are no field.
        "id;time;\"note\"\na;2026-01-01;x,y\n",
    ] {
        let found = events_of("f.csv", text, &[]);
        assert_eq!(found[0]["properties"], serde_json::json!({"note": "x,y"}), "{text}: {found:?}");
        assert_eq!(found[0]["time"], "2026-01-01T00:00:00Z");
    }
    // What is asked for goes before what the file says.
    let found = events_of("f.csv", "sep=;\nid,time\na,2026-01-01\n", &["--delimiter", ","]);
    assert_eq!(found[0]["event_id"], "a");
    // A line that names no separator is a header, and other separators are to be said.
    for text in ["id^time\na^2026-01-01\n", "id:time\na:2026-01-01\n", "key value\n1 2\n"] {
        let output = import_as("f.csv", text, &[]);
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains("--delimiter"), "{text}: {}", stderr(&output));
    }
    assert_eq!(events_of("f.csv", "id^time\na^2026-01-01\n", &["--delimiter", "^"])[0]["event_id"], "a");
    // Lines are counted with the one before the header.
    let output = import_as("f.csv", "sep=;\nid;time\na;2026-01-01\nb;never\n", &[]);
    assert!(stderr(&output).contains("line 4"), "{}", stderr(&output));
}

#[test]
fn quotes_escaped_by_a_backslash_are_told_and_make_no_garbage() {
    let text = "id,time,note,plan\na,2026-01-01,\"plain\",p\nb,2026-01-01,\"say \\\"hi\\\" now\",p\n\
                c,2026-01-01,\"{\\\"a\\\":1}\",p\nd,2026-01-01,\"C:\\\",p\n";
    let output = import_as("f.csv", text, &[]);
    assert_eq!((output.status.code(), counts(&output)), (Some(0), [4, 2, 0, 2]), "{}", stderr(&output));
    assert!(stderr(&output).contains("2 x invalid_row"), "{}", stderr(&output));
    assert!(stderr(&output).contains("escaped by a backslash"), "{}", stderr(&output));
    // Where the quote looks like the end of a field, the columns are more than there should be.
    let output = import_as("f.csv", "id,time,note\na,2026-01-01,\"x\\\",y\"\nb,2026-01-01,z\n", &[]);
    assert_eq!(counts(&output), [2, 1, 0, 1]);
    assert!(
        stderr(&output).contains("has 4 columns, the header 3 (are quotes escaped by a backslash?"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_flag_that_another_one_makes_meaningless_is_refused_and_the_environment_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let (path, data) = (folder.path().join("f.csv"), folder.path().join("data"));
    write(&path, "id,time\na,2026-01-01\n");
    let server = Server::start(&data);
    let url = server.url();
    let data_flag = ["--data", "/nowhere"];
    for command in [&["import", path.to_str().unwrap()][..], &["seed", "--events", "3"]] {
        for flags in [&data_flag[..], &["--config", "/nowhere.toml"], &["--tenant", "acme"]] {
            let output = nilometer(command).args(["--url", &url]).args(flags).output().unwrap();
            assert_eq!(output.status.code(), Some(2), "{flags:?}: {}", stderr(&output));
            assert!(stderr(&output).contains(flags[0]) && stderr(&output).contains("--url"), "{}", stderr(&output));
        }
        for flags in [&["--connections", "2"], &["--retry-sec", "2"], &["--key", "k"], &["--ca", "c"]] {
            for beside in [&data_flag[..], &["--tenant", "acme"], &[]] {
                let output = nilometer(command).args(beside).args(flags).output().unwrap();
                assert_eq!(output.status.code(), Some(2), "{beside:?} {flags:?}: {}", stderr(&output));
            }
        }
        let mut command = nilometer(command);
        let command = command.args(["--url", &url]).env("NILOMETER_DATA", "/nowhere");
        let output = command.env("NILOMETER_CONFIG", "/nowhere.toml").output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    }
    server.stop();
    // Without a server the environment names the folder.
    let by_environment = |data: &Path| {
        let mut command = nilometer(&["import", path.to_str().unwrap()]);
        command.env("NILOMETER_DATA", data).output().unwrap()
    };
    assert_eq!(counts(&by_environment(&data)), [1, 0, 1, 0]);
    let output = by_environment(Path::new(""));
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("data must not be empty"), "{}", stderr(&output));
}

#[test]
fn an_output_whose_name_promises_another_format_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (path, data) = (folder.path().join("f.csv"), folder.path().join("data"));
    write(&path, "id,time\na,2026-01-01\n");
    imported(&data, &path, &[]);
    let export = |name: &str, args: &[&str]| {
        let output = folder.path().join(name);
        let mut command =
            nilometer(&["export", "--data", data.to_str().unwrap(), "--output", output.to_str().unwrap()]);
        let done = command.args(args).output().unwrap();
        (done.status.code(), output.exists(), stderr(&done).to_owned())
    };
    for name in ["x.xlsx", "x.txt", "x.csv.gz", "x.GZ", "x.parquet.zst", "x.zip", "x.tsv"] {
        let (code, exists, message) = export(name, &[]);
        assert_eq!((code, exists), (Some(2), false), "{name}: {message}");
        assert!(message.contains("--output"), "{message}");
    }
    assert!(export("x.txt", &[]).2.contains(".parquet"));
    for name in ["x.csv.gz", "x.xlsx"] {
        assert_eq!(export(name, &["--format", "csv"]).0, Some(2), "{name}");
    }
    for (name, args) in [
        ("x", &[][..]),
        ("x.csv", &[]),
        ("x.JSONL", &[]),
        ("x.json", &[]),
        ("x.parquet", &[]),
        ("x.txt", &["--format", "csv"]),
    ] {
        let (code, exists, message) = export(name, args);
        assert_eq!((code, exists), (Some(0), true), "{name}: {message}");
    }
}
