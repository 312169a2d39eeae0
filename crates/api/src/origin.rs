//! Origins of pages (RFC 6454): scheme, host and port in one normal form, so that equal means the same. Only origins
//! of http and https are any; `null` and those of extensions are none.

use std::fmt;
use std::net::Ipv6Addr;

use crate::base_path::BasePath;

/// Longest name of a host, in bytes (RFC 1035, section 2.3.4).
const HOST_BYTES_MAX: usize = 253;

/// How a request came, or a page was loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    Http,
    Https,
}

impl Scheme {
    /// The scheme that `text` names, in any case.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text.eq_ignore_ascii_case("http") {
            Some(Self::Http)
        } else if text.eq_ignore_ascii_case("https") {
            Some(Self::Https)
        } else {
            None
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    const fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// The origin of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    scheme: Scheme,
    /// In lower case; an IPv6 address in brackets, as short as can be.
    host: String,
    port: u16,
}

/// A text is no origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must read http://HOST or https://HOST, with :PORT or without")]
pub struct InvalidOrigin;

impl Origin {
    /// The origin that `text` names: `scheme://host` or `scheme://host:port`, and nothing behind it.
    ///
    /// # Errors
    /// [`InvalidOrigin`] when it names none.
    pub fn parse(text: &str) -> Result<Self, InvalidOrigin> {
        let (scheme, authority) = text.split_once("://").ok_or(InvalidOrigin)?;
        Self::of(Scheme::parse(scheme).ok_or(InvalidOrigin)?, authority)
    }

    /// The origin of pages that come by `scheme` from `authority`, which is `host` or `host:port`.
    ///
    /// # Errors
    /// [`InvalidOrigin`] when `authority` is neither.
    pub(crate) fn of(scheme: Scheme, authority: &str) -> Result<Self, InvalidOrigin> {
        let (host, port) = split(authority).ok_or(InvalidOrigin)?;
        let host = normal_host(host).ok_or(InvalidOrigin)?;
        Ok(Self { scheme, host, port: port.unwrap_or_else(|| scheme.port()) })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.name(), self.host)?;
        if self.port == self.scheme.port() { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

/// Host and port of `host`, `host:port`, `[v6]` or `[v6]:port`.
pub(crate) fn split(authority: &str) -> Option<(&str, Option<u16>)> {
    let host_ends = match authority.strip_prefix('[') {
        Some(rest) => rest.find(']')? + 2,
        None => authority.find(':').unwrap_or(authority.len()),
    };
    let (host, rest) = authority.split_at_checked(host_ends)?;
    let port = match rest.strip_prefix(':') {
        None if rest.is_empty() => None,
        Some(digits) if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(digits.parse().ok()?)
        }
        _ => return None,
    };
    Some((host, port))
}

fn normal_host(host: &str) -> Option<String> {
    if let Some(address) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return Some(format!("[{}]", address.parse::<Ipv6Addr>().ok()?));
    }
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    let is_host = !host.is_empty() && host.len() <= HOST_BYTES_MAX && host.bytes().all(is_plain);
    is_host.then(|| host.to_ascii_lowercase())
}

/// Where clients find the server: an origin, and the path that all routes lie below.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl {
    origin: Origin,
    path: BasePath,
}

/// A text is no URL of a server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPublicUrl {
    /// It is none of http or https.
    #[error("must be a URL as https://meter.example.com, without a query or a user")]
    Url,
    /// It has another path than the server serves.
    #[error("may have no path but that of base_path, which is '{0}'")]
    Path(BasePath),
}

impl PublicUrl {
    /// The URL that `text` names, of a server whose routes lie below `path`; the text may have that path or none.
    ///
    /// # Errors
    /// [`InvalidPublicUrl`] says what is wrong with it.
    pub fn parse(text: &str, path: &BasePath) -> Result<Self, InvalidPublicUrl> {
        let after_scheme = text.find("://").map(|at| at + 3).ok_or(InvalidPublicUrl::Url)?;
        let path_begins = text.get(after_scheme..).and_then(|rest| rest.find('/'));
        let path_begins = path_begins.map_or(text.len(), |at| after_scheme + at);
        let (origin, named) = text.split_at_checked(path_begins).ok_or(InvalidPublicUrl::Url)?;
        let origin = Origin::parse(origin).map_err(|InvalidOrigin| InvalidPublicUrl::Url)?;
        let named = named.strip_suffix('/').unwrap_or(named);
        if named.contains(['?', '#']) {
            return Err(InvalidPublicUrl::Url);
        }
        if !named.is_empty() && named != path.as_str() {
            return Err(InvalidPublicUrl::Path(path.clone()));
        }
        Ok(Self { origin, path: path.clone() })
    }

    /// Its origin.
    pub(crate) fn origin(&self) -> &Origin {
        &self.origin
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.origin, self.path)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn an_origin_has_one_form() {
        for (text, form) in [
            ("http://a", "http://a"),
            ("HTTPS://Meter.Example.COM:443", "https://meter.example.com"),
            ("http://a:443", "http://a:443"),
            ("http://[::0:1]:8080", "http://[::1]:8080"),
            ("http://127.0.0.1:80", "http://127.0.0.1"),
        ] {
            assert_eq!(Origin::parse(text).unwrap().to_string(), form, "{text}");
        }
        for text in [
            "",
            "*",
            "null",
            "a",
            "//a",
            "http:a",
            "http://",
            "ftp://a",
            "http://a/",
            "http://a?",
            "http://u@a",
            "http://a:",
            "http://a:+1",
            "http://a:99999",
            "http://a b",
            "http://[::1",
            "http://[a]",
            "http://::1",
            "http://a,http://b",
            "chrome-extension://abc",
            "http://*.a",
        ] {
            assert_eq!(Origin::parse(text), Err(InvalidOrigin), "{text}");
        }
    }

    #[test]
    fn a_public_url_has_the_path_of_the_server_or_none() {
        let (none, meter) = (BasePath::default(), BasePath::parse("/meter").unwrap());
        let shown = |text: &str, path: &BasePath| PublicUrl::parse(text, path).map(|url| url.to_string());
        assert_eq!(shown("https://A.example/", &none).unwrap(), "https://a.example");
        assert_eq!(shown("https://a.example", &meter).unwrap(), "https://a.example/meter");
        assert_eq!(shown("https://a.example:8443/meter/", &meter).unwrap(), "https://a.example:8443/meter");
        assert_eq!(shown("https://a.example/meter", &none), Err(InvalidPublicUrl::Path(none.clone())));
        assert_eq!(shown("https://a.example/other", &meter), Err(InvalidPublicUrl::Path(meter.clone())));
        for text in ["a.example", "ftp://a.example", "https://", "https://u:p@a", "https://a/?q", "https://a?q"] {
            assert_eq!(shown(text, &none), Err(InvalidPublicUrl::Url), "{text}");
        }
    }
}
