//! The one credential of a request, and the workspace that it names.

use std::borrow::Cow;

use http::header::{AUTHORIZATION, COOKIE, HeaderMap};
use http::request::Parts;
use percent_encoding::percent_decode_str;

use crate::browser::STREAMS;
use crate::headers::WORKSPACE_HEADER;
use crate::problem::{Problem, ProblemKind};

/// Carries `Bearer` and a key or a token.
pub(super) const BEARER_HEADER: &str = "Authorization";
/// Carries a key.
const KEY_HEADER: &str = "X-API-Key";
/// Carries a signature.
const SIGNATURE_HEADER: &str = "Nilometer-Signature";
/// Names a workspace where a browser cannot send the header: in the query of a stream.
const WORKSPACE_PARAMETER: &str = "workspace";

/// What the cookie of a session is called. Browsers take a name with `__Host-` only over HTTPS, for the whole of one
/// host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionCookie {
    /// Over HTTPS: `__Host-nm`.
    Secure,
    /// Over plain HTTP on one's own machine: `nm`.
    Loopback,
}

impl SessionCookie {
    /// Its name.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Secure => "__Host-nm",
            Self::Loopback => "nm",
        }
    }

    /// The value of a `Set-Cookie` that sets it for so many seconds; 0 takes it away.
    pub(crate) fn set(self, value: &str, seconds: u64) -> String {
        let secure = if self == Self::Secure { "; Secure" } else { "" };
        format!("{}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={seconds}{secure}", self.name())
    }
}

/// A credential as it is sent. Not printed: it is a secret.
#[derive(Clone, Copy)]
pub(super) enum Credential<'h> {
    None,
    Bearer(&'h str),
    Cookie(&'h str),
    Signature(&'h str),
}

/// The one credential that a request carries, and the header that it is in. `Authorization` of another scheme is
/// nobody's key: a proxy in between may want it. Of two credentials that differ neither is taken, since nobody can
/// know which was meant.
pub(super) fn credential(
    headers: &HeaderMap,
    cookie: SessionCookie,
) -> Result<(Credential<'_>, &'static str), Problem> {
    let key = key(headers)?;
    let cookie = session_cookie(headers, cookie)?;
    let mut signatures = headers.get_all(SIGNATURE_HEADER).iter();
    let signature = match (signatures.next(), signatures.next()) {
        (None, _) => None,
        (Some(value), None) => {
            let text = value.to_str().map_err(|_| bad(SIGNATURE_HEADER, "the signature is not visible ASCII"))?;
            Some(text)
        }
        _ => return Err(bad(SIGNATURE_HEADER, "the request carries two signatures")),
    };
    match (key, cookie, signature) {
        (None, None, None) => Ok((Credential::None, BEARER_HEADER)),
        (Some((key, header)), None, None) => Ok((Credential::Bearer(key), header)),
        (None, Some(cookie), None) => Ok((Credential::Cookie(cookie), "Cookie")),
        (None, None, Some(signature)) => Ok((Credential::Signature(signature), SIGNATURE_HEADER)),
        (Some(_), Some(_), None) => {
            Err(bad(BEARER_HEADER, "the request carries a key or token and a cookie: send one"))
        }
        _ => Err(bad(SIGNATURE_HEADER, "the request carries a signature and another credential: send one")),
    }
}

fn bad(header: &str, why: &str) -> Problem {
    Problem::new(ProblemKind::InvalidParameter, why).at(header)
}

/// The key or token that a request carries.
pub(super) fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    Ok(key(headers)?.map(|(key, _)| key))
}

/// Whether a request carries the key or token with this BLAKE3 hash.
pub(crate) fn presents(headers: &HeaderMap, hash: &[u8; 32]) -> bool {
    // Compared in constant time.
    bearer(headers).ok().flatten().is_some_and(|text| blake3::hash(text.as_bytes()) == blake3::Hash::from_bytes(*hash))
}

fn key(headers: &HeaderMap) -> Result<Option<(&str, &'static str)>, Problem> {
    let refused = |header: &str, why: &str| Problem::new(ProblemKind::Unauthorized, why).at(header);
    let mut has_other_scheme = false;
    let mut found: Option<(&str, &'static str)> = None;
    let bearers = headers.get_all(AUTHORIZATION).iter().map(|value| (BEARER_HEADER, value));
    let keys = headers.get_all(KEY_HEADER).iter().map(|value| (KEY_HEADER, value));
    for (header, value) in bearers.chain(keys) {
        let key = match value.as_bytes() {
            text if header == KEY_HEADER => text,
            text => match text.split_first_chunk::<7>() {
                Some((scheme, key)) if scheme.eq_ignore_ascii_case(b"bearer ") => key.trim_ascii(),
                _ => {
                    has_other_scheme = true;
                    continue;
                }
            },
        };
        let key = std::str::from_utf8(key).map_err(|_| refused(header, "the API key is not valid UTF-8"))?;
        if found.is_some_and(|(before, _)| before != key) {
            return Err(refused(header, "the request carries two API keys that differ"));
        }
        found = found.or(Some((key, header)));
    }
    match found {
        None if has_other_scheme => Err(refused(BEARER_HEADER, "the Authorization header must read 'Bearer <key>'")),
        found => Ok(found),
    }
}

/// The cookie of the session. Two of one name are refused: a page of another host of the same domain may have set one.
fn session_cookie(headers: &HeaderMap, cookie: SessionCookie) -> Result<Option<&str>, Problem> {
    let mut found = None;
    for value in headers.get_all(COOKIE) {
        // Another cookie may hold anything, and must not hide this one.
        for pair in value.as_bytes().split(|byte| *byte == b';') {
            let pair = std::str::from_utf8(pair).unwrap_or_default();
            let Some((name, value)) = pair.trim().split_once('=') else { continue };
            if name != cookie.name() || value.is_empty() {
                continue;
            }
            if found.is_some_and(|before| before != value) {
                return Err(bad("Cookie", "the request carries two session cookies that differ"));
            }
            found = Some(value);
        }
    }
    Ok(found)
}

/// The workspace that a request names.
pub(super) fn workspace_named(parts: &Parts) -> Result<Option<Cow<'_, str>>, Problem> {
    let mut values = parts.headers.get_all(WORKSPACE_HEADER).iter();
    let by_header = match (values.next(), values.next()) {
        (None, _) => None,
        (Some(value), None) => {
            let text = std::str::from_utf8(value.as_bytes());
            Some(text.map_err(|_| bad(WORKSPACE_HEADER, "the name of the workspace is not valid UTF-8"))?)
        }
        _ => return Err(bad(WORKSPACE_HEADER, "the request names two workspaces")),
    };
    let by_query = if STREAMS.contains(&parts.uri.path()) { workspace_parameter(parts) } else { None };
    match (by_header, by_query) {
        (Some(header), Some(query)) if header != query => {
            Err(bad(WORKSPACE_HEADER, "the request names two workspaces"))
        }
        (Some(header), _) => Ok(Some(Cow::Borrowed(header))),
        (None, query) => Ok(query),
    }
}

fn workspace_parameter(parts: &Parts) -> Option<Cow<'_, str>> {
    let mut pairs = parts.uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(name, _)| *name == WORKSPACE_PARAMETER)?;
    percent_decode_str(value).decode_utf8().ok()
}
