//! The data folder as an operator meets it: who may read it, which copy of it is one, and what the exit code of a
//! command says about it.
#![expect(clippy::disallowed_methods, reason = "changes a folder behind the product's back")]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::harness::{Server, nilometer, run, stderr, stdout};

/// A number that nothing else in a database looks like.
const TOKENS: u64 = 987_654_321_012;

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
}

/// Everything in `folder`, itself included.
fn tree(folder: &Path) -> Vec<PathBuf> {
    let mut found = vec![folder.to_owned()];
    for entry in folder.read_dir().unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            found.extend(tree(&entry));
        } else {
            found.push(entry);
        }
    }
    found
}

fn assert_owner_only(folder: &Path, when: &str) {
    for path in tree(folder) {
        let expected = if path.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode(&path), expected, "{when}: {}", path.display());
    }
}

/// The program under a umask that takes nothing away.
fn open_handed(args: &[&str]) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", "umask 0; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_nilometer")]).args(args);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("NILOMETER_")) {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    command
}

fn serve(data: &Path) -> Server {
    let data = data.to_str().unwrap();
    Server::run(open_handed(&["serve", "--listen", "127.0.0.1:0", "--data", data, "--flush-age-ms", "50"]))
}

fn send(server: &Server, ids: std::ops::Range<u32>) {
    let events: Vec<_> = ids.map(|id| format!(r#"{{"id": "e{id}", "user": "u{id}", "tokens": 3}}"#)).collect();
    assert_eq!(server.post("/v1/events?wait=applied", format!("[{}]", events.join(","))).0, 202);
}

fn wait_for_segments(data: &Path) {
    while data.join("segments").read_dir().map_or(0, Iterator::count) == 0 {
        std::thread::yield_now();
    }
}

#[test]
fn every_file_of_a_data_folder_is_for_its_owner_alone() {
    let parent = tempfile::tempdir().unwrap();
    let data = parent.path().join("made/data");
    let server = serve(&data);
    send(&server, 0..20);
    wait_for_segments(&data);
    send(&server, 20..40);
    let json = [("content-type", "application/json")];
    assert_eq!(server.send("PATCH", "/v1/settings", &json, r#"{"timezone": "Asia/Kolkata"}"#.into()).0, 200);
    assert_owner_only(&data, "while it runs");
    server.kill();
    assert_owner_only(&data, "killed");
    let server = serve(&data);
    send(&server, 40..60);
    assert_owner_only(&data, "started again");
    server.stop();
    let rows = parent.path().join("rows.csv");
    fs::write(&rows, "id,time,user\nx1,2026-01-01,u\n,2026-13-01,u\n").unwrap();
    let (rows, folder) = (rows.to_str().unwrap(), data.to_str().unwrap());
    let (rejects, export) = (parent.path().join("rejects"), parent.path().join("export.csv"));
    let flags = ["--rejects", rejects.to_str().unwrap(), "--data", folder];
    let imported = open_handed(&[&["import", rows], &flags[..]].concat()).output().unwrap();
    assert!(stdout(&imported).contains("1 accepted"), "{}{}", stdout(&imported), stderr(&imported));
    let export_to = ["export", "--data", folder, "--output", export.to_str().unwrap()];
    assert!(open_handed(&export_to).status().unwrap().success());
    assert_owner_only(&data, "imported into and exported");
    assert_eq!((mode(&rejects), mode(&export)), (0o666, 0o666), "what the user asked for is as the umask says");
}

#[test]
fn an_older_folder_is_closed_to_others_at_the_start_and_what_is_not_the_servers_stays_as_it_is() {
    let parent = tempfile::tempdir().unwrap();
    let data = parent.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::set_permissions(parent.path(), Permissions::from_mode(0o755)).unwrap();
    let server = serve(&data);
    send(&server, 0..20);
    wait_for_segments(&data);
    send(&server, 20..40);
    server.kill();
    let widen = || {
        for path in tree(&data) {
            let mode = if path.is_dir() { 0o755 } else { 0o644 };
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        }
    };
    widen();
    let server = serve(&data);
    assert_owner_only(&data, "started");
    assert_eq!(mode(parent.path()), 0o755, "the folder around it is somebody else's");
    let log = server.stop().join("\n");
    assert!(log.contains("others could read or write the data folder"), "{log}");
    let notes = data.join("notes.txt");
    fs::write(&notes, "mine").unwrap();
    widen();
    assert_eq!(run(&["verify", "--data", data.to_str().unwrap()]).status.code(), Some(0));
    assert_eq!((mode(&notes), mode(&data)), (0o644, 0o755), "a folder that holds other things is shared");
    assert_eq!(mode(&data.join("manifest.sqlite")), 0o600);
    assert_eq!(mode(&data.join("segments")), 0o700);
}

/// Ways to copy a folder, each with its command; those that are not installed are left out.
fn copies(data: &Path, parent: &Path) -> Vec<(String, PathBuf)> {
    let from = data.to_str().unwrap();
    let mut made = Vec::new();
    for (name, script) in [
        ("cp -a", r#"cp -a "$1" "$2""#),
        ("cp -r", r#"cp -r "$1" "$2""#),
        ("rsync", r#"rsync -a "$1/" "$2""#),
        ("tar", r#"mkdir "$2" && tar -C "$1" -cf - . | tar -C "$2" -xf -"#),
    ] {
        let to = parent.join(name.replace([' ', '-'], "_"));
        let copied = Command::new("sh").args(["-c", script, "sh", from, to.to_str().unwrap()]).output().unwrap();
        if copied.status.success() {
            made.push((name.to_owned(), to));
        }
    }
    assert!(made.len() >= 3, "{made:?}");
    made
}

fn refused_as_copy(output: &Output, folder: &str, what: &str) {
    assert_eq!(output.status.code(), Some(6), "{what}: {}{}", stdout(output), stderr(output));
    for part in ["is a copy of a folder that was open", "--recover-copy", folder] {
        assert!(stderr(output).contains(part), "{what}: {}", stderr(output));
    }
}

#[test]
fn i9_a_copy_of_a_folder_in_use_is_refused_until_it_is_recovered_and_verified() {
    let parent = tempfile::tempdir().unwrap();
    let data = parent.path().join("data");
    let server = Server::start(&data);
    send(&server, 0..50);
    let copies = copies(&data, parent.path());
    send(&server, 50..60);
    let rows = parent.path().join("rows.csv");
    fs::write(&rows, "id,time\nx1,2026-01-01\n").unwrap();
    for (how, copy) in &copies {
        let folder = copy.to_str().unwrap();
        for command in [
            &["serve", "--listen", "127.0.0.1:0", "--data", folder][..],
            &["verify", "--data", folder],
            &["export", "--data", folder],
            &["events", "list", "--data", folder],
            &["import", rows.to_str().unwrap(), "--data", folder],
        ] {
            refused_as_copy(&run(command), folder, &format!("{how}: {command:?}"));
        }
        let recovered = run(&["verify", "--recover-copy", "--data", folder]);
        assert_eq!(recovered.status.code(), Some(0), "{how}: {}{}", stdout(&recovered), stderr(&recovered));
        assert!(stdout(&recovered).starts_with("verified 50 events: "), "{how}: {}", stdout(&recovered));
        assert_eq!(run(&["verify", "--data", folder]).status.code(), Some(0), "{how}: a folder like any other");
        let server = Server::start(copy);
        assert_eq!(server.get("/v1/events/e49").0, 200, "{how}");
        server.stop();
    }
    server.kill();
    // The folder itself is not taken for its copy, nor for one by hard links, which has its very files.
    let linked = parent.path().join("linked");
    copy("-al", &data, &linked);
    refused_as_copy(&run(&["verify", "--data", linked.to_str().unwrap()]), linked.to_str().unwrap(), "cp -al");
    let server = Server::start(&data);
    assert_eq!(server.get("/v1/events/e59").0, 200);
    server.stop();
}

#[test]
fn the_same_folder_starts_after_a_kill_and_so_does_a_copy_made_of_a_stopped_one() {
    let parent = tempfile::tempdir().unwrap();
    let data = parent.path().join("data");
    for round in 0..3 {
        let server = Server::start(&data);
        send(&server, round * 10..round * 10 + 10);
        server.kill();
        assert!(has_mark(&data), "a crash leaves it");
    }
    let moved = parent.path().join("moved");
    fs::rename(&data, &moved).unwrap();
    Server::start(&moved).stop();
    assert!(!has_mark(&moved), "closed tidily");
    let copied = parent.path().join("copy");
    copy("-a", &moved, &copied);
    let verified = run(&["verify", "--data", copied.to_str().unwrap()]);
    assert_eq!(verified.status.code(), Some(0), "{}{}", stdout(&verified), stderr(&verified));
    assert!(stdout(&verified).starts_with("verified 30 events: "), "{}", stdout(&verified));
    assert!(!has_mark(&copied));
}

fn copy(how: &str, from: &Path, to: &Path) {
    let copied = Command::new("cp").args([how, from.to_str().unwrap(), to.to_str().unwrap()]).status();
    assert!(copied.unwrap().success());
}

fn has_mark(data: &Path) -> bool {
    tree(data).iter().any(|path| path.file_name().unwrap().to_str().unwrap().starts_with("RUNNING."))
}

#[test]
fn a_server_recovers_a_copy_before_it_serves_it_and_leaves_a_bad_one_marked() {
    let parent = tempfile::tempdir().unwrap();
    let data = parent.path().join("data");
    falsifiable(&data);
    let server = Server::start(&data);
    send(&server, 0..10);
    let (good, bad) = (parent.path().join("good"), parent.path().join("bad"));
    copy("-a", &data, &good);
    copy("-a", &data, &bad);
    server.stop();
    let server = Server::with(&good, &["--recover-copy"]);
    assert_eq!(server.get("/v1/events/e9").1["tokens"], 3);
    server.stop();
    Server::start(&good).stop();
    Server::with(&good, &["--recover-copy"]).stop();

    falsify(&bad);
    for command in [&["serve", "--listen", "127.0.0.1:0", "--recover-copy"][..], &["verify", "--recover-copy"]] {
        let differs = nilometer(command).args(["--data", bad.to_str().unwrap()]).output().unwrap();
        assert_eq!(differs.status.code(), Some(3), "{}{}", stdout(&differs), stderr(&differs));
        assert!(stdout(&differs).contains("1 differences"), "{}", stdout(&differs));
    }
    refused_as_copy(&run(&["verify", "--data", bad.to_str().unwrap()]), bad.to_str().unwrap(), "still a copy");
}

/// A folder, stopped, with a day whose sum can be found in the manifest.
fn falsifiable(data: &Path) {
    let server = Server::start(data);
    let event =
        |hour| format!(r#"{{"id": "h{hour}", "time": "2026-01-01T0{hour}:00:00Z", "type": "k", "tokens": {TOKENS}}}"#);
    assert_eq!(server.post("/v1/events?wait=applied", format!("[{},{}]", event(1), event(2))).0, 202);
    server.stop();
}

/// Changes the tokens of a day in the manifest by one.
fn falsify(data: &Path) {
    let file = data.join("manifest.sqlite");
    let [_, _, stored @ ..] = (2 * TOKENS).to_be_bytes();
    let mut bytes = fs::read(&file).unwrap();
    let place = bytes.windows(6).position(|window| window == stored).unwrap();
    bytes[place + 5] ^= 1;
    fs::write(&file, bytes).unwrap();
}

#[test]
fn each_outcome_that_a_script_treats_apart_has_an_exit_code_of_its_own() {
    let parent = tempfile::tempdir().unwrap();
    let path = |name: &str| parent.path().join(name).to_str().unwrap().to_owned();
    let (data, differing, nowhere) = (path("data"), path("differing"), path("nowhere"));
    let code = |args: &[&str]| {
        let output = run(args);
        (output.status.code().unwrap(), format!("{}{}", stdout(&output), stderr(&output)))
    };
    let server = Server::start(Path::new(&data));
    send(&server, 0..1);
    for command in [&["verify"][..], &["export"], &["events", "list"], &["serve", "--listen", "127.0.0.1:0"]] {
        let (in_use, why) = code(&[command, &["--data", &data]].concat());
        assert_eq!(in_use, 4, "{command:?}: {why}");
        assert!(why.contains("in use by another process"), "{why}");
    }
    server.stop();
    assert_eq!(code(&["verify", "--data", &data]).0, 0);
    assert_eq!(code(&["export", "--data", &data, "--output", &path("no/such/folder/file.csv")]).0, 1);
    assert_eq!(code(&["verify", "--no-such-flag"]).0, 2);
    assert_eq!(code(&["export", "--data", &data, "--from", "soon"]).0, 2);
    falsifiable(Path::new(&differing));
    falsify(Path::new(&differing));
    let (differs, told) = code(&["verify", "--data", &differing]);
    assert_eq!(differs, 3, "{told}");
    for command in [&["verify"][..], &["export"], &["events", "list"]] {
        let (missing, why) = code(&[command, &["--data", &nowhere]].concat());
        assert_eq!(missing, 5, "{command:?}: {why}");
        assert!(why.contains("no data folder"), "{why}");
    }
    assert!(!Path::new(&nowhere).exists(), "no command that reads makes a folder");
    // What was a folder is damaged, not missing.
    fs::remove_file(Path::new(&data).join("manifest.sqlite")).unwrap();
    let (damaged, why) = code(&["verify", "--data", &data]);
    assert_eq!(damaged, 1, "{why}");
    let help = code(&["--help"]).1;
    for line in [
        "0  done",
        "3  verify, move: a difference",
        "4  the data folder is in use",
        "5  there is no",
        "6  the data folder is a copy",
        "70  serve",
    ] {
        assert!(help.contains(line), "{help}");
    }
}
