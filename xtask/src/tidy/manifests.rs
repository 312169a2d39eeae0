//! What the manifests must say so that the rules hold in every crate: shared lints, shared versions,
//! and one line of reason for each dependency.

use std::collections::BTreeSet;

use crate::finding::Finding;
use crate::tree::Tree;

/// The record that gives each dependency its reason.
const REASONS: &str = "docs/adr/0002-dependencies.md";

/// How a dependency is written that has no version here; the last is a crate's own tests using its twins.
const SHARED: [&str; 3] = [".workspace = true", "{ workspace = true", "{ path = \".\""];

/// Findings about all manifests.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let crates = tree.texts("/Cargo.toml").flat_map(|(path, text)| check_crate(path, text));
    let root = tree.text("Cargo.toml").unwrap_or_default();
    crates.chain(check_reasons(root, tree.text(REASONS).unwrap_or_default())).collect()
}

/// Findings about one crate; one that is its own workspace, as a fuzz target has to be, cannot share.
fn check_crate(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    if text.lines().any(|line| line == "[workspace]") {
        return findings;
    }
    if !entries(text, |section| section == "lints").any(|(_, line)| line == "workspace = true") {
        findings.push(Finding::new(path, 1, "the shared lints are off; add `[lints]` with `workspace = true`"));
    }
    for (number, line) in entries(text, |section| section.ends_with("dependencies")) {
        if !SHARED.iter().any(|form| line.contains(form)) {
            let what = "a version of its own; write `name.workspace = true` and the version in the root manifest";
            findings.push(Finding::new(path, number, what));
        }
    }
    findings
}

/// Every outside dependency has a row in the record, and every row a dependency.
fn check_reasons(root: &str, reasons: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut rows: Vec<(usize, &str)> = Vec::new();
    for (number, line) in (1..).zip(reasons.lines()) {
        let name = line.strip_prefix("| `").and_then(|rest| rest.split_once('`'));
        rows.extend(name.map(|(name, _)| (number, name)));
    }
    let reasoned: BTreeSet<&str> = rows.iter().map(|(_, name)| *name).collect();
    let mut used = BTreeSet::new();
    for (number, line) in entries(root, |section| section == "workspace.dependencies") {
        let name = line.split([' ', '=']).next().unwrap_or_default();
        used.insert(name);
        if !line.contains("path = ") && !reasoned.contains(name) {
            let what = format!("dependency {name} has no reason; add a row to {REASONS}, or drop it");
            findings.push(Finding::new("Cargo.toml", number, what));
        }
    }
    for (number, name) in rows.into_iter().filter(|(_, name)| !used.contains(name)) {
        findings.push(Finding::new(REASONS, number, format!("{name} is no dependency; drop the row")));
    }
    findings
}

/// The lines with a key in the sections whose name is wanted, numbered from 1.
pub(super) fn entries(text: &str, is_wanted: impl Fn(&str) -> bool) -> impl Iterator<Item = (usize, &str)> {
    let mut wanted = false;
    (1..).zip(text.lines()).filter(move |(_, line)| {
        if let Some(section) = line.strip_prefix('[') {
            wanted = is_wanted(section.trim_end_matches(']'));
            return false;
        }
        wanted && line.contains('=') && !line.starts_with('#')
    })
}
