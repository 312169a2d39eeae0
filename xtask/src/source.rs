//! A Rust file split into what the compiler sees as code and what people read as comments, with
//! string and character literals blanked out of both. A scanner of a hundred lines instead of a
//! parser: it keeps every byte at its offset, and expects text that rustfmt has accepted.

use std::iter;
use std::ops::Range;

/// One Rust file. `code` and `comments` have the length and the line breaks of the text.
#[derive(Debug)]
pub(crate) struct Source {
    code: String,
    comments: String,
    line_starts: Vec<usize>,
    tests: Vec<Range<usize>>,
}

/// A function with a body or without.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Function<'a> {
    pub(crate) name: &'a str,
    pub(crate) first_line: usize,
    pub(crate) lines: usize,
}

impl Source {
    /// Splits the text.
    pub(crate) fn new(text: &str) -> Self {
        let (code, comments) = Scanner::new(text).split();
        let line_starts = [0].into_iter().chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        let tests = test_items(&code);
        Self { code, comments, line_starts, tests }
    }

    /// The code alone.
    pub(crate) fn code(&self) -> &str {
        &self.code
    }

    /// The comments alone, without their strings being blanked.
    pub(crate) fn comments(&self) -> &str {
        &self.comments
    }

    /// The line, from 1, that holds the byte.
    pub(crate) fn line(&self, offset: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= offset)
    }

    /// Whether the byte belongs to an item under `#[cfg(test)]`.
    pub(crate) fn is_test(&self, offset: usize) -> bool {
        self.tests.iter().any(|item| item.contains(&offset))
    }

    /// Lines that are not within an item under `#[cfg(test)]`, counting comments and empty lines.
    pub(crate) fn production_lines(&self) -> usize {
        let in_tests = self.tests.iter().map(|item| self.lines(item.clone()));
        self.total_lines() - in_tests.sum::<usize>()
    }

    /// All lines.
    pub(crate) fn total_lines(&self) -> usize {
        let ends_in_break = self.line_starts.last() == Some(&self.code.len());
        self.line_starts.len() - usize::from(ends_in_break)
    }

    /// Every named function, in order; one within another is reported too.
    pub(crate) fn functions(&self) -> impl Iterator<Item = Function<'_>> {
        words(&self.code).filter(|(_, word)| *word == "fn").filter_map(|(at, _)| {
            let (_, name) = words(&self.code[at..]).nth(1)?;
            let is_named = self.code[at + 2..].trim_start().starts_with(name);
            let span = at..item_end(&self.code, at);
            is_named.then(|| Function { name, first_line: self.line(at), lines: self.lines(span) })
        })
    }

    fn lines(&self, span: Range<usize>) -> usize {
        self.line(span.end - 1) - self.line(span.start) + 1
    }
}

/// Identifiers, keywords and numbers of the code, with their offsets.
pub(crate) fn words(code: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    iter::from_fn(move || {
        let start = at + code[at..].find(is_word)?;
        let rest = &code[start..];
        at = start + rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        Some((start, &code[start..at]))
    })
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// Where the item that starts at `from` ends: behind its `;` or behind its closing brace.
/// Parentheses and brackets are stepped over, as in `fn f(a: [u8; 2])`. Braces in a type, as in
/// `-> A<{ N }>`, end it too early: the one thing that is misread.
pub(crate) fn item_end(code: &str, from: usize) -> usize {
    let (mut braces, mut others) = (0_usize, 0_usize);
    for (at, byte) in (from..).zip(code[from..].bytes()) {
        match byte {
            b'(' | b'[' => others += 1,
            b')' | b']' => others = others.saturating_sub(1),
            b'{' => braces += 1,
            b'}' if braces <= 1 && others == 0 => return at + 1,
            b'}' => braces = braces.saturating_sub(1),
            b';' if braces == 0 && others == 0 => return at + 1,
            _ => {}
        }
    }
    code.len()
}

/// Items compiled for tests only, attribute included, none within another.
fn test_items(code: &str) -> Vec<Range<usize>> {
    let mut items: Vec<Range<usize>> = Vec::new();
    for attribute in ["#[cfg(test)]", "#[cfg(all(test"] {
        for (at, _) in code.match_indices(attribute) {
            items.push(at..item_end(code, at));
        }
    }
    items.sort_by_key(|item| item.start);
    items.dedup_by(|later, earlier| earlier.contains(&later.start));
    items
}

/// Goes through a text once, copying each byte to the code, to the comments or to neither.
struct Scanner<'a> {
    text: &'a str,
    at: usize,
    code: Vec<u8>,
    comments: Vec<u8>,
}

impl<'a> Scanner<'a> {
    fn new(text: &'a str) -> Self {
        let blank: Vec<u8> = text.bytes().map(|byte| if byte == b'\n' { b'\n' } else { b' ' }).collect();
        Self { text, at: 0, code: blank.clone(), comments: blank }
    }

    fn split(mut self) -> (String, String) {
        while self.at < self.text.len() {
            let rest = &self.text[self.at..];
            if rest.starts_with("//") {
                self.comment(rest.find('\n').unwrap_or(rest.len()));
            } else if rest.starts_with("/*") {
                self.comment(block_comment_len(rest));
            } else if let Some(len) = self.literal_len(rest) {
                self.at += len;
            } else {
                let len = rest.chars().next().map_or(1, char::len_utf8);
                self.code[self.at..self.at + len].copy_from_slice(&rest.as_bytes()[..len]);
                self.at += len;
            }
        }
        // Only whole characters were copied, so nothing is ever replaced here.
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        (text(self.code), text(self.comments))
    }

    fn comment(&mut self, len: usize) {
        let span = self.at..self.at + len;
        self.comments[span.clone()].copy_from_slice(&self.text.as_bytes()[span]);
        self.at += len;
    }

    /// The length of the string or character literal that starts here, if one does.
    fn literal_len(&self, rest: &str) -> Option<usize> {
        let before = self.text[..self.at].chars().next_back();
        let in_word = before.is_some_and(is_word);
        let prefixes: &[&str] = if in_word { &[""] } else { &["", "b", "c", "r", "br", "cr"] };
        prefixes.iter().find_map(|prefix| {
            let body = rest.strip_prefix(prefix)?;
            let len = match (prefix.ends_with('r'), body.as_bytes().first()?) {
                (true, b'"' | b'#') => raw_string_len(body)?,
                (false, b'"') => quoted_len(body, '"')?,
                (false, b'\'') => char_len(body)?,
                _ => return None,
            };
            Some(prefix.len() + len)
        })
    }
}

fn block_comment_len(rest: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match rest.as_bytes()[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

/// `#*"` … `"#*` with as many `#` behind as before; `None` for a raw identifier.
fn raw_string_len(body: &str) -> Option<usize> {
    let hashes = body.bytes().take_while(|byte| *byte == b'#').count();
    let inner = body[hashes..].strip_prefix('"')?;
    let close = format!("\"{}", &body[..hashes]);
    Some(hashes + 1 + inner.find(&close)? + close.len())
}

fn quoted_len(body: &str, quote: char) -> Option<usize> {
    let mut characters = body.char_indices().skip(1);
    while let Some((at, character)) = characters.next() {
        if character == '\\' {
            characters.next();
        } else if character == quote {
            return Some(at + 1);
        }
    }
    None
}

/// A character literal; `None` for a lifetime or a label.
fn char_len(body: &str) -> Option<usize> {
    let mut characters = body.chars().skip(1);
    let first = characters.next()?;
    (first == '\\' || characters.next() == Some('\'')).then(|| quoted_len(body, '\''))?
}

#[cfg(test)]
mod tests;
