//! Doc comments stand alone: who reads one in a list of the module, or over a name in an editor, has not
//! read the item before. Looks at the first words only; the sense is for review.

use crate::finding::Finding;
use crate::source::Source;

/// First words that lean on another item.
const LEANING: [&str; 3] = ["Of", "Those of", "The same"];

/// Findings about one file.
pub(super) fn check(path: &str, source: &Source) -> Vec<Finding> {
    let docs: Vec<_> = source.comments().lines().map(doc).collect();
    let mut findings = Vec::new();
    let mut number = 0;
    for block in docs.chunk_by(|line, next| mark(line) == mark(next)) {
        let first_line = number + 1;
        number += block.len();
        let mut texts = block.iter().flatten().map(|(_, text)| text.trim());
        let Some(first) = texts.clone().next() else { continue };
        if texts.all(str::is_empty) {
            findings.push(Finding::new(path, first_line, "an empty doc comment; say what the item is for"));
        } else if let Some(words) = LEANING.iter().find(|words| starts_with_words(first, words)) {
            let what = format!("a doc comment that begins with `{words}` leans on another item; name what it is about");
            findings.push(Finding::new(path, first_line, what));
        }
    }
    findings
}

/// The mark and the text of a line that is a doc comment as a whole.
fn doc(line: &str) -> Option<(&str, &str)> {
    let (mark, text) = line.trim_start().split_at_checked(3)?;
    let is_doc = matches!(mark, "///" | "//!") && !text.starts_with('/');
    is_doc.then_some((mark, text))
}

fn mark<'a>(line: &Option<(&'a str, &'a str)>) -> Option<&'a str> {
    line.map(|(mark, _)| mark)
}

fn starts_with_words(text: &str, words: &str) -> bool {
    text.strip_prefix(words).is_some_and(|rest| !rest.starts_with(char::is_alphanumeric))
}
