//! Which paths of a workspace are encrypted, and which once were. A path is never forgotten: values that were encrypted
//! under it are still there, and how they are bound cannot be changed any more.

use std::fmt;

use crate::limits::ENCRYPTED_PATHS_MAX;
use crate::property_path::PropertyPath;

/// A path that is encrypted, or was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncryptedPath {
    /// The path.
    pub path: PropertyPath,
    /// Whether equal values look alike, so that events can be grouped and filtered by them.
    pub is_deterministic: bool,
    /// Whether new events are encrypted there.
    pub is_active: bool,
}

/// The paths of a workspace, in order, each once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EncryptedPaths(Vec<EncryptedPath>);

/// How a path of a query stands to the encrypted ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathStanding<'p> {
    /// Nothing was ever encrypted at the path.
    Plain,
    /// Values are encrypted deterministically: equal ones can be told.
    Deterministic,
    /// Values are bound to their events: what is equal cannot be told.
    Bound(&'p EncryptedPath),
    /// The path leads into a value that is encrypted as a whole.
    Within(&'p EncryptedPath),
}

/// Why a list of paths is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathsRefusal {
    /// Which of the paths, from 0; none when it is the list as a whole.
    pub index: Option<usize>,
    /// What is wrong with it.
    pub why: String,
}

impl PathsRefusal {
    fn of(index: usize, why: impl fmt::Display) -> Self {
        Self { index: Some(index), why: why.to_string() }
    }
}

impl EncryptedPaths {
    /// The paths as they were stored.
    pub fn stored(paths: Vec<EncryptedPath>) -> Self {
        Self(paths)
    }

    /// All paths, those included that are no longer encrypted.
    pub fn all(&self) -> &[EncryptedPath] {
        &self.0
    }

    /// The paths at which new events are encrypted.
    pub fn active(&self) -> impl Iterator<Item = &EncryptedPath> {
        self.0.iter().filter(|path| path.is_active)
    }

    /// The list after a change: new events are encrypted at `wanted`, each with whether it is deterministic, and nowhere
    /// else; paths that were listed before stay known, so that what they encrypted can be read.
    ///
    /// # Errors
    /// Says which path is listed twice, is bound otherwise than it was, or is one too many.
    pub fn replaced(&self, wanted: &[(PropertyPath, bool)]) -> Result<Self, PathsRefusal> {
        let mut paths: Vec<_> = self.0.iter().map(|path| EncryptedPath { is_active: false, ..path.clone() }).collect();
        for (index, (path, is_deterministic)) in wanted.iter().enumerate() {
            let joined = path.joined();
            match paths.iter_mut().find(|known| known.path.joined() == joined) {
                Some(known) if known.is_active => return Err(PathsRefusal::of(index, "is listed twice")),
                Some(known) if known.is_deterministic != *is_deterministic => {
                    let was = if known.is_deterministic { "deterministic" } else { "not deterministic" };
                    let why = format!("was {was} before, and there may be values of that; this cannot be changed");
                    return Err(PathsRefusal::of(index, why));
                }
                Some(known) => known.is_active = true,
                None => paths.push(EncryptedPath {
                    path: path.clone(),
                    is_deterministic: *is_deterministic,
                    is_active: true,
                }),
            }
        }
        if paths.len() > ENCRYPTED_PATHS_MAX {
            let why = format!(
                "are, with those that were encrypted before, {}; at most {ENCRYPTED_PATHS_MAX} may be",
                paths.len()
            );
            return Err(PathsRefusal { index: None, why });
        }
        Ok(Self(paths))
    }

    /// How a path of a query stands to these.
    pub fn standing(&self, asked: &PropertyPath) -> PathStanding<'_> {
        let asked = asked.joined();
        let mut standing = PathStanding::Plain;
        for path in &self.0 {
            let known = path.path.joined();
            match asked.strip_prefix(&known) {
                Some("") if path.is_deterministic => standing = PathStanding::Deterministic,
                Some("") => return PathStanding::Bound(path),
                Some(rest) if rest.starts_with('.') => return PathStanding::Within(path),
                _ => {}
            }
        }
        standing
    }
}
