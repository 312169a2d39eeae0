//! `cargo xtask tidy`: the rules of STYLE.md that neither the compiler nor clippy can hold.
//! Findings are sorted by place. Knows no exceptions but the paths named in its own tables.

mod rust;
mod banned;
mod text;
mod manifests;
mod docs;
mod openings;
mod dependencies;
mod public;

use crate::code::{Scope, packages};
use crate::finding::Finding;
use crate::source::Source;
use crate::tree::Tree;

/// All findings in the tree.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.texts(".rs") {
        let source = Source::new(text);
        findings.extend(rust::check(path, text, &source));
        findings.extend(banned::check(path, &source));
        findings.extend(openings::check(path, &source));
    }
    for (path, text) in tree.texts("") {
        findings.extend(text::check(path, text));
    }
    for (path, text) in tree.texts(".md") {
        findings.extend(docs::check_links(path, text, tree));
    }
    findings.extend(docs::check_decisions(tree));
    findings.extend(manifests::check(tree));
    let (production, everything) = (packages(tree, Scope::Production), packages(tree, Scope::Everything));
    findings.extend(everything.iter().flat_map(|package| package.findings.clone()));
    findings.extend(dependencies::check(tree, &production, &everything));
    findings.extend(public::check(tree, &production, &everything));
    findings.sort();
    findings
}

#[cfg(test)]
mod tests;
