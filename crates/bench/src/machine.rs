//! What the numbers were measured on, and what the processes used of it: read from `/proc`, where
//! there is one. A machine that does not tell gives blanks, never a failure.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::Serialize;

/// Ticks per second in which Linux counts processor time for programs (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;

/// Most that is read of one of the kernel's files, in bytes.
const TEXT_BYTES_MAX: u64 = 1 << 20;

/// The machine and the system on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Machine {
    /// Cores that this process may use.
    pub(super) cores: usize,
    /// The processor's name.
    pub(super) cpu: String,
    /// All memory, in MiB.
    pub(super) memory_mib: u64,
    /// The operating system's kernel.
    pub(super) kernel: String,
    /// The file system that holds the data folder.
    pub(super) file_system: String,
}

impl Machine {
    /// This machine, with data in `folder`.
    pub(super) fn inspect(folder: &Path) -> Self {
        let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
        Self {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            cpu: field(&read("/proc/cpuinfo"), "model name").unwrap_or_default().to_owned(),
            memory_mib: field(&read("/proc/meminfo"), "MemTotal").map_or(0, kib) / 1_024,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            file_system: file_system(&read("/proc/mounts"), &folder).unwrap_or_default().to_owned(),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cores, cpu, memory_mib, kernel, file_system } = self;
        write!(f, "{cores} cores of {cpu}, {memory_mib} MiB memory, Linux {kernel}, data on {file_system}")
    }
}

/// What a process has used so far.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Usage {
    /// Resident memory now, in KiB.
    pub(super) resident_kib: u64,
    /// The most resident memory ever, in KiB.
    pub(super) peak_kib: u64,
    /// Processor time, in seconds.
    pub(super) cpu_s: f64,
}

impl Usage {
    /// What the process `pid` used; `None` when the system does not tell.
    pub(super) fn of(pid: u32) -> Option<Self> {
        let status = read(&format!("/proc/{pid}/status"));
        Some(Self {
            resident_kib: kib(field(&status, "VmRSS")?),
            peak_kib: kib(field(&status, "VmHWM")?),
            cpu_s: Self::cpu_s_of(pid)?,
        })
    }

    /// Processor time that the process `pid` used, in seconds; known also between its end and the wait for it.
    pub(super) fn cpu_s_of(pid: u32) -> Option<f64> {
        cpu_seconds(&read(&format!("/proc/{pid}/stat")))
    }

    /// What this process used.
    pub(super) fn of_self() -> Option<Self> {
        Self::of(std::process::id())
    }
}

/// The text of a file of the kernel's, empty when there is none.
#[expect(clippy::disallowed_methods, reason = "bounded by the take")]
fn read(path: &str) -> String {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(TEXT_BYTES_MAX).read_to_string(&mut text));
    read.map(|_| text).unwrap_or_default()
}

/// The value of the first line `name: value`.
fn field<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| key.trim() == name)
        .map(|(_, value)| value.trim())
}

/// The number in `1234 kB`.
fn kib(value: &str) -> u64 {
    value.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// User and system time in a line of `/proc/<pid>/stat`. The second field, the process's name in
/// parentheses, may hold spaces, so counting begins after the last parenthesis.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |index: usize| fields.get(index)?.parse::<f64>().ok();
    Some((ticks(11)? + ticks(12)?) / TICKS_PER_SECOND)
}

/// The type of the file system whose mount point is the longest that holds `folder`.
fn file_system<'m>(mounts: &'m str, folder: &Path) -> Option<&'m str> {
    let mounts = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        Some((fields.next()?, fields.next()?))
    });
    mounts.filter(|(point, _)| folder.starts_with(point)).max_by_key(|(point, _)| point.len()).map(|(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_from_the_kernels_texts() {
        let status = "Name:\tnilometer\nVmHWM:\t  123456 kB\nVmRSS:\t   98304 kB\n";
        assert_eq!(field(status, "VmRSS").map(kib), Some(98_304));
        assert_eq!(field(status, "VmHWM").map(kib), Some(123_456));
        let stat = "42 (a ) name) S 1 42 42 0 -1 4194560 1 2 3 4 250 50 0 0 20 0 9 0 1 2 3";
        assert_eq!(cpu_seconds(stat), Some(3.0));
        assert_eq!(cpu_seconds("nonsense"), None);
    }

    #[test]
    fn the_file_system_is_that_of_the_deepest_mount() {
        let mounts = "overlay / overlay rw 0 0\n/dev/a /data ext4 rw 0 0\ntmpfs /data/fast tmpfs rw 0 0\n";
        let found = |folder: &str| file_system(mounts, Path::new(folder)).map(str::to_owned);
        assert_eq!(found("/data/x").as_deref(), Some("ext4"));
        assert_eq!(found("/data/fast").as_deref(), Some("tmpfs"));
        assert_eq!(found("/database").as_deref(), Some("overlay"));
    }
}
