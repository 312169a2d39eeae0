//! Encrypted properties: their plain text stands in no file, and is read by who may.
#![expect(clippy::disallowed_methods, reason = "small files of a test's own folder")]

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::harness::{Server, nilometer, run, stderr, stdout};

/// 16 characters that stand nowhere by chance.
fn secret() -> String {
    (0..16).map(|_| char::from(b'a' + rand::random::<u8>() % 26)).collect()
}

/// All files of a folder, byte for byte. LZ4, which columns are compressed with, leaves what it has not met before as it is.
fn stored(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(stored(&path));
        } else {
            let bytes = std::fs::read(&path).unwrap();
            files.push((path, bytes));
        }
    }
    files
}

/// The files of a folder in which a text stands.
fn holding(folder: &Path, text: &str) -> Vec<PathBuf> {
    let holds = |bytes: &[u8]| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    stored(folder).into_iter().filter(|(_, bytes)| holds(bytes)).map(|(path, _)| path).collect()
}

fn is_in(files: &[PathBuf], part: &str) -> bool {
    files.iter().any(|path| path.to_str().unwrap().contains(part))
}

fn encrypt(server: &Server, paths: Value) -> Value {
    let headers = [("content-type", "application/json")];
    let (status, body) = server.send("PATCH", "/v1/settings/encryption", &headers, json!({"paths": paths}).to_string());
    assert_eq!(status, 200, "{body}");
    body
}

fn event(id: &str, secret: &str) -> String {
    let properties =
        json!({"email": secret, "plan": "pro", "person": {"phones": [{"number": secret}]}, "city": secret});
    json!({"id": id, "type": "signup", "customer": "c", "properties": properties}).to_string()
}

/// Sends what is taken, what is rejected for another reason, what cannot be read, a keyed request, and one that no
/// content type tells.
fn send_all(server: &Server, name: &str, secret: &str) {
    for number in 0..20 {
        let (status, answer) = server.post("/v1/events?wait=applied", event(&format!("{name}-{number}"), secret));
        assert_eq!((status, &answer["accepted"]), (202, &json!(1)), "{answer}");
    }
    let late = event(&format!("{name}-future"), secret).replace("\"signup\"", "\"signup\",\"time\":\"2999-01-01\"");
    assert_eq!(server.post("/v1/events", late).0, 422);
    let mut torn = event(&format!("{name}-torn"), secret);
    torn.pop();
    assert_eq!(server.post("/v1/events", torn).0, 400);
    let keyed = [("content-type", "application/json"), ("idempotency-key", name)];
    assert_eq!(server.send("POST", "/v1/events", &keyed, event(&format!("{name}-keyed"), secret)).0, 202);
    assert_eq!(server.send("POST", "/v1/events", &keyed, event(&format!("{name}-keyed"), secret)).0, 202);
    let other = [("content-type", "text/csv")];
    assert_eq!(server.send("POST", "/v1/events", &other, event(&format!("{name}-csv"), secret)).0, 415);
    // A name that is nearly one of a field, so that warnings are made of it.
    let near = json!({"id": format!("{name}-near"), "custmer": "c", "properties": {"email": secret}});
    server.post("/v1/events", near.to_string());
}

const PATHS: [&str; 3] = ["email", "person.phones.number", "city"];

fn paths() -> Value {
    json!(PATHS.map(|path| json!({"path": path, "deterministic": path == "city"})))
}

#[test]
fn i5_the_plain_text_of_an_encrypted_property_is_in_no_file_and_no_log() {
    let data = tempfile::tempdir().unwrap();
    let (open, hidden) = (secret(), secret());
    let mut logs = Vec::new();
    let server = Server::start(data.path());
    send_all(&server, "open", &open);
    logs.extend(server.stop());
    assert!(
        is_in(&holding(data.path(), &open), "segments/"),
        "without encryption it is found: {:?}",
        stored(data.path()).len()
    );
    let server = Server::start(data.path());
    server.post("/v1/events?wait=applied", event("open-journal", &open));
    assert!(is_in(&holding(data.path(), &open), "journal/"), "without encryption it is found");

    assert_eq!(encrypt(&server, paths())["key_version"], 1);
    send_all(&server, "hidden", &hidden);
    assert_eq!(holding(data.path(), &hidden), [] as [PathBuf; 0], "while it runs");
    server.kill();
    assert_eq!(holding(data.path(), &hidden), [] as [PathBuf; 0], "after a crash");
    let server = Server::start(data.path());
    let shown = server.get("/v1/events/hidden-3").1["properties"].clone();
    assert_eq!(shown, serde_json::from_str::<Value>(&event("", &hidden)).unwrap()["properties"], "replayed and read");
    let (_, rotated) = server.post("/v1/settings/encryption/rotate", "");
    assert_eq!(rotated["key_version"], 2);
    send_all(&server, "later", &hidden);
    let (_, again) = server.post("/v1/events?wait=applied", event("hidden-3", &hidden));
    assert_eq!((&again["duplicates"], &again["results"][0]["code"]), (&json!(1), &Value::Null), "a retry: {again}");
    let (_, other) = server.post("/v1/events?wait=applied", event("hidden-3", &open));
    assert_eq!(other["results"][0]["code"], "payload_mismatch", "{other}");
    let query = json!({"aggregations": [{"op": "count"}], "group_by": ["properties.city"]}).to_string();
    let (_, grouped) = server.post("/v1/query", query);
    let row = grouped["rows"].as_array().unwrap().iter().find(|row| row[0] == hidden.as_str()).unwrap().clone();
    assert_eq!(row[1], 42, "groups span key versions: {grouped}");
    logs.extend(server.stop());
    assert_eq!(holding(data.path(), &hidden), [] as [PathBuf; 0], "flushed");
    assert!(logs.iter().all(|line| !line.contains(&hidden)), "logged");
    let verified = run(&["verify", "--data", data.path().to_str().unwrap()]);
    assert_eq!(verified.status.code(), Some(0), "{}", stdout(&verified));
}

#[test]
fn an_export_hides_what_is_encrypted_unless_asked_and_what_it_hides_is_not_taken_back() {
    let (data, other, files) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (at, secret) = (data.path().to_str().unwrap(), secret());
    let server = Server::start(data.path());
    encrypt(&server, paths());
    server.post("/v1/events?wait=applied", event("e", &secret));
    server.stop();
    let listed = run(&["events", "list", "--data", at]);
    assert!(stdout(&listed).contains("<encrypted>") && !stdout(&listed).contains(&secret), "{}", stdout(&listed));
    for format in ["ndjson", "csv", "parquet"] {
        let [masked, plain] = ["masked", "plain"].map(|name| files.path().join(format!("{name}.{format}")));
        let [masked, plain] = [&masked, &plain].map(|path| path.to_str().unwrap());
        assert_eq!(run(&["export", "--data", at, "--output", masked]).status.code(), Some(0));
        let exported = run(&["export", "--data", at, "--decrypt", "--output", plain]);
        assert_eq!(exported.status.code(), Some(0), "{}", stderr(&exported));
        // Neither is encrypted twice, nor taken for the value.
        let refused = run(&["import", masked, "--data", at, "--no-resume"]);
        assert!(stderr(&refused).contains("encrypted_value"), "{format}: {}", stderr(&refused));
        assert_eq!(refused.status.code(), Some(3), "{format}");
        let taken = run(&["import", plain, "--data", at, "--no-resume"]);
        assert!(stdout(&taken).contains("1 duplicate"), "{format}: {}", stdout(&taken));
        let folder = other.path().join(format);
        let taken = run(&["import", plain, "--data", folder.to_str().unwrap()]);
        assert_eq!(taken.status.code(), Some(0), "{}", stderr(&taken));
        let events = run(&["events", "list", "--data", folder.to_str().unwrap()]);
        assert!(stdout(&events).contains(&secret), "{format}: {}", stdout(&events));
    }
    // Into a folder that encrypts, an import encrypts.
    let rows = files.path().join("rows.ndjson");
    let imported = self::secret();
    std::fs::write(&rows, event("imported", &imported)).unwrap();
    let taken = run(&["import", rows.to_str().unwrap(), "--data", at]);
    assert_eq!(taken.status.code(), Some(0), "{}", stderr(&taken));
    assert_eq!(holding(data.path(), &imported), [] as [PathBuf; 0]);
}

#[test]
fn a_server_without_the_key_of_its_encrypted_properties_does_not_start_and_says_which() {
    let data = tempfile::tempdir().unwrap();
    let (at, secret) = (data.path().to_str().unwrap(), secret());
    let key = data.path().join("master.key");
    let server = Server::start(data.path());
    encrypt(&server, json!([{"path": "email"}]));
    server.post("/v1/events?wait=applied", event("e", &secret));
    server.stop();
    let right = std::fs::read_to_string(&key).unwrap();
    let serve = ["serve", "--listen", "127.0.0.1:0", "--data", at];
    std::fs::write(&key, "ab".repeat(32)).unwrap();
    let refused = run(&serve);
    assert_eq!(refused.status.code(), Some(1), "{}", stderr(&refused));
    for part in ["master.key", "does not open with this master key"] {
        assert!(stderr(&refused).contains(part), "{part}: {}", stderr(&refused));
    }
    std::fs::remove_file(&key).unwrap();
    for args in [&serve[..], &["import", "-", "--data", at], &["export", "--decrypt", "--data", at]] {
        let refused = run(args);
        assert!(!refused.status.success() && stderr(&refused).contains("master.key"), "{}", stderr(&refused));
        assert!(!key.exists(), "no other key takes its place");
    }
    std::fs::write(&key, &right).unwrap();
    let server = Server::start(data.path());
    assert_eq!(server.get("/v1/events/e").1["properties"]["email"], secret.as_str());
    server.stop();

    // Changed: the same values under another master key.
    let changed = run(&["admin", "replace-master-key", "--yes", "--data", at]);
    assert_eq!(changed.status.code(), Some(0), "{}", stderr(&changed));
    let told: Value = serde_json::from_str(stdout(&changed)).unwrap();
    assert_eq!((&told["rewrapped"], &told["data_keys_lost"]), (&json!(1), &json!(0)), "{told}");
    assert_ne!(std::fs::read_to_string(&key).unwrap(), right);
    let server = Server::start(data.path());
    assert_eq!(server.get("/v1/events/e").1["properties"]["email"], secret.as_str());
    server.stop();

    // Lost: what was encrypted is gone, and new events are encrypted under a new key.
    std::fs::remove_file(&key).unwrap();
    let changed = run(&["admin", "replace-master-key", "--yes", "--old-is-lost", "--data", at]);
    assert_eq!(serde_json::from_str::<Value>(stdout(&changed)).unwrap()["data_keys_lost"], 1);
    let server = Server::start(data.path());
    assert_eq!(server.get("/v1/events/e").1["properties"]["email"], "<unreadable>");
    server.post("/v1/events?wait=applied", event("f", &secret));
    assert_eq!(server.get("/v1/events/f").1["properties"]["email"], secret.as_str());
    assert_eq!(server.get("/v1/settings/encryption").1["key_version"], 2);
    server.stop();
}

/// A change of the master key that is interrupted between its steps is ended by the next start, whichever way.
#[test]
fn i7_an_interrupted_change_of_the_master_key_loses_nothing() {
    let data = tempfile::tempdir().unwrap();
    let (at, secret) = (data.path().to_str().unwrap(), secret());
    let [key, next] = ["master.key", "master.key.next"].map(|name| data.path().join(name));
    let server = Server::start(data.path());
    encrypt(&server, json!([{"path": "email"}]));
    server.post("/v1/events?wait=applied", event("e", &secret));
    server.stop();
    let old = std::fs::read(&key).unwrap();
    // Before anything was wrapped under the new key.
    std::fs::write(&next, "cd".repeat(32)).unwrap();
    let server = Server::start(data.path());
    assert_eq!(server.get("/v1/events/e").1["properties"]["email"], secret.as_str());
    assert!(!next.exists() && std::fs::read(&key).unwrap() == old);
    server.stop();
    // After everything was, and before the new key was in its place.
    assert_eq!(run(&["admin", "replace-master-key", "--yes", "--data", at]).status.code(), Some(0));
    std::fs::rename(&key, &next).unwrap();
    std::fs::write(&key, &old).unwrap();
    let server = Server::start(data.path());
    assert_eq!(server.get("/v1/events/e").1["properties"]["email"], secret.as_str());
    assert!(!next.exists() && std::fs::read(&key).unwrap() != old);
    server.stop();
}

/// Without anything that is encrypted, what tells which key is in force was missing, and the old one stayed.
#[test]
fn i7_an_interrupted_change_of_the_master_key_is_not_undone_where_nothing_is_encrypted() {
    let data = tempfile::tempdir().unwrap();
    let at = data.path().to_str().unwrap();
    let [key, next] = ["master.key", "master.key.next"].map(|name| data.path().join(name));
    Server::start(data.path()).stop();
    let old = std::fs::read(&key).unwrap();
    assert_eq!(run(&["admin", "replace-master-key", "--yes", "--data", at]).status.code(), Some(0));
    let new = std::fs::read(&key).unwrap();
    std::fs::rename(&key, &next).unwrap();
    std::fs::write(&key, &old).unwrap();
    Server::start(data.path()).stop();
    assert!(!next.exists() && std::fs::read(&key).unwrap() == new, "the old one may be known to others");
}

/// Each of these destroyed all data keys and was a success.
#[test]
fn i7_a_master_key_is_not_replaced_under_a_wrong_or_forgotten_old_one() {
    let (data, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (at, secret) = (data.path().to_str().unwrap(), secret());
    let [old, new, wrong] = ["old.key", "new.key", "wrong.key"].map(|name| elsewhere.path().join(name));
    let server = Server::start(data.path());
    encrypt(&server, json!([{"path": "email"}]));
    server.post("/v1/events?wait=applied", event("e", &secret));
    server.stop();
    std::fs::rename(data.path().join("master.key"), &old).unwrap();
    std::fs::write(&new, "cd".repeat(32)).unwrap();
    std::fs::write(&wrong, "ab".repeat(32)).unwrap();
    let replace = |named: Option<&Path>, more: &[&str]| {
        let mut command = nilometer(&["admin", "replace-master-key", "--yes", "--data", at]);
        if let Some(named) = named {
            command.env("NILOMETER_MASTER_KEY_FILE", named);
        }
        command.args(more).output().unwrap()
    };
    let [old_at, wrong_at] = [&old, &wrong].map(|path| path.to_str().unwrap());
    let cases: [(Option<&Path>, &[&str], &str); 5] = [
        (Some(&new), &[], "data key 1 of workspace 'default'"),
        (Some(&new), &["--old", wrong_at], "data key 1 of workspace 'default'"),
        // Nothing was put in its place yet.
        (Some(&old), &["--old", old_at], "opens the register already"),
        (Some(&old), &["--old-is-lost"], "opens the register already"),
        // The setting is forgotten, so that there seems to be no key at all.
        (None, &[], "data key 1 of workspace 'default'"),
    ];
    for (named, more, part) in cases {
        let refused = replace(named, more);
        assert_eq!(refused.status.code(), Some(1), "{more:?}: {}", stderr(&refused));
        assert!(stderr(&refused).contains(part), "{more:?}: {}", stderr(&refused));
        assert!(!data.path().join("master.key.next").exists() && !data.path().join("master.key").exists());
    }
    let changed = replace(Some(&new), &["--old", old_at]);
    assert_eq!(changed.status.code(), Some(0), "{}", stderr(&changed));
    let mut command = nilometer(&["serve", "--listen", "127.0.0.1:0", "--data", at]);
    command.env("NILOMETER_MASTER_KEY_FILE", &new);
    let server = Server::run(command);
    assert_eq!(server.get("/v1/events/e").1["properties"]["email"], secret.as_str());
    server.stop();
}

/// Dead letters hold whole records: here one that the ledger refuses as often as it is tried.
#[cfg(feature = "failpoints")]
#[test]
fn i5_a_dead_letter_holds_no_plain_text() {
    let holds_letter = |is_encrypted: bool| {
        let data = tempfile::tempdir().unwrap();
        let secret = secret();
        let mut command = nilometer(&["serve", "--listen", "127.0.0.1:0", "--data", data.path().to_str().unwrap()]);
        command.args(["--wait-applied-ms-max", "1"]).env("FAILPOINTS", "ledger::before_decode=3*return->off");
        let server = Server::run(command);
        if is_encrypted {
            encrypt(&server, paths());
        }
        let (status, answer) = server.post("/v1/events", event("e", &secret));
        assert_eq!(status, 202, "{answer}");
        let receipt = format!("/v1/receipts/{}", answer["receipt"].as_str().unwrap());
        let dead = (0..600).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(50));
            server.get(&receipt).1["status"] == "dead_lettered"
        });
        assert!(dead, "{}", server.get(&receipt).1);
        let log = server.stop();
        assert!(log.iter().all(|line| !line.contains(&secret)));
        is_in(&holding(data.path(), &secret), "manifest.sqlite")
    };
    assert!(holds_letter(false), "without encryption it is found");
    assert!(!holds_letter(true));
}

/// Everything that there is in a folder: names, modes and bytes.
fn folder(data: &Path) -> Vec<(PathBuf, u32, Vec<u8>)> {
    use std::os::unix::fs::PermissionsExt;
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode();
    let mut all: Vec<_> = stored(data).into_iter().map(|(path, bytes)| (path.clone(), mode(&path), bytes)).collect();
    let folders = ["", "journal", "segments"].map(|name| data.join(name));
    all.extend(folders.into_iter().map(|path| (path.clone(), mode(&path), Vec::new())));
    all.sort();
    all
}

/// It opened the folder as a start does: modes, marks, formats and unknown files were seen to.
#[test]
fn the_doctor_tells_a_lost_and_a_wrong_key_and_changes_nothing() {
    use std::os::unix::fs::PermissionsExt;
    let data = tempfile::tempdir().unwrap();
    let at = data.path().to_str().unwrap();
    assert_eq!(run(&["doctor", "--data", at]).status.code(), Some(5), "there is no folder yet");
    let server = Server::start(data.path());
    encrypt(&server, json!([{"path": "email"}]));
    let told = |code: i32, parts: &[&str]| {
        let told = run(&["doctor", "--data", at]);
        assert_eq!(told.status.code(), Some(code), "{}{}", stdout(&told), stderr(&told));
        for part in parts {
            assert!(stdout(&told).contains(part), "{part}: {}", stdout(&told));
        }
        assert!(stdout(&told).contains("encryption of the disk: "), "{}", stdout(&told));
    };
    told(0, &["which a process holds", "ok       master key"]);
    server.stop();
    let doctor = |code: i32, parts: &[&str]| {
        let before = folder(data.path());
        told(code, parts);
        assert!(folder(data.path()) == before, "the doctor has changed the folder");
    };
    doctor(0, &["which no process holds", "opens what the folder holds", "ok       permissions"]);
    std::fs::set_permissions(data.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::write(data.path().join("segments/unknown"), "left behind").unwrap();
    doctor(0, &["opens what the folder holds"]);
    let [key, next] = ["master.key", "master.key.next"].map(|name| data.path().join(name));
    let right = std::fs::read(&key).unwrap();
    std::fs::write(&key, "ab".repeat(32)).unwrap();
    doctor(1, &["wrong    master key", "is not the one of this folder", "data key 1 of workspace 'default'"]);
    // A change that was interrupted after everything was wrapped, and before anything was.
    std::fs::write(&next, &right).unwrap();
    doctor(0, &["warning  master key", "was interrupted"]);
    std::fs::write(&next, "cd".repeat(32)).unwrap();
    std::fs::write(&key, &right).unwrap();
    doctor(0, &["opens what the folder holds"]);
    std::fs::remove_file(&next).unwrap();
    std::fs::write(&key, "ab").unwrap();
    doctor(1, &["64 hexadecimal digits"]);
    std::fs::remove_file(&key).unwrap();
    doctor(1, &["wrong    master key", "is missing"]);
    assert!(!key.exists());
    std::fs::write(&key, &right).unwrap();
    doctor(0, &[]);
    // After a crash the last changes are in a file that only a start reads.
    let server = Server::start(data.path());
    server.post("/v1/settings/encryption/rotate", "");
    server.kill();
    doctor(0, &["warning  master key", "opens what the folder holds, without the last changes"]);
    Server::start(data.path()).stop();
    doctor(0, &["ok       master key"]);
}
