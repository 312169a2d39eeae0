//! The files of the repository, held in memory, so that every check is a function of its input and
//! its tests need no disk. Skips what no one writes by hand: build output, data folders, `.git`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, anyhow};

/// Folders that are not part of the source.
const SKIPPED: [&str; 3] = [".git", "target", "nilometer-data"];

/// How the paths end whose text is checked; of all other files only the path is kept.
const TEXTS: [&str; 8] = [".rs", ".md", ".toml", ".sh", ".yml", ".yaml", "Makefile", ".ci/run"];

/// The repository: all paths, relative and with `/`, and the text of those that are checked.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    texts: BTreeMap<String, String>,
    paths: BTreeSet<String>,
}

impl Tree {
    /// Reads the repository at `root`.
    pub(crate) fn read(root: &Path) -> Result<Self> {
        let mut tree = Self::default();
        tree.visit(root, "")?;
        Ok(tree)
    }

    /// A tree of these files only.
    #[cfg(test)]
    pub(crate) fn of<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut tree = Self::default();
        for (path, text) in files {
            let folders = path.match_indices('/').map(|(end, _)| path[..end].to_owned());
            tree.paths.extend(folders.chain([path.to_owned()]));
            tree.texts.insert(path.to_owned(), text.to_owned());
        }
        tree
    }

    /// The checked files whose path ends so, with their text, in order of path.
    pub(crate) fn texts(&self, ending: &str) -> impl Iterator<Item = (&str, &str)> {
        let all = self.texts.iter().map(|(path, text)| (path.as_str(), text.as_str()));
        all.filter(move |(path, _)| path.ends_with(ending))
    }

    /// The text of one checked file.
    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.texts.get(path).map(String::as_str)
    }

    /// Whether there is such a file or folder.
    pub(crate) fn contains(&self, path: &str) -> bool {
        self.paths.contains(path)
    }

    fn visit(&mut self, root: &Path, folder: &str) -> Result<()> {
        let full = root.join(folder);
        for entry in fs::read_dir(&full).with_context(|| format!("failed to list {}", full.display()))? {
            let entry = entry?;
            let name = entry.file_name().into_string().map_err(|name| anyhow!("{name:?} is not UTF-8"))?;
            let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
            if entry.file_type()?.is_dir() {
                if SKIPPED.contains(&name.as_str()) {
                    continue;
                }
                self.visit(root, &path)?;
            } else if TEXTS.iter().any(|ending| path.ends_with(ending)) {
                self.texts.insert(path.clone(), read_text(&root.join(&path))?);
            }
            self.paths.insert(path);
        }
        Ok(())
    }
}

/// Whether the file holds tests only: `tests.rs`, or anything below `tests/`, `testing/` or `fuzz/`.
pub(crate) fn is_test_file(path: &str) -> bool {
    path.split('/').any(|part| matches!(part, "tests" | "tests.rs" | "testing" | "testing.rs" | "fuzz"))
}

#[expect(clippy::disallowed_methods, reason = "files of the repository, of a size a person wrote")]
fn read_text(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))
}
