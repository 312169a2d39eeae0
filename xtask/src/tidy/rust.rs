//! The shape of a Rust file: header, size, function size, module files, `lib.rs` without logic.

use crate::finding::Finding;
use crate::source::{Source, words};
use crate::tree::is_test_file;

/// Lines of a file outside `#[cfg(test)]`.
const PRODUCTION_LINES_MAX: usize = 500;

/// Lines of any file, tests included.
const FILE_LINES_MAX: usize = 1_000;

/// Lines of a function from `fn` to its closing brace.
const FUNCTION_LINES_MAX: usize = 70;

/// Findings about one file.
pub(super) fn check(path: &str, text: &str, source: &Source) -> Vec<Finding> {
    let mut findings = sizes(path, source);
    if !text.starts_with("//! ") {
        findings.push(Finding::new(
            path,
            1,
            "no header; open with `//!`: what the file is for and what it refuses to do",
        ));
    }
    if path.ends_with("/mod.rs") {
        findings.push(Finding::new(path, 1, "a mod.rs; name it after the module, beside the module's folder"));
    }
    if path.ends_with("src/lib.rs") {
        findings.extend(first_logic(source.code()).map(|at| {
            let what = "logic in lib.rs; it only documents, declares modules and re-exports, so move this to a module";
            Finding::new(path, source.line(at), what)
        }));
    }
    findings
}

fn sizes(path: &str, source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    let production = if is_test_file(path) { 0 } else { source.production_lines() };
    for (lines, max, kind) in [
        (production, PRODUCTION_LINES_MAX, "production lines"),
        (source.total_lines(), FILE_LINES_MAX, "lines with tests"),
    ] {
        if lines > max {
            findings.push(Finding::new(path, max, format!("{lines} {kind}, {max} allowed; split the file by concern")));
        }
    }
    for function in source.functions().filter(|function| function.lines > FUNCTION_LINES_MAX) {
        let (name, lines) = (function.name, function.lines);
        let what = format!("function {name} has {lines} lines, {FUNCTION_LINES_MAX} allowed; name its steps");
        findings.push(Finding::new(path, function.first_line, what));
    }
    findings
}

/// Where the first item starts that is neither `mod name;` nor `use …;`.
fn first_logic(code: &str) -> Option<usize> {
    let mut at = 0;
    loop {
        at += code[at..].len() - code[at..].trim_start().len();
        let item = at;
        if code[at..].is_empty() {
            return None;
        }
        if code[at..].starts_with('#') {
            at += attribute_len(&code[at..]);
            continue;
        }
        if code[at..].starts_with("pub(") {
            at += code[at..].find(')')?;
        }
        let keyword = words(&code[at..]).map(|(_, word)| word).find(|word| *word != "pub")?;
        let end = code[item..].find(';').map(|len| item + len + 1);
        match (keyword, end) {
            ("use", Some(end)) => at = end,
            ("mod", Some(end)) if !code[item..end].contains('{') => at = end,
            _ => return Some(item),
        }
    }
}

/// The length of the attribute that the text starts with.
fn attribute_len(code: &str) -> usize {
    let mut depth = 0_usize;
    for (at, byte) in code.bytes().enumerate() {
        match byte {
            b'[' => depth += 1,
            b']' if depth <= 1 => return at + 1,
            b']' => depth -= 1,
            _ => {}
        }
    }
    code.len()
}
