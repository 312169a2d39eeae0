//! What a data folder holds, by name.
//!
//! ```text
//! LOCK               held by the one process that uses the folder
//! RUNNING.…          the mark of a folder that is open
//! manifest.sqlite    what counts: segments, rollups, names, cursor
//! catalog.sqlite     tenants, their settings and reference tables, people, keys, the audit log
//! master.key         what signing secrets and keys of tokens in the catalog are encrypted with
//! master.key.next    the key that is to take its place, while it is being changed
//! journal.id         names the journal of a ledger in PostgreSQL, in place of the two files above
//! journal/           records that are durable and perhaps not yet in a segment
//! segments/          events, sums and ids
//! import.checkpoint  how far an unfinished import has come
//! ```

use vfs::TEMPORARY_SUFFIX;

/// Locked by the one process that uses the folder.
pub(super) const LOCK_FILE: &str = "LOCK";
/// What the names of marks begin with.
pub(super) const MARK_PREFIX: &str = "RUNNING.";
/// The file that says what counts.
pub(crate) const MANIFEST_FILE: &str = "manifest.sqlite";
/// The file that says who the tenants are and what they have decided.
pub(crate) const CATALOG_FILE: &str = "catalog.sqlite";
/// The key that secrets in the catalog are encrypted with.
pub(crate) const MASTER_KEY_FILE: &str = "master.key";
/// A key that is to take its place.
pub(crate) const NEXT_MASTER_KEY_FILE: &str = "master.key.next";
/// The folder of the journal.
pub(crate) const JOURNAL_FOLDER: &str = "journal";
/// The name of the journal, if it belongs to a ledger in PostgreSQL.
pub(crate) const JOURNAL_ID_FILE: &str = "journal.id";
/// The folder of the segments.
pub(crate) const SEGMENTS_FOLDER: &str = "segments";
/// The checkpoint of imports into the folder.
pub(crate) const IMPORT_CHECKPOINT_FILE: &str = "import.checkpoint";

/// What SQLite and the building of a new file put behind a file's name.
const SQLITE_SUFFIXES: [&str; 5] = ["", "-wal", "-shm", ".new", ".new-journal"];
/// How the files of the inner folders end.
const INNER_SUFFIXES: [&str; 3] = [".journal", ".parquet", ".run"];

/// What `nilometer admin accept-clock` and the server tell each other by.
const ACCEPT_CLOCK_FILES: [&str; 2] = ["accept-clock.request", "accept-clock.answer"];

/// Whether a file in the data folder is the server's own, by its name.
pub(super) fn is_own(name: &str) -> bool {
    let plain = name.strip_suffix(TEMPORARY_SUFFIX).unwrap_or(name);
    let is_sqlite = [MANIFEST_FILE, CATALOG_FILE]
        .iter()
        .any(|file| name.strip_prefix(file).is_some_and(|suffix| SQLITE_SUFFIXES.contains(&suffix)));
    is_sqlite
        || name == LOCK_FILE
        || name.starts_with(MARK_PREFIX)
        || plain == MASTER_KEY_FILE
        || plain == NEXT_MASTER_KEY_FILE
        || plain == IMPORT_CHECKPOINT_FILE
        || plain == JOURNAL_ID_FILE
        || ACCEPT_CLOCK_FILES.contains(&plain)
}

/// Whether a file in one of the inner folders is, by its name.
pub(super) fn is_own_inside(name: &str) -> bool {
    let plain = name.strip_suffix(TEMPORARY_SUFFIX).unwrap_or(name);
    INNER_SUFFIXES.iter().any(|suffix| plain.ends_with(suffix))
}
