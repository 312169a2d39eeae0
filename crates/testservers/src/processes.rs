//! Processes by what the kernel says of them. A process is named by its number and the moment it started, so that a
//! number that was given to another one ends nothing.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

use crate::wait;

/// One line of numbers.
const STAT_BYTES_MAX: u64 = 4_096;

/// One process, while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Process {
    /// Its number.
    pub(crate) pid: i32,
    /// When it started, in ticks since the machine did.
    pub(crate) start: u64,
    /// Its parent's number.
    pub(crate) parent: i32,
}

impl Process {
    /// The running process of this number.
    pub(crate) fn find(pid: i32) -> Option<Self> {
        Self::read(Path::new(&format!("/proc/{pid}/stat")))
    }

    /// The process that a file tells of, as `/proc/<pid>/stat` or a copy of it; none when it has ended.
    pub(crate) fn read(stat: &Path) -> Option<Self> {
        let mut text = String::new();
        #[expect(clippy::disallowed_methods, reason = "limited to STAT_BYTES_MAX")]
        File::open(stat).ok()?.take(STAT_BYTES_MAX).read_to_string(&mut text).ok()?;
        parse(&text)
    }

    /// Whether it still runs. One that only waits for its parent to take note has ended.
    pub(crate) fn is_running(&self) -> bool {
        Self::find(self.pid).is_some_and(|found| found.start == self.start)
    }

    /// Sends it a signal; nothing happens when it has ended.
    pub(crate) fn signal(&self, signal: Signal) {
        if let Some(pid) = Pid::from_raw(self.pid).filter(|_| self.is_running()) {
            let _ = kill_process(pid, signal);
        }
    }

    /// Kills it with all below it, so that none of them can do anything more, and waits until they have ended.
    pub(crate) fn kill_family(&self) -> bool {
        // A process that stands still starts no others.
        self.signal(Signal::STOP);
        let family = self.family();
        for member in &family {
            member.signal(Signal::KILL);
        }
        wait::until(|| family.iter().all(|member| !member.is_running()).then_some(())).is_some()
    }

    /// The process and all below it.
    fn family(&self) -> Vec<Self> {
        let all: Vec<Self> = running().collect();
        let mut members = BTreeSet::from([self.pid]);
        loop {
            let known = members.len();
            members.extend(all.iter().filter(|it| members.contains(&it.parent)).map(|it| it.pid).collect::<Vec<_>>());
            if members.len() == known {
                return all.into_iter().filter(|it| members.contains(&it.pid)).collect();
            }
        }
    }
}

/// All processes that can be seen.
fn running() -> impl Iterator<Item = Process> {
    let entries = Path::new("/proc").read_dir().into_iter().flatten().flatten();
    entries.filter_map(|entry| Process::find(entry.file_name().to_str()?.parse().ok()?))
}

/// Reads a line of `/proc/<pid>/stat`, where the name may hold blanks and brackets.
fn parse(stat: &str) -> Option<Process> {
    let (pid, rest) = stat.split_once(' ')?;
    let fields: Vec<&str> = rest.rsplit_once(") ")?.1.split(' ').collect();
    let threads: u32 = fields.get(17)?.parse().ok()?;
    // The first thread of a killed process may be dead while others still hold its sockets and files.
    if matches!(*fields.first()?, "Z" | "X") && threads <= 1 {
        return None;
    }
    let (parent, start) = (fields.get(1)?.parse().ok()?, fields.get(19)?.parse().ok()?);
    Some(Process { pid: pid.parse().ok()?, start, parent })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::{Process, parse};

    #[test]
    fn a_name_with_brackets_moves_no_field_and_a_dead_process_is_none() {
        let line = |state: &str, threads: u32| {
            format!("42 (a) b (c) {state} 7 42 42 0 -1 4 1 0 0 0 0 0 0 0 20 0 {threads} 0 5151 9 9")
        };
        let running = Some(Process { pid: 42, parent: 7, start: 5_151 });
        assert_eq!(parse(&line("S", 1)), running);
        assert_eq!(parse(&line("Z", 1)), None);
        assert_eq!(parse(&line("Z", 0)), None);
        assert_eq!(parse(&line("Z", 4)), running, "its other threads still hold its sockets");
        assert_eq!(parse("42 (cut"), None);
    }

    #[test]
    fn the_own_process_is_running_and_one_of_its_number_but_another_start_is_not() {
        let own = Process::find(i32::try_from(std::process::id()).unwrap()).unwrap();
        assert!(own.is_running());
        assert!(!Process { start: own.start + 1, ..own }.is_running());
    }
}
