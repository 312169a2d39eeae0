//! Where the servers' programs are: in the places of Debian's packages, newest version first, then on `PATH`. Where
//! `TESTSERVERS_PATH` is set, only in its folders, so that a test can choose a version.

use std::cmp::Reverse;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::error::Error;

/// Programs that a server needs, all from one folder.
pub(crate) struct Wanted {
    /// The names; the first one is named when they are missing.
    pub(crate) programs: &'static [&'static str],
    /// The Debian package that brings them.
    pub(crate) package: &'static str,
    /// Folders that are searched before `PATH`.
    pub(crate) places: fn() -> Vec<PathBuf>,
}

impl Wanted {
    /// The folder that has all of them.
    pub(crate) fn folder(&self) -> Result<PathBuf, Error> {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let folders = match variable("TESTSERVERS_PATH") {
            Some(only) => split(&only),
            None => (self.places)().into_iter().chain(split(&variable("PATH").unwrap_or_default())).collect(),
        };
        let program = self.programs.first().copied().unwrap_or_default();
        self.find_in(&folders).ok_or(Error::Missing { program, package: self.package })
    }

    /// The first of these folders that has all programs, or that has a link to the first one, which leads to a folder
    /// that has all.
    fn find_in(&self, folders: &[PathBuf]) -> Option<PathBuf> {
        let first = self.programs.first()?;
        let behind = |folder: &PathBuf| Some(folder.join(first).canonicalize().ok()?.parent()?.to_owned());
        let candidates = folders.iter().flat_map(|folder| [Some(folder.clone()), behind(folder)].into_iter().flatten());
        candidates.into_iter().find(|folder| self.programs.iter().all(|name| folder.join(name).is_file()))
    }
}

/// The folders `<root>/<version>/bin`, newest version first.
pub(crate) fn versions(root: &Path) -> Vec<PathBuf> {
    let entries = root.read_dir().into_iter().flatten().flatten();
    let numbered = entries.filter_map(|entry| Some((entry.file_name().to_str()?.parse::<u32>().ok()?, entry.path())));
    let mut found: Vec<_> = numbered.collect();
    found.sort_unstable_by_key(|(version, _)| Reverse(*version));
    found.into_iter().map(|(_, folder)| folder.join("bin")).collect()
}

fn split(list: &OsStr) -> Vec<PathBuf> {
    std::env::split_paths(list).filter(|folder| folder.is_absolute()).collect()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::fs::{DirBuilder, File};
    use std::os::unix::fs::symlink;

    use super::{Wanted, versions};

    const WANTED: Wanted = Wanted { programs: &["server", "tool"], package: "servers", places: Vec::new };

    #[test]
    #[expect(clippy::disallowed_methods, reason = "empty files of the test's own")]
    fn all_programs_are_in_the_folder_that_is_found_and_a_link_to_the_first_leads_there() {
        let root = tempfile::tempdir().unwrap();
        let [half, whole, links] = ["half", "whole", "links"].map(|name| root.path().join(name));
        for folder in [&half, &whole, &links] {
            DirBuilder::new().create(folder).unwrap();
        }
        for file in [half.join("server"), whole.join("server"), whole.join("tool")] {
            File::create(file).unwrap();
        }
        symlink(whole.join("server"), links.join("server")).unwrap();
        assert_eq!(WANTED.find_in(std::slice::from_ref(&half)), None);
        assert_eq!(WANTED.find_in(&[half.clone(), whole.clone(), links.clone()]), Some(whole.clone()));
        assert_eq!(WANTED.find_in(&[half, links]), whole.canonicalize().ok());
    }

    #[test]
    fn versions_are_ordered_as_numbers_newest_first() {
        let root = tempfile::tempdir().unwrap();
        for name in ["9", "15", "10", "not-a-version"] {
            DirBuilder::new().create(root.path().join(name)).unwrap();
        }
        let expected: Vec<_> = ["15", "10", "9"].iter().map(|name| root.path().join(name).join("bin")).collect();
        assert_eq!(versions(root.path()), expected);
        assert!(versions(&root.path().join("missing")).is_empty());
    }
}
