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
    if string.as_bytes().contains(&b'\\') {
        return serde_json::from_str(string).ok().map(Cow::Owned);
    }
    string.get(1..string.len().saturating_sub(1)).map(Cow::Borrowed)
}

/// Whether some `\u` escape is half of a surrogate pair, which no text can hold.
pub(crate) fn has_lone_surrogate(json: &str) -> bool {
    let mut rest = json;
    while let Some(at) = rest.find('\\') {
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
