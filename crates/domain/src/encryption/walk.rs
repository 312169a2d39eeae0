//! Goes through the values of a JSON object and writes it anew with some of them replaced; everything else stays as it
//! was written. Admission has checked the syntax; other bytes are left as they are, and never a panic.

use std::borrow::Cow;

/// Deeper values are not looked at; admission takes none so deep.
const DEPTH_MAX: usize = 256;

/// Where a value stands.
#[derive(Debug)]
pub(super) struct Place<'w> {
    /// The keys on the way to it, joined by dots; places in arrays are left out.
    pub(super) path: &'w str,
    /// The way to it, which no other value of the same properties has unless a key stands twice.
    pub(super) location: &'w [u8],
}

/// What becomes of a value.
#[derive(Debug)]
pub(super) enum Step {
    /// The value stays, with all that is in it.
    Keep,
    /// The value stays, and what is in it is looked at.
    Enter,
    /// This JSON takes the place of the value.
    Replace(String),
}

/// Shows `visit` the values in an object, outer ones first. The object with what was replaced; `None` when nothing was.
pub(super) fn rewrite(object: &str, visit: &mut dyn FnMut(&Place<'_>, &str) -> Step) -> Option<String> {
    let mut walk =
        Walk { json: object, copied: 0, out: String::new(), path: String::new(), location: Vec::new(), visit };
    let start = skip_space(object.as_bytes(), 0);
    walk.inside(start, 0)?;
    if walk.copied == 0 {
        return None;
    }
    let Walk { mut out, copied, .. } = walk;
    out.push_str(object.get(copied..)?);
    Some(out)
}

struct Walk<'j, 'v> {
    json: &'j str,
    /// Up to where the text stands in `out`.
    copied: usize,
    out: String,
    path: String,
    location: Vec<u8>,
    visit: &'v mut dyn FnMut(&Place<'_>, &str) -> Step,
}

impl Walk<'_, '_> {
    /// Goes through the array or object at `at`; returns where it ends.
    fn inside(&mut self, at: usize, depth: usize) -> Option<usize> {
        let json = self.json.as_bytes();
        let is_object = match json.get(at)? {
            b'{' => true,
            b'[' => false,
            _ => return None,
        };
        let (mut at, mut index) = (at + 1, 0_u64);
        loop {
            at = skip_space(json, at);
            match json.get(at)? {
                b'}' | b']' => return Some(at + 1),
                b',' => {
                    at += 1;
                    continue;
                }
                _ => {}
            }
            let (path_len, location_len) = (self.path.len(), self.location.len());
            if is_object {
                let end = value_end(json, at)?;
                let key = key(self.json.get(at..end)?)?;
                self.go_to_key(&key);
                at = skip_space(json, end);
                (json.get(at) == Some(&b':')).then_some(())?;
                at = skip_space(json, at + 1);
            } else {
                self.location.push(b'#');
                self.location.extend_from_slice(&index.to_le_bytes());
                index += 1;
            }
            at = self.value(at, depth)?;
            self.path.truncate(path_len);
            self.location.truncate(location_len);
        }
    }

    fn go_to_key(&mut self, key: &str) {
        if !self.location.is_empty() {
            self.path.push('.');
        }
        self.path.push_str(key);
        self.location.push(b'.');
        self.location.extend_from_slice(&(key.len() as u64).to_le_bytes());
        self.location.extend_from_slice(key.as_bytes());
    }

    /// Shows the value at `at`; returns where it ends.
    fn value(&mut self, at: usize, depth: usize) -> Option<usize> {
        let end = value_end(self.json.as_bytes(), at)?;
        let value = self.json.get(at..end)?;
        match (self.visit)(&Place { path: &self.path, location: &self.location }, value) {
            Step::Keep => {}
            Step::Enter if value.starts_with(['{', '[']) && depth < DEPTH_MAX => {
                self.inside(at, depth + 1)?;
            }
            Step::Enter => {}
            Step::Replace(new) => {
                self.out.push_str(self.json.get(self.copied..at)?);
                self.out.push_str(&new);
                self.copied = end;
            }
        }
        Some(end)
    }
}

fn skip_space(json: &[u8], mut at: usize) -> usize {
    while matches!(json.get(at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
        at += 1;
    }
    at
}

/// Where the string that begins at `at` ends, behind its quote.
fn string_end(json: &[u8], mut at: usize) -> Option<usize> {
    at += 1;
    loop {
        match json.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// The end of the value that begins at `at`.
fn value_end(json: &[u8], mut at: usize) -> Option<usize> {
    let start = at;
    match json.get(at)? {
        b'"' => string_end(json, at),
        b'{' | b'[' => {
            let mut depth = 0_usize;
            loop {
                match json.get(at)? {
                    b'"' => {
                        at = string_end(json, at)?;
                        continue;
                    }
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' if depth == 1 => return Some(at + 1),
                    b'}' | b']' => depth -= 1,
                    _ => {}
                }
                at += 1;
            }
        }
        _ => {
            while !matches!(json.get(at), None | Some(b',' | b':' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r')) {
                at += 1;
            }
            (at > start).then_some(at)
        }
    }
}

/// What the JSON string of a key means; half a surrogate pair becomes U+FFFD.
fn key(string: &str) -> Option<Cow<'_, str>> {
    let content = string.strip_prefix('"')?.strip_suffix('"')?;
    if !content.contains('\\') {
        return Some(Cow::Borrowed(content));
    }
    let (mut out, mut rest) = (String::with_capacity(content.len()), content);
    while let Some((before, escape)) = rest.split_once('\\') {
        out.push_str(before);
        let mut chars = escape.chars();
        let kind = chars.next()?;
        rest = chars.as_str();
        match kind {
            'b' => out.push('\u{8}'),
            'f' => out.push('\u{c}'),
            'n' => out.push('\n'),
            'r' => out.push('\r'),
            't' => out.push('\t'),
            'u' => {
                let (point, after) = code_point(rest);
                out.push(point);
                rest = after;
            }
            other => out.push(other),
        }
    }
    out.push_str(rest);
    Some(Cow::Owned(out))
}

/// The character whose `\u` stood before `rest`, and what follows it.
fn code_point(rest: &str) -> (char, &str) {
    let unit = |text: &str| text.get(..4).and_then(|digits| u16::from_str_radix(digits, 16).ok());
    let Some(first) = unit(rest) else { return (char::REPLACEMENT_CHARACTER, rest) };
    let rest = rest.get(4..).unwrap_or_default();
    if let (0xD800..=0xDBFF, Some(after)) = (first, rest.strip_prefix("\\u"))
        && let Some(Ok(point)) =
            unit(after).map(|second| char::decode_utf16([first, second]).next().unwrap_or(Ok('\u{fffd}')))
    {
        return (point, after.get(4..).unwrap_or_default());
    }
    (char::from_u32(u32::from(first)).unwrap_or(char::REPLACEMENT_CHARACTER), rest)
}
