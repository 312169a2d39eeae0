//! Small questions about JSON text whose syntax serde_json has checked already, answered without
//! building values. Every function assumes that check; none panics without it.

use std::borrow::Cow;

/// The whitespace of JSON.
pub(crate) const SPACES: [char; 4] = [' ', '\t', '\r', '\n'];

/// One JSON value by its kind, borrowing its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JsonKind<'a> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool,
    /// A number as written.
    Number(&'a str),
    /// A string as written, with its quotes.
    Text(&'a str),
    /// An array as written.
    Array(&'a str),
    /// An object as written.
    Object(&'a str),
}

impl<'a> JsonKind<'a> {
    /// The kind of the value that `text` is.
    pub(crate) fn of(text: &'a str) -> Self {
        match text.as_bytes().first() {
            Some(b'{') => Self::Object(text),
            Some(b'[') => Self::Array(text),
            Some(b'"') => Self::Text(text),
            Some(b't' | b'f') => Self::Bool,
            Some(b'-' | b'0'..=b'9') => Self::Number(text),
            _ => Self::Null,
        }
    }
}

/// The text that a JSON string means, borrowed when it has no escapes; `None` when an escape is no
/// character.
pub(crate) fn unescape(string: &str) -> Option<Cow<'_, str>> {
    if memchr::memchr(b'\\', string.as_bytes()).is_some() {
        return serde_json::from_str(string).ok().map(Cow::Owned);
    }
    string.get(1..string.len().saturating_sub(1)).map(Cow::Borrowed)
}

/// The members of `object`, the text of a JSON object, in their order: name, and value as written. A member whose
/// name holds half of a surrogate pair is left out; a text that is no object has no members.
pub(crate) fn members(object: &str) -> impl Iterator<Item = (Cow<'_, str>, &str)> {
    let mut rest = object.strip_prefix('{').unwrap_or_default();
    std::iter::from_fn(move || {
        loop {
            let name = take_text(skip_between(rest)?, &mut rest)?;
            let value = skip_between(rest)?;
            let length = match value.as_bytes().first()? {
                b'"' => text_length(value.as_bytes())?.0,
                b'{' | b'[' => nested_length(value.as_bytes())?,
                b'}' | b']' => return None,
                _ => value.bytes().position(|byte| is_between(byte) || matches!(byte, b'}' | b']'))?,
            };
            let (value, after) = value.split_at_checked(length)?;
            rest = after;
            if let Some(name) = name {
                return Some((name, value));
            }
        }
    })
}

const fn is_between(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b',' | b':')
}

/// `rest` from its next value on.
fn skip_between(rest: &str) -> Option<&str> {
    let start = rest.bytes().position(|byte| !is_between(byte))?;
    rest.get(start..)
}

/// Takes the JSON string that `json` begins with; what it means, if that is a text.
fn take_text<'a>(json: &'a str, rest: &mut &'a str) -> Option<Option<Cow<'a, str>>> {
    if !json.starts_with('"') {
        return None;
    }
    let (length, is_escaped) = text_length(json.as_bytes())?;
    let (text, after) = json.split_at_checked(length)?;
    *rest = after;
    if is_escaped {
        return Some(unescape(text));
    }
    Some(text.get(1..length - 1).map(Cow::Borrowed))
}

/// How long the JSON string is that `json` begins with, and whether it has escapes.
fn text_length(json: &[u8]) -> Option<(usize, bool)> {
    let (mut at, mut is_escaped) = (1, false);
    loop {
        at += memchr::memchr2(b'"', b'\\', json.get(at..)?)?;
        if json.get(at) == Some(&b'"') {
            return Some((at + 1, is_escaped));
        }
        is_escaped = true;
        at += 2;
    }
}

/// How long the array or object is that `json` begins with.
fn nested_length(json: &[u8]) -> Option<usize> {
    let (mut at, mut depth) = (0, 0_usize);
    loop {
        match json.get(at)? {
            b'"' => {
                at += text_length(&json[at..])?.0;
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

/// Whether some `\u` escape is half of a surrogate pair, which no text can hold.
pub(crate) fn has_lone_surrogate(json: &str) -> bool {
    let mut rest = json;
    while let Some(at) = memchr::memchr(b'\\', rest.as_bytes()) {
        let escape = &rest[at..];
        rest = match code_unit(escape) {
            None => escape.get(2..).unwrap_or_default(),
            Some(0xD800..=0xDBFF) => match code_unit(&escape[6..]) {
                Some(0xDC00..=0xDFFF) => &escape[12..],
                _ => return true,
            },
            Some(0xDC00..=0xDFFF) => return true,
            Some(_) => &escape[6..],
        };
    }
    false
}

/// The code unit of the `\uXXXX` that `text` begins with.
fn code_unit(text: &str) -> Option<u16> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    u16::from_str_radix(digits, 16).ok()
}

/// Whether arrays and objects nest deeper than `levels`; a value that is neither has no level.
pub(crate) fn is_deeper_than(json: &str, levels: usize) -> bool {
    // Nearly every value is too short to be deep, or has too few brackets, in strings or not.
    if json.len() / 2 <= levels || json.bytes().filter(|byte| matches!(byte, b'{' | b'[')).count() <= levels {
        return false;
    }
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_string,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > levels {
            return true;
        }
    }
    false
}

/// `bytes` without the whitespace of JSON around them.
pub(crate) fn trim(bytes: &[u8]) -> &[u8] {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
    let start = bytes.iter().position(|byte| !is_space(byte)).unwrap_or(bytes.len());
    let end = bytes.iter().rposition(|byte| !is_space(byte)).map_or(start, |at| at + 1);
    &bytes[start..end]
}

#[cfg(test)]
mod tests;
