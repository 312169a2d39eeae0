//! One server for all processes of a test binary. cargo-nextest makes each test a process; those of one run share its
//! id, and that of their binary names a file whose lock admits one of them at a time: the first finds it empty, starts
//! the server and writes down how it is reached. The run is over when cargo-nextest has ended, however that came; then
//! nobody can come to the file any more, and the watcher removes it with the server.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::process::geteuid;

use crate::account::Account;
use crate::error::Error;
use crate::place::{base, make_private};
use crate::processes::Process;

/// The name of the process that runs the tests of a run.
const RUNNER: &str = "cargo-nextest";

/// A ticket is a few lines.
const TICKET_BYTES_MAX: u64 = 64 * 1_024;

/// The run that this process is a test of.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    name: String,
    binary: String,
    runner: Process,
}

/// What the server of a run needs to end with it.
#[derive(Debug)]
pub(crate) struct Seat<'a> {
    /// The process that the run ends with.
    pub(crate) runner: Process,
    /// The file that leads to the server.
    pub(crate) lock: &'a Path,
}

impl Run {
    /// The run of this process; none under any other runner, and none when cargo-nextest is not among the parents.
    pub(crate) fn current() -> Option<Self> {
        let name = file_name(&std::env::var("NEXTEST_RUN_ID").ok()?)?;
        let binary = file_name(&std::env::var("NEXTEST_BINARY_ID").ok()?)?;
        let own = Process::find(i32::try_from(std::process::id()).ok()?)?;
        let parents = std::iter::successors(Some(own), |process| Process::find(process.parent)).skip(1);
        let runner = parents.into_iter().find(is_runner)?;
        Some(Self { name, binary, runner })
    }

    /// How the run's server of this kind is reached: a folder whose server runs, and the text that `start` gave.
    pub(crate) fn ticket(
        &self,
        kind: &str,
        start: impl FnOnce(&Seat<'_>) -> Result<(PathBuf, String), Error>,
    ) -> Result<String, Error> {
        let folder = self.folder(Account::unprivileged()?)?;
        let path = folder.join(format!("{kind}-{}", self.binary));
        let what = || Error::machine(format!("failed to use {}", path.display()));
        #[expect(clippy::disallowed_methods, reason = "a file of a test run's own, which no crash has to leave whole")]
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
        let mut file = opened.map_err(what())?;
        file.lock().map_err(what())?;
        if let Some(text) = read(&mut file).map_err(what())? {
            return Ok(text);
        }
        let (server, text) = start(&Seat { runner: self.runner, lock: &path })?;
        replace(&mut file, &format!("{}\n{text}", server.display())).map_err(what())?;
        Ok(text)
    }

    /// The folder of the run's files, of the account, so that the watcher can remove them.
    fn folder(&self, account: Account) -> Result<PathBuf, Error> {
        let path = base(account)?.join(format!("nilometer-run-{}", self.name));
        // Whoever comes second finds it, perhaps before it is given to the account.
        let made = make_private(&path, account);
        let is_ours = |uid: u32| uid == account.uid || uid == geteuid().as_raw();
        match path.symlink_metadata() {
            Ok(found) if found.is_dir() && is_ours(found.uid()) && found.mode() & 0o077 == 0 => Ok(path),
            _ => Err(made.err().unwrap_or_else(|| Error::Refused {
                what: format!("{} cannot be used", path.display()),
                said: "it is not a private folder of the user that servers run as".to_owned(),
            })),
        }
    }
}

fn is_runner(process: &Process) -> bool {
    let mut name = String::new();
    let Ok(file) = File::open(format!("/proc/{}/comm", process.pid)) else { return false };
    #[expect(clippy::disallowed_methods, reason = "a name has 16 bytes at most")]
    let read = file.take(64).read_to_string(&mut name);
    read.is_ok() && name.trim_end() == RUNNER
}

/// The id as part of a file's name; none when it is empty.
fn file_name(id: &str) -> Option<String> {
    let allowed = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    (!id.is_empty()).then(|| id.chars().map(allowed).collect())
}

/// The text behind the folder's line, if a server of that folder runs.
fn read(file: &mut File) -> std::io::Result<Option<String>> {
    let mut ticket = String::new();
    #[expect(clippy::disallowed_methods, reason = "limited to TICKET_BYTES_MAX")]
    file.take(TICKET_BYTES_MAX).read_to_string(&mut ticket)?;
    let Some((folder, text)) = ticket.split_once('\n') else { return Ok(None) };
    let server = Process::read(&Path::new(folder).join("pid"));
    Ok(server.filter(Process::is_running).map(|_| text.to_owned()))
}

/// Puts the text in the place of all that the file holds.
#[expect(clippy::disallowed_methods, reason = "a file of a test run's own, which no crash has to leave whole")]
fn replace(file: &mut File, text: &str) -> std::io::Result<()> {
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(text.as_bytes())
}
