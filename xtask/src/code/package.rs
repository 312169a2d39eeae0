//! Finds the targets of a package and follows `mod` from file to file. A file that no target declares
//! is not read, as the compiler would not.

use super::module::{Entry, Module};
use super::reader::{Declared, read};
use crate::finding::Finding;
use crate::tree::Tree;

/// What of a package is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Its library and programs, without what is compiled for tests.
    Production,
    /// Tests, benches and examples too.
    Everything,
}

/// One package: a folder with a manifest that is no workspace of its own.
#[derive(Debug)]
pub(crate) struct Package {
    /// The folder, relative to the repository.
    pub(crate) folder: String,
    /// The modules of each target, the root first.
    pub(crate) targets: Vec<Vec<Module>>,
    /// Files that are no Rust.
    pub(crate) findings: Vec<Finding>,
}

/// All packages below the root of the repository, in order of their folders.
pub(crate) fn packages(tree: &Tree, scope: Scope) -> Vec<Package> {
    let manifests = tree.texts("/Cargo.toml").filter(|(_, text)| !text.lines().any(|line| line == "[workspace]"));
    let folders = manifests.filter_map(|(path, _)| path.strip_suffix("/Cargo.toml"));
    folders.map(|folder| package(tree, folder, scope)).collect()
}

impl Package {
    /// The modules of all targets.
    pub(crate) fn modules(&self) -> impl Iterator<Item = &Module> {
        self.targets.iter().flatten()
    }

    /// Whether other packages can use it.
    pub(crate) fn is_library(&self) -> bool {
        let root = format!("{}/src/lib.rs", self.folder);
        self.modules().any(|module| module.file == root)
    }
}

fn package(tree: &Tree, folder: &str, scope: Scope) -> Package {
    let mut package = Package { folder: folder.to_owned(), targets: Vec::new(), findings: Vec::new() };
    let inside = format!("{folder}/");
    let files = tree.texts(".rs").filter_map(|(path, _)| Some((path, path.strip_prefix(&inside)?)));
    for (path, _) in files.filter(|(_, inner)| is_root(inner, scope)) {
        let modules = target(tree, path, scope, &mut package.findings);
        package.targets.push(modules);
    }
    package
}

/// Whether the path in the package is the first file of a target.
fn is_root(path: &str, scope: Scope) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    match parts.as_slice() {
        ["src", "lib.rs" | "main.rs"] | ["src", "bin", _] | ["src", "bin", _, "main.rs"] => true,
        ["build.rs"] | ["tests" | "benches" | "examples", _] => scope == Scope::Everything,
        ["tests" | "benches" | "examples", _, "main.rs"] => scope == Scope::Everything,
        _ => false,
    }
}

fn target(tree: &Tree, root: &str, scope: Scope, findings: &mut Vec<Finding>) -> Vec<Module> {
    let mut modules = vec![Module::new(root, folder_of(root), None, false)];
    let mut unread = vec![(0, root.to_owned())];
    while let Some((place, path)) = unread.pop() {
        let text = tree.text(&path).unwrap_or_default();
        let file = match syn::parse_file(text) {
            Ok(file) => file,
            Err(why) => {
                let what = format!("this cannot be read as Rust: {why}");
                findings.push(Finding::new(&path, why.span().start().line, what));
                continue;
            }
        };
        for declared in read(&file, &mut modules, place, scope == Scope::Everything) {
            let parent = &modules[declared.parent];
            let Some((path, folder)) = locate(tree, parent, &declared) else { continue };
            let child = Module::new(&path, &folder, Some(declared.parent), declared.is_support);
            let place = modules.len();
            modules.push(child);
            modules[declared.parent].define(declared.name, Entry::Module(place));
            unread.push((place, path));
        }
    }
    modules
}

/// The file of a declared module, and the folder of its own children.
fn locate(tree: &Tree, parent: &Module, declared: &Declared) -> Option<(String, String)> {
    if let Some(path) = &declared.path {
        let path = joined(folder_of(&parent.file), path);
        let folder = folder_of(&path).to_owned();
        return tree.text(&path).is_some().then_some((path, folder));
    }
    let folder = format!("{}/{}", parent.folder, declared.name);
    let candidates = [format!("{folder}.rs"), format!("{folder}/mod.rs")];
    let path = candidates.into_iter().find(|path| tree.text(path).is_some())?;
    Some((path, folder))
}

fn folder_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// The path that `relative` leads to from the folder.
fn joined(folder: &str, relative: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').collect();
    for part in relative.split('/') {
        match part {
            "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}
