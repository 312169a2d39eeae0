//! `cargo xtask layers`: which crate may depend on which, which crate alone may use a library, and that
//! no modules of a crate use each other in a circle. Reads what cargo says about the workspace, and its
//! text; compiles nothing.

mod table;
mod circles;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use self::table::{LAYERS, Layer, OWNED, Owned};
use crate::finding::Finding;
use crate::tree::Tree;

/// One crate of the workspace.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Member {
    name: String,
    manifest: String,
    dependencies: Vec<Dependency>,
}

/// One line of a manifest.
#[derive(Debug, PartialEq, Eq)]
struct Dependency {
    name: String,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Normal,
    Dev,
    Build,
}

/// The crates of the workspace at `root`, as cargo knows them.
pub(crate) fn workspace(root: &Path) -> Result<Vec<Member>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(root).args(["metadata", "--no-deps", "--offline", "--format-version", "1"]);
    let output = command.output().context("failed to start cargo metadata")?;
    ensure!(output.status.success(), "cargo metadata failed:\n{}", String::from_utf8_lossy(&output.stderr));
    let root = root.to_str().context("the workspace's path is not UTF-8")?;
    parse(&serde_json::from_slice(&output.stdout).context("cargo metadata printed no JSON")?, root)
}

/// All findings about the workspace; the tree tells the lines.
pub(crate) fn check(members: &[Member], tree: &Tree) -> Vec<Finding> {
    let mut findings = strangers(members);
    for member in members {
        let manifest = tree.text(&member.manifest).unwrap_or_default();
        for dependency in &member.dependencies {
            if let Some(what) = objection(member, dependency, members) {
                let line = line_of(manifest, dependency);
                findings.push(Finding::new(&member.manifest, line, what));
            }
        }
    }
    findings.extend(cycle(members).map(|names| {
        let what = format!("crates depend on each other in a circle: {}; cut one edge", names.join(" → "));
        Finding::new("Cargo.toml", 1, what)
    }));
    findings.extend(circles::check(tree));
    findings.sort();
    findings
}

fn parse(metadata: &Value, root: &str) -> Result<Vec<Member>> {
    let packages = metadata["packages"].as_array().context("cargo metadata lists no packages")?;
    packages.iter().map(|package| parse_package(package, root)).collect()
}

fn parse_package(package: &Value, root: &str) -> Result<Member> {
    let text = |value: &Value| value.as_str().map(str::to_owned).context("cargo metadata lacks a name");
    let manifest = text(&package["manifest_path"])?;
    let manifest = manifest.strip_prefix(root).unwrap_or(&manifest).trim_start_matches('/').to_owned();
    let dependencies = package["dependencies"].as_array().context("cargo metadata lists no dependencies")?;
    let parse_dependency = |dependency: &Value| {
        let kind = match dependency["kind"].as_str() {
            Some("dev") => Kind::Dev,
            Some("build") => Kind::Build,
            _ => Kind::Normal,
        };
        Ok(Dependency { name: text(&dependency["name"])?, kind })
    };
    let dependencies = dependencies.iter().map(parse_dependency).collect::<Result<_>>()?;
    Ok(Member { name: text(&package["name"])?, manifest, dependencies })
}

/// Crates that the table does not know, and entries of the table that are no crate.
fn strangers(members: &[Member]) -> Vec<Finding> {
    let known: BTreeSet<&str> = LAYERS.iter().map(|layer| layer.name).collect();
    let existing: BTreeSet<&str> = members.iter().map(|member| member.name.as_str()).collect();
    let unknown = members.iter().filter(|member| !known.contains(member.name.as_str())).map(|member| {
        let what = format!("crate {} has no place in the layers; add it to {}", member.name, table::PATH);
        Finding::new(&member.manifest, 1, what)
    });
    let gone = known.difference(&existing).map(|name| {
        Finding::new(table::PATH, 1, format!("{name} is no crate of the workspace; drop it from the table"))
    });
    unknown.chain(gone).collect()
}

/// Why the dependency may not be, if so.
fn objection(member: &Member, dependency: &Dependency, members: &[Member]) -> Option<String> {
    let (name, user) = (dependency.name.as_str(), member.name.as_str());
    if members.iter().any(|other| other.name == name) {
        let layer = LAYERS.iter().find(|layer| layer.name == user)?;
        if name == user || layer.permits(name, dependency.kind == Kind::Dev) {
            return None;
        }
        let (all, tests) = (list(layer.uses), list(layer.tests_use));
        let what = format!("{user} may not depend on {name}; it may on {all}, and its tests also on {tests}");
        return Some(format!("{what} (changing that takes a decision record and {})", table::PATH));
    }
    let owned = OWNED.iter().find(|owned| owned.covers(name))?;
    if owned.users.contains(&user) || (owned.free_in_tests && dependency.kind == Kind::Dev) {
        return None;
    }
    Some(format!("{name} may be used by {} only: {}", list(owned.users), owned.reason))
}

impl Layer {
    fn permits(&self, name: &str, in_tests: bool) -> bool {
        self.uses.contains(&name) || (in_tests && self.tests_use.contains(&name))
    }
}

impl Owned {
    /// Whether the library is the owned one or a part of its family, as `arrow-array` of `arrow`.
    fn covers(&self, name: &str) -> bool {
        let rest = self.families.iter().find_map(|family| name.strip_prefix(family));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '_']))
    }
}

fn list(names: &[&str]) -> String {
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}

/// The line of the manifest that names the dependency; 1 when it is not found.
fn line_of(manifest: &str, dependency: &Dependency) -> usize {
    let wanted = match dependency.kind {
        Kind::Normal => "dependencies]",
        Kind::Dev => "dev-dependencies]",
        Kind::Build => "build-dependencies]",
    };
    let mut in_section = false;
    for (number, line) in (1..).zip(manifest.lines()) {
        if let Some(section) = line.strip_prefix('[') {
            in_section = section.rsplit('.').next() == Some(wanted);
        } else if in_section && line.split(['.', ' ', '=']).next() == Some(&dependency.name) {
            return number;
        }
    }
    1
}

/// The crates of one circle, the first one named again at the end. Cargo forbids circles of normal
/// dependencies, but lets one pass through tests, where every type then exists twice.
fn cycle(members: &[Member]) -> Option<Vec<&str>> {
    let names: BTreeSet<&str> = members.iter().map(|member| member.name.as_str()).collect();
    let edges: BTreeMap<&str, Vec<&str>> = members
        .iter()
        .map(|member| {
            let targets = member.dependencies.iter().map(|dependency| dependency.name.as_str());
            (member.name.as_str(), targets.filter(|name| names.contains(name) && *name != member.name).collect())
        })
        .collect();
    let mut finished = BTreeSet::new();
    names.iter().find_map(|name| walk(name, &edges, &mut Vec::new(), &mut finished))
}

fn walk<'a>(
    name: &'a str,
    edges: &BTreeMap<&'a str, Vec<&'a str>>,
    path: &mut Vec<&'a str>,
    finished: &mut BTreeSet<&'a str>,
) -> Option<Vec<&'a str>> {
    if let Some(start) = path.iter().position(|earlier| *earlier == name) {
        return Some(path[start..].iter().copied().chain([name]).collect());
    }
    if finished.contains(name) {
        return None;
    }
    path.push(name);
    let found = edges.get(name)?.iter().find_map(|next| walk(next, edges, path, finished));
    path.pop();
    finished.insert(name);
    found
}

#[cfg(test)]
mod tests;
