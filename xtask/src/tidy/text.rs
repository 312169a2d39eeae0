//! What holds for every text file: clean line ends, and no path of the machine it was written on.

use crate::finding::Finding;

/// First folders of paths that exist on one machine only.
const MACHINE_FOLDERS: [&str; 4] = ["home", "root", "work", "Users"];

/// Findings about one file.
pub(super) fn check(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let mut found = |what: &str| findings.push(Finding::new(path, number, what));
        if line.ends_with([' ', '\t', '\r']) {
            found("white space at the end of the line; remove it");
        }
        if path.ends_with(".rs") && line.contains('\t') {
            found("a tab; write four spaces, or \\t in a literal");
        }
        if MACHINE_FOLDERS.iter().any(|folder| names_machine_folder(line, folder)) {
            found("a path of one machine; make it relative, or read it from the environment");
        }
    }
    if !text.is_empty() && !text.ends_with('\n') {
        findings.push(Finding::new(path, text.lines().count(), "no line break at the end of the file; add one"));
    }
    findings
}

/// Whether the line has `/folder/` where a path starts, so not within a longer path.
fn names_machine_folder(line: &str, folder: &str) -> bool {
    let start = format!("/{folder}/");
    let mut places = line.match_indices(&start).map(|(at, _)| &line[..at]);
    places.any(|before| !before.ends_with(|c: char| c.is_alphanumeric() || "._-/}~*)".contains(c)))
}
