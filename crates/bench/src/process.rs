//! Other commands of this or another executable, run to their end.

use std::ffi::OsString;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use clock::Stopwatch;
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
use tokio::time::sleep;

use super::machine::Usage;
use super::server::own_executable;

/// Most that is shown of what a failed command wrote, in bytes.
const ERRORS_BYTES_MAX: u64 = 64 << 10;
/// Pause between two samples of the memory of a process.
const SAMPLE_PAUSE: Duration = Duration::from_millis(10);

/// The format of a file of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileKind {
    /// Comma-separated values.
    Csv,
    /// One JSON document per line.
    Ndjson,
}

impl FileKind {
    /// What options call it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Ndjson => "ndjson",
        }
    }

    /// A file of that format.
    pub(super) fn file_name(self) -> PathBuf {
        PathBuf::from(format!("events.{}", self.name()))
    }
}

/// What a process used from its start to its end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Used {
    /// How long it ran.
    pub(super) elapsed: Duration,
    /// Processor time, in seconds.
    pub(super) cpu_s: Option<f64>,
    /// The most resident memory, in KiB, as of a sample at most [`SAMPLE_PAUSE`] before its end.
    pub(super) peak_kib: Option<u64>,
}

/// Kills the process when dropped, unless it has ended.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        // It has ended already, or cannot be ended, which no caller could mend.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs `executable` with `args` to its end, which must be a success.
pub(super) async fn run_measured(executable: &Path, args: &[&Path]) -> anyhow::Result<Used> {
    let mut command = Command::new(executable);
    let mut errors = tempfile::tempfile().context("failed to make a file for errors")?;
    let stderr = errors.try_clone().context("failed to make a file for errors")?;
    command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr);
    let since = Stopwatch::start();
    let child = command.spawn().with_context(|| format!("failed to start {}", executable.display()))?;
    let mut child = Guard(child);
    let pid = child.0.id();
    let id = i32::try_from(pid).ok().and_then(Pid::from_raw).context("the process has no id")?;
    // Left unreaped, a process that has ended still tells its processor time.
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    let mut ended = tokio::task::spawn_blocking(move || waitid(WaitId::Pid(id), options).map(|_| since.elapsed()));
    let mut peak_kib = None;
    let elapsed = loop {
        tokio::select! {
            elapsed = &mut ended => break elapsed.context("failed to wait")?.context("failed to wait")?,
            () = sleep(SAMPLE_PAUSE) => peak_kib = Usage::of(pid).map(|usage| usage.peak_kib).or(peak_kib),
        }
    };
    let cpu_s = Usage::cpu_s_of(pid);
    let status = child.0.wait().context("failed to wait")?;
    if !status.success() {
        let mut text = String::new();
        #[expect(clippy::disallowed_methods, reason = "bounded by the take")]
        let read = errors.rewind().and_then(|()| errors.take(ERRORS_BYTES_MAX).read_to_string(&mut text));
        read.context("failed to read what a command wrote")?;
        bail!("{} ended with {status}: {text}", executable.display());
    }
    Ok(Used { elapsed, cpu_s, peak_kib })
}

/// Fills the folder `data` with generated events; returns the last line that the command printed.
pub(super) async fn seed(data: &Path, events: u64) -> anyhow::Result<String> {
    run_own(&["seed", "--events", &events.to_string()], &[], data).await
}

/// Runs a command on the folder `data`; returns the last line it printed.
pub(super) async fn run_own(words: &[&str], paths: &[&Path], data: &Path) -> anyhow::Result<String> {
    let mut words: Vec<OsString> = words.iter().map(OsString::from).collect();
    words.extend(paths.iter().map(|path| path.as_os_str().to_owned()));
    words.extend([OsString::from("--data"), data.as_os_str().to_owned()]);
    let name = words.first().map(|word| word.to_string_lossy().into_owned()).unwrap_or_default();
    let run = move || Command::new(own_executable()?).args(words).output().context("failed to start a command");
    let output = tokio::task::spawn_blocking(run).await.context("failed to wait for a command")??;
    let printed = [output.stdout, output.stderr].concat();
    let printed = String::from_utf8_lossy(&printed);
    ensure!(output.status.success(), "{name} ended with {}: {printed}", output.status);
    Ok(printed.lines().last().unwrap_or_default().to_owned())
}
