//! Whether the journal in a data folder and a ledger belong together. Both keep the journal's id: the folder in
//! `journal.id`, 32 hexadecimal digits, made durable before the ledger is told.
//!
//! ```text
//! folder   ledger   found
//! none     none     both are new: they get one
//! some     none     a crash between the two, if the journal is empty; else the journal of another database
//! some     same     the usual
//! none     some     a new folder for a database that has a journal elsewhere
//! some     other    they belong to others
//! ```

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use vfs::{DiskVfs, Publisher, Vfs};

use crate::folder::{FolderError, JOURNAL_FOLDER, JOURNAL_ID_FILE};

/// Digits of an id.
const ID_DIGITS: usize = 32;

/// What is done about a folder and a ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bond {
    /// They belong together.
    Known,
    /// They are to belong together from now on.
    New,
    /// The journal is another ledger's.
    OtherLedger,
    /// The ledger's journal is in another folder.
    OtherJournal,
}

/// The id of the journal in `data` if it belongs to a ledger that has the journal `of_ledger`, or is to belong to it from
/// now on; else refuses the two. With `new_journal` the ledger goes on with a journal that is empty, whatever it had before.
pub(super) fn settle(vfs: &dyn Vfs, data: &Path, of_ledger: Option<&str>, new_journal: bool) -> anyhow::Result<String> {
    let own = read(data)?;
    let journal = data.join(JOURNAL_FOLDER);
    let is_empty = !journal.is_dir()
        || vfs.list(&journal).with_context(|| format!("failed to list {}", journal.display()))?.is_empty();
    match (bond(own.as_deref(), of_ledger, is_empty, new_journal), own) {
        (Bond::Known | Bond::New, Some(own)) => Ok(own),
        (Bond::Known | Bond::New, None) => make(data),
        (refused, _) => Err(refusal(refused, data).into()),
    }
}

fn bond(own: Option<&str>, of_ledger: Option<&str>, is_empty: bool, new_journal: bool) -> Bond {
    match (own, of_ledger) {
        (Some(own), Some(of_ledger)) if own == of_ledger => Bond::Known,
        (_, None) if is_empty => Bond::New,
        (_, None) => Bond::OtherLedger,
        (_, Some(_)) if is_empty && new_journal => Bond::New,
        (None, Some(_)) if is_empty => Bond::OtherJournal,
        (_, Some(_)) => Bond::OtherLedger,
    }
}

fn refusal(bond: Bond, data: &Path) -> FolderError {
    let why = match bond {
        Bond::OtherJournal => {
            "the database of postgres_url has its journal in another folder: start with that one. If it is lost, what it \
             had accepted and the database not applied is lost with it, and `nilometer serve --new-journal` goes on \
             without"
        }
        _ => {
            "its journal belongs to another database than postgres_url names: start with that one, or name another folder"
        }
    };
    FolderError::OtherLedger { folder: data.to_owned(), why: why.to_owned() }
}

/// The id of the journal in `data`, if it has one.
fn read(data: &Path) -> anyhow::Result<Option<String>> {
    let path = data.join(JOURNAL_ID_FILE);
    let file = match DiskVfs.open_read(&path) {
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        file => file.with_context(|| format!("failed to read {}", path.display()))?,
    };
    let mut bytes = [0; ID_DIGITS];
    let read = if file.len() >= ID_DIGITS as u64 { file.read_exact_at(0, &mut bytes) } else { Ok(()) };
    read.with_context(|| format!("failed to read {}", path.display()))?;
    match std::str::from_utf8(&bytes) {
        Ok(id) if bytes.iter().all(u8::is_ascii_hexdigit) => Ok(Some(id.to_owned())),
        _ => anyhow::bail!("{} is damaged: it holds no {ID_DIGITS} hexadecimal digits", path.display()),
    }
}

fn make(data: &Path) -> anyhow::Result<String> {
    let id = format!("{:032x}", rand::random::<u128>());
    let mut file = Publisher::create(Arc::new(DiskVfs), data, JOURNAL_ID_FILE)?;
    file.write_all(id.as_bytes()).and_then(|()| file.write_all(b"\n"))?;
    file.finish().with_context(|| format!("failed to write {JOURNAL_ID_FILE}"))?;
    Ok(id)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

    use super::*;

    #[test]
    fn a_journal_and_a_ledger_belong_together_or_are_refused() {
        for (own, of_ledger, is_empty, new_journal, expected) in [
            (None, None, true, false, Bond::New),
            (None, None, false, false, Bond::OtherLedger),
            (Some("a"), None, true, false, Bond::New),
            (Some("a"), None, false, false, Bond::OtherLedger),
            (Some("a"), None, false, true, Bond::OtherLedger),
            (Some("a"), Some("a"), false, false, Bond::Known),
            (Some("a"), Some("a"), true, true, Bond::Known),
            (None, Some("b"), true, false, Bond::OtherJournal),
            (None, Some("b"), true, true, Bond::New),
            (None, Some("b"), false, true, Bond::OtherLedger),
            (Some("a"), Some("b"), false, false, Bond::OtherLedger),
            (Some("a"), Some("b"), false, true, Bond::OtherLedger),
        ] {
            assert_eq!(bond(own, of_ledger, is_empty, new_journal), expected, "{own:?} {of_ledger:?} {is_empty}");
        }
    }

    #[test]
    fn an_id_is_read_as_it_was_made_and_a_damaged_one_is_named() {
        let data = tempfile::tempdir().unwrap();
        assert_eq!(read(data.path()).unwrap(), None);
        let made = make(data.path()).unwrap();
        assert_eq!(read(data.path()).unwrap(), Some(made));
        std::fs::write(data.path().join(JOURNAL_ID_FILE), "short").unwrap();
        assert!(read(data.path()).unwrap_err().to_string().contains(JOURNAL_ID_FILE));
    }
}
