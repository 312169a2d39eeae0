//! The server under test: one that runs already, or one of the benchmark's own, started from this
//! same executable on a free port of the loopback address, stopped as an operator would stop it,
//! and killed when it is dropped.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use super::client::Client;
use super::machine::Usage;
use crate::http::connection::Target;
use clock::Stopwatch;

/// Longest from the start to the first readiness.
const READY_WITHIN: Duration = Duration::from_secs(300);
/// Longest from SIGTERM to the end.
const STOPPED_WITHIN: Duration = Duration::from_secs(300);
/// Pause between two checks whether it has ended.
const POLL_PAUSE: Duration = Duration::from_millis(5);
/// Lines of its log that are kept to explain a failure.
const LOG_LINES: usize = 20;
/// Longest line of its log, in bytes.
const LINE_BYTES_MAX: u64 = 64 << 10;
/// What it logs before its address.
const LISTENING: &str = "listening on ";

/// A running server, perhaps with the process behind it.
#[derive(Debug)]
pub(super) struct Server {
    target: Arc<Target>,
    process: Option<Process>,
}

impl Server {
    /// The server at `url`, which runs already.
    pub(super) async fn connect(url: &str, key: Option<String>) -> anyhow::Result<Self> {
        let target = Arc::new(Target::resolve(url, key).await?);
        Client::new(&target).wait_ready(Duration::from_secs(5)).await?;
        Ok(Self { target, process: None })
    }

    /// Starts a server of this same executable on the folder `data`; `settings` are environment variables.
    /// Returns it when it is ready, with the time that took.
    pub(super) async fn start(data: &Path, settings: &[(&str, &str)]) -> anyhow::Result<(Self, Duration)> {
        Self::start_build(&own_executable()?, data, settings).await
    }

    /// Starts a server of the build at `executable`, like [`Self::start`].
    pub(super) async fn start_build(
        executable: &Path,
        data: &Path,
        settings: &[(&str, &str)],
    ) -> anyhow::Result<(Self, Duration)> {
        let since = Stopwatch::start();
        let (process, url) = Process::spawn(executable, data, settings).await?;
        let target = Arc::new(Target::resolve(&url, None).await?);
        if let Err(why) = Client::new(&target).wait_ready(READY_WITHIN).await {
            return Err(why.context(process.log()));
        }
        Ok((Self { target, process: Some(process) }, since.elapsed()))
    }

    /// This server, with requests that present `keys` in turns.
    pub(super) fn presenting(self, keys: Vec<String>) -> anyhow::Result<Self> {
        let target = Arc::new(self.target.with_keys(keys)?);
        Ok(Self { target, ..self })
    }

    /// Where it listens.
    pub(super) fn target(&self) -> &Arc<Target> {
        &self.target
    }

    /// What its process used so far, when it is the benchmark's own.
    pub(super) fn usage(&self) -> Option<Usage> {
        Usage::of(self.process.as_ref()?.child.id())
    }

    /// Stops it with SIGTERM, when it is the benchmark's own; fails unless it exits with success.
    pub(super) async fn stop(self) -> anyhow::Result<()> {
        let Some(mut process) = self.process else { return Ok(()) };
        process.terminate()?;
        let status = process.ended(STOPPED_WITHIN).await?;
        ensure!(status.success(), "server ended with {status}; its log ends:\n{}", process.log());
        Ok(())
    }

    /// Ends it with SIGKILL, as a crash would.
    pub(super) async fn kill(self) -> anyhow::Result<()> {
        let Some(mut process) = self.process else { bail!("only a server of its own can be killed") };
        process.child.kill().context("failed to kill the server")?;
        process.ended(STOPPED_WITHIN).await?;
        Ok(())
    }
}

#[derive(Debug)]
struct Process {
    child: Child,
    log: Arc<Mutex<VecDeque<String>>>,
}

impl Process {
    async fn spawn(executable: &Path, data: &Path, settings: &[(&str, &str)]) -> anyhow::Result<(Self, String)> {
        let mut command = Command::new(executable);
        command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(data);
        command.env("NILOMETER_PROFILE", "dev").envs(settings.iter().copied());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("failed to start {}", executable.display()))?;
        let stderr = child.stderr.take();
        let mut process = Self { child, log: Arc::default() };
        let (found, address) = oneshot::channel();
        let log = Arc::clone(&process.log);
        let stderr = stderr.context("server has no standard error")?;
        thread::spawn(move || follow(stderr, &log, found));
        match timeout(READY_WITHIN, address).await {
            Ok(Ok(url)) => Ok((process, url)),
            Ok(Err(_)) => {
                let status = process.ended(POLL_PAUSE * 100).await?;
                bail!("server ended with {status} before it listened; its log ends:\n{}", process.log())
            }
            Err(_) => bail!("server does not listen; its log ends:\n{}", process.log()),
        }
    }

    fn terminate(&self) -> anyhow::Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).context("server has no process id")?;
        kill_process(pid, Signal::TERM).context("failed to signal the server")
    }

    async fn ended(&mut self, within: Duration) -> anyhow::Result<ExitStatus> {
        let since = Stopwatch::start();
        loop {
            if let Some(status) = self.child.try_wait().context("failed to wait for the server")? {
                return Ok(status);
            }
            ensure!(since.elapsed() < within, "server has not ended after {} s", within.as_secs());
            sleep(POLL_PAUSE).await;
        }
    }

    fn log(&self) -> String {
        let lines = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It has ended already, or cannot be ended, which no caller could mend.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs `nilometer verify` on the folder `data`; returns what it printed last.
pub(super) async fn verify(data: PathBuf) -> anyhow::Result<String> {
    let run = move || Command::new(own_executable()?).arg("verify").arg("--data").arg(&data).output().context("verify");
    let output = tokio::task::spawn_blocking(run).await.context("failed to wait for verify")??;
    let printed = String::from_utf8_lossy(&output.stdout);
    let last = printed.lines().last().unwrap_or_default().to_owned();
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        bail!("verify ended with {}: {last}\n{errors}", output.status);
    }
    Ok(last)
}

/// This program.
pub(super) fn own_executable() -> anyhow::Result<PathBuf> {
    std::env::current_exe().context("failed to find this executable")
}

/// Reads the log to its end, so that the server never blocks on it, and hands out the address.
fn follow(stderr: impl Read, log: &Mutex<VecDeque<String>>, found: oneshot::Sender<String>) {
    let mut found = Some(found);
    let mut stderr = BufReader::new(stderr);
    while let Some(line) = next_line(&mut stderr) {
        if let Some(url) = address_in(&line)
            && let Some(found) = found.take()
        {
            // No receiver is left when the start was given up.
            let _ = found.send(url.to_owned());
        }
        let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
        if log.len() == LOG_LINES {
            log.pop_front();
        }
        log.push_back(line);
    }
}

/// The next line, or a part of an endless one.
#[expect(clippy::disallowed_methods, reason = "bounded by the take")]
fn next_line(from: &mut impl BufRead) -> Option<String> {
    let mut line = Vec::new();
    let read = from.take(LINE_BYTES_MAX).read_until(b'\n', &mut line);
    let found = read.is_ok_and(|bytes| bytes > 0);
    found.then(|| String::from_utf8_lossy(&line).trim_end().to_owned())
}

/// The address in a line of the log, for people or in JSON.
fn address_in(line: &str) -> Option<&str> {
    let url = line.split_once(LISTENING)?.1;
    let end = url.find(|c: char| c.is_whitespace() || "\"\\,\u{1b}".contains(c)).unwrap_or(url.len());
    url[..end].starts_with("http://").then_some(&url[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_found_in_both_kinds_of_log() {
        for line in [
            "2026-01-01T00:00:00Z  INFO nilometer: listening on http://127.0.0.1:40123",
            r#"{"level":"INFO","message":"listening on http://127.0.0.1:40123","tenant":"x"}"#,
            "\u{1b}[32m INFO\u{1b}[0m listening on http://127.0.0.1:40123\u{1b}[0m",
        ] {
            assert_eq!(address_in(line), Some("http://127.0.0.1:40123"), "{line}");
        }
        assert_eq!(address_in("listening on /run/socket"), None);
        assert_eq!(address_in("INFO opened the journal"), None);
    }

    #[test]
    fn the_log_is_read_to_its_end_and_only_its_tail_is_kept() {
        let lines: String = (0..100).map(|number| format!("line {number}\n")).collect();
        let log = Mutex::default();
        let (found, mut address) = oneshot::channel();
        follow(format!("listening on http://127.0.0.1:1\n{lines}").as_bytes(), &log, found);
        assert_eq!(address.try_recv(), Ok("http://127.0.0.1:1".to_owned()));
        let kept = log.into_inner().unwrap_or_else(PoisonError::into_inner);
        assert_eq!(kept.len(), LOG_LINES);
        assert_eq!(kept.back().map(String::as_str), Some("line 99"));
    }
}
