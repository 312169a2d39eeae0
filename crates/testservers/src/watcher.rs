//! Ends a server with whoever started it, however that ends. A shell does it: no code of a process runs when it is
//! killed, and a signal at the death of the parent (`PR_SET_PDEATHSIG`) goes by the thread, needs unsafe code and does
//! not remove a folder.

use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use crate::error::Error;
use crate::place::Place;
use crate::processes::Process;

/// What the shell runs.
const SCRIPT: &str = include_str!("watcher/watch.sh");

/// How a server is asked to end before it is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Farewell {
    /// With SIGQUIT: at once, but nothing of it stays in the system.
    Quit,
    /// Not at all.
    Kill,
}

/// The watcher of a server of this process. Dropping it ends the server and removes its folder.
#[derive(Debug)]
pub(crate) struct Watcher {
    shell: Child,
    /// Closes when this process ends or lets go of it.
    life: Option<ChildStdin>,
}

impl Watcher {
    /// Watches this process.
    pub(crate) fn of_process(place: &Place, farewell: Farewell) -> Result<Self, Error> {
        let mut command = shell(place, farewell)?;
        let mut shell = command.stdin(Stdio::piped()).spawn().map_err(Error::machine("failed to start a shell"))?;
        let life = shell.stdin.take();
        Ok(Self { shell, life })
    }

    /// Watches another process, which started this one; nothing is left to do here.
    pub(crate) fn of_run(place: &Place, farewell: Farewell, runner: Process, lock: &Path) -> Result<(), Error> {
        let mut command = shell(place, farewell)?;
        command.arg(runner.pid.to_string()).arg(runner.start.to_string()).arg(lock).stdin(Stdio::null());
        command.spawn().map_err(Error::machine("failed to start a shell")).map(drop)
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.life = None;
        let _ = self.shell.wait();
    }
}

/// The script lies in the server's folder, so that a list of processes shows its name and not its text.
fn shell(place: &Place, farewell: Farewell) -> Result<Command, Error> {
    let signal = match farewell {
        Farewell::Quit => "QUIT",
        Farewell::Kill => "KILL",
    };
    let script = place.add("watch.sh", SCRIPT)?;
    let mut command = place.account.command(Path::new("/bin/sh"), Path::new("/"));
    command.arg(script).arg(&place.folder).arg(signal).stdout(Stdio::null()).stderr(Stdio::null());
    Ok(command)
}
