//! Finds one value in the text of a JSON object without parsing the rest: strings are skipped eight
//! bytes at a time and nesting by counting brackets; a flat object is not even walked through.
//! Admission has checked the syntax; other bytes give some answer or none, never a panic. Where a key
//! stands twice, the last one counts.

use std::borrow::Cow;

use memchr::{memchr2, memmem};

use super::{Number, PropertyPath};
use crate::limits::QUERY_PATH_SEGMENTS_MAX;

/// What may follow the quote that ends a text, so that a quote after it may begin the next one.
const AFTER_TEXT: [char; 8] = [':', ',', ']', '}', ' ', '\t', '\n', '\r'];

/// A path, ready to be followed in many objects.
#[derive(Debug)]
pub struct Path {
    /// By how many segments are done: the keys that may come next, the longest first, each with what is done
    /// then.
    keys: Vec<Vec<(String, usize)>>,
    /// Whether one key alone may be all of the path.
    one_key: OneKey,
}

/// The key that is all of a path.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one for each path of a query, on the stack of the reader")]
enum OneKey {
    /// There is none.
    None,
    /// It cannot be looked for between its quotes: it is written with an escape, or is what may stand between two
    /// texts.
    Unquotable,
    /// It is found between its quotes.
    Found(memmem::Finder<'static>),
}

impl Path {
    /// The path, made ready.
    pub fn new(path: &PropertyPath) -> Self {
        let segments = path.segments().len();
        let keys: Vec<_> = (0..segments).map(|done| path.keys_after(done)).collect();
        let longest = keys.first().and_then(|keys| keys.first()).filter(|(_, done)| *done == segments);
        let one_key = match longest {
            None => OneKey::None,
            Some((key, _)) if key.contains(['"', '\\']) || key.starts_with(AFTER_TEXT) => OneKey::Unquotable,
            Some((key, _)) => OneKey::Found(memmem::Finder::new(format!("\"{key}\"").as_bytes()).into_owned()),
        };
        Self { keys, one_key }
    }

    /// The value as written, without the whitespace around it; `None` when no way leads to one. In each object
    /// the longest key that leads to a value is taken.
    pub fn find<'j>(&self, json: &'j str) -> Option<&'j str> {
        match &self.one_key {
            OneKey::Found(finder) if is_flat(json) => flat_member(json, finder),
            OneKey::None if is_flat(json) => None,
            _ => self.find_after(0, json),
        }
    }

    fn find_after<'j>(&self, done: usize, json: &'j str) -> Option<&'j str> {
        let Some(keys) = self.keys.get(done) else { return Some(json) };
        let mut found = [None; QUERY_PATH_SEGMENTS_MAX];
        members(json, keys, &mut found)?;
        keys.iter().zip(found).find_map(|((_, done), value)| self.find_after(*done, value?))
    }
}

/// Whether it is an object of which no string has an escape and no value has keys.
fn is_flat(json: &str) -> bool {
    json.as_bytes().split_first().is_some_and(|(first, rest)| *first == b'{' && memchr2(b'{', b'\\', rest).is_none())
}

/// The value of a key in a flat object. Without escapes a quote always begins or ends a string, so
/// that the quoted key, which is not what stands between two strings, is a whole string wherever it is
/// found, and a key where a colon follows.
fn flat_member<'j>(object: &'j str, finder: &memmem::Finder<'_>) -> Option<&'j str> {
    let json = object.as_bytes();
    let mut value = None;
    for at in finder.find_iter(json) {
        let after = skip_space(json, at + finder.needle().len());
        if json.get(after) == Some(&b':') {
            value = Some(skip_space(json, after + 1));
        }
    }
    let from = value?;
    object.get(from..value_end(json, from)?)
}

/// The text that a scalar means: a string's content, a number's literal, `true` or `false`.
pub fn text(value: &str) -> Option<Cow<'_, str>> {
    match value.as_bytes().first()? {
        b'"' => {
            let content = value.get(1..value.len().checked_sub(1)?)?;
            Some(if content.contains('\\') { Cow::Owned(unescape(content)) } else { Cow::Borrowed(content) })
        }
        b't' | b'f' | b'-' | b'0'..=b'9' => Some(Cow::Borrowed(value)),
        _ => None,
    }
}

/// A number, and whether it is written as a text; such a text is a number and nothing else.
pub fn number(value: &str) -> Option<(Number, bool)> {
    match value.as_bytes() {
        [b'-' | b'0'..=b'9', ..] => Number::parse(value).map(|number| (number, false)),
        [b'"', b'-' | b'0'..=b'9' | b'\\', ..] => {
            text(value).and_then(|text| Number::parse(&text)).map(|number| (number, true))
        }
        _ => None,
    }
}

/// The rank of a number.
pub fn rank(value: &str) -> Option<i128> {
    number(value).map(|(number, _)| number.rank())
}

/// Whether the value is anything but null.
pub fn is_there(value: &str) -> bool {
    value != "null"
}

/// Finds the values of some `keys` in `object`, each in its place; `None` if it is no object that can be read
/// to its end.
fn members<'j>(object: &'j str, keys: &[(String, usize)], found: &mut [Option<&'j str>]) -> Option<()> {
    let json = object.as_bytes();
    let mut at = skip_space(json, 0);
    if json.get(at) != Some(&b'{') {
        return None;
    }
    at = skip_space(json, at + 1);
    while json.get(at) == Some(&b'"') {
        let end = string_end(json, at + 1)?;
        let name = json.get(at + 1..end)?;
        let wanted = keys.iter().position(|(key, _)| is_key(name, key, object, at + 1));
        at = skip_space(json, end + 1);
        if json.get(at) != Some(&b':') {
            return None;
        }
        at = skip_space(json, at + 1);
        let end = value_end(json, at)?;
        if let Some(wanted) = wanted {
            found[wanted] = object.get(at..end);
        }
        at = skip_space(json, end);
        match json.get(at)? {
            b',' => at = skip_space(json, at + 1),
            b'}' => break,
            _ => return None,
        }
    }
    Some(())
}

/// Whether the raw name is `key`. An escape is longer than what it stands for, so a name with one is
/// longer than its key.
fn is_key(name: &[u8], key: &str, object: &str, at: usize) -> bool {
    match name.len().cmp(&key.len()) {
        std::cmp::Ordering::Less => false,
        std::cmp::Ordering::Equal => name == key.as_bytes() && !name.contains(&b'\\'),
        std::cmp::Ordering::Greater => {
            name.contains(&b'\\') && object.get(at..at + name.len()).is_some_and(|name| unescape(name) == key)
        }
    }
}

fn skip_space(json: &[u8], mut at: usize) -> usize {
    while matches!(json.get(at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
        at += 1;
    }
    at
}

const LOW_BITS: u64 = 0x0101_0101_0101_0101;
const HIGH_BITS: u64 = 0x8080_8080_8080_8080;

/// High bits at the bytes of `word` that are `byte`; exact up to the first.
const fn hits(word: u64, byte: u8) -> u64 {
    let zeros = word ^ (LOW_BITS * byte as u64);
    zeros.wrapping_sub(LOW_BITS) & !zeros & HIGH_BITS
}

/// Where the string that begins before `at` has its closing quote.
fn string_end(json: &[u8], mut at: usize) -> Option<usize> {
    loop {
        while let Some(eight) = json.get(at..at + 8) {
            let word = u64::from_le_bytes(eight.try_into().ok()?);
            let found = hits(word, b'"') | hits(word, b'\\');
            if found != 0 {
                at += (found.trailing_zeros() / 8) as usize;
                break;
            }
            at += 8;
        }
        match json.get(at)? {
            b'"' => return Some(at),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// The end of the value that begins at `at`.
fn value_end(json: &[u8], mut at: usize) -> Option<usize> {
    match json.get(at)? {
        b'"' => string_end(json, at + 1).map(|end| end + 1),
        b'{' | b'[' => {
            let mut depth = 0_usize;
            loop {
                match json.get(at)? {
                    b'"' => at = string_end(json, at + 1)?,
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' => {
                        depth -= 1;
                        if depth == 0 {
                            return Some(at + 1);
                        }
                    }
                    _ => {}
                }
                at += 1;
            }
        }
        _ => {
            while !matches!(json.get(at), None | Some(b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r')) {
                at += 1;
            }
            Some(at)
        }
    }
}

/// The content of a string whose escapes are resolved; half a surrogate pair becomes U+FFFD.
fn unescape(content: &str) -> String {
    let mut out = String::with_capacity(content.len());
    let mut rest = content;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let Some(kind) = rest.chars().next() else { break };
        rest = &rest[kind.len_utf8()..];
        match kind {
            'b' => out.push('\u{8}'),
            'f' => out.push('\u{c}'),
            'n' => out.push('\n'),
            'r' => out.push('\r'),
            't' => out.push('\t'),
            'u' => rest = code_point(rest, &mut out),
            other => out.push(other),
        }
    }
    out.push_str(rest);
    out
}

/// Adds the character whose `\u` stood before `rest`; returns what follows it.
fn code_point<'j>(rest: &'j str, out: &mut String) -> &'j str {
    let Some(first) = code_unit(rest) else {
        out.push(char::REPLACEMENT_CHARACTER);
        return rest;
    };
    let rest = &rest[4..];
    let second = rest.strip_prefix("\\u").and_then(code_unit);
    match (first, second) {
        (0xD800..=0xDBFF, Some(second @ 0xDC00..=0xDFFF)) => {
            let point = 0x1_0000 + ((u32::from(first) - 0xD800) << 10) + (u32::from(second) - 0xDC00);
            out.push(char::from_u32(point).unwrap_or(char::REPLACEMENT_CHARACTER));
            &rest[6..]
        }
        _ => {
            out.push(char::from_u32(u32::from(first)).unwrap_or(char::REPLACEMENT_CHARACTER));
            rest
        }
    }
}

fn code_unit(text: &str) -> Option<u16> {
    let digits = text.get(..4).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
    u16::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests;
