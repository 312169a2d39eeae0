//! Looks into and damages the files of a data folder, as a disk would.
#![expect(clippy::disallowed_methods, reason = "damages files behind the product's back")]

use std::fs;
use std::path::{Path, PathBuf};

pub(crate) fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|why| panic!("{}: {why}", path.display()))
}

pub(crate) fn read_text(path: &Path) -> String {
    String::from_utf8(read(path)).unwrap()
}

pub(crate) fn write(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
}

pub(crate) fn remove(path: &Path) {
    fs::remove_file(path).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
}

/// The files in `dir` whose names end with `suffix`, in order of name.
pub(crate) fn with_suffix(dir: &Path, suffix: &str) -> Vec<PathBuf> {
    let paths = dir.read_dir().unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = paths.filter(|path| path.to_str().unwrap().ends_with(suffix)).collect();
    paths.sort();
    paths
}

/// Makes `to` hold what `from` holds, and nothing else. Nothing runs on `from`, so the mark that a kill has left
/// there does not go with it.
pub(crate) fn copy_folder(from: &Path, to: &Path) {
    if to.exists() {
        fs::remove_dir_all(to).unwrap();
    }
    fs::create_dir_all(to).unwrap();
    for entry in from.read_dir().unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_name().to_str().unwrap().starts_with("RUNNING.") {
            continue;
        }
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
