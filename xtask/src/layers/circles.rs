//! No module of a crate uses another that uses it back, however far around: what stands in a circle can
//! only be read, tested and moved as a whole. Whoever names a thing through a re-export uses the module that
//! passes it on as well as the one that defines it; to pass on is no use by itself, and neither is `mod child;`, so a
//! module that holds re-exports alone is no part of a circle. Not seen are methods called on a value whose type is not
//! named.

use std::collections::{BTreeMap, BTreeSet};

use crate::code::{Module, Names, Package, Scope, packages};
use crate::finding::Finding;
use crate::tree::Tree;

/// What ties one file to another: the first line that does, and all names.
#[derive(Debug, Default, Clone)]
struct Tie<'a> {
    line: usize,
    names: BTreeSet<&'a str>,
}

/// The files that each file uses.
type Graph<'a> = BTreeMap<&'a str, BTreeMap<&'a str, Tie<'a>>>;

/// One finding for each circle, and one for each file that cannot be read.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    packages(tree, Scope::Production).into_iter().flat_map(in_package).collect()
}

fn in_package(package: Package) -> Vec<Finding> {
    let graphs = package.targets.iter().map(|modules| graph(modules));
    let circles: Vec<Finding> = graphs.flat_map(|graph| in_graph(&package.folder, &graph)).collect();
    package.findings.into_iter().chain(circles).collect()
}

fn graph(modules: &[Module]) -> Graph<'_> {
    let names = Names::new(modules);
    let mut graph = Graph::new();
    for (place, module) in modules.iter().enumerate() {
        for mention in &module.mentions {
            for (other, name) in names.used(place, mention) {
                let (user, used) = (module.file.as_str(), modules[other].file.as_str());
                if user != used {
                    let tie = graph.entry(user).or_default().entry(used).or_default();
                    tie.line = if tie.names.is_empty() { mention.line } else { tie.line.min(mention.line) };
                    tie.names.insert(name);
                }
            }
        }
    }
    graph
}

fn in_graph(folder: &str, graph: &Graph<'_>) -> Vec<Finding> {
    let reachable: BTreeMap<&str, BTreeSet<&str>> = graph.keys().map(|file| (*file, reach(file, graph))).collect();
    let reaches = |from: &str, to: &str| reachable.get(from).is_some_and(|files| files.contains(to));
    let mut seen = BTreeSet::new();
    let mut findings = Vec::new();
    for file in graph.keys().filter(|file| reaches(file, file)) {
        let circle: Vec<&str> =
            graph.keys().copied().filter(|other| reaches(file, other) && reaches(other, file)).collect();
        if seen.insert(circle.clone()) {
            findings.push(Finding::new(file, 1, describe(folder, &circle, graph)));
        }
    }
    findings
}

/// Everything that is used from here, this file too if a way leads back.
fn reach<'a>(file: &'a str, graph: &Graph<'a>) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    let mut unvisited = vec![file];
    while let Some(next) = unvisited.pop() {
        let used = graph.get(next).into_iter().flat_map(BTreeMap::keys).copied();
        unvisited.extend(used.filter(|file| found.insert(*file)));
    }
    found
}

fn describe(folder: &str, circle: &[&str], graph: &Graph<'_>) -> String {
    let short = |file: &str| file.strip_prefix(folder).unwrap_or(file).trim_start_matches('/').to_owned();
    let mut text = format!(
        "{} files use each other in a circle; move what ties them into a file of its own, or hand it in:",
        circle.len()
    );
    for file in circle {
        for (used, tie) in graph.get(file).into_iter().flatten().filter(|(used, _)| circle.contains(used)) {
            let names: Vec<&str> = tie.names.iter().copied().collect();
            text.push_str(&format!("\n    {}:{} uses {}: {}", short(file), tie.line, short(used), names.join(", ")));
        }
    }
    text
}

#[cfg(test)]
mod tests;
