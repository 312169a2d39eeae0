//! What is known about one module. Holds no references into the parsed text.

use std::collections::BTreeMap;

/// A module with a file of its own, or an inline one.
#[derive(Debug)]
pub(crate) struct Module {
    /// The file it is written in.
    pub(crate) file: String,
    /// The folder its child modules are looked for in.
    pub(super) folder: String,
    /// The place of the parent in the list of modules; `None` for the root.
    pub(crate) parent: Option<usize>,
    /// Whether it is compiled for tests of other crates only: behind feature `testing`.
    pub(crate) is_support: bool,
    /// What its names stand for; a name can be a module and a function at once.
    pub(crate) scope: BTreeMap<String, Vec<Entry>>,
    /// The modules whose names are all imported.
    pub(super) globs: Vec<Path>,
    /// Everything it names, in order of the text.
    pub(crate) mentions: Vec<Mention>,
    /// Its public functions, types, constants and traits, members included.
    pub(crate) publics: Vec<Public>,
}

/// What a name of a module stands for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// A child, by its place in the list of modules.
    Module(usize),
    /// Something defined here.
    Item,
    /// Something imported, from this path.
    Import(Path),
}

/// A path as it is written, without generic arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Path {
    /// Whether it begins with `::`.
    pub(crate) is_absolute: bool,
    /// Its names; never none.
    pub(crate) segments: Vec<String>,
}

/// One place at which something is named.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mention {
    pub(crate) path: Path,
    pub(crate) line: usize,
    pub(crate) form: Form,
    /// The trait, when this stands in its implementation, in the function of the same name.
    pub(crate) forwarded_by: Option<String>,
}

/// How something is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// In an expression, a type, a pattern, a bound, or the argument of a macro.
    Path,
    /// Called: the path is followed by its arguments.
    Call,
    /// The name alone is known: called on a value, or taken from a type in angle brackets.
    Method,
    /// As an attribute, or in one.
    Attribute,
    /// The type that an `impl` is for.
    Implemented,
    /// Imported for the module's own use.
    Import,
    /// Imported and passed on.
    Reexport,
}

/// A public item.
#[derive(Debug)]
pub(crate) struct Public {
    pub(crate) name: String,
    pub(crate) kind: PublicKind,
    pub(crate) line: usize,
    /// Whether it is behind feature `testing`.
    pub(crate) is_support: bool,
}

/// Where a public item is defined, and so how it can be named.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum PublicKind {
    /// In a module.
    Free,
    /// In the `impl` of a type.
    Member,
    /// In this trait.
    TraitMember(String),
}

impl Module {
    /// One without any content yet.
    pub(super) fn new(file: &str, folder: &str, parent: Option<usize>, is_support: bool) -> Self {
        Self {
            file: file.to_owned(),
            folder: folder.to_owned(),
            parent,
            is_support,
            scope: BTreeMap::new(),
            globs: Vec::new(),
            mentions: Vec::new(),
            publics: Vec::new(),
        }
    }

    /// Lets the name stand for this, too.
    pub(super) fn define(&mut self, name: String, entry: Entry) {
        self.scope.entry(name).or_default().push(entry);
    }
}

impl Path {
    /// The last name.
    pub(crate) fn name(&self) -> &str {
        self.segments.last().map(String::as_str).unwrap_or_default()
    }
}
