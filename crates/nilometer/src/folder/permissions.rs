//! Takes from others what they could do with a folder that an older program has made. New files are made for their
//! owner alone; here only what the server owns, by its name, is changed, and never made wider.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use vfs::{DiskVfs, Vfs};

use super::layout::{JOURNAL_FOLDER, SEGMENTS_FOLDER, is_own, is_own_inside};

/// The bit of a folder that everybody may write to, such as `/tmp`.
const STICKY: u32 = 0o1000;

/// Restricts the files and folders of `data` to their owner. What cannot be restricted, as when somebody else owns
/// it, is a warning: the server can do its work all the same.
pub(super) fn tighten(vfs: &dyn Vfs, data: &Path) {
    let mut changed = 0;
    let mut failed: Option<(PathBuf, io::Error)> = None;
    for path in own_paths(vfs, data) {
        match DiskVfs.restrict_to_owner(&path) {
            Ok(true) => changed += 1,
            Ok(false) => {}
            // SQLite's own come and go.
            Err(why) if why.kind() == io::ErrorKind::NotFound => {}
            Err(why) => failed = failed.or(Some((path, why))),
        }
    }
    if changed > 0 {
        tracing::info!(files = changed, "others could read or write the data folder, and no longer can");
    }
    if let Some((path, why)) = failed {
        tracing::warn!(path = %path.display(), error = %why, "others can read or write the data folder");
    }
}

/// Every file and folder that is the server's own.
fn own_paths(vfs: &dyn Vfs, data: &Path) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    let names = |folder: &Path| vfs.list(folder).unwrap_or_default();
    if holds_nothing_else(data) {
        paths.push(data.to_owned());
    }
    paths.extend(names(data).iter().filter(|name| is_own(name)).map(|name| data.join(name)));
    for folder in [JOURNAL_FOLDER, SEGMENTS_FOLDER].map(|name| data.join(name)) {
        paths.extend(names(&folder).iter().filter(|name| is_own_inside(name)).map(|name| folder.join(name)));
        paths.push(folder);
    }
    paths
}

/// Whether the folder is the server's alone: a folder that others use as well is theirs to open or close, and so is
/// one that everybody may write to.
fn holds_nothing_else(data: &Path) -> bool {
    let is_shared = || Ok::<_, io::Error>(fs::metadata(data)?.permissions().mode() & STICKY != 0);
    let is_own_entry = |entry: io::Result<fs::DirEntry>| {
        let name = entry?.file_name();
        let name = name.to_string_lossy();
        Ok::<_, io::Error>(is_own(&name) || name == JOURNAL_FOLDER || name == SEGMENTS_FOLDER)
    };
    let all_own = || fs::read_dir(data)?.try_fold(true, |own, entry| Ok::<_, io::Error>(own && is_own_entry(entry)?));
    matches!((is_shared(), all_own()), (Ok(false), Ok(true)))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

    use super::*;

    fn made(data: &Path, names: &[&str]) {
        for name in names {
            let path = data.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::set_permissions(path.parent().unwrap(), fs::Permissions::from_mode(0o755)).unwrap();
            fs::write(&path, "").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        }
        fs::set_permissions(data, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn what_the_server_owns_is_restricted_with_its_folders() {
        let data = tempfile::tempdir().unwrap();
        let files = [
            "LOCK",
            "manifest.sqlite",
            "manifest.sqlite-wal",
            "catalog.sqlite-shm",
            "catalog.sqlite.new",
            "import.checkpoint.tmp",
            "journal/00000000000000000001.journal",
            "journal/00000000000000000002.journal.tmp",
            "segments/0001.events.parquet",
            "segments/0001.ids.run",
        ];
        made(data.path(), &files);
        tighten(&DiskVfs, data.path());
        for name in files {
            assert_eq!(mode(&data.path().join(name)), 0o600, "{name}");
        }
        for folder in ["", "journal", "segments"] {
            assert_eq!(mode(&data.path().join(folder)), 0o700, "{folder}");
        }
    }

    #[test]
    fn what_others_own_is_left_alone() {
        let data = tempfile::tempdir().unwrap();
        let foreign = ["notes.txt", "manifest.sqlite.bak", "journal/readme", "export.csv"];
        made(data.path(), &foreign);
        made(data.path(), &["manifest.sqlite"]);
        tighten(&DiskVfs, data.path());
        for name in foreign {
            assert_eq!(mode(&data.path().join(name)), 0o644, "{name}");
        }
        assert_eq!(mode(data.path()), 0o755, "others use the folder too");
        assert_eq!(mode(&data.path().join("manifest.sqlite")), 0o600);

        let shared = tempfile::tempdir().unwrap();
        made(shared.path(), &["manifest.sqlite"]);
        fs::set_permissions(shared.path(), fs::Permissions::from_mode(0o1777)).unwrap();
        tighten(&DiskVfs, shared.path());
        assert_eq!(mode(shared.path()), 0o777);
    }
}
