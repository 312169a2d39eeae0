//! Dependencies without use: an entry of a manifest that no code of the package names. A feature that is
//! passed on is no use; an entry that only switches on a feature says so on the line before, after
//! `# for its feature`.

use std::collections::BTreeSet;

use super::manifests::entries;
use crate::code::{Names, Package};
use crate::finding::Finding;
use crate::tree::Tree;

/// Begins the line before an entry that is there for a feature of it alone.
const FOR_ITS_FEATURE: &str = "# for its feature ";

/// One line of a manifest.
#[derive(Debug)]
struct Entry<'a> {
    line: usize,
    name: &'a str,
    features: BTreeSet<&'a str>,
    is_for_feature: bool,
}

/// Findings about all manifests.
pub(super) fn check(tree: &Tree, production: &[Package], everything: &[Package]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let root = tree.text("Cargo.toml").unwrap_or_default();
    let shared = read(root, |section| section == "workspace.dependencies");
    let mut used = BTreeSet::new();
    for (package, with_tests) in production.iter().zip(everything) {
        let path = format!("{}/Cargo.toml", package.folder);
        let text = tree.text(&path).unwrap_or_default();
        used.extend(read(text, |section| section.ends_with("dependencies")).iter().map(|entry| entry.name));
        if with_tests.targets.is_empty() {
            continue;
        }
        let normal = read(text, is_normal);
        for entry in normal.iter().filter(|entry| !entry.is_for_feature && !names(package, entry.name)) {
            findings.push(Finding::new(&path, entry.line, of_production(entry.name, names(with_tests, entry.name))));
        }
        for entry in read(text, |section| section.ends_with("dev-dependencies")) {
            let what = of_tests(&entry, &normal, &shared, with_tests);
            findings.extend(what.map(|what| Finding::new(&path, entry.line, what)));
        }
    }
    for entry in shared.iter().filter(|entry| !used.contains(entry.name)) {
        let what = format!("no crate depends on {}; drop it, and its reason", entry.name);
        findings.push(Finding::new("Cargo.toml", entry.line, what));
    }
    findings
}

fn is_normal(section: &str) -> bool {
    let kind = section.rsplit('.').next();
    kind == Some("dependencies") && section != "workspace.dependencies"
}

fn of_production(name: &str, is_in_tests: bool) -> String {
    if is_in_tests {
        format!("only tests use {name}; move it to the dev-dependencies")
    } else {
        format!("no code here uses {name}; drop it, or write `{FOR_ITS_FEATURE}…` on the line before")
    }
}

/// What is wrong with a dev-dependency, if something is.
fn of_tests(entry: &Entry<'_>, normal: &[Entry<'_>], shared: &[Entry<'_>], package: &Package) -> Option<String> {
    let name = entry.name;
    if let Some(twin) = normal.iter().find(|other| other.name == name) {
        let of_all = shared.iter().filter(|other| other.name == name).flat_map(|other| &other.features);
        let known: BTreeSet<_> = twin.features.iter().chain(of_all).collect();
        let adds = entry.features.iter().any(|feature| !known.contains(feature));
        return (!adds).then(|| format!("{name} is a dependency already, and this adds no feature; drop it"));
    }
    let is_used = entry.is_for_feature || names(package, name);
    (!is_used).then(|| format!("no test here uses {name}; drop it, or write `{FOR_ITS_FEATURE}…` on the line before"))
}

/// Whether any code of the package names the crate.
fn names(package: &Package, dependency: &str) -> bool {
    let crate_name = dependency.replace('-', "_");
    package.targets.iter().any(|modules| {
        let names = Names::new(modules);
        let mut mentions =
            modules.iter().enumerate().flat_map(|(place, it)| it.mentions.iter().map(move |m| (place, m)));
        mentions.any(|(place, mention)| names.is_of_crate(place, mention, &crate_name))
    })
}

fn read(text: &str, is_wanted: impl Fn(&str) -> bool) -> Vec<Entry<'_>> {
    let lines: Vec<&str> = text.lines().collect();
    // A crate's own tests use its twins through a dependency on itself.
    let wanted =
        entries(text, is_wanted).filter(|(_, content)| !content.contains("path = \".\"")).map(|(line, content)| {
            let before = line.checked_sub(2).and_then(|at| lines.get(at)).copied().unwrap_or_default();
            let name = content.split(['.', ' ', '=']).next().unwrap_or_default();
            let is_for_feature = before.starts_with(FOR_ITS_FEATURE);
            Entry { line, name, features: features(content), is_for_feature }
        });
    wanted.collect()
}

fn features(line: &str) -> BTreeSet<&str> {
    let list = line.split_once("features = [").and_then(|(_, rest)| rest.split_once(']'));
    list.map(|(list, _)| list.split('"').skip(1).step_by(2).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
