//! A server process: started, known by what it logs, stopped, killed, started again. Knows nothing of what it serves.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::Signal;

use crate::account::Account;
use crate::error::Error;
use crate::place::Place;
use crate::processes::Process;
use crate::run::Seat;
use crate::wait;
use crate::watcher::{Farewell, Watcher};

/// Notes which process it is, then becomes the server: so the watcher knows the process before it is one.
const BECOME: &str = r#"read -r stat </proc/$$/stat && echo "$stat" >"$0" && exec "$@""#;

/// One server with its folder.
#[derive(Debug)]
pub(crate) struct Server {
    /// Its folder.
    pub(crate) place: Place,
    /// None for the server of a run, which outlives this process.
    watcher: Option<Watcher>,
    child: Option<Child>,
    starts: u32,
}

impl Server {
    /// Makes the folder, with a watcher on it; nothing runs yet. With a seat it is the server of a run.
    pub(crate) fn prepare(farewell: Farewell, seat: Option<&Seat<'_>>) -> Result<Self, Error> {
        let (place, guard) = Place::make(Account::unprivileged()?)?;
        let watcher = match seat {
            None => Some(Watcher::of_process(&place, farewell)?),
            Some(seat) => {
                Watcher::of_run(&place, farewell, seat.runner, seat.lock)?;
                None
            }
        };
        // From here on the watcher removes it.
        let _ = guard.keep();
        Ok(Self { place, watcher, child: None, starts: 0 })
    }

    /// The program as a command that can be started as this server, or that prepares its folder.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = self.place.account.command(Path::new("/bin/sh"), &self.place.folder);
        command.args(["-c", BECOME]).arg(self.place.path("pid")).arg(program);
        command
    }

    /// Starts it and waits until it logs that it is ready.
    pub(crate) fn start(&mut self, mut command: Command, ready: &str) -> Result<(), Error> {
        self.starts += 1;
        let log = self.place.make_file(&self.log_name())?;
        let errors = log.try_clone().map_err(Error::machine("failed to share a log"))?;
        let spawned = command.stdin(Stdio::null()).stdout(log).stderr(errors).spawn();
        let mut child = spawned.map_err(Error::machine("failed to start a shell"))?;
        let is_ready = wait::until(|| {
            if !matches!(child.try_wait(), Ok(None)) {
                return Some(false);
            }
            self.place.end_of(&self.log_name()).contains(ready).then_some(true)
        });
        if is_ready == Some(false) {
            // Its number may be another process's by now.
            return Err(Error::Refused { what: "the server did not start".to_owned(), said: self.log() });
        }
        self.child = Some(child);
        if is_ready.is_none() {
            self.kill()?;
            return Err(Error::Refused { what: "the server did not become ready".to_owned(), said: self.log() });
        }
        Ok(())
    }

    /// The running process.
    pub(crate) fn process(&self) -> Option<Process> {
        let child = self.child.as_ref()?;
        Process::find(i32::try_from(child.id()).ok()?)
    }

    /// Kills it with all its children, as a crash of the machine's memory would; returns when none of them is left.
    pub(crate) fn kill(&mut self) -> Result<(), Error> {
        let has_ended = self.process().is_none_or(|process| process.kill_family());
        self.reap(has_ended)
    }

    /// Asks it to end, and waits for that.
    pub(crate) fn stop(&mut self, signal: Signal) -> Result<(), Error> {
        if let Some(process) = self.process() {
            process.signal(signal);
        }
        self.wait_for_end()
    }

    /// Waits for the end of what was asked to end.
    pub(crate) fn wait_for_end(&mut self) -> Result<(), Error> {
        let process = self.process();
        let has_ended = wait::until(|| process.is_none_or(|it| !it.is_running()).then_some(())).is_some();
        self.reap(has_ended)
    }

    /// What it logged since it was last started.
    pub(crate) fn log(&self) -> String {
        self.place.end_of(&self.log_name())
    }

    fn log_name(&self) -> String {
        format!("log-{}", self.starts)
    }

    fn reap(&mut self, has_ended: bool) -> Result<(), Error> {
        if !has_ended {
            return Err(Error::Refused { what: "the server does not end".to_owned(), said: self.log() });
        }
        let Some(mut child) = self.child.take() else { return Ok(()) };
        child.wait().map(drop).map_err(Error::machine("failed to wait for the server's end"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(watcher) = self.watcher.take() {
            drop(watcher);
            // Takes note of the end, or brings it about when somebody has killed the watcher.
            let _ = self.kill();
        }
    }
}

/// Runs a tool to its end; what it printed, without the line's end.
pub(crate) fn output(mut command: Command, what: &str) -> Result<String, Error> {
    let output = command.stdin(Stdio::null()).output().map_err(Error::machine(what))?;
    if !output.status.success() {
        let said = format!("{}{}", String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
        return Err(Error::Refused { what: what.to_owned(), said });
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim_end_matches('\n').to_owned())
}
