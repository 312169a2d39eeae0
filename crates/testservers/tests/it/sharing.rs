//! Under cargo-nextest, where each test is a process, those of one binary share a server until the run is over. A
//! script of the runner's name stands for it: what counts is the process above the tests, and how it ends.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::harness::{eventually, first_line, port, testserver, text};

/// Runs the program in each of its lines, and goes on until its input closes.
const RUNNER: &str = r#"#!/bin/sh
"$1" shared postgres </dev/null >first &
"$1" shared postgres </dev/null >second &
wait
"$1" shared postgres </dev/null >third
NEXTEST_BINARY_ID=other "$1" shared postgres </dev/null >other
server=$(sed 's/ .*//' "$(sed -n 1p "$2/postgres-a--it")/pid")
kill -9 "$server"
while grep -q '(postgres) [^Z]' "/proc/$server/stat" 2>/dev/null; do sleep 0.1; done
"$1" shared postgres </dev/null >after-crash
echo done
read -r line
"#;

struct Run {
    runner: Child,
    folder: tempfile::TempDir,
    /// The folder that leads its processes to their servers.
    shared: PathBuf,
}

impl Run {
    #[expect(clippy::disallowed_methods, reason = "a script of the test's own")]
    fn start(name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("cargo-nextest");
        std::fs::write(&script, RUNNER).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&script, mode).unwrap();
        let id = format!("{name}-{}", std::process::id());
        let shared = Path::new("/tmp").join(format!("nilometer-run-{id}"));
        let mut command = Command::new(script);
        command.arg(env!("CARGO_BIN_EXE_testserver")).arg(&shared).current_dir(folder.path());
        command.env("NEXTEST_RUN_ID", id).env("NEXTEST_BINARY_ID", "a::it").env("TMPDIR", "/tmp");
        let runner = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        Self { runner, folder, shared }
    }

    fn address(&self, name: &str) -> String {
        text(&self.folder.path().join(name)).trim_end().to_owned()
    }
}

fn is_there(address: &str) -> bool {
    TcpStream::connect(("127.0.0.1", port(address))).is_ok()
}

#[test]
fn processes_of_a_binary_share_a_server_until_the_run_is_over() {
    if testserver(&["shared", "postgres"]).stdin(Stdio::null()).output().unwrap().stdout.is_empty() {
        return;
    }
    for (name, is_killed) in [("ends", false), ("killed", true)] {
        let mut run = Run::start(name);
        assert_eq!(first_line(run.runner.stdout.take().unwrap()), "done");
        let [first, second, third, other, after] =
            ["first", "second", "third", "other", "after-crash"].map(|name| run.address(name));
        assert_eq!([port(&second), port(&third)], [port(&first); 2], "{first} {second} {third}");
        assert!(first != second && second != third && first != third, "each has a database of its own");
        assert_ne!(port(&other), port(&first), "another binary has another server");
        assert_ne!(port(&after), port(&first), "a server that died is replaced");
        assert!(is_there(&other) && is_there(&after) && run.shared.is_dir());
        assert!(!is_there(&first));

        if is_killed {
            run.runner.kill().unwrap();
        }
        drop(run.runner.stdin.take());
        run.runner.wait().unwrap();
        eventually("no server is left", || !is_there(&other) && !is_there(&after));
        eventually("no file of the run is left", || !run.shared.exists());
    }
}
