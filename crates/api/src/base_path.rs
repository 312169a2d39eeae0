//! The path that all routes lie below: nothing, or segments of plain letters that need no escapes in a URL, a page or
//! a header.

use std::fmt;

/// Longest path, in bytes.
const PATH_BYTES_MAX: usize = 256;

/// A path such as `/meter`, without a slash at its end; empty for the root.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BasePath(String);

/// A text is no path that routes may lie below.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be empty or a path as /meter: segments of A-Z a-z 0-9 . _ ~ - with a slash before each, and none at the end"
)]
pub struct InvalidBasePath;

impl BasePath {
    /// The path that `text` is.
    ///
    /// # Errors
    /// [`InvalidBasePath`] when it has another form.
    pub fn parse(text: &str) -> Result<Self, InvalidBasePath> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'~' | b'-');
        let is_segment = |segment: &str| !matches!(segment, "" | "." | "..") && segment.bytes().all(is_plain);
        let mut segments = text.split('/');
        let is_path = segments.next() == Some("") && segments.all(is_segment);
        if is_path && text.len() <= PATH_BYTES_MAX { Ok(Self(text.to_owned())) } else { Err(InvalidBasePath) }
    }

    /// The path as it stands in a URL.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// This path below `outer`.
    pub(crate) fn below(&self, outer: &Self) -> Self {
        Self(format!("{}{}", outer.0, self.0))
    }

    /// What stands behind this path in `path`, with a slash at its front; `None` when `path` is not below it.
    pub(crate) fn inside<'p>(&self, path: &'p str) -> Option<&'p str> {
        match path.strip_prefix(self.as_str())? {
            "" => Some("/"),
            rest => rest.starts_with('/').then_some(rest),
        }
    }
}

impl fmt::Display for BasePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_path_is_plain_segments() {
        for text in ["", "/meter", "/a/b-c/~d_e.f", "/..."] {
            assert_eq!(BasePath::parse(text).unwrap().as_str(), text);
        }
        let long = format!("/{}", "x".repeat(PATH_BYTES_MAX));
        for text in [
            "/", "meter", "/meter/", "//", "//a", "/a//b", "/a b", "/a%20", "/a?b", "/..", "/a/./b", "/ä", "/a,/b",
            &long,
        ] {
            assert_eq!(BasePath::parse(text), Err(InvalidBasePath), "{text}");
        }
    }

    #[test]
    fn what_lies_below_a_path_is_told_from_what_begins_alike() {
        let meter = BasePath::parse("/meter").unwrap();
        assert_eq!(meter.inside("/meter"), Some("/"));
        assert_eq!(meter.inside("/meter/"), Some("/"));
        assert_eq!(meter.inside("/meter/v1/events"), Some("/v1/events"));
        for path in ["/", "/meters", "/v1/events", "/v1/meter", "*"] {
            assert_eq!(meter.inside(path), None, "{path}");
        }
        assert_eq!(BasePath::default().inside("/v1"), Some("/v1"));
        assert_eq!(meter.below(&BasePath::parse("/a").unwrap()).as_str(), "/a/meter");
    }
}
