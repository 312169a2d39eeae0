//! The way to a value in the properties. A dot between two keys may also be a dot in one: the keys of
//! OpenTelemetry are full of them. What is written in quotes is one key and nothing else. Refuses paths that are
//! too long or too deep.

use std::fmt;

use crate::limits::{QUERY_PATH_BYTES_MAX, QUERY_PATH_SEGMENTS_MAX};

/// What stands between two dots of a path.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PathSegment {
    /// The key, or a part of it.
    pub key: String,
    /// It was written in quotes: it is a whole key.
    pub is_quoted: bool,
}

/// The keys of nested objects, outermost first. Arrays are not entered. Neighbours that are not quoted may be
/// one key with dots in it: in each object the longest key that leads to a value is taken.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PropertyPath {
    segments: Vec<PathSegment>,
}

impl PropertyPath {
    /// Reads `a.b.c`, of which any part may stand in quotes, as in `a."b.c"`. In quotes a quote is written
    /// twice.
    ///
    /// # Errors
    /// Says which bound the path is over, or what is wrong with a segment.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > QUERY_PATH_BYTES_MAX {
            return Err(format!("a property path has at most {QUERY_PATH_BYTES_MAX} bytes"));
        }
        if text.chars().any(char::is_control) {
            return Err("a property path has no control characters".to_owned());
        }
        let (mut segments, mut rest) = (Vec::new(), Some(text));
        while let Some(text) = rest {
            let (segment, after) = next_segment(text)?;
            segments.push(segment);
            if segments.len() > QUERY_PATH_SEGMENTS_MAX {
                return Err(format!("a property path has at most {QUERY_PATH_SEGMENTS_MAX} segments"));
            }
            rest = after;
        }
        Ok(Self { segments })
    }

    /// What stands between the dots; at least one.
    pub fn segments(&self) -> &[PathSegment] {
        &self.segments
    }

    /// What stands between the dots, joined by dots whether or not it was written in quotes.
    pub fn joined(&self) -> String {
        self.segments.iter().map(|segment| segment.key.as_str()).collect::<Vec<_>>().join(".")
    }

    /// The keys that an object may have on the way when the first `done` segments have been gone, the longest
    /// first, each with the segments that are done with it.
    pub fn keys_after(&self, done: usize) -> Vec<(String, usize)> {
        let rest = self.segments.get(done..).unwrap_or_default();
        let joined = match rest.first() {
            Some(first) if first.is_quoted => 1,
            _ => rest.iter().take_while(|segment| !segment.is_quoted).count(),
        };
        let key = |count: usize| rest[..count].iter().map(|segment| segment.key.as_str()).collect::<Vec<_>>().join(".");
        (1..=joined).rev().map(|count| (key(count), done + count)).collect()
    }
}

/// The first segment, and what follows the dot after it.
fn next_segment(text: &str) -> Result<(PathSegment, Option<&str>), String> {
    let Some(quoted) = text.strip_prefix('"') else {
        let (key, rest) = text.split_once('.').map_or((text, None), |(key, rest)| (key, Some(rest)));
        if key.is_empty() {
            return Err("no segment of a property path may be empty, unless it is quoted".to_owned());
        }
        return Ok((PathSegment { key: key.to_owned(), is_quoted: false }, rest));
    };
    let (mut key, mut rest) = (String::new(), quoted);
    loop {
        let Some((part, after)) = rest.split_once('"') else {
            return Err("a quote in a property path is not closed".to_owned());
        };
        key.push_str(part);
        if let Some(more) = after.strip_prefix('"') {
            key.push('"');
            rest = more;
            continue;
        }
        let rest = match after.strip_prefix('.') {
            None if after.is_empty() => None,
            None => return Err("after a quoted segment of a property path comes a dot, or nothing".to_owned()),
            more => more,
        };
        return Ok((PathSegment { key, is_quoted: true }, rest));
    }
}

/// The path as [`PropertyPath::parse`] reads it.
impl fmt::Display for PropertyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, PathSegment { key, is_quoted }) in self.segments.iter().enumerate() {
            let dot = if at > 0 { "." } else { "" };
            if *is_quoted {
                write!(f, "{dot}\"{}\"", key.replace('"', "\"\""))?;
            } else {
                write!(f, "{dot}{key}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn keys(text: &str) -> Vec<Vec<String>> {
        let path = PropertyPath::parse(text).unwrap();
        assert_eq!(path.to_string(), text);
        let keys = |done| path.keys_after(done).into_iter().map(|(key, _)| key).collect();
        (0..path.segments().len()).map(keys).collect()
    }

    #[test]
    fn unquoted_neighbours_may_be_one_key() {
        assert_eq!(keys("a"), [["a"]]);
        assert_eq!(keys("a.b.c"), [vec!["a.b.c", "a.b", "a"], vec!["b.c", "b"], vec!["c"]]);
        assert_eq!(keys(r#"a.b."c.d".e"#), [vec!["a.b", "a"], vec!["b"], vec!["c.d"], vec!["e"]]);
        assert_eq!(keys(r#""a"."b""#), [["a"], ["b"]]);
        assert_eq!(keys(r#""say ""a.b""""#), [[r#"say "a.b""#]]);
        assert_eq!(keys(r#""".a"b"#), [[""], [r#"a"b"#]]);
        for bad in ["", ".", "a.", ".a", "a..b", "\"", "\"a", "\"a\"b", "\"a\".", "a.\"b\"\"", "a\nb"] {
            assert!(PropertyPath::parse(bad).is_err(), "{bad}");
        }
    }
}
