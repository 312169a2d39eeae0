//! The program of this crate as a process that can be killed, and what the kernel says of processes. Never waits for
//! ever.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// More than any machine needs.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Longest text that is read from a file or a program.
const TEXT_BYTES_MAX: u64 = 1 << 20;

/// The program, with no run of its own.
pub(crate) fn testserver(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_testserver"));
    command.args(words).env_remove("NEXTEST_RUN_ID").env_remove("NEXTEST_BINARY_ID");
    command
}

/// A process of the program, with a server; a process group of its own.
pub(crate) struct Helper {
    child: Child,
    /// Closes when it shall end by itself.
    input: Option<ChildStdin>,
}

impl Helper {
    /// Starts it and waits until the server is there; none when its program is missing.
    pub(crate) fn start(words: &[&str]) -> Option<Self> {
        let mut command = testserver(words);
        let mut child = command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let input = child.stdin.take();
        let url = first_line(child.stdout.take().unwrap());
        if url.is_empty() {
            assert!(child.wait().unwrap().success(), "it says why on standard error");
            return None;
        }
        Some(Self { child, input })
    }

    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    /// Lets it end by itself.
    pub(crate) fn finish(&mut self) {
        self.input = None;
        assert!(self.child.wait().unwrap().success());
    }

    /// Ends it by a signal.
    pub(crate) fn end_by(&mut self, signal: Signal) {
        kill_process(Pid::from_raw(self.pid()).unwrap(), signal).unwrap();
        self.child.wait().unwrap();
    }

    /// Ends it and what else is in its process group by a signal, as a test runner does when a test takes too long.
    pub(crate) fn end_group_by(&mut self, signal: Signal) {
        kill_process_group(Pid::from_raw(self.pid()).unwrap(), signal).unwrap();
        self.child.wait().unwrap();
    }
}

/// One process of another program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    parent: i32,
    start: u64,
}

impl Process {
    /// None when it has ended, also when nobody has taken note yet.
    pub(crate) fn find(pid: i32) -> Option<Self> {
        let stat = text(Path::new(&format!("/proc/{pid}/stat")));
        let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
        let has_ended = matches!(fields[0], "Z" | "X") && fields[17].parse::<u32>().unwrap() <= 1;
        (!has_ended).then(|| Self { pid, parent: fields[1].parse().unwrap(), start: fields[19].parse().unwrap() })
    }

    pub(crate) fn is_running(&self) -> bool {
        Self::find(self.pid).is_some_and(|found| found.start == self.start)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.pid).unwrap(), signal).unwrap();
    }

    /// A line of what the kernel says of it, as words without its name.
    pub(crate) fn status(&self, name: &str) -> Vec<String> {
        let status = text(Path::new(&format!("/proc/{}/status", self.pid)));
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap();
        line.split_whitespace().map(str::to_owned).collect()
    }

    pub(crate) fn working_folder(&self) -> Option<PathBuf> {
        Path::new(&format!("/proc/{}/cwd", self.pid)).read_link().ok()
    }
}

/// All processes below this one, but not itself.
pub(crate) fn below(pid: i32) -> Vec<Process> {
    let numbers = Path::new("/proc").read_dir().unwrap().flatten();
    let all: Vec<Process> =
        numbers.filter_map(|entry| Process::find(entry.file_name().to_str()?.parse().ok()?)).collect();
    let mut members = BTreeSet::from([pid]);
    loop {
        let known = members.len();
        members.extend(all.iter().filter(|it| members.contains(&it.parent)).map(|it| it.pid).collect::<Vec<_>>());
        if members.len() == known {
            return all.into_iter().filter(|it| it.pid != pid && members.contains(&it.pid)).collect();
        }
    }
}

/// The server's folders that processes stand in.
pub(crate) fn folders_of(processes: &[Process]) -> BTreeSet<PathBuf> {
    let folders = processes.iter().filter_map(Process::working_folder);
    let top = |folder: PathBuf| {
        let is_top = |path: &&Path| path.file_name().is_some_and(|it| it.to_string_lossy().starts_with("nilometer-"));
        folder.ancestors().find(is_top).map(Path::to_owned)
    };
    folders.filter_map(top).collect()
}

/// The beginning of a file; empty when there is none.
pub(crate) fn text(path: &Path) -> String {
    let mut bytes = Vec::new();
    if let Ok(file) = File::open(path) {
        #[expect(clippy::disallowed_methods, reason = "limited to TEXT_BYTES_MAX")]
        let _ = file.take(TEXT_BYTES_MAX).read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The first line that comes, without its end; empty when none does.
pub(crate) fn first_line(from: impl Read) -> String {
    let line = BufReader::new(from).bytes().map_while(Result::ok).take_while(|byte| *byte != b'\n');
    String::from_utf8(line.collect()).unwrap()
}

/// The port in an address.
pub(crate) fn port(url: &str) -> u16 {
    let rest = url.rsplit_once("127.0.0.1:").unwrap().1;
    rest.split('/').next().unwrap().parse().unwrap()
}

/// Looks again and again until it is so.
#[expect(clippy::disallowed_methods, reason = "bounds how long a test may wait; nothing is decided by it")]
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < WAIT_MAX, "it never came true that {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
