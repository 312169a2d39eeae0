//! Public items without use: what no production code of the workspace names is either dead or there for
//! tests. Goes by names: an item is passed over when anything of its name is used, and a finding is sure
//! unless a macro puts the name together. Fields and variants are not looked at.
//!
//! An item that tests need says so itself, in a line `// public for tests: why` on it. What is behind
//! feature `testing` and what stands in the crates `sim` and `testservers` is there for tests as a whole: it needs no
//! use, and makes none.

use std::collections::{BTreeMap, BTreeSet};

use crate::code::{Form, Module, Package, Public, PublicKind};
use crate::finding::Finding;
use crate::tree::Tree;

/// Packages whose code is there for tests, or for the checks of the repository.
const APART: [&str; 3] = ["crates/sim", "crates/testservers", "xtask"];

/// Begins the comment that excepts an item.
const FOR_TESTS: &str = "// public for tests: ";

/// How a name is used.
#[derive(Debug, Default)]
struct Uses<'a> {
    /// By itself, or at any place of a path.
    as_such: bool,
    /// As a method, or behind another name of a path.
    as_member: bool,
    /// As a member, but only where these traits forward the same function to another implementation.
    forwarded: BTreeSet<&'a str>,
}

/// All names that are used, as written.
type Index<'a> = BTreeMap<&'a str, Uses<'a>>;

/// Findings about all libraries.
pub(super) fn check(tree: &Tree, production: &[Package], everything: &[Package]) -> Vec<Finding> {
    let users = production.iter().filter(|package| !APART.contains(&package.folder.as_str()));
    let users = users.flat_map(Package::modules).filter(|module| !module.is_support);
    let (used, tested) = (index(users), index(everything.iter().flat_map(Package::modules)));
    let libraries = production.iter().filter(|it| it.is_library() && !APART.contains(&it.folder.as_str()));
    let mut findings = Vec::new();
    for module in libraries.flat_map(Package::modules) {
        let lines: Vec<&str> = tree.text(&module.file).unwrap_or_default().lines().collect();
        for public in module.publics.iter().filter(|public| !public.is_support) {
            let what = match (is_used(public, &used), is_excepted(&lines, public.line)) {
                (false, false) => without_use(&public.name, is_used(public, &tested)),
                (true, true) => format!("production code uses {}; drop `{FOR_TESTS}…`", public.name),
                _ => continue,
            };
            findings.push(Finding::new(&module.file, public.line, what));
        }
    }
    findings
}

fn without_use(name: &str, is_tested: bool) -> String {
    if is_tested {
        format!("only tests use {name}, which is public; drop it with its tests, or write `{FOR_TESTS}why` on it")
    } else {
        format!("nothing uses {name}, which is public; drop it, or make it private")
    }
}

fn index<'a>(modules: impl Iterator<Item = &'a Module>) -> Index<'a> {
    let mut index = Index::new();
    for mention in modules.flat_map(|module| &module.mentions) {
        let hidden = match mention.form {
            Form::Reexport => mention.path.segments.len(),
            Form::Implemented => 1,
            _ => 0,
        };
        let seen = mention.path.segments.len() - hidden;
        for (at, name) in mention.path.segments.iter().take(seen).enumerate() {
            let uses = index.entry(name).or_default();
            let is_member = mention.form == Form::Method || at > 0;
            uses.as_such |= mention.form != Form::Method;
            match &mention.forwarded_by {
                Some(by) if is_member => uses.forwarded.extend([by.as_str()]),
                _ => uses.as_member |= is_member,
            }
        }
    }
    index
}

fn is_used(public: &Public, index: &Index<'_>) -> bool {
    let Some(uses) = index.get(public.name.as_str()) else { return false };
    match &public.kind {
        PublicKind::Free => uses.as_such,
        PublicKind::Member => uses.as_member || !uses.forwarded.is_empty(),
        PublicKind::TraitMember(own) => uses.as_member || uses.forwarded.iter().any(|by| by != own),
    }
}

/// Whether a comment on the item excepts it: right before it, or between its attributes.
fn is_excepted(lines: &[&str], line: usize) -> bool {
    let above = lines.iter().take(line.saturating_sub(1)).rev().map(|line| line.trim());
    let mut own = above.take_while(|line| !line.is_empty() && !line.ends_with([';', '}', '{']));
    own.any(|line| line.strip_prefix(FOR_TESTS).is_some_and(|why| !why.trim().is_empty()))
}

#[cfg(test)]
mod tests;
