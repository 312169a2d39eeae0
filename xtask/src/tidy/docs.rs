//! Documents: relative links lead to files of this repository, and every decision record answers
//! the same four questions. Does not follow links to the outside.

use std::collections::BTreeMap;

use crate::finding::Finding;
use crate::tree::Tree;

/// What a decision record answers, in this order.
const HEADINGS: [&str; 4] = ["## Context", "## Decision", "## Consequences", "## What would change our mind"];

/// Findings about the links of one document.
pub(super) fn check_links(path: &str, text: &str, tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut in_code = false;
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        for target in targets(line).filter(|target| leads_nowhere(path, target, tree)) {
            let what =
                format!("link to '{target}' leads nowhere; name a file of this repository, relative to this one");
            findings.push(Finding::new(path, number, what));
        }
    }
    findings
}

/// Findings about `docs/adr`.
pub(super) fn check_decisions(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut numbers: BTreeMap<&str, &str> = BTreeMap::new();
    for (path, text) in tree.texts(".md") {
        let Some(name) = path.strip_prefix("docs/adr/") else { continue };
        let number = name.split('-').next().unwrap_or_default();
        if number.len() != 4 || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            findings.push(Finding::new(path, 1, "the name has no number; write it as 0042-what-was-decided.md"));
        } else if let Some(other) = numbers.insert(number, path) {
            findings.push(Finding::new(path, 1, format!("number {number} is taken by {other}; take the next one")));
        }
        let headings: Vec<&str> = text.lines().filter(|line| line.starts_with("## ")).collect();
        if headings != HEADINGS {
            let what = format!("headings must be exactly: {}", HEADINGS.join(", "));
            findings.push(Finding::new(path, 1, what));
        }
    }
    findings
}

/// What the links of a line point to, as in `[text](target "title")` and `[text]: target`; code
/// spans are no links.
fn targets(line: &str) -> impl Iterator<Item = &str> {
    let prose = line.split('`').step_by(2);
    let links = prose.flat_map(|piece| piece.split("](").skip(1));
    let definition = line.strip_prefix('[').and_then(|rest| rest.split_once("]: "));
    links.chain(definition.map(|(_, target)| target)).filter_map(|rest| rest.split([')', ' ']).next())
}

fn leads_nowhere(document: &str, target: &str, tree: &Tree) -> bool {
    let file = target.split('#').next().unwrap_or_default();
    if file.is_empty() || file.contains("://") || file.starts_with("mailto:") {
        return false;
    }
    let mut path: Vec<&str> = document.split('/').collect();
    path.pop();
    for part in file.trim_end_matches('/').split('/') {
        match part {
            "." => {}
            ".." if path.pop().is_none() => return true,
            ".." => {}
            part => path.push(part),
        }
    }
    !path.is_empty() && !tree.contains(&path.join("/"))
}
