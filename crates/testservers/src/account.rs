//! Who servers run as: the user of the test, or `nobody` when that is root, since PostgreSQL refuses root. Never gives
//! a server a right that the test does not have.

use std::fs::File;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use rustix::process::{getegid, geteuid};

use crate::error::Error;

/// Accounts are a few dozen lines; a list that is longer names `nobody` among the first.
const ACCOUNTS_BYTES_MAX: u64 = 1 << 20;

/// A user and its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Account {
    /// The user's number.
    pub(crate) uid: u32,
    /// The number of its group.
    pub(crate) gid: u32,
    /// Whether it is another than the test's own.
    pub(crate) is_other: bool,
}

impl Account {
    /// The account that servers of this process run as.
    pub(crate) fn unprivileged() -> Result<Self, Error> {
        if !geteuid().is_root() {
            return Ok(Self { uid: geteuid().as_raw(), gid: getegid().as_raw(), is_other: false });
        }
        let mut accounts = String::new();
        let file = File::open("/etc/passwd").map_err(Error::machine("no list of users"))?;
        #[expect(clippy::disallowed_methods, reason = "limited to ACCOUNTS_BYTES_MAX")]
        let read = file.take(ACCOUNTS_BYTES_MAX).read_to_string(&mut accounts);
        read.map_err(Error::machine("failed to read the list of users"))?;
        nobody(&accounts).ok_or_else(|| Error::Refused {
            what: "root needs the user `nobody` to start servers".to_owned(),
            said: "/etc/passwd has no such user".to_owned(),
        })
    }

    /// The program as a command of this account: in the folder, in a process group of its own, which no signal to the
    /// test reaches, and with nothing of the test's environment but the search path.
    pub(crate) fn command(self, program: &Path, folder: &Path) -> Command {
        let mut command = Command::new(program);
        let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into());
        command.env_clear().env("PATH", path).env("HOME", folder).env("LC_ALL", "C.UTF-8").env("TZ", "UTC");
        command.current_dir(folder).process_group(0);
        if self.is_other {
            command.uid(self.uid).gid(self.gid);
        }
        command
    }
}

fn nobody(accounts: &str) -> Option<Account> {
    let line = accounts.lines().find(|line| line.starts_with("nobody:"))?;
    let mut numbers = line.split(':').skip(2);
    let (uid, gid) = (numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?);
    (uid != 0).then_some(Account { uid, gid, is_other: true })
}

#[cfg(test)]
mod tests {
    use super::{Account, nobody};

    #[test]
    fn root_becomes_nobody_and_never_root() {
        let accounts = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65533:nobody:/nonexistent:/usr/sbin/nologin\n";
        assert_eq!(nobody(accounts), Some(Account { uid: 65_534, gid: 65_533, is_other: true }));
        assert_eq!(nobody("root:x:0:0:root:/root:/bin/sh\n"), None);
        assert_eq!(nobody("nobody:x:0:0::/:/bin/sh\n"), None);
    }
}
